"""The page of a comparison: known numbers, errors over repeats reckoned again, and text that stays text."""

import csv
import io
import json
import math
import re
import statistics
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from alma.artifact import Artifact, Page
from alma.artifact.out import Out
from alma.artifact.records import DROP_REASONS, SCHEMAS
from alma.config import Isara
from alma.errors import ConfigError
from alma.monitor.outcome import _arms
from alma.page import numbers, render, samples
from alma.page.arms import Arm, Mean, arms, by_arm, imitation_of, over_repeats
from alma.page.comparison import SHOWN, table, written
from alma.page.comparison_files import comparison_files
from alma.page.difference import against_others
from alma.sections import Report
from alma.stages import report
from alma.statistics import mean_and_error
from alma.store import open_store
from alma.text.visible import visible
from tests.builders.page import HOSTILE, Elements
from tests.builders.sealed import named, seal

PAGE: Report = Isara.model_fields["report"].default

CORRECT = {
    "pretrained": {None: [1, 0, 0, 0]},
    "sft": {1: [1, 1, 0, 0], 2: [1, 0, 0, 0], 3: [1, 1, 1, 0]},
    "isara 2": {1: [1, 1, 1, 1], 2: [1, 1, 1, 0], 3: [1, 1, 1, 1]},
}
"""Arm → repeat → which of four prompts are answered correctly."""

METRICS = {
    "num_attempts": 64,
    "num_kept": 40,
    **dict.fromkeys((f"num_{reason}" for reason in DROP_REASONS), 0),
    "num_duplicate": 14,
    "num_answer_short": 10,
    "nearest_rouge": 0.45,
    "distinct_word_share": 0.3,
    "response_tokens": 7.5,
}


class Bench:
    def __init__(self, folder: Path) -> None:
        self.store = open_store(str(folder / "store"))
        self.folder = folder
        self.count = 0

    def rows(
        self, schema: str, rows: list[dict[str, Any]], stage: str, metrics: Any = None, section: Any = None
    ) -> Any:
        out = self.out(stage, section)
        blank = dict.fromkeys(SCHEMAS[schema].names)
        full = [blank | {"id": out.row_id(i)} | row for i, row in enumerate(rows)]
        out.write(pa.Table.from_pylist(full, schema=SCHEMAS[schema]), schema, 100)
        return self.seal(out, "rows", metrics)

    def out(self, stage: str, section: Any = None) -> Out:
        self.count += 1
        return Out(self.store, named(stage, self.count, section=section), self.folder / f"scratch{self.count}")

    def seal(self, out: Out, kind: Any, metrics: dict[str, Any] | None = None) -> Any:
        seal(out, kind, metrics)
        return Artifact.open(self.store, out.ref)

    def evaluation(self, correct: list[int], repeat: int | None, **more: Any) -> Any:
        rows = [
            {
                "prompt_id": f"p{i}",
                "checkpoint_id": f"finetune/{repeat}",
                "shot_ids": [],
                "prompt": f"prompt {i}",
                "response": "a",
                "reference": "a",
                "num_tokens": 3 + i + (repeat or 0),
                "ended": True,
                "correct": bool(right),
                "overlap": 0.8 if i == 0 else 0.1,
                "seen": i == 0,
            }
            | more
            for i, right in enumerate(correct)
        ]
        return self.rows("examined", rows, "evaluate")

    def imitation(self, iteration: int, **changes: Any) -> Any:
        return self.rows("imitation", [], "imitate", metrics={**METRICS, **changes}, section={"iteration": iteration})

    def report(self, previous: Any, cfg: dict[str, Any], **inputs: Any) -> Any:
        out = self.out("report")
        metrics = report.run(PAGE.changed(**cfg), previous=previous, **inputs, out=out)
        return self.seal(out, "page", metrics)

    def whole(self) -> Page:
        """All arms, a point each, one after the other."""
        page = None
        for arm, repeats in CORRECT.items():
            for repeat, correct in repeats.items():
                given = {"evaluation": self.evaluation(correct, repeat)}
                if arm.startswith("isara"):
                    given["imitation"] = self.imitation(
                        2, num_kept=40 - (repeat or 0), num_duplicate=14 + (repeat or 0)
                    )
                name = {"label": f"{arm} · seed {repeat}", "arm": arm, "repeat": repeat}
                page = self.report(page, name, **given)
        assert isinstance(page, Page)
        return page


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    return Bench(tmp_path_factory.mktemp("comparison")).whole()


def fractions(arm: str) -> list[float]:
    return [sum(correct) / len(correct) for correct in CORRECT[arm].values()]


