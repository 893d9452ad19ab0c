"""The compiled pipeline, run as the backend does, with processes of this machine: it leaves what a local run does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from alma.artifact import Ref
from alma.config import Alma, Isara, load
from alma.recipes.isara import isara
from alma.running.ledger import GENERATION, Ledger
from alma.running.local import Local
from alma.store import open_store
from tests.builders.backend import Backend, Run, forked
from tests.builders.pipeline import compiled, entries_in
from tests.builders.recipe import ROOT, RUN_FILE, SMALL, Ran, settings

ISARA = ROOT / "examples" / "isara-micro.toml"
ISARA_SMALL = [
    "isara.engine=echo",
    "isara.iterations=1",
    "isara.repeats=[4]",
    "isara.imitate.num_attempts=20",
    "isara.imitate.min_words=1",
    "isara.baselines.in_context=false",
    "isara.evaluation_prompts.limit=10",
]


class World(NamedTuple):
    backend: Backend
    package: Path
    store: Path
    run: Run


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The recipe with the echo engine, compiled and run once."""
    folder = tmp_path_factory.mktemp("pipeline")
    package = compiled(RUN_FILE, SMALL, folder / "pipeline.yaml")
    backend = Backend(folder / "kfp", forked)
    return World(backend, package, folder / "store", backend.run(package, {"store": str(folder / "store")}))


def told(run: Run) -> str:
    return "\n".join(f"{task.path}: {task.code} {task.fault} {task.error[-2000:]}" for task in run.failed)


def test_a_pipeline_leaves_what_a_local_run_leaves(world: World, tmp_path: Path) -> None:
    assert world.run.state == "SUCCEEDED", told(world.run)
    local = Ran(settings(), tmp_path / "store").local.done
    sealed = {entry.label: entry.ref for entry in entries_in(world.store, world.run.id) if entry.state == "sealed"}
    assert sealed == {label: str(manifest.ref) for label, manifest in local.items()}
    for manifest in local.values():
        if manifest.stage != "report":  # the page shows what the work took
            assert (world.store / str(manifest.ref) / "manifest.json").read_bytes() == manifest.to_bytes()


def test_the_dashboard_gets_scalars_pages_and_addresses(world: World) -> None:
    with_metrics = {task.path for task in world.run.tasks if "metrics" in task.outputs.artifacts}
    assert with_metrics == {*(f"alma/round 0{r}/evaluate" for r in range(4)), "alma/round 00/evaluate few-shot"}
    scalars = world.run.task("round 03/evaluate").outputs.artifacts["metrics"].metadata
    assert {"judge_score", "exact_match", "response_tokens"} <= set(scalars)
    model = world.run.task("round 03/finetune").outputs.artifacts["model"]
    assert model.metadata["address"] == f"{world.store}/{world.run.task('round 03/finetune').outputs.parameters['ref']}"
    pages = {task.path for task in world.run.tasks if {"report", "page"} & set(task.outputs.artifacts)}
    assert pages == {*(f"alma/round 0{r}/report" for r in range(4)), "finish"}


def test_a_layer_hands_on_one_small_sealed_object(world: World) -> None:
    store = open_store(str(world.store))
    key = world.run.task("round 03/report").outputs.parameters["new_state"]
    ledger = Ledger.read(store, key)
    assert {label: str(Ref.parse(name)) for label, name in ledger.artifacts.items()} == {
        entry.label: entry.ref for entry in entries_in(world.store, world.run.id) if entry.state == "sealed"
    }
    assert len(store.read(f"ledger/{key}.json")) < 4000
    (record,) = world.store.glob("runs/*/settings.json")
    assert Alma.model_validate(json.loads(record.read_text())["settings"]) == settings()


def test_a_resubmitted_run_hits_kubeflows_cache(world: World) -> None:
    again = world.backend.run(world.package, {"store": str(world.store)})
    assert again.state == "SUCCEEDED", told(again)
    ran = [task.path.rpartition("/")[2] for task in again.tasks if not task.cached]
    assert set(ran) == {"preflight", "diversify", "hand on", "report", "finish"}, (
        "the last of every layer is never cached"
    )
    assert len(again.hits) == len(world.run.tasks) - len(ran)


