"""The pipeline is the recipe: the same stages, ports, settings, graph and keys, whatever interpreter runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from kfp import dsl

from alma.artifact import Model, Page, Rows
from alma.config import METHODS, Alma, load
from alma.errors import ConfigError
from alma.recipes.graph import differences, graph, shape
from alma.sections import Ingest
from alma.stages import SHARDABLE, STAGES, load_stage
from components.catalog import CATALOG
from components.placement import ROLES, SHARDED, Placement, Shards
from pipelines.parameters import MAX_BYTES, num_bytes, parameters, sections
from tests.builders.pipeline_here import Done, compiled, placement, run_here, steps_in
from tests.builders.recipe import RUN_FILE, SMALL, Ran, settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ["micro.toml", "llama3-8b.toml", "isara-micro.toml"]
SHARDS = {"respond": 3, "judge": 2, "embed": 2, "synthesize": 2}

pytestmark = pytest.mark.filterwarnings("ignore:Task '.*have no effect in the current local runner:UserWarning")


def spec_of(path: Path) -> dict[str, Any]:
    spec: dict[str, Any] = next(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    return spec


def tasks_of(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tasks inside the exit handler, by their name in the YAML."""
    (inner,) = (t for t in spec["root"]["dag"]["tasks"].values() if t["taskInfo"]["name"] in METHODS)
    tasks: dict[str, dict[str, Any]] = spec["components"][inner["componentRef"]["name"]]["dag"]["tasks"]
    return tasks


def test_every_stage_has_a_component_with_its_ports() -> None:
    assert list(CATALOG) == list(STAGES)
    types = {Rows: "system.Dataset", Model: "system.Model", Page: "system.Artifact"}
    kinds = {"rows": Rows, "model": Model}
    for name, component in CATALOG.items():
        stage = load_stage(name)
        artifacts = {p: s for p, s in component.component_spec.inputs.items() if s.type.startswith("system.")}
        assert {port: not spec.optional for port, spec in artifacts.items()} == dict(stage.ports), name
        hints = get_type_hints(stage.module.run)
        for port, spec in artifacts.items():
            given = {kind for kind in types if kind in (hints[port], *get_args(hints[port]))}
            assert [types[kind] for kind in given] == [spec.type.partition("@")[0]], (name, port)
        outputs = component.component_spec.outputs
        assert {"manifest", "metrics", "summary"} <= set(outputs)
        assert outputs["manifest"].type.partition("@")[0] == types[kinds.get(str(STAGES[name][1]), Page)]
        assert outputs["metrics"].type.startswith("system.Metrics")
        assert outputs["summary"].type.startswith("system.Markdown")


def test_the_same_stages_may_run_in_shards() -> None:
    assert set(SHARDED) == SHARDABLE == set(Shards.model_fields)
    assert set(ROLES) <= set(STAGES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_parameters_are_the_sections_and_hold_their_defaults(name: str) -> None:
    cfg = load(ROOT / "examples" / name)
    listed = {p.name: p.default for p in parameters(cfg, placement())}
    uses = {step.use for step in graph(cfg)}
    assert set(sections(cfg)) == uses
    for use, section in sections(cfg).items():
        values = section.model_dump(mode="json", exclude={"source"})
        if isinstance(section, Ingest):
            assert json.loads(listed[f"{use}_options"]) == values
            assert listed["base_model" if use == "base" else use] == section.source
        else:
            assert json.loads(listed[use]) == values


def test_parameters_of_the_papers_settings_stay_below_kfps_limit() -> None:
    cfg = load(ROOT / "examples" / "llama3-8b.toml")
    everything = Placement(
        store="s3://" + "b" * 63 + "/" + "p" * 200,
        pull_secret="p" * 60,
        cache_pvc="c" * 60,
        node_selector={"node.kubernetes.io/instance-type": "p5.48xlarge"},
        tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}] * 3,
    )
    assert num_bytes({p.name: p.default for p in parameters(cfg, everything)}) < MAX_BYTES
    long = load(ROOT / "examples" / "llama3-8b.toml", ["alma.synthesize.header=" + json.dumps("x" * 4000)])
    with pytest.raises(ConfigError, match=r"10000; the largest is synthesize"):
        parameters(long, everything)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_compiled_graph_is_the_recipes(name: str, tmp_path: Path) -> None:
    run_file = ROOT / "examples" / name
    tasks = tasks_of(spec_of(compiled(run_file, [], placement(), tmp_path / "pipeline.yaml")))
    labels = {task: body["taskInfo"]["name"] for task, body in tasks.items()}
    found = {}
    for body in tasks.values():
        inputs = body["inputs"].get("artifacts", {})
        found[body["taskInfo"]["name"]] = {
            port: labels[source["taskOutputArtifact"]["producerTask"]] for port, source in inputs.items()
        }
    assert found.pop("preflight") == {}
    steps = graph(load(run_file))
    assert found == {step.label: dict(step.inputs) for step in steps}
    for body in tasks.values():
        given = body["inputs"]["parameters"]
        for step in steps:
            if step.label == body["taskInfo"]["name"]:
                assert json.loads(given["change"]["runtimeValue"]["constant"]) == step.changes
        if not body["inputs"].get("artifacts") and body["taskInfo"]["name"] != "preflight":
            assert body["dependentTasks"] == ["preflight"], "nothing starts before it"


