"""The day that a chat template writes, fixed: else the bytes of everything that follows would depend on the clock.

Transformers gives templates ``strftime_now``, and some (Llama 3) take ``date_string`` from whoever renders them. Both
are defined at the template's own beginning, so that all that render it write one day: training, engines, a server.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from alma.sections.ingest import TEMPLATE_DATE
from alma.sources.weights import read_json, read_text

_CODES = "aAbBcdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ"
"""The directives of ``strftime`` in the C library of Linux; a minus takes the padding off."""

_MACRO = (
    "{%- macro strftime_now(format) -%}{%- set parts = namespace(said=[]) -%}"
    "{%- for part in format.split('%%') -%}{%- set text = namespace(said=part) -%}"
    "{%- for code, value in <codes>.items() -%}{%- set text.said = text.said.replace(code, value) -%}{%- endfor -%}"
    "{%- set parts.said = parts.said + [text.said] -%}{%- endfor -%}{{- parts.said | join('%') -}}{%- endmacro -%}"
)


def fix_date(folder: Path, source: str, date: datetime.date, template_file: str) -> bool:
    """Writes ``date`` into the chat templates of a model's folder that ask for the day. Returns whether one does.

    A template that has a day of its own, and takes another one only from who renders it, keeps its own at the default.
    Raises ``DataError`` for a template that is no text.
    """
    fixed = False
    path, config_path = folder / template_file, folder / "tokenizer_config.json"
    if path.is_file():
        template = read_text(path, source)
        if asks(template, date):
            path.write_text(dated(template, date), encoding="utf-8")
            fixed = True
    config = read_json(config_path, source) if config_path.is_file() else {}
    found = config.get("chat_template")
    if found and _any_asks(found, date):
        config["chat_template"] = _all_dated(found, date)
        config_path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        fixed = True
    return fixed


def asks(template: str, date: datetime.date) -> bool:
    """Whether what the template writes depends on the day, or on ``date`` where that is not the default."""
    return "strftime_now" in template or ("date_string" in template and date != TEMPLATE_DATE)


def dated(template: str, date: datetime.date) -> str:
    """The template on that day. The break of line behind what is put before it is none of its text."""
    day = datetime.datetime.combine(date, datetime.time())
    codes = {f"%{flag}{code}": day.strftime(f"%{flag}{code}") for code in _CODES for flag in ("", "-")}
    codes |= {"%f": "000000"}
    macro = _MACRO.replace("<codes>", json.dumps(codes))
    if "date_string" in template:
        macro += "{%- set date_string = " + json.dumps(day.strftime("%d %b %Y")) + " %}"
    else:
        macro = macro.removesuffix("-%}") + "%}"
    return macro + "\n" + template


def _any_asks(found: Any, date: datetime.date) -> bool:
    named = found if isinstance(found, list) else [{"template": found}]
    return any(asks(str(each.get("template")), date) for each in named)


def _all_dated(found: Any, date: datetime.date) -> Any:
    if not isinstance(found, list):
        return dated(found, date)
    return [
        each | {"template": dated(each["template"], date)} if asks(str(each.get("template")), date) else each
        for each in found
    ]
