"""A conversation is read by who speaks: the prompt is the user's, the response the assistant's answer to it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma.errors import DataError
from alma.sources.columns import Columns
from alma.sources.turns import CALLED
from alma.sources.values import Fault
from tests.builders.ingested import Ingested, ingested, write_lines

SYSTEM = {"role": "system", "content": "You are a pirate."}
ASKED = {"role": "user", "content": "What is 3 + 3?"}
ANSWERED = {"role": "assistant", "content": "Six."}
MORE = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Aye."}]
BOTH = {"prompt": "messages", "response": "messages"}
PLACES = {"prompt": "messages.0.content", "response": "messages.1.content"}
SIX = ("What is 3 + 3?", "Six.")
TOOL_CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "add"}}]}


def read(values: dict[str, Any], columns: dict[str, str] | None = None, **settings: Any) -> tuple[str, str]:
    row = Columns("pairs", columns or {}, **settings).read(values)
    return row["prompt"], row["response"]


def sharegpt(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    return [{"from": names[turn["role"]], "value": turn["content"]} for turn in turns]


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        pytest.param({"prompt": "p", "response": "r"}, {"response": "prompt"}, id="response is the prompt"),
        pytest.param({"text": "p"}, {"prompt": "text", "response": "text"}, id="one column"),
        pytest.param({"messages": [ASKED]}, dict.fromkeys(BOTH, "messages.0.content"), id="one place"),
    ],
)
def test_one_text_is_not_both_sides(values: dict[str, Any], columns: dict[str, str]) -> None:
    with pytest.raises(Fault, match=r"prompt and response are both|not the assistant's"):
        read(values, columns)


@pytest.mark.parametrize("turns", ["first", "all"])
def test_a_system_turn_beside_texts_is_refused_where_it_is_asked_for(turns: str) -> None:
    values = {"system": "You are a pirate.", "prompt": SIX[0], "response": SIX[1]}
    assert read(values, turns=turns) == read(values, turns=turns, system_turn="omit") == SIX
    for system_turn in ("keep", "prepend"):
        with pytest.raises(Fault, match=r"'You are a pirate.', beside a prompt that is a text; bring conversations"):
            read(values, turns=turns, system_turn=system_turn)
        assert read({**values, "system": " "}, turns=turns, system_turn=system_turn) == SIX


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        pytest.param({"messages": [ASKED, ANSWERED]}, {}, id="found by itself"),
        pytest.param({"conversations": sharegpt([ASKED, ANSWERED])}, {}, id="ShareGPT"),
        pytest.param({"messages": [ASKED, ANSWERED]}, BOTH, id="named"),
        pytest.param({"messages": [ASKED, ANSWERED]}, {"prompt": "messages"}, id="one side named"),
        pytest.param({"messages": [ASKED, ANSWERED]}, PLACES, id="right places"),
        pytest.param({"messages": [ASKED, ANSWERED, *MORE]}, {}, id="first of several exchanges"),
        pytest.param({"prompt": [ASKED], "completion": [ANSWERED]}, {"response": "completion"}, id="TRL"),
        pytest.param({"prompt": [ASKED], "response": [ANSWERED]}, {}, id="lists under our names"),
        pytest.param({"chosen": [ASKED, ANSWERED], "rejected": []}, {"response": "chosen"}, id="chosen alone"),
        pytest.param(
            {"chosen": [ASKED, ANSWERED]}, {"prompt": "chosen", "response": "chosen"}, id="chosen on both sides"
        ),
        pytest.param(
            {"prompt": ASKED["content"], "chosen": [ASKED, ANSWERED]}, {"response": "chosen"}, id="UltraFeedback"
        ),
        pytest.param({"prompt": [ASKED], "chosen": [ASKED, ANSWERED]}, {"response": "chosen"}, id="prompt repeated"),
        pytest.param(
            {"prompt": SIX[0], "chosen": [{**ASKED, "content": f" {SIX[0]}\n"}, ANSWERED]},
            {"response": "chosen"},
            id="prompt stripped",
        ),
        pytest.param({"prompt": ASKED["content"], "chosen": ANSWERED}, {"response": "chosen"}, id="a single turn"),
        pytest.param({"prompt": "What is 3 + 3?", "messages": [ASKED, ANSWERED]}, {}, id="UltraChat"),
        pytest.param({"messages": [ASKED], "response": "Six."}, {}, id="answer beside"),
        pytest.param(
            {"data": {"talk": [ASKED, ANSWERED]}}, {"prompt": "data.talk", "response": "data.talk"}, id="nested"
        ),
        pytest.param({"messages": {"role": ["user", "assistant"], "content": list(SIX)}}, {}, id="roles beside texts"),
        pytest.param({"talk": [["user", SIX[0]], ["bot", SIX[1]]]}, {"prompt": "talk"}, id="pairs of role and text"),
        pytest.param({"messages": [{"content": "", "role": "system"}, ASKED, ANSWERED]}, {}, id="empty system turn"),
        pytest.param(
            {"messages": [{"role": "user", "content": [{"type": "text", "text": SIX[0]}]}, ANSWERED]}, {}, id="one part"
        ),
        pytest.param(
            {"messages": [{**ASKED, "from": None, "value": None}, {**ANSWERED, "tool_calls": []}]},
            {},
            id="nulls beside",
        ),
        pytest.param(
            {"messages": [{**ASKED, "role": " User"}, {**ANSWERED, "role": "MODEL"}]}, {}, id="other spelling"
        ),
        pytest.param(
            {"messages": [{"content": SIX[0]}, {"content": SIX[1]}]}, PLACES, id="places where nobody says who speaks"
        ),
        pytest.param({"prompt": SIX[0], "response": SIX[1], "messages": [ANSWERED]}, {}, id="texts come first"),
        pytest.param(
            {"messages": [SYSTEM, ASKED, ANSWERED]},
            {"prompt": "messages.1.content", "response": "messages.2.content"},
            id="places behind a system turn",
        ),
    ],
)
def test_the_user_asks_and_the_assistant_answers(values: dict[str, Any], columns: dict[str, str]) -> None:
    assert read(values, columns) == SIX


@pytest.mark.parametrize(
    ("turns", "said"),
    [
        pytest.param([SYSTEM, ASKED, ANSWERED], "system_turn = ", id="system"),
        pytest.param([ANSWERED, ASKED, ANSWERED], "starts with the assistant", id="assistant first"),
        pytest.param([ASKED, ASKED, ANSWERED], "turns 1 and 2", id="two questions"),
        pytest.param([ASKED, ANSWERED, ANSWERED], "turns 2 and 3", id="two answers"),
        pytest.param([ASKED], "no turn of the assistant", id="no answer"),
        pytest.param([SYSTEM], "no turn of a user", id="system alone"),
        pytest.param([ASKED, SYSTEM, ANSWERED], "turn 2 of 'messages' is a system turn", id="system in the midst"),
        pytest.param([ASKED, TOOL_CALL, {"role": "tool", "content": "6"}, ANSWERED], "turn 2 of", id="tools"),
        pytest.param([ASKED, {"role": "observation", "content": "6"}, ANSWERED], "is a tool's", id="tool's answer"),
        pytest.param([ASKED, {"role": "alice", "content": "Six."}], "has the role 'alice'", id="unknown role"),
        pytest.param([ASKED, {"role": 1, "content": "Six."}], "has the role 1", id="role a number"),
        pytest.param([ASKED, {"content": "Six."}], "turn 2 of 'messages' has no role", id="a turn without role"),
        pytest.param([ASKED, {"role": None, "content": "Six."}], "has no role", id="role null"),
        pytest.param([ASKED, {**ANSWERED, "from": "human"}], "two roles", id="two roles"),
        pytest.param([ASKED, None], "turn 2 of 'messages' is None", id="turn null"),
        pytest.param([ASKED, {"role": "assistant", "content": None}], "response is empty", id="answer null"),
        pytest.param([{"role": "user", "content": " "}, ANSWERED], "prompt is empty", id="question blank"),
        pytest.param(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "x"}]}, ANSWERED],
            "2 parts",
            id="picture",
        ),
        pytest.param([{"role": "user", "content": 3}, ANSWERED], "prompt is 3 (int)", id="content a number"),
        pytest.param([{"content": "x"}, {"content": "y"}], "have no role", id="no roles at all"),
    ],
)
def test_a_conversation_of_unclear_roles_is_refused(tmp_path: Path, turns: list[Any], said: str) -> None:
    good = {"messages": [{**ASKED, "content": "Good?"}, ANSWERED]}
    write_lines(tmp_path / "a.jsonl", [good, {"messages": turns}])
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, "a.jsonl", "pairs", columns=BOTH)
    message = str(caught.value)
    assert [part for part in ("a.jsonl", "line 2: ", said) if part not in message] == [], message
    assert max(map(len, message.splitlines())) <= 320


@pytest.mark.parametrize(
    ("values", "columns", "said"),
    [
        pytest.param(
            {"prompt": [ASKED, ANSWERED, MORE[0]], "completion": [MORE[1]]},
            {"response": "completion"},
            "holds earlier answers",
            id="context that is lost",
        ),
        pytest.param(
            {"prompt": "Else?", "chosen": [ASKED, ANSWERED]},
            {"response": "chosen"},
            "is another text",
            id="prompts differ",
        ),
        pytest.param(
            {"prompt": [MORE[0]], "chosen": [ASKED, ANSWERED]},
            {"response": "chosen"},
            "is another text",
            id="conversations differ",
        ),
        pytest.param(
            {"messages": [ASKED, ANSWERED], "response": "Seven."},
            {"prompt": "messages"},
            "another text",
            id="two answers",
        ),
        pytest.param(
            {"messages": [ASKED, ANSWERED, *MORE]},
            {**PLACES, "response": "messages.3.content"},
            "not the turn that answers",
            id="an answer to another question",
        ),
        pytest.param(
            {"messages": [ASKED, ANSWERED]},
            {"prompt": "messages.1.content", "response": "messages.0.content"},
            "is the assistant's, not the user's; map prompt to 'messages' itself",
            id="places swapped",
        ),
        pytest.param(
            {"messages": [{"role": None, "content": "x"}, ANSWERED]}, PLACES, "has no role", id="place, no role"
        ),
        pytest.param(
            {"messages": {"role": ["assistant", "user"], "content": ["x", "y"]}},
            {"prompt": "messages.content.0", "response": "messages.content.1"},
            "is the assistant's",
            id="places in lists",
        ),
        pytest.param(
            {"q": ANSWERED, "response": "x"}, {"prompt": "q.content"}, "is the assistant's", id="a turn's text"
        ),
        pytest.param(
            {"role": "gpt", "content": "x", "response": "y"}, {"prompt": "content"}, "assistant's", id="a turn a row"
        ),
        pytest.param(
            {"prompt": json.dumps([ASKED, ANSWERED]), "response": "x"}, {}, "as one text", id="JSON in a field"
        ),
        pytest.param({"messages": str([ASKED, ANSWERED])}, {}, "as one text", id="pandas' CSV"),
        pytest.param({"talk": str([ASKED, ANSWERED])}, {"prompt": "talk"}, "as one text", id="one side of pandas' CSV"),
        pytest.param({"prompt": "x", "response": str([ASKED, ANSWERED])}, {}, "as one text", id="Python in a field"),
        pytest.param(
            {"prompt": "x", "response": "\n\nHuman: Hi!\n\nAssistant: Ho!"},
            {},
            "transcript of both sides",
            id="hh-rlhf",
        ),
        pytest.param(
            {"messages": [ASKED, ANSWERED], "conversation": [ASKED, ANSWERED]}, {}, "no 'prompt'", id="which one?"
        ),
    ],
)
def test_sides_that_do_not_fit_are_refused(values: dict[str, Any], columns: dict[str, str], said: str) -> None:
    with pytest.raises(Fault) as caught:
        read(values, columns)
    assert said in caught.value.detail


@pytest.mark.parametrize("columns", [{}, {"prompt": "messages.1.content", "response": "messages.2.content"}])
def test_a_system_turn_is_set_before_the_prompt_or_left_out_as_the_person_says(columns: dict[str, str]) -> None:
    values = {"messages": [SYSTEM, ASKED, ANSWERED]}
    assert read(values, columns, system_turn="omit") == SIX
    assert read(values, columns, system_turn="prepend") == ("You are a pirate.\n\nWhat is 3 + 3?", "Six.")


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_column_of_system_turns_beside_conversations_is_theirs(tmp_path: Path, suffix: str) -> None:
    rows = [{"conversations": sharegpt([ASKED, ANSWERED]), "system": "You are a pirate."}]
    FORMS[suffix](tmp_path / f"a.{suffix}", rows)
    found = ingested(tmp_path, f"a.{suffix}", "pairs", system_turn="prepend")
    assert taken(found) == [("You are a pirate.\n\nWhat is 3 + 3?", "Six.")]
    with pytest.raises(DataError, match="system_turn"):
        ingested(tmp_path, f"a.{suffix}", "pairs")


def test_a_system_turn_of_the_prompt_is_kept_where_the_answer_repeats_it_without() -> None:
    values = {"prompt": [SYSTEM, ASKED], "chosen": [ASKED, ANSWERED]}
    assert read(values, {"response": "chosen"}, system_turn="prepend")[0] == "You are a pirate.\n\nWhat is 3 + 3?"
    with pytest.raises(Fault, match="system turn"):
        read(values, {"response": "chosen"})


def test_a_score_is_of_one_answer() -> None:
    scored = Columns("scores", {})
    assert scored.read({"messages": [ASKED, ANSWERED], "score": 7})["response"] == "Six."
    with pytest.raises(Fault, match="which one the score is of"):
        scored.read({"messages": [ASKED, ANSWERED, *MORE], "score": 7})


def test_prompts_need_no_answer_and_a_reference_is_the_assistants() -> None:
    prompts = Columns("prompts", {})
    assert prompts.read({"messages": [ASKED]})["prompt"] == SIX[0]
    assert prompts.read({"messages": [ASKED, ANSWERED]})["reference"] is None
    named = Columns("prompts", {"reference": "messages"})
    assert named.read({"messages": [ASKED, ANSWERED]})["reference"] == "Six."


FORMS = {"jsonl": write_lines, "parquet": lambda path, rows: pq.write_table(pa.Table.from_pylist(rows), path)}


@pytest.mark.parametrize("suffix", FORMS)
def test_the_column_is_found_by_itself_and_said(tmp_path: Path, suffix: str) -> None:
    rows = [{"n": 1, "messages": [ASKED, ANSWERED]}, {"n": 2, "messages": [{**ASKED, "content": "b"}, ANSWERED, *MORE]}]
    FORMS[suffix](tmp_path / f"a.{suffix}", rows)
    found = ingested(tmp_path, f"a.{suffix}", "pairs")
    assert [(row["prompt"], row["response"]) for row in found.rows] == [SIX, ("b", "Six.")]
    assert found.notes == [
        f"a.{suffix}: 2 of 2 rows: prompt and response read by role from the column 'messages'",
        f"a.{suffix}: 1 of 2 rows: only the first exchange of 'messages' is read, and there are more",
    ]


def test_what_is_suggested_for_a_conversation_is_right_by_role(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"talk": [ANSWERED, ASKED]}])
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, "a.jsonl", "pairs")
    assert 'columns = { prompt = "talk" }' in str(caught.value)
    write_lines(tmp_path / "a.jsonl", [{"talk": [ASKED, ANSWERED]}])
    assert taken(ingested(tmp_path, "a.jsonl", "pairs", columns={"prompt": "talk"})) == [SIX]


def test_what_was_rejected_is_never_suggested(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"rejected": [ASKED, ANSWERED], "chosen": [ASKED, ANSWERED]}])
    with pytest.raises(DataError, match='prompt = "chosen"'):
        ingested(tmp_path, "a.jsonl", "pairs")


def taken(found: Ingested) -> list[tuple[str, str]]:
    return [(row["prompt"], row["response"]) for row in found.rows]


NAMES = [name for names in CALLED.values() for name in names]
STRANGE = ["alice", "", None, "system", "user", "assistant", "tool"]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Turns in either form, most of them in turn and some not, and a mapping of both sides; all texts differ."""
    role, content = draw(st.sampled_from([("role", "content"), ("from", "value")]))
    begin = draw(st.sampled_from([[], [], ["system"], ["assistant"]]))
    names = [*begin, *(("user", "assistant") * 3)[: draw(st.sampled_from([2, 3, 4, 6, 1, 0]))]]
    names = [draw(st.sampled_from(CALLED[name])) for name in names] or [draw(st.sampled_from(NAMES))]
    turns = [{role: name, content: f"text {i}"} for i, name in enumerate(names)]
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        draw(st.sampled_from(turns))[role] = draw(st.sampled_from(STRANGE))
    if draw(st.integers(0, 9)) == 0:
        del turns[-1][role]
    first, step = draw(st.sampled_from([len(begin)] * 3 + [0, 1])), draw(st.sampled_from([1, 1, 1, 1, -1, 3]))
    places = ["talk", f"talk.{first}.{content}", f"talk.{first + step}.{content}"]
    prompt, response = draw(st.sampled_from([(0, 0), (1, 2), (1, 2), (1, 0), (0, 2)]))
    return turns, {"prompt": places[prompt], "response": places[response]}


