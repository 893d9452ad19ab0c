"""``alma plan --gpu-memory``: what fits where, by arithmetic that can be done by hand."""

from __future__ import annotations

import argparse
import json
import re
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alma import plan
from alma.config import load
from alma.engines.model_folder import weight_shapes
from alma.errors import ConfigError
from alma.plan.fit import fits, refuse
from alma.plan.machine import Machine
from alma.plan.serving import Vllm
from alma.plan.shape import Shape, find_config, read_shape
from alma.plan.training import Training
from alma.sections import Finetune, IngestModel, Lora, Respond

EXAMPLES = Path(__file__).parents[2] / "examples"
PAPER = EXAMPLES / "llama3-8b.toml"
LLAMA = read_shape(EXAMPLES / "shapes" / "llama3-8b.json", None)
QWEN = read_shape(EXAMPLES / "shapes" / "qwen2.5-1.5b.json", None)
GIB = 2**30
TRAINED = st.builds(
    Finetune,
    parallel=st.sampled_from(["ddp", "zero2", "zero3"]),
    objective=st.sampled_from(["sft", "dpo", "judge"]),
    adapter=st.sampled_from([None, Lora(), Lora(rank=64, targets=("q_proj", "v_proj"))]),
    activation_checkpointing=st.sampled_from([None, True, False]),
    dtype=st.sampled_from(["auto", "float32"]),
    max_tokens=st.sampled_from([256, 4096]),
)


def machine(gib: float = 80, gpus: int = 1, nodes: int = 1) -> Machine:
    return Machine(gib * GIB, gpus, nodes)


def training(gpus: int = 1, **settings: Any) -> Training:
    return Training.of(Finetune(**settings), LLAMA, machine(gpus=gpus))


def output(*arguments: str | Path, run_file: Path = PAPER) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_file", type=Path)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    plan.add_options(parser)
    plan.run(parser.parse_args([str(run_file), *map(str, arguments)]))


def test_parameters_are_counted_from_the_sizes() -> None:
    assert LLAMA.parameters == 8_030_261_248  # as its card says
    assert QWEN.parameters == 1_543_714_304
    base = EXAMPLES / "micro" / "base"
    written = sum(prod(shape) for shape in weight_shapes(base).values())
    assert read_shape(base / "config.json", None).parameters == written


def test_what_a_parameter_takes() -> None:
    p = LLAMA.parameters
    assert training(dtype="float32").states == 16 * p  # weights, gradients, Adam's two
    assert training().states == 18 * p  # and their bfloat16 copies
    assert training(8, parallel="ddp").states == 22 * p
    assert training(8, parallel="zero2").states == 2 * p + 14 * p / 8
    assert training(8, parallel="zero3").states == 16 * p / 8
    assert training(8).parallel == "zero2", "auto is what the trainer makes of it"


def test_an_adapter_is_trained_in_place_of_the_weights() -> None:
    lora = training(adapter=Lora(rank=16))
    of_a_block = 2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336)
    assert lora.trained == 32 * 16 * of_a_block
    assert lora.states == 4 * LLAMA.parameters + 18 * lora.trained


@given(TRAINED, st.sampled_from([1, 2, 4, 8]), st.integers(1, 4))
def test_more_gpus_and_fewer_rows_never_hold_more(cfg: Finetune, gpus: int, nodes: int) -> None:
    here = Training.of(cfg, LLAMA, machine(gpus=gpus, nodes=nodes))
    more = Training.of(cfg, LLAMA, machine(gpus=2 * gpus, nodes=nodes))
    if here.parallel == more.parallel:  # one device shares with nobody
        assert more.peak <= here.peak
    rows = Training.of(cfg.model_copy(update={"micro_batch_rows": 1}), LLAMA, machine(gpus=gpus, nodes=nodes))
    assert 0 < rows.peak <= here.peak
    held = {name: Training.of(cfg.model_copy(update={"parallel": name}), LLAMA, machine(gpus=8)) for name in SHARED}
    assert held["zero3"].states <= held["zero2"].states <= held["ddp"].states


