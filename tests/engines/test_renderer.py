"""Chat templates are programs of somebody else's: they run in a process of their own, within bounds."""

from __future__ import annotations

import datetime
import json
import os
import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import trl
from transformers.utils.chat_template_utils import _compile_jinja_template

from alma.engines import renderer, sandbox
from alma.engines.renderer import render_messages
from alma.errors import DataError

PUBLISHED = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))[::8]
"""One of each kind: most families have several."""

MESSAGES = [{"role": "user", "content": "é 漢 \ud83d <b>'\"\\"}, {"role": "assistant", "content": "Yes.\n"}]


class Tokenizer:
    """What a renderer asks of one."""

    name_or_path = "org/model"
    special_tokens_map = {"bos_token": "<s>", "eos_token": "</s>"}  # noqa: RUF012

    def __init__(self, source: Any) -> None:
        self.source = source

    def get_chat_template(self) -> Any:
        return self.source


def rendered(source: Any) -> str:
    return render_messages(Tokenizer(source), MESSAGES, ask=True)


def test_the_environment_is_that_of_transformers() -> None:
    theirs = _compile_jinja_template("x").environment
    ours = sandbox.environment(datetime.date(2024, 7, 26))
    assert type(ours) is type(theirs)
    for name in ("filters", "globals", "tests", "policies"):
        assert set(getattr(ours, name)) == set(getattr(theirs, name))
    settings = [name for name in vars(theirs) if name.endswith(("_string", "_prefix", "_blocks", "_sequence"))]
    assert len(settings) > 8
    for name in (*settings, "autoescape", "keep_trailing_newline", "optimized", "sandboxed", "undefined", "finalize"):
        assert getattr(ours, name) == getattr(theirs, name), name
    tags = [sorted(tag for each in env.extensions.values() for tag in each.tags) for env in (ours, theirs)]
    assert tags[0] == tags[1]


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_templates_are_rendered_as_transformers_renders_them(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tokens = Tokenizer.special_tokens_map
    day = datetime.datetime(2024, 7, 26).strftime
    for messages in (MESSAGES[:1], MESSAGES):
        given = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True, **tokens}
        try:
            theirs = _compile_jinja_template(source).render(**given, strftime_now=day)
        except jinja2.TemplateError as error:
            with pytest.raises(DataError, match=re.escape(str(error))):
                render_messages(Tokenizer(source), messages, ask=True)
            continue
        assert render_messages(Tokenizer(source), messages, ask=True) == theirs


def test_what_a_template_may_use_is_what_transformers_gives_it() -> None:
    source = (
        "{% generation %}{{ messages|tojson }}{% endgeneration %}{% for m in messages %}{% break %}{% endfor %}"
        "{{ strftime_now('%d %B %Y') }} {{ bos_token }} {{ tools is none }}"
    )
    assert rendered(source) == f"{json.dumps(MESSAGES, ensure_ascii=False)}26 July 2024 <s> True"


LOOP = "{% for _ in range(99999) %}"
NESTED = f"{LOOP}\n{LOOP}{LOOP}{'{% endfor %}' * 3}"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        pytest.param(f"x\n{NESTED}", r"line 3 of the template.*takes more than 2 s", id="loops"),
        pytest.param("\n{{ 'a'|center(10**10) }}", r"line 2 of the template.*MiB of memory", id="memory"),
        pytest.param("{{ 'a'|center(10**7) }}", r"writes 10,000,000 characters", id="output"),
        pytest.param("{{ 1 // 0 }}", r"line 1 of the template.*zero", id="division"),
        pytest.param("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", r"line 1.*recursion", id="recursion"),
        pytest.param("{{ raise_exception('roles must alternate') }}", r"line 1.*roles must alternate", id="refusal"),
        pytest.param("\n\n{% for %}", r"line 3 of the template", id="syntax"),
        pytest.param("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", r"cannot render a dialogue", id="nesting"),
        pytest.param(7, r"is a int; write it as a text", id="number"),
        pytest.param("x" * 2**21, r"is 2,097,152 characters long", id="length"),
    ],
)
def test_a_template_that_goes_beyond_its_bounds_is_refused_by_name_and_line(source: Any, said: str) -> None:
    with pytest.raises(DataError, match=rf"(?s)org/model.*{said}"):
        rendered(source)
    assert rendered("{{ messages[0].role }}") == "user"  # and the next one is rendered all the same


def test_what_cannot_be_interrupted_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer, "SECONDS", 0.7)
    with pytest.raises(DataError, match=r"takes more than 0.7 s"):
        rendered("{{ 9 ** (9 ** 9) }}")


def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    class Poll:
        def register(self, *_: object) -> None:
            pass

        def poll(self, _: float) -> None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(renderer.select, "poll", Poll)
        with pytest.raises(KeyboardInterrupt):
            rendered("first")
    assert rendered("second") == "second"


def test_a_terminals_ctrl_c_does_not_reach_the_process_that_renders() -> None:
    """It comes to a whole session, and would end one that is only being started."""
    rendered("anything")
    assert os.getsid(renderer._children[os.getpid()]._process.pid) != os.getsid(0)
