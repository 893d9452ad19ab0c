"""Training on a tiny random model: what is learnt, and that a killed training ends as an undisturbed one."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from alma.engines.checkpoints import NEEDED, NOWHERE, newest_whole
from alma.engines.encoding import encode
from alma.engines.judging import rate, reading
from alma.engines.loading import load_scorer
from alma.engines.rating import RatingTokens
from alma.engines.tokenizer import load_tokenizer
from alma.errors import DataError, StageError, Stopped
from alma.objectives import OBJECTIVES
from alma.prompts import judge_prefix, judge_suffix
from alma.sections import Judge
from tests.builders.killed_training import begin
from tests.builders.rendering import render_prompt
from tests.builders.training import (
    CHAT,
    PAIRS,
    PREFERENCES,
    RATED,
    ROWS,
    TARGETS,
    TEMPLATE,
    curve,
    files,
    place,
    settings,
    train,
    write_model,
)

torch.set_num_threads(1)

GOLDEN = Path(__file__).parents[1] / "golden" / "trl_losses.json"


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="session")
def start_with_ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("start_with_ten"), split=r"10|[\s\S]", extra=("10",))


def response_loss(start: Path, rows: list[dict[str, Any]]) -> tuple[float, float]:
    """Mean loss of all response tokens, and its gradient's norm: row by row, from the definition."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(start), AutoTokenizer.from_pretrained(start)
    total, count = torch.zeros(()), 0
    for row in rows:
        prompt = tokenizer("<s><user>" + row["prompt"] + "<assistant>")["input_ids"]
        response = tokenizer(row["response"] + "</s>")["input_ids"]
        logprobs = model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
        for offset, token in enumerate(response):
            total = total - logprobs[len(prompt) + offset - 1, token]
        count += len(response)
    (total / count).backward()
    norm = torch.stack([each.grad.norm() for each in model.parameters()]).norm()
    return float(total.detach() / count), float(norm.detach())


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
def test_the_model_learns_to_answer_and_to_stop(start: Path, tmp_path: Path, packing: bool) -> None:
    training = place(start, tmp_path, PAIRS)
    metrics = train(settings(epochs=60, batch_rows=4, micro_batch_rows=4, packing=packing), training)
    assert metrics["first_loss"] > 2.0 > 0.05 > metrics["last_loss"]
    model, tokenizer = AutoModelForCausalLM.from_pretrained(training.out), load_tokenizer(training.out)
    for row in PAIRS:
        asked = torch.tensor([render_prompt(tokenizer, row["prompt"])])
        answer = model.generate(
            asked, attention_mask=torch.ones_like(asked), max_new_tokens=20, do_sample=False, pad_token_id=0
        )
        assert tokenizer.decode(answer[0, asked.shape[1] :]) == row["response"] + "</s>"


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
@pytest.mark.parametrize(("batch", "micro"), [(8, 2), (8, 8), (128, 16)])
def test_the_loss_is_that_of_the_response_tokens_alone(
    start: Path, tmp_path: Path, packing: bool, batch: int, micro: int
) -> None:
    training = place(start, tmp_path, PAIRS)  # 7 rows: fewer than a batch, and not a multiple of micro
    metrics = train(settings(epochs=1, batch_rows=batch, micro_batch_rows=micro, packing=packing), training)
    loss, norm = response_loss(start, PAIRS)
    assert metrics["num_steps"] == 1
    assert metrics["first_loss"] == pytest.approx(loss, abs=1e-5)
    assert curve(training)[0]["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_packing_changes_no_loss(start: Path, tmp_path: Path) -> None:
    losses = []
    for packing in (False, True):
        training = place(start, tmp_path / str(packing), PAIRS)
        train(settings(batch_rows=4, micro_batch_rows=2, packing=packing), training)
        losses.append([row["loss"] for row in curve(training)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)
    assert len(losses[0]) == 6


def test_dpo_moves_the_margin_from_the_start_model(start: Path, tmp_path: Path) -> None:
    training = place(start, tmp_path, PREFERENCES)
    metrics = train(settings("dpo", epochs=10, learning_rate=1e-3, batch_rows=7, micro_batch_rows=7), training)
    rows = curve(training)
    assert metrics["first_loss"] == pytest.approx(np.log(2.0), abs=1e-6)  # the reference is the start model
    assert (rows[0]["margin"], rows[-1]["accuracy"]) == (0.0, 1.0)
    assert rows[-1]["margin"] > 1.0


def first_norms(judge: Path, folder: Path) -> dict[str, float]:
    """Labels → the gradient's norm with which a judge begins to train on its own scores of ``RATED``."""
    asked = Judge(engine="hf", template=TEMPLATE, dtype="float32")
    with load_scorer(asked, judge) as scorer:
        ratings = rate(asked, scorer, [(row["prompt"], row["response"]) for row in RATED])
    norms = {}
    for labels in ("soft", "rounded", "sharpened"):
        cfg = settings("judge", labels=labels, epochs=1, batch_rows=4, micro_batch_rows=4)
        own = OBJECTIVES["judge"].sources["judgement"]
        made = [own.row(cfg, row | reading(asked, rating)) for row, rating in zip(RATED, ratings, strict=True)]
        training = place(judge, folder / labels, [row for row in made if row is not None])
        train(cfg, training)
        norms[labels] = curve(training)[0]["grad_norm"]
    return norms


@pytest.mark.parametrize("spelling", ["start", "start_with_ten"], ids=["ten is two tokens", "ten is one token"])
def test_the_judge_learns_the_wanted_distribution(request: Any, tmp_path: Path, spelling: str) -> None:
    start: Path = request.getfixturevalue(spelling)
    training = place(start, tmp_path, RATED)
    metrics = train(settings("judge", epochs=150, batch_rows=4, micro_batch_rows=2), training)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(training.out), load_tokenizer(training.out)
    ratings = RatingTokens.of(tokenizer, TEMPLATE)
    assert (ratings.ten is None) == (spelling == "start_with_ten")
    for row in RATED:
        text = judge_prefix(TEMPLATE, row["prompt"]) + judge_suffix(TEMPLATE, row["response"])
        ids = encode(tokenizer, [text])[0] + ([] if ratings.ten is None else [ratings.ten[0]])
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1).double().detach().numpy()
        first, second = (logprobs[-1], None) if ratings.ten is None else (logprobs[-2], logprobs[-1, ratings.ten[1]])
        probs, mass = ratings.probs(first[list(ratings.first_ids)], second)
        assert probs == pytest.approx(row["target"], abs=0.03)
        assert mass > 0.97
    entropy = -np.mean([sum(p * np.log(p) for p in target if p) for target in TARGETS])
    assert entropy <= metrics["last_loss"] < entropy + 0.05 < 2.0 < metrics["first_loss"]
    norms = first_norms(training.out, tmp_path)
    assert norms["soft"] < 0.05 < 0.5 < min(norms["rounded"], norms["sharpened"]), norms


@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_rating_loss_is_the_cross_entropy_of_the_ratings(seed: int, split: bool) -> None:
    from alma.engines.trl.judge import rating_loss  # deepspeed, which comes with it, prints unless told not to

    generator = np.random.default_rng(seed)
    ratings = RatingTokens((*range(10), 1), (1, 0)) if split else RatingTokens(tuple(range(11)), None)
    logits = 4 * generator.normal(size=(3, 2, 14))
    target = generator.dirichlet(np.full(11, 0.3), size=3)
    p = np.exp(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))
    probs = p[:, 0, :11].copy()
    if split:
        probs[:, 10] = p[:, 0, 1] * p[:, 1, 0]
        probs[:, 1] = p[:, 0, 1] * (1 - p[:, 1, 0])
    wanted = -(target * np.log(probs)).sum(-1)
    loss = rating_loss(torch.tensor(logits), *map(torch.tensor, ratings.targets(target)), ratings)
    assert loss.numpy() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("objective", sorted(ROWS))
