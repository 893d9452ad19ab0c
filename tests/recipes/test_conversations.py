"""The whole recipe with the echo engine on rows that are conversations, a second turn among what it evaluates with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alma.artifact import Artifact, Page, Rows
from alma.config import Alma
from alma.monitor.trace import trace
from alma.sections import Section
from tests.builders.ingested import write_lines
from tests.builders.recipe import Ran, settings

CHAT = (
    "{% for m in messages %}{% if loop.first %}<s>{% endif %}{% if m['role'] == 'assistant' %}"
    "<assistant>{{ m['content'] }}</s>{% else %}{{ '<list>' if m['role'] == 'system' else '<user>' }}{{ m['content'] }}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
FEW = [
    "alma.rounds=1",
    "alma.synthesize.num_attempts=120",
    "alma.synthesize.max_shots=3",
    "alma.diversify.num_clusters=8",
    "alma.distill.num_prompts=12",
    "alma.respond.num_prompts=8",
    "alma.respond.num_samples=4",
    "alma.initial.loss_on='all'",
]


def talk(system: bool, *texts: str) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    turns = [{"role": roles[place % 2], "content": text} for place, text in enumerate(texts)]
    return [{"role": "system", "content": "be brief"}, *turns] if system else turns


def sources(folder: Path) -> list[str]:
    """Seeds, scores and evaluation prompts: single, of several turns, with and without a system turn."""
    seeds = [
        {"messages": talk(i % 2 == 0, f"copy ab{i}", "ab", *(["and on", "ba"] if i % 3 else []))} for i in range(9)
    ]
    scores = [
        {"messages": talk(False, f"double {i}", "ii", "sure", f"yes {score}"), "score": score}
        for i in range(6)
        for score in (2, 8)
    ]
    asked = [{"prompt": f"sort {i}", "family": "sort"} for i in range(4)]
    asked += [{"messages": [*talk(False, f"sort {i}"), *talk(False, "and back")], "family": "turn 2"} for i in range(4)]
    asked += [{"messages": talk(True, "last abc"), "family": "system"}]
    write_lines(folder / "seeds.jsonl", seeds)
    write_lines(folder / "scores.jsonl", scores[:8])
    write_lines(folder / "heldout.jsonl", scores[8:])
    write_lines(folder / "asked.jsonl", asked)
    files = {"sft_seeds": "seeds", "score_seeds": "scores", "heldout_scores": "heldout", "evaluation_prompts": "asked"}
    named = [f"alma.{section}.source={str(folder / file)!r}.jsonl'" for section, file in files.items()]
    return [each.replace("'.jsonl'", ".jsonl'") for each in named] + [f"alma.{each}.turns='all'" for each in files]


class OnePage(Ran):
    """A run that writes its last report alone."""

    def do_without_pages(self, stage: str, section: Section, *, label: str, **inputs: Any) -> Any:
        skip = stage == "report" and label != "round 02 · report"
        return None if skip else self.local(stage, section, label=label, **inputs)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("talks")
    cfg: Alma = settings(*FEW, *sources(folder), f"alma.base.chat_template={json.dumps(CHAT)}")
    return OnePage(cfg, folder / "store", pages=False)


def rows(ran: Ran, label: str) -> list[dict[str, Any]]:
    found = Artifact.open(ran.store, ran.manifest(label).ref)
    assert isinstance(found, Rows)
    return found.table().to_pylist()


def told(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in row["earlier"] or ()]


def test_a_second_turn_follows_the_checkpoint_s_own_answer(ran: Ran) -> None:
    for label in ("round 00 · evaluate", "round 01 · evaluate", "round 02 · evaluate"):
        found = {(row["family"], i % 4): row for i, row in enumerate(rows(ran, label))}
        for i in range(4):
            first, second = found["sort", i], found["turn 2", i]
            assert told(second) == [("user", f"sort {i}"), ("assistant", first["response"])]
        assert told(found["system", 0]) == [("system", "be brief")]
    few_shot = rows(ran, "round 00 · evaluate few-shot")  # behind the same examples
    for first, second in zip(few_shot[:4], few_shot[4:8], strict=True):
        assert first["shot_ids"] == second["shot_ids"]
        assert told(second) == [("user", first["prompt"]), ("assistant", first["response"])]


def test_what_is_trained_on_holds_its_conversations(ran: Ran) -> None:
    seeds, data = rows(ran, "SFT seeds"), rows(ran, "round 02 · select")
    assert [(row["earlier"], row["prompt"], row["response"]) for row in data[: len(seeds)]] == [
        (row["earlier"], row["prompt"], row["response"]) for row in seeds
    ]
    assert {len(told(row)) for row in seeds} == {0, 1, 2, 3}
    assert all(row["earlier"] is None for row in data[len(seeds) :]), "prompts that the base wrote are single"
    assert ran.manifest("judge · validate").metrics["num_pairs"] > 0


def test_the_curve_is_of_prompts_that_can_be_asked_at_once(ran: Ran) -> None:
    curve = rows(ran, "round 01 · best-of-n respond")
    assert {row["prompt_id"] for row in curve} == {
        row["prompt_id"] for row in rows(ran, "round 01 · evaluate") if row["family"] != "turn 2"
    }


def test_the_page_shows_who_said_what(ran: Ran) -> None:
    page = Artifact.open(ran.store, ran.manifest("round 02 · report").ref)
    assert isinstance(page, Page)
    text = (page.folder / "report.html").read_text(encoding="utf-8")
    assert '["system","be brief"]' in text
    second = rows(ran, "round 02 · evaluate")[4]
    assert trace(ran.store, second["id"]).values["earlier"] == second["earlier"]
