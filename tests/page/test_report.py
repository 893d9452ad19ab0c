"""The report: true estimates, honest gaps, and model text that stays text."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alma.artifact import Artifact
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.config import Alma
from alma.errors import ConfigError, DataError
from alma.monitor import dashboard
from alma.page import figure, headline, measure, numbers, quality, render, samples, training
from alma.page.cost import cost
from alma.page.numbers import Point
from alma.page.text import device_time
from alma.sections import Report
from alma.stages import report
from alma.store import Store, open_store
from alma.text.visible import visible
from tests.builders.page import HOSTILE, Elements
from tests.builders.sealed import named, seal

QUICK = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""

# A small world with a truth: what a run of a few rounds would leave, made of chance and nothing else.

FAMILIES: dict[str, Callable[[str], str]] = {
    "copy": lambda w: w,
    "reverse": lambda w: w[::-1],
    "sort": lambda w: "".join(sorted(w)),
    "double": lambda w: "".join(c + c for c in w),
    "first": lambda w: w[:2],
    "last": lambda w: w[-2:],
    "next": lambda w: "".join(chr(ord(c) + 1) for c in w),
    "swap": lambda w: w[-1] + w[1:-1] + w[0],
    "count": lambda w: str(len(w)),
    "drop": lambda w: w.replace(w[0], ""),
}
PAGE: Report = Alma.model_fields["report"].default

LABELS = ("base", "round 01", "round 02", "round 03", "round 04", "round 05", "round 06")


class World:
    """Artifacts of a run in a store. ``skill`` of point 0, 1, … is how often an answer is right."""

    def __init__(self, store: Store, scratch: Path, num_prompts: int, num_samples: int, num_evaluation: int) -> None:
        self.store, self.scratch = store, scratch
        self.num_prompts, self.num_samples, self.num_evaluation = num_prompts, num_samples, num_evaluation
        self.rng = np.random.default_rng(7)
        self.keys = itertools.count(1)
        self.union: list[dict[str, Any]] = []
        self.base = self.model("ingest", {}, 2.0)
        self.judge = self.model("finetune", {"model": self.base}, 90.0)
        self.first, self.second = (self.model("finetune", {"model": self.base}, 40.0) for _ in range(2))
        self.latest = self.first
        words = ["".join(self.rng.choice(list("abcdefghij"), self.rng.integers(3, 6))) for _ in range(num_evaluation)]
        names = list(FAMILIES)
        asked = [(names[i % len(names)], word) for i, word in enumerate(words)]
        self.evaluation = self.rows(
            "ingest",
            "evaluation_prompt",
            [
                {
                    "id": f"eval-{i}",
                    "source_id": str(i),
                    "prompt": f"{f} {w}",
                    "reference": FAMILIES[f](w),
                    "family": f,
                }
                for i, (f, w) in enumerate(asked)
            ],
        )

    def seal(self, out: Out, kind: Any, seconds: float, tokens: int) -> Artifact:
        seal(out, kind, {"num_tokens": tokens})
        cost = {"seconds": seconds, "tokens": tokens, "device": "cpu"}
        self.store.write(f"{out.ref}/cost.json", json.dumps(cost).encode())
        return Artifact.open(self.store, out.ref)

    def out(self, stage: str, inputs: dict[str, Artifact] | None = None) -> Out:
        given = {port: str(artifact.ref) for port, artifact in (inputs or {}).items()}
        ref = named(stage, next(self.keys), inputs=given)
        return Out(self.store, ref, self.scratch / str(ref))

    def rows(
        self,
        stage: str,
        schema: str,
        rows: list[dict[str, Any]],
        inputs: dict[str, Artifact] | None = None,
        seconds: float = 1.0,
        tokens: int = 0,
    ) -> Any:
        out = self.out(stage, inputs)
        out.write(pa.Table.from_pylist(rows, schema=SCHEMAS[schema]), schema, 100_000)
        return self.seal(out, "rows", seconds, tokens)

    def model(self, stage: str, inputs: dict[str, Artifact], seconds: float, floor: float = 0.4) -> Any:
        out = self.out(stage, inputs)
        (out.folder / "config.json").write_text("{}")
        if stage == "finetune":
            steps = np.arange(1, 121)
            losses = floor + 1.4 * np.exp(-steps / 25) + self.rng.normal(0, 0.04, steps.size)
            lines = [
                {"step": int(s), "loss": float(v), "learning_rate": 1e-4, "grad_norm": 1.0, "tokens": 4000}
                for s, v in zip(steps, losses, strict=True)
            ]
            (out.folder / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return self.seal(out, "model", seconds, 480_000 if stage == "finetune" else 0)

    def answer(self, family: str, word: str, skill: float) -> tuple[str, bool]:
        right = FAMILIES[family](word)
        if self.rng.random() < skill ** (1 + list(FAMILIES).index(family) / 6):
            return right, True
        wrong = self.rng.choice([right[:-1], right + right[-1:], "the " + right, right[::-1], word, "hm ok " + word])
        return str(wrong), str(wrong) == right

    def opinion(self, correct: bool, length: int) -> dict[str, Any]:
        mean = float(np.clip(self.rng.normal(8.6 if correct else 5.2, 1.1 if correct else 1.7) + 0.02 * length, 0, 10))
        mass = float(self.rng.beta(60, 1.2))
        return {"mean": mean, "std": 0.9, "integer": round(mean), "mass": mass, "parsed": mass >= 0.85}

    def result(self, skill: float, checkpoint: Artifact, length: float) -> Any:
        rows = []
        for asked in self.evaluation.table().to_pylist():
            family, word = asked["prompt"].split()
            response, correct = self.answer(family, word, skill)
            opinion = self.opinion(correct, len(response))
            rows.append(
                {
                    **{name: asked[name] for name in ("family", "prompt", "reference")},
                    **{name: opinion[name] for name in ("mean", "std", "parsed")},
                    "id": f"result-{asked['id']}",
                    "prompt_id": asked["id"],
                    "checkpoint_id": str(checkpoint.ref),
                    "judge_id": str(self.judge.ref),
                    "response": response,
                    "num_tokens": len(response) + 1 + int(self.rng.poisson(length)),
                    "ended": bool(self.rng.random() < (0.6 if length > 3 else 0.99)),
                    "correct": correct,
                }
            )
        tokens = sum(row["num_tokens"] for row in rows)
        inputs = {"model": checkpoint, "judge": self.judge, "prompts": self.evaluation}
        return self.rows("evaluate", "result", rows, inputs, 9.0, tokens)

    def judgement(self, prompt_id: str, prompt: str, checkpoint: Artifact | None, index: int, skill: float) -> Any:
        family, word = prompt.split()
        response, correct = self.answer(family, word, skill)
        return {
            **self.opinion(correct, len(response)),
            "id": f"judge-{next(self.keys)}",
            "response_id": f"respond-{prompt_id}-{index}",
            "prompt_id": prompt_id,
            "judge_id": str(self.judge.ref),
            "checkpoint_id": str(checkpoint.ref) if checkpoint else None,
            "prompt": prompt,
            "response": response,
            "num_tokens": len(response) + 1,
            "ended": True,
            "probs": [1 / 11] * 11,
            "human_score": None,
        }

    def heldout(self, noise: float) -> Any:
        rows = []
        for i in range(self.num_evaluation):
            prompt = f"{list(FAMILIES)[i % 10]} {'abcde'[: 3 + i % 3]}{i}"
            for side in range(2):
                row = self.judgement(f"score-{i}-{side}", prompt, None, side, 0.5)
                human = float(np.clip(round(row["mean"] + self.rng.normal(0, noise)), 0, 10))
                rows.append(row | {"num_tokens": None, "ended": None, "human_score": human})
        return self.rows("judge", "judgement", rows, {"judge": self.judge}, 3.0)

    def pool(self) -> Any:
        rows = []
        for i in range(8 * self.num_prompts):
            cluster = int(self.rng.zipf(1.6)) % 40
            angle, away = cluster * 2.4, 0.4 + 0.12 * (cluster % 7)
            x, y = self.rng.normal((away * math.cos(angle), away * math.sin(angle)), 0.05)
            prompt = f"{list(FAMILIES)[cluster % 10]} word{i}"
            rows.append(
                {"id": f"draw-{i}", "prompt_id": f"p-{i}", "prompt": prompt, "cluster": cluster, "x": x, "y": y}
            )
        return self.rows("diversify", "draw", rows, {"embeddings": self.embedded()}, 6.0)

    def embedded(self) -> Any:
        candidates = self.rows("synthesize", "candidate", [], {"model": self.base}, 130.0, 900_000)
        return self.rows("embed", "embedding", [], {"prompts": candidates, "model": self.base}, 22.0, 0)

    def point(self, number: int, skill: float) -> dict[str, Any]:
        """The inputs of the report of point ``number``."""
        if number == 0:
            return {"evaluation": self.result(skill, self.base, 6.0), "prompts": self.pool()}
        if number == 1:
            return {
                "evaluation": self.result(skill, self.first, 0.2),
                "heldout": self.heldout(1.0),
                "heldout_first": self.heldout(1.6),
                "heldout_base": self.heldout(3.0),
                "training": self.first,
                "curve": self.curve(skill),
                "references": self.evaluation,
            }
        pool = [self.first, self.second] + ([self.latest] if self.latest is not self.first else [])
        rows = []
        for p in range(self.num_prompts):
            word = "".join(self.rng.choice(list("abcdefghij"), 4))
            prompt = f"{list(FAMILIES)[int(self.rng.zipf(1.5)) % 10]} {word}"
            rows += [
                self.judgement(f"p{number}-{p}", prompt, pool[n % len(pool)], n, skill - 0.1 + 0.06 * (n % len(pool)))
                for n in range(self.num_samples)
            ]
        responses = self.rows(
            "respond", "response", [], {"first": self.first, "latest": self.latest}, 95.0 + 4 * number, len(rows) * 6
        )
        judged = self.rows("judge", "judgement", rows, {"responses": responses, "judge": self.judge}, 41.0)
        for _, several in itertools.groupby(rows, key=lambda row: row["prompt_id"]):
            best = max((row for row in several if row["parsed"]), key=lambda row: row["mean"])
            self.union.append(
                {name: best[name] for name in ("prompt_id", "prompt", "response", "num_tokens")}
                | {"id": f"select-{len(self.union)}", "judgement_id": best["id"], "round": number}
                | {"score": best["mean"]}
            )
        selected = self.rows("select", "example", self.union, {"judgements": judged}, 1.0)
        self.latest = self.model(
            "finetune", {"model": self.base, "rows": selected}, 48.0 + 9 * number, 0.4 - number / 40
        )
        return {
            "evaluation": self.result(skill, self.latest, 0.25 + number / 20),
            "judgements": judged,
            "selected": selected,
            "training": self.latest,
        }

    def curve(self, skill: float) -> Any:
        rows = [
            self.judgement(each["id"], each["prompt"], (self.first, self.second)[n % 2], n, skill)
            for each in self.evaluation.table().to_pylist()
            for n in range(2 * self.num_samples)
        ]
        inputs = {"prompts": self.evaluation, "first": self.first, "second": self.second}
        responses = self.rows("respond", "response", [], inputs, 60.0, 6 * len(rows))
        return self.rows("judge", "judgement", rows, {"judge": self.judge, "responses": responses}, 30.0)

    def report(self, number: int, previous: Any, inputs: dict[str, Any], **settings_: Any) -> Any:
        cfg = PAGE.changed(**({"label": LABELS[number], "round": number} | settings_))
        out = self.out("report", {name: each for name, each in inputs.items() if each is not None})
        metrics = report.run(cfg, previous=previous, **inputs, out=out)
        assert all(math.isfinite(value) for value in metrics.values())
        return self.seal(out, "page", 2.0, 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    return World(
        open_store(str(folder / "store")), folder / "scratch", num_prompts=12, num_samples=6, num_evaluation=60
    )


@pytest.fixture(scope="module")
def pages(world: World) -> list[Any]:
    """The reports of the base model, the initial SFT and one round."""
    found: list[Any] = []
    for number, skill in enumerate((0.4, 0.7, 0.85)):
        found.append(world.report(number, found[-1] if found else None, world.point(number, skill)))
    return found


def html_of(page: Any) -> str:
    return str((page.folder / "report.html").read_text("utf-8"))


def numbers_of(page: Any) -> numbers.Report:
    return numbers.Report.model_validate_json((page.folder / "report.json").read_bytes())


# Numbers.


def test_intervals_of_few_values_are_not_made_up() -> None:
    assert numbers.Estimate.mean([]) is None
    assert numbers.Estimate.fraction(0, 0) is None
    assert numbers.Estimate.mean([3.0]) == numbers.Estimate(value=3.0, low=None, high=None, num=1)


def test_the_curve_leaves_unusable_samples_out_and_is_exact() -> None:
    rows: list[tuple[Any, ...]] = [
        ("p", "yes", 9.0, True, True),
        ("p", "no", 7.0, True, True),
        ("p", "no", 10.0, False, True),
        ("p", "yes", 10.0, True, False),
        ("p", "yes", 3.0, True, True),
        ("q", "no", 5.0, True, True),
        ("q", "no", 4.0, True, True),
        ("q", "no", 4.0, True, True),
        ("q", "yes", 10.0, True, True, "Rating: [["),
    ]
    rows = [(*row, None)[:6] for row in rows]
    names = ("prompt_id", "response", "mean", "parsed", "ended", "marker")
    table = pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})
    curve = measure.best_of_n(table, {"p": "yes", "q": "yes"}, lambda a, b: a == b)
    assert curve.n == (1, 2, 3)
    assert [each.value for each in curve.pick] == pytest.approx([1 / 3, 1 / 3, 1 / 2])
    assert [each.value for each in curve.any_correct] == pytest.approx([1 / 3, 1 / 2, 1 / 2])
    assert curve.score[-1].value == pytest.approx(7.0)
    with pytest.raises(DataError, match="'q', which is not an evaluation prompt"):
        measure.best_of_n(table, {"p": "yes"}, lambda a, b: a == b)


@pytest.mark.slow
def test_points_say_what_the_tables_say(world: World, pages: list[Any]) -> None:
    report_ = numbers_of(pages[-1])
    assert [point.label for point in report_.points] == ["base", "round 01", "round 02"]
    base, first, last = report_.points
    assert (base.sampling, base.training, first.prompts) == (None, None, None)
    assert last.quality is not None
    assert last.sampling is not None
    assert last.selection is not None
    assert last.quality.num_prompts == 60
    families = last.quality.families
    for over, kind in ((last.quality.exact_match_by_family, "exact_match"), (last.quality.score_by_family, "score")):
        each = [getattr(family, kind).value for family in families]
        assert over is not None
        assert (over.value, over.num) == (pytest.approx(sum(each) / len(each)), len(families))
        assert over.low is not None
        assert over.low < over.value
    assert sum(last.sampling.histogram) == 72 - last.sampling.num_unparsed
    assert sum(each.selected for each in last.sampling.checkpoints) == last.selection.num_new == 12
    assert [each.id for each in last.sampling.checkpoints] == [str(world.first.ref), str(world.second.ref)]
    assert first.judge is not None
    assert first.judge_first is not None
    assert first.judge_base is not None
    errors = [each.readings[1].error for each in (first.judge, first.judge_first, first.judge_base)]
    assert errors == sorted(errors)
    names = ("base, shown examples", "human labels only", "+ self-distillation")
    assert all(f"{name}, real-valued" in html_of(pages[-1]) for name in names)


def test_work_counts_every_ancestor_once(world: World, pages: list[Any]) -> None:
    refs = [cost.ref for point in numbers_of(pages[-1]).points for cost in point.costs]
    assert len(refs) == len(set(refs))
    assert {str(world.base.ref), str(world.judge.ref), str(world.second.ref)} <= set(refs)
    assert {ref.split("/")[0] for ref in refs} == {
        "ingest", "synthesize", "embed", "diversify", "finetune", "respond", "judge", "select", "evaluate"
    }  # fmt: skip


def test_seeds_are_not_counted_as_selected() -> None:
    seed = {"id": "s", "judgement_id": None, "prompt_id": "p", "round": 1, "prompt": "a", "response": "b"}
    made = seed | {"id": "t", "judgement_id": "j", "round": 2, "score": 7.0, "num_tokens": 4}
    selection = measure.selection(pa.Table.from_pylist([seed, made], schema=SCHEMAS["example"]))
    assert (selection.num, selection.num_new) == (1, 1)


def test_pairs_are_selected_by_their_chosen_side() -> None:
    row = {"id": "s", "chosen_id": "j1", "rejected_id": "j2", "prompt_id": "p", "round": 2, "prompt": "a"}
    row |= {"chosen": "b", "rejected": "c", "chosen_score": 9.0, "rejected_score": 2.0}
    table = pa.Table.from_pylist([row | {"round": 1}, row | {"chosen_id": "j3"}], schema=SCHEMAS["preference"])
    assert measure.selected_ids(table) == {"j1", "j3"}
    selection = measure.selection(table)
    assert (selection.kind, selection.num, selection.num_new) == ("pairs", 2, 1)
    assert selection.distinct is not None
    assert selection.distinct.value == 0.5


# The page.


@pytest.mark.parametrize("number", [0, 1, 2], ids=["base", "initial", "round"])
def test_page_is_whole_and_reaches_for_nothing(pages: list[Any], number: int) -> None:
    page = html_of(pages[number])
    elements = Elements(page)
    assert len(page) < 3_000_000
    tags = {tag for tag, _ in elements.found}
    assert not tags & {"link", "img", "iframe", "object", "base", "form"}
    for _, attributes in elements.found:
        for name in ("src", "href", "xlink:href", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"url\((?!#)|@import", page)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    links = {attributes["href"] for tag, attributes in elements.found if tag == "a"}
    assert links <= {f"#{each}" for each in ids}
    own = [each for each in ids if each is not None and not re.fullmatch(r"[mphC].*[0-9a-f]{10}.*", each)]
    assert len(own) == len(set(own))
    assert "nan" not in re.findall(r"\bnan\b", elements.text)


def test_policy_names_the_script_it_runs(pages: list[Any]) -> None:
    import base64
    import hashlib

    elements = Elements(html_of(pages[-1]))
    policy = next(a["content"] for tag, a in elements.found if tag == "meta" and "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(elements.scripts[1].encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "innerHTML" not in elements.scripts[1]


def test_headline_compares_with_the_first_trained_point(pages: list[Any]) -> None:
    shown = Elements(html_of(pages[-1])).text
    assert "From round 01 to round 02, correct answers went from" in shown
    assert "(arXiv 2412.04305): one feedback round, evaluated on 60 held-out prompts." in shown
    assert "The untrained model, base, stands at" in shown


def test_headline_measures_the_gain_from_the_base_behind_examples(world: World) -> None:
    """And the page shows both ways of asking the base."""
    asked = [world.result(skill, world.base, 0).table() for skill in (0.1, 0.4)]
    shown = asked[1].append_column("shot_ids", pa.array([["a", "b", "c"]] * asked[1].num_rows))
    quality_of = [measure.quality(each) for each in (asked[0], shown, world.result(0.9, world.first, 0).table())]
    trained = numbers.Training(step=(1,), loss=(1.0,), num_steps=1, num_tokens=1)
    points = (
        numbers.Point(label="round 00", round=0, quality=quality_of[0], few_shot=quality_of[1]),
        numbers.Point(label="round 01", round=1, quality=quality_of[2], training=trained),
    )
    page = numbers.Report(title="t", about="about", sections=("quality",), points=points)
    whole = headline.headline(page)
    values = [f"{100 * each.exact_match.value:.1f}%" for each in quality_of if each.exact_match]
    told = " ".join(whole.sentences)
    assert (
        f"behind 3 examples (round 00, 3-shot) to round 01, correct answers went from {values[1]} to {values[2]}"
        in told
    )
    assert f"The first training, round 01, stands at {values[2]}." in told
    assert f"The untrained model, round 00, asked without examples, stands at {values[0]}." in told
    (correct, *_) = quality.quality(points).charts
    assert [row[0] for row in correct.table.rows] == ["round 00", "round 00, 3-shot", "round 01"]
    read = numbers.Report.model_validate_json(page.model_dump_json())
    assert read == page
    assert "few_shot" not in json.loads(page.model_dump_json())["points"][1]


def test_hostile_text_stays_text(world: World, tmp_path: Path) -> None:
    evaluation = [
        row | {"prompt": HOSTILE, "response": HOSTILE, "reference": HOSTILE, "family": HOSTILE}
        for row in world.result(0.5, world.first, 0.2).table().to_pylist()
    ]
    rows = [
        world.judgement(f"h{p}", "copy abc", world.first, n, 0.5) | {"prompt": HOSTILE, "response": HOSTILE + str(n)}
        for p in range(2)
        for n in range(3)
    ]
    inputs = {
        "evaluation": world.rows("evaluate", "result", evaluation),
        "judgements": world.rows("judge", "judgement", rows),
    }
    page = html_of(world.report(0, None, inputs, title=HOSTILE, label=HOSTILE))
    elements = Elements(page)
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert "img" not in {tag for tag, _ in elements.found}
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u2066]", page)
    data = json.loads(elements.scripts[0])
    assert data["answers"]["rows"][0]["text"] == visible(HOSTILE)
    assert data["rounds"]["rows"][0]["prompt"] == visible(HOSTILE)
    assert "⟨U+202E⟩gnp.exe" in elements.text


@QUICK
@given(st.recursive(st.text() | st.booleans(), lambda c: st.lists(c) | st.dictionaries(st.text(), c), max_leaves=5))
def test_script_json_round_trips_and_cannot_end_its_element(value: Any) -> None:
    written = samples.script_json(value)
    assert json.loads(written) == value
    assert not set(written) & set("<>&'")
    assert written.isascii()


@QUICK
@given(st.text())
def test_visible_text_has_no_control_or_direction_marks(given_: str) -> None:
    shown = visible(given_)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert visible(shown) == shown


def test_equal_numbers_give_equal_bytes(pages: list[Any]) -> None:
    report_ = numbers_of(pages[0])
    empty = {name: {"label": "x", "rows": [], "total": 0} for name in ("rounds", "answers")}
    assert render(report_, empty) == render(report_, empty)


NOTHING = ("No evaluation was given", "No held-out human scores", "No round has sampled", "The pool of prompts was not")


@pytest.mark.parametrize(
    ("given_", "missing"),
    [
        pytest.param((), NOTHING, id="nothing"),
        pytest.param(("evaluation",), NOTHING[1:], id="evaluation-only"),
        pytest.param(("judgements",), (NOTHING[0], NOTHING[1], NOTHING[3]), id="judgements-only"),
        pytest.param(("selected", "training"), NOTHING, id="selected-without-judgements"),
    ],
)
def test_missing_inputs_are_said(world: World, given_: tuple[str, ...], missing: tuple[str, ...]) -> None:
    everything = world.point(2, 0.7)
    page = html_of(world.report(2, None, {name: everything[name] for name in given_}))
    shown = Elements(page).text
    for sentence in missing:
        assert sentence in shown
    for sentence in set(NOTHING) - set(missing):
        assert sentence not in shown


def test_without_references_only_the_judge_speaks(world: World) -> None:
    rows = [
        row | {"reference": None, "family": None, "correct": None}
        for row in world.result(0.6, world.first, 0.2).table().to_pylist()
    ]
    curve = world.curve(0.6)
    page = world.report(1, None, {"evaluation": world.rows("evaluate", "result", rows), "curve": curve})
    shown = Elements(html_of(page)).text
    assert "no references, so which answers are correct is unknown" in shown
    assert "so whether the picks are correct is unknown" in shown
    assert "correct answers" not in shown


def test_a_gamed_judge_is_called_out(world: World) -> None:
    before, after = (world.result(skill, world.first, 0.2).table() for skill in (0.95, 0.2))
    raised = after.set_column(after.schema.get_field_index("mean"), "mean", pa.array([9.9] * 60, pa.float32()))
    points = tuple(
        numbers.Point(label=label, round=n, quality=measure.quality(table))
        for n, (label, table) in enumerate((("first", before), ("last", raised)))
    )
    empty = {name: {"label": "x", "rows": [], "total": 0} for name in ("rounds", "answers")}
    shown = Elements(render(numbers.Report(title="t", sections=PAGE.sections, points=points), empty)).text
    assert "The judge's score rose while correct answers fell: the judge is being gamed." in shown
    assert ", a loss." in shown


# What may go wrong.


def test_a_label_is_used_once(world: World, pages: list[Any]) -> None:
    with pytest.raises(ConfigError, match=r"report.label = 'base' is a point of report/\w+ already"):
        world.report(0, pages[0], {})


def test_foreign_numbers_are_refused(world: World) -> None:
    out = world.out("report")
    (out.folder / "report.json").write_text('{"format": 2, "title": "t", "sections": [], "points": [{"label": 3}]}')
    page = world.seal(out, "page", 1.0, 0)
    with pytest.raises(DataError, match=r"report.json: points.0.label: .* make that report again"):
        world.report(0, page, {})


def test_an_evaluation_is_of_one_checkpoint(world: World) -> None:
    two = pa.concat_tables([world.result(0.5, model, 0.2).table() for model in (world.first, world.second)])
    with pytest.raises(DataError, match="an evaluation is of one checkpoint; these rows are of 2"):
        measure.quality(two)


def test_a_prompt_too_long_to_be_answered_is_no_answer(world: World) -> None:
    table = world.result(0.5, world.first, 0.2).table()
    unasked = {"response": "", "num_tokens": 0, "ended": False, "parsed": False, "mean": 0.0, "correct": None}
    rows = table.sort_by("prompt_id").to_pylist()
    some = pa.Table.from_pylist([*rows[:-3], *(row | unasked for row in rows[-3:])], schema=table.schema)
    with_some, without = measure.quality(some), measure.quality(pa.Table.from_pylist(rows[:-3], schema=table.schema))
    assert (with_some.num_prompts, with_some.num_unparsed) == (len(rows), without.num_unparsed)
    assert with_some.tokens == without.tokens
    assert (with_some.tokens_median, with_some.ended) == (without.tokens_median, without.ended)
    none = measure.quality(pa.Table.from_pylist([row | unasked for row in rows], schema=table.schema))
    assert (none.tokens, none.ended, none.num_unparsed) == (None, None, 0)
    assert quality.length([Point(label="a", round=0, quality=none)]).charts


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(9.94, "9.9 s"), (99, "99 s"), (119.4, "1 min 59 s"), (119.7, "2 min 0 s"), (3599.8, "1.0 h"), (18720, "5.2 h")],
)
def test_no_minute_has_sixty_seconds(seconds: float, said: str) -> None:
    assert device_time(seconds) == said


# The sample browser.


def test_samples_show_the_selected_response_and_stay_in_budget(world: World) -> None:
    rows = [
        world.judgement(f"b{p}", "copy abc", world.first, n, 0.5)
        | {"response": f"{n} " + "long " * 2000, "parsed": True}
        for p in range(40)
        for n in range(30)
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["judgement"])
    by_score = sorted((row for row in rows if row["prompt_id"] == "b7"), key=lambda row: -row["mean"])
    unlikely = by_score[17]["id"]
    shown, total = samples.round_samples(table, {unlikely}, {}, 40, seed=1)
    assert total == 40
    assert 0 < len(shown) <= 40
    assert sum(len(samples.script_json(row)) for row in shown) <= samples.ROUND_BYTES
    again, _ = samples.round_samples(table, {unlikely}, {}, 40, seed=1)
    assert shown == again
    for row in shown:
        scores = [each["score"] for each in row["responses"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) + row["left_out"] == 30
        assert all(len(each["text"]) < samples.CHARS_SHOWN + 60 for each in row["responses"])
    only, _ = samples.round_samples(table.filter(pa.compute.equal(table["prompt_id"], "b7")), {unlikely}, {}, 1, seed=1)
    assert [each["selected"] for each in only[0]["responses"]].count(True) == 1


def test_wrong_answers_come_first(world: World) -> None:
    shown, total = samples.answers(world.result(0.5, world.first, 0.2).table())
    flags = [row["correct"] for row in shown]
    assert total == len(shown) == 60
    assert flags == sorted(flags)


# The charts' colours.


def test_every_colour_is_a_role_of_both_themes(pages: list[Any]) -> None:
    style = (Path(figure.__file__).parent / "style.css").read_text("utf-8")
    light, dark = style.split("prefers-color-scheme: dark", 1)
    for role in figure.COLOURS:
        assert f"--{role}: #" in light
        assert f"--{role}: #" in dark.split("* {", 1)[0]
    drawings = re.findall(r"<svg.*?</svg>", html_of(pages[-1]), flags=re.DOTALL)
    assert len(drawings) >= 12
    for drawing in drawings:
        assert not re.search(r"(?:fill|stroke): #", drawing)
        assert set(re.findall(r"var\(--(\w+)\)", drawing)) <= {*figure.COLOURS, "sans"}


# The trainings, step by step.


def lines(num_steps: int, **columns: float) -> list[dict[str, Any]]:
    return [{"step": step, **columns, "loss": 2.0 / step} for step in range(1, num_steps + 1)]


def a_curve(ref: str, origin: str, label: str | None = None, objective: str = "sft", num_steps: int = 7) -> Any:
    found = training.training_curve(ref, objective, origin, 50, lines(num_steps, grad_norm=1.0, learning_rate=1e-4))
    assert found is not None
    return found.model_copy(update={"label": label})


@QUICK
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=350))
def test_a_curve_keeps_the_mean_and_the_last_step(values: list[float]) -> None:
    found = training.training_curve(
        "r", "sft", "o", 0, [{"step": i + 1, "loss": value} for i, value in enumerate(values)]
    )
    assert found is not None
    assert len(found.step) == len(found.columns["loss"]) == min(len(values), training.POINTS)
    assert found.step[-1] == found.num_steps == len(values)
    assert list(found.step) == sorted(set(found.step))
    sizes = np.diff([0, *found.step])
    mean = float(np.average(found.columns["loss"], weights=sizes))
    assert mean == pytest.approx(float(np.mean(values)), rel=1e-4, abs=1e-4 * max(map(abs, values)))


def test_a_curve_holds_what_every_step_recorded() -> None:
    speeds = [
        {"step": step, "tokens_per_second": 90.0, "memory_bytes": 2**30, "micro_batch_rows": 8} for step in (1, 2)
    ]
    given_ = [line | ({"grad_norm": 1.0} if line["step"] == 1 else {}) for line in lines(2, learning_rate=1e-3)]
    found = training.training_curve("r", "sft", "o", 0, given_, speeds)
    assert found is not None
    assert set(found.columns) == {"loss", "learning_rate", "tokens_per_second", "memory_bytes"}
    assert found.columns["memory_bytes"] == pytest.approx((2**30, 2**30), rel=1e-5)
    assert found.rows is None, "an earlier version did not say"
    for rows, said in (({"joined": 1}, "joined"), ({"joined": 0}, "padded"), ({"micro_batch_rows": 1}, "one by one")):
        known = [{"joined": 0} | speed | rows for speed in speeds]
        assert training.training_curve("r", "sft", "o", 0, given_, known).rows == said  # type: ignore[union-attr]
    assert training.training_curve("r", "sft", "o", 0, []) is None
    broken = training.training_curve("r", "sft", "o", 0, [{"step": 1, "loss": math.nan, "grad_norm": 1.0}])
    assert broken is not None
    assert set(broken.columns) == {"grad_norm"}


def test_trainings_are_grouped_by_label_then_by_origin() -> None:
    curves = [
        a_curve("judge", "scores", objective="judge"),
        a_curve("b", "seeds"),
        a_curve("a", "seeds", "round 01"),
        a_curve("stray", "elsewhere"),
        a_curve("second", "union", "round 02"),
    ]
    groups = {name: [each.ref for each in several] for name, several in training.grouped(curves).items()}
    assert groups == {"round 01": ["b", "a"], "sft": ["stray"], "round 02": ["second"], "judge": ["judge"]}
    assert list(groups)[-1] == "judge"


def test_every_quantity_that_was_recorded_has_a_chart_with_a_panel_per_group() -> None:
    curves = [a_curve(f"{r}{k}", f"round {r}", f"round {r:02d}") for r in range(5) for k in range(3)]
    section = training.training((), curves)
    assert [chart.title for chart in section.charts] == ["Training loss", "Gradient norm", "Learning rate"]
    for chart in section.charts:
        assert [f"round {r:02d}" in chart.svg for r in range(5)] == [True] * 5
        assert not re.search(r"(?:fill|stroke): #", chart.svg)
        drawn = [role for role in ("one", "two", "three") for _ in re.findall(rf"stroke: var\(--{role}\)", chart.svg)]
        assert {role: drawn.count(role) for role in drawn} == {"one": 5, "two": 5, "three": 5}
    (_, table) = section.tables[0]
    assert [row[0] for row in table.rows][:4] == ["round 00 a", "round 00 b", "round 00 c", "round 01 a"]
    assert table.rows[0][1:] == ("7", "2.000", "0.286", "50", "–", "–", "–")


def test_the_report_keeps_the_curves_of_all_trainings_it_follows_from(world: World, pages: list[Any]) -> None:
    curves = [json.loads((page.folder / "curves.json").read_text()) for page in pages]
    refs = [[each["ref"] for each in several] for several in curves]
    assert [len(each) for each in refs] == [1, 3, 4]
    assert str(world.judge.ref) in refs[0]
    assert {str(world.first.ref), str(world.second.ref)} <= set(refs[1])
    labels = {each["ref"]: each["label"] for each in curves[-1]}
    assert labels[str(world.first.ref)] == "round 01"
    assert sorted(filter(None, labels.values())) == ["round 01", "round 02"]
    assert all(set(each["columns"]) == {"loss", "learning_rate", "grad_norm"} for each in curves[-1])


def test_how_fast_a_training_was_is_read_from_beside_it(world: World) -> None:
    model = world.model("finetune", {"model": world.base}, 3.0)
    speeds = [{"step": step, "tokens_per_second": 5000.0, "memory_bytes": 3 * 2**30} for step in range(1, 121)]
    world.store.write(f"{model.ref}/speed.jsonl", "".join(json.dumps(each) + "\n" for each in speeds).encode())
    page = world.report(1, None, {"training": model})
    (curve,) = json.loads((page.folder / "curves.json").read_text())
    assert curve["columns"]["tokens_per_second"] == [5000.0] * 100


@pytest.mark.parametrize(
    "line", ["[]", "5", "{}", '{"step": []}', '{"step": true}', f'{{"step": {10**400}}}', '{"step": "1"}']
)
def test_a_speed_that_no_training_wrote_is_named(world: World, line: str) -> None:
    model = world.model("finetune", {"model": world.base}, 3.0)
    world.store.write(f"{model.ref}/speed.jsonl", f'{{"step": 1}}\n{line}\n'.encode())
    with pytest.raises(DataError, match=r"speed\.jsonl, step 2: .* is not as a training writes it; remove the file"):
        world.report(1, None, {"training": model})
    with pytest.raises(DataError, match=r"speed\.jsonl, step 2"):
        dashboard.markdown(model.manifest, None, world.store.uri)


@pytest.mark.parametrize("value", ["null", '"fast"', "[1]", "NaN", f"{10**400}", "1e308"])
def test_a_speed_that_is_no_number_is_not_drawn(world: World, value: str) -> None:
    model = world.model("finetune", {"model": world.base}, 3.0)
    lines = "".join(f'{{"step": {step}, "tokens_per_second": {value}}}\n' for step in range(1, 121))
    world.store.write(f"{model.ref}/speed.jsonl", lines.encode())
    page = world.report(1, None, {"training": model})
    (curve,) = json.loads((page.folder / "curves.json").read_text())
    assert "tokens_per_second" not in curve["columns"]
    assert "loss" in dashboard.markdown(model.manifest, None, world.store.uri)


def test_curves_of_another_version_are_refused(world: World, pages: list[Any]) -> None:
    out = world.out("report")
    (out.folder / "report.json").write_bytes((pages[0].folder / "report.json").read_bytes())
    page = world.seal(out, "page", 1.0, 0)
    with pytest.raises(DataError, match=r"curves.json was not written by this version of alma, make that report again"):
        world.report(1, page, {})


# The dashboard.


def test_the_dashboard_shows_a_trainings_curve(world: World) -> None:
    shown = dashboard.markdown(world.first.manifest, world.first.cost, world.store.uri)
    (row,) = (line for line in shown.splitlines() if line.startswith("| `loss`"))
    bars = row.split("|")[2].strip()
    assert len(bars) == 40
    assert bars[0] == "█"
    assert set(bars[20:]) <= set("▁▂")
    assert "`grad_norm`" in shown
    assert "▁" not in dashboard.markdown(world.evaluation.manifest, world.evaluation.cost, world.store.uri)


@QUICK
@given(st.lists(st.floats(), max_size=90))
def test_a_sparkline_is_a_bar_per_block(values: list[float]) -> None:
    shown = dashboard.sparkline(values)
    assert len(shown) == min(len(values), 40)
    assert set(shown) <= {*dashboard.BARS, " "}


@pytest.mark.parametrize(
    "left",
    [
        None,
        b"no JSON",
        b'{"seconds": "long", "tokens": 1, "device": "cpu"}',
        b"[]",
        b'{"seconds": 1e308, "tokens": 1, "device": "cpu"}',
    ],
)
def test_a_cost_that_is_gone_is_said_and_stops_nothing(world: World, left: bytes | None) -> None:
    """It is no part of what is sealed."""
    store, ref = world.store, world.judge.ref
    before = store.read(f"{ref}/cost.json")
    try:
        if left is None:
            store.remove(f"{ref}/cost.json")
        else:
            store.write(f"{ref}/cost.json", left)
        artifact = Artifact.open(store, ref)
        assert artifact.cost is None
        assert "unknown: no cost.json" in dashboard.markdown(artifact.manifest, artifact.cost, store.uri)
        point = Point(label="a", round=0, costs=(report._cost(artifact), report._cost(world.base)))
        section = cost([point])
        assert "1 artifacts took 2.0 s" in section.lead[0]
        assert "What 1 more took is not known" in section.lead[0]
    finally:
        store.write(f"{ref}/cost.json", before)


@pytest.mark.parametrize("place", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_a_cost_that_is_no_file_stops_nothing(world: World, place: Callable[[Path], None]) -> None:
    path = world.store.local(f"{world.judge.ref}/cost.json")
    assert path is not None
    path.rename(path.with_name("kept"))
    try:
        place(path)
        assert Artifact.open(world.store, world.judge.ref).cost is None
    finally:
        path.rmdir() if path.is_dir() else path.unlink()
        path.with_name("kept").rename(path)


def test_samples_show_a_conversation_as_text(world: World) -> None:
    """Each earlier turn behind its role, what cannot be seen made visible; single prompts say nothing of turns."""
    told = [{"role": "system", "content": "<b>\x1b[31m"}, {"role": "user", "content": "first"}]
    row = world.judgement("b1", "copy abc", world.first, 0, 0.5)
    table = pa.Table.from_pylist([row | {"earlier": told}, row | {"prompt_id": "b2"}], schema=SCHEMAS["judgement"])
    one, other = samples.round_samples(table, set(), {}, 2, seed=1)[0]
    shown, plain = (one, other) if "earlier" in one else (other, one)
    assert (shown["earlier"][1], shown["prompt"]) == (["user", "first"], "copy abc")
    assert "\x1b" not in shown["earlier"][0][1]
    assert "<" not in samples.script_json(shown)
    assert "earlier" not in plain
