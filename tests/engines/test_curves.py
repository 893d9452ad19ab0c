"""Curves of a training: TensorBoard's real files, MLflow against a stub of its HTTP, and that none ends a training."""

from __future__ import annotations

import base64
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from alma.engines.curves import Curves, Named, mlflow, sending
from alma.errors import ConfigError, Stopped
from alma.sections import Finetune
from alma.stages import finetune
from tests.builders.bench import Bench
from tests.builders.mlflow_stub import MlflowStub, tracking

STEPS = [{"loss": 2.0 - i / 10, "grad_norm": 1.0, "tokens": 100} for i in range(10)]


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRACKING_URI", "RUN_ID", "EXPERIMENT_ID", "EXPERIMENT_NAME", "WORKSPACE", "TRACKING_AUTH"):
        monkeypatch.delenv(f"MLFLOW_{name}", raising=False)
    for name in ("TOKEN", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)


def named(title: str = "night/round 03 · finetune") -> Named:
    return Named(title, "0123456789abcdef", {"epochs": 2.0, "adapter": {"rank": 16}})


def stopped() -> Iterator[dict[str, float]]:
    yield STEPS[0]
    raise Stopped("asked")


def train(cfg: Finetune, steps: Iterable[dict[str, float]] = STEPS, first: int = 1) -> list[str]:
    said: list[str] = []
    with Curves(cfg, named(), said.append) as curves:
        for step, metrics in enumerate(steps, start=first):
            curves.step(step, metrics)
    return said


def test_where_curves_go_is_no_part_of_a_key() -> None:
    assert Finetune(report_to=("tensorboard",), report_folder="here").keyed() == Finetune().keyed()
    with pytest.raises(ValueError, match="'tensorboard', 'wandb' or 'mlflow'"):
        Finetune(report_to=("paper",))  # type: ignore[arg-type]


def test_a_login_in_the_address_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:1")
    said = train(Finetune(report_to=("mlflow",)))
    assert "mlflow at http://…@127.0.0.1:1 does not take" in " ".join(said)
    assert "s3cret" not in " ".join(said)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file://me:s3cret@host")
    with pytest.raises(ConfigError, match="it is 'file://…@host'"):
        train(Finetune(report_to=("mlflow",)))


def test_without_being_asked_nothing_is_imported_or_said() -> None:
    before = set(sys.modules)
    assert train(Finetune()) == []
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    assert new.isdisjoint({"tensorboard", "wandb", "mlflow", "torch"})


