"""A template writes the day that its section says, whoever renders it and whenever."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest
import trl
from transformers.utils.chat_template_utils import render_jinja_template

from alma.errors import DataError
from alma.sections.ingest import TEMPLATE_DATE, IngestModel
from alma.sources.template_date import asks, dated, fix_date

PUBLISHED = Path(trl.__file__).parent / "chat_templates"
DAY = datetime.date(2031, 3, 5)
LLAMA_3_2 = (
    "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
    '{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}{%- set date_string = "26 Jul 2024" %}{%- endif %}'
    "{%- endif %}\n{{- bos }}Today: {{ date_string }}\n"
)
LLAMA_3_1 = '{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}{{ date_string }}'


def rendered(template: str, **variables: Any) -> str:
    """As transformers renders it, and vLLM by it."""
    texts, _ = render_jinja_template([[{"role": "user", "content": "q"}]], chat_template=template, **variables)
    return str(texts[0])


@pytest.mark.parametrize(
    "format_", ["%d %b %Y", "%Y-%m-%d", "%A, %-d. %B", "%%d is %d", "%a %e %j %H:%M:%S%f", "%y%m%d", "no day", "100%%"]
)
def test_every_format_is_written_as_python_writes_it(format_: str) -> None:
    template = "{{ strftime_now('" + format_ + "') }}"
    day = datetime.datetime.combine(DAY, datetime.time())
    assert rendered(dated(template, DAY)) == day.strftime(format_)


@pytest.mark.parametrize(
    "written", ["\n\nab", "  ab", "{%- if true %}ab{% endif %}", "\n  {% if true %}\nab{% endif %}\n"]
)
def test_the_rest_of_the_template_is_as_it_was(written: str) -> None:
    for template in (written + "{{ strftime_now('') }}", written + "{# date_string, strftime_now #}"):
        assert rendered(dated(template, DAY)) == rendered(template)


def test_a_day_that_is_handed_in() -> None:
    for template in (LLAMA_3_2, LLAMA_3_1):
        assert "05 Mar 2031" in rendered(dated(template, DAY), date_string="today", bos="")
    assert rendered(dated(LLAMA_3_2, TEMPLATE_DATE), bos="<s>") == "<s>Today: 26 Jul 2024"


def test_a_template_with_a_day_of_its_own_is_left_as_it_is() -> None:
    assert asks(LLAMA_3_2, TEMPLATE_DATE)
    assert not asks(LLAMA_3_1, TEMPLATE_DATE)
    assert asks(LLAMA_3_1, DAY)
    assert not asks("{{ messages }}", DAY)


@pytest.mark.parametrize("where", ["file", "config", "named"])
def test_wherever_the_template_lies(tmp_path: Path, where: str) -> None:
    if where == "file":
        (tmp_path / "chat_template.jinja").write_text(LLAMA_3_2)
    else:
        named = [{"name": "default", "template": LLAMA_3_2}, {"name": "tool", "template": "x"}]
        found = {"chat_template": LLAMA_3_2 if where == "config" else named, "eos_token": "é"}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(found))
    assert fix_date(tmp_path, "base", DAY, "chat_template.jinja")
    if where == "file":
        written = (tmp_path / "chat_template.jinja").read_text()
    else:
        config = json.loads((tmp_path / "tokenizer_config.json").read_text())
        assert config["eos_token"] == "é"
        written = config["chat_template"] if where == "config" else config["chat_template"][0]["template"]
        assert where == "config" or config["chat_template"][1]["template"] == "x"
    assert "05 Mar 2031" in rendered(written, bos="")


def test_no_template_asks(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ messages }}")
    assert not fix_date(tmp_path, "base", DAY, "chat_template.jinja")
    assert (tmp_path / "chat_template.jinja").read_text() == "{{ messages }}"


def test_a_template_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"{{ messages }}\xff")
    with pytest.raises(DataError, match=r"me/model: chat_template.jinja: is no UTF-8 text .*; fetch it again"):
        fix_date(tmp_path, "me/model", TEMPLATE_DATE, "chat_template.jinja")


@pytest.mark.parametrize("written", ["2031-03-05", DAY])
def test_a_day_is_written_as_text_or_as_toml_has_it(written: Any) -> None:
    assert IngestModel.model_validate({"source": "x", "date": written}).day == DAY


@pytest.mark.parametrize("written", ["today", "2031-02-30", 7])
def test_no_day(written: Any) -> None:
    with pytest.raises(ValueError, match="is no day; write it as 2024-07-26"):
        IngestModel.model_validate({"source": "x", "date": written})


def test_a_day_without_a_template() -> None:
    with pytest.raises(ValueError, match="date has no use with task = 'embedding'"):
        IngestModel(source="x", task="embedding", date="2031-03-05")


def dating(folder: Path) -> list[str]:
    chats = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.jinja")}
    return sorted(name for name, chat in chats.items() if "strftime_now" in chat or "date_string" in chat)


@pytest.mark.parametrize("name", dating(PUBLISHED))
def test_templates_of_published_models(name: str) -> None:
    """They write the day and are otherwise as they were; the clock is put out of reach."""
    chat = (PUBLISHED / f"{name}.jinja").read_text(encoding="utf-8")
    told: dict[str, Any] = {"bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True}
    day = datetime.datetime.combine(DAY, datetime.time())
    theirs = rendered(chat, **told, strftime_now=day.strftime)
    found = rendered(dated(chat, DAY), **told, strftime_now=None)
    if "strftime_now" in chat:
        assert found == theirs
    assert any(day.strftime(each) in found for each in ("%d %b %Y", "%Y-%m-%d", "%B %d, %Y"))
