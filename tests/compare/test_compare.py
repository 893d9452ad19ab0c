"""Runs by the echo engine side by side."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Artifact, Ref
from alma.compare import compare
from alma.compare.outside import outside_rows
from alma.compare.runs import Run, find
from alma.compare.table import as_csv, as_markdown, cells, head, rows
from alma.errors import ConfigError, DataError
from alma.monitor.journal import mark_sealed
from alma.page.numbers import Report
from alma.store import Store
from tests.builders.recipe import Ran, settings


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run of two rounds; its first three reports are those of a shorter one."""
    made = Ran(settings(), tmp_path_factory.mktemp("compare") / "store")
    reports = {label: each.ref for label, each in made.local.done.items() if each.stage == "report"}
    mark_sealed(made.store, "long", reports)
    mark_sealed(made.store, "short", {label: reports[label] for label in list(reports)[:3]})
    return made


@pytest.fixture(scope="module")
def runs(ran: Ran) -> list[Run]:
    return find(["short", "long"], ran.store.uri)


def test_a_run_is_found_by_its_name_its_report_and_its_files(ran: Ran, runs: list[Run], tmp_path: Path) -> None:
    assert [run.report.points[-1].label for run in runs] == ["round 02", "round 03"]
    ref = str(ran.outcome.report)
    (by_ref, by_page) = find([ref, str(next(Path(ran.store.uri, ref).rglob("report.html")))], ran.store.uri)
    assert by_ref.report == by_page.report == runs[1].report
    with pytest.raises(ConfigError, match="is given twice"):
        find(["long", "long"], ran.store.uri)
    with pytest.raises(DataError, match="run 'other' has sealed no report; runs there: long, short"):
        find(["other"], ran.store.uri)
    with pytest.raises(DataError, match="is no report; it holds rows"):
        find([str(ran.manifest("round 02 · evaluate").ref)], ran.store.uri)
    with pytest.raises(DataError, match="no such file"):
        find([str(tmp_path)], ran.store.uri)
    wrong = by_ref.report.model_dump(mode="json")
    wrong["points"][0]["round"] = "three"
    (tmp_path / "report.json").write_text(json.dumps(wrong))
    said = r"no numbers of a report: points\.0\.round: .* \(it is 'three'\); name the folder of .* that report again"
    with pytest.raises(DataError, match=said):
        find([str(tmp_path / "report.html")], ran.store.uri)


def test_the_last_points_are_paired_with_the_first_runs(runs: list[Run]) -> None:
    first, second = rows(runs)
    assert (first.point, second.point) == ("round 02", "round 03")
    assert first.score_difference is None
    a, b = (run.evaluated[-1][1].scores for run in runs)
    pairs = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    assert second.score_difference is not None
    assert second.score_difference.value == pytest.approx(sum(y - x for x, y in pairs) / len(pairs))
    assert second.score_wins is not None
    assert second.score_wins.mean == pytest.approx(sum((y > x) + (y == x) / 2 for x, y in pairs) / len(pairs))


def test_every_form_says_the_same(ran: Ran, runs: list[Run], tmp_path: Path) -> None:
    compare(["short", "long"], tmp_path, store_uri=ran.store.uri)
    found = rows(runs)
    read = list(csv.DictReader(io.StringIO((tmp_path / "compare.csv").read_text())))
    assert [row["run"] for row in read] == ["short", "long"]
    assert found[1].score is not None
    assert float(read[1]["score"]) == found[1].score.value
    assert read[0]["score_difference"] == ""
    markdown = (tmp_path / "compare.md").read_text(encoding="utf-8")
    page = (tmp_path / "compare.html").read_text(encoding="utf-8")
    for cell in cells(found[1]):
        assert cell in markdown
        assert cell in page
    assert "<script" not in page
    assert "script-src 'none'" in page
    assert page.count("<svg") == 4
    assert 'id="samples"' not in page


