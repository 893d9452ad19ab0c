"""The command line as a person meets it: what it prints, how it fails, with which exit code. Real processes."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alma.cli import main
from tests.builders.warm import Warm

ROOT = Path(__file__).parents[2]
MICRO = ROOT / "examples" / "micro"


def alma(*words: str | Path, cwd: Path | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alma", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "160"} | settings
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A copy of the micro world and its run file, to be spoilt."""
    shutil.copytree(MICRO, tmp_path / "micro", ignore=shutil.ignore_patterns("*.py", "*.md", "__pycache__"))
    shutil.copy(ROOT / "examples" / "micro.toml", tmp_path / "micro.toml")
    return tmp_path


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A store with the human scores in it, and the artifact's name."""
    store = tmp_path_factory.mktemp("cli") / "store"
    config = json.dumps({"kind": "scores", "source": str(MICRO / "scores.jsonl")})
    done = alma("stage", "ingest", "--store", store, "--config", config)
    assert done.returncode == 0, done.stderr
    return store, done.stdout.strip()


def test_help_is_quick_and_complete() -> None:
    done = alma("--help")
    assert done.returncode == 0
    for command in ("run", "plan", "stage", "show", "trace"):
        assert f"\n    {command} " in done.stdout
    code = (
        "import sys; sys.argv = ['alma', '--help']\ntry:\n    import alma.__main__ as m; m.main()\nexcept SystemExit:\n"
    )
    code += "    print(sorted({'torch', 'pyarrow', 'pydantic', 'numpy', 'rich'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_stage_prints_the_name_of_what_it_left(ingested: tuple[Path, str]) -> None:
    store, name = ingested
    assert (store / name / "manifest.json").is_file()
    config = json.dumps({"kind": "scores", "source": str(MICRO / "scores.jsonl")})
    again = alma("stage", "ingest", "--store", store, "--config", config)
    assert again.stdout.strip() == name


def test_show_names_everything(ingested: tuple[Path, str]) -> None:
    store, name = ingested
    by_name = alma("show", name, "--store", store)
    by_path = alma("show", store / name / "manifest.json")
    assert by_name.stdout == by_path.stdout
    for part in (name, "400 score", "num_duplicates", '"kind": "scores"', "source_id", "score-0000a"):
        assert part in by_name.stdout


def test_trace_ends_at_the_persons_row(ingested: tuple[Path, str]) -> None:
    store, name = ingested
    done = alma("trace", f"{name.replace('/', '-')}-3", "--store", store)
    assert done.returncode == 0
    assert "source_id: score-0001b" in done.stdout


def test_plan_reads_the_papers_settings() -> None:
    done = alma("plan", ROOT / "examples" / "llama3-8b.toml")
    assert done.returncode == 0
    assert "round 11 · respond" in done.stdout
    assert "10,000,000" in done.stdout  # 200 responses to each of 50,000 prompts


def test_terminal_control_codes_of_a_model_are_not_printed(tmp_path: Path) -> None:
    row = {"prompt": "a\x1b[31mred", "response": "b\u202e", "score": 3}
    (tmp_path / "rows.jsonl").write_text(json.dumps({**row, "prompt": "a\u009b31mred"}) + "\n")
    config = json.dumps({"kind": "scores", "source": "rows.jsonl"})
    done = alma("stage", "ingest", "--store", tmp_path / "s", "--config", config, "--base", tmp_path)
    shown = alma("show", done.stdout.strip(), "--store", tmp_path / "s").stdout
    assert "\\x9b31mred" in shown
    assert "\\u202e" in shown
    assert "\u009b" not in shown


