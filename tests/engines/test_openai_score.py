"""Reading ratings from an endpoint, against ``hf`` on the same model and against brute force."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma.engines import UNREADABLE, Rating, load_scorer
from alma.engines.openai.score import MAX_UNSEEN_SHARE, Listed, OpenaiScorer
from alma.engines.rating import RatingTokens
from alma.errors import ConfigError
from alma.sections import Judge, OpenAI
from tests.builders.asking import score
from tests.builders.models import PREFIXES, SUFFIXES, TEMPLATE, gpt2, llama, saved, tokenizer
from tests.builders.openai_server import ServerStub, serving

NUM_IDS = len(tokenizer(ten=True))


@pytest.fixture(scope="module", params=[False, True], ids=["ten-is-two-tokens", "ten-is-one-token"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("judge"), gpt2 if request.param else llama, ten=request.param)


def section(address: str, **settings: Any) -> Judge:
    endpoint = OpenAI(endpoint=address, model="served", **settings)
    return Judge(engine="openai", template=TEMPLATE, openai=endpoint, min_mass=0.01)


@contextmanager
def scorer_of(stub: ServerStub, **settings: Any) -> Iterator[Any]:
    with serving(stub) as address, load_scorer(section(address, **settings), stub.folder) as scorer:
        stub.bodies.clear()
        yield scorer


def by_hf(folder: Path) -> list[list[Rating]]:
    with load_scorer(Judge(template=TEMPLATE), folder) as scorer:
        return score(scorer, PREFIXES, SUFFIXES, max_tokens=90)


def flat(ratings_PN: list[list[Rating]]) -> list[Rating]:
    return list(chain.from_iterable(ratings_PN))


@pytest.mark.parametrize("prompts", ["tokens", "text"])
@pytest.mark.parametrize("extensions", ["none", "vllm"])
def test_ratings_are_those_of_hf(folder: Path, extensions: str, prompts: str) -> None:
    wanted = by_hf(folder)
    stub = ServerStub(folder, vllm=extensions == "vllm")
    heard: list[int] = []
    with scorer_of(stub, extensions=extensions, prompts=prompts, top_logprobs=NUM_IDS) as scorer:
        found = score(scorer, PREFIXES, SUFFIXES, max_tokens=90, on_tokens=heard.append)
    assert [len(each) for each in found] == [len(each) for each in SUFFIXES]
    for one, other in zip(flat(found), flat(wanted), strict=True):
        assert one.probs_R == pytest.approx(other.probs_R, abs=2e-5)
        assert one.mass == pytest.approx(other.mass, abs=2e-5)
    assert any(rating.probs_R[10] > 1e-3 for rating in flat(wanted))
    distinct = sum(len(set(each)) for each in SUFFIXES)
    assert len(stub.bodies) == distinct * (1 if scorer.ratings.ten is None else 2)
    assert all(body["max_tokens"] == 1 for body in stub.bodies)


def test_a_rating_prompt_that_is_too_long_is_not_sent(folder: Path) -> None:
    stub = ServerStub(folder)
    with scorer_of(stub, top_logprobs=NUM_IDS) as scorer:
        assert score(scorer, ["q a"], [["b" * 40 + " r: [["]], max_tokens=40) == [[UNREADABLE]]
        assert stub.bodies == []
        ten = 2 if scorer.ratings.ten else 1
        suffixes = ["b" * (96 - ten - 5 + more) + "[[" for more in (0, 1)]  # with <s> and "qb": one fits, one does not
        [[fits, long]] = score(scorer, ["qb"], [suffixes], max_tokens=999)
        assert (fits.mass > 0, long) == (True, UNREADABLE)


def test_few_listed_are_unparsable_or_near_and_never_more_than_there_is(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Thirty tokens, of which these models like many: much is left out of the first eleven."""
    wanted = flat(by_hf(folder))
    with scorer_of(ServerStub(folder), top_logprobs=11) as scorer, caplog.at_level(logging.WARNING):
        found = flat(score(scorer, PREFIXES, SUFFIXES, max_tokens=90))
    for one, other in zip(found, wanted, strict=True):
        assert one.mass <= other.mass + 1e-5
    assert UNREADABLE in found
    assert "raise openai.top_logprobs" in caplog.text


