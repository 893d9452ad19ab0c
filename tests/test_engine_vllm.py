"""The ``vllm`` engines beside the ``hf`` engines, on the shipped micro model and on tiny models of other families.

Where vLLM is not installed most of these are skipped. To run them:
``uv pip install --find-links <folder with torch's CPU wheel> --no-deps -r images/vllm/cpu.lock``, then pytest.
"""

from __future__ import annotations

import importlib.util
import logging
import random
import shutil
import signal
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_engine_hf import PREFIXES, SUFFIXES, TEMPLATE, TEXTS, shape, tokenizer
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from alma.engines import generator_pool, load_embedder, load_generator, load_scorer
from alma.errors import ConfigError, DataError
from alma.sections import Evaluate, Inference, Judge, Respond, Sampling, Vllm

needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed: uv pip install --no-deps -r images/vllm/cpu.lock (see the head of this file)",
)
BASE = Path(__file__).parents[1] / "examples" / "micro" / "base"
SETTINGS = Vllm(kv_cache_gib=0.1)
HF, VLLM = Inference(batch_rows=64), Inference(engine="vllm", batch_rows=64, vllm=SETTINGS)
ASKED = ["<s><list>what", "how many", "<s><list>abc\n", "2+2", "<s><user>say " + "abc " * 40 + "<assistant>"]
SAMPLING = Sampling(temperature=1.0, top_p=0.9)
MICRO_TEMPLATE = "<s><review>{prompt}<assistant>{response}<rating>"


def wide(num_ids: int) -> dict[str, Any]:
    """As of the hf tests, with heads of 32: vLLM's attention on a CPU knows no smaller ones."""
    return shape(num_ids) | {"hidden_size": 128, "intermediate_size": 128, "initializer_range": 0.15}


def llama(num_ids: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=2, **wide(num_ids)))


def tied(num_ids: int) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(num_key_value_heads=4, tie_word_embeddings=True, **wide(num_ids)))


def mistral(num_ids: int) -> MistralForCausalLM:
    return MistralForCausalLM(MistralConfig(num_key_value_heads=2, sliding_window=5, **wide(num_ids)))


def gpt2(num_ids: int) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=num_ids, n_positions=96, n_embd=128, n_layer=2, n_head=4, initializer_range=0.15, eos_token_id=2
    )
    return GPT2LMHeadModel(config)


def saved(path: Path, make: Callable[[int], Any], ten: bool, seed: int = 3) -> Path:
    tokens = tokenizer(ten)
    torch.manual_seed(seed)
    make(len(tokens)).save_pretrained(path)
    tokens.save_pretrained(path)
    return path


def nudged(path: Path, seed: int, dtype: torch.dtype = torch.float32) -> Path:
    """A checkpoint as of a training that began with the micro model."""
    shutil.copytree(BASE, path)
    model = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    torch.manual_seed(seed)
    for weight in model.parameters():
        weight.data += 0.02 * torch.randn_like(weight)
    model.to(dtype).save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=[llama, tied, mistral, gpt2], ids=lambda make: make.__name__)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ "10" is one token for two of them and two for the others."""
    return saved(tmp_path_factory.mktemp("model"), request.param, ten=request.param in (tied, gpt2))


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The base and two that differ from it; the last in bfloat16, as a training on a GPU leaves it."""
    root = tmp_path_factory.mktemp("pool")
    return [BASE, nudged(root / "first", 1), nudged(root / "second", 2, torch.bfloat16)]


@pytest.fixture
def micro() -> Iterator[Any]:
    with load_generator(VLLM, BASE) as engine:
        yield engine


def greedy(engine: Any, texts: list[str], **more: Any) -> Any:
    return engine.generate(texts, [[0]] * len(texts), None, **({"max_new_tokens": 24} | more))


@needs_vllm
def test_greedy_text_is_that_of_hf(folder: Path) -> None:
    with load_generator(HF, folder) as engine:
        wanted, stopped = greedy(engine, TEXTS), greedy(engine, TEXTS, stop=["a", "10", "b:"])
    with load_generator(VLLM, folder) as engine:
        assert greedy(engine, TEXTS) == wanted
        assert greedy(engine, TEXTS, stop=["a", "10", "b:"]) == stopped
    assert stopped != wanted


@needs_vllm
def test_a_trained_model_answers_and_stops_as_with_hf(micro: Any) -> None:
    heard: list[int] = []
    with load_generator(HF, BASE) as engine:
        for more in ({}, {"stop": ["\n"]}, {"stop": [" a", "e", "gg"]}, {"max_new_tokens": 3}, {"max_new_tokens": 999}):
            wanted = greedy(engine, ASKED, **more)
            assert greedy(micro, ASKED, on_tokens=heard.append, **more) == wanted
            assert sum(heard) == sum(each.num_tokens for [each] in wanted)
            heard.clear()
        assert {each.ended for [each] in greedy(engine, ASKED, stop=["\n"])} == {True, False}


