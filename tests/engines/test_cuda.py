"""On a GPU the engines compute what they compute on the CPU, in float32 and up to rounding.

A machine without a GPU skips them; ``make gpu`` runs them alone.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import pytest
import torch

from alma.engines import load_generator, load_scorer
from alma.sections import Inference, Judge
from tests.builders import killed_training
from tests.builders.asking import generate, score
from tests.builders.models import PREFIXES, SUFFIXES, TEMPLATE, TEXTS, llama, saved
from tests.builders.training import PAIRS, ROWS, curve, place, settings, train, write_model

pytestmark = pytest.mark.gpu


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(tmp_path / "model", llama, ten=True)


def test_greedy_answers_are_those_of_the_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg, answers = Inference(dtype="float32", batch_rows=4), []
    for device in ("cuda", "cpu"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda device=device: device == "cuda")
        with load_generator(cfg, folder) as engine:
            answers.append(generate(engine, TEXTS, [[0]] * len(TEXTS), None, max_new_tokens=24))
    assert answers[0] == answers[1]
    assert len({completion.text for [completion] in answers[0]}) > 3, "equal answers to all would say little"


def test_ratings_are_those_of_the_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg, ratings = Judge(template=TEMPLATE, dtype="float32", batch_rows=16), []
    for device in ("cuda", "cpu"):
        monkeypatch.setattr(torch.cuda, "is_available", lambda device=device: device == "cuda")
        with load_scorer(cfg, folder) as engine:
            ratings.append(list(chain(*score(engine, PREFIXES, SUFFIXES, max_tokens=90))))
    for one, other in zip(*ratings, strict=True):
        assert one.probs_R == pytest.approx(other.probs_R, abs=1e-4)
        assert one.mass == pytest.approx(other.mass, abs=1e-4)


def test_losses_are_those_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU's in a process that sees no GPU: accelerate settles on a device once."""
    cfg, start = settings(dtype="float32", epochs=4), write_model(tmp_path / "start")
    on_gpu, on_cpu = place(start, tmp_path / "gpu", PAIRS), place(start, tmp_path / "cpu", ROWS["sft"])
    train(cfg, on_gpu)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with killed_training.begin(cfg, start, on_cpu.out.parent, tmp_path / "said", slow_after=0, seconds=0.0) as process:
        assert process.wait(300) == 0, (tmp_path / "said").read_text()
    losses = [row["loss"] for row in curve(on_gpu)]
    assert losses == pytest.approx([row["loss"] for row in curve(on_cpu)], abs=1e-3)
    assert losses[0] > 2 * losses[-1]
