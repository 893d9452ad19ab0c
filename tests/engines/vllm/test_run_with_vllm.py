"""The whole recipe with ``engine = "vllm"``, selected by one setting: few prompts, one round."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma.config import load
from alma.recipes.alma import alma
from alma.running.local import Local
from alma.store import open_store

ROOT = Path(__file__).parents[3]
FEW = [
    "alma.engine=vllm",
    "alma.vllm.kv_cache_gib=0.1",
    "alma.vllm.parts_per_turn=2",
    "alma.rounds=1",
    "alma.synthesize.num_attempts=300",
    "alma.synthesize.part_rows=100",
    "alma.diversify.num_clusters=20",
    "alma.distill.enabled=false",
    "alma.distill.num_prompts=10",
    "alma.respond.num_prompts=20",
    "alma.respond.num_samples=4",
    "alma.respond.part_rows=16",
    "alma.judge.part_rows=16",
    "alma.initial.epochs=1",
    "alma.judge_seed.epochs=1",
    "alma.train.epochs=1",
    "alma.curve.enabled=false",
]


def test_the_micro_recipe_runs_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl", reason="trl, with which the recipe trains, is not installed: make vllm")
    run_file = ROOT / "examples" / "micro.toml"
    store = open_store(str(tmp_path))
    local = Local(store, run_file.parent, lambda *_: None, isolate=False)
    alma(load(run_file, FEW), local)
    by_stage: dict[str, list[str]] = {}
    for label, manifest in local.done.items():
        by_stage.setdefault(manifest.stage, []).append(label)
        assert manifest.section.get("engine", "vllm") == "vllm"
    assert set(by_stage) >= {"synthesize", "embed", "respond", "judge", "finetune", "evaluate", "report"}
    responses = local.done[by_stage["respond"][-1]]
    assert (responses.num_rows, len(responses.files)) == (80, 5)
    matches = [float(local.done[label].metrics["exact_match"]) for label in by_stage["evaluate"]]
    assert len(matches) == 4, "the base, the base behind examples, round 1 and round 2"
    assert 0.0 < matches[0] < 0.3 < min(matches[1:]) < 1.0, "what the base answers without examples is mostly wrong"
    assert list(tmp_path.glob("report/*/**/report.html"))
