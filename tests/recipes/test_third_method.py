"""A method that is none of ours: its settings, its recipe and a line in the table are all that it takes."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from alma.config import METHODS, Method, load
from alma.plan import plan
from alma.recipes import Do, Outcome
from alma.recipes.graph import fingerprint, graph
from alma.running.finish import newest_page
from alma.running.preflight import preflight
from alma.running.recipe import run_recipe
from alma.sections import Evaluate, Finetune, IngestModel, IngestRows, Report
from alma.store import open_store
from tests.builders.page import Elements

ROOT = Path(__file__).parents[2]


class Tune(Method):
    """Fine-tuning on the seeds, and nothing after it."""

    root = "tune"
    title = "Tune (a test)"
    sources: ClassVar[Mapping[str, str]] = {"base": "model", "seeds": "pairs", "evaluation_prompts": "prompts"}
    inference = ("evaluate",)
    trained = inference
    training = ("train",)

    base: IngestModel
    seeds: IngestRows
    evaluation_prompts: IngestRows
    train: Finetune = Finetune(epochs=2)
    evaluate: Evaluate = Evaluate()
    report: Report = Report(title="Tune", about="Fine-tuning & nothing else", sections=("training", "quality"))

    @property
    def length(self) -> str:
        return "one training"


def tune(cfg: Tune, do: Do) -> Outcome:
    base = do("ingest", cfg.base, label="base model")
    seeds = do("ingest", cfg.seeds, label="seeds", model=base)
    prompts = do("ingest", cfg.evaluation_prompts, label="evaluation prompts", model=base)
    model = do("finetune", cfg.train, label="tuned · finetune", model=base, rows=seeds)
    page = None
    for point, checkpoint in (("base", base), ("tuned", model)):
        evaluation = do("evaluate", cfg.evaluate, label=f"{point} · evaluate", model=checkpoint, prompts=prompts)
        section = cfg.report.changed(label=point)
        training = model if checkpoint is model else None
        given = {"previous": page, "evaluation": evaluation, "training": training}
        page = do("report", section, label=f"{point} · report", **given)
    return Outcome(model, None, page)


@pytest.fixture
def run_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setitem(METHODS, "tune", Tune)
    recipe = ModuleType("alma.recipes.tune")
    recipe.__dict__["tune"] = tune
    monkeypatch.setitem(sys.modules, "alma.recipes.tune", recipe)
    micro = ROOT / "examples" / "micro"
    file = tmp_path / "tune-micro.toml"
    file.write_text(
        '[tune]\nengine = "echo"\nreport = { num_samples_shown = 5 }\n'
        f'base = {{ source = "{micro / "base"}" }}\n'
        f'seeds = {{ source = "{micro / "sft_seeds.jsonl"}", limit = 12 }}\n'
        f'evaluation_prompts = {{ source = "{micro / "eval_prompts.jsonl"}", limit = 9 }}\n',
        encoding="utf-8",
    )
    return file


def test_a_third_method_runs_and_its_page_is_its_own(
    run_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = load(run_file)
    outcome = run_recipe(cfg, run_file, str(tmp_path / "store"), as_json=True, isolate=False)
    assert "Tune by round" in capsys.readouterr().out
    store = open_store(str(tmp_path / "store"))
    (name,) = [each for each in store.list(str(outcome.report)) if each.endswith("report.html")]
    page = store.read(name).decode()
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["Training", "Quality by round", "Read the samples"]
    shown = Elements(page).text
    assert "Tune Fine-tuning & nothing else: evaluated on 9 held-out prompts." in shown
    assert not re.search(r"judge|ALMA|ISARA", shown), "no judge was trained, and the method is another"


def test_a_run_file_keeps_what_the_method_sets_beside_it(run_file: Path) -> None:
    report = getattr(load(run_file), "report")  # noqa: B009 - of a method that is known here only
    assert (report.num_samples_shown, report.title, report.sections) == (5, "Tune", ("training", "quality"))


def test_a_third_method_is_planned(run_file: Path) -> None:
    steps = plan(load(run_file), prompt_tokens=10, response_tokens=20)
    assert [step.label for step in steps][-2:] == ["tuned · evaluate", "tuned · report"]


def test_a_pipeline_of_it_is_checked_and_ends_under_its_name(run_file: Path, tmp_path: Path) -> None:
    cfg = load(run_file)
    settings: dict[str, Any] = {"tune": cfg.model_dump(mode="json")}
    store = str(tmp_path / "store")
    fine, _ = preflight(
        run_file=json.dumps(settings),
        changes="",
        given_sources={},
        form={},
        placement="{}",
        compiled_graph=fingerprint(graph(cfg)),
        store=store,
        run="r1",
        base=tmp_path,
    )
    assert fine[0] == "8 steps, as compiled"
    assert "<h1>Tune (a test): no report yet</h1>" in newest_page(open_store(store), "r1", [])


def test_the_rooms_that_serve_every_method_name_none() -> None:
    names = {each.model_fields["report"].default.title for each in METHODS.values()} | {*METHODS} - {"alma"}
    named = re.compile(rf"\b({'|'.join(sorted(names))})\b")
    files = [
        file for room in ("page", "monitor", "running", "plan", "cli") for file in (ROOT / "alma" / room).glob("*")
    ]
    found = [f"{file}: {match[0]}" for file in files if file.is_file() for match in named.finditer(file.read_text())]
    assert len(files) > 30
    assert found == []
