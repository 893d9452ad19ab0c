"""The benchmarks that need vLLM run with ``--quick`` and refuse sides that differ."""

from __future__ import annotations

from pathlib import Path

from tests.builders.benchmarks import run


def test_generation_has_the_same_tokens_on_both_sides(tmp_path: Path) -> None:
    result, _ = run("generation", tmp_path)
    assert result["sides"]["alma"]["tokens"] == result["sides"]["LLM.generate, seeded"]["tokens"]
    assert "distilabel" in {*result["sides"], *result["not_measured"]}


def test_judging_reads_the_same_probabilities(tmp_path: Path) -> None:
    result, _ = run("judging", tmp_path)
    assert all(side["responses"] == [6] for side in result["sides"].values())


def test_embedding_reads_the_same_vectors(tmp_path: Path) -> None:
    result, _ = run("embedding", tmp_path)
    assert len(result["sides"]) == 3


def test_swapped_checkpoints_answer_as_fresh_ones(tmp_path: Path) -> None:
    result, _ = run("swap", tmp_path)
    assert result["sides"]["three engines, one by one"]["checkpoints"] == [3]


def test_both_data_parallels_answer_alike_and_swap(tmp_path: Path) -> None:
    result, _ = run("replicas", tmp_path)
    assert min(result["equal_samples"]) > 0.98
    assert set(result["sides"]) == {"alma", "AsyncLLM", "AsyncLLM, by prompt"}
