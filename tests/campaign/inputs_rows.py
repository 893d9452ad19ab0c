"""Rows, drawn: each format with other values, columns or bytes."""

from __future__ import annotations

import copy
import datetime
import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from alma.convert import SETS
from tests.campaign.inputs import Case
from tests.campaign.inputs_values import NUMBERS, TEXTS, as_json, nested, spoil_bytes, spoil_tree
from tests.campaign.inputs_words import encodable

ROWS = [{"id": f"r{n}", "prompt": f"copy {n}", "response": f"{n}", "score": n % 11} for n in range(6)]
TALK = [{"messages": [{"role": "user", "content": "copy a"}, {"role": "assistant", "content": "a"}]}]


def rows(draw: random.Random, folder: Path, world: Path) -> Case:
    """Rows in each format with other values, columns or bytes, ingested or converted."""
    del world
    suffix = draw.choice((".jsonl", ".json", ".csv", ".parquet", ".parquet"))
    path = folder / f"brought{draw.choice(('', '', '', chr(27) + '[31m'))}{suffix}"
    given: list[Any] = copy.deepcopy(draw.choice((ROWS, ROWS, TALK)))
    given = spoil_tree(draw, given)
    given = given if isinstance(given, list) else [given]
    data: bytes | None = None
    if suffix == ".parquet":
        _write_parquet(draw, path)
        data = path.read_bytes()
    elif suffix == ".jsonl":
        data = b"\n".join(map(as_json, given))
    elif suffix == ".json":
        data = as_json(given)
    else:
        names = list(ROWS[0])
        fields = [
            ",".join(json.dumps(str(row.get(name, ""))) for name in names) for row in given if isinstance(row, dict)
        ]
        data = "\n".join([",".join(names), *fields]).encode("utf-8", "surrogatepass")
        if draw.random() < 0.1:
            data = b",".join(b"c%d" % n for n in range(300_000)) + b"\n" + b"1," * 299_999 + b"1\n"
    if draw.random() < 0.3:
        data = spoil_bytes(draw, data)
    if draw.random() < 0.03:
        data = draw.choice((b"", b"[" * 100_000, as_json(nested(900)), b'{"prompt": ' + b"9" * 5000 + b"}"))
    path.write_bytes(data)
    if draw.random() < 0.3:
        name = draw.choice(list(SETS))
        extra = draw.choice(
            ([], ["--seeds", str(draw.choice(NUMBERS))], ["--family", draw.choice(TEXTS).replace("\0", "")])
        )
        extra = [encodable(each) for each in extra]
        return Case("alma", ["convert", name, path.name, "--out", "made", *extra], folder, None if extra else "brought")
    section: dict[str, Any] = {"kind": draw.choice(("pairs", "scores", "prompts")), "source": path.name}
    if draw.random() < 0.3:
        section["columns"] = draw.choice(({"prompt": "messages"}, {"prompt": draw.choice(TEXTS)}, {"id": "id"}))
    if draw.random() < 0.15:
        section["source"] = draw.choice(
            ("pipe", "/dev/zero", "folder", "loop", "secret.jsonl", "~nosuchuser/x", "a\0b", "\ud800")
        )
    config = json.dumps(section)
    source = "brought" if section["source"] == path.name and "columns" not in section else None
    return Case("alma", ["stage", "ingest", "--store", "store", "--config", config], folder, source)


def _write_parquet(draw: random.Random, path: Path) -> None:
    count = 3
    far = [2**62, -(2**62), 0]
    kinds: list[Any] = [
        pa.array(["a", "b", None]),
        pa.array([1, 2**62, -1], pa.int64()),
        pa.array([0.5, float("nan"), float("inf")]),
        pa.array([2**31 - 1, -(2**31), 0], pa.int32()).cast(pa.date32()),
        pa.array(far, pa.int64()).view(
            pa.timestamp(draw.choice(("s", "us", "ns")), draw.choice((None, "UTC", "Mars/Base")))
        ),
        pa.array(far, pa.int64()).view(pa.duration(draw.choice(("s", "us", "ns")))),
        pa.array([86_399_999_999, -5, 2**60], pa.int64()).view(pa.time64("us")),
        pa.array([Decimal("9" * 38), None, Decimal(1)], pa.decimal128(38, 0)),
        pa.array([b"\xff\xfe", b"", None], pa.binary()),
        pa.array([[{"role": "user", "content": "a"}], [], None]),
        pa.array([[("k", 1), ("k", 2)], [], None], pa.map_(pa.string(), pa.int64())),
        pa.array(["x", "y", "x"]).dictionary_encode(),
        pa.nulls(count),
        pa.array([datetime.date(1, 1, 1), None, datetime.date(9999, 12, 31)]),
    ]
    names = [*draw.sample(("prompt", "response", "score", "id", "messages", "\x1b[31m", ""), 4)]
    table = pa.table({name: draw.choice(kinds) for name in names})
    try:
        pq.write_table(table, path)
    except (pa.ArrowException, OSError, ValueError):  # a type that Parquet does not have
        pq.write_table(pa.table({"prompt": ["a"]}), path)
