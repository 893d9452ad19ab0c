"""What ISARA shows and what it keeps: turns, shots, retrieval, filters; each against the plain way to compute it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from alma.artifact import Ref
from alma.artifact.out import Out
from alma.sections import Imitate, Turns
from alma.stages.imitate import filters
from alma.stages.imitate.attempt import Answer, Attempt, in_parts
from alma.stages.imitate.filters import Known, answer_flaw, distinct_word_share, nearest_rouge, question_flaw
from alma.store import open_store
from alma.text.normalise import normalise
from alma.text.rouge import words
from alma.text.shots import DataSet, Shot, draw, nearest, split
from alma.text.turns import answer_prompt, cut, markers, question_prompt

PLAIN = Turns(question="Q {question}\n", answer="A {answer}\n")
questions = st.lists(st.sampled_from(["a", "b", "c", "d", "A", "b."]), max_size=7).map(" ".join)


def lcs(a: list[str], b: list[str]) -> int:
    """The longest common subsequence by the textbook's table."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return table[-1][-1]


def rouge(a: str, b: str) -> float:
    x, y = words(a), words(b)
    return 2 * lcs(x, y) / (len(x) + len(y)) if x or y else 0.0


def flaw(question: str, known: list[str], max_rouge: float) -> str | None:
    if any(normalise(question) == normalise(other) for other in known):
        return "duplicate"
    return "similar" if any(rouge(question, other) > max_rouge for other in known) else None


# Turns


def test_prompts_are_bare_turns_that_end_where_the_model_goes_on() -> None:
    shots = [("1 + {answer}?", "{question}"), ("b", "c")]
    shown = "Q 1 + {answer}?\nA {question}\nQ b\nA c\n"
    assert question_prompt(PLAIN, shots) == shown + "Q"
    assert answer_prompt(PLAIN.changed(header="H\n"), shots, "{answer} {question}") == (
        "H\n" + shown + "Q {answer} {question}\nA"
    )
    assert question_prompt(Turns(question="{question}\n", answer="{answer}\n\n"), shots[1:]) == "b\nc\n\n"


@pytest.mark.parametrize(
    ("turns", "ends"),
    [
        pytest.param({}, ("### Assistant:", "### Human:"), id="lines"),
        pytest.param({"question": "Q: {question}\n", "answer": "{answer}\n\n"}, ("\n", "Q:"), id="white-space"),
        pytest.param({"question": "{question} =", "answer": " {answer}\n"}, ("=", "\n"), id="no-word-before"),
        pytest.param(
            {"question": "<u>{question}</u>", "answer": "<a>{answer}</a>"}, ("</u>", "<a>", "</a>", "<u>"), id="tags"
        ),
    ],
)
def test_markers(turns: dict[str, str], ends: tuple[str, ...]) -> None:
    assert markers(Turns(**turns)) == ends


@given(st.text("Q A\n#", max_size=30))
def test_cut_text_holds_no_marker_and_stays_as_it_is(text: str) -> None:
    done = cut(PLAIN, text)
    assert text.lstrip().startswith(done)
    assert not any(marker in done for marker in markers(PLAIN))
    assert cut(PLAIN, done) == done


@pytest.mark.parametrize(
    "turns",
    [{"question": "Q"}, {"answer": "{answer}{answer}\n"}, {"question": "{question}", "answer": "{answer}\n"}],
    ids=["no-place", "two-places", "no-end"],
)
def test_turns_that_cannot_be_written(turns: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="turns"):
        Turns(**turns)


# Shots


@given(st.integers(1, 20), st.data())
def test_shots_are_split_as_the_authors_do(num_shots: int, data: st.DataObject) -> None:
    num_sets = data.draw(st.integers(1, num_shots))
    assert split(num_shots, num_sets) == [num_shots - (num_sets - 1)] + [1] * (num_sets - 1)
    assert sum(split(num_shots, num_sets)) == num_shots


def data_set(number: int, asked: list[str]) -> DataSet:
    return DataSet(Shot(f"{number}-{place}", question, "answer") for place, question in enumerate(asked))


@given(
    first=st.lists(questions, min_size=5, max_size=9, unique_by=normalise),
    later=st.lists(st.lists(questions, min_size=1, max_size=6), max_size=3),
    seed=st.integers(0, 100),
    asked=st.none() | questions,
)
def test_random_shots(first: list[str], later: list[list[str]], seed: int, asked: str | None) -> None:
    sets = [data_set(number, several) for number, several in enumerate([first, *later])]
    found = draw(sets, 5, seed, asked)
    assert found == draw(sets, 5, seed, asked)
    assert len({shot.id for shot in found}) == len(found)
    free = [[q for q in rows if asked is None or normalise(q) != normalise(asked)] for rows in [first, *later]]
    by_set = Counter(int(shot.id.partition("-")[0]) for shot in found)
    wanted = [min(len(rows), count) for rows, count in zip(free, split(5, len(sets)), strict=True)]
    assert [by_set[number] for number in range(len(sets))] == wanted
    assert not any(asked is not None and normalise(shot.question) == normalise(asked) for shot in found)