@needs_vllm
def test_samples_depend_on_text_and_seed_only(micro: Any) -> None:
    rng = random.Random(0)
    seeds = [*range(24), 2**64 - 1]
    wanted = [(rng.choice(ASKED), rng.choice(seeds)) for _ in range(60)]
    together = micro.generate(ASKED, [seeds] * len(ASKED), SAMPLING, max_new_tokens=12)
    with load_generator(VLLM.changed(batch_rows=7), BASE) as engine:
        alone = engine.generate(
            [text for text, _ in wanted], [[seed] for _, seed in wanted], SAMPLING, max_new_tokens=12
        )
    assert [each for [each] in alone] == [together[ASKED.index(text)][seeds.index(seed)] for text, seed in wanted]
    assert all(len({each.text for each in row}) > 10 for row in together[:2])
    again = micro.generate(ASKED, [seeds] * len(ASKED), SAMPLING, max_new_tokens=12)
    assert again == together  # also after another engine of this process was closed


@needs_vllm
def test_samples_have_the_distribution_of_the_nucleus(micro: Any) -> None:
    model, tokens = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32), micro.tokenizer
    ids = torch.tensor(micro.encode(["<s><list>"]))
    num = 4000
    [row] = micro.generate(["<s><list>"], [range(num)], Sampling(temperature=1.5, top_p=0.8), max_new_tokens=1)
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


@needs_vllm
def test_a_text_that_fills_the_context_is_refused_as_by_hf(micro: Any) -> None:
    long = "a" * 300
    with load_generator(HF, BASE) as engine, pytest.raises(DataError) as by_hf:
        greedy(engine, ["a", long])
    with pytest.raises(DataError) as refused:
        greedy(micro, ["a", long])
    assert str(refused.value) == str(by_hf.value)
    with pytest.raises(ConfigError, match="empty text"):
        greedy(micro, ["a"], stop=[""])
    with load_generator(VLLM.changed(vllm={"max_model_len": 32, "kv_cache_gib": 0.1}), BASE) as engine:
        assert engine.generate(["abc"], [[0]], None, max_new_tokens=99)[0][0].num_tokens <= 29
        with pytest.raises(DataError, match="has a context of 32"):
            greedy(engine, ["a" * 40])


@needs_vllm
def test_what_was_asked_for_is_taken_back_when_the_caller_stops(micro: Any) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        micro.generate(ASKED, [range(50)] * len(ASKED), SAMPLING, max_new_tokens=20, on_tokens=stop)
    assert not micro.llm.llm_engine.has_unfinished_requests()
    with load_generator(HF, BASE) as engine:
        assert greedy(micro, ASKED) == greedy(engine, ASKED)


@needs_vllm
def test_ratings_are_those_of_hf(folder: Path) -> None:
    cfg = Judge(engine="vllm", template=TEMPLATE, batch_rows=64, vllm=SETTINGS)
    with load_scorer(cfg.changed(engine="hf"), folder) as engine:
        wanted = engine.score(PREFIXES, SUFFIXES, max_tokens=60)
    with load_scorer(cfg, folder) as engine:
        found = engine.score(PREFIXES, SUFFIXES, max_tokens=60)
    assert [len(row) for row in found] == [len(row) for row in wanted]
    for ours, theirs in zip(chain(*found), chain(*wanted), strict=True):
        np.testing.assert_allclose(ours.probs_R, theirs.probs_R, atol=1e-4)
        assert ours.mass == pytest.approx(theirs.mass, abs=1e-4)
    assert len({each.probs_R for each in chain(*found)}) > 30


@needs_vllm
def test_equal_responses_are_rated_once_and_shared_beginnings_too() -> None:
    heard: list[int] = []
    cfg = Judge(engine="vllm", template=MICRO_TEMPLATE, batch_rows=64, vllm=SETTINGS)
    prefix, answers = "<s><review>" + "abc " * 40, ["3", "4", "3", "x" * 100]
    with load_scorer(cfg, BASE) as engine:
        [found] = engine.score(
            [prefix], [[f"<assistant>{each}<rating>" for each in answers]], max_tokens=200, on_tokens=heard.append
        )
        sizes = [len(ids) for ids in engine.encode([f"{prefix}<assistant>{each}<rating>" for each in answers])]
    assert found[0] == found[2] != found[1]
    assert sizes[3] > 200
    assert found[3].mass == 0.0
    assert found[3].probs_R == pytest.approx([1 / 11] * 11)
    assert sizes[0] == sizes[1] > 128
    # A block of 128 tokens is what a CPU shares; "10" is two tokens here, so one more position is read of each.
    assert sum(heard) == sizes[0] + sizes[1] - 128 + 2


