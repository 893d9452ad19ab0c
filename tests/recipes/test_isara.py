"""The recipe of ISARA with the echo engine: what runs, what is shared, what an ablation changes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Artifact, Folder, Manifest, Rows
from alma.config import Isara, parse
from alma.errors import ConfigError, DataError
from alma.monitor.trace import trace
from alma.progress import Event
from alma.recipes import Outcome
from alma.recipes.graph import graph
from alma.recipes.isara import isara
from alma.running.local import Local
from alma.store import open_store

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL: dict[str, Any] = {
    "base": {"source": "micro/base"},
    "seeds": {"source": "micro/sft_seeds.jsonl", "limit": 24},
    "evaluation_prompts": {"source": "micro/eval_prompts.jsonl", "limit": 20},
    "engine": "echo",
    "repeats": [1, 2],
    "imitate": {"num_attempts": 40, "min_words": 1},
}
ARMS = ["pretrained", "in-context nearest", "in-context random", "isara 1", "isara 2", "sft", "one-shot"]


def settings(**more: Any) -> Isara:
    tree = json.loads(json.dumps(SMALL))
    for name, value in more.items():
        tree[name] = tree.get(name, {}) | value if isinstance(value, dict) else value
    cfg = parse({"isara": tree}, "here")
    assert isinstance(cfg, Isara)
    return cfg


class Ran:
    """One run in this process, and what it computed."""

    def __init__(self, cfg: Isara, store: Path | str) -> None:
        self.computed: list[str] = []
        self.store = open_store(str(store))
        self.local = Local(self.store, EXAMPLES, self.show, isolate=False)
        self.outcome: Outcome = isara(cfg, self.local)

    def show(self, label: str, event: Event) -> None:
        if event["event"] == "end":
            self.computed.append(label)

    def manifest(self, label: str) -> Manifest:
        return self.local.done[label]

    def opened(self, label: str, kind: type[Any]) -> Any:
        artifact = Artifact.open(self.store, self.manifest(label).ref)
        assert isinstance(artifact, kind)
        return artifact

    def rows(self, label: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.opened(label, Rows).table().to_pylist()
        return rows


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(settings(), tmp_path_factory.mktemp("isara"))


def test_what_is_traced_is_what_runs(ran: Ran) -> None:
    steps = graph(settings())
    assert [step.label for step in steps] == list(ran.local.done)
    labels = {str(manifest.ref): label for label, manifest in ran.local.done.items()}
    for step in steps:
        inputs = ran.manifest(step.label).inputs
        assert {port: labels[ref] for port, ref in inputs.items()} == dict(step.inputs)


def test_every_arm_is_evaluated_once_per_repeat_and_on_the_page(ran: Ran) -> None:
    reports = [step.section.model_dump() for step in graph(settings()) if step.stage == "report"]
    assert Counter(report["arm"] for report in reports) == {arm: 1 if arm in ARMS[:2] else 2 for arm in ARMS}
    last = ran.manifest(list(ran.local.done)[-1])
    assert str(last.ref) == str(ran.outcome.report)
    page = ran.opened(list(ran.local.done)[-1], Folder).folder.joinpath("report.html").read_text(encoding="utf-8")
    assert [arm for arm in ARMS if arm in page] == ARMS


def test_training_goes_on_from_the_last_model_at_half_the_rate() -> None:
    cfg = settings(iterations=3)
    steps = {step.label: step for step in graph(cfg)}
    first, second, third = (steps[f"repeat 1 · isara {t} · finetune"] for t in (1, 2, 3))
    assert [step.inputs["model"] for step in (first, second, third)] == ["base model", first.label, second.label]
    rates = [step.section.model_dump()["learning_rate"] for step in (first, second, third)]
    assert rates == [2e-5, 1e-5, 5e-6]
    for step in (first, second, third):
        assert step.inputs["rows"] == "seeds"
        assert step.inputs["replay"] == step.label.replace("finetune", "imitate")
    again = {step.label: step for step in graph(settings(iterations=3, start="base"))}
    assert again[third.label].inputs["model"] == "base model"
    assert steps["repeat 1 · isara 3 · imitate"].inputs["model"] == second.label


def test_iterations_join_and_train_on_the_latest_or_on_all(ran: Ran, tmp_path: Path) -> None:
    rows = ran.rows("repeat 1 · isara 2 · imitate")
    assert {row["iteration"] for row in rows} == {1, 2}
    assert {row["iteration"] for row in rows if row["train"]} == {2}
    for label in ("repeat 1 · isara 1 · imitate", "repeat 1 · isara 2 · imitate"):
        trained = sum(row["train"] for row in ran.rows(label))
        assert ran.manifest(label.replace("imitate", "finetune")).metrics["num_rows"] == 24 + trained
    union = Ran(settings(imitate={"data": "union"}, repeats=[1], baselines=none()), tmp_path)
    assert all(row["train"] for row in union.rows("repeat 1 · isara 2 · imitate"))


def none() -> dict[str, bool]:
    return {"in_context": False, "sft": False, "one_shot": False}


@pytest.mark.slow
@pytest.mark.parametrize("data", ["latest", "union"])
def test_the_baseline_sees_as_many_rows_as_all_trainings(data: str, tmp_path: Path) -> None:
    cfg = settings(imitate={"data": data}, repeats=[1], baselines=none() | {"sft": True}, train={"batch_rows": 1})
    ran = Ran(cfg, tmp_path)
    trainings = [f"repeat 1 · isara {t} · finetune" for t in (1, 2)]
    steps = sum(ran.manifest(label).metrics["num_steps"] for label in trainings)
    assert steps > 48, "both have the seeds and more"
    baseline = ran.manifest("repeat 1 · sft · finetune")
    assert (baseline.metrics["num_rows"], baseline.metrics["num_steps"]) == (24, steps)


def test_one_shot_asks_for_as_many_questions(ran: Ran) -> None:
    label = "repeat 2 · one-shot · imitate"
    assert ran.manifest(label).metrics["num_attempts"] == 80
    assert set(ran.manifest(label).inputs) == {"model", "seeds"}


@pytest.mark.slow
def test_more_iterations_and_repeats_compute_only_what_is_new(ran: Ran) -> None:
    assert Ran(settings(), ran.store.uri).computed == []
    longer = Ran(settings(iterations=3, baselines=none()), ran.store.uri)
    stages = {label for label in longer.computed if not label.endswith("report")}
    assert stages == {
        f"repeat {repeat} · {what}"
        for repeat in (1, 2)
        for what in ("isara 3 · imitate", "isara 3 · finetune", "isara 3 · evaluate")
    }


@pytest.mark.slow
def test_two_stores_hold_equal_manifests(ran: Ran, tmp_path: Path) -> None:
    other = Ran(settings(), tmp_path)
    for label, manifest in ran.local.done.items():
        if manifest.stage != "report":  # its page states seconds
            assert other.manifest(label).to_bytes() == manifest.to_bytes(), label


def test_a_row_that_the_model_wrote_leads_back_to_the_seeds(ran: Ran) -> None:
    row = ran.rows("repeat 1 · isara 2 · imitate")[-1]
    seeds = {seed["id"] for seed in ran.rows("seeds")}
    shots = {origin.column: set[str]() for origin in trace(ran.store, row["id"]).origins}
    for origin in trace(ran.store, row["id"]).origins:
        shots[origin.column].add(origin.name)
    assert shots["checkpoint_id"] == {str(ran.manifest("repeat 1 · isara 1 · finetune").ref)}
    for column in ("question_shot_ids", "answer_shot_ids"):
        assert len(shots[column] & seeds) == 7, "and one of the first iteration's"
        (own,) = shots[column] - seeds
        assert own.startswith("imitate-")


def test_the_hybrid_takes_the_judges_best_answer(tmp_path: Path) -> None:
    cfg = settings(
        imitate={"num_answers": 3, "min_mass": 0.0},
        score_seeds={"source": "micro/scores.jsonl", "limit": 40},
        repeats=[1],
        iterations=1,
        baselines=none(),
    )
    ran = Ran(cfg, tmp_path)
    manifest = ran.manifest("repeat 1 · isara 1 · imitate")
    assert manifest.inputs["judge"] == str(ran.manifest("judge · finetune").ref) == str(ran.outcome.judge)
    assert all(row["score"] is not None for row in ran.rows("repeat 1 · isara 1 · imitate"))
    assert "judge_score" in ran.manifest("pretrained · evaluate").metrics


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param({"repeats": [1, 1]}, r"repeats = \[1, 1\] has one twice", id="repeats"),
        pytest.param({"repeats": []}, r"repeats", id="no repeats"),
        pytest.param({"iterations": 9}, r"iterations = 9 is above imitate\.num_shots = 8", id="iterations"),
        pytest.param({"imitate": {"num_answers": 4}}, r"num_answers = 4 needs a judge", id="no scores"),
        pytest.param({"imitate": {"embedding": "sentence-transformers"}}, r"they go together", id="no embedder"),
        pytest.param({"embedder": {"source": "x"}}, r"they go together", id="no use for the embedder"),
        pytest.param({"classifier": {"source": "x"}}, r"evaluate\.harm\.labels", id="no harmful labels"),
        pytest.param({"train": {"objective": "dpo"}}, r"ISARA trains with sft", id="objective"),
        pytest.param({"learning_rate_decay": 0.0}, r"learning_rate_decay", id="decay"),
    ],
)
def test_impossible_settings_are_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        settings(**more)


@pytest.mark.parametrize(
    ("baselines", "said"),
    [
        pytest.param(none(), r"isara 1 · imitate: .*5 seeds", id="imitate"),
        pytest.param({}, r"in-context nearest · evaluate: .*holds 5 rows", id="in-context"),
    ],
)
def test_fewer_seeds_than_shots_are_refused(baselines: dict[str, bool], said: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError), match=said):
        Ran(settings(seeds={"limit": 5}, baselines=baselines), tmp_path)


def test_shots_are_shown_alike_in_the_method_and_its_baselines() -> None:
    turns = {"question": "Q: {question}\n", "answer": "A: {answer}\n"}
    cfg = settings(imitate={"turns": turns, "num_shots": 4})
    assert (cfg.evaluate.turns, cfg.evaluate.num_shots) == (cfg.imitate.turns, 4)
