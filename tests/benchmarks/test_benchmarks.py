"""The benchmarks of the engines run, refuse sides that differ, and write what ``alma plan --rates`` reads.

How fast anything is decides no test. Those that need vLLM are skipped where it is not installed.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from alma.engines.chat import check_chat, load_tokenizer
from alma.plan.rates import read_rates

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the folder, whose files import each other by their names alone."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def module(name: str) -> ModuleType:
        return importlib.import_module(name)

    return module


def run(name: str, folder: Path, *arguments: str) -> tuple[dict[str, Any], Path]:
    """Its result, and where its rates are."""
    out, rates = folder / "result.json", folder / "rates.json"
    given = [*arguments, "--repeats", "1", "--out", str(out)]
    given += [] if name == "swap" else ["--rates", str(rates)]
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *given]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500, cwd=BENCHMARKS.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert result["benchmark"] == name
    assert result["command"].split() == ["python", f"benchmarks/{name}.py", *arguments, "--repeats", "1"]
    assert all(spread["median"] > 0 for spread in result["ratios"].values())
    return result, rates


def test_sizes_are_those_of_the_models_they_are_named_for(load: Any) -> None:
    models = load("models")
    assert models.count_parameters("135m") == 134_515_008  # SmolLM2-135M
    assert models.count_parameters("1b") == 1_235_814_400  # Llama-3.2 1B
    assert models.count_parameters("8b") == 8_030_261_248  # Llama-3 8B


def test_a_random_model_can_be_asked_and_trained(load: Any, tmp_path: Path) -> None:
    models = load("models")
    assert models.llama(tmp_path, "tiny", 20) == models.count_parameters("tiny")
    check_chat(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    assert len(tokenizer) == models.SIZES["tiny"]["vocab_size"], "every token that is sampled has a text"
    asked = models.words(load("random").Random(0), 50)
    ids = tokenizer(asked)["input_ids"]
    assert len(ids) == 50
    assert tokenizer.unk_token_id not in ids


def test_a_ratio_is_ours_over_theirs_within_a_repeat(load: Any) -> None:
    ratios = load("ratios")
    found = ratios.summary(
        ["ours", "theirs"], [[100, 100], [50, 100]], [[1.0, 2.0], [1.0, 4.0]], "tokens", [[1.0, 1.0], [1.0, 1.0]]
    )
    assert found["ratios"] == {"ours ÷ theirs": {"median": 2.0, "min": 2.0, "max": 2.0}}
    assert found["ratios_of_cpu_seconds"] == {"ours ÷ theirs": {"median": 1.5, "min": 1.0, "max": 2.0}}
    assert found["sides"]["ours"]["per_second"] == {"median": 75.0, "min": 50.0, "max": 100.0}


def test_sides_take_turns_at_being_first(load: Any) -> None:
    ratios, order = load("ratios"), []
    sides = [ratios.Side(name, lambda repeat, name=name: order.append((repeat, name)) or 1) for name in "ab"]
    ratios.alternate(sides, 2, "tokens")
    assert order == [(0, "a"), (0, "b"), (1, "b"), (1, "a")]


def test_sft_measures_both_sides_and_their_memory(tmp_path: Path) -> None:
    result, rates = run("sft", tmp_path, "--rows", "16", "--response-tokens", "5", "20")
    ours, theirs = result["sides"].values()
    assert ours["tokens"] == theirs["tokens"]
    for memory in result["memory_gib"].values():
        assert 0 < memory["before"]["median"] < memory["peak"]["median"]
    [rate] = read_rates(rates)
    assert (rate.work, rate.engine) == ("train", "trl")
    assert rate.tokens_per_second == pytest.approx(ours["per_second"]["median"])
    assert rate.parameters == result["model"]["parameters"]


@pytest.mark.vllm
def test_generation_has_the_same_tokens_on_both_sides(tmp_path: Path) -> None:
    result, rates = run("generation", tmp_path, "--prompts", "4", "--samples", "4", "--max-tokens", "8", "--parts", "2")
    assert result["sides"]["alma"]["tokens"] == result["sides"]["LLM.generate, seeded"]["tokens"]
    assert "distilabel" in {*result["sides"], *result["not_measured"]}
    assert [(rate.work, rate.engine) for rate in read_rates(rates)] == [("generate", "vllm")]


@pytest.mark.vllm
def test_judging_reads_the_same_probabilities(tmp_path: Path) -> None:
    result, rates = run("judging", tmp_path, "--prompts", "2", "--responses", "3", "--prompt-tokens", "20")
    assert all(side["responses"] == [6] for side in result["sides"].values())
    [rate] = read_rates(rates)
    assert rate.work == "read"


@pytest.mark.vllm
def test_embedding_reads_the_same_vectors(tmp_path: Path) -> None:
    _, rates = run("embedding", tmp_path, "--prompts", "4")
    assert {(rate.work, rate.engine) for rate in read_rates(rates)} == {("embed", "vllm"), ("embed", "hf")}


@pytest.mark.vllm
def test_swapped_checkpoints_answer_as_fresh_ones(tmp_path: Path) -> None:
    result, _ = run("swap", tmp_path)
    assert result["sides"]["three engines, one by one"]["checkpoints"] == [3]