SHARED = ("ddp", "zero2", "zero3")


def test_keys_and_values_of_a_token() -> None:
    engine = Vllm(Respond(engine="vllm"), LLAMA, 80 * GIB)
    assert engine.kv_token == 2 * 32 * 1024 * 2
    halves = Vllm(Respond(engine="vllm", vllm={"tensor_parallel": 2}), LLAMA, 80 * GIB)
    assert (halves.kv_token, halves.weights) == (engine.kv_token / 2, engine.weights / 2)
    assert engine.at_once == int((0.9 * 80 * GIB - engine.weights - engine.run) // (8192 * engine.kv_token))


def test_what_cannot_fit_is_refused_with_what_would(capsys: pytest.CaptureFixture[str]) -> None:
    shape = ("--model-config", EXAMPLES / "shapes" / "llama3-8b.json")
    with pytest.raises(ConfigError, match=r"16 bytes for a parameter that is trained: 128\.5 GB") as error:
        output("--gpu-memory", "80GiB", "--set", "alma.initial.parallel='none'", *shape)
    assert "what fits where" in capsys.readouterr().out
    (line,) = (each for each in str(error.value).splitlines() if each.startswith("initial"))
    assert "adapter = { rank = 16 }" in line
    gpus = re.search(r"parallel = 'zero3' on (\d+) GPUs", line)
    assert gpus
    section = Finetune(parallel="zero3")
    advised = Training.of(section, LLAMA, machine(gpus=int(gpus[1])))
    assert Training.of(section, LLAMA, machine(gpus=int(gpus[1]) // 2)).states > 0.9 * 80 * GIB > advised.states


def test_what_sees_the_whole_pool_says_how_much_memory_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    on = ("--gpu-memory", "80GiB", "--gpus", "8", "--model-config", EXAMPLES / "shapes" / "llama3-8b.json", "--set")
    output(*on, "alma.synthesize.num_attempts=120_000_000", run_file=EXAMPLES / "llama3-8b.toml")
    held = "prompts · curate 412.8 GB, prompts · diversify 317.8 GB"
    said = " ".join(capsys.readouterr().out.split())
    assert f"for the whole pool, in one process without a GPU: {held}." in said
    output(*on, "alma.curate.near_duplicate='off'", run_file=EXAMPLES / "llama3-8b.toml")
    assert "prompts · curate 120.0 GB" in " ".join(capsys.readouterr().out.split())


REFUSED = {
    "more than half for each of two": (["alma.evaluate.vllm={gpu_memory_share=0.6}"], 8, "is more than half"),
    "no room to start": (["alma.vllm={gpu_memory_share=0.2}"], 8, "What would fit: .*gpu_memory_share"),
    "GPUs that are not there": (["alma.vllm={tensor_parallel=2,data_parallel=8}"], 8, "2 × 8 GPUs, and there are 8"),
    "heads": (["alma.vllm={tensor_parallel=3}"], 3, "does not divide the model's 32 attention heads"),
    "devices": (["alma.train.num_devices=16"], 8, "num_devices = 16 GPUs of one machine, and there are 8"),
    "hf": (["alma.engine='hf'", "alma.respond.batch_rows=4096"], 8, "batch_rows = 4096 needs .* set batch_rows = "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_is_named(name: str) -> None:
    overrides, gpus, said = REFUSED[name]
    cfg = load(PAPER, ["alma.engine='vllm'", *overrides])
    with pytest.raises(ConfigError, match=said):
        refuse(fits(cfg, LLAMA, machine(gpus=gpus), 100))


def test_hf_keeps_all_checkpoints_of_a_round_in_memory() -> None:
    found = {fit.label: fit for fit in fits(load(PAPER, ["alma.engine='hf'"]), LLAMA, machine(), 100)}
    weights = {
        label: dict(fit.parts)["weights"] / (2 * LLAMA.parameters) for label, fit in found.items() if not fit.host
    }
    assert weights == {
        "prompts · synthesize": 1,
        "prompts · embed": 1,
        "judge · respond and 2 more": 2,  # both initial checkpoints, also for round 02 and the curve
        "judge · judge and 13 more": 1,
        "round 00 · evaluate and 12 more": 2,
        "round 03 · respond and 8 more": 3,
    }


BAD = {
    "no unit": (["--gpu-memory", "80"], "write the memory of one GPU as 80GiB"),
    "zero": (["--gpu-memory", "0GiB"], "write the memory of one GPU"),
    "GPUs alone": (["--gpus", "8"], "go with --gpu-memory"),
    "400 digits": (["--gpu-memory", f"{'9' * 400}GiB"], "write the memory of one GPU"),
    "no number": (["--gpu-memory", "80GiB", "--parameters", "1e308"], r"--parameters 1e\+308 is no number from"),
    "config alone": (["--model-config", "x"], "--model-config goes with --gpu-memory"),
    "no config": (["--gpu-memory", "80GiB", "--model-config", "nowhere.json"], "nowhere.json: there is no such"),
}


@pytest.mark.parametrize("name", BAD)
def test_options_that_do_not_fit_are_refused(name: str) -> None:
    arguments, said = BAD[name]
    with pytest.raises(ConfigError, match=said):
        output(*arguments)


def test_a_config_that_is_not_here_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    base = IngestModel(source="hf://owner/name", revision="0" * 40)
    with pytest.raises(ConfigError, match="hf://owner/name is not on this machine; give --model-config FILE"):
        find_config(base, tmp_path, None)


def test_sizes_that_are_missing_are_named(tmp_path: Path) -> None:
    path, sizes = tmp_path / "config.json", json.loads((EXAMPLES / "shapes" / "llama3-8b.json").read_text())
    path.write_text(json.dumps(sizes | {"vocab_size": None}))
    with pytest.raises(ConfigError, match=r"config\.json: vocab_size is None"):
        read_shape(path, None)
    path.write_text(json.dumps(sizes | {"vocab_size": 10**400}))
    with pytest.raises(ConfigError, match=r"vocab_size is 1000.*…, and memory .* from 1 to 1,000,000,000"):
        read_shape(path, None)
    path.write_text(json.dumps(sizes | {"num_attention_heads": 5000}))
    with pytest.raises(ConfigError, match="num_attention_heads is 5,000 and hidden_size 4,096"):
        read_shape(path, None)
    path.write_text(json.dumps({"text_config": None} | sizes))
    assert read_shape(path, None) == read_shape(EXAMPLES / "shapes" / "llama3-8b.json", None)
    path.write_text(json.dumps(sizes | {"text_config": [1]}))
    with pytest.raises(ConfigError, match=r"text_config is \[1\], and no object of sizes"):
        read_shape(path, None)
    path.write_text(json.dumps(sizes | {"model_type": "mamba"}))
    with pytest.raises(ConfigError, match=r"model_type 'mamba'.*give --parameters"):
        read_shape(path, None)
    assert read_shape(path, 5e9).parameters == 5e9
    with pytest.raises(ConfigError, match="holds no object"):
        read_shape(_written(path, "[]"), None)


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@given(st.dictionaries(st.sampled_from(["hidden_size", "num_attention_heads", "head_dim"]), st.integers(-2, 5)))
def test_no_config_makes_anything_but_a_shape_or_a_refusal(changes: dict[str, int]) -> None:
    sizes = json.loads((EXAMPLES / "shapes" / "qwen2.5-1.5b.json").read_text()) | changes
    too_many = "head_dim" not in changes and sizes["num_attention_heads"] > sizes["hidden_size"]
    if min(changes.values(), default=1) < 1 or too_many:
        with pytest.raises(ConfigError, match=r"^config\.json: "):
            Shape.of(sizes, None, "config.json")
    else:
        assert Shape.of(sizes, None, "config.json").parameters > 0