BAD_RUNS = {
    "no run file": (["run", "nothing.toml"], None, ["nothing.toml", "no such run file"]),
    "unknown setting": (
        ["run", "micro.toml", "--set", "alma.respond.sample=3"],
        None,
        ["alma.respond.sample", "num_samples"],
    ),
    "K above the clusters": (
        ["run", "micro.toml", "--set", "alma.diversify.num_clusters=100"],
        None,
        ["respond.num_prompts = 250", "diversify.num_clusters = 100"],
    ),
    "rounds × K above the pool": (
        ["run", "micro.toml", "--set", "alma.rounds=100"],
        None,
        ["100 × 250 + 1000 = 26000", "num_attempts = 6000"],
    ),
    "missing seeds": (["run", "micro.toml"], ("sft_seeds.jsonl", None), ["sft_seeds.jsonl", "SFT seeds"]),
    "empty seeds": (["run", "micro.toml"], ("sft_seeds.jsonl", b""), ["sft_seeds.jsonl", "empty"]),
    "broken JSON": (
        ["run", "micro.toml"],
        ("scores.jsonl", b'{"prompt": "a", "response": "b", "score": 1}\n{"prompt": \n'),
        ["scores.jsonl", "line 2", "not JSON"],
    ),
    "score out of range": (
        ["run", "micro.toml"],
        ("scores.jsonl", b'{"prompt": "a", "response": "b", "score": 11}\n'),
        ["scores.jsonl", "line 1", "11"],
    ),
    "prompt longer than the context": (
        ["run", "micro.toml"],
        ("eval_prompts.jsonl", b'{"prompt": "copy abc"}\n{"prompt": "copy ' + b"a" * 300 + b'"}\n'),
        ["eval_prompts.jsonl", "line 2", "prompt of 305 tokens", "context holds 256"],
    ),
    "pickle-only model": (["run", "micro.toml"], ("base/model.safetensors", None), ["micro/base", "safetensors"]),
    "unknown engine": (
        ["run", "micro.toml", "--set", "alma.engine=hg"],
        None,
        ["alma.engine", "'hg'", "'openai' or 'echo'"],
    ),
}


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with Warm() as process:
        yield process


@pytest.mark.parametrize("name", BAD_RUNS)
def test_a_bad_run_fails_before_any_model_is_loaded(warm: Warm, world: Path, name: str) -> None:
    words, spoilt, said = BAD_RUNS[name]
    if spoilt:
        path, content = world / "micro" / spoilt[0], spoilt[1]
        path.unlink() if content is None else path.write_bytes(content)
    there = f"import os; os.chdir({str(world)!r})"
    run = warm.run([*words, "--in-process"], world / "log", {"OMP_NUM_THREADS": "1", "COLUMNS": "160"}, there)
    assert run.wait(300) == 2, run.said
    error = run.said.splitlines()[-12:]
    for part in said:
        assert part in "\n".join(error), run.said
    assert "Traceback" not in run.said
    sealed = {path.parent.parent.name for path in (world / "store").glob("*/*/manifest.json")}
    assert sealed <= {"ingest"}, "something was computed before the fault was found"