@pytest.mark.slow
def test_means_and_errors_over_repeats_are_those_reckoned_again(page: Page) -> None:
    found = json.loads((page.folder / "comparison.json").read_text("utf-8"))
    assert [arm["arm"] for arm in found["arms"]] == list(CORRECT)
    for arm in found["arms"]:
        matched, values = arm["measures"]["exact_match"], fractions(arm["arm"])
        assert matched["mean"] == pytest.approx(statistics.mean(values))
        assert [each["value"] for each in matched["by_repeat"]] == pytest.approx(values)
        if len(values) == 1:
            correct = CORRECT[arm["arm"]][None]
            assert matched["error_over"] == "prompts"
            assert matched["standard_error"] == pytest.approx(statistics.stdev(correct) / len(correct) ** 0.5)
        else:
            assert matched["error_over"] == "repeats"
            assert matched["standard_error"] == pytest.approx(statistics.stdev(values) / 3**0.5)
    tokens = found["arms"][1]["measures"]["response_tokens"]
    assert tokens["mean"] == pytest.approx(4.5 + 2)
    assert tokens["standard_error"] == pytest.approx(1 / 3**0.5)


def test_the_page_and_the_files_say_the_same(page: Page) -> None:
    shown = Elements((page.folder / "report.html").read_text("utf-8")).text
    markdown = (page.folder / "comparison.md").read_text("utf-8")
    assert "ISARA" in shown[:200]
    for words in (shown, markdown):
        assert "50.0% ± 14.4" in words  # 1/4, 2/4, 3/4
        assert "91.7% ± 8.3" in words  # 3/4, 1, 1
        assert "25.0% ± 25.0*" in words  # one run
        assert "over 3 repeats, each with a seed of its own; those marked *, of arms that were run once, are" in words
    assert "Best by the measure “correct answers” (more is better) is isara 2 with 91.7% ± 8.3." in shown
    # 1/2, 1/2, 1/4 apart: 41.7 ± 8.3, of which Student's t takes 4.30 to each side where two would be sure too soon.
    assert "A 95% interval is as many of them to each side as Student's t says: 4.3 of 3 repeats." in shown
    apart = "the difference is +41.7 points (95% interval +5.8 to +77.5, paired by repeat)"
    assert f"Next is sft with 50.0% ± 14.4; {apart}. Of 2 comparisons" in shown
    assert "Of 2 comparisons, adjusted for their number, chance explains none of them." in shown
    assert "| sft | +41.7 | +5.8 to +77.5 | 0.038 | by repeat |" in markdown
    assert "| pretrained | +66.7 | +30.8 to +102.5 | 0.031 | by repeat |" in markdown
    rows = list(csv.DictReader((page.folder / "comparison.csv").read_text("utf-8").splitlines()))
    matched = next(row for row in rows if (row["arm"], row["measure"]) == ("isara 2", "exact_match"))
    assert float(matched["mean"]) == pytest.approx(11 / 12)
    assert (matched["error_over"], matched["repeats"], matched["prompts"]) == ("repeats", "3", "4")


def ran_once(name: str, correct: tuple[bool | None, ...], digest: str = "same") -> Arm:
    known = [float(each) for each in correct if each is not None]
    value, error = mean_and_error(known)
    return Arm(name, 1, {"m": Mean(value, error, "prompts", ((None, value),), len(known), correct, digest)})


def test_arms_that_ran_once_are_paired_by_prompt() -> None:
    first = ran_once("first", (True,) * 12 + (False,) * 12)
    second = ran_once("second", (True,) * 7 + (False,) * 17)
    other = ran_once("other", (True,) * 7 + (False,) * 17, "other prompts")
    paired, apart = against_others(first, [second, other], "m")
    assert (paired.paired, apart.paired) == ("by prompt", "not paired")
    assert (paired.value, apart.value) == pytest.approx((5 / 24, 5 / 24))
    wanted = stats.ttest_1samp([0] * 7 + [1] * 5 + [0] * 12, 0)
    assert (paired.low, paired.high) == pytest.approx(tuple(wanted.confidence_interval()))
    assert paired.p == pytest.approx(2 * wanted.pvalue)  # two comparisons
    assert apart.high - apart.low > 1.3 * (paired.high - paired.low)
    (alone,) = against_others(ran_once("a", (True,)), [ran_once("b", (False,))], "m")
    assert math.isnan(alone.low)
    assert not alone.is_certain


