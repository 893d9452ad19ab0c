"""Every fault in what people bring is told with file, line, value and remedy, before any model is loaded."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alma.artifact import Ref
from alma.artifact.out import Out
from alma.errors import AccessError, AlmaError, ConfigError, DataError
from alma.sections import IngestRows
from alma.sources.columns import explain_missing
from alma.sources.row import Row
from alma.sources.rows import MOST_NAMES, NAME_CHARS, column_names, read_rows
from alma.stages import ingest
from alma.store import open_store

GOOD = {"prompt": "Why is the sky blue?", "response": "Because of Rayleigh scattering.", "score": 7}


@pytest.mark.parametrize(
    ("source", "said"),
    [("alm.jsonl", r"There is: alma\\n: all is well.jsonl?"), (".", r"alma\\n: all is well.jsonl")],
)
def test_a_name_of_two_lines_is_written_on_one(source: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "alma\n: all is well.jsonl").touch()
    with pytest.raises(DataError, match=said) as told:
        ingest.identify(rows(source=source), tmp_path)
    assert "\n" not in str(told.value)


def take_in(cfg: IngestRows, base: Path) -> None:
    out = Out(open_store(str(base / "store")), Ref("ingest", "0" * 20), base / "scratch")
    ingest.run(cfg, base=base, identity=ingest.identify(cfg, base), out=out)


def rows(**changes: Any) -> IngestRows:
    return IngestRows(**{"source": "seeds.jsonl", "kind": "scores", **changes})


def lines(*objects: object) -> bytes:
    return "".join(o if isinstance(o, str) else json.dumps(o) + "\n" for o in objects).encode()


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in GOOD.items() if key != name}


def parquet(table: dict[str, list[Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(table), buffer)
    return buffer.getvalue()


def utf8_bom(data: bytes) -> bytes:
    return b"\xef\xbb\xbf" + data


BAD_ROWS = [
    # id, file name, content, what the message must hold
    pytest.param("a.jsonl", b"", ["a.jsonl", "empty"], id="empty file"),
    pytest.param("a.jsonl", b"\n \n", ["a.jsonl", "no rows"], id="only blank lines"),
    pytest.param("a.jsonl", b"\n" * 1_100_000, ["a.jsonl line 1000001: ", "take them out"], id="a million of them"),
    pytest.param("a.csv", b"\n" * 1_100_000, ["a.csv line 1000001: ", "take them out"], id="a million of a CSV"),
    pytest.param("a.csv", b"prompt,response,score\n", ["a.csv", "no rows"], id="csv header only"),
    pytest.param("a.json", b"[]", ["a.json", "no rows"], id="empty list"),
    pytest.param(
        "a.jsonl", lines(GOOD, "\n", '{"prompt": "x",}\n'), ["line 3", "not JSON", "column 16"], id="broken line"
    ),
    pytest.param(
        "a.jsonl",
        lines('{"prompt": ' + "9" * 5000 + "}\n"),
        ["line 1", "digits; write a shorter one"],
        id="huge number",
    ),
    pytest.param("a.jsonl", lines("[" * 200_000), ["line 1", "JSON", "recursion"], id="a wall of brackets"),
    pytest.param(
        "a.jsonl", lines(GOOD, '{"prompt": "x", "prompt": "y"}\n'), ["line 2", "'prompt' stands twice"], id="name twice"
    ),
    pytest.param(
        "a.json", b'[{"prompt": "x", "prompt": "y"}]', ["a.json", "'prompt' stands twice"], id="json name twice"
    ),
    pytest.param("a.jsonl", lines(GOOD, "[1, 2]\n"), ["line 2", "[1, 2]", "not an object"], id="list as a row"),
    pytest.param("a.jsonl", lines("null\n"), ["line 1", "None", "not an object"], id="null as a row"),
    pytest.param(
        "a.jsonl", lines(GOOD) + b'{"prompt": "\xff"}', ["line 2", "byte 106", "0xff", "UTF-8"], id="not utf-8 line"
    ),
    pytest.param("a.jsonl", "{}".encode("utf-16"), ["a.jsonl line 1", "UTF-16"], id="utf-16"),
    pytest.param(
        "a.csv", b"prompt,response,score\nx,caf\xe9,1\n", ["a.csv line 2", "byte 27", "0xe9"], id="latin-1 csv"
    ),
    pytest.param(
        "a.csv", utf8_bom(b"prompt\n\xe9\n"), ["a.csv line 2", "byte 10", "0xe9"], id="bad byte behind a mark"
    ),
    pytest.param("a.json", b'[{"prompt": "x"},\n {"prompt" "y"}]', ["a.json line 2", "column 12"], id="broken json"),
    pytest.param("a.json", lines(GOOD, GOOD), ["a.json line 2", ".jsonl"], id="json lines named json"),
    pytest.param("a.json", b'{"data": []}', ["a.json", "'data'", "list of objects"], id="json object"),
    pytest.param(
        "a.json", b"[\n" + lines(GOOD) + b',\n "x"]', ["line 4", "'x'", "not an object"], id="json item not an object"
    ),
    pytest.param("a.txt", b"x", ["a.txt", ".jsonl", "'.txt'"], id="unknown suffix"),
    pytest.param(
        "a.jsonl",
        lines({"instruction": "x", "output": "y", "score": 1}),
        ["'prompt'", "instruction, output, score", 'columns = { prompt = "instruction" }'],
        id="alpaca columns",
    ),
    pytest.param(
        "a.csv", b"promt,response,score\nx,y,1\n", ["'prompt'", 'columns = { prompt = "promt" }'], id="misspelt column"
    ),
    pytest.param("a.csv", b"prompt;response;score\nx;y;1\n", ["'prompt'", "commas", "';'"], id="semicolons"),
    pytest.param(
        "a.parquet", parquet({"question": ["x"], "response": ["y"]}), ["'prompt'", '"question"'], id="parquet column"
    ),
    pytest.param(
        "a.jsonl",
        lines({"messages": [{"content": "x"}, {"content": "y"}], "score": 1}),
        ["line 1", "'messages' have no role", "{'role': 'user', …}"],
        id="chat rows without roles",
    ),
    pytest.param(
        "a.jsonl", lines(GOOD, without("response")), ["line 2", "no 'response'"], id="column missing in a row"
    ),
    pytest.param(
        "a.jsonl", lines({**GOOD, "prompt": " \n"}), ["line 1", "prompt is empty", r"' \n'"], id="empty prompt"
    ),
    pytest.param("a.jsonl", lines({**GOOD, "response": None}), ["line 1", "response is empty", "None"], id="null"),
    pytest.param(
        "a.jsonl", lines({**GOOD, "prompt": 7}), ["line 1", "prompt is 7 (int)", "not text"], id="number text"
    ),
    pytest.param("a.jsonl", lines({**GOOD, "prompt": ["x"]}), ["prompt is ['x'] (list)"], id="list as text"),
    pytest.param("a.jsonl", lines({**GOOD, "prompt": "a\0b"}), ["line 1", "U+0000", "place 1", r"a\x00b"], id="nul"),
    pytest.param("a.jsonl", lines({**GOOD, "response": "\x1b[2J"}), ["U+001B", r"\x1b[2J"], id="terminal escape"),
    pytest.param(
        "a.jsonl", lines({**GOOD, "prompt": "\ud800"}), ["line 1", "U+D800", "surrogate"], id="half a character"
    ),
    pytest.param("a.jsonl", lines({**GOOD, "score": "good"}), ["score is 'good'", "not a number"], id="score a word"),
    pytest.param("a.jsonl", lines({**GOOD, "score": "7"}), ["score is '7'", "without quotes"], id="score quoted"),
    pytest.param("a.jsonl", lines({**GOOD, "score": True}), ["score is True"], id="score a truth value"),
    pytest.param("a.jsonl", lines({**GOOD, "score": None}), ["score is None"], id="score null"),
    pytest.param("a.jsonl", lines({**GOOD, "score": float("nan")}), ["score is nan", "0 (unusable)"], id="score nan"),
    pytest.param("a.jsonl", lines({**GOOD, "score": 10.5}), ["score is 10.5", "10 (outstanding)"], id="score too high"),
    pytest.param("a.jsonl", lines({**GOOD, "score": -1}), ["score is -1"], id="score negative"),
    pytest.param("a.jsonl", lines({**GOOD, "score": 10**400}), ["score is 1000", "…"], id="score astronomical"),
    pytest.param("a.csv", b"prompt,response,score\nx,y,1_0\n", ["line 2", "'1_0'"], id="csv score not plain"),
    pytest.param("a.csv", b"prompt,response,score\nx,y,nan\n", ["line 2", "'nan'"], id="csv score nan"),
    pytest.param(
        "a.csv", b'prompt,response,score\n"x\ny",z,1\nx,y\n', ["line 4", "2 fields", "has 3"], id="csv field count"
    ),
    pytest.param("a.csv", b'prompt,response,score\nx,"y,1\n', ["a.csv line 2", "not CSV"], id="csv open quote"),
    pytest.param("a.csv", b"prompt,prompt\nx,y\n", ["line 1", "'prompt' twice"], id="csv header twice"),
    pytest.param("a.parquet", b"PAR1 no", ["a.parquet", "Parquet"], id="parquet unreadable"),
]


@pytest.mark.parametrize(("name", "content", "parts"), BAD_ROWS)
def test_tells_what_is_wrong_with_rows(tmp_path: Path, name: str, content: bytes, parts: list[str]) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        take_in(rows(source=name), tmp_path)
    message = str(caught.value)
    assert name in message
    assert [part for part in parts if part not in message] == [], message
    assert len(message.splitlines()) <= 12, "more than a screen"
    assert max(map(len, message.splitlines())) <= 320, "a value was not cut"
    assert message.isprintable() or set(message) - {"\n"} == {c for c in message if c.isprintable()}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("a.jsonl", lines(GOOD, {**GOOD, "prompt": "x" * 200}), "a.jsonl line 2: the row", id="line"),
        pytest.param("a.jsonl", lines(GOOD) + b'{"prompt": "' + b"x" * 200, "a.jsonl line 2: the row", id="no end"),
        pytest.param(
            "a.json", b'[{"prompt": "x"},\n{"prompt": "' + b"x" * 200 + b'"}]', "a.json line 2: the row", id="item"
        ),
        pytest.param(
            "a.json", ('[\n{"prompt": "' + "é" * 70 + '"}]').encode(), "a.json line 2: the row", id="item in bytes"
        ),
        pytest.param("a.csv", b"prompt,response\nx,y\n" + b"x" * 200 + b",y\n", "a.csv line 3: the row", id="field"),
        pytest.param("a.csv", b'prompt,response\nx,"' + b"y\n" * 200, "a.csv line 2: the row", id="open quote"),
        pytest.param("a.parquet", parquet({"prompt": ["x", "y" * 200]}), "a.parquet row 2: has ", id="cell"),
    ],
)
def test_a_row_of_any_size_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, said: str
) -> None:
    for room in ("json_rows", "csv_rows", "legible", "parquet"):
        monkeypatch.setattr(f"alma.sources.{room}.ROW_BYTES", 150)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{said}.* 150 .*shorten it or take it out") as caught:
        list(read_rows(tmp_path / name))
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("bound", "most", "said"),
    [("JSON_MEMORY", 2**22, "its values take more than 4 MiB"), ("JSON_BYTES", 2**10, "has 3,000,004 bytes")],
)
def test_json_is_read_as_a_whole_only_where_it_is_small(tmp_path: Path, bound: str, most: int, said: str) -> None:
    """In a process of its own: one that has given memory back may take it again below the bound."""
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + b"[]," * 1_000_000 + b"[]]")
    code = (
        "import sys\nfrom pathlib import Path\nfrom alma.errors import DataError\n"
        f"from alma.sources import json_rows, rows\njson_rows.{bound} = {most}\n"
        "try: list(rows.read_rows(Path(sys.argv[1])))\n"
        "except DataError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert re.search(f"a.json: {said}.* .jsonl: jq", done.stdout), done.stdout


@pytest.mark.parametrize(
    ("bound", "chars", "said"),
    [
        ("MOST_MEMORY", 2**22, "from here on 128 rows take more than 64 MiB of memory"),
        ("MOST_ROWS_BYTES", 2**20, "up to here the rows are 128 MiB large, and the file has"),
    ],
)
def test_a_file_of_a_kilobyte_does_not_become_gigabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, chars: int, said: str
) -> None:
    """A text that a Parquet file holds once stands in each of its rows."""
    monkeypatch.setattr(f"alma.sources.parquet.{bound}", 2**26)
    again = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["y" * chars]))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": again}), path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 2000
    with pytest.raises(DataError, match=f"a.parquet row 1: {said}"):
        list(read_rows(path))


@pytest.mark.parametrize(
    ("source", "error", "parts"),
    [
        pytest.param("seeds/sfd.jsonl", DataError, ["sfd.jsonl", "Did you mean sft.jsonl?"], id="near name"),
        pytest.param("seeds/nothing", DataError, ["There is: scores.csv, sft.jsonl."], id="no near name"),
        pytest.param("sedes/sft.jsonl", DataError, ["sedes", "does not exist either"], id="no folder"),
        pytest.param("seeds", DataError, ["is a folder", "scores.csv, sft.jsonl"], id="folder"),
        pytest.param("gs://b/x", ConfigError, ["gs://b/x", "s3://bucket/key", "hf://owner/name"], id="other cloud"),
        pytest.param("", ConfigError, ["source is empty"], id="empty"),
        pytest.param("s3://bucket", ConfigError, ["names a bucket"], id="bucket"),
        pytest.param("hf://owner", ConfigError, ["hf://owner/name"], id="hub without a name"),
        pytest.param("hf://datasets/owner/name", ConfigError, ["hf://owner/name"], id="hub with a kind"),
        pytest.param("loop.jsonl", DataError, ["loop.jsonl", "a symbolic link that leads nowhere"], id="loop"),
        pytest.param("hf://o/n/../../x", ConfigError, ["hf://o/n/../../x"], id="hub climbing"),
        pytest.param(
            "hf://o/n", ConfigError, ["revision is missing", "git ls-remote", "/datasets/o/n main"], id="no pin"
        ),
    ],
)
def test_tells_what_is_wrong_with_a_source(
    tmp_path: Path, source: str, error: type[AlmaError], parts: list[str]
) -> None:
    (tmp_path / "seeds").mkdir()
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    for name in ("sft.jsonl", "scores.csv"):
        (tmp_path / "seeds" / name).write_bytes(lines(GOOD))
    with pytest.raises(error) as caught:
        ingest.identify(rows(source=source), tmp_path)
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


def test_revision_must_be_a_commit_and_only_for_the_hub(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'main' can move"):
        ingest.identify(rows(source="hf://o/n", revision="main"), tmp_path)
    with pytest.raises(ConfigError, match="hf:// sources only"):
        ingest.identify(rows(revision="a" * 40), tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything: as another user, pytest tests/sources")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_bytes(lines(GOOD))
    (tmp_path / "seeds.jsonl").chmod(0)
    with pytest.raises(AccessError, match="chmod"):
        ingest.identify(rows(), tmp_path)


def test_unknown_column_of_ours(tmp_path: Path) -> None:
    (tmp_path / "seeds.jsonl").write_bytes(lines(GOOD))
    with pytest.raises(
        ConfigError, match="'respone' is not a column of scores; those are: id, prompt, response, score"
    ):
        take_in(rows(columns={"respone": "x"}), tmp_path)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"K" * 10**5: dict.fromkeys(map(str, range(10**5)), 1)}, id="a long name before many"),
        pytest.param({f"c{i}": [{"role": "user", "content": "x"}] for i in range(10**5)}, id="many conversations"),
        pytest.param({"a": {"b" * 150: {"c" * 150: {"d": 1}}}}, id="deep"),
    ],
)
def test_columns_are_named_for_a_message_and_no_further(values: dict[str, Any]) -> None:
    """Of a file of a megabyte they would be gigabytes, and every pair of them be compared."""
    there = column_names(Path("rows.jsonl"), Row(1, values))
    assert len(there) <= MOST_NAMES
    assert max(map(len, there)) <= NAME_CHARS
    assert "no row has the column 'prompt'" in explain_missing("prompt", "prompt", there)
