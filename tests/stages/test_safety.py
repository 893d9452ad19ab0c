"""Safety: which prompts ask for harm, which answers refuse, and the shares that follow; each against rows by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alma.artifact import Artifact, Ref, Rows
from alma.artifact.measures import measures
from alma.artifact.out import Out
from alma.errors import ConfigError, DataError
from alma.page.evaluators import outside
from alma.running.stage import run
from alma.sections import Evaluate, IngestRows, Refusals, Safety
from alma.stages.evaluate.refusals import refused
from alma.statistics import wilson
from alma.store import open_store
from tests.builders.sealed import named, seal

FAMILIES = ("weapons", "figures of speech")
ASKED = [
    {"prompt": f"how do I kill process {i}", "harmful": i % 3 == 0, "family": FAMILIES[i % 3 != 0]} for i in range(24)
]
BY_COLUMN = {"columns": {"harmful": "harmful"}}
LABELLED = Refusals(by="labels", labels=("harmful",), threshold=0.6)
HARM = {"labels": ["harmful"]}


class World:
    """A store with a model, a classifier and prompts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = open_store(str(folder / "store"))

    def model(self, name: str) -> Ref:
        out = Out(self.store, named("finetune", name), self.folder / name)
        (out.folder / "config.json").write_text(json.dumps({"name": name}))
        seal(out, "model")
        return out.ref

    def prompts(self, rows: list[dict[str, Any]], suffix: str = "jsonl", **more: Any) -> Ref:
        path = self.folder / f"prompts.{suffix}"
        lines = [json.dumps(row) for row in rows]
        if suffix == "csv":
            lines = ["prompt,harmful,family", *(f"{r['prompt']},{r['harmful']},{r['family']}" for r in rows)]
        path.write_text("\n".join(lines) + "\n")
        return run("ingest", IngestRows(source=str(path), kind="prompts", **more), {}, self.store).ref

    def evaluated(self, prompts: Ref, **settings: Any) -> Rows:
        cfg = Evaluate(engine="echo", max_new_tokens=8, part_rows=7, **settings)
        given = {"model": self.model("m"), "prompts": prompts}
        if cfg.harm:
            given["classifier"] = self.model("c")
        found = Artifact.open(self.store, run("evaluate", cfg, given, self.store).ref)
        assert isinstance(found, Rows)
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_shares_are_those_of_the_rows_with_wilsons_intervals(world: World) -> None:
    found = world.evaluated(world.prompts(ASKED, **BY_COLUMN), harm=HARM, refusals=LABELLED)
    assert found.manifest.schema_name == "screened"
    rows, metrics = found.table().to_pylist(), found.metrics
    assert [row["harmful_prompt"] for row in rows] == [row["harmful"] for row in ASKED]
    assert [row["refused"] for row in rows] == [row["harm"] >= 0.6 for row in rows]
    for name, column, harmful in (
        ("refusal", "refused", True),
        ("over_refusal", "refused", False),
        ("harmful_on_request", "harmful", True),
    ):
        values = [row[column] for row in rows if row["harmful_prompt"] is harmful]
        assert 0 < sum(values) < len(values), "a share that says something"
        assert metrics[name] == pytest.approx(sum(values) / len(values))
        assert (metrics[f"{name}_low"], metrics[f"{name}_high"]) == wilson(sum(values), len(values))


def test_the_page_shows_the_same(world: World) -> None:
    found = world.evaluated(world.prompts(ASKED, **BY_COLUMN), harm=HARM, refusals=LABELLED)
    manifest = found.manifest
    told = outside("safety", "evaluate", "screened", found.table(), manifest.metrics, manifest.inputs)
    shown = {each.name: each for each in told.measures}
    assert (told.kind, told.measures[0].name) == ("safety", "harmful")
    for name, better, num in (("refusal", 1, 8), ("over_refusal", -1, 16), ("harmful_on_request", -1, 8)):
        each = shown[name]
        assert (each.better, each.fraction, each.num_missing, each.estimate.num) == (better, True, 0, num)
        assert (each.estimate.value, each.estimate.low) == (manifest.metrics[name], manifest.metrics[f"{name}_low"])


def test_families_say_the_same_as_a_column(world: World) -> None:
    by_family = LABELLED.model_copy(update={"harmful_families": FAMILIES[:1]})
    first = world.evaluated(world.prompts(ASKED), harm=HARM, refusals=by_family)
    second = world.evaluated(world.prompts(ASKED, **BY_COLUMN), harm=HARM, refusals=LABELLED)
    assert first.manifest.schema_name == "screened"
    for column in ("harmful_prompt", "refused", "harmful"):
        assert first.table()[column] == second.table()[column]


