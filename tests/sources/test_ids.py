"""A column tells rows apart or it is not used; good rows are never dropped for it."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma.errors import DataError
from alma.sources.columns import Columns
from alma.sources.ids import Ids
from alma.sources.values import Fault
from tests.builders.ingested import ingested, write_lines

ANSWERS = [
    {"id": "q1", "prompt": "Name a fruit.", "response": "Apple.", "score": 8},
    {"id": "q1", "prompt": "Name a fruit.", "response": "Carrot.", "score": 1},
    {"id": "q2", "prompt": "Name a colour.", "response": "Blue.", "score": 9},
]


def write_table(path: Path, ids: pa.Array) -> None:
    texts = [f"p{i}" for i in range(len(ids))]
    pq.write_table(pa.table({"id": ids, "prompt": texts, "response": texts}), path)


def test_the_prompts_ids_beside_several_responses_drop_no_row(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", ANSWERS)
    found = ingested(tmp_path, "a.jsonl", "scores")
    assert found.column("response") == ["Apple.", "Carrot.", "Blue."]
    assert found.column("source_id") == ["1", "2", "3"]
    (note,) = found.notes
    assert "'id' is not used" in note
    assert "'q1' stands in line 1 and in line 2" in note


def test_a_repeated_id_that_a_person_named_is_an_error_whose_remedy_keeps_all_rows(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", ANSWERS)
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, "a.jsonl", "scores", columns={"id": "id"}, max_bad_share=1.0)
    said = str(caught.value)
    assert [part for part in ("a.jsonl", "'q1'", "line 1", "line 2", "leave id out") if part not in said] == []
    assert "max_bad_share" not in said


UUIDS = [uuid.UUID(int=1), uuid.UUID(int=2)]
UNIQUE: list[tuple[str, pa.Array, list[str]]] = [
    ("int64", pa.array([7, 2**60 + 1]), ["7", str(2**60 + 1)]),
    ("uint64", pa.array([7, 2**64 - 1], pa.uint64()), ["7", str(2**64 - 1)]),
    ("int8", pa.array([-7, 8], pa.int8()), ["-7", "8"]),
    ("float", pa.array([1.0, 2.0]), ["1", "2"]),
    ("half", pa.array([1.0, 2.0], pa.float16()), ["1", "2"]),
    ("decimal", pa.array([Decimal("1.00"), Decimal("2.00")], pa.decimal128(5, 2)), ["1", "2"]),
    ("text", pa.array(["a", "1.0"]), ["a", "1.0"]),
    ("large text", pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
    ("category", pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
    (
        "uuid",
        pa.array([uuid.UUID(int=1).bytes, uuid.UUID(int=2).bytes], pa.uuid()),
        [str(uuid.UUID(int=n)) for n in (1, 2)],
    ),
]


@pytest.mark.parametrize(("ids", "read"), [pytest.param(*rest, id=name) for name, *rest in UNIQUE])
@pytest.mark.parametrize("columns", [{}, {"id": "id"}], ids=["unnamed", "named"])
def test_ids_that_tell_rows_apart(tmp_path: Path, ids: pa.Array, read: list[str], columns: dict[str, str]) -> None:
    write_table(tmp_path / "a.parquet", ids)
    found = ingested(tmp_path, "a.parquet", "pairs", columns=columns)
    assert (found.column("source_id"), found.notes) == (read, [])


NOW = datetime(2026, 1, 1, tzinfo=UTC)
UNUSABLE: list[tuple[str, pa.Array, str]] = [
    ("pandas with a hole", pa.array([1.0, None]), "row 2 has none"),
    ("nan", pa.array([1.0, math.nan]), "row 2 has none"),
    ("empty text", pa.array(["a", ""]), "row 2 has none"),
    ("fraction", pa.array([1.5, 2.5]), "id is 1.5"),
    ("decimal fraction", pa.array([Decimal("1.5"), Decimal("2.5")]), "id is Decimal('1.5')"),
    ("infinite", pa.array([math.inf, 1.0]), "id is inf"),
    ("rounded", pa.array([2.0**60, 1.0]), "has lost its last digits"),
    ("truth values", pa.array([True, False]), "id is True (bool)"),
    ("bytes", pa.array([b"a", b"b"]), "id is b'a' (bytes)"),
    ("dates", pa.array([NOW, NOW]), "id is datetime"),
    ("nanoseconds", pa.array([1, 2], pa.timestamp("ns")), "imestamp"),
    ("lists", pa.array([["a"], ["b"]]), "id is ['a'] (list)"),
    ("structs", pa.array([{"$oid": "a"}, {"$oid": "b"}]), "(dict)"),
    ("blank", pa.array([" ", "b"]), "id is empty"),
    ("control characters", pa.array(["a\0", "b"]), "U+0000"),
    ("ints and their text", pa.array(["1", "1"]), "'1' stands in row 1 and in row 2"),
]


@pytest.mark.parametrize(("ids", "why"), [pytest.param(*rest, id=name) for name, *rest in UNUSABLE])
def test_an_unnamed_column_that_is_no_id_is_told_and_drops_nothing(tmp_path: Path, ids: pa.Array, why: str) -> None:
    write_table(tmp_path / "a.parquet", ids)
    found = ingested(tmp_path, "a.parquet", "pairs")
    assert found.column("source_id") == ["1", "2"]
    (note,) = found.notes
    assert why in note


@pytest.mark.parametrize("ids", [pytest.param(ids, id=name) for name, ids, _ in UNUSABLE])
def test_a_named_column_that_is_no_id_is_refused(tmp_path: Path, ids: pa.Array) -> None:
    write_table(tmp_path / "a.parquet", ids)
    with pytest.raises(DataError, match="leave id out of columns") as caught:
        ingested(tmp_path, "a.parquet", "pairs", columns={"id": "id"})
    assert "a.parquet" in str(caught.value)


def test_without_a_single_id_nothing_is_said(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", pa.nulls(2))
    found = ingested(tmp_path, "a.parquet", "pairs")
    assert (found.column("source_id"), found.notes) == (["1", "2"], [])


def test_rows_on_one_line_are_numbered(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([{"prompt": each} for each in "abc"]))
    assert ingested(tmp_path, "a.json", "prompts").column("source_id") == ["1", "1.2", "1.3"]


def test_ids_repeat_across_files_too() -> None:
    ids = Ids("id", named=False)
    ids.add("0", "a-0.parquet row 1", "a-0:1")
    ids.add("0", "a-1.parquet row 1", "a-1:1")
    assert ids.decided() == ["a-0:1", "a-1:1"]
    assert "a-0.parquet row 1 and in a-1.parquet row 1" in str(ids.unused())


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(), st.binary(), st.uuids(),
    st.datetimes(), st.lists(st.integers(), max_size=2), st.just(10**400),
)  # fmt: skip


@settings(deadline=None)
@given(values=st.lists(VALUES, min_size=1, max_size=6))
def test_whatever_an_unnamed_column_holds_every_row_gets_an_id_of_its_own(values: list[Any]) -> None:
    columns, ids = Columns("prompts", {}), Ids("id", named=False)
    for place, value in enumerate(values):
        row = columns.read({"id": value, "prompt": "x"})
        assert row["id"] is None or isinstance(row["id"], str | Fault)
        ids.add(row["id"], f"row {place}", str(place))
    assert len(set(ids.decided())) == len(values)