@settings(deadline=None)  # the first call imports scikit-learn
@given(
    first=st.lists(questions, min_size=4, max_size=9),
    second=st.lists(questions, min_size=1, max_size=6),
    asked=st.lists(questions, min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_nearest_shots_are_those_of_plain_sorting(
    first: list[str], second: list[str], asked: list[str], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sets = [data_set(0, first), data_set(1, second)]
    vectors = [rng.normal(size=(len(rows), 4)) for rows in sets]
    vectors_Q = rng.normal(size=(len(asked), 4))
    found = nearest(sets, vectors, 4, asked, vectors_Q)
    for question, vector, shots in zip(asked, vectors_Q, found, strict=True):
        wanted: list[tuple[float, str]] = []
        for rows, matrix, count in zip(sets, vectors, (3, 1), strict=True):
            cosine = matrix @ vector / np.linalg.norm(matrix, axis=1) / np.linalg.norm(vector)
            near = sorted(zip(cosine, rows.shots, strict=True), key=lambda pair: -pair[0])
            free = [(c, shot.id) for c, shot in near if normalise(shot.question) != normalise(question)]
            wanted += free[:count]
        assert [shot.id for shot in shots] == [name for _, name in sorted(wanted)]


# Filters


@given(st.lists(questions, max_size=8), st.lists(questions, max_size=8), st.sampled_from([0.0, 0.4, 0.5, 0.7, 1.0]))
def test_known_questions_are_found_as_by_the_table(known: list[str], new: list[str], max_rouge: float) -> None:
    assert Known(max_rouge, known).flaws(new) == [flaw(each, known, max_rouge) for each in new]


@pytest.mark.parametrize("block", [1, 3, 512])
@given(new=st.lists(questions, max_size=12), max_rouge=st.sampled_from([0.0, 0.5, 0.7, 1.0]))
def test_of_alike_questions_the_first_stays(block: int, new: list[str], max_rouge: float) -> None:
    kept: list[str] = []
    wanted = []
    for each in new:
        wanted.append(flaw(each, kept, max_rouge))
        if wanted[-1] is None:
            kept.append(each)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "_BLOCK", block)
        assert Known(max_rouge).admit(new) == wanted


def test_rouge_at_the_limit_is_kept() -> None:
    seven_of_ten = ("a b c d e f g x y z", "a b c d e f g u v w")
    assert Known(0.7, seven_of_ten[:1]).flaws(seven_of_ten[1:]) == [None]
    assert Known(0.69, seven_of_ten[:1]).flaws(seven_of_ten[1:]) == ["similar"]


@given(st.lists(questions, max_size=6), st.lists(questions, max_size=4), st.sampled_from([1, 4, 512]))
def test_diversity(kept: list[str], others: list[str], block: int) -> None:
    nearest_of = [
        max([rouge(each, other) for other in [*kept[:place], *kept[place + 1 :], *others]], default=0.0)
        for place, each in enumerate(kept)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filters, "_BLOCK", block)
        assert nearest_rouge(kept, others) == pytest.approx(np.mean(nearest_of) if kept else 0.0)
    every = [word for each in kept for word in words(each)]
    assert distinct_word_share(kept) == (len(set(every)) / len(every) if every else 0.0)


@pytest.mark.parametrize(
    ("changes", "question", "answer", "ended", "reason"),
    [
        pytest.param({}, "one two three four five", "a b c d e", True, None, id="kept"),
        pytest.param({}, "one two three four", "a b c d e", True, "short", id="question"),
        pytest.param({}, "one two three four five", "a b c d", True, "answer_short", id="answer"),
        pytest.param(
            {}, "so: One two  three four five", "one two three four FIVE", True, "answer_repeats", id="repeats"
        ),
        pytest.param({}, "one two three four five", "a b c d e", False, "answer_unfinished", id="unfinished"),
        pytest.param(
            {"require_end": False}, "one two three four five", "a b c d e", False, None, id="unfinished-allowed"
        ),
        pytest.param({"min_words": 1}, "a", "b", True, None, id="one-word"),
        pytest.param({"min_words": 1}, "a", "", True, "answer_short", id="empty"),
    ],
)
def test_flaws(changes: dict[str, Any], question: str, answer: str, ended: bool, reason: str | None) -> None:
    cfg = Imitate(**changes)
    found = question_flaw(cfg, question, ended=True) or answer_flaw(cfg, question, Answer(answer, 1, 1, ended))
    assert found == reason
    if cfg.require_end:
        assert question_flaw(cfg, question, ended=False) == "unfinished"


# Attempts


texts = st.text(max_size=5)
answers = st.builds(
    Answer, texts, st.integers(0, 2**64 - 1), st.integers(0, 9), st.booleans(), st.none() | st.floats(0, 10)
)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(Attempt, st.integers(0, 9), st.integers(0, 2**64 - 1), texts, answers=st.lists(answers, max_size=2)),
        max_size=5,
    ),
    st.integers(1, 3),
)
def test_finished_parts_are_kept(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[Attempt], part_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("out")
    out = Out(open_store(str(folder / "store")), Ref("imitate", "0" * 20), folder / "scratch")
    written: list[int] = []

    def write(part: Any) -> None:
        written.append(len(part))
        for attempt in part:
            attempt.reason = "short"

    first = in_parts(out, "questions", attempts, part_rows, write)
    count = len(written)
    assert in_parts(out, "questions", attempts, part_rows, write) == first
    assert len(written) == count == -(-len(attempts) // part_rows)
    assert all(attempt.reason == "short" for attempt in first)
    assert not list(Path(folder).rglob("*.tmp"))