def test_whatever_is_mapped_roles_are_right_or_the_row_is_refused() -> None:
    read_by: Counter[str] = Counter()

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(drawn=conversations(), system_turn=st.sampled_from([None, "omit", "prepend"]))
    def right_or_refused(drawn: tuple[list[dict[str, Any]], dict[str, str]], system_turn: Any) -> None:
        turns, columns = drawn
        try:
            prompt, response = read({"talk": turns}, columns, system_turn=system_turn)
        except Fault:
            return
        said = [(turn.get("role", turn.get("from")), turn.get("content", turn.get("value"))) for turn in turns]
        asked = next(i for i, (_, text) in enumerate(said) if text == prompt.split("\n\n")[-1])
        read_by["role" if "talk" in columns.values() else "place"] += 1
        assert said[asked][0] in CALLED["user"]
        assert said[asked + 1][0] in CALLED["assistant"]
        assert response == said[asked + 1][1]
        if "talk" in columns.values():
            assert {role for role, _ in said[:asked]} <= set(CALLED["system"])
        before = [text for role, text in said[:asked] if role in CALLED["system"]] if system_turn == "prepend" else []
        assert prompt.split("\n\n") == [*before, said[asked][1]]

    right_or_refused()
    assert min(read_by["role"], read_by["place"]) >= 20, "hardly any conversation was read at all"