def test_yields_reasons_diversity_and_overlap_are_told(page: Page) -> None:
    html = (page.folder / "report.html").read_text("utf-8")
    shown = Elements(html).text
    cells = [re.findall(r">([^<>]+)</(?:bdi|td)>", row) for row in re.findall(r"<tr>.*?</tr>", html)]
    assert ["isara 2", "192", "114", "48", "30"] in cells  # attempts, kept, duplicate, answer short; three repeats
    assert "0.450 ± 0.000" in shown
    assert "Of the prompts, 25.0% are among the seeds; 25.0% have a ROUGE-L of 0.7 or more with one." in shown
    assert "Up to 25.0% of the evaluation prompts are among the seeds" in shown
    assert "Quality by round" not in shown


def test_the_page_is_whole_and_reaches_for_nothing(page: Page) -> None:
    html = (page.folder / "report.html").read_text("utf-8")
    elements = Elements(html)
    assert not {tag for tag, _ in elements.found} & {"link", "img", "iframe", "object", "base", "form"}
    assert not re.search(r"url\((?!#)|@import", html)
    ids = [attributes["id"] for _, attributes in elements.found if "id" in attributes]
    links = {attributes["href"] for tag, attributes in elements.found if tag == "a"}
    assert links <= {f"#{each}" for each in ids}
    drawings = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(drawings) >= 6
    assert not any(re.search(r"(?:fill|stroke): #", drawing) for drawing in drawings)
    assert "nan" not in re.findall(r"\bnan\b", elements.text)


def test_hostile_names_stay_text(bench: Bench) -> None:
    wrote = {"iteration": 1, "train": True, "checkpoint_id": "m", "question_shot_ids": [], "answer_shot_ids": []}
    wrote |= {"sample_seed": 1, "prompt": HOSTILE, "response": HOSTILE, "num_tokens": 3}
    given = {
        "evaluation": bench.evaluation([1, 0], 1, response=HOSTILE),
        "imitation": bench.rows("imitation", [wrote], "imitate", metrics=METRICS, section={"iteration": 1}),
    }
    made = bench.report(None, {"title": HOSTILE, "label": HOSTILE, "arm": HOSTILE + "|"}, **given)
    html = (made.folder / "report.html").read_text("utf-8")
    elements = Elements(html)
    assert [tag for tag, _ in elements.found].count("script") == 2
    assert "img" not in {tag for tag, _ in elements.found}
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e\u2066]", html)
    data = json.loads(elements.scripts[0])
    assert data["rounds"]["rows"][0]["prompt"] == data["answers"]["rows"][0]["text"] == visible(HOSTILE)
    markdown = (made.folder / "comparison.md").read_text("utf-8")
    assert "<" not in markdown.replace("&lt;", "")
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows[:3]}) == 1


def test_arms_of_other_seeds_have_a_table_of_what_is_given_away(bench: Bench) -> None:
    page = bench.report(None, {"label": "a", "arm": "a"}, evaluation=bench.evaluation([1, 0], 1))
    page = bench.report(page, {"label": "b", "arm": "b"}, evaluation=bench.evaluation([1, 0], 1, seen=False))
    markdown = (page.folder / "comparison.md").read_text("utf-8")
    assert "| arm | repeats | the same prompt | with a ROUGE-L of 0.7 or more |" in markdown
    assert "| b | 1 | 0.0% ± 0.0 | 50.0% ± 50.0 |" in markdown


