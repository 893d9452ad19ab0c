"""What a real model answers follows from what it is asked: not from parts, batches, rows' ids, or who else answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alma.artifact import Model
from alma.sections import Respond, Sampling
from alma.stages import respond
from tests.builders.bench import Bench

BASE = Path(__file__).parents[2] / "examples" / "micro" / "base"
TEMPLATE = "{% for message in messages %}<user>{{ message['content'] }}{% endfor %}<assistant>"
CFG = Respond(num_samples=4, num_prompts=None, seed=3, sampling=Sampling(temperature=1.0, max_new_tokens=6))
TEXTS = ["sort bca", "reverse abcd", "copy x", "first 2 dhjl", "double ab"]


def base(bench: Bench) -> Model:
    return bench.model(BASE, TEMPLATE)


def answers(bench: Bench, texts: list[str], cfg: Respond, **pool: Model) -> list[dict[str, Any]]:
    draws = [{"prompt_id": f"curate-{i}", "prompt": text, "cluster": 0} for i, text in enumerate(texts)]
    return bench.run(respond, cfg, prompts=bench.rows("draw", draws), **pool).table().to_pylist()


def named(rows: list[dict[str, Any]]) -> dict[tuple[str, str, int], tuple[str, int]]:
    """(prompt, checkpoint, seed) → the response and its tokens."""
    return {
        (row["prompt"], row["checkpoint_id"], row["sample_seed"]): (row["response"], row["num_tokens"]) for row in rows
    }


def test_an_answer_follows_from_what_is_asked(bench: Bench) -> None:
    first, second = base(bench), base(bench)
    wanted = answers(bench, TEXTS, CFG, first=first, second=second)
    assert len(named(wanted)) == len(wanted) == 20
    assert len({row["response"] for row in wanted}) > 10, "the answers tell nothing"

    def content(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: value for name, value in row.items() if name not in ("id", "prompt_id")} for row in rows]

    small = CFG.changed(part_rows=4, batch_rows=3)
    assert content(answers(bench, TEXTS, small, first=first, second=second)) == content(wanted)
    # Other prompts in another order, fewer samples, another pool: what is asked in both is answered alike.
    others = answers(bench, ["count aab", *TEXTS[3:1:-1]], CFG, first=first, latest=second)
    alone = answers(bench, TEXTS, CFG.changed(num_samples=2), first=first)
    for rows, num_common in ((others, 2 * 2), (alone, 2 * 5)):
        common = named(rows).keys() & named(wanted).keys()
        assert len(common) == num_common
        assert {each: named(rows)[each] for each in common} == {each: named(wanted)[each] for each in common}