def test_an_altered_part_stops_the_run(world: Path) -> None:
    first = alma("stage", "ingest", "--config", '{"kind": "prompts", "source": "micro/eval_prompts.jsonl"}', cwd=world)
    name = first.stdout.strip()
    (part,) = (world / "store" / name).glob("parts/*.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    done = alma("show", name, cwd=world)
    assert done.returncode == 2
    for said in ("parts/00000-", "SHA-256", "manifest says", "remove the folder"):
        assert said in done.stderr


@pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"),
    reason="root may write everywhere: as another user, or with setpriv of util-linux, pytest tests/cli",
)
def test_a_store_without_permission_is_named(world: Path) -> None:
    store = world / "closed"
    store.mkdir(mode=0o500)
    words = [
        "stage",
        "ingest",
        "--config",
        '{"kind": "prompts", "source": "eval_prompts.jsonl"}',
        "--store",
        str(store),
    ]
    prefix = []
    if os.geteuid() == 0:  # root would not be refused
        for path in (world, *world.parents):
            if path.stat().st_uid == 0 and path != Path("/") and str(path).startswith(str(world.parents[1])):
                path.chmod(0o755)
        prefix = ["setpriv", "--reuid", "65534", "--clear-groups"]
    code = [sys.executable, "-m", "alma", *words, "--base", str(world / "micro")]
    done = subprocess.run([*prefix, *code], capture_output=True, text=True, check=False)
    if "Permission denied" in done.stderr and "alma:" not in done.stderr:
        pytest.skip("only root can read this interpreter: as another user, pytest tests/cli")
    assert done.returncode == 2, done.stderr
    assert str(store) in done.stderr
    assert "permission" in done.stderr.lower()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["stage", "answer"], "there are: ingest, synthesize", id="unknown-stage"),
        pytest.param(["stage", "judge", "--label", "x" * 300], "--label has 300 characters", id="long-label"),
        pytest.param(["stage", "judge", "--config", "{"], "is not JSON", id="broken-config"),
        pytest.param(["stage", "judge", "--config", "[]"], "must be a JSON object", id="config-list"),
        pytest.param(["stage", "judge", "--config", "@no"], "--config @no", id="config-file"),
        pytest.param(["stage", "judge"], "needs the input 'judge'", id="missing-input"),
        pytest.param(["stage", "judge", "--in", "x"], "PORT=STAGE/KEY", id="input-form"),
        pytest.param(["stage", "judge", "--in", "judge=here"], "not the name of an artifact", id="input-name"),
        pytest.param(["stage", "judge", "--in", f"mind=judge/{'0' * 20}"], "has no input 'mind'", id="unknown-input"),
        pytest.param(["show", f"judge/{'0' * 20}"], "does not exist or is not sealed", id="unknown-artifact"),
        pytest.param(["trace", "judge"], "is not a row id", id="not-a-row"),
        pytest.param(["show", f"judge/{'0' * 20}", "--store", "ftp://x"], "ftp", id="unknown-scheme"),
    ],
)
def test_wrong_words_exit_2(tmp_path: Path, words: list[str], said: str) -> None:
    done = alma(*words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "./section.json"], "--out section.json: is the file of --config, which would be lost"),
        (["--new-state", "link.json"], "--new-state link.json: is the file of --config, which would be lost"),
        (["--ref", "scores.jsonl"], "--ref scores.jsonl: is the file of source, which would be lost"),
        (
            ["--in", "a=made.json", "--html", "made.json"],
            "--html made.json: is the file of --in a, which would be lost",
        ),
        (["--out", "new", "--markdown", "folder/../new"], "is the file of --out; name another one"),
        (["--out", "x" * 300], "File name too long"),
    ],
)
def test_an_output_overwrites_no_input(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(MICRO / "scores.jsonl", "scores.jsonl")
    Path("section.json").write_text('{"kind": "scores", "source": "scores.jsonl"}')
    Path("link.json").symlink_to("section.json")
    Path("made.json").write_text(json.dumps({"stage": "judge", "key": "0" * 20}))
    Path("folder").mkdir()
    before = {path: path.read_bytes() for path in Path().glob("*.json*")}
    with pytest.raises(SystemExit) as ended:
        main(["stage", "ingest", "--config", "@section.json", *words])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
    assert {path: path.read_bytes() for path in Path().glob("*.json*")} == before
    assert not Path("store", "ingest").exists(), "before any work"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "run.toml", "--prompt-tokens", "-5"], "'-5' is not a whole number from 1"),
        (["plan", "run.toml", "--response-tokens", "0"], "'0' is not a whole number from 1"),
        (["show", "x", "--rows", "-1"], "'-1' is not a whole number from 0"),
        (["show", "x", "--rows", "9" * 5000], "is not a whole number from 0"),
        (["status", "--watch=-1"], "-1 is not a number of seconds above 0"),
        (["status", "--watch", "nan"], "nan is not a number of seconds above 0"),
        (["convert", "lima", "a.jsonl", "--out", ""], "'' names nothing; . is the present folder"),
        (["export", "model", "s3://bucket/out"], "'s3://bucket/out' is an address"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