def test_other_prompts_are_not_paired(runs: list[Run]) -> None:
    point = runs[1].report.points[-1]
    assert point.quality is not None
    moved = point.model_copy(update={"quality": point.quality.model_copy(update={"prompts_digest": "other"})})
    other = Run("other", Report(**runs[1].report.model_dump() | {"points": (moved,)}))
    found = rows([runs[0], other])
    assert (found[1].correct_difference, found[1].score_difference, found[1].score_wins) == (None, None, None)
    assert any("not all evaluated on the same prompts" in warning for warning in head([runs[0], other]).warnings)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda quality: quality["scores"].append(1.0), r"quality: .*correct and scores are of \d+ and \d+ prompts"),
        (lambda quality: quality["score"].update(value=1e300), "score: .*value holds a number beyond"),
        (lambda quality: quality["score"].update(num=10**400), "score: .*num holds a number beyond"),
        (lambda quality: quality["score"].update(low=-1e61), "score: .*low holds a number beyond"),
        (lambda quality: quality["score"].update(value=5.0, low=9.0, high=9.5), "from low = 9.0 .* does not hold 5.0"),
        (lambda quality: quality["score"].update(value=5.0, low=0.0, high=1.0), "to high = 1.0 does not hold 5.0"),
        (lambda quality: quality["score"].update(value=5.0, low=None, high=9.0), "from low = None .* not hold 5.0"),
    ],
)
def test_numbers_that_no_report_holds_are_refused(
    runs: list[Run], tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    wrong = runs[0].report.model_dump(mode="json")
    change(wrong["points"][-1]["quality"])
    (tmp_path / "report.json").write_text(json.dumps(wrong))
    with pytest.raises(DataError, match=f"no numbers of a report: .*{said}"):
        find([str(tmp_path)], "store")


def test_a_report_is_read_once_however_many_stand_before_it(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[str]()
    opened = Artifact.open

    def counted(store: Store, ref: Ref) -> Artifact:
        read.append(str(ref))
        return opened(store, ref)

    monkeypatch.setattr(Artifact, "open", counted)
    find(["long"], ran.store.uri)
    reports = [str(each.ref) for each in ran.local.done.values() if each.stage == "report"]
    assert sorted(set(read)) == sorted(reports)
    assert len(read) <= 2 * len(reports)


def test_names_are_text(runs: list[Run]) -> None:
    named = [Run("a|b<script>\x1b", runs[0].report), runs[1]]
    markdown = as_markdown(rows(named))
    assert "a\\|b&lt;script>  |" in markdown
    assert len(list(csv.reader(io.StringIO(as_csv(rows(named)))))) == 3
    assert "\x1b" not in str(head(named))


def test_it_takes_two(ran: Ran, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it takes two runs to compare; name another"):
        compare(["long"], tmp_path, store_uri=ran.store.uri)
    assert not list(tmp_path.iterdir())


def test_outside_scores_are_beside_each_other(runs: list[Run]) -> None:
    first, second = outside_rows(runs)
    assert [first.measure, first.run, first.point] == ["outsider: reward", "short", "round 02"]
    assert [second.measure, second.run, second.point] == ["outsider: reward", "long", "round 03"]
    assert first.difference is None
    (a,), (b,) = (run.report.points[-1].outside[0].measures for run in runs)
    pairs = [(x, y) for x, y in zip(a.values, b.values, strict=True) if x is not None and y is not None]
    assert second.difference is not None
    assert second.difference.value == pytest.approx(sum(y - x for x, y in pairs) / len(pairs))
    _, line = csv.DictReader(io.StringIO(as_csv(rows(runs), outside_rows(runs))))
    assert float(line["outsider: reward"]) == second.value.value
    assert float(line["outsider: reward, difference_low"]) == second.difference.low
    assert "| outsider: reward | long | round 03 |" in as_markdown(rows(runs), outside_rows(runs))


def test_rewards_of_two_models_are_not_subtracted(runs: list[Run]) -> None:
    last = runs[1].report.points[-1]
    other = last.model_copy(update={"outside": (last.outside[0].model_copy(update={"judged_by": "another"}),)})
    alone = runs[1].report.model_copy(update={"points": (other,)})
    assert [row.difference for row in outside_rows([runs[0], Run("long", alone)])] == [None, None]
