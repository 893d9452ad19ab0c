"""Creating runs, as a person and as a Job that may be started again; real processes against the stub."""

import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from alma.config import load
from alma.errors import ConfigError
from alma.recipes.graph import graph
from pipelines.package import read_package, tasks_of
from pipelines.rules.limits import go_json
from pipelines.runs.arguments import arguments
from pipelines.runs.names import name_after
from tests.builders.kfp_stub import KfpStub, check_parameters
from tests.builders.stub_server import RefusedError, served
from tests.builders.submitting import JOB, ROOT, Pipelines, all_done, events, frame

QUICK = ("--lost-after", "20", "--refused-after", "3", "--log", "json")


def test_submit_prints_the_id_of_the_run(stub: KfpStub, pipelines: Pipelines, package: Path, tmp_path: Path) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("store: s3://bucket/a\nrespond: {num_samples: 4}\ngpus: 2\n")
    done = pipelines(
        *("submit", package, "--parameters", parameters, "--set", "gpus=3", "--set", "labels={}", *QUICK),
        *("--name", "mine", "--service-account", "runner", "--pipeline-root", "s3://root"),
        *("--id-file", tmp_path / "id", "--experiment", "papers"),
    )
    assert done.returncode == 0, done.stderr
    (run,) = stub.runs
    assert done.stdout == f"{run['run_id']}\n" == (tmp_path / "id").read_text()
    assert run["display_name"] == "mine"
    assert run["service_account"] == "runner"
    assert run["runtime_config"] == {
        "parameters": {"store": "s3://bucket/a", "respond": '{"num_samples":4}', "gpus": 3, "labels": {}},
        "pipeline_root": "s3://root",
    }
    assert run["pipeline_spec"] == {"pipeline_spec": yaml.safe_load(package.read_text())}
    assert [e["display_name"] for e in stub.experiments] == ["papers"]


def test_the_platform_spec_goes_with_the_pipeline(stub: KfpStub, pipelines: Pipelines) -> None:
    compiled = ROOT / "pipelines" / "compiled" / "alma-micro.yaml"
    done = pipelines("submit", compiled, "--set", "store=s3://b", *QUICK)
    assert done.returncode == 0, done.stderr
    spec, platform = yaml.safe_load_all(compiled.read_text())
    assert stub.runs[0]["pipeline_spec"] == {"pipeline_spec": spec, "platform_spec": platform}


def test_two_submits_are_two_runs(stub: KfpStub, pipelines: Pipelines, package: Path) -> None:
    for _ in range(2):
        assert pipelines("submit", package, "--set", "store=a", "--name", "same", *QUICK).returncode == 0
    assert len(stub.runs) == 2
    assert len(stub.experiments) == 1


def test_a_job_started_again_finds_its_run(stub: KfpStub, pipelines: Pipelines, package: Path) -> None:
    stub.script = [frame("RUNNING", preflight="RUNNING")]
    words = ("submit", package, "--set", "store=a", "--follow", "--poll", "0.1", *QUICK)
    killed = pipelines.stop_after(lambda: stub.frames != {}, *words, send=signal.SIGKILL, **JOB)
    assert killed.returncode == -signal.SIGKILL
    stub.script = [all_done()]
    again = pipelines(*words, **JOB)
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == stub.runs[0]["run_id"]
    assert events(again, "submitted")[0]["created"] is False
    other = pipelines(*words, **JOB | {"JOB_UID": "another-job-of-that-name"})
    assert other.returncode == 0
    assert len(stub.runs) == 2


@pytest.mark.parametrize("fault", ["lost", "reset", "503"])
def test_a_creation_without_answer_makes_one_run(
    stub: KfpStub, pipelines: Pipelines, package: Path, fault: str
) -> None:
    stub.fail(fault, method="POST", path="/runs$")
    done = pipelines("submit", package, "--set", "store=a", *QUICK)
    assert done.returncode == 0, done.stderr
    assert [run["run_id"] for run in stub.runs] == [done.stdout.strip()]
    assert sum(method == "POST" and path.endswith("/runs") for method, path in stub.seen) == (
        1 if fault == "lost" else 2
    )


