"""The echo engine keeps the engines' contracts, without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from alma.engines import Training, load_embedder, load_generator, load_scorer, load_trainer
from alma.errors import DataError, Stopped
from alma.sections import Finetune, Inference, Sampling
from tests.builders.asking import embed, generate, score

CFG = Inference(engine="echo")
SAMPLING = Sampling()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "tokenizer.json").write_text('{"a": 1}')
    return path


@settings(max_examples=30, deadline=None)
@given(
    seeds=st.lists(st.integers(0, 2**63), min_size=1, max_size=5, unique=True),
    texts=st.lists(st.text(max_size=20), min_size=1, max_size=5, unique=True),
)
def test_a_sample_depends_on_model_text_and_seed(
    tmp_path_factory: pytest.TempPathFactory, seeds: list[int], texts: list[str]
) -> None:
    empty = tmp_path_factory.getbasetemp()
    with load_generator(CFG, empty) as engine:
        together = generate(engine, texts, [seeds] * len(texts), SAMPLING, max_new_tokens=40)
        backwards = generate(engine, texts[::-1], [seeds[::-1]] * len(texts), SAMPLING, max_new_tokens=40)
    assert [row[::-1] for row in backwards[::-1]] == together
    seen = [each.text for row in together for each in row]
    assert len(set(seen)) == len(seen)


def test_samples_are_short_texts_that_mostly_end(model: Path) -> None:
    heard: list[int] = []
    with load_generator(CFG, model) as engine:
        [found] = generate(engine, ["a"], [range(1000)], SAMPLING, max_new_tokens=50, on_tokens=heard.append)
        [cut] = generate(engine, ["a"], [range(1000)], SAMPLING, max_new_tokens=50, stop=["ter", "o"])
        [greedy] = generate(engine, ["a"], [[1]], None, max_new_tokens=50)
        [same] = generate(engine, ["a"], [[2]], None, max_new_tokens=50)
    unended = [each for each in found if not each.ended]
    assert 20 < len(unended) < 80
    assert all(each.num_tokens == 50 == len(each.text.split()) for each in unended)
    assert all(each.num_tokens == len(each.text.split()) + 1 for each in found if each.ended)
    assert sum(heard) == sum(each.num_tokens for each in found)
    assert [each.text for each in cut] == [each.text.partition("ter")[0].partition("o")[0] for each in found]
    assert all(b.ended for a, b in zip(found, cut, strict=True) if b.text != a.text)
    assert greedy == same


def test_no_sample_exceeds_its_limit(model: Path) -> None:
    with load_generator(CFG, model) as engine:
        [found] = generate(engine, ["a"], [range(100)], SAMPLING, max_new_tokens=4, stop=["a "])
    assert max(each.num_tokens for each in found) == 4


def test_ratings_are_smooth_distributions_with_mass(model: Path) -> None:
    suffixes = [f"answer {place}" for place in range(2000)]
    with load_scorer(CFG, model) as engine:
        [found] = score(engine, ["question "], [suffixes], max_tokens=100)
        assert score(engine, ["question answer "], [["7"]], max_tokens=100)[0][0] == found[7]
        [[unreadable]] = score(engine, ["a b c "], [["d"]], max_tokens=3)
    probs_BR = np.array([each.probs_R for each in found])
    masses = np.array([each.mass for each in found])
    np.testing.assert_allclose(probs_BR.sum(1), 1.0)
    assert np.all((np.diff(np.sign(np.diff(probs_BR))) != 0).sum(1) <= 1)  # one peak
    assert np.ptp(probs_BR @ np.arange(11)) > 8
    assert 0.93 < np.median(masses) < 0.97
    assert 0 < (masses < 0.5).mean() < 0.03
    assert unreadable.mass == 0.0
    assert unreadable.probs_R == pytest.approx([1 / 11] * 11)


def test_like_texts_have_like_vectors(model: Path) -> None:
    texts = ["count the letters of the word river", "count the letters of the word garden", "tell a joke", "", "x"]
    with load_embedder(CFG, model) as engine:
        vectors_PD = embed(engine, texts, max_tokens=100)
        np.testing.assert_array_equal(embed(engine, texts[:1], max_tokens=100), vectors_PD[:1])
        np.testing.assert_array_equal(*(embed(engine, [text], max_tokens=2) for text in ("a b c", "a b d")))
    norms = np.linalg.norm(vectors_PD, axis=1)
    assert np.all(norms > 0)
    near, far = (vectors_PD[0] @ vectors_PD[place] / norms[0] / norms[place] for place in (1, 2))
    assert near > 0.5 > far


ROWS = [{"prompt": f"p {place}", "response": "r " * place} for place in range(20)]


def train(model: Path, place: Path, cfg: Finetune, **changes: Any) -> dict[str, float | int]:
    training = Training(model=model, out=place / "out", scratch=place / "scratch", **{"rows": ROWS} | changes)
    return load_trainer("echo").train(cfg, training)


def weights(place: Path) -> list[float]:
    return load_file(place / "out/model.safetensors")["echo.weight"].tolist()


def test_a_trained_model_is_a_function_of_start_rows_and_settings(model: Path, tmp_path: Path) -> None:
    cfg = Finetune(trainer="echo", batch_rows=4, micro_batch_rows=4, epochs=1)
    heard: list[tuple[int, int, dict[str, float]]] = []
    metrics = train(model, tmp_path / "a", cfg, on_step=lambda *step: heard.append(step))
    train(model, tmp_path / "again", cfg)
    train(model, tmp_path / "rows", cfg, rows=ROWS[1:])
    train(model, tmp_path / "settings", cfg.model_copy(update={"seed": 1}))
    train(tmp_path / "a/out", tmp_path / "start", cfg)
    assert weights(tmp_path / "a") == weights(tmp_path / "again")
    others = [weights(tmp_path / each) for each in ("a", "rows", "settings", "start")]
    assert all(a != b for place, a in enumerate(others) for b in others[place + 1 :])
    assert (tmp_path / "start/out/tokenizer.json").read_bytes() == (model / "tokenizer.json").read_bytes()
    assert [step[:2] for step in heard] == [(step, 5) for step in range(1, 6)]
    assert {"loss", "learning_rate", "tokens"} <= set(heard[0][2])
    assert (metrics["num_rows"], metrics["num_steps"], metrics["num_too_long"]) == (20, 5, 0)
    assert metrics["first_loss"] == heard[0][2]["loss"] > heard[-1][2]["loss"] == metrics["last_loss"]


def test_a_stopped_training_goes_on_from_its_checkpoint(model: Path, tmp_path: Path) -> None:
    cfg = Finetune(trainer="echo", batch_rows=4, micro_batch_rows=4, epochs=1)
    heard: list[int] = []
    with pytest.raises(Stopped, match="after step 2 of 5"):
        train(model, tmp_path, cfg, on_step=lambda step, *_: heard.append(step), stopping=lambda: len(heard) == 2)
    assert not (tmp_path / "out").exists()
    train(model, tmp_path, cfg, on_step=lambda step, *_: heard.append(step))
    assert heard == [1, 2, 3, 4, 5]
    train(model, tmp_path / "straight", cfg)
    assert weights(tmp_path) == weights(tmp_path / "straight")


def test_rows_that_are_too_long_are_counted(model: Path, tmp_path: Path) -> None:
    cfg = Finetune(trainer="echo", max_tokens=10)
    assert train(model, tmp_path, cfg)["num_too_long"] == 11
    with pytest.raises(DataError, match="max_tokens = 1"):
        train(model, tmp_path, cfg.model_copy(update={"max_tokens": 1}))


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        load_generator(CFG, tmp_path / "nowhere")


def test_torch_is_not_loaded() -> None:
    modules = [f"alma.engines.{each}" for each in ("echo.generate", "echo.score", "echo.embed", "echo.train", "rating")]
    script = f"import sys, {', '.join(modules)}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