def test_what_the_cache_believes_in_and_is_gone_is_made_again(world: World, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(world.store, store)
    backend = Backend(tmp_path / "kfp", forked)
    first = backend.run(world.package, {"store": str(store)})
    assert first.state == "SUCCEEDED", told(first)
    gone = first.task("round 02/respond").outputs.parameters["ref"]
    before = (store / gone / "manifest.json").read_bytes()
    shutil.rmtree(store / gone)
    noticed = backend.run(world.package, {"store": str(store)})
    (failed,) = noticed.failed
    assert failed.path == "alma/round 02/report"
    assert failed.code == 75, "worth another submission"
    assert gone in failed.error
    assert json.loads((store / GENERATION).read_text()) == {"generation": 1}
    mended = backend.run(world.package, {"store": str(store)})
    assert mended.state == "SUCCEEDED", told(mended)
    assert (store / gone / "manifest.json").read_bytes() == before


def test_changes_of_the_form_reach_the_stages_and_their_keys(world: World, tmp_path: Path) -> None:
    changes = "# fewer\nalma.respond.num_samples=4\n\nalma.report.title='Four samples'\n"
    run = world.backend.run(world.package, {"store": str(tmp_path / "store"), "changes": changes})
    assert run.state == "SUCCEEDED", told(run)
    cfg = settings("alma.respond.num_samples=4", "alma.report.title=Four samples")
    local = Ran(cfg, tmp_path / "here").local.done
    sealed = {entry.label: entry.ref for entry in entries_in(tmp_path / "store", run.id) if entry.state == "sealed"}
    assert sealed == {label: str(manifest.ref) for label, manifest in local.items()}


def run_wrong(world: World, store: str, **form: str) -> str:
    run = world.backend.run(world.package, {"store": store, **form})
    assert run.state == "FAILED"
    assert [task.path for task in run.tasks] == ["alma/preflight", "finish"], "and nothing else ran"
    assert run.tasks[0].code == 2
    return run.tasks[0].error


@pytest.mark.parametrize(
    ("form", "said"),
    [
        pytest.param({"changes": "alma.judge.min_mas=0.4"}, ["judge.min_mas", "did you mean min_mass?"], id="unknown"),
        pytest.param({"changes": "alma.rounds=1"}, ["round 03", "compile it again"], id="another graph"),
        pytest.param({"changes": "placement.retries=1"}, ["placement.retries=1", "a line sets"], id="placement"),
        pytest.param({"changes": "alma.synthesize.header='$5'"}, ["\\u0024"], id="dollar"),
        pytest.param({"changes": "alma.rounds"}, ["alma.rounds", "write it as"], id="no value"),
        pytest.param({"source_sft_seeds": "micro/sft_seed.jsonl"}, ["sft_seeds", "Did you mean"], id="no such source"),
        pytest.param({"store": "s3://"}, ["store"], id="no store"),
    ],
)
def test_a_wrong_form_ends_in_the_first_task(
    world: World, tmp_path: Path, form: dict[str, str], said: list[str]
) -> None:
    message = run_wrong(world, **{"store": str(tmp_path / "store"), **form})
    for words in said:
        assert words in message


def test_an_unknown_bucket_and_wrong_credentials_end_in_the_first_task(
    world: World, monkeypatch: pytest.MonkeyPatch, s3_store_uri: str
) -> None:
    assert "no bucket 'no-such-bucket'" in run_wrong(world, "s3://no-such-bucket/alma")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    assert "403" in run_wrong(world, s3_store_uri)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    assert "s3_secret" in run_wrong(world, s3_store_uri)


def test_an_unreachable_store_ends_in_the_first_task(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert "http://127.0.0.1:9 does not answer" in run_wrong(world, "s3://alma/run")


def test_the_second_method_leaves_what_its_local_run_leaves(tmp_path: Path) -> None:
    package = compiled(ISARA, ISARA_SMALL, tmp_path / "pipeline.yaml")
    run = Backend(tmp_path / "kfp").run(package, {"store": str(tmp_path / "store")})
    assert run.state == "SUCCEEDED", told(run)
    cfg = load(ISARA, ISARA_SMALL)
    assert isinstance(cfg, Isara)
    local = Local(open_store(str(tmp_path / "here")), ISARA.parent, lambda *_: None, isolate=False)
    isara(cfg, local)
    sealed = {entry.label: entry.ref for entry in entries_in(tmp_path / "store", run.id) if entry.state == "sealed"}
    assert sealed == {label: str(manifest.ref) for label, manifest in local.done.items()}
    assert "one-shot" in next((tmp_path / "kfp").rglob("page")).read_text(encoding="utf-8")
