"""The papers in miniature: experiments can be run, the page is what the raw figures give, verdicts follow a rule."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from alma.config import load
from tests.builders.benchmarks import BENCHMARKS, call

DOCS = BENCHMARKS.parent / "docs"


@pytest.fixture
def papers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(BENCHMARKS)

    def module(name: str) -> ModuleType:
        return importlib.import_module(f"papers.{name}")

    return module


def experiment(papers: Any, folder: Path, **more: str) -> Any:
    path = folder / "table.toml"
    lines = {
        "title": '"t"',
        "source": '"ALMA, table 0"',
        "run": '"hard.toml"',
        "order": "1",
        "minutes": "1",
        "measures": '"m"',
        "theirs": '"p"',
        "at": '"round 02 · evaluate"',
        "metric": '"exact_match"',
    } | more
    head = "\n".join(f"{name} = {value}" for name, value in lines.items() if name != "tail")
    path.write_text(f"{head}\n{more.get('tail', TAIL)}", encoding="utf-8")
    return papers("experiment").read(path)


TAIL = """
[[rows]]
name = "a"
paper = "7.89"
[[rows]]
name = "b"
settings = ["alma.select.score=integer"]
[[rows]]
name = "c"
not_run = "no such setting"
[[claims]]
better = "a"
than = "b"
says = "a is better"
[[claims]]
better = "a"
than = "c"
says = "than c too"
"""


def kept_of(papers: Any, found: Any, values: dict[str, list[float]]) -> dict[str, Any]:
    plan = papers("plan")
    kept = {}
    for name, several in values.items():
        row = found.row(name)
        for seed, value in enumerate(several, 1):
            for settings in row.choices:
                run = {"run": found.run, "settings": list(settings), "seed": seed, "seconds": 1.0}
                kept[plan.key(found.run, settings, seed)] = run | {"values": {f"{row.at} | exact_match": value}}
    return kept


def test_every_experiment_can_be_run(papers: Any) -> None:
    measure = papers("measure")
    found = papers("experiment").read_all()
    assert {each.source.partition(",")[0] for each in found} == {"ALMA", "ISARA"}
    for each in found:
        for settings in {choice for row in each.rows if not row.not_run for choice in row.choices}:
            load(measure.EXAMPLES / each.run, [*measure.seeded(each.run, 1), *settings])


def test_the_page_is_what_the_raw_figures_give(papers: Any) -> None:
    plan = papers("plan")
    path = DOCS / "paper.json"
    facts = json.loads(path.read_text(encoding="utf-8"))["facts"]
    page = papers("page").page(papers("experiment").read_all(), plan.load_kept(path), facts)
    assert (DOCS / "paper.md").read_text(encoding="utf-8") == page, "python benchmarks/paper.py --only-page"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.10, 0.11, 0.12], "agrees"),
        ([-0.10, -0.11, -0.12], "differs"),
        ([0.10, 0.01, 0.20], "undecided"),
        ([0.10], "undecided"),
        ([0.0, 0.0, 0.0], "undecided"),
    ],
)
def test_verdict(papers: Any, values: list[float], verdict: str) -> None:
    page = papers("page")
    assert page.verdict(page.estimate(values)) == verdict


def test_an_interval_is_students(papers: Any) -> None:
    found = papers("page").estimate([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_differences_are_paired_by_seed_and_what_was_not_run_says_so(papers: Any, tmp_path: Path) -> None:
    found = experiment(papers, tmp_path)
    kept = kept_of(papers, found, {"a": [0.5, 0.9, 0.7], "b": [0.4, 0.8, 0.6001]})
    text, verdicts = papers("page").section(found, kept)
    assert verdicts == ["agrees", "not run"]
    assert "| c | – | not run: no such setting | 0 |" in text
    assert "| a is better | +0.100 ± 0.000 | **agrees** |" in text
    assert "| a | 7.89 | 0.700 ± 0.497 | 3 |" in text


def test_a_row_that_failed_shows_the_error(papers: Any, tmp_path: Path) -> None:
    found = experiment(papers, tmp_path)
    kept = kept_of(papers, found, {"a": [0.5], "b": [0.4]})
    broken = papers("plan").key(found.run, found.row("b").settings, 1)
    kept[broken] |= {"values": {}, "error": "ConfigError: no"}
    assert "| b | – | not run: ConfigError: no | 0 |" in papers("page").section(found, kept)[0]


def test_a_search_takes_the_best_by_what_the_method_may_know(papers: Any, tmp_path: Path) -> None:
    tail = '\n[[rows]]\nname = "a"\nsearch = [["alma.seed=1"], ["alma.seed=2"]]\nsearch_by = "judge_score"\n'
    found, plan = experiment(papers, tmp_path, tail=tail), papers("plan")
    row = found.row("a")
    jobs = plan.jobs_of([found], [1], {})
    assert [job.settings for _, job in jobs] == [("alma.seed=1",), ("alma.seed=2",)]
    kept = {}
    for settings, score, correct in zip(row.choices, (5.0, 6.0), (0.9, 0.1), strict=True):
        values = {f"{row.at} | judge_score": score, f"{row.at} | exact_match": correct}
        run = {"run": found.run, "settings": list(settings), "seed": 1, "values": values}
        kept[plan.key(found.run, settings, 1)] = run
    assert plan.chosen(kept, found.run, row, [1]) == ("alma.seed=2",)
    assert plan.jobs_of([found], [1], kept) == []


def test_a_run_is_done_once_for_all_rows_that_share_it(papers: Any) -> None:
    found = {each.name: each for each in papers("experiment").read_all()}
    jobs = papers("plan").jobs_of([found["figure2"], found["table3"]], [1, 2], {})
    assert len(jobs) == 4
    assert max(len(job.wanted) for _, job in jobs) == 5


@pytest.mark.slow
def test_quick_runs_and_goes_on_where_it_was(tmp_path: Path) -> None:
    arguments = [f"--{name}={tmp_path / name}" for name in ("store", "out", "page")]
    call("paper", "--quick", "--only", "table3", "--seeds", "1", *arguments)
    page = (tmp_path / "page").read_text(encoding="utf-8")
    assert "| random | 7.79 | 0." in page
    before = (tmp_path / "out").read_bytes()
    call("paper", "--quick", "--only", "table3", "--seeds", "1", *arguments)
    assert (tmp_path / "out").read_bytes() == before
