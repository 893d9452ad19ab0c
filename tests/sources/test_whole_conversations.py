"""Conversations that are read whole: what is the prompt, its answer, and what was said before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alma.config import load
from alma.engines.chat import check_conversations
from alma.errors import ConfigError, DataError
from alma.prompts.conversation import Message, column, messages
from alma.sources.columns import Columns
from alma.sources.values import Fault
from tests.builders.ingested import ingested, write_lines
from tests.builders.training import CHAT, write_tokenizer

SYSTEM = {"role": "system", "content": "You are a pirate."}
TALK = [
    {"role": "user", "content": "What is 3 + 3?"},
    {"role": "assistant", "content": "Six."},
    {"role": "user", "content": "Sure?"},
    {"role": "assistant", "content": "Aye."},
]
EARLIER = (Message("user", "What is 3 + 3?"), Message("assistant", "Six."))
PIRATE = Message("system", "You are a pirate.")
WHOLE = {"prompt": "Sure?", "response": "Aye.", "earlier": EARLIER}


def read(kind: Any, values: dict[str, Any], columns: dict[str, str] | None = None, **settings: Any) -> dict[str, Any]:
    row = Columns(kind, columns or {}, **{"turns": "all"} | settings).read(values)
    return {name: value for name, value in row.items() if name != "id" and value is not None}


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        pytest.param({"messages": TALK}, {}, id="found by itself"),
        pytest.param({"talk": TALK}, {"prompt": "talk"}, id="named"),
        pytest.param({"messages": TALK[:3], "response": "Aye."}, {}, id="answer beside"),
        pytest.param({"messages": [*TALK[:3], {**TALK[3], "content": "Aye. "}], "response": "Aye."}, {}, id="both"),
        pytest.param({"prompt": TALK[:3], "completion": TALK[3:]}, {"response": "completion"}, id="TRL"),
        pytest.param({"prompt": TALK[:3], "chosen": TALK}, {"response": "chosen"}, id="prompt repeated"),
        pytest.param({"prompt": "What is 3 + 3?", "chosen": TALK}, {"response": "chosen"}, id="UltraFeedback"),
        pytest.param({"prompt": "Sure?", "chosen": TALK}, {"response": "chosen"}, id="last prompt beside"),
        pytest.param({"prompt": "What is 3 + 3?", "messages": TALK}, {}, id="UltraChat"),
        pytest.param({"prompt": TALK[0]["content"], "rest": TALK[1:]}, {"response": "rest"}, id="goes on"),
    ],
)
def test_the_last_answer_is_what_is_learnt(values: dict[str, Any], columns: dict[str, str]) -> None:
    assert read("pairs", values, columns) == WHOLE
    assert read("scores", values | {"score": 7}, columns) == WHOLE | {"score": 7.0}


@pytest.mark.parametrize(
    ("system_turn", "prompt", "earlier"),
    [
        (None, "What is 3 + 3?", (PIRATE,)),
        ("keep", "What is 3 + 3?", (PIRATE,)),
        ("prepend", "You are a pirate.\n\nWhat is 3 + 3?", ()),
        ("omit", "What is 3 + 3?", ()),
    ],
)
def test_what_becomes_of_a_system_turn(system_turn: Any, prompt: str, earlier: tuple[Message, ...]) -> None:
    for values in ({"messages": [SYSTEM, *TALK]}, {"system": SYSTEM["content"], "messages": TALK}):
        row = read("pairs", values, system_turn=system_turn)
        assert row["earlier"] == (*earlier, Message("user", prompt), Message("assistant", "Six."))
        one = values | {"messages": values["messages"][: -len(TALK[2:])]}
        single = read("pairs", one, system_turn=system_turn)
        assert (single["prompt"], single.get("earlier", ())) == (prompt, earlier)
        if system_turn is not None:
            assert read("pairs", values, system_turn=system_turn, turns="first") == single


def test_a_single_prompt_is_what_it_was() -> None:
    assert read("pairs", {"prompt": "a", "response": "b"}) == {"prompt": "a", "response": "b"}
    assert read("pairs", {"messages": TALK[:2]}) == {"prompt": "What is 3 + 3?", "response": "Six."}
    assert read("prompts", {"prompt": "a", "family": "f"}) == {"prompt": "a", "family": "f"}


def test_prompts_end_with_the_user_who_may_speak_twice() -> None:
    assert read("prompts", {"messages": TALK[:3]}) == {"prompt": "Sure?", "earlier": EARLIER}
    twice = read("prompts", {"messages": [TALK[0], TALK[2]], "reference": "Aye."})
    assert twice == {"prompt": "Sure?", "earlier": EARLIER[:1], "reference": "Aye."}
    named = {"prompt": "messages", "reference": "messages"}
    assert read("prompts", {"messages": TALK}, named) == {"prompt": "Sure?", "reference": "Aye.", "earlier": EARLIER}


@pytest.mark.parametrize(
    ("kind", "values", "columns", "said"),
    [
        ("pairs", {"messages": TALK[:3]}, {}, r"ends with the user \(turn 3\), whose answer is not there; leave"),
        ("scores", {"messages": TALK[:3], "score": 1}, {}, r"ends with the user \(turn 3\)"),
        ("prompts", {"messages": TALK}, {}, r"ends with the assistant \(turn 4\).*; leave .* map reference to"),
        ("pairs", {"messages": [TALK[0], *TALK[2:]]}, {}, "turns 1 and 2 of 'messages' are both the user's; make"),
        ("prompts", {"messages": [*TALK[:2], *TALK[1:3]]}, {}, "turns 2 and 3 .* are both the assistant's"),
        ("prompts", {"messages": TALK[1:3]}, {}, r"starts with the assistant \(turn 1\)"),
        ("pairs", {"messages": [*TALK[:2], SYSTEM, *TALK[2:]]}, {}, "turn 3 .* is a system turn behind"),
        ("pairs", {"messages": TALK, "response": "No."}, {}, "ends with an answer, and the response beside it"),
        ("pairs", {"prompt": "Else?", "chosen": TALK}, {"response": "chosen"}, "are other texts than 'prompt'"),
        ("pairs", {"prompt": [TALK[2]], "chosen": TALK}, {"response": "chosen"}, "are other texts than 'prompt'"),
        ("pairs", {"messages": [{**TALK[0], "content": " "}, *TALK[1:]]}, {}, "turn 1 is empty"),
        ("pairs", {"messages": [TALK[0], {**TALK[1], "content": None}, *TALK[2:]]}, {}, "turn 2 is empty"),
        ("pairs", {"messages": [*TALK[:3], {**TALK[3], "content": ""}]}, {}, "response is empty"),
        (
            "pairs",
            {"messages": TALK},
            {"prompt": "messages.0.content", "response": "messages"},
            "one turn of 'messages', and turns = \"all\" reads all of them; map 'messages' itself",
        ),
    ],
)
def test_a_conversation_that_cannot_be_read_whole(
    kind: Any, values: dict[str, Any], columns: dict[str, str], said: str
) -> None:
    with pytest.raises(Fault, match=said):
        read(kind, values, columns)


roles = st.lists(st.sampled_from(["system", "user", "assistant"]), max_size=6)


@given(roles, st.sampled_from(["pairs", "scores", "prompts"]))
def test_any_order_of_roles_is_read_whole_or_refused(roles: list[str], kind: Any) -> None:
    """Nothing is lost: the turns of a row that is taken are those that were given, in their order."""
    turns = [{"role": role, "content": f"{role} {place}"} for place, role in enumerate(roles)]
    try:
        row = read(kind, {"messages": turns, "score": 3})
    except Fault:
        return
    told = [*row.get("earlier", ()), Message("user", row["prompt"])]
    told += [Message("assistant", row["response"])] if "response" in row else []
    spoken = [(turn.role, turn.content) for turn in told if turn.role != "system"]
    assert spoken == [(turn["role"], turn["content"]) for turn in turns if turn["role"] != "system"]
    assert told[0].content == "\n\n".join(turn["content"] for turn in turns if turn["role"] == "system") or (
        told[0].role == "user"
    )


def test_rows_hold_the_turns_and_equal_conversations_are_one_row(tmp_path: Path) -> None:
    other = [{**TALK[0], "content": "What is 4 + 4?"}, *TALK[1:]]
    write_lines(tmp_path / "rows.jsonl", [{"messages": talk} for talk in (TALK, other, TALK, TALK[:2])])
    done = ingested(tmp_path, "rows.jsonl", kind="pairs", turns="all")
    assert [row["prompt"] for row in done.rows] == ["Sure?", "Sure?", "What is 3 + 3?"]
    assert [messages(row["earlier"]) for row in done.rows[1:]] == [(Message("user", "What is 4 + 4?"), EARLIER[1]), ()]
    assert done.metrics["num_duplicates"] == 1
    assert any("3 of 4 rows: the conversation of 'messages' is kept" in note for note in done.notes)


NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<user>{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
ONE_EXCHANGE = "<user>{{ messages[0].content }}<assistant>{% if messages[1] %}{{ messages[1].content }}</s>{% endif %}"
FORGETS = (
    "{% for m in messages %}{% if m.role != 'system' %}{{ '<user>' if m.role == 'user' else '<assistant>' }}"
    "{{ m.content }}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.mark.parametrize(
    ("chat", "earlier", "said"),
    [
        (NO_SYSTEM, (PIRATE,), r"row 7: .*System role not supported; .*system_turn = \"prepend\""),
        (FORGETS, (PIRATE, *EARLIER), r"row 7: .*leaves out a turn of the system.*system_turn = \"prepend\""),
        (CHAT, (PIRATE,), r"row 7: .*writes a system turn as the assistant's.*system_turn = \"prepend\""),
        (CHAT, EARLIER, None),
        (ONE_EXCHANGE, EARLIER, r"row 7: .*leaves out a turn of the user.*turns = \"first\""),
        (ONE_EXCHANGE, EARLIER[:1], r"row 7: .*leaves out a turn of the user"),
        (FORGETS, EARLIER, None),
        (ONE_EXCHANGE, (), None),
    ],
)
def test_turns_that_the_chat_template_does_not_write_are_told_with_a_remedy(
    tmp_path: Path, chat: str, earlier: tuple[Message, ...], said: str | None
) -> None:
    write_tokenizer(tmp_path, chat=chat)
    (tmp_path / "config.json").write_text("{}")
    rows = [{"id": "1", "earlier": None}, {"id": "7", "earlier": column(earlier)}]
    if said is None:
        check_conversations(tmp_path, rows)
    else:
        with pytest.raises(DataError, match=said):
            check_conversations(tmp_path, rows)


@pytest.mark.parametrize("setting", ['turns = "all"', 'system_turn = "keep"'])
@pytest.mark.parametrize("section", ["seeds", "evaluation_prompts"])
def test_isara_asks_single_questions(section: str, setting: str) -> None:
    with pytest.raises(ConfigError, match=f"{section}: .*shows and asks single questions: leave it out"):
        load(Path("examples/isara-micro.toml"), [f"isara.{section}.{setting}"])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "x"]), inner),
    max_leaves=6,
)
talks = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system", "tool", 3]), "content": anything})
    | anything,
    max_size=4,
)


@given(
    st.sampled_from(["pairs", "scores", "prompts"]),
    st.dictionaries(st.sampled_from(["prompt", "response", "reference", "messages", "system"]), talks | anything),
    st.sampled_from(["first", "all"]),
)
@example("prompts", {"prompt": [], "reference": {"role": [], "content": None}}, "first")
def test_whatever_a_row_holds_is_taken_or_a_fault_of_the_row(kind: Any, values: dict[str, Any], turns: Any) -> None:
    try:
        row = Columns(kind, {}, None, turns).read(values)
    except Fault:
        return
    assert all(turn.content.strip() for turn in row.get("earlier", ()))
