"""The whole recipe with the echo engine: what runs, what is skipped, what an ablation changes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Artifact, Page, Ref, Rows, find_manifest
from alma.config import Alma
from alma.errors import DataError
from alma.monitor.trace import Origin, trace
from alma.plan import plan
from alma.progress import Event
from alma.recipes.alma import alma
from alma.running.local import Local
from alma.store import open_store
from tests.builders.recipe import RUN_FILE, Ran, settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(settings(), tmp_path_factory.mktemp("recipe"))


Graph = dict[str, tuple[str, dict[str, Any], dict[str, str]]]


def traced(cfg: Alma) -> Graph:
    """Label → stage, section, inputs by label."""
    graph: Graph = {}

    def do(stage: str, section: Any, *, label: str, **inputs: Any) -> str:
        assert label not in graph, f"two steps are called {label!r}"
        graph[label] = (stage, section.keyed(), {port: source for port, source in inputs.items() if source})
        return label

    alma(cfg, do)
    return graph


def test_what_is_traced_is_what_runs(ran: Ran) -> None:
    graph = traced(settings())
    assert list(graph) == list(ran.local.done)
    labels = {str(manifest.ref): label for label, manifest in ran.local.done.items()}
    for label, (stage, section, inputs) in graph.items():
        manifest = ran.manifest(label)
        assert manifest.stage == stage
        assert manifest.section == type_free(section)
        assert {port: labels[ref] for port, ref in manifest.inputs.items()} == inputs


def type_free(section: dict[str, Any]) -> dict[str, Any]:
    import json

    return json.loads(json.dumps({k: v for k, v in section.items() if k not in ("source", "revision")}))


def test_a_second_run_computes_nothing(ran: Ran) -> None:
    again = Ran(settings(), ran.store.uri)
    assert again.computed() == []
    assert again.outcome == ran.outcome


def test_a_stage_in_a_process_of_its_own_tells_the_same_events(tmp_path: Path) -> None:
    events: list[tuple[str, Event]] = []
    local = Local(open_store(str(tmp_path)), RUN_FILE.parent, lambda label, event: events.append((label, event)))
    ref = local("ingest", settings().sft_seeds, label="SFT seeds")
    assert {label for label, _ in events} == {"SFT seeds"}
    kinds = [event["event"] for _, event in events]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert set(kinds[1:-1]) <= {"progress"}
    assert not any("label" in event or "time" in event for _, event in events)
    assert local.done["SFT seeds"].ref == ref


def test_an_error_in_a_process_of_its_own_is_the_same_error(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "response": "b", "score": 99}\n')
    cfg = settings("alma.score_seeds.source=bad.jsonl").score_seeds
    local = Local(open_store(str(tmp_path / "store")), tmp_path, lambda *_: None)
    with pytest.raises(DataError, match=r"human scores: bad\.jsonl.*\n.*line 1"):
        local("ingest", cfg, label="human scores")


def test_more_rounds_compute_only_the_new_one(ran: Ran) -> None:
    longer = Ran(settings("alma.rounds=3"), ran.store.uri)
    assert {label.partition(" ·")[0] for label in longer.computed()} == {"round 04"}


PARTS = {"synthesize": 70, "curate": 90, "embed": 33, "diversify": 50, "respond": 30, "judge": 17, "evaluate": 41}
"""Rows of a part, others than those of the builder."""


def test_the_size_of_parts_and_batches_changes_no_row(ran: Ran, tmp_path: Path) -> None:
    sizes = [f"alma.{use}.part_rows={rows}" for use, rows in PARTS.items()]
    other = Ran(settings("alma.rounds=1", "alma.respond.batch_rows=3", *sizes), tmp_path, pages=False)
    for label, manifest in other.local.done.items():
        before = ran.manifest(label)
        assert manifest.ref == before.ref
        if manifest.kind == "rows":
            assert rows_of(other, label) == rows_of(ran, label), label
    assert {use for use in PARTS if len(other.manifest(STEP_OF[use]).files) > 1} == set(PARTS)


STEP_OF = {
    **{use: f"prompts · {use}" for use in ("synthesize", "curate", "embed", "diversify")},
    **{use: f"round 02 · {use}" for use in ("respond", "judge", "evaluate")},
}


def test_how_rounds_draw_changes_neither_the_judge_nor_an_answer(ran: Ran) -> None:
    draws = ["alma.diversify.method=random", "alma.respond.num_prompts=100", "alma.pool=one_initial"]
    cfg = settings("alma.rounds=2", *draws)
    other = Ran(cfg, ran.store.uri, pages=False)
    assert other.outcome.judge == ran.outcome.judge
    assert all(label.startswith(("prompts", "round 02", "round 03")) for label in other.computed())
    for label, num in (("round 02 · respond", 2), ("round 03 · respond", 1)):
        first = {str(ran.manifest(f"initial · finetune {x}").ref) for x in "ab"[:num]}
        assert set(column(other, label, "checkpoint_id")) == first
    before, after = (answers(one, "round 02 · respond") | answers(one, "round 03 · respond") for one in (ran, other))
    both = before.keys() & after.keys()
    assert len(both) > 60, "no prompt is in both"
    assert {each: before[each] for each in both} == {each: after[each] for each in both}


def rows_of(ran: Ran, label: str) -> Any:
    rows = Artifact.open(ran.store, ran.manifest(label).ref)
    assert isinstance(rows, Rows)
    return rows.table().combine_chunks()


def answers(ran: Ran, label: str) -> dict[tuple[str, str, int], str]:
    """(prompt, checkpoint, seed) → response."""
    rows = rows_of(ran, label).to_pylist()
    return {(row["prompt"], row["checkpoint_id"], row["sample_seed"]): row["response"] for row in rows}


@pytest.mark.slow
def test_two_stores_hold_equal_manifests(ran: Ran, tmp_path: Path) -> None:
    other = Ran(settings(), tmp_path)
    for label, manifest in ran.local.done.items():
        if manifest.stage != "report":  # its page states seconds
            assert other.manifest(label).to_bytes() == manifest.to_bytes(), label


def test_the_run_is_the_same_against_s3(
    ran: Ran, s3_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMA_CACHE", str(tmp_path))
    assert Ran(settings(), s3_store_uri).outcome == ran.outcome


def test_evaluation_prompts_that_are_seeds_are_refused_before_any_work(tmp_path: Path) -> None:
    """Word for word, but for the case, unless they are to be kept."""
    lines = (RUN_FILE.parent / "micro" / "sft_seeds.jsonl").read_text().splitlines()
    prompts = [{"prompt": json.loads(line)["prompt"].upper()} for line in lines[:7]]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    cfg = settings(f"alma.evaluation_prompts.source={tmp_path}/asked.jsonl", "alma.evaluation_prompts.columns={}")
    done: list[str] = []

    class Refusing(Local):
        def __call__(self, stage: str, section: Any, *, label: str, **inputs: Any) -> Any:
            done.append(label)
            return super().__call__(stage, section, label=label, **inputs)

    local = Refusing(open_store(str(tmp_path / "store")), RUN_FILE.parent, lambda *_: None, isolate=False)
    with pytest.raises(DataError, match=r"(?s)^evaluation prompts: .*7 of 7 prompts are among the 200 SFT seeds.*sft-"):
        alma(cfg, local)
    assert done[-1] == "evaluation prompts"
    assert not {"synthesize", "finetune"} & {manifest.stage for manifest in local.done.values()}


def test_the_page_tells_what_was_dropped_by_pair_of_sets(ran: Ran) -> None:
    page = Artifact.open(ran.store, ran.manifest("round 02 · report").ref)
    assert isinstance(page, Page)
    points = json.loads((page.folder / "report.json").read_text())["points"]
    pool, *_ = (each for point in points for each in point.get("overlaps", ()) if each["ours"] == "pool")
    pairs = [(each["ours"], each["theirs"]) for point in points for each in point.get("overlaps", ())]
    assert pairs == [
        ("evaluation prompts", "SFT seeds"),
        ("evaluation prompts", "judge's seeds"),
        ("held-out scores", "judge's seeds"),
        ("pool", "SFT seeds"),
        ("pool", "evaluation prompts"),
        ("pool", "held-out scores"),
        ("pool", "itself"),
    ]
    assert (pool["num"], pool["dropped"]) == (400, True)
    assert "pool against evaluation prompts" in (page.folder / "report.html").read_text()


def test_rounds_never_reuse_a_prompt(ran: Ran) -> None:
    seen: set[str] = set()
    for label in ("judge · respond", "round 02 · respond", "round 03 · respond"):
        prompts = set(column(ran, label, "prompt"))
        assert len(prompts) == (30 if label.startswith("judge") else 20)
        assert not prompts & seen
        seen |= prompts


def test_checkpoints_answer_in_equal_shares(ran: Ran) -> None:
    first, second = (str(ran.manifest(f"initial · finetune {x}").ref) for x in "ab")
    latest = str(ran.manifest("round 02 · finetune").ref)
    shares = {ref: column(ran, "round 02 · respond", "checkpoint_id").count(ref) for ref in (first, second)}
    assert shares == {first: 60, second: 60}
    shares = {ref: column(ran, "round 03 · respond", "checkpoint_id").count(ref) for ref in (first, second, latest)}
    assert shares == {first: 40, second: 40, latest: 40}


def test_every_round_starts_from_the_base_with_all_data(ran: Ran) -> None:
    base = str(ran.manifest("base model").ref)
    for round_, rows in ((2, 200 + 20), (3, 200 + 40)):
        finetune = ran.manifest(f"round {round_:02d} · finetune")
        assert finetune.inputs["model"] == base
        assert ran.manifest(f"round {round_:02d} · select").metrics["num_rows"] == pytest.approx(rows, abs=4)


def test_the_references_reach_no_stage_of_the_method(ran: Ran) -> None:
    evaluation = str(ran.manifest("evaluation prompts").ref)
    readers = {m.stage for m in ran.local.done.values() if evaluation in m.inputs.values()}
    assert readers == {"curate", "evaluate", "report", "respond"}
    pool = set(column(ran, "prompts · curate", "prompt"))
    assert not pool & set(column(ran, "evaluation prompts", "prompt"))
    # ``respond`` asks the evaluation prompts for the best-of-n curve alone, and nothing of it is trained on.
    curve = str(ran.manifest("round 01 · best-of-n judge").ref)
    assert {m.stage for m in ran.local.done.values() if curve in m.inputs.values()} == {"report"}


def test_a_training_row_can_be_traced_to_people(ran: Ran) -> None:
    rows = column(ran, "round 03 · select", "id")
    row = trace(ran.store, rows[-1])
    names = {s.name.partition("-")[0].partition("/")[0] for s in walk(row)}
    assert {"select", "judge", "respond", "diversify", "curate", "synthesize", "ingest", "finetune"} <= names
    people = [s.values["source_id"] for s in walk(row) if s.values.get("source_id")]
    assert people
    assert all(source.startswith("sft-") for source in people)


def walk(origin: Origin) -> list[Origin]:
    return [origin, *(deeper for earlier in origin.origins for deeper in walk(earlier))]


def column(ran: Ran, label: str, name: str) -> list[str]:
    return list(rows_of(ran, label)[name].to_pylist())


ABLATIONS: dict[str, tuple[list[str], Callable[[Graph], bool]]] = {
    "dpo best vs random": (
        ["alma.select.pairs=best_vs_random"],
        lambda g: (
            g["round 03 · finetune"][1]["objective"] == "dpo"
            and g["round 03 · finetune"][2]["model"] == "initial · finetune a"
            and "previous" not in g["round 02 · select"][2]
        ),
    ),
    "integer score": (["alma.select.score=integer"], lambda g: g["round 02 · select"][1]["score"] == "integer"),
    "no self-distillation": (
        ["alma.distill.enabled=false"],
        lambda g: "judge · distill" not in g and g["round 02 · judge"][2]["judge"] == "judge · finetune",
    ),
    "a judge from the base": (
        ["alma.distill.start=base"],
        lambda g: set(g["judge · distill"][2].items()) >= {("model", "base model"), ("replay", "human scores")},
    ),
    "three judges and two rating prompts": (
        ["alma.distill.num_judges=3", 'alma.distill.variants=["<s>{prompt}<assistant>{response}<rating>"]'],
        lambda g: (
            [g["judge · judge"][2].get(port) for port in ("judge", "second", "third")]
            == ["judge · finetune", "judge · finetune b", "judge · finetune c"]
            and len({g[f"judge · finetune{name}"][1]["seed"] for name in ("", " b", " c")}) == 3
            and "variants" in g["judge · judge"][1]
            and "variants" not in g["round 02 · judge"][1]
            and g["judge · distill"][2]["model"] == "judge · finetune"
        ),
    ),
    "reasons before a rating": (
        ["alma.judge.rationale={}"],
        lambda g: {each[1].get("seed") for each in g.values() if each[0] == "judge"} not in ({None}, {0}),
    ),
    "the base as a judge": (
        ["alma.base_judge_shots=3"],
        lambda g: (
            "judge · validate base" in g
            and g["judge · validate base"][2]
            == {"judge": "base model", "responses": "held-out scores", "shots": "human scores"}
            and g["judge · validate base"][1]["num_shots"] == 3
            and g["round 00 · report"][2]["heldout_base"] == "judge · validate base"
        ),
    ),
    "random prompts": (
        ["alma.diversify.method=random"],
        lambda g: "prompts · embed" not in g and g["prompts · diversify"][1]["method"] == "random",
    ),
    "latest only": (
        ["alma.pool=latest"],
        lambda g: (
            set(g["round 03 · respond"][2]) == {"prompts", "latest"}
            and set(g["round 02 · respond"][2]) == {"prompts", "first", "second"}
        ),
    ),
    "initial only": (
        ["alma.pool=initial"],
        lambda g: set(g["round 03 · respond"][2]) == {"prompts", "first", "second"},
    ),
    "one initial": (
        ["alma.pool=one_initial"],
        lambda g: (
            set(g["round 03 · respond"][2]) == {"prompts", "first"}
            and set(g["round 02 · respond"][2]) == {"prompts", "first", "second"}
        ),
    ),
    "continue from the latest": (
        ["alma.start=latest"],
        lambda g: g["round 03 · finetune"][2]["model"] == "round 02 · finetune",
    ),
    "latest data only": (["alma.data=latest"], lambda g: "previous" not in g["round 03 · select"][2]),
    "risk averse": (["alma.select.score=risk_averse"], lambda g: g["round 02 · select"][1]["score"] == "risk_averse"),
    "length tier": (
        ["alma.select.length_tolerance=0.5"],
        lambda g: g["round 02 · select"][1]["length_tolerance"] == 0.5,
    ),
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_is_a_setting(name: str) -> None:
    overrides, holds = ABLATIONS[name]
    assert not holds(traced(settings())), "the ablation is already the default"
    assert holds(traced(settings(*overrides)))


@pytest.mark.parametrize("name", ["dpo best vs random", "latest data only", "no self-distillation"])
def test_an_ablation_runs_and_shares_what_it_does_not_change(ran: Ran, name: str) -> None:
    other = Ran(settings("alma.rounds=1", *ABLATIONS[name][0]), ran.store.uri)
    assert "prompts · synthesize" not in other.computed()
    assert ("round 02 · judge" in other.computed()) == (name == "no self-distillation"), (
        "its rows follow from the judge"
    )
    assert other.outcome.model != ran.outcome.model
    assert find_manifest(ran.store, Ref.parse(str(other.outcome.model)))


def test_the_plan_counts_what_the_run_makes(ran: Ran) -> None:
    planned = {step.label: step for step in plan(settings(), prompt_tokens=10, response_tokens=5)}
    assert list(planned) == list(ran.local.done)
    for label in ("prompts · synthesize", "judge · respond", "round 03 · respond", "round 03 · judge"):
        assert planned[label].rows == ran.manifest(label).num_rows