@needs_vllm
def test_embeddings_are_those_of_hf(folder: Path) -> None:
    texts = [*TEXTS, "a" * 200]
    for max_tokens in (11, 999):
        with load_embedder(HF, folder) as engine:
            wanted = engine.embed(texts, max_tokens=max_tokens)
        with load_embedder(VLLM, folder) as engine:
            found = engine.embed(texts, max_tokens=max_tokens)
            with pytest.raises(DataError, match="text 1 "):
                engine.embed(["a", ""], max_tokens=11)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        assert found.dtype == np.float64


@needs_vllm
def test_checkpoints_are_swapped_in_place(checkpoints: list[Path]) -> None:
    wanted = []
    for path in checkpoints:
        with load_generator(HF, path) as engine:
            wanted.append(greedy(engine, ASKED))
    assert wanted[0] != wanted[1] != wanted[2] != wanted[0]
    with load_generator(VLLM, BASE) as engine:
        live = weakref.ref(engine.llm)  # type: ignore[attr-defined]
        for place in (0, 1, 2, 1, 0, 2):
            engine.swap(checkpoints[place])  # type: ignore[attr-defined]
            assert greedy(engine, ASKED) == wanted[place], place  # the last text is longer than a cached block
        assert live() is engine.llm  # type: ignore[attr-defined]


@needs_vllm
@pytest.mark.parametrize("make", [llama, gpt2], ids=lambda make: make.__name__)
def test_other_families_are_swapped_too(make: Callable[[int], Any], tmp_path: Path) -> None:
    one, other = saved(tmp_path / "one", make, ten=True), saved(tmp_path / "other", make, ten=True, seed=4)
    with load_generator(HF, other) as engine:
        wanted = greedy(engine, TEXTS)
    with load_generator(VLLM, one) as engine:
        assert greedy(engine, TEXTS) != wanted
        engine.swap(other)  # type: ignore[attr-defined]
        assert greedy(engine, TEXTS) == wanted


@needs_vllm
def test_a_pool_is_one_engine_and_begins_with_what_is_in_memory(checkpoints: list[Path]) -> None:
    places, engines = [], set()
    with generator_pool(VLLM, [lambda path=path: path for path in checkpoints[:2]]) as pool:
        for _ in range(3):
            for place, engine in pool.turn():
                places.append(place)
                engines.add(id(engine.llm))  # type: ignore[attr-defined]
    assert places == [0, 1, 1, 0, 0, 1]
    assert len(engines) == 1


@needs_vllm
def test_where_weights_cannot_be_swapped_a_fresh_engine_serves(
    checkpoints: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with load_generator(HF, checkpoints[1]) as engine:
        wanted = greedy(engine, ASKED)

    def cannot(*_: Any, **__: Any) -> None:
        raise NotImplementedError("Model reloading with `bitsandbytes` format")

    with load_generator(VLLM, BASE) as engine, caplog.at_level(logging.WARNING):
        monkeypatch.setattr(engine.llm, "collective_rpc", cannot)  # type: ignore[attr-defined]
        engine.swap(checkpoints[1])  # type: ignore[attr-defined]
        assert greedy(engine, ASKED) == wanted
    assert "bitsandbytes" in caplog.text


@needs_vllm
def test_a_tied_output_layer_may_be_written_twice(tmp_path: Path) -> None:
    """vLLM then makes it a layer of its own, into which a checkpoint without it would load nothing."""

    def write_head(weights: dict[str, torch.Tensor]) -> None:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()

    twice, once = rewritten(nudged(tmp_path / "twice", 1), write_head), nudged(tmp_path / "once", 2)
    wanted = []
    for path in (twice, once):
        with load_generator(HF, path) as engine:
            wanted.append(greedy(engine, ASKED))
    with load_generator(VLLM, twice) as engine:
        assert greedy(engine, ASKED) == wanted[0]
        engine.swap(once)  # type: ignore[attr-defined]
        assert greedy(engine, ASKED) == wanted[1]
        engine.swap(twice)  # type: ignore[attr-defined]
        assert greedy(engine, ASKED) == wanted[0]


def another(path: Path) -> Path:
    """Fewer layers than the micro model."""
    shutil.copytree(BASE, path)
    config = LlamaConfig.from_pretrained(BASE, num_hidden_layers=3)
    LlamaForCausalLM(config).save_pretrained(path)
    return path


def other_tokenizer(path: Path) -> Path:
    shutil.copytree(BASE, path)
    text = (path / "tokenizer.json").read_text()
    (path / "tokenizer.json").write_text(text.replace('"version"', ' "version"', 1))
    return path


def rewritten(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    if not path.exists():
        shutil.copytree(BASE, path)
    weights = load_file(path / "model.safetensors")
    change(weights)
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


def one_weight_less(path: Path) -> Path:
    return rewritten(path, lambda weights: weights.pop("model.norm.weight"))


@needs_vllm
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (another, "num_hidden_layers is 4 and 3"),
        (other_tokenizer, r"tokenizer\.json differs"),
        (one_weight_less, r"model\.norm\.weight is \[128\] and None"),
    ],
    ids=["architecture", "tokenizer", "weights"],
)
def test_a_pool_of_two_models_is_refused(micro: Any, tmp_path: Path, make: Any, message: str) -> None:
    wanted = greedy(micro, ASKED)
    with pytest.raises(DataError, match=message) as refused:
        micro.swap(make(tmp_path / "other"))
    assert "one vLLM engine cannot serve" in str(refused.value)
    assert greedy(micro, ASKED) == wanted


