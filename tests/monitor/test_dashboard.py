"""What KFP's dashboard shows of a step: spreads and first rows, in which no text of a model is markup."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.artifact import Cost
from alma.artifact.out import Out
from alma.artifact.records import EXAMPLE
from alma.monitor.dashboard import histogram, markdown
from alma.store import open_store
from tests.builders.sealed import named, seal


def sealed(folder: Path, prompts: list[str]) -> str:
    rows = [
        {
            "id": f"select-{'0' * 20}-{i}",
            "prompt_id": f"p{i}",
            "round": 2,
            "prompt": text,
            "response": "r",
            "score": float(i),
        }
        for i, text in enumerate(prompts)
    ]
    store = open_store(str(folder / "store"))
    out = Out(store, named("select", "rows"), folder / "scratch")
    out.write(pa.Table.from_pylist(rows, schema=EXAMPLE), "example", 100)
    manifest = seal(out, "rows")
    return markdown(manifest, Cost(seconds=1.0, tokens=0, device="cpu"), store.uri)


def test_first_rows_are_code_and_scores_a_histogram(tmp_path: Path) -> None:
    shown = sealed(tmp_path, ["plain", "# a heading\n\n<script>alert(1)</script>", "| a | table |", "not shown"])
    assert "    prompt: plain\n    response: r\n    score: 0.0000\n" in shown
    assert "not shown" not in shown
    after = shown.partition("first rows\n\n")[2]
    assert all(line.startswith("    ") for line in after.splitlines()), "code, whatever a model wrote"
    assert "\\n\\n<script>" in after, "a line end is made visible"
    assert "`score`\n\n           0 ███" in shown


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_a_histogram_counts_every_value_once(values: list[float]) -> None:
    lines = histogram(values).splitlines()
    assert sum(int(line.split()[-1].replace(",", "")) for line in lines) == len(values)
    assert all(line.startswith("    ") for line in lines)


@pytest.mark.parametrize("other", [float("nan"), float("inf"), -float("inf"), 1.7e308])
def test_a_histogram_has_no_bin_for_what_is_no_number(other: float) -> None:
    assert histogram([1.0, other, 2.0]) == histogram([1.0, 2.0])
    assert histogram([other]) == ""


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0]])
def test_values_that_are_all_alike_are_one_line(values: list[float]) -> None:
    assert histogram(values).splitlines() == [f"           3 {'█' * 30} {len(values)}"]
