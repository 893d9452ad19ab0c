"""``examine``: a task folder travels whole, marks become rows, and an attempt that was stopped goes on behind them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from alma import sources
from alma.artifact import Artifact, Model, Ref, Rows
from alma.artifact.out import Out
from alma.engines import Mark
from alma.engines.echo.examine import EchoExaminer
from alma.errors import ConfigError, DataError, Stopped
from alma.running.stage import run
from alma.sections import Harness, IngestTasks
from alma.stages.examine import summary
from alma.store import Store, open_store
from tests.builders.sealed import named, seal

TASKS = Path(__file__).parents[2] / "examples" / "micro" / "tasks"


def harness(*names: str, **settings: Any) -> Harness:
    return Harness(name="exams", tasks=names, **{"engine": "echo"} | settings)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def model(store: Store, tmp_path: Path, name: str = "m") -> Ref:
    out = Out(store, named("finetune", name), tmp_path / name)
    (out.folder / "config.json").write_text(f'{{"name": "{name}"}}')
    seal(out, "model")
    return out.ref


def brought(store: Store, folder: Path) -> Ref:
    return run("ingest", IngestTasks(source=str(folder)), {}, store).ref


def test_marks_are_rows_and_metrics(store: Store, tmp_path: Path) -> None:
    given = {"model": model(store, tmp_path)}
    manifest = run("examine", harness("ifeval", "gsm8k"), given, store)
    rows = Artifact.open(store, manifest.ref)
    assert isinstance(rows, Rows)
    first, second = rows.table().to_pylist()
    assert (first["task"], second["task"]) == ("ifeval", "gsm8k"), "in the order of the settings"
    assert first["checkpoint_id"] == str(given["model"])
    assert (first["metric"], first["num"], first["higher_is_better"]) == ("acc", 100, True)
    assert manifest.metrics["gsm8k.acc"] == second["value"]
    assert manifest.metrics["gsm8k.acc_error"] == second["error"]
    assert manifest.metrics["num_tasks"] == 2


def test_a_task_folder_arrives_whole(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, bytes] = {}
    made = EchoExaminer.__init__

    def looking(self: EchoExaminer, cfg: Harness, folder: Path | None) -> None:
        assert folder is not None
        seen.update({each.relative_to(folder).as_posix(): each.read_bytes() for each in folder.rglob("*.*")})
        made(self, cfg, folder)

    monkeypatch.setattr(EchoExaminer, "__init__", looking)
    folder = Path(shutil.copytree(TASKS, tmp_path / "tasks"))
    (folder / "deeper").mkdir()
    (folder / "deeper" / "table.parquet").write_bytes(b"PAR1\0\xff")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "left.pyc").write_bytes(b"")
    (folder / ".git").write_text("")
    run("examine", harness("micro"), {"model": model(store, tmp_path), "folder": brought(store, folder)}, store)
    assert set(seen) == {*(each.name for each in TASKS.iterdir()), "deeper/table.parquet"}
    assert seen["deeper/table.parquet"] == b"PAR1\0\xff"
    assert seen["questions.jsonl"] == (TASKS / "questions.jsonl").read_bytes()


def test_a_task_folder_is_named_by_what_it_holds(store: Store, tmp_path: Path) -> None:
    first, second = (Path(shutil.copytree(TASKS, tmp_path / name)) for name in ("a", "b"))
    assert brought(store, first) == brought(store, second) == brought(store, TASKS)
    (second / "answer.yaml").rename(second / "reply.yaml")
    assert brought(store, first) != brought(store, second)


def test_a_task_folder_in_s3_is_the_same(store: Store, tmp_path: Path, s3_store_uri: str) -> None:
    there = open_store(s3_store_uri)
    for path in TASKS.iterdir():
        there.upload(path, f"exams/tasks/{path.name}")
    cfg = IngestTasks(source=f"{s3_store_uri}/exams/tasks")
    sources.check_there(cfg, tmp_path)
    assert run("ingest", cfg, {}, store).ref == brought(store, TASKS)
    with pytest.raises(DataError, match=r"no .yaml lies there. Did you mean tasks"):
        sources.check_there(IngestTasks(source=f"{s3_store_uri}/exams/task"), tmp_path)


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("hf://owner/tasks", ConfigError, "a task folder is code, which this machine runs: fetch it, read it"),
        ("empty", DataError, "no .yaml in it"),
        ("nowhere", DataError, "no such file"),
    ],
)
def test_what_is_no_task_folder_is_refused(
    store: Store, tmp_path: Path, source: str, error: type[Exception], said: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=said):
        run("ingest", IngestTasks(source=source), {}, store, base=tmp_path)


def test_a_stopped_attempt_goes_on_behind_what_was_held(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[str] = []
    stop: list[bool] = []
    hold = EchoExaminer.hold

    def holding(self: EchoExaminer, name: str, model: Path, **more: Any) -> list[Mark]:
        held.append(name)
        if name == "b" and not stop:
            stop.append(True)
        return hold(self, name, model, **more)

    monkeypatch.setattr(EchoExaminer, "hold", holding)
    given, cfg = {"model": model(store, tmp_path)}, harness("a", "b", "c")
    with pytest.raises(Stopped):
        run("examine", cfg, given, store, stopping=lambda: bool(stop))
    again = run("examine", cfg, given, store)
    assert held == ["a", "b", "b", "c"]
    assert [name for name in again.metrics if name.endswith(".acc")] == ["a.acc", "b.acc", "c.acc"]


def test_a_number_that_is_not_finite_is_in_no_metric() -> None:
    marks = [Mark("a", "ppl", float("inf"), None, 3, False), Mark("a", "acc", 0.5, None, 3, True)]
    assert summary(marks) == {"num_tasks": 1, "a.acc": 0.5}


@pytest.mark.harness
@pytest.mark.slow
def test_nothing_is_loaded_where_a_data_set_cannot_be_had(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(TASKS, tmp_path / "tasks"))
    text = (folder / "answer.yaml").read_text()
    (folder / "answer.yaml").write_text(text.replace("dataset_path: json", "dataset_path: nobody/nothing"))
    monkeypatch.setattr(Model, "folder", property(lambda _: pytest.fail("the model was fetched")))
    given = {"model": model(store, tmp_path), "folder": brought(store, folder)}
    with pytest.raises(DataError, match="needs the data set"):
        run("examine", harness("micro", engine="hf"), given, store)