def read_back(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


@pytest.mark.slow  # it imports torch
@pytest.mark.filterwarnings("ignore")  # of tensorboard's and torch's own
def test_tensorboard_reads_what_was_written_also_of_two_attempts(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard: pip install -c constraints.txt -e '.[dev]'")
    cfg = Finetune(report_to=("tensorboard",), report_folder=str(tmp_path))
    said = train(cfg, STEPS[:6])
    train(cfg, STEPS[4:], first=5)  # from the checkpoint of step 4
    (folder,) = (path for path in (tmp_path / "night").iterdir())
    assert folder.name == "round-03-finetune-01234567"
    assert said == [f"report_to: TensorBoard's files are in {folder}"]
    found = read_back(folder)
    assert set(found) == {"training/loss", "training/grad_norm", "training/tokens"}
    assert found["training/loss"] == [(i, pytest.approx(step["loss"])) for i, step in enumerate(STEPS, start=1)]


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_library_that_is_not_there_is_named_before_anything_is_trained(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tensorboard", "torch.utils.tensorboard", "wandb"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=rf"report_to = \['{name}'\] needs the package {name}.*pip install {name}"):
        train(Finetune(report_to=(name,)))  # type: ignore[arg-type]


def test_kfps_variables_are_enough_for_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = MlflowStub()
    with tracking(stub) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_RUN_ID", "of-the-task")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "42")
        monkeypatch.setenv("MLFLOW_WORKSPACE", "team")
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
        assert train(Finetune(), [*STEPS, {"loss": 1.0, "grad_norm": float("inf")}]) == []
    found = [(each["key"], each["step"], each["value"]) for each in stub.metrics["of-the-task"]]
    wanted = [(name, i, value) for i, step in enumerate(STEPS, start=1) for name, value in step.items()]
    assert found == [*wanted, ("loss", 11, 1.0)], "what is no number is left out"
    assert set(stub.requests) == {"runs/log-batch"}, "the run is KFP's to end"
    assert {(h["Authorization"], h["X-MLflow-Workspace"]) for h in stub.headers} == {("Bearer secret", "team")}


def test_elsewhere_a_run_is_made_described_and_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = MlflowStub()
    with tracking(stub) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "word")
        train(Finetune(report_to=("mlflow",)))
        with pytest.raises(Stopped):
            train(Finetune(), stopped())
    assert stub.experiments == {"alma": "1"}
    first, second = stub.runs.values()
    assert (first["run_name"], first["experiment_id"], first["status"]) == (named().title, "1", "FINISHED")
    assert second["status"] == "KILLED"
    assert stub.parameters["run-1"] == {"epochs": "2.0", "adapter.rank": "16"}
    assert len(stub.metrics["run-1"]) == 3 * len(STEPS)
    assert stub.headers[0]["Authorization"] == "Basic " + base64.b64encode(b"me:word").decode()


def test_a_pods_token_is_read_for_every_request(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub, token = MlflowStub(), tmp_path / "token"
    token.write_text("first\n")
    monkeypatch.setattr(mlflow, "TOKEN_FILE", token)
    with tracking(stub) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_RUN_ID", "r")
        monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "kubernetes-namespaced")
        train(Finetune())
        token.write_text("second\n")
        train(Finetune())
    assert [stub.headers[0]["Authorization"], stub.headers[-1]["Authorization"]] == ["Bearer first", "Bearer second"]


def test_a_server_that_is_away_is_told_of_once_and_gets_all_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PAUSE_SECONDS", 0.01)
    stub, said = MlflowStub(down=True), []  # type: ignore[var-annotated]
    with tracking(stub) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_RUN_ID", "r")
        with Curves(Finetune(), named(), said.append) as curves:
            for step, metrics in enumerate(STEPS, start=1):
                curves.step(step, metrics)
                while len(stub.requests) < 3:  # it is tried again
                    time.sleep(0.001)
            stub.down = False
    assert [(each["step"], each["key"]) for each in stub.metrics["r"]] == [
        (step, key) for step, metrics in enumerate(STEPS, start=1) for key in metrics
    ]
    assert len(said) == 1
    assert said[0].startswith(f"report_to: mlflow at {uri} does not take the training's curves, which goes on")


def test_an_answer_without_end_is_not_held_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow, "MOST_BYTES", 10)
    stub = MlflowStub()
    with tracking(stub) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        first, *_ = train(Finetune())
    assert first.endswith("it is tried again: more than 10 bytes")
    assert {each["Accept-Encoding"] for each in stub.headers} == {"identity"}, "what is packed is seen when it is large"


def test_an_answer_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its end a training waits for the last one, which would be held against no bound but its size."""
    monkeypatch.setattr(mlflow, "ANSWER_SECONDS", -1.0)
    with tracking(MlflowStub()) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        first, *_ = train(Finetune())
    assert first.endswith("it is tried again: TooSlowError")


def test_a_server_that_stays_away_costs_no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking(MlflowStub()) as uri:
        pass
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # nobody listens there any more
    first, last = train(Finetune())
    assert "which goes on" in first
    assert "has not got 30 numbers of the training's curves; curve.jsonl has all" in last


def test_mlflow_without_a_server_is_refused_where_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert train(Finetune()) == [], "nobody asked"
    with pytest.raises(ConfigError, match=r"set MLFLOW_TRACKING_URI to its address.*it is 'sqlite:///mlflow.db'"):
        train(Finetune(report_to=("mlflow",)))


class WandbStub:
    """A STUB of the few names of wandb that are used."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault, self.logged, self.ended = fault, [], None  # type: ignore[var-annotated]

    def init(self, **given: Any) -> WandbStub:
        self.given = given
        if self.fault:
            raise self.fault
        return self

    def Settings(self, **given: Any) -> SimpleNamespace:
        return SimpleNamespace(**given)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.logged.append((step, metrics))

    def finish(self, exit_code: int) -> None:
        self.ended = exit_code


def test_wandb_gets_one_run_for_all_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    stub = WandbStub()
    monkeypatch.setitem(sys.modules, "wandb", stub)  # type: ignore[arg-type]
    assert train(Finetune(report_to=("wandb",))) == []
    assert (stub.given["id"], stub.given["resume"], stub.given["name"]) == (named().key, "allow", named().title)
    assert stub.given["config"] == {"epochs": 2.0, "adapter.rank": 16}
    assert stub.logged[0] == (1, {"training/loss": 2.0, "training/grad_norm": 1.0, "training/tokens": 100})
    assert (len(stub.logged), stub.ended) == (10, 0)


def test_what_does_not_answer_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", WandbStub(RuntimeError("no key\nmore")))  # type: ignore[arg-type]
    assert train(Finetune(report_to=("wandb",))) == [
        "report_to: wandb does not take the training's curves, which goes on without: no key"
    ]


def test_a_stage_tells_every_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stub = WandbStub()
    monkeypatch.setitem(sys.modules, "wandb", stub)  # type: ignore[arg-type]
    bench = Bench(tmp_path)
    rows = bench.rows("pair", [{"prompt": f"p{i}", "response": "r", "source_id": str(i)} for i in range(8)])
    model = SimpleNamespace(folder=Path(__file__).parents[2] / "examples" / "micro" / "base", ref="ingest/a")
    cfg = Finetune(trainer="echo", batch_rows=2, epochs=1.0, report_to=("wandb",))
    out = bench.out("finetune")
    finetune.run(cfg, model=model, rows=rows, out=out)  # type: ignore[arg-type]
    assert [step for step, _ in stub.logged] == [1, 2, 3, 4]
    assert stub.given["name"] == str(out.ref)
    assert stub.ended == 0