def test_every_gpu_task_has_shared_memory_and_every_task_its_credentials(tmp_path: Path) -> None:
    path = compiled(RUN_FILE, [], Placement(queue="gpus", cache_pvc="cache"), tmp_path / "pipeline.yaml")
    spec, platform = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    containers = spec["deploymentSpec"]["executors"]
    assert set(pods) == set(containers)
    with_gpus = {name for name, body in containers.items() if "accelerator" in body["container"].get("resources", {})}
    assert len(with_gpus) > 20
    for name, pod in pods.items():
        mounts = {mount["mountPath"]: mount for mount in pod["emptyDirMounts"]}
        assert ("/dev/shm" in mounts) == (name in with_gpus)
        if name in with_gpus:
            assert mounts["/dev/shm"]["medium"] == "Memory"
            assert {"nodeSelector", "tolerations", "nodeAffinity"} <= set(pod)
        assert pod["pvcMount"][0]["mountPath"] == "/cache"
        assert pod["podMetadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
        assert all(secret["optional"] for secret in pod["secretAsEnv"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alma.rounds=3", r"round 04 · respond: in these settings, and not in the pipeline"),
        ("alma.respond.num_prompts=19", r"round 03 · respond: first_prompt is 49, and 50 was compiled"),
        ("alma.diversify.method=random", r"prompts · embed: in the pipeline, and not in these settings"),
        ("alma.pool=latest", r"round 02 · respond: in\.first is None"),
    ],
)
def test_settings_that_need_another_pipeline_are_noticed(change: str, said: str) -> None:
    compiled_shape = json.loads(json.dumps(shape(graph(settings()))))
    assert differences(compiled_shape, graph(settings())) == []
    assert any(re.search(said, line) for line in differences(compiled_shape, graph(settings(change))))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Done, Path]:
    """The compiled recipe, four stages of it in shards, run by kfp.local."""
    folder = tmp_path_factory.mktemp("pipeline")
    path = compiled(RUN_FILE, SMALL, placement(shards=SHARDS), folder / "pipeline.yaml")
    with pytest.MonkeyPatch.context() as patch:
        return run_here(path, {"store": str(folder / "store")}, folder / "root", patch), folder / "store"


def test_a_pipeline_leaves_what_a_local_run_leaves(ran: tuple[Done, Path], tmp_path: Path) -> None:
    done, store = ran
    assert done.failed == []
    local = Ran(settings(), tmp_path / "store").local.done
    assert {e.label: e.ref for e in steps_in(store) if e.state == "sealed"} == {
        label: str(manifest.ref) for label, manifest in local.items()
    }
    for manifest in local.values():
        if manifest.stage == "report":
            continue  # the page shows what the work took
        assert (store / str(manifest.ref) / "manifest.json").read_bytes() == manifest.to_bytes()