def test_a_server_that_lists_too_few_or_none_is_refused(folder: Path) -> None:
    def refused(match: str, stub: ServerStub, **settings: Any) -> None:
        with serving(stub) as address, pytest.raises(ConfigError, match=match):
            load_scorer(section(address, **settings), stub.folder)

    def few(answer: dict[str, Any]) -> None:
        [listed] = answer["choices"][0]["logprobs"]["top_logprobs"]
        for each in list(listed)[5:]:
            del listed[each]

    def none(answer: dict[str, Any]) -> None:
        answer["choices"][0]["logprobs"] = None

    def saying(value: Any, answer: dict[str, Any]) -> None:
        [listed] = answer["choices"][0]["logprobs"]["top_logprobs"]
        listed[next(iter(listed))] = value

    refused("lists 5 log-probabilities .* where 20 were asked for", ServerStub(folder, change=few))
    refused("lists 0 log-probabilities", ServerStub(folder, change=none))
    for value in (3.5, True, "-1", -(10**400), float("nan"), None):
        said = re.escape(f"lists {str(value)[:40]!r} as the log-probability")
        refused(said, ServerStub(folder, change=partial(saying, value)))
    refused("HTTP 400: logprobs may be 5 at most", ServerStub(folder, max_logprobs=5))
    refused("HTTP 400: Unrecognized request arguments", ServerStub(folder), extensions="vllm")


def test_a_list_as_of_the_chat_api_is_read(folder: Path) -> None:
    def change(answer: dict[str, Any]) -> None:
        choice = answer["choices"][0]
        [listed] = choice["logprobs"]["top_logprobs"]
        top = [{"token": token, "bytes": None, "logprob": logprob} for token, logprob in listed.items()]
        choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}

    with scorer_of(ServerStub(folder), top_logprobs=NUM_IDS) as scorer:
        wanted = score(scorer, PREFIXES, SUFFIXES, max_tokens=90)
    with scorer_of(ServerStub(folder, change=change), top_logprobs=NUM_IDS) as scorer:
        assert score(scorer, PREFIXES, SUFFIXES, max_tokens=90) == wanted


def test_tokens_of_one_text_are_not_mixed(folder: Path, tmp_path: Path) -> None:
    """As "5" and "▁5" of a SentencePiece vocabulary, which a list by text cannot tell apart."""

    class Twins:
        def __init__(self, real: Any) -> None:
            self.real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def __len__(self) -> int:
            return len(self.real)

        def batch_decode(self, ids: Any, **more: Any) -> list[str]:
            return [each.replace("a", "5") for each in self.real.batch_decode(ids, **more)]

    with scorer_of(ServerStub(folder), top_logprobs=NUM_IDS) as scorer:
        scorer.tokenizer = Twins(scorer.tokenizer)
        with pytest.raises(ConfigError, match="are one text"):
            scorer._check_names()


def brute_force(probs_V: np.ndarray, zero: float, ten: bool) -> tuple[np.ndarray, float]:
    """Ratings from all probabilities; tokens 0..9 are the digits, 10 is "10" where it is one token."""
    shares = probs_V[:11].copy()
    if not ten:
        shares[10] = probs_V[1] * zero
        shares[1] = probs_V[1] * (1 - zero)
    return shares / shares.sum(), float(shares.sum())


def listed(probs: list[float], top: int) -> Listed:
    kept = dict(sorted(((str(at), each) for at, each in enumerate(probs)), key=lambda pair: -pair[1])[:top])
    return Listed(kept, min(kept.values()))


@given(
    logits=st.lists(st.floats(-12, 4), min_size=30, max_size=30),
    after_one=st.lists(st.floats(-12, 4), min_size=30, max_size=30),
    ten=st.booleans(),
    top=st.integers(11, 30),
)
def test_what_is_not_listed_shifts_a_rating_by_little_or_makes_it_unparsable(
    logits: list[float], after_one: list[float], ten: bool, top: int
) -> None:
    first_V, second_V = (np.exp(each) / np.exp(each).sum() for each in map(np.array, (logits, after_one)))
    wanted_R, mass = brute_force(first_V, second_V[0], ten)
    ratings = RatingTokens((*range(10), 10 if ten else 1), None if ten else (1, 0))
    names = [str(each) for each in ratings.first_ids]
    scorer: Any = SimpleNamespace(ratings=ratings, _names_R=names, _name=str, min_mass=0.0)
    first = listed(first_V.tolist(), top)
    second = listed(second_V.tolist(), top) if not ten and "1" in first.probs else None
    found = OpenaiScorer._rating(scorer, first, second)
    if found in (None, UNREADABLE):
        assert top < 30
        return
    assert found.mass <= mass + 1e-9
    assert math.isclose(sum(found.probs_R), 1.0, abs_tol=1e-9)
    # What is misplaced is at most the unseen share, once taken away and once put elsewhere.
    assert np.abs(np.array(found.probs_R) - wanted_R).sum() <= 2 * MAX_UNSEEN_SHARE + 1e-9
    scale = np.arange(11)
    assert abs(np.array(found.probs_R) @ scale - wanted_R @ scale) <= 10 * MAX_UNSEEN_SHARE + 1e-9
