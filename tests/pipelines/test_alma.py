"""The compiled pipeline is the recipe: the same stages, ports, settings and graph, in layers that fit a screen."""

from __future__ import annotations

import datetime
import inspect
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from alma.artifact import Ref
from alma.config import load, read_tree
from alma.errors import ConfigError
from alma.recipes.graph import differences, fingerprint, graph, layers, shape
from alma.running.form import fill_in
from alma.stages import SHARDABLE, STAGES
from alma.store import FolderStore
from cluster.job import job_of
from cluster.placement import StagePlacement as JobPlacement
from cluster.pod import pod_template
from cluster.work import Work
from components import placement as placing
from components.outputs import OUTPUTS, output_of
from components.placement import ROLES, Placement, load_placement
from components.resolve import pod_of
from pipelines.__main__ import main
from pipelines.compile import GOLDEN, compile_run, documents, pipeline_name, trace
from pipelines.form import REQUIRED, form, sources
from pipelines.job_placement import job_placement
from pipelines.rules.limits import PARAMETERS
from pipelines.trace import compact
from tests.builders.pipeline import compiled, layers_in
from tests.builders.recipe import ROOT, RUN_FILE, settings

COMMITTED = ["micro.toml", "llama3-8b.toml", "isara-micro.toml"]
EXAMPLES = [*COMMITTED, "one-gpu-24gb.toml"]  # which is for one machine


def test_every_stage_has_an_output_of_its_kind_and_a_role() -> None:
    kinds = {"rows": dsl.Dataset, "model": dsl.Model, "page": dsl.HTML}
    assert set(OUTPUTS) == set(ROLES) == set(STAGES)
    assert all(kind is None or OUTPUTS[name].type is kinds[kind] for name, (_, kind) in STAGES.items())
    assert set(placing.SHARDABLE) == SHARDABLE
    assert [name for name, output in OUTPUTS.items() if output.metrics] == ["evaluate"], "a column per run and artifact"


def test_a_day_without_quotes_is_compiled() -> None:
    overrides = ["alma.base.date=2024-01-31"]
    assert load(RUN_FILE, overrides).base.day == datetime.date(2024, 1, 31)
    assert '"date":"2024-01-31"' in compact(read_tree(RUN_FILE, overrides)["alma"])
    assert trace(RUN_FILE, overrides)


def test_labels_that_jobs_are_found_by_are_no_settings() -> None:
    run = Work(FolderStore(Path("/store")), Ref("finetune", "0" * 20), {}, {}, ".", "run", "label")
    labels = job_of("name", run, JobPlacement(image="alma-trl", nodes=2))["metadata"]["labels"]
    assert set(labels) == placing.OWN_LABELS
    for name in labels:
        with pytest.raises(ValueError, match=f"'{name}' is a label that the pods get by themselves"):
            Placement(labels={"team": "a", name: "b"})


