"""The run files for GPUs: that they fit where they say, and that their files are made so. No GPU, no network."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alma import plan
from alma.config import load
from alma.errors import ConfigError
from alma.plan.fit import fits, refuse
from alma.plan.hours import Means, work_by_stage
from alma.plan.machine import Machine
from alma.plan.shape import read_shape
from alma.running.stage import run
from alma.sources import check_there
from alma.store import open_store
from components.placement import load_placement
from tests.builders.recipe import ROOT

EXAMPLES = ROOT / "examples"
LARGE, SMALL = EXAMPLES / "llama3-8b.toml", EXAMPLES / "one-gpu-24gb.toml"
GIB = 2**30


def test_llama_fits_on_eight_gpus_of_80_gib_and_its_pods_have_them() -> None:
    cfg, shape, place = load(LARGE), read_shape(EXAMPLES / "shapes" / "llama3-8b.json", None), load_placement(LARGE)
    found = fits(cfg, shape, Machine(80 * GIB, gpus=place.train.gpus), 100)
    refuse(found)
    trainings = [fit for fit in found if fit.host]
    assert {fit.how for fit in trainings} == {"trl zero3, 8 GPUs"}
    assert place.generate.gpus == place.train.gpus == 8
    gib = int(place.train.memory.removesuffix("Gi"))
    assert max(fit.host for fit in trainings) < gib * GIB / 4, "processes and the cache of files need room too"
    with pytest.raises(ConfigError, match="128\\.5 GB"):
        refuse(fits(load(LARGE, ["alma.train.parallel='none'"]), shape, Machine(80 * GIB, gpus=8), 100))


def test_a_model_of_1_5b_fits_on_24_gib_by_adapters_alone() -> None:
    shape, gpu = read_shape(EXAMPLES / "shapes" / "qwen2.5-1.5b.json", None), Machine(24 * GIB)
    found = fits(load(SMALL), shape, gpu, 100)
    refuse(found)
    assert not any(fit.said.startswith("micro_batch_rows") for fit in found), "the rows it asks for fit at once"
    tree = load(SMALL).model_copy(update={"train": load(SMALL).initial.model_copy(update={"adapter": None})})
    with pytest.raises(ConfigError, match=r"adapter = \{ rank = 16 \}"):
        refuse(fits(tree, shape, gpu, 100))


def test_the_day_is_the_plans_arithmetic() -> None:
    steps = plan.plan(load(SMALL), prompt_tokens=100, response_tokens=400)
    means = Means(1.54e9, flops_per_second=165e12, utilisation=0.1)
    hours = sum(means.arithmetic_hours(each.work, each.tokens) or 0 for each in work_by_stage(steps))
    (said,) = re.findall(r"says ([\d.]+) at a tenth of 165e12", SMALL.read_text())
    assert said == f"{hours:.3g}"


@pytest.mark.parametrize("run_file", [LARGE, SMALL], ids=lambda path: path.stem)
def test_a_revision_that_is_no_commit_is_refused_before_any_work(run_file: Path) -> None:
    base = load(run_file).uses["base"]
    check_there(base, EXAMPLES)  # type: ignore[arg-type]
    moving = load(run_file, ["alma.base.revision='main'"]).uses["base"]
    with pytest.raises(ConfigError, match=r"'main' can move.*40 hex digits.*git ls-remote https://huggingface\.co"):
        check_there(moving, EXAMPLES)  # type: ignore[arg-type]


def helpsteer2(i: int) -> dict[str, Any]:
    later = "\n\n<extra_id_1>Assistant\n\nIt depends.\n\n<extra_id_1>User\n\nOn what?" if i // 2 % 3 == 0 else ""
    return {"prompt": f"What is {i // 2}?{later}", "response": f"It is {i}.", "helpfulness": i % 5}


def anteater(i: int) -> dict[str, Any]:
    said = [{"from": "User", "value": f"Tell me of {i}"}, {"from": "Assistant", "value": f"Of {i}: much."}]
    return {"system": "", "mask": "User", "dataset": "d", "conversations": said}


def alpaca(i: int) -> dict[str, Any]:
    return {"instruction": f"Explain {i}", "output": "so", "generator": "g", "dataset": "koala"}


def arena(i: int) -> dict[str, Any]:
    return {"question_id": str(i), "category": "arena-hard-v0.1", "cluster": "c", "turns": [{"content": f"Solve {i}"}]}


SETS: dict[str, tuple[Callable[[int], dict[str, Any]], int]] = {
    "train.jsonl.gz": (helpsteer2, 4600),
    "train.jsonl": (anteater, 5050),
    "alpaca_eval.json": (alpaca, 9),
    "question.jsonl": (arena, 7),
}
HF = f"""#!{sys.executable}
import gzip, shutil, sys
from pathlib import Path
_, _, name, file, *rest = sys.argv
options = dict(zip(rest[::2], rest[1::2]))
assert options["--repo-type"] == "dataset" and len(options["--revision"]) == 40, rest
source, target = Path(sys.argv[0]).parent / "published" / Path(file).name, Path(options["--local-dir"]) / file
target.parent.mkdir(parents=True, exist_ok=True)
with source.open("rb") as read, (gzip.open if target.suffix == ".gz" else open)(target, "wb") as write:
    shutil.copyfileobj(read, write)
"""


def opening(row: dict[str, Any]) -> str:
    return str(row["messages"][0]["content"] if "messages" in row else row["prompt"])


@pytest.mark.slow
def test_the_script_makes_the_files_that_the_run_files_read(tmp_path: Path) -> None:
    """With a stub of ``hf``, which gives rows in each set's published form."""
    published = tmp_path / "bin" / "published"
    published.mkdir(parents=True)
    for name, (row, number) in SETS.items():
        (published / name).write_text("".join(json.dumps(row(i)) + "\n" for i in range(number)))
    (published / "alpaca_eval.json").write_text(json.dumps([alpaca(i) for i in range(9)]))
    (tmp_path / "bin" / "hf").write_text(HF)
    (tmp_path / "bin" / "hf").chmod(0o755)
    script = shutil.copy(EXAMPLES / "data.sh", tmp_path)
    path = os.pathsep.join([str(tmp_path / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", script], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = {
        file.stem: [json.loads(line) for line in file.read_text().splitlines()]
        for file in (tmp_path / "data").iterdir()
    }
    assert {name: len(found) for name, found in rows.items()} == {
        "scores": 4000,
        "heldout": 500,
        "seeds": 5000,
        "evaluation": 9 + 7,
    }
    assert set(map(opening, rows["scores"])).isdisjoint(map(opening, rows["heldout"]))
    assert {row["score"] for row in rows["scores"]} == {0, 2.5, 5, 7.5, 10}
    assert {row["family"] for row in rows["evaluation"]} == {"koala", "arena-hard"}
    for run_file in (LARGE, SMALL):
        cfg = load(run_file)
        for use in ("sft_seeds", "score_seeds", "heldout_scores", "evaluation_prompts"):
            check_there(cfg.uses[use], tmp_path)  # type: ignore[arg-type]
            section = getattr(cfg, use)
            read = run("ingest", section, {}, open_store(str(tmp_path / "store")), base=tmp_path).num_rows
            assert read == min(len(rows[Path(section.source).stem]), section.limit or 5000), use
