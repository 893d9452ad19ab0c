"""Data parallel: several engines, each in a process of its own, fed from one queue."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alma.engines import GenerateRequest, load_generator, load_scorer
from alma.errors import ConfigError, TransientError
from alma.sections import Judge
from tests.builders.asking import generate, score
from tests.engines.vllm.checkpoints import ASKED, BASE, MICRO_TEMPLATE, SAMPLING, SETTINGS, VLLM, greedy

TWO = VLLM.changed(vllm=SETTINGS.changed(data_parallel=2), batch_rows=4)


@pytest.fixture(scope="module")
def two() -> Iterator[Any]:
    with load_generator(TWO, BASE) as engine:
        yield engine


def test_two_engines_answer_as_one_and_both_work(micro: Any, two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[int, int] = {}
    for replica in two.replicas:
        ask = replica.ask

        def counted(name: int, request: Any, ask: Any = ask, pid: int = replica.process.pid) -> None:
            asked[pid] = asked.get(pid, 0) + len(request)
            ask(name, request)

        monkeypatch.setattr(replica, "ask", counted)
    heard: list[int] = []
    seeds = [[10 * place + sample for sample in range(3)] for place in range(20)]
    texts = [f"<s><user>{ASKED[place % 5]} {place}<assistant>" for place in range(20)]
    texts[7] = "a" * 300  # longer than the context
    wanted = generate(micro, texts, seeds, SAMPLING, max_new_tokens=12)
    found = generate(two, texts, seeds, SAMPLING, max_new_tokens=12, on_tokens=heard.append)
    assert found == wanted
    assert sum(heard) == sum(each.num_tokens for row in found for each in row)
    assert len(asked) == 2
    assert sum(asked.values()) == 60
    assert min(asked.values()) > 3
    assert os.getpid() not in asked


def test_requests_follow_one_another_and_each_is_answered_once(micro: Any, two: Any) -> None:
    given: list[int] = []

    def requests() -> Iterator[GenerateRequest]:
        for number in range(6):
            given.append(number)
            texts = [] if number == 3 else [f"{text}{number}" for text in ASKED]
            yield GenerateRequest(texts, [[number]] * len(texts), SAMPLING, 10)

    found = {}
    for answered in two.answer(requests(), on_tokens=lambda _: None):
        assert answered.place not in found
        assert answered.num_tokens == sum(each.num_tokens for [each] in answered.answer)
        found[answered.place] = answered.answer
    assert sorted(found) == given == [*range(6)]
    assert found[3] == []
    for number in (0, 5):
        texts = [f"{text}{number}" for text in ASKED]
        assert found[number] == generate(micro, texts, [[number]] * 5, SAMPLING, max_new_tokens=10)


def test_what_was_asked_for_is_forgotten_when_the_caller_stops(micro: Any, two: Any) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(two, ASKED, [range(20)] * len(ASKED), SAMPLING, max_new_tokens=20, on_tokens=stop)
    assert greedy(two, ASKED) == greedy(micro, ASKED)


def test_all_of_them_take_another_checkpoint(two: Any, micro: Any, checkpoints: list[Path]) -> None:
    two.swap(checkpoints[1])
    with load_generator(VLLM, checkpoints[1]) as engine:
        wanted = greedy(engine, ASKED)
    assert greedy(two, ASKED) == wanted
    two.swap(BASE)
    assert greedy(two, ASKED) == greedy(micro, ASKED) != wanted


def test_a_judge_is_shared_out_too() -> None:
    cfg = Judge(engine="vllm", template=MICRO_TEMPLATE, batch_rows=4, vllm=SETTINGS)
    prefixes = [f"<s><review>{number}" for number in range(9)]
    suffixes = [[f"<assistant>{each}<rating>" for each in ("3", "4", "3", "x" * number)] for number in range(9)]
    with load_scorer(cfg, BASE) as engine:
        wanted = score(engine, prefixes, suffixes, max_tokens=200)
    with load_scorer(cfg.changed(vllm=TWO.vllm), BASE) as engine:
        found = score(engine, prefixes, suffixes, max_tokens=200)
    for ours, theirs in zip(found, wanted, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one.probs_R == pytest.approx(other.probs_R, abs=1e-5)
            assert one.mass == pytest.approx(other.mass, abs=1e-5)


def test_an_error_of_a_process_is_the_stages_error_and_a_killed_one_is_worth_another_try() -> None:
    with load_generator(TWO, BASE) as engine, pytest.raises(ConfigError, match="stop holds an empty text"):
        greedy(engine, ASKED, stop=[""])
    with load_generator(TWO, BASE) as engine:
        processes = [replica.process for replica in engine.replicas]  # type: ignore[attr-defined]

        def kill(_: int) -> None:
            processes[1].send_signal(signal.SIGKILL)

        with pytest.raises(TransientError, match="killed by SIGKILL"):
            generate(engine, ASKED * 40, [range(4)] * len(ASKED) * 40, SAMPLING, max_new_tokens=20, on_tokens=kill)
    assert [process.poll() is None for process in processes] == [False, False]