def test_runs_of_an_uploaded_pipeline(stub: KfpStub, pipelines: Pipelines, package: Path) -> None:
    spec = yaml.safe_load(package.read_text())
    stub.add_pipeline("alma", {"v1": spec, "v2": {"pipeline_spec": spec}})
    latest = pipelines("submit", "pipeline:alma", "--set", "store=a", "--follow", "--poll", "0.1", *QUICK)
    assert latest.returncode == 0, latest.stderr
    assert events(latest, "progress")[-1]["steps"] == 8
    assert pipelines("submit", "pipeline:alma@v1", "--set", "store=a", *QUICK).returncode == 0
    used = [run["pipeline_version_reference"]["pipeline_version_id"] for run in stub.runs]
    assert used == [stub.versions[1]["pipeline_version_id"], stub.versions[0]["pipeline_version_id"]]
    for name, said in (("beta", "no pipeline 'beta'"), ("alma@v9", "the latest are: v2, v1")):
        wrong = pipelines("submit", f"pipeline:{name}", "--set", "store=a", *QUICK)
        assert (wrong.returncode, said in wrong.stderr) == (2, True), wrong.stderr
    wrong = pipelines("submit", "pipeline:alma", "--set", "stor=a", *QUICK)
    assert (wrong.returncode, "did you mean store" in wrong.stderr) == (2, True), wrong.stderr


def test_many_users_need_a_namespace(stub: KfpStub, pipelines: Pipelines, package: Path) -> None:
    stub.multi_user = True
    words = ("submit", package, "--set", "store=a", *QUICK)
    without = pipelines(*words)
    assert (without.returncode, "--namespace" in without.stderr) == (2, True), without.stderr
    assert pipelines(*words, "--namespace", "team").returncode == 0
    assert pipelines(*words, **JOB).returncode == 0
    assert [e["namespace"] for e in stub.experiments] == ["team"]
    listed = pipelines("list", "--namespace", "team")
    assert listed.stdout.count("pending") == 2


BOMB = "store:\n" + "".join(
    f"- &{name} [{', '.join(['x' if name == 'a' else f'*{chr(ord(name) - 1)}'] * 9)}]\n" for name in "abcdefghijk"
)
"""A billion values in a dozen lines."""

BAD = {
    "unknown name": (["--set", "stor=a"], None, ["no parameter 'stor'", "did you mean store?"]),
    "nothing close": (["--set", "zzz=a"], None, ["there are: gpus, keep, labels, respond, share, store"]),
    "missing": ([], None, ["the pipeline needs store", "--set"]),
    "no equals sign": (["--set", "store"], None, ["NAME=VALUE"]),
    "text for a number": (["--set", "store=a", "--set", "gpus=two"], None, ["--set gpus=two", "JSON"]),
    "fraction for a whole number": (["--set", "gpus=1.5"], None, ["--set gpus", "1.5", "a whole number is needed"]),
    "truth for a number": ([], "share: true\n", ["share: True is a truth value", "a number is needed"]),
    "number for a text": ([], "store: 5\n", ["store: 5 is a number", "quote it"]),
    "date for a text": ([], "store: 2026-01-01\n", ["store:", "date", "quote it"]),
    "list for a mapping": ([], "labels: [a]\n", ["labels:", "a list", "a mapping is needed"]),
    "nothing for a text": ([], "store:\n", ["store: None is empty"]),
    "not a number": ([], "share: .nan\n", ["share", "JSON"]),
    "given twice": ([], "store: a\nstore: b\n", ["line 2", "'store' is given twice"]),
    "aliases": ([], BOMB, ["parameters.yaml: store: holds more than 10,000 values"]),
    "not YAML": ([], "store: [a\n", ["parameters.yaml", "not YAML", "line"]),
    "a list of parameters": ([], "- store\n", ["a mapping of names to values is needed"]),
    "deep": (["--set", f"labels={'[' * 500}{']' * 500}"], None, ["--set labels", "is nested in more than 64 levels"]),
    "a number as a name": (
        [],
        "labels: {1: a, b: c}\n",
        ["parameters.yaml: labels: 1 is a number and no name; quote it"],
    ),
    "nothing as a name": ([], "labels: {null: a}\n", ["parameters.yaml: labels: None is empty and no name"]),
    "too much": ([], f"store: {'x' * 10_000}\n", ["KFP takes 10,000", "the largest is store"]),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_parameters_are_refused_before_any_request(
    stub: KfpStub, pipelines: Pipelines, package: Path, tmp_path: Path, name: str
) -> None:
    words, content, said = BAD[name]
    file = tmp_path / "parameters.yaml"
    if content is not None:
        file.write_text(content)
        words = [*words, "--parameters", str(file)]
    done = pipelines("submit", package, *words, *QUICK)
    assert done.returncode == 2, done.stderr
    for part in said:
        assert part in done.stderr
    assert stub.seen == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param("a: [", "not YAML", id="broken"),
        pytest.param("[" * 100_000, "nested deeper than 200 levels", id="deep"),
        pytest.param("kind: Pipeline\nspec: {}\n", "it holds Pipeline: kubectl apply", id="manifest"),
        pytest.param("pipelineInfo: {}\nroot: {dag: {}}\n", "not a whole pipeline", id="nameless"),
        pytest.param("pipelineInfo: {name: a}\nroot: {}\n", "not a whole pipeline", id="no-tasks"),
        pytest.param("pipelineInfo: {name: a}\nroot: {dagg: {}}\n", "not a pipeline that this KFP knows", id="other"),
    ],
)
def test_a_package_that_is_none(
    stub: KfpStub, pipelines: Pipelines, tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "p.yaml").write_text(content)
    done = pipelines("submit", tmp_path / "p.yaml", *QUICK)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert stub.seen == []


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        pytest.param([], {"KF_PIPELINES_ENDPOINT": ""}, "no server: give --host", id="no-host"),
        pytest.param(["--host", "ftp://x"], {}, "http:// or https://", id="scheme"),
        pytest.param(["--token-file", "/no/such"], {}, "token file /no/such", id="token-file"),
        pytest.param(["--ca-file", "/no/such"], {}, "--ca-file /no/such", id="ca-file"),
        pytest.param([], {"JOB_NAME": "a", "JOB_UID": "b"}, "POD_NAMESPACE", id="half-a-job"),
        pytest.param(["--ca-file", __file__], {}, f"--ca-file {__file__}: holds no certificates", id="no-ca"),
        pytest.param(["--poll", "0"], {}, "above 0", id="poll"),
    ],
)
def test_wrong_settings_exit_2(
    stub: KfpStub, pipelines: Pipelines, package: Path, words: list[str], environment: dict[str, str], said: str
) -> None:
    done = pipelines("submit", package, "--set", "store=a", *words, **environment)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert stub.seen == []


