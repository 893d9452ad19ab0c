"""Models, drawn: a folder with a file spoilt."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

from tests.campaign.inputs import Case
from tests.campaign.inputs_values import as_json, nested, spoil_bytes, spoil_tree

BASE = Path(__file__).parents[2] / "examples" / "micro" / "base"


def model(draw: random.Random, folder: Path, world: Path) -> Case:
    """A model's folder with a file spoilt, ingested or probed."""
    del world
    place = folder / "model"
    shutil.copytree(BASE, place)
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