def test_shards_publish_and_one_task_seals(ran: tuple[Done, Path]) -> None:
    _, store = ran
    entries = [e for e in steps_in(store) if e.label == "round 02 · respond"]
    assert {(e.shard, e.state) for e in entries} == {
        ("0-of-3", "published"), ("1-of-3", "published"), ("2-of-3", "published"), ("seal", "sealed"),
    }  # fmt: skip
    assert sum(e.total or 0 for e in entries if e.state == "published") == 120


def test_the_dashboard_gets_scalars_pages_and_the_last_page(ran: tuple[Done, Path]) -> None:
    done, _ = ran
    outputs = [json.loads(path.read_text()) for path in done.folder.rglob("executor_output.json")]
    scalars = [o["artifacts"]["metrics"]["artifacts"][0]["metadata"] for o in outputs if "metrics" in o["artifacts"]]
    assert sum("judge_score" in each for each in scalars) >= 4, "evaluations and reports"
    pages = [path.read_text() for path in done.folder.rglob("page")]
    assert len(pages) == 5, "four reports and the exit task's"
    assert pages.count(max(pages, key=len)) == 2, "the last one is the newest report"
    summaries = [path.read_text() for path in done.folder.rglob("finish/summary")]
    assert len(summaries) == 1
    assert "succeeded" in summaries[0]
    assert "| round 03 · report | sealed |" in summaries[0]


def run_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **arguments: str) -> tuple[Done, str]:
    path = compiled(RUN_FILE, SMALL, placement(), tmp_path / "pipeline.yaml")
    done = run_here(path, {"store": str(tmp_path / "store")} | arguments, tmp_path / "root", monkeypatch)
    assert done.commands[0][0][:2] == ["alma", "preflight"]
    return done, done.commands[0][2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param({"respond": "{"}, ["respond", "not JSON"], id="bad JSON"),
        pytest.param({"judge": '{"min_mas": 0.4}'}, ["judge.min_mas", "did you mean min_mass?"], id="unknown key"),
        pytest.param({"sft_seeds": "micro/sft_seed.jsonl"}, ["sft_seeds", "Did you mean"], id="no such source"),
        pytest.param({"store": "s3://"}, ["store"], id="no store"),
    ],
)
def test_wrong_parameters_end_in_the_first_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, str], said: list[str]
) -> None:
    done, message = run_wrong(tmp_path, monkeypatch, **arguments)
    assert done.commands[0][1] == 2
    for words in said:
        assert words in message
    assert [command[1] for command, _, _ in done.commands] == ["preflight", "finish"], "and nothing else ran"


def test_an_unknown_bucket_and_wrong_credentials_end_in_the_first_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_store_uri: str
) -> None:
    done, message = run_wrong(tmp_path, monkeypatch, store="s3://no-such-bucket/alma")
    assert done.commands[0][1] == 2
    assert "no bucket 'no-such-bucket'" in message
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    done, message = run_wrong(tmp_path, monkeypatch, store=s3_store_uri)
    assert done.commands[0][1] == 2
    assert "403" in message
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done, message = run_wrong(tmp_path, monkeypatch, store=s3_store_uri)
    assert done.commands[0][1] == 2
    assert "s3_secret" in message


def test_an_unreachable_store_ends_in_the_first_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    done, message = run_wrong(tmp_path, monkeypatch, store="s3://alma/run")
    assert done.commands[0][1] == 2
    assert "http://127.0.0.1:9 does not answer" in message


def test_a_component_is_one_command_with_what_it_was_given() -> None:
    component = CATALOG["respond"]
    assert isinstance(component, dsl.container_component_class.ContainerComponent)
    container = component.component_spec.implementation.container
    assert container.command == ["alma", "stage"]
    assert container.args[:1] == ["respond"]


def test_a_run_names_its_settings(ran: tuple[Done, Path]) -> None:
    _, store = ran
    (record,) = store.glob("runs/*/settings.json")
    assert Alma.model_validate(json.loads(record.read_text())["settings"]) == settings()
