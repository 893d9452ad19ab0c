"""A model learns to answer, and not to write what its template writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma.engines import GenerateRequest, ask
from alma.engines.chat import check_chat
from alma.engines.hf.generate import HfGenerator
from alma.sections import Inference
from tests.builders.training import CHAT, PAIRS, place, settings, train, write_model

TURN = "<assistant>{{ m['content'] }}</s>"
BLOCK = "<assistant>{{ '. . ' + m['content'].split('. . ')[-1] }}</s>"
"""Taken off and written again, as Qwen 3 does it."""


@pytest.mark.slow
@pytest.mark.parametrize("turn", [TURN, BLOCK], ids=["plain", "with a block"])
def test_answers_come_back_as_they_were_learnt(tmp_path: Path, turn: str) -> None:
    folder = write_model(tmp_path / "model", chat=CHAT.replace(TURN, turn))
    check_chat(folder)
    training = place(folder, tmp_path, PAIRS)
    train(settings(epochs=60, learning_rate=1e-2, batch_rows=7, micro_batch_rows=7), training)
    with HfGenerator(Inference(dtype="float32"), training.out) as generator:
        texts = [generator.chat(row["prompt"]) for row in PAIRS]
        answers = ask(generator, GenerateRequest(texts, [[0]] * len(texts), None, 16))
    assert [(answer.text, answer.ended) for (answer,) in answers] == [(row["response"], True) for row in PAIRS]
    assert [answer.num_tokens for (answer,) in answers] == [len(row["response"]) + 1 for row in PAIRS]
