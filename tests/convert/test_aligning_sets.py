"""The sets that a run of ALMA starts from, as files of the shape in which they are published (their texts are ours)."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from alma import cli
from alma.cli import convert as command
from alma.convert import SETS, convert
from alma.convert.helpsteer2 import turns
from alma.errors import ConfigError, DataError
from alma.running.stage import run
from alma.sections import IngestRows
from alma.store import open_store


def helpsteer2() -> list[dict[str, Any]]:
    """Twelve prompts with two responses each, three of them of several turns."""
    rest = {"correctness": 3, "coherence": 4, "complexity": 1, "verbosity": 1}
    return [
        {
            "prompt": f"Why {number}?"
            + ("\n\n<extra_id_1>Assistant\n\nSo.\n\n<extra_id_1>User\n\n  Why?" if number < 3 else ""),
            "response": f"Because {number} is {place}.",
            "helpfulness": (number + place) % 5,
            **rest,
        }
        for number in range(12)
        for place in range(2)
    ]


def daring_anteater() -> list[dict[str, Any]]:
    """Ten conversations; of two turns and of four, with a system turn and without; one begins with the assistant."""

    def talk(number: int) -> list[dict[str, Any]]:
        speakers = ("User", "Assistant") if number else ("Assistant", "User")
        turns = speakers * (1 + number % 2) + speakers[:1] * (number == 8)  # and one that nobody answers
        return [{"from": who, "value": f"{number} {place}", "label": None} for place, who in enumerate(turns)]

    return [
        {
            "system": f"Be {number}." if number % 3 == 0 else "",
            "mask": "User",
            "dataset": "synthetic_conv",
            "conversations": talk(number),
        }
        for number in range(10)
    ]


PROMPTS: dict[str, list[list[dict[str, Any]]]] = {
    "mt-bench": [
        [{"question_id": 81 + i, "category": "math", "turns": [f"What is {i}?", "And more?"]} for i in range(4)],
    ],
    "arena-hard": [
        [{"question_id": f"{i:x}", "cluster": "c", "turns": [{"content": f"What is {i}?"}]} for i in range(4)],
        [{"uid": f"{i:x}", "category": "hard_prompt", "prompt": f"What is {i}?"} for i in range(4)],
    ],
    "lima": [[{"conversations": [f"What is {i}?"], "source": "authors"} for i in range(4)]],
    "self-instruct": [
        [
            {"id": f"t{i}", "instruction": f"What is {i}?", "instances": [{"input": "", "output": "it"}]}
            for i in range(4)
        ],
    ],
}


def put(folder: Path, rows: list[dict[str, Any]], name: str = "set.jsonl") -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = folder / name
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def ingested(folder: Path, file: str, **settings: Any) -> int | None:
    cfg = IngestRows(source=file, **settings)
    return run("ingest", cfg, {}, open_store(str(folder / "store")), base=folder).num_rows


def test_the_command_knows_every_set() -> None:
    assert tuple(SETS) == command.SETS


def test_helpsteer2_becomes_scores_split_by_prompt(tmp_path: Path) -> None:
    path = put(tmp_path, helpsteer2(), "train.jsonl.gz")
    converted = convert("helpsteer2", path, tmp_path, num_seeds=7, num_evaluation=3)
    learnt, held = read(tmp_path / "scores.jsonl"), read(tmp_path / "heldout.jsonl")
    assert (len(learnt), len(held), converted.num_left) == (14, 6, 2), "two responses to each"
    assert not set(map(opening, learnt)) & set(map(opening, held))
    published = {row["response"]: row["helpfulness"] * 2.5 for row in helpsteer2()}
    assert all(published[answer(row)] == row["score"] for row in learnt + held)
    assert {row["score"] for row in learnt + held} == {0.0, 2.5, 5.0, 7.5, 10.0}
    for file, rows in (("scores.jsonl", learnt), ("heldout.jsonl", held)):
        assert ingested(tmp_path, file, kind="scores", turns="all") == len(rows)


def opening(row: dict[str, Any]) -> str:
    return str(row["messages"][0]["content"] if "messages" in row else row["prompt"])


def answer(row: dict[str, Any]) -> str:
    return str(row["messages"][-1]["content"] if "messages" in row else row["response"])


def test_helpsteer2_s_prompts_of_several_turns_are_conversations(tmp_path: Path) -> None:
    convert("helpsteer2", put(tmp_path, helpsteer2()), tmp_path, num_seeds=12, num_evaluation=0)
    assert not (tmp_path / "heldout.jsonl").exists(), "nothing was to be held out"
    talks = [row["messages"] for row in read(tmp_path / "scores.jsonl") if "messages" in row]
    assert len(talks) == 2 * 3
    assert talks_of("0", talks)[:2] == [{"role": "user", "content": "Why 0?"}, {"role": "assistant", "content": "So."}]
    assert talks_of("0", talks)[2:] == [
        {"role": "user", "content": "  Why?"},
        {"role": "assistant", "content": "Because 0 is 0."},
    ]
    with pytest.raises(DataError, match=r'several exchanges.*set turns = "all" where it is of the last answer'):
        ingested(tmp_path, "scores.jsonl", kind="scores")


def talks_of(number: str, talks: list[Any]) -> Any:
    return next(talk for talk in talks if talk[0]["content"] == f"Why {number}?" and talk[-1]["content"][-2] == "0")


@pytest.mark.timeout(60)
def test_line_ends_without_end_take_no_time_of_their_square() -> None:
    lines = "\n" * 2_000_000
    assert turns(f"a{lines}b{lines}<extra_id_1>Assistant{lines}c\n\n<extra_id_1>User\nd\n") == [
        f"a{lines}b",
        "c",
        "d\n",
    ]


@pytest.mark.parametrize(
    "prompt", ["a\n<extra_id_1>Assistant\nb", "a\n<extra_id_1>User\nb", "a\n<extra_id_0>System\nb"]
)
def test_a_prompt_in_which_turns_are_unclear_is_left_out_and_counted(tmp_path: Path, prompt: str) -> None:
    rows = [*helpsteer2(), helpsteer2()[0] | {"prompt": prompt}]
    converted = convert("helpsteer2", put(tmp_path, rows), tmp_path, num_seeds=12, num_evaluation=0)
    assert converted.unusable == {"who says what in its prompt is unclear": 1}
    assert len(converted.files["scores.jsonl"]) == 24


def test_daring_anteater_keeps_turns_and_systems(tmp_path: Path) -> None:
    converted = convert("daring-anteater", put(tmp_path, daring_anteater()), tmp_path, num_seeds=9)
    assert converted.unusable == {"starts with the assistant": 1}
    rows = read(tmp_path / "seeds.jsonl")
    assert sorted(len(row["messages"]) for row in rows) == sorted(
        (1 + number % 2) * 2 + (number % 3 == 0) for number in range(1, 10)
    )
    roles = {tuple(turn["role"] for turn in row["messages"]) for row in rows}
    assert ("system", "user", "assistant") in roles
    assert ("user", "assistant", "user", "assistant") in roles
    assert ingested(tmp_path, "seeds.jsonl", kind="pairs", system_turn="prepend") == 9
    assert ingested(tmp_path, "seeds.jsonl", kind="pairs", turns="all") == 9
    with pytest.raises(ConfigError, match="9 of 9 questions have a response to learn from, and 10"):
        convert("daring-anteater", put(tmp_path, daring_anteater()), tmp_path / "many", num_seeds=10)


@pytest.mark.parametrize("name", PROMPTS)
def test_sets_of_prompts_are_one_family_each(tmp_path: Path, name: str) -> None:
    for number, published in enumerate(PROMPTS[name]):
        out = tmp_path / str(number)
        convert(name, put(tmp_path, published), out)
        rows = [row for row in read(out / "evaluation.jsonl") if "messages" not in row]
        assert sorted(row["prompt"] for row in rows) == [f"What is {i}?" for i in range(4)]
        assert {row["family"] for row in rows} == {name}
        assert [path.name for path in out.iterdir()] == ["evaluation.jsonl"]
        if name != "mt-bench":
            assert ingested(out, "evaluation.jsonl", kind="prompts") == 4


def test_mt_bench_has_second_turns_behind_the_model_s_own_answers(tmp_path: Path) -> None:
    converted = convert("mt-bench", put(tmp_path, PROMPTS["mt-bench"][0]), tmp_path, num_evaluation=3)
    rows = read(tmp_path / "evaluation.jsonl")
    first, second = ([row for row in rows if ("messages" in row) == later] for later in (False, True))
    assert (len(first), len(second), converted.num_left) == (3, 3, 1)
    assert {row["family"] for row in second} == {"mt-bench turn 2"}
    assert [[turn["content"] for turn in row["messages"]] for row in second] == [
        [row["prompt"], "And more?"] for row in first
    ]
    assert ingested(tmp_path, "evaluation.jsonl", kind="prompts", turns="all") == 6
    with pytest.raises(DataError, match=r"turns 1 and 2 of 'messages' are both the user's; .* set turns = \"all\""):
        ingested(tmp_path, "evaluation.jsonl", kind="prompts")


def test_an_input_stands_below_its_instruction(tmp_path: Path) -> None:
    row = {"instruction": "Sort.", "instances": [{"input": "b a\n", "output": "a b"}]}
    converted = convert("self-instruct", put(tmp_path, [row]), tmp_path)
    assert converted.files["evaluation.jsonl"] == [{"prompt": "Sort.\n\nb a", "family": "self-instruct"}]


def asked_again(name: str) -> list[dict[str, Any]]:
    """Rows that ask what others ask, each with something else beside it."""
    rows = {"helpsteer2": helpsteer2, "daring-anteater": daring_anteater}[name]()
    if name == "helpsteer2":
        return [*rows, *(row | {"helpfulness": (row["helpfulness"] + 1) % 5} for row in rows)]
    return [*rows, *(row | {"system": "Be brief."} for row in rows)]


def test_of_rows_that_ask_the_same_one_is_kept_whatever_their_order(tmp_path: Path) -> None:
    """And those that are left out are counted."""
    sets = {
        "mt-bench": [{"turns": ["Write.", then], "category": "c"} for then in ("Shorter.", "Longer.")],
        "truthfulqa": [
            {
                "question": "What is it?",
                "best_answer": best,
                "correct_answers": [f"{best}, yes"],
                "incorrect_answers": ["no"],
                "category": best,
            }
            for best in ("This", "That")
        ],
    }
    for name, rows in sets.items():
        one = convert(name, put(tmp_path, rows), tmp_path / f"{name}-1", num_seeds=0 if name[0] == "t" else None)
        two = convert(name, put(tmp_path, rows[::-1]), tmp_path / f"{name}-2", num_seeds=0 if name[0] == "t" else None)
        assert one == two
        assert one.unusable == {"asks what another row does": 1}
        assert ("Longer." in str(one.files)) + ("That, yes" in str(one.files)) == 1


@pytest.mark.parametrize("content", [["user", "x"], [["user", "x"]], [{"role": "user", "content": "x"}], {"a": 1}, 1])
def test_what_is_no_text_is_left_out(tmp_path: Path, content: Any) -> None:
    """A list of turns too, though ingest reads such a one as a conversation."""
    usual = {"prompt": "p", "response": "r", "helpfulness": 3}
    done = convert(
        "helpsteer2", put(tmp_path, [usual, usual | {"prompt": content}]), tmp_path, num_seeds=1, num_evaluation=0
    )
    assert done.unusable == {"no text, an empty one, or control characters in it": 1}
    with pytest.raises(DataError, match="line 1: a later turn is"):
        convert("mt-bench", put(tmp_path, [{"turns": ["a", content]}]), tmp_path / "m")


@pytest.mark.parametrize("system", ["\ud800", "\0", ["Be brief."], 0])
def test_a_system_turn_that_is_no_text_is_not_dropped_in_silence(tmp_path: Path, system: Any) -> None:
    rows = [daring_anteater()[1], daring_anteater()[2] | {"system": system}]
    done = convert("daring-anteater", put(tmp_path, rows), tmp_path, num_seeds=1)
    assert done.unusable == {"no text, an empty one, or control characters in it": 1}


@pytest.mark.parametrize("name", ["helpsteer2", "daring-anteater"])
def test_what_is_drawn_does_not_depend_on_the_order(tmp_path: Path, name: str) -> None:
    rows = asked_again(name)
    before = convert(
        name, put(tmp_path, rows), tmp_path / "a", num_seeds=5, num_evaluation=2 if name[0] == "h" else None
    )
    random.Random(3).shuffle(rows)
    after = convert(
        name, put(tmp_path, rows), tmp_path / "b", num_seeds=5, num_evaluation=2 if name[0] == "h" else None
    )
    assert after == before


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("helpsteer2", {"prompt": "p", "response": "r", "helpfulness": 5}, "helpfulness is 5; HelpSteer2's is 0 to 4"),
        ("helpsteer2", {"prompt": "p", "response": "r"}, "no column 'helpfulness'"),
        ("daring-anteater", {"conversations": []}, "no column 'system'"),
        ("daring-anteater", {"system": "", "conversations": "no list"}, "no row of it is usable"),
        ("mt-bench", {"question": "x"}, "no column 'turns'"),
        ("mt-bench", {"conversations": ["x"], "source": "lima"}, "no column 'turns'"),
        ("mt-bench", {"turns": [{"content": "x"}], "cluster": "arena-hard"}, "and no text. Expected is MT-Bench's"),
        ("arena-hard", {"turns": ["x", "y"], "category": "mt-bench"}, "and no text. Expected is Arena-Hard's"),
        ("lima", {"turns": ["x"]}, "no column 'conversations'"),
        ("arena-hard", {"turns": [{"text": "x"}]}, "and no text. Expected is Arena-Hard"),
        ("self-instruct", {"instruction": "x", "instances": []}, "and no list of input and output"),
        ("self-instruct", {"instruction": None, "instances": [{"input": "x"}]}, "line 1: instruction is None, and no"),
        ("mt-bench", {"turns": ["first", ""]}, "line 1: a later turn is '', no text, an empty one"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, name: str, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        convert(name, put(tmp_path, [row]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_set_is_not_for_is_not_asked_of_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no answers to learn from"):
        convert("lima", put(tmp_path, PROMPTS["lima"][0]), tmp_path / "out", num_seeds=2)
    with pytest.raises(ConfigError, match="nothing is held out"):
        convert("daring-anteater", put(tmp_path, daring_anteater()), tmp_path / "out", num_evaluation=2)


def test_the_command_says_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, daring_anteater())
    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(["convert", "daring-anteater", str(path), "--out", str(tmp_path / "out"), "--seeds", "5"])
    assert capsys.readouterr().out.splitlines()[1:] == [
        "rows of the set that are left out: starts with the assistant 1",
        'conversations, which turns = "all" reads whole: 5 rows of seeds.jsonl',
    ]
