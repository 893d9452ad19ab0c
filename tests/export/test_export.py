"""A model of a small run by the echo engine, taken out of its store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from alma.artifact import Artifact, Manifest, Model, Ref
from alma.artifact.out import Out
from alma.errors import ConfigError, DataError, IntegrityError
from alma.export import export
from alma.export.card import card
from alma.export.lineage import lineage
from alma.export.place import place
from alma.export.results import results
from alma.monitor import journal
from alma.store import open_store
from tests.builders.bench import Bench
from tests.builders.recipe import Ran, settings
from tests.builders.sealed import named, seal

KEY = "0123456789abcdef0123"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(settings("alma.rounds=1"), tmp_path_factory.mktemp("export") / "store")


def head_and_text(readme: Path) -> tuple[dict[str, object], str]:
    _, head, text = readme.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


def test_the_files_are_the_sealed_ones_and_the_card_states_the_run(ran: Ran, tmp_path: Path) -> None:
    model = ran.outcome.model
    done = export(str(model), tmp_path / "mine", store_uri=ran.store.uri, license_id="mit", base="owner/base")
    artifact = Artifact.open(ran.store, Ref.parse(str(model)))
    assert isinstance(artifact, Model)
    written = {path.name for path in done.folder.iterdir()}
    assert written == {path.name for path in artifact.folder.iterdir()} - {"curve.jsonl"} | {
        "README.md",
        "lineage.json",
    }
    for name in written & {path.name for path in artifact.folder.iterdir()}:
        assert (done.folder / name).read_bytes() == (artifact.folder / name).read_bytes()
    head, text = head_and_text(done.folder / "README.md")
    assert (head["license"], head["base_model"], head["model-index"][0]["name"]) == ("mit", "owner/base", "mine")
    evaluation = ran.manifest("round 02 · evaluate")
    assert f"| judge's score | {evaluation.metrics['judge_score']:.3f} ± " in text
    assert f"`{evaluation.ref}`" in text
    outsider = ran.manifest("round 02 · evaluate outsider")
    [line] = [line for line in text.splitlines() if f"`{outsider.ref}`" in line]
    assert line.startswith("| mean reward, by ")
    assert f"| {outsider.metrics['reward']:.3f} ± {outsider.metrics['reward_error']:.3f} |" in line
    assert "none of them selected or trained anything" in text
    assert text.count("| mean reward, by ") == 1, "of this model's answers, and of no other's"
    assert "[ALMA](https://arxiv.org/abs/2412.04305)" in text
    assert "prompts with responses by people | 200 |" in text
    past = json.loads((done.folder / "lineage.json").read_text(encoding="utf-8"))
    assert past["model"] == str(model)
    assert set(past["artifacts"][str(model)]["inputs"].values()) <= set(past["artifacts"])
    assert [path for path in tmp_path.iterdir() if path != done.folder] == []


def test_a_judge_is_exported_with_the_template_that_it_reads(ran: Ran, tmp_path: Path) -> None:
    done = export(str(ran.outcome.judge), tmp_path / "judge", store_uri=ran.store.uri)
    assert done.is_judge
    head, text = head_and_text(done.folder / "README.md")
    assert "pipeline_tag" not in head
    assert json.dumps("<s><review>{prompt}<assistant>{response}<rating>") in text
    heldout = ran.manifest("judge · validate")
    assert f"| pairwise accuracy | {heldout.metrics['pairwise_accuracy']:.3f} | 520 |" in text
    assert "license" not in head


def test_names_of_a_model(ran: Ran, tmp_path: Path) -> None:
    ref = Ref("finetune", KEY)
    assert place(str(ref), "store") == ("store", ref)
    assert place(f"/a/b/{ref}/files/0123456789abcdef", "store") == ("/a/b", ref)
    assert place(f"s3://bucket/prefix/{ref}", "store") == ("s3://bucket/prefix", ref)
    for wrong in ("", "finetune", "model", f"finetune/{KEY[:-1]}", f"{KEY}"):
        with pytest.raises(ConfigError, match="names no model"):
            place(wrong, "store")
    with pytest.raises(DataError, match=f"finetune/{KEY} does not exist"):
        export(f"finetune/{KEY}", tmp_path / "new", store_uri=ran.store.uri)
    with pytest.raises(DataError, match="is no model; it holds result"):
        export(str(ran.manifest("round 02 · evaluate").ref), tmp_path / "new", store_uri=ran.store.uri)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(ran: Ran, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    for folder in (tmp_path, tmp_path / "there"):
        with pytest.raises(ConfigError, match="exists already; give a new folder"):
            export(str(ran.outcome.model), folder, store_uri=ran.store.uri)
    assert (tmp_path / "there").read_text() == "mine"


def test_a_disk_that_takes_no_more_is_told_and_nothing_is_left(ran: Ran, tmp_path: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    words = ["export", str(ran.outcome.model), str(tmp_path / "new"), "--store", ran.store.uri]
    code = f"{limit}\nfrom alma.cli import main\nmain({words!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, "raise the limit: ulimit -f unlimited" in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_was_altered_is_not_exported(ran: Ran, tmp_path: Path) -> None:
    artifact = Artifact.open(ran.store, Ref.parse(str(ran.manifest("initial · finetune b").ref)))
    assert isinstance(artifact, Model)
    file = next(path for path in artifact.folder.iterdir() if path.name != "curve.jsonl")
    before = file.read_bytes()
    file.write_bytes(before + b" ")
    try:
        with pytest.raises(IntegrityError):
            export(str(artifact.ref), tmp_path / "new", store_uri=ran.store.uri)
    finally:
        file.write_bytes(before)
    assert not list(tmp_path.iterdir())


def test_a_card_has_no_html_and_no_row_of_anybody_else(ran: Ran) -> None:
    ref = Ref.parse(str(ran.outcome.model))
    past, name = lineage(ran.store, ref), "a<script>|x\n---\n# owned"
    said = card(past, results(ran.store, ref, judge=False), name=name, license_id=None, base=None)
    _, head, text = said.split("\n---\n", 1)[0], *said.split("\n---\n", 1)
    assert yaml.safe_load(head.removeprefix("---\n"))["model-index"][0]["name"] == name
    assert "<script>" not in text
    assert text.count("\n# ") == 1


@pytest.mark.parametrize(
    ("wrong", "message"), [({"license_id": "mit\nx: y"}, "--license"), ({"base": "../x/y"}, "--base")]
)
def test_names_that_a_card_cannot_hold(ran: Ran, tmp_path: Path, wrong: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        export(str(ran.outcome.model), tmp_path / "new", store_uri=ran.store.uri, **wrong)


def test_a_run_names_its_latest_model(ran: Ran) -> None:
    journal.mark_sealed(ran.store, "micro-01234567", {label: made.ref for label, made in ran.local.done.items()})
    uri = ran.store.uri
    assert str(place("micro-01234567", uri)[1]) == str(ran.outcome.model)
    for label in ("initial · finetune b", "Initial finetune b"):
        assert place(f"micro-01234567:{label}", uri)[1] == ran.manifest("initial · finetune b").ref
    assert place("micro-01234567:round 02", uri)[1] == ran.manifest("round 02 · finetune").ref
    with pytest.raises(DataError, match=r"no step 'round 01' that made a model; it has: .*round 02 · finetune"):
        place("micro-01234567:round 01", uri)
    with pytest.raises(ConfigError, match=r"'micro' names no model: .*runs there: micro-01234567"):
        place("micro", uri)


def test_what_people_keep_beside_the_artifacts_is_passed_over(tmp_path: Path) -> None:
    bench, model = Bench(tmp_path), Ref("finetune", KEY)
    ref = named("evaluate", 1, inputs={"model": str(model)})
    seal(Out(bench.store, ref, tmp_path / "scratch"), "page", {"judge_score": 5.0})
    manifest = bench.store.read(f"{ref}/manifest.json")
    for name in ("old copy", ref.key[:-1], f"{ref.key}.bak", f"{ref.key}/old", "a/b"):
        bench.store.write(f"evaluate/{name}/manifest.json", manifest)
    [found] = results(bench.store, model, judge=False)
    assert found.by.ref == ref


def a_training(name: str, inputs: dict[str, str]) -> Manifest:
    return Manifest(
        stage="finetune",
        version=1,
        key=name * 20,
        kind="model",
        section={},
        inputs=inputs,
        identity={},
        files=(),
        metrics={},
        libraries={},
    )


def test_a_training_that_came_from_itself_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No manifests whose keys fit say so."""
    first, second = (a_training(name, {"model": f"finetune/{other * 20}"}) for name, other in ("ab", "ba"))
    made = {each.ref: each for each in (first, second)}
    monkeypatch.setattr("alma.export.lineage.find_manifest", lambda store, ref: made[ref])
    with pytest.raises(DataError, match=f"{first.ref} came from itself, by way of {second.ref}; remove"):
        lineage(open_store(str(tmp_path)), first.ref)


