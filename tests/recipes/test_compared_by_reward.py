"""The whole recipe with a reward model beside its judge, which also compares with another model's answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from alma.artifact import Manifest, Rows
from tests.builders.ingested import write_lines
from tests.builders.recipe import ROOT, Ran, settings

NUM_PROMPTS = 10
TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"


def write_reward_model(folder: Path) -> None:
    """The micro base with a head of one number; the echo engine reads nothing of it but its name."""
    base = ROOT / "examples" / "micro" / "base"
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((base / name).read_bytes())
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config |= {"architectures": ["LlamaForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = load_file(base / "model.safetensors")
    weights.pop("lm_head.weight", None)
    save_file(weights | {"score.weight": torch.ones(1, config["hidden_size"])}, folder / "model.safetensors")


@pytest.mark.slow
def test_the_higher_reward_wins_and_a_comparators_is_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alma.win_rate.NUM_RESAMPLES", 30)
    write_reward_model(tmp_path / "rm")
    lines = (ROOT / "examples" / "micro" / "eval_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines[:NUM_PROMPTS]]
    write_lines(tmp_path / "answers.jsonl", [{"prompt": each, "response": "an answer"} for each in prompts])
    model = f'model={{source="{tmp_path / "rm"}", chat_template="{TEMPLATE}"}}'
    other = f'name="other", kind="answers", by="rm", answers={{source="{tmp_path / "answers.jsonl"}"}}'
    ran = Ran(
        settings(
            f"alma.evaluation_prompts.limit={NUM_PROMPTS}",
            *("alma.rounds=1", "alma.distill.enabled=false", "alma.curve.enabled=false", "alma.base_shots=0"),
            f'alma.evaluators=[{{name="rm", kind="reward", {model}}}, {{{other}}}]',
        ),
        tmp_path / "store",
        pages=False,
    )

    def rows(manifest: Manifest) -> list[dict[str, object]]:
        found: list[dict[str, object]] = Rows(ran.store, manifest).table().to_pylist()
        return found

    theirs = rows(ran.manifest("other rewards"))
    assert len(theirs) == NUM_PROMPTS
    assert len([label for label in ran.local.done if "rewards" in label]) == 1
    for point in ("round 00", "round 01", "round 02"):
        ours = {row["result_id"]: row["score"] for row in rows(ran.manifest(f"{point} · evaluate rm"))}
        compared = rows(ran.manifest(f"{point} · evaluate other"))
        assert [row["score"] for row in compared] == [ours[row["result_id"]] for row in compared]
        assert {row["other_score"] for row in compared} == {row["score"] for row in theirs}
        wins = [float(row["score"] > row["other_score"]) for row in compared]  # type: ignore[operator]
        assert [row["preference"] for row in compared] == wins
        assert ran.manifest(f"{point} · evaluate other").metrics["win_rate"] == pytest.approx(np.mean(wins))
