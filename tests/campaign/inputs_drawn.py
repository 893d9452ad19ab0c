"""Cases, drawn: what people bring, spoilt; and command lines of every verb. Each draws into a folder of its own."""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import os
import random
import shutil
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from alma.cli import parser as alma_parser
from alma.convert import SETS
from cluster.__main__ import parser as cluster_parser
from tests.campaign.inputs import Case
from tests.campaign.inputs_values import NUMBERS, TEXTS, as_json, as_toml, nested, spoil_bytes, spoil_tree, value

ROOT = Path(__file__).parents[2]
MICRO = ROOT / "examples" / "micro"
ROWS = [{"id": f"r{n}", "prompt": f"copy {n}", "response": f"{n}", "score": n % 11} for n in range(6)]
TALK = [{"messages": [{"role": "user", "content": "copy a"}, {"role": "assistant", "content": "a"}]}]


def prepare(folder: Path) -> None:
    """What lies in every case's folder: a pipe, a folder, links to nowhere, rows, a file that may not be read."""
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nothing")
    (folder / "rows.jsonl").write_bytes(b"\n".join(map(as_json, ROWS)))
    (folder / "secret.jsonl").write_bytes(b"{}")
    (folder / "secret.jsonl").chmod(0)


def run_file(draw: random.Random, folder: Path, world: Path) -> Case:
    """A run file with other values, keys or bytes, planned, compiled or run."""
    del world
    name = draw.choice(("micro.toml", "llama3-8b.toml", "isara-micro.toml"))
    text = (ROOT / "examples" / name).read_bytes()
    note = name
    chance = draw.random()
    if chance < 0.65:
        text = as_toml(spoil_tree(draw, tomllib.loads(text.decode())))
    elif chance < 0.85:
        text = spoil_bytes(draw, text)
    elif chance < 0.93:
        deep = draw.choice((90, 1000))
        text += draw.choice((b"[a]\nb = " + b"[" * deep + b"]" * deep, b"[" + b"a." * deep + b"b]\nc = 1")) + b"\n"
    elif chance < 0.95:
        text = b"a = 1\n" * 200_000
    path = folder / "run.toml"
    path.write_bytes(text)
    if chance >= 0.95:
        path = Path(
            draw.choice(("pipe", "/dev/zero", "folder", "loop", "dangling", "secret.jsonl", "~nosuchuser/r", "n" * 300))
        )
    verb = draw.choice((["plan"], ["plan"], ["run", "--in-process"], ["compile"]))
    program = "pipelines" if verb == ["compile"] else "alma"
    sets = [f"--set={_word(draw)}" for _ in range(draw.choice((0, 0, 0, 1)))]
    if program == "pipelines" and name != "isara-micro.toml":
        sets = ["--set=alma.rounds=1", *sets]  # a large graph takes its time
    out = (
        ["--output", draw.choice(("out.yaml", "folder", "nosuffix", "rows.jsonl/x", "n" * 300))]
        if program != "alma"
        else []
    )
    named = "run" if path.name == "run.toml" and not sets and program == "alma" and verb == ["plan"] else None
    return Case(
        program, [*verb, str(path if path.name != "run.toml" else "run.toml"), *sets, *out], folder, named, note
    )


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
        extra = [_encodable(each) for each in extra]
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


def model(draw: random.Random, folder: Path, world: Path) -> Case:
    """A model's folder with a file spoilt, ingested or probed."""
    del world
    place = folder / "model"
    shutil.copytree(MICRO / "base", place)
    verb = draw.choice(("ingest", "ingest", "probe"))
    file = "config.json" if verb == "probe" else draw.choice(MODEL_FILES)
    path = place / file
    data = path.read_bytes() if path.exists() else b"{}"
    chance = draw.random()
    if file == "chat_template.jinja":
        data = draw.choice(TEMPLATES).encode("utf-8", "surrogatepass")
    elif file.endswith(".safetensors"):
        data = _spoilt_weights(draw, data)
    elif chance < 0.75:
        data = as_json(spoil_tree(draw, json.loads(data)))
    elif chance < 0.95:
        data = spoil_bytes(draw, data)
    else:
        data = draw.choice((b"[" * 5000, b"", b"null", b"[]", b"7", as_json({"a": nested(900)})))
    path.unlink(missing_ok=True)
    if draw.random() < 0.04:
        draw.choice((os.mkfifo, Path.mkdir))(path)
    else:
        path.write_bytes(data)
    if verb == "probe":
        return Case("alma", ["probe", "model"], folder, "model", file)
    section: dict[str, Any] = {"kind": "model", "source": "model"}
    if draw.random() < 0.15:
        section |= {"chat_template": draw.choice(TEMPLATES)}
    named = "model" if "chat_template" not in section else None  # a template that is no text is a setting's fault
    return Case("alma", ["stage", "ingest", "--store", "store", "--config", json.dumps(section)], folder, named, file)


MODEL_FILES = (
    *(
        "config.json",
        "config.json",
        "tokenizer.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer_config.json",
    ),
    *("generation_config.json", "special_tokens_map.json", "model.safetensors", "model.safetensors.index.json"),
    *("chat_template.jinja", "chat_template.jinja"),
)

LOOP = "{% for _ in range(99999) %}"