@needs_vllm
def test_leaving_gives_the_memory_back_and_signals_stay_ours() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with load_generator(VLLM, BASE) as engine:
        greedy(engine, ["a"])
        worker = engine.llm.llm_engine.model_executor.driver_worker.worker  # type: ignore[attr-defined]
        model = weakref.ref(worker.model_runner.get_model())
        del worker
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert model() is None


@needs_vllm
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tensor_parallel": 2}, "tensor_parallel = 2 asks for as many GPUs"),
        ({"kv_cache_gib": 0.0001}, r"(?s)does not fit.*kv_cache_gib = 0\.0001"),
        ({"max_model_len": 4096, "kv_cache_gib": 0.1}, "max_model_len = 4096"),
    ],
    ids=["gpus", "cache", "context"],
)
def test_what_the_machine_or_the_model_cannot_is_said_at_the_start(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_generator(VLLM.changed(vllm=settings), BASE)


@needs_vllm
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: (path / "config.json").unlink(), "no config.json"),
        (lambda path: (path / "model.safetensors").rename(path / "pytorch_model.bin"), "no weights as safetensors"),
        (lambda path: (path / "model.safetensors").write_bytes(b"\x08"), "no whole safetensors file"),
        (lambda path: (path / "config.json").write_text('{"model_type": "unheard-of"}'), "unheard-of"),
        (lambda path: (path / "tokenizer.json").unlink(), "tokenizer"),
    ],
    ids=["no-config", "pickle", "torn", "unknown", "no-tokenizer"],
)
def test_a_folder_that_is_no_usable_model_is_refused(tmp_path: Path, harm: Any, message: str) -> None:
    shutil.copytree(BASE, tmp_path, dirs_exist_ok=True)
    harm(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        load_generator(VLLM, tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_without_vllm_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match="images/vllm"):
        load_generator(VLLM, BASE)


def test_a_pool_of_engines_that_cannot_swap_keeps_them_all(tmp_path: Path) -> None:
    cfg = Inference(engine="echo")
    folders = [tmp_path / name for name in "ab"]
    for path in folders:
        path.mkdir()
    with ExitStack() as stack:
        pool = stack.enter_context(generator_pool(cfg, [lambda path=path: path for path in folders]))
        turns = [list(pool.turn()) for _ in range(2)]
    assert [place for place, _ in turns[0]] == [0, 1]
    assert [(place, id(engine)) for place, engine in turns[0]] == [(place, id(engine)) for place, engine in turns[1]]


def test_how_vllm_runs_is_no_part_of_a_key_and_what_it_reads_is() -> None:
    plain = Respond(engine="vllm")
    tuned = Respond(engine="vllm", vllm=Vllm(tensor_parallel=4, kv_cache_gib=8, enforce_eager=True))
    short = Respond(engine="vllm", vllm=Vllm(max_model_len=2048))
    assert plain.keyed() == tuned.keyed() != short.keyed()
    assert Respond(vllm=Vllm(max_model_len=2048)).keyed() == Respond().keyed()  # hf does not read it
    for cfg in (plain, tuned, short, Evaluate(), Evaluate(vllm=Vllm())):
        assert type(cfg).model_validate_json(cfg.model_dump_json()) == cfg
    assert "vllm" not in plain.model_dump()
    assert tuned.model_dump()["vllm"]["tensor_parallel"] == 4