@pytest.mark.parametrize("token", ["", "two\nlines", "\x07"])
def test_a_token_file_without_a_token_is_said(
    stub: KfpStub, pipelines: Pipelines, package: Path, token: str, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(token)
    words = ("--token-file", tmp_path / "token", "--refused-after", "0.1")
    done = pipelines("submit", package, "--set", "store=a", *words)
    said = f"the token file {tmp_path / 'token'} holds no token"
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert stub.seen == []


@pytest.mark.parametrize("name", ["p.yaml", "values.yaml", "folder"])
def test_the_id_goes_over_no_file_that_is_read(
    stub: KfpStub, pipelines: Pipelines, package: Path, name: str, tmp_path: Path
) -> None:
    files = {"p.yaml": package.read_bytes(), "values.yaml": b"store: a\n"}
    for each, content in files.items():
        (tmp_path / each).write_bytes(content)
    (tmp_path / "folder").mkdir()
    words = ("--parameters", tmp_path / "values.yaml", "--id-file", f"{tmp_path}/folder/../{name}")
    done = pipelines("submit", tmp_path / "p.yaml", *words, *QUICK)
    said = "is no file that can be written" if name == "folder" else "which would be lost"
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert {each: (tmp_path / each).read_bytes() for each in files} == files
    assert stub.seen == [], "before anything is asked"


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        pytest.param("html", 2, "does not answer as Kubeflow Pipelines does", id="another-server"),
        pytest.param("redirect", 2, "login page", id="login-page"),
        pytest.param("503", 75, "answers 503", id="down"),
        pytest.param("reset", 75, "no answer from", id="resets"),
    ],
)
def test_a_server_that_never_answers_well(
    stub: KfpStub, pipelines: Pipelines, package: Path, fault: str, status: int, said: str
) -> None:
    stub.fail(fault, 99)
    words = ("--lost-after", "2", "--refused-after", "1")
    done = pipelines("submit", package, "--set", "store=a", *words)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert stub.runs == []


