"""Sampling and greedy decoding, beside ``hf``."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from alma.engines import TOO_LONG, load_generator
from alma.errors import ConfigError
from alma.sections import Sampling
from tests.builders.asking import generate
from tests.builders.models import TEXTS
from tests.engines.vllm.checkpoints import ASKED, BASE, HF, SAMPLING, VLLM, greedy


def test_greedy_text_is_that_of_hf(folder: Path) -> None:
    with load_generator(HF, folder) as engine:
        wanted, stopped = greedy(engine, TEXTS), greedy(engine, TEXTS, stop=["a", "10", "b:"])
    with load_generator(VLLM, folder) as engine:
        assert greedy(engine, TEXTS) == wanted
        assert greedy(engine, TEXTS, stop=["a", "10", "b:"]) == stopped
    assert stopped != wanted


def test_a_trained_model_answers_and_stops_as_with_hf(micro: Any) -> None:
    heard: list[int] = []
    with load_generator(HF, BASE) as engine:
        for more in ({}, {"stop": ["\n"]}, {"stop": [" a", "e", "gg"]}, {"max_new_tokens": 3}, {"max_new_tokens": 999}):
            wanted = greedy(engine, ASKED, **more)
            assert greedy(micro, ASKED, on_tokens=heard.append, **more) == wanted
            assert sum(heard) == sum(each.num_tokens for [each] in wanted)
            heard.clear()
        assert {each.ended for [each] in greedy(engine, ASKED, stop=["\n"])} == {True, False}


def test_samples_depend_on_text_and_seed_only(micro: Any) -> None:
    rng = random.Random(0)
    seeds = [*range(24), 2**64 - 1]
    wanted = [(rng.choice(ASKED), rng.choice(seeds)) for _ in range(60)]
    together = generate(micro, ASKED, [seeds] * len(ASKED), SAMPLING, max_new_tokens=12)
    with load_generator(VLLM.changed(batch_rows=7), BASE) as engine:
        alone = generate(
            engine, [text for text, _ in wanted], [[seed] for _, seed in wanted], SAMPLING, max_new_tokens=12
        )
    assert [each for [each] in alone] == [together[ASKED.index(text)][seeds.index(seed)] for text, seed in wanted]
    assert all(len({each.text for each in row}) > 10 for row in together[:2])
    again = generate(micro, ASKED, [seeds] * len(ASKED), SAMPLING, max_new_tokens=12)
    assert again == together  # also after another engine of this process was closed


def test_more_prompts_than_one_step_reads_are_sampled_too(micro: Any) -> None:
    """vLLM would read some of them in two steps, which it cannot with seeds on a CPU."""
    texts = [f"<s><user>{number} {'abc ' * 30}<assistant>" for number in range(200)]
    seeds = [[number] for number in range(200)]
    with load_generator(VLLM.changed(batch_rows=256), BASE) as engine:
        assert len(texts) * len(engine.encode(texts[:1])[0]) > 8192  # type: ignore[attr-defined]
        found = generate(engine, texts, seeds, SAMPLING, max_new_tokens=3)
    assert found == generate(micro, texts, seeds, SAMPLING, max_new_tokens=3)


def test_samples_have_the_distribution_of_the_nucleus(micro: Any) -> None:
    model, tokens = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32), micro.tokenizer
    ids = torch.tensor(micro.encode(["<s><list>"]))
    num = 4000
    [row] = generate(micro, ["<s><list>"], [range(num)], Sampling(temperature=1.5, top_p=0.8), max_new_tokens=1)
    with torch.inference_mode():
        probs_V = (model(ids).logits[0, -1] / 1.5).softmax(-1)
    order = probs_V.argsort(descending=True)
    kept = order[: int((probs_V[order].cumsum(0) < 0.8).sum()) + 1]
    wanted = probs_V[kept] / probs_V[kept].sum()
    assert len(kept) > 3
    drawn = Counter(each.text for each in row)
    shares = {tokens.decode([token]): float(prob) for token, prob in zip(kept.tolist(), wanted, strict=True)}
    assert set(drawn) <= set(shares)
    for text, share in shares.items():
        assert drawn[text] / num == pytest.approx(share, abs=5 * (share * (1 - share) / num) ** 0.5), text


def test_a_text_that_fills_the_context_is_set_aside_as_by_hf(micro: Any) -> None:
    texts, seeds = ["a", "a" * 300, "b"], [[0], [0, 1], [0]]
    with load_generator(HF, BASE) as engine:
        wanted = generate(engine, texts, seeds, None, max_new_tokens=9)
    assert generate(micro, texts, seeds, None, max_new_tokens=9) == wanted
    assert wanted[1] == [TOO_LONG, TOO_LONG]
    assert wanted[0] != [TOO_LONG] != wanted[2]
    assert generate(micro, ["a" * 300], [[0]], None, max_new_tokens=9) == [[TOO_LONG]]
    with pytest.raises(ConfigError, match="empty text"):
        greedy(micro, ["a"], stop=[""])
    with load_generator(VLLM.changed(vllm={"max_model_len": 32, "kv_cache_gib": 0.1}), BASE) as engine:
        assert generate(engine, ["abc"], [[0]], None, max_new_tokens=99)[0][0].num_tokens <= 29
        assert greedy(engine, ["a" * 40]) == [[TOO_LONG]]


def test_what_was_asked_for_is_taken_back_when_the_caller_stops(micro: Any) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(micro, ASKED, [range(50)] * len(ASKED), SAMPLING, max_new_tokens=20, on_tokens=stop)
    assert not micro.llm.llm_engine.has_unfinished_requests()
    with load_generator(HF, BASE) as engine:
        assert greedy(micro, ASKED) == greedy(engine, ASKED)