def test_a_run_of_a_thousand_rounds_has_a_lineage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refs = [Ref("finetune", f"{i:020x}") for i in range(3000)]

    def of(store: object, ref: Ref) -> SimpleNamespace:
        place = refs.index(ref)
        inputs = {"model": str(refs[place - 1]), "first": str(refs[0])} if place else {}
        return SimpleNamespace(ref=ref, kind="model", inputs=inputs)

    monkeypatch.setattr("alma.export.lineage.find_manifest", of)
    assert list(lineage(open_store(str(tmp_path)), refs[-1]).ancestors) == refs


def test_a_training_that_began_at_no_model_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    begun = a_training("a", {})
    monkeypatch.setattr("alma.export.lineage.find_manifest", lambda store, ref: begun)
    with pytest.raises(DataError, match=f"{begun.ref} states no model that its training began at; remove"):
        _ = lineage(open_store(str(tmp_path)), begun.ref).base


def test_exams_are_results_and_trials_of_a_few_questions_are_none(tmp_path: Path) -> None:
    bench, model = Bench(tmp_path), Ref("finetune", KEY)
    for section, value in (({"tasks": ["arc"]}, 0.5), ({"tasks": ["arc"], "limit": 3}, 1.0)):
        ref = named("examine", value, section=section, inputs={"model": str(model)})
        out = Out(bench.store, ref, tmp_path / ref.key)
        seal(out, "model", {"num_tasks": 1, "arc.acc": value, "arc.acc_error": 0.01})
    [found] = results(bench.store, model, judge=False)
    assert (found.label, found.value, found.error) == ("arc.acc, lm-evaluation-harness", 0.5, 0.01)
    assert found.outside