def test_tls_is_checked_against_the_given_ca(stub: KfpStub, package: Path, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=kfp"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    with served(stub, tls) as host:
        pipelines = Pipelines(tmp_path, host)
        words = ("submit", package, "--set", "store=a", *QUICK)
        refused = pipelines(*words)
        assert (refused.returncode, "--ca-file" in refused.stderr) == (2, True), refused.stderr
        assert pipelines(*words, "--ca-file", cert).returncode == 0
        assert pipelines(*words, KF_PIPELINES_CA_FILE=str(cert)).returncode == 0
    assert len(stub.runs) == 2


def test_help_is_quick(tmp_path: Path) -> None:
    """Parse first, import later: no kfp, no Kubernetes."""
    code = (
        "import sys; sys.argv = ['pipelines', 'submit', '--help']\ntry:\n    import pipelines.__main__ as m; m.main()\n"
    )
    code += "except SystemExit:\n    print(sorted({'kfp', 'kubernetes', 'kfp_server_api', 'yaml'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


def declared(**kinds: str) -> dict[str, Any]:
    return {"root": {"inputDefinitions": {"parameters": {n: {"parameterType": k} for n, k in kinds.items()}}}}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(kind=st.sampled_from(["STRING", "NUMBER_INTEGER", "NUMBER_DOUBLE", "BOOLEAN", "LIST", "STRUCT"]), value=VALUES)
def test_what_we_let_through_the_server_takes(
    tmp_path_factory: pytest.TempPathFactory, kind: str, value: object
) -> None:
    spec = declared(given=kind)
    file = tmp_path_factory.getbasetemp() / "values.json"
    file.write_text(json.dumps({"given": value}))
    try:
        values = arguments(spec, file, [])
    except ConfigError:
        if kind not in ("NUMBER_INTEGER", "NUMBER_DOUBLE"):  # it takes truth values for numbers; we do not
            with pytest.raises(RefusedError):
                check_parameters(spec, {"given": value})
        return
    check_parameters(spec, values)
    assert json.loads(go_json(values)) == values, "what is counted is another value"


@settings(deadline=None)
@given(text=st.text(max_size=40).filter(lambda text: "\r" not in text))
def test_a_text_arrives_as_it_was_set(text: str) -> None:
    assert arguments(declared(given="STRING"), None, [f"given={text}"]) == {"given": text}


def test_every_task_has_its_own_label() -> None:
    """The journal in the store knows steps by their labels alone."""
    for path in (ROOT / "pipelines" / "compiled").glob("*.yaml"):
        tasks = tasks_of(read_package(path)["pipeline_spec"]) if ".manifests" not in path.name else []
        assert len({task.path for task in tasks}) == len(tasks)
        assert len({task.label for task in tasks}) == len(tasks)


def test_a_setting_may_count_only_where_the_pipeline_has_it() -> None:
    declared = {"store": {"parameterType": "STRING"}}
    spec = {"root": {"inputDefinitions": {"parameters": declared}}}
    given = arguments(spec, None, ["store=s3://a", "image_submit?=alma-submit:1", "store?=s3://b"])
    assert given == {"store": "s3://b"}


def test_labels_are_those_of_the_journal() -> None:
    for name in ("micro", "isara-micro"):
        compiled = ROOT / "pipelines" / "compiled" / f"{name if 'isara' in name else f'alma-{name}'}.yaml"
        labels = {task.label for task in tasks_of(read_package(compiled)["pipeline_spec"])}
        steps = {step.label for step in graph(load(ROOT / "examples" / f"{name}.toml"))}
        assert steps < labels
        assert {label.rpartition(" · ")[2] for label in labels - steps} == {"preflight", "finish", "hand on"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param({}, "alma-micro", id="nothing"),
        pytest.param({"store": "s3://b", "image_base": "x:2", "node_selector": {}}, "alma-micro", id="where-it-runs"),
        pytest.param(
            {"changes": "# mine\nalma.seed = 2\n\nalma.rounds=3"},
            "alma-micro · alma.seed=2, alma.rounds=3",
            id="changes",
        ),
        pytest.param(
            {"gpus": 3, "source_seeds": f"s3://b/{'x' * 99}"}, "alma-micro · gpus=3, source_seeds=s3://b", id="cut"
        ),
        pytest.param(
            {"changes": "\n".join(f"alma.a{i}=1" for i in range(99))}, "alma-micro · alma.a0=1, alma.a1=1", id="many"
        ),
    ],
)
def test_names_tell_what_was_changed(changed: dict[str, Any], said: str) -> None:
    name = name_after("alma-micro", changed)
    assert name.startswith(said)
    assert len(name) <= 100
    assert name == said or name.endswith("…")


def test_runs_of_one_kind_are_numbered(stub: KfpStub, pipelines: Pipelines, package: Path) -> None:
    for seed in ("2", "2", "3"):
        assert pipelines("submit", package, "--set", "store=a", "--set", f"gpus={seed}", *QUICK).returncode == 0
    assert pipelines("submit", package, "--set", "store=a", *QUICK, **JOB).returncode == 0
    assert [run["display_name"] for run in stub.runs] == [
        "alma-small · gpus=2 · 1",
        "alma-small · gpus=2 · 2",
        "alma-small · gpus=3 · 1",
        f"{JOB['JOB_NAME']} · 1",
    ]