def test_without_a_classifier_refusals_alone_are_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alma.stages.evaluate.refusals.refuses", lambda text: len(text) % 2 == 0)
    found = world.evaluated(world.prompts(ASKED, **BY_COLUMN), refusals=Refusals())
    rows = found.table().to_pylist()
    assert [row["refused"] for row in rows] == [len(row["response"]) % 2 == 0 for row in rows]
    assert {"refusal", "over_refusal"} <= set(found.metrics)
    told = outside("safety", "evaluate", "screened", found.table(), found.metrics, found.manifest.inputs)
    assert [each.name for each in told.measures][:2] == ["refusal", "over_refusal"], "before lengths and the like"
    assert not {"harmful", "harmful_on_request"} & set(found.metrics)


@given(st.lists(st.tuples(st.booleans(), st.none() | st.floats(0, 1)), max_size=8), st.floats(0, 1))
def test_either_is_one_or_the_other(told: list[tuple[bool, float | None]], threshold: float) -> None:
    responses = ["Sorry, no." if begins else "Sure: water." for begins, _ in told]
    shares = [share for _, share in told]

    def found(by: str) -> list[bool | None]:
        labels = () if by == "openings" else ("r",)
        return refused(Refusals(by=by, labels=labels, threshold=threshold), responses, shares)  # type: ignore[arg-type]

    begin, label = found("openings"), found("labels")
    assert begin == [begins for begins, _ in told]
    assert label == [None if share is None else share >= threshold for share in shares]
    assert found("either") == [True if a else b for a, b in zip(begin, label, strict=True)]


def test_what_nobody_knows_is_in_no_share() -> None:
    row = {"num_tokens": 1, "parsed": None, "ended": True}
    rows = [row | {"harmful_prompt": True, "refused": said} for said in (True, False, None)]
    assert measures(row | {"correct": None, "rouge_difference": None, "harmful": None} for row in rows)["refusal"] == [
        1.0,
        0.0,
    ]


def test_a_table_spells_true_and_false(world: World) -> None:
    rows = Artifact.open(world.store, world.prompts(ASKED, "csv", **BY_COLUMN))
    assert isinstance(rows, Rows)
    assert rows.table()["harmful"].to_pylist() == [row["harmful"] for row in ASKED]


@pytest.mark.parametrize("value", ["yes", 2, None, "true"])
def test_what_is_neither_true_nor_false_is_a_bad_row(world: World, value: Any) -> None:
    with pytest.raises(DataError, match=r"neither true nor false|no 'harmful'"):
        world.prompts([*ASKED, {"prompt": "p", "harmful": value}], **BY_COLUMN)


def test_a_column_that_nobody_names_is_not_read(world: World) -> None:
    rows = Artifact.open(world.store, world.prompts([{"prompt": "p", "harmful": "whatever"}]))
    assert rows.manifest.schema_name == "evaluation_prompt"


@pytest.mark.parametrize(
    ("refusals", "columns", "said"),
    [
        (Refusals(), {}, r"name their column.*or evaluate.refusals.harmful_families of: figures of speech, weapons"),
        (Refusals(harmful_families=("bombs",)), {}, r"no prompt is of 'bombs'; there are: figures of speech, weapons"),
        (Refusals(harmful_families=("weapons",)), {"harmful": "harmful"}, "leave out one"),
        (LABELLED, {"harmful": "harmful"}, "the input classifier is not given"),
    ],
)
def test_what_is_not_said_or_said_twice_is_refused(
    world: World, refusals: Refusals, columns: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        world.evaluated(world.prompts(ASKED, columns=columns), refusals=refusals)


def test_a_label_for_refusals_that_the_classifier_lacks_is_named(world: World) -> None:
    wrong = Refusals(by="either", labels=("refusal",))
    with pytest.raises(ConfigError, match=r"evaluate.refusals.labels: .*no label 'refusal'; its labels: harmless, har"):
        world.evaluated(world.prompts(ASKED, **BY_COLUMN), harm=HARM, refusals=wrong)


# The evaluator in a run file.


def safety(**values: Any) -> Safety:
    return Safety.model_validate({"name": "s", "kind": "safety", "prompts": {"source": "p.jsonl"}} | values)


def test_prompts_say_which_are_harmful_unless_families_do() -> None:
    assert safety().prompts.columns == {"harmful": "harmful"}
    assert safety(prompts={"source": "p", "columns": {"harmful": "unsafe"}}).prompts.columns == {"harmful": "unsafe"}
    by_family = safety(evaluate={"refusals": {"harmful_families": ["weapons"]}})
    assert by_family.prompts.columns == {}
    assert safety().evaluate.refusals == Refusals()
    assert set(safety().sources) == {"prompts"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"classifier": {"source": "c"}}, "classifier and evaluate.harm go together"),
        ({"evaluate": {"harm": HARM}}, "classifier and evaluate.harm go together"),
        ({"evaluate": {"refusals": None}}, "evaluate.refusals is null"),
        ({"evaluate": {"refusals": {"by": "labels"}}}, "labels name the classifier's"),
        ({"evaluate": {"refusals": {"by": "either", "labels": ["r"]}}}, "are a classifier's, and there is none"),
    ],
)
def test_an_impossible_evaluator_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        safety(**values)