def test_a_field_that_no_pod_would_take_is_none() -> None:
    own = [f"placement.stages.finetune.{each}" for each in ("memory='9Gi'", "gpus=0")]
    overrides = [*own, "placement.train.gpus=1", "placement.stages.finetune.image='other'"]
    names = {field.name for field in form(load(RUN_FILE, overrides), load_placement(RUN_FILE, overrides))}
    assert {"image_train", "memory_generate"} <= names, "an ingest proves the model that is trained"
    assert not {"memory_train", "gpus_train", "node_selector"} & names
    assert {"memory_train", "image_train"} <= {field.name for field in form(load(RUN_FILE), load_placement(RUN_FILE))}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_form_is_short_grouped_and_described(name: str) -> None:
    run_file = ROOT / "examples" / name
    cfg, place = load(run_file), load_placement(run_file)
    fields = form(cfg, place)
    assert len(fields) <= PARAMETERS
    assert [field.name for field in fields] == sorted(field.name for field in fields)
    assert all(re.fullmatch(r"[^\n]{12,100}", field.help) for field in fields)
    defaults = {field.name: field.default for field in fields}
    assert {use: defaults[f"source_{use}"] for use in sources(cfg)} == {u: s.source for u, s in sources(cfg).items()}
    assert defaults["changes"] == ""
    assert defaults["store"] == (place.store or REQUIRED)
    assert all(isinstance(count, str) for name, count in defaults.items() if name.startswith("gpus_"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_compiled_graph_is_the_recipes(name: str, tmp_path: Path) -> None:
    run_file = ROOT / "examples" / name
    found = layers_in(compiled(run_file, [], tmp_path / "pipeline.yaml"))
    steps = graph(load(run_file))
    assert set(found) == set(layers(steps))
    by_label = {step.label: step for step in steps}
    read: dict[str, dict[str, str]] = {}
    for layer, tasks in found.items():
        own = {key: task for key, task in tasks.items() if "use" in task["inputs"]["parameters"]}
        (last,) = (task for task in tasks.values() if "enableCache" not in task.get("cachingOptions", {}))
        handed_on = {name: value for name, value in constants(last).items() if re.fullmatch(r"label_\d+", name)}
        made = {*handed_on.values(), *([constants(last)["label"]] if last in own.values() else [])}
        assert made == {step.label for step in layers(steps)[layer]}, "all of a layer is handed on"
        for task in own.values():
            given = constants(task)
            step = by_label[given["label"]]
            assert given["use"] == step.use
            assert json.loads(given["change"]) == step.changes
            read[step.label] = inputs_of(task, own)
    assert read == {step.label: dict(step.inputs) for step in steps}


def constants(task: dict[str, Any]) -> dict[str, str]:
    given = task["inputs"]["parameters"]
    return {name: each["runtimeValue"]["constant"] for name, each in given.items() if "runtimeValue" in each}


def inputs_of(task: dict[str, Any], tasks: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Port → label, from a compiled task: of earlier layers by name, of this one by the artifact."""
    labels = {key: constants(each)["label"] for key, each in tasks.items()}
    found = {
        name.removeprefix("in_"): value.removeprefix("@")
        for name, value in constants(task).items()
        if name.startswith("in_")
    }
    for name, source in task["inputs"].get("artifacts", {}).items():
        found[name.removeprefix("in_")] = labels[source["taskOutputArtifact"]["producerTask"]]
    return found


def test_every_gpu_task_has_shared_memory_and_every_task_its_credentials(tmp_path: Path) -> None:
    overrides = [
        *(
            'placement.queue="gpus"',
            'placement.cache_pvc="cache"',
            "placement.generate.gpus=1",
            "placement.train.gpus=2",
        ),
        'placement.tolerations=[{key="nvidia.com/gpu", operator="Exists"}]',
    ]
    compile_run(RUN_FILE, tmp_path / "pipeline.yaml", name="alma-test", overrides=overrides)
    spec, platform = documents(tmp_path / "pipeline.yaml")
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    containers = spec["deploymentSpec"]["executors"]
    assert set(pods) == set(containers)
    with_gpus = {name for name, body in containers.items() if "accelerator" in body["container"].get("resources", {})}
    assert len(with_gpus) >= 8
    for name, pod in pods.items():
        mounts = {mount["mountPath"]: mount for mount in pod.get("emptyDirMounts", [])}
        assert ("/dev/shm" in mounts) == (name in with_gpus)
        if name in with_gpus:
            assert mounts["/dev/shm"]["medium"] == "Memory"
            assert {"nodeSelector", "tolerations"} <= set(pod)
            assert "--gpus" in containers[name]["container"]["args"]
        assert pod["pvcMount"][0]["mountPath"] == "/cache"
        assert pod["podMetadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
        assert pod["securityContext"] == {"runAsNonRoot": True}
        secrets = {secret["secretName"] for secret in pod["secretAsEnv"]}
        assert all(secret["optional"] for secret in pod["secretAsEnv"])
        hub = name.startswith(("exec-ingest", "exec-preflight"))
        assert secrets == {"alma-s3", *(["alma-hf"] if hub else [])}, "the Hub's token where something is fetched"


def test_a_stage_may_be_placed_otherwise_than_its_role() -> None:
    place = Placement.model_validate(
        {
            "stages": {
                "judge": {"gpus": 4, "memory": "200Gi", "node_selector": {"pool": "big"}, "image": "judges:1"},
                "curate": {"cpu": "16", "memory": "100Gi"},
                "respond": {"shards": 4},
            }
        }
    )
    judge, respond, curate = (pod_of(place, stage) for stage in ("judge", "respond", "curate"))
    assert (judge.gpus, judge.memory, judge.node_selector, judge.image) == ("4", "200Gi", {"pool": "big"}, "judges:1")
    assert respond.fields == ["image_generate", "memory_generate", "gpus_generate", "node_selector", "node_tolerations"]
    assert (curate.cpu, curate.memory, curate.gpus) == ("16", "100Gi", None)
    jobs = job_placement(place, {"judge", "respond", "curate"})
    assert list(jobs["stages"]) == ["respond"], "one pod of KFP's own is no Job"
    assert jobs["stages"]["respond"]["image"] == {"form field": "image_generate"}
    form = {"image_generate": "engines:1", "memory_generate": "64Gi", "gpus_generate": "2"}
    form |= {"node_selector": '{"pool": "gpu"}', "node_tolerations": '[{"key": "gpu", "operator": "Exists"}]'}
    job = JobPlacement.model_validate(fill_in(jobs, form)["stages"]["respond"])
    assert (job.shards, job.image, job.gpus, job.memory) == (4, "engines:1", 2, "64Gi")
    assert (job.node_selector, job.tolerations[0]["key"]) == ({"pool": "gpu"}, "gpu")
    own = Placement.model_validate({"stages": {"respond": {"shards": 4, "gpus": 8}}})
    assert JobPlacement.model_validate(fill_in(job_placement(own, {"respond"}), form)["stages"]["respond"]).gpus == 8
    assert set(JobPlacement.model_fields) - set(jobs["stages"]["respond"]) <= {
        *("ephemeral_storage", "shm", "cache_pvc", "affinity", "timeout_seconds", "queue", "priority_class"),
        *("labels", "pull_secret", "service_account", "user", "keys", "keys_secret"),
    }, "whatever can be said of a Job can be said in [placement], but for its account and user"


def test_what_is_compiled_in_for_one_stage_is_all_there(tmp_path: Path) -> None:
    """KFP's SDK spells one name of a toleration otherwise than a pod's spec, and would leave it out in silence."""
    toleration = '{key="spot", operator="Exists", effect="NoExecute", tolerationSeconds=300}'
    overrides = ["alma.rounds=1", f"placement.stages.judge.tolerations=[{toleration}]", "placement.stages.judge.gpus=1"]
    overrides += ['placement.base.memory="1536Mi"', 'placement.base.cpu="500m"']
    spec, manifests = documents(compiled(RUN_FILE, overrides, tmp_path / "pipeline.yaml"))
    pods = manifests["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    (found,) = {str(pod["tolerations"]) for name, pod in pods.items() if name.startswith("exec-judge")}
    assert found == str([{"effect": "NoExecute", "key": "spot", "operator": "Exists", "tolerationSeconds": "300"}]), (
        "protobuf writes a number of 64 bits as a text"
    )
    containers = spec["deploymentSpec"]["executors"]
    (asked,) = {str(each["container"]["resources"]) for name, each in containers.items() if "curate" in name}
    assert "1536Mi" in asked
    assert "500m" in asked


def test_one_setting_of_a_role_leaves_the_others_as_they_were() -> None:
    for role in ("generate", "train", "harness"):
        given = Placement.model_validate({role: {"memory": "128Gi"}}).resources(role)  # type: ignore[arg-type]
        assert (given.cpu, given.memory, given.gpus) == ("8", "128Gi", 1)


def test_a_label_that_is_called_form_is_no_field_of_the_form() -> None:
    place = Placement.model_validate({"labels": {"form": "memory_generate"}, "stages": {"respond": {"job": True}}})
    form = {"image_generate": "engines:1", "memory_generate": "64Gi", "gpus_generate": "1"}
    form |= {"node_selector": "{}", "node_tolerations": "[]"}
    filled = fill_in(job_placement(place, {"respond"}), form)["stages"]["respond"]
    assert (filled["labels"], filled["memory"]) == ({"form": "memory_generate"}, "64Gi")


def test_a_field_of_the_form_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"source_base = 'a\\nb': a line of the form"):
        compiled(RUN_FILE, ['alma.base.source="a\\nb"'], tmp_path / "pipeline.yaml")


def test_the_key_of_an_endpoint_reaches_those_that_ask_it_and_nobody_else(tmp_path: Path) -> None:
    gpt = 'name="gpt", kind="chat", openai={endpoint="https://grader/v1", model="m", key_variable="GRADER_KEY"}'
    other = 'name="other", kind="answers", by="gpt", answers={source="micro/answers.jsonl"}'
    overrides = ["alma.rounds=1", f"alma.evaluators=[{{{gpt}}}, {{{other}}}]", "placement.keys_secret='mine'"]
    _, manifests = documents(compiled(RUN_FILE, overrides, tmp_path / "pipeline.yaml"))
    pods = manifests["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    keyed = {name for name, pod in pods.items() if "mine" in {each["secretName"] for each in pod["secretAsEnv"]}}
    assert keyed == {name for name in pods if name.startswith(("exec-appraise", "exec-preflight"))}
    [secret] = [each for each in pods["exec-preflight"]["secretAsEnv"] if each["secretName"] == "mine"]
    assert secret["keyToEnv"] == [{"secretKey": "GRADER_KEY", "envVar": "GRADER_KEY"}]
    assert secret["optional"]


def test_exams_have_an_image_and_pods_of_their_own(tmp_path: Path) -> None:
    exams = 'name="exams", kind="harness", tasks=["micro"], folder={source="micro/tasks"}'
    safety = 'name="safety", kind="safety", prompts={source="safety.jsonl"}'
    overrides = ["alma.rounds=2", f"alma.evaluators=[{{{exams}}}, {{{safety}}}]"]
    spec, manifests = documents(compiled(RUN_FILE, overrides, tmp_path / "pipeline.yaml"))
    executors = spec["deploymentSpec"]["executors"]
    pods = manifests["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    held = {name for name in executors if name.startswith("exec-examine")}
    of_harness = "{{$.inputs.parameters['image_harness']}}"
    assert {name for name, each in executors.items() if each["container"]["image"] == of_harness} == held
    assert held, "the base and the last model"
    assert all("alma-hf" in {each["secretName"] for each in pods[name]["secretAsEnv"]} for name in held)
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    assert {"image_harness", "gpus_harness", "memory_harness"} <= set(parameters)
    plain, _ = documents(compiled(RUN_FILE, ["alma.rounds=2"], tmp_path / "plain.yaml"))
    assert not [name for name in plain["root"]["inputDefinitions"]["parameters"] if name.endswith("_harness")]


def test_a_job_gets_the_keys_of_the_endpoints_that_it_asks() -> None:
    place = Placement.model_validate({"stages": {"synthesize": {"shards": 2}, "judge": {"shards": 2}}})
    jobs = job_placement(place, {"synthesize", "judge"}, {"synthesize": ("A_KEY",), "judge": ()})["stages"]
    assert (jobs["synthesize"]["keys"], jobs["synthesize"]["keys_secret"]) == (["A_KEY"], "alma-keys")
    assert "keys" not in jobs["judge"]
    pod = pod_template("synthesize", [], JobPlacement(image="i", keys=("A_KEY",), keys_secret="alma-keys"), {})
    [found] = [each for each in pod["spec"]["containers"][0]["env"] if each["name"] == "A_KEY"]
    assert found["valueFrom"] == {"secretKeyRef": {"name": "alma-keys", "key": "A_KEY", "optional": True}}


def test_a_pipeline_with_jobs_cleans_up_behind_them(tmp_path: Path) -> None:
    overrides = ["placement.stages.respond.shards=2", "alma.rounds=1"]
    spec, _ = documents(compiled(RUN_FILE, overrides, tmp_path / "pipeline.yaml"))
    commands = {name: body["container"]["command"] for name, body in spec["deploymentSpec"]["executors"].items()}
    assert commands["exec-finish"] == ["python", "-m", "cluster", "finish"]
    of_jobs = {name for name, command in commands.items() if command == ["python", "-m", "cluster", "stage"]}
    assert of_jobs == {name for name in commands if name.startswith("exec-respond")} != set()
    images = {spec["deploymentSpec"]["executors"][name]["container"]["image"] for name in {*of_jobs, "exec-finish"}}
    assert images == {"{{$.inputs.parameters['image_submit']}}"}


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ({"answer": {"gpus": 1}}, r"stages\.answer: there is no such stage"),
        ({"select": {"shards": 2}}, r"stages\.select\.shards = 2: only synthesize"),
        ({"respond": {"nodes": 2}}, r"stages\.respond\.nodes = 2: only finetune"),
        ({"report": {"job": True}}, r"stages\.report\.job"),
    ],
)
def test_an_impossible_placement_is_refused(stages: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Placement.model_validate({"stages": stages})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alma.rounds=3", r"round 04 · respond: in these settings, and not in the pipeline"),
        ("alma.respond.num_prompts=19", r"round 03 · respond: first_prompt is 19, and 20 was compiled"),
        ("alma.diversify.method=random", r"prompts · embed: in the pipeline, and not in these settings"),
        ("alma.pool=latest", r"round 03 · respond: in\.first is None"),
    ],
)
def test_settings_that_need_another_pipeline_are_noticed(change: str, said: str) -> None:
    compiled_shape = json.loads(json.dumps(shape(graph(settings()))))
    assert differences(compiled_shape, graph(settings())) == []
    assert any(re.search(said, line) for line in differences(compiled_shape, graph(settings(change))))
    assert fingerprint(graph(settings(change))) != fingerprint(graph(settings()))


def test_placement_is_read_with_a_remedy(tmp_path: Path) -> None:
    run_file = tmp_path / "run.toml"
    run_file.write_text(RUN_FILE.read_text() + "\n[placement.shards]\nrespond = 2\n")
    with pytest.raises(Exception, match=r"placement\.shards: unknown setting"):
        load_placement(run_file)


def test_what_is_compiled_in_survives_kubernetes_and_argo() -> None:
    text = compact({"template": "{{ messages }} costs $5 or $$6, $(HOME)"})
    assert "$" not in text
    assert "{{" not in text
    assert json.loads(text) == {"template": "{{ messages }} costs $5 or $$6, $(HOME)"}


def test_outputs_of_sources_are_called_what_they_are() -> None:
    named = {step.label: output_of(step).name for step in graph(settings()) if step.stage == "ingest"}
    assert named == {
        "base model": "model",
        "SFT seeds": "pairs",
        "human scores": "scores",
        "held-out scores": "scores",
        "evaluation prompts": "prompts",
        "outsider model": "model",
    }


def test_the_committed_pipelines_are_those_of_the_examples() -> None:
    assert {run_file.removeprefix("examples/") for _, run_file, _ in GOLDEN} == set(COMMITTED)


@pytest.mark.parametrize("name", ["{}", "", "-a", "a-", "a--b", "A", "a/b", "a" * 129])
def test_a_name_that_kfp_does_not_take_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="letters a to z"):
        compile_run(RUN_FILE, tmp_path / "pipeline.yaml", name=name)


def test_a_name_follows_from_any_run_file(tmp_path: Path) -> None:
    for stem, name in (("My Run", "alma-my-run"), ("😀", "alma"), ("alma-x", "alma-x"), ("é" * 100, "alma")):
        run_file = tmp_path / f"{stem}.toml"
        run_file.write_bytes(RUN_FILE.read_bytes())
        assert pipeline_name(run_file) == name


def test_what_is_refused_leaves_the_earlier_output(tmp_path: Path) -> None:
    output = tmp_path / "pipeline.yaml"
    output.write_text("earlier")
    too_long = [f"alma.sft_seeds.source='{'x' * 11_000}'"]
    with pytest.raises(ConfigError, match="would not run this"):
        compile_run(RUN_FILE, output, name="alma-test", overrides=too_long)
    assert output.read_text() == "earlier"
    for manifests in (tmp_path / "run.toml", output):
        with pytest.raises(ConfigError, match="--manifests"):
            compile_run(RUN_FILE, output, name="alma-test", manifests=manifests)


def test_no_file_is_written_over_another_of_the_same_command(tmp_path: Path) -> None:
    """However they are spelt."""
    (tmp_path / "link").symlink_to(tmp_path)
    run_file = tmp_path / "run.yaml"
    run_file.write_bytes(RUN_FILE.read_bytes())
    for output in (run_file, tmp_path / "link" / "run.yaml"):
        with pytest.raises(ConfigError, match="is the run file, which would be lost"):
            compile_run(run_file, output, name="alma-test")
    output = tmp_path / "new.yaml"
    for other in (tmp_path / "link" / "new.yaml", tmp_path / "link" / ".." / tmp_path.name / "new.yaml"):
        with pytest.raises(ConfigError, match=r"--manifests .* is the file of --output"):
            compile_run(run_file, output, name="alma-test", manifests=other)
    assert run_file.read_bytes() == RUN_FILE.read_bytes()
    assert not output.exists()


def test_a_pipeline_is_traced_on_a_short_stack_whoever_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """KFP reads the stack 600 times: pytest's, or that of ``python -m``, made more than half of the time."""
    monkeypatch.setattr("pipelines.trace.pipeline_of", lambda *_: len(inspect.stack(0)))
    assert trace(RUN_FILE) < 10 < len(inspect.stack(0))


@pytest.mark.timeout(120)
def test_an_output_that_is_no_file_is_refused_and_named_plainly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A pipe has nobody who reads it; a name is printed on a terminal."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.yaml")
    with pytest.raises(ConfigError, match=r"--output pipe.yaml: is a device or a pipe"):
        compile_run(RUN_FILE, Path("pipe.yaml"), name="alma-test")
    with pytest.raises(ConfigError, match=r"knows no user"):
        compile_run(RUN_FILE, Path("~nosuchuser/a.yaml"), name="alma-test")
    with pytest.raises(SystemExit, match="0"):
        main(["compile", str(ROOT / "examples" / "isara-micro.toml"), "--output", "\x1b[31m.yaml"])
    assert capsys.readouterr().err.startswith("\\x1b[31m.yaml: workflow of")