def test_golden_losses(request: pytest.FixtureRequest, start: Path, tmp_path: Path, objective: str) -> None:
    training = place(start, tmp_path, ROWS[objective])
    train(settings(objective, seed=5), training)
    losses = [round(row["loss"], 6) for row in curve(training)][:6]
    golden = json.loads(GOLDEN.read_text())
    if request.config.getoption("--regenerate-golden"):
        golden[objective] = losses
        GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")
    assert losses == pytest.approx(golden[objective], abs=1e-4)


@pytest.mark.parametrize("objective", sorted(ROWS))
def test_a_stopped_training_goes_on_to_the_same_bytes(start: Path, tmp_path: Path, objective: str) -> None:
    cfg = settings(objective, epochs=4, checkpoint_steps=100)
    undisturbed = place(start, tmp_path / "undisturbed", ROWS[objective])
    metrics = train(cfg, undisturbed)
    steps: list[int] = []
    stopped = place(start, tmp_path / "stopped", ROWS[objective])
    stopped = replace(stopped, on_step=lambda step, *_: steps.append(step), stopping=lambda: len(steps) == 2)
    with pytest.raises(Stopped, match="at step 3 of"):
        train(cfg, stopped)
    assert train(cfg, stopped) == metrics
    assert steps == list(range(1, metrics["num_steps"] + 1))
    assert files(stopped.out) == files(undisturbed.out)


