"""Tables of pandas, DuckDB and Spark: any type of column is read rightly, or refused by file, row, column and value."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alma.errors import DataError
from tests.builders.ingested import ingested, write_lines


def write(path: Path, **columns: pa.Array) -> None:
    pq.write_table(pa.table(columns), path)


def strings(*texts: str) -> pa.Array:
    return pa.array(texts)


SCORES: list[tuple[str, pa.Array, list[float]]] = [
    ("decimal128", pa.array([Decimal("7.5"), Decimal("3.0")], pa.decimal128(3, 1)), [7.5, 3.0]),
    ("decimal256", pa.array([Decimal("7.5"), Decimal("10")], pa.decimal256(60, 3)), [7.5, 10.0]),
    ("category", pa.array([7.5, 3.0]).dictionary_encode(), [7.5, 3.0]),
    *((str(t), pa.array([7.5, 3.0], t), [7.5, 3.0]) for t in (pa.float16(), pa.float32(), pa.float64())),
    *(
        (str(t), pa.array([7, 0], t), [7.0, 0.0])
        for t in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
    ),
]


@pytest.mark.parametrize(("scores", "read"), [pytest.param(*rest, id=name) for name, *rest in SCORES])
def test_numbers_of_every_kind_are_scores(tmp_path: Path, scores: pa.Array, read: list[float]) -> None:
    write(tmp_path / "a.parquet", prompt=strings("a", "b"), response=strings("x", "y"), score=scores)
    assert ingested(tmp_path, "a.parquet", "scores").column("score") == read


REFUSED: list[tuple[str, pa.Array, str]] = [
    ("truth values", pa.array([True]), "score is True, and not a number"),
    ("nan", pa.array([math.nan]), "score is nan"),
    ("infinite", pa.array([math.inf], pa.float32()), "score is inf"),
    ("null", pa.nulls(1), "score is None"),
    ("text", pa.array(["7.5"]), "in Parquet: a column of numbers"),
    ("big decimal", pa.array([Decimal("1e30")], pa.decimal256(60, 3)), "the scale is 0"),
    ("list", pa.array([[7.5]]), "score is [7.5], and not a number"),
    ("struct", pa.array([{"value": 7}]), "score is {'value': 7}"),
    ("date", pa.array([datetime(2026, 1, 1)]), "score is datetime"),
]


@pytest.mark.parametrize(("scores", "said"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_what_is_no_score_is_refused_by_row(tmp_path: Path, scores: pa.Array, said: str) -> None:
    write(tmp_path / "a.parquet", prompt=strings("a"), response=strings("x"), score=scores)
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, "a.parquet", "scores")
    assert [part for part in ("a.parquet", "row 1", said) if part not in str(caught.value)] == [], caught.value


TEXTS = [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_text_of_every_kind_is_text(tmp_path: Path, kind: pa.DataType) -> None:
    write(tmp_path / "a.parquet", prompt=pa.array(["é", "b"]).cast(kind), response=pa.array(["x", "y"]).cast(kind))
    assert ingested(tmp_path, "a.parquet", "pairs").column("prompt") == ["é", "b"]


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        pytest.param(pa.array([b"a"]), "write the column as strings", id="bytes"),
        pytest.param(pa.array([1], pa.timestamp("ns")), "and not text", id="nanoseconds"),
        pytest.param(pa.array([2**61], pa.timestamp("ms")), "Python cannot hold", id="a date far off"),
        pytest.param(pa.array([Decimal(1)]), "prompt is Decimal('1')", id="decimal"),
        pytest.param(pa.array([b"\xff"]).view(pa.string()), "can't decode", id="not UTF-8"),
        pytest.param(
            pa.array([[("a", "x"), ("a", "y")]], pa.map_(pa.string(), pa.string())),
            "Python cannot hold",
            id="a key twice",
        ),
        pytest.param(pa.array([["a"]]), "prompt is ['a'] (list)", id="list"),
    ],
)
def test_what_is_no_text_is_refused_by_row(tmp_path: Path, prompts: pa.Array, said: str) -> None:
    write(tmp_path / "a.parquet", prompt=prompts, response=strings("x"))
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, "a.parquet", "pairs")
    assert [part for part in ("a.parquet", "row 1: prompt", said) if part not in str(caught.value)] == [], caught.value


def test_columns_that_nobody_asks_for_may_be_of_any_kind(tmp_path: Path) -> None:
    write(
        tmp_path / "a.parquet",
        __index_level_0__=pa.array([3]),
        seen=pa.array([2**61], pa.timestamp("ms")),
        prompt=strings("a"),
        response=strings("x"),
    )
    found = ingested(tmp_path, "a.parquet", "pairs")
    assert (found.column("prompt"), found.column("source_id")) == (["a"], ["1"])


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table([strings("a"), strings("b"), strings("x")], names=["prompt", "prompt", "response"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"a\.parquet: there are two columns 'prompt'"):
        ingested(tmp_path, "a.parquet", "pairs")


def test_maps_are_read_by_their_keys(tmp_path: Path) -> None:
    talk = pa.array([[("q", "a"), ("r", "x")]], pa.map_(pa.string(), pa.string()))
    write(tmp_path / "a.parquet", talk=talk)
    found = ingested(tmp_path, "a.parquet", "pairs", columns={"prompt": "talk.q", "response": "talk.r"})
    assert (found.column("prompt"), found.column("response")) == (["a"], ["x"])


NUMBERS = st.one_of(
    st.tuples(st.just(pa.float64()), st.lists(st.floats(0, 10), min_size=1, max_size=4)),
    st.tuples(st.just(pa.float32()), st.lists(st.floats(0, 10, width=32), min_size=1, max_size=4)),
    st.tuples(st.just(pa.float16()), st.lists(st.floats(0, 10, width=16), min_size=1, max_size=4)),
    st.tuples(st.sampled_from([pa.int8(), pa.uint64()]), st.lists(st.integers(0, 10), min_size=1, max_size=4)),
    st.tuples(
        st.sampled_from([pa.decimal128(20, 6), pa.decimal256(50, 6)]),
        st.lists(st.decimals(0, 10, places=6), min_size=1, max_size=4),
    ),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=NUMBERS)
def test_a_number_is_the_score_whatever_type_holds_it(
    tmp_path: Path, drawn: tuple[pa.DataType, list[float | Decimal]]
) -> None:
    kind, numbers = drawn
    texts = pa.array([f"p{i}" for i in range(len(numbers))])
    write(tmp_path / "a.parquet", prompt=texts, response=texts, score=pa.array(numbers, kind))
    assert ingested(tmp_path, "a.parquet", "scores").column("score") == [float(number) for number in numbers]


STRINGS = ["a", "7.5", "", " ", "é\u2028"]
ARRAYS: list[pa.Array] = [
    *(pa.array(STRINGS, kind) for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary())),
    pa.array(STRINGS).dictionary_encode(),
    *(pa.array([7, 0, 10, None, 3], kind) for kind in (pa.int8(), pa.uint64(), pa.float16(), pa.float32())),
    pa.array([0.5, math.nan, math.inf, -1.0, 2.0**60]),
    pa.array([Decimal("1.50"), None, Decimal("2.00"), Decimal("10.01"), Decimal("0.00")]),
    pa.array([True, False, None, True, False]),
    pa.array([1, 2, 3, None, 2**60], pa.timestamp("us")),
    pa.array([1, 2, 3, None, 4], pa.timestamp("ns", "Europe/Berlin")),
    pa.array([1, 2, 3, None, 4], pa.duration("ns")),
    pa.array([1, 2, 3, None, 4], pa.date32()),
    pa.array([["a"], [], None, ["b", "c"], [None]]),
    pa.array([{"role": "user", "content": "a"}, None, {"role": "gpt", "content": "b"}, {}, {"role": None}]),
    pa.array([b"%016d" % i for i in range(5)], pa.uuid()),
    pa.array([[("a", 1)], [], None, [("b", 2), ("b", 3)], [("c", None)]], pa.map_(pa.string(), pa.int64())),
    pa.nulls(5),
]


ANY = st.sampled_from(ARRAYS)
COLUMNS = {"id": ANY, "score": ANY, **dict.fromkeys(("prompt", "response"), st.sampled_from(ARRAYS[:5]) | ANY)}


@pytest.mark.slow
def test_any_table_is_read_as_it_is_or_refused(tmp_path: Path) -> None:
    num_read = 0

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(drawn=st.fixed_dictionaries(COLUMNS))
    def read_or_refused(drawn: dict[str, pa.Array]) -> None:
        nonlocal num_read
        write(tmp_path / "a.parquet", **drawn)
        try:
            found = ingested(tmp_path, "a.parquet", "scores", max_bad_share=0.9)
        except DataError as error:
            if not str(error).startswith("a.parquet: "):
                raise
            return
        num_read += 1
        there = pa.table(drawn).select(["prompt", "response", "score"]).to_pylist()
        for row in found.rows:
            read = {name: row[name] for name in ("prompt", "response", "score")}
            assert any(read == {**each, "score": float(each["score"])} for each in there if each["score"] is not None)
        assert len(set(found.column("source_id"))) == len(found.rows)

    read_or_refused()
    assert num_read >= 10, "hardly any table was read at all"


def test_json_keeps_whole_numbers_beyond_floats(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"id": 9007199254740993, "prompt": "a"}\n{"id": 9007199254740992, "prompt": "b"}\n'
    )
    assert ingested(tmp_path, "a.jsonl", "prompts").column("source_id") == ["9007199254740993", "9007199254740992"]


def test_a_csv_with_a_mark_and_with_columns_of_an_index(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfprompt,response,score\r\na,x,7.5\r\n")
    (tmp_path / "b.csv").write_bytes(b",prompt,response,score\n0,a,x,7.5\n")
    (tmp_path / "c.csv").write_bytes(b",,prompt,response,score\n0,1,a,x,7.5\n")
    for name in ("a.csv", "b.csv", "c.csv"):
        assert ingested(tmp_path, name, "scores").column("score") == [7.5]


def test_a_hole_that_pandas_writes_as_nan_is_a_hole(tmp_path: Path) -> None:
    nan = math.nan
    write_lines(tmp_path / "a.jsonl", [{"prompt": "a", "reference": nan, "family": nan, "true_references": nan}])
    found = ingested(tmp_path, "a.jsonl", "prompts")
    assert [found.column(name) for name in ("reference", "family")] == [[None], [None]]