def test_the_latest_iteration_can_be_read_with_what_is_trained_on() -> None:
    rows = [
        {"id": "x", "iteration": 1 + i // 2, "train": i > 2, "checkpoint_id": "m", "num_tokens": 3}
        | {"question_shot_ids": [], "answer_shot_ids": [], "sample_seed": i}
        | {"prompt": f"question {i}", "response": f"answer {i}"}
        for i in range(4)
    ]
    written_rows = pa.Table.from_pylist(rows, schema=SCHEMAS["imitation"])
    shown, total = samples.imitated(written_rows, 9, seed=1)
    assert total == 2
    assert {(row["prompt"], row["responses"][0]["selected"]) for row in shown} == {
        ("question 2", False),
        ("question 3", True),
    }
    assert len(samples.imitated(written_rows, 1, seed=1)[0]) == 1


def test_an_arm_is_evaluated_once_for_each_repeat(bench: Bench) -> None:
    first = bench.report(None, {"label": "a", "arm": "sft", "repeat": 1}, evaluation=bench.evaluation([1], 1))
    with pytest.raises(ConfigError, match=r"arm 'sft', repeat 1 is evaluated in report/\w+ already"):
        bench.report(first, {"label": "b", "arm": "sft", "repeat": 1}, evaluation=bench.evaluation([1], 1))
    bench.report(first, {"label": "b", "arm": "sft", "repeat": 2}, evaluation=bench.evaluation([1], 1))


def test_one_prompt_has_no_error_and_says_none(bench: Bench) -> None:
    made = bench.report(None, {"label": "a", "arm": "sft", "repeat": 1}, evaluation=bench.evaluation([1], 1))
    found = json.loads((made.folder / "comparison.json").read_text("utf-8"))
    assert found["arms"][0]["measures"]["exact_match"] == {
        "mean": 1.0,
        "standard_error": None,
        "error_over": "prompts",
        "prompts": 1,
        "by_repeat": [{"repeat": 1, "value": 1.0}],
    }
    assert "| sft | 1 | 100.0% |" in (made.folder / "comparison.md").read_text("utf-8")


def test_an_arm_that_wrote_and_was_not_evaluated_yet(bench: Bench) -> None:
    made = bench.report(None, {"label": "a", "arm": "isara 1", "repeat": 1}, imitation=bench.imitation(1))
    shown = Elements((made.folder / "report.html").read_text("utf-8")).text
    assert "Nothing was evaluated yet" in shown
    assert "Kept, and dropped by reason" in shown


def test_points_without_arms_are_written_as_ever() -> None:
    plain = numbers.Point(label="round 01", round=1)
    assert not {"arm", "repeat", "measures", "imitation"} & set(json.loads(plain.model_dump_json()))
    armed = plain.model_copy(update={"arm": "sft", "imitation": imitation_of(METRICS, 1, tuple(DROP_REASONS))})
    assert numbers.Point.model_validate_json(armed.model_dump_json()) == armed
    assert not {"arm", "repeat"} & set(Report().keyed())


def test_the_dropped_and_the_kept_are_all_attempts() -> None:
    found = imitation_of(METRICS, 1, tuple(DROP_REASONS))
    assert found.num_kept + sum(num for _, num in found.dropped) == found.num_attempts


def test_arms_without_a_measure_show_a_dash() -> None:
    def point(arm: str, **values: float) -> numbers.Point:
        measures = tuple(numbers.Measure(name=k, value=v, error=0.5, num=9) for k, v in values.items())
        return numbers.Point(label=arm, round=0, arm=arm, repeat=1, measures=measures)

    compared = arms([point("a", rouge_difference=-0.25, harmful=0.5), point("b", harmful=0.1)])
    shown = [each for each in SHOWN if each.name in ("harmful", "rouge_difference")]
    assert table(compared, shown).rows == (
        ("a", "1", "50.0% ± 50.0", "−0.250 ± 0.500"),
        ("b", "1", "10.0% ± 50.0", "–"),
    )
    assert written(None, SHOWN[0]) == "–"
    assert list(by_arm([])) == []
    assert set(comparison_files("t", compared)) == {"comparison.json", "comparison.csv", "comparison.md"}


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6), st.integers(0, 5))
def test_the_mean_of_repeats_does_not_depend_on_their_order(values: list[float], turn: int) -> None:
    repeats = list(enumerate(values))
    turned = repeats[turn % len(values) :] + repeats[: turn % len(values)]
    mean, again = over_repeats(repeats, 9.0, 4), over_repeats(turned, 9.0, 4)
    assert mean.value == pytest.approx(statistics.fmean(values), abs=1e-9)
    assert mean.error == pytest.approx(statistics.stdev(values) / len(values) ** 0.5, abs=1e-9)
    assert (again.value, again.error) == (pytest.approx(mean.value), pytest.approx(mean.error, abs=1e-9))
    assert over_repeats(repeats[:1], 9.0, 4).error == 9.0


def test_the_terminal_shows_the_same_table(page: Page) -> None:
    console = Console(file=io.StringIO(), width=140)
    console.print(_arms(json.loads((page.folder / "comparison.json").read_text("utf-8"))))
    shown = " ".join(console.file.getvalue().replace("│", " ").split())  # type: ignore[attr-defined]
    assert "isara 2 3 0.917 ± 0.083 6.500 ± 0.577" in shown
    assert "pretrained 1 0.250 ± 0.250*" in shown


def test_equal_numbers_give_equal_bytes(page: Page) -> None:
    report_ = numbers.Report.model_validate_json((page.folder / "report.json").read_bytes())
    empty = {name: {"label": "x", "rows": [], "total": 0} for name in ("rounds", "answers")}
    assert render(report_, empty) == render(report_, empty)