def test_a_killed_training_goes_on_to_the_same_bytes(start: Path, tmp_path: Path) -> None:
    cfg = settings(epochs=4, micro_batch_rows=2, checkpoint_steps=2)  # 16 steps
    undisturbed, killed = (place(start, tmp_path / name, PAIRS) for name in ("undisturbed", "killed"))
    metrics = train(cfg, undisturbed)
    output = tmp_path / "output"
    with begin(cfg, start, killed.out.parent, output, slow_after=5, seconds=0.5) as process:
        deadline = time.monotonic() + 300
        while not (killed.scratch / "checkpoint-6").is_dir() or (killed.scratch / "checkpoint-2").exists():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, "the training wrote no checkpoint"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert sorted(path.name for path in killed.scratch.glob("checkpoint-*")) == ["checkpoint-4", "checkpoint-6"]
    assert output.read_text() == ""
    (killed.scratch / "checkpoint-6" / "optimizer.pt").unlink()  # weights alone: must not be resumed from
    steps: list[int] = []
    assert train(cfg, replace(killed, on_step=lambda step, *_: steps.append(step))) == metrics
    assert steps == list(range(5, 17))
    assert files(killed.out) == files(undisturbed.out)


@pytest.mark.parametrize("missing", [*NEEDED, "model.safetensors"])
def test_a_checkpoint_that_is_not_whole_is_removed(tmp_path: Path, missing: str) -> None:
    for step in (9, 10):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in (*NEEDED, "model.safetensors"):
            (folder / name).touch()
    (tmp_path / "writing" / "checkpoint-11").mkdir(parents=True)
    assert newest_whole(tmp_path, NOWHERE) == tmp_path / "checkpoint-10"
    (tmp_path / "checkpoint-10" / missing).unlink()
    assert newest_whole(tmp_path, NOWHERE) == tmp_path / "checkpoint-9"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-9"]


def test_equal_seeds_give_equal_bytes_and_others_another_order(start: Path, tmp_path: Path) -> None:
    outs = []
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        training = place(start, tmp_path / name, PAIRS)
        train(settings(seed=seed, epochs=1), training)
        outs.append(files(training.out))
    assert outs[0] == outs[1]
    assert outs[0]["model.safetensors"] != outs[2]["model.safetensors"]


def test_the_tokenizer_and_the_end_tokens_are_those_of_the_start_model(start: Path, tmp_path: Path) -> None:
    training = place(start, tmp_path, PAIRS)
    train(settings(epochs=1), training)
    before, after = files(start), files(training.out)
    assert set(after) == {*before, "curve.jsonl"}
    for name in sorted(set(before) - {"model.safetensors"}):
        assert after[name] == before[name], name