TEMPLATES = (
    f"{LOOP}{LOOP}{LOOP}x{'{% endfor %}' * 3}", "{{ 'a'|center(10**10) }}", "{{ 'a' * 10**9 }}", "{{ 1 // 0 }}",
    "{% for %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ " + "(" * 3000 + " }}",
    "{{ messages[0]['content'] }}", "", "{{", "{% raw %}", "{{ ''.__class__.__mro__ }}",
    "{{ raise_exception('\x1b[31m') }}", "\x1b[31m{{ messages[0].content }}</s>", "{{ messages|random }}",
    "{{ strftime_now('%Y' * 100000) }}", "{% include '/etc/passwd' %}", "{{ messages[9].x.y }}",
    "{% for m in messages %}{{ m.content|upper }}</s>{% endfor %}", "{{ messages[0].content * 100000 }}</s>",
    "\ud800", "{{ messages[0].content }}" + "x" * 3_000_000, "{% set x = [1] %}{{ x.append(x) }}{{ x }}",
)  # fmt: skip


def _spoilt_weights(draw: random.Random, data: bytes) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header, rest = json.loads(data[8 : 8 + size]), data[8 + size :]
    if draw.random() < 0.5:
        changed = as_json(spoil_tree(draw, header))
        return len(changed).to_bytes(8, "little") + changed + rest
    if draw.random() < 0.3:
        return draw.choice((2**63, 2**32, 0, 7)).to_bytes(8, "little") + data[8:]
    return spoil_bytes(draw, data[: 8 + size]) + rest[: draw.choice((0, 100, len(rest)))]


def store(draw: random.Random, folder: Path, world: Path) -> Case:
    """A store with one object spoilt, and a command that reads it."""
    place = folder / "store"
    shutil.copytree(world / "store", place, copy_function=os.link)
    objects = sorted(
        path for path in place.rglob("*") if path.is_file() and path.suffix in (".json", ".parquet", ".html")
    )
    objects = [path for path in objects if "/files/" not in str(path) or path.name == "report.json"]
    path = draw.choice(objects)
    data = path.read_bytes()
    chance = draw.random()
    path.unlink()
    if chance < 0.65 and path.suffix == ".json":
        path.write_bytes(as_json(spoil_tree(draw, json.loads(data))))
    elif chance < 0.95:
        path.write_bytes(spoil_bytes(draw, data))
    else:
        draw.choice((os.mkfifo, Path.mkdir, lambda _: None))(path)
    refs = [str(each.parent.relative_to(place)) for each in sorted(place.glob("*/*/manifest.json"))]
    ref = str(path.relative_to(place).parent) if path.name in ("manifest.json", "cost.json") else draw.choice(refs)
    reports = [each for each in refs if each.startswith("report/")]
    runs = sorted({each.name for each in (place / "runs").iterdir() if each.is_dir()})
    models = [each for each in refs if (place / each).parts[-2] in ("ingest", "finetune")]
    words = draw.choice(
        (
            ["show", ref],
            ["show", ref, "--rows", str(draw.choice(NUMBERS))],
            ["show", f"store/{ref}/manifest.json"],
            ["trace", f"{ref.replace('/', '-')}-{draw.choice((0, 1, 10**30))}"],
            ["status"],
            ["status", draw.choice(runs)],
            ["export", draw.choice(models), "made"],
            ["compare", *reports, "--out", "made"],
            ["compare", draw.choice(runs), "--out", "made"],
            ["finish", "--run", draw.choice(runs)],
        )
    )
    return Case("alma", [*words, "--store", "store"], folder, None, str(path.relative_to(place)))


def words(draw: random.Random, folder: Path, world: Path) -> Case:
    """A command line: a verb with its options, their values anything."""
    shutil.copytree(world / "store", folder / "store", copy_function=os.link)
    program, made = draw.choice((("alma", alma_parser()), ("alma", alma_parser()), ("cluster", cluster_parser())))
    commands = next(each for each in made._actions if isinstance(each, argparse._SubParsersAction)).choices
    verb = draw.choice(sorted(set(commands) - {"serve", "chat"}))
    given: list[str] = [verb]
    for action in commands[verb]._actions:
        if isinstance(action, argparse._HelpAction) or action.dest in ("push", "watch"):
            continue
        if not action.option_strings:
            given += [_word(draw) for _ in range(draw.choice((1, 1, 1, 0, 2)))]
        elif draw.random() < 0.35 or action.required:
            given.append(draw.choice(action.option_strings))
            given += [] if action.nargs == 0 else [_word(draw)]
    if verb == "run":
        given.append("--in-process")
    return Case(program, [_encodable(each) for each in given], folder, None, verb)


WORDS = (
    "store", "rows.jsonl", "examples", "ingest", "report", "finetune", "respond", "ingest/0123456789abcdef0123",
    "report/x", "ingest-0123456789abcdef0123-0", '{"kind": "pairs", "source": "rows.jsonl"}', '{"a": 1}', "[]",
    "@rows.jsonl", "0/8", "8/0", "seal", "run.toml", "sources", "scores", "alma.rounds=3",
    "model=ingest/0123456789abcdef0123", "x=rows.jsonl", "x=@y", '{"inputs": {}}',
    '{"inputs": {"parameterValues": {"a": "{}"}}}',
)  # fmt: skip


def _word(draw: random.Random) -> str:
    chance = draw.random()
    if chance < 0.4:
        return draw.choice(WORDS)
    if chance < 0.75:
        return draw.choice(TEXTS)
    if chance < 0.9:
        return str(draw.choice(NUMBERS))
    return json.dumps(value(draw))[:100_000]


def _encodable(word: str) -> str:
    """What can be a word of a command line: no NUL, no half characters but bytes that are no UTF-8."""
    return "".join(c for c in word if c != "\0" and not ("\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff"))


KINDS = {"run_file": run_file, "rows": rows, "model": model, "store": store, "words": words}
SHARES = {"run_file": 6, "rows": 8, "model": 3, "store": 5, "words": 5}
"""How often each is drawn: a model takes a second of a core."""