def test_bfloat16_is_how_the_model_is_written(start: Path, tmp_path: Path) -> None:
    training = place(start, tmp_path, PAIRS)
    metrics = train(settings(epochs=1, dtype="bfloat16"), training)
    assert metrics["last_loss"] < metrics["first_loss"]
    model = AutoModelForCausalLM.from_pretrained(training.out)
    assert {each.dtype for each in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(("share", "fails"), [(0.125, False), (0.12, True)], ids=["at the share", "above it"])
def test_rows_that_are_too_long_are_set_aside(start: Path, tmp_path: Path, share: float, fails: bool) -> None:
    rows = [*PAIRS, {"prompt": "long", "response": "a" * 60}]  # 68 tokens; the model's context is 64
    cfg = settings(epochs=1, max_tokens=4096, max_bad_share=share)
    if fails:
        with pytest.raises(StageError, match=r"1 of 8 rows are longer than 64 tokens.*max_bad_share = 0.12"):
            train(cfg, place(start, tmp_path, rows))
    else:
        metrics = train(cfg, place(start, tmp_path, rows))
        assert (metrics["num_rows"], metrics["num_too_long"]) == (7, 1)


def test_tokens_and_steps_are_counted(start: Path, tmp_path: Path) -> None:
    heard: list[tuple[int, int, float]] = []
    training = place(start, tmp_path, PAIRS)
    training = replace(training, on_step=lambda step, total, row: heard.append((step, total, row["tokens"])))
    metrics = train(settings(epochs=2, batch_rows=4, micro_batch_rows=2), training)
    tokens = 2 * sum(len(f"ss{row['prompt']}a{row['response']}e") for row in PAIRS)
    assert (metrics["num_rows"], metrics["num_steps"], metrics["num_tokens"]) == (7, 4, tokens)
    assert [each[:2] for each in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sum(each[2] for each in heard) == tokens
    rates = [row["learning_rate"] for row in curve(training)]
    assert rates[0] == pytest.approx(3e-3)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("objective", sorted(ROWS))
def test_nothing_is_printed_and_nobody_is_phoned(
    start: Path, tmp_path: Path, objective: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    phoned: list[Any] = []
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *args, **_: phoned.append(args))
    monkeypatch.delenv("CI", raising=False)
    train(settings(objective, epochs=1, checkpoint_steps=1), place(start, tmp_path, ROWS[objective]))
    assert (capfd.readouterr(), phoned) == (("", ""), [])


def test_a_loss_that_is_not_finite_ends_the_training(start: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(start)
    model.lm_head.weight.data.fill_(3e37)  # the gradient overflows
    broken = write_model(tmp_path / "broken")
    model.save_pretrained(broken)
    with pytest.raises(StageError, match=r"loss of step 2 is nan at learning_rate = 0.003; lower learning_rate"):
        train(settings(), place(broken, tmp_path, PAIRS))


def test_a_target_that_is_no_distribution_is_refused(start: Path, tmp_path: Path) -> None:
    rows = [*RATED, RATED[0] | {"target": [0.2] * 11}]
    with pytest.raises(DataError, match=r"row 4: target = \[0.2, .* is not a distribution over 0..10"):
        train(settings("judge"), place(start, tmp_path, rows))


def test_a_token_that_the_model_does_not_know_is_refused(start: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "grown", split=r"abab|[\s\S]", extra=("abab",))
    for name in ("model.safetensors", "config.json"):
        (folder / name).write_bytes((start / name).read_bytes())
    with pytest.raises(DataError, match=r"token 48 and the model knows 48 tokens; resize"):
        train(settings(), place(folder, tmp_path, PAIRS))


def test_a_response_that_merges_with_the_prompt_is_set_aside(tmp_path: Path) -> None:
    chat = CHAT.replace("<assistant>", "<assistant>\n")
    folder = write_model(tmp_path / "merging", split=r"\n\n|[\s\S]", extra=("\n\n",), chat=chat)
    rows = [*PAIRS, {"prompt": "q", "response": "\na"}]
    metrics = train(settings(epochs=1, max_bad_share=0.125), place(folder, tmp_path, rows))
    assert (metrics["num_rows"], metrics["num_unaligned"], metrics["num_too_long"]) == (7, 1, 0)
