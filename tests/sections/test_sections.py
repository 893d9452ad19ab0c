"""What a section leaves out of its JSON, and out of the key of what was made with it.

``golden/sections.json`` was recorded when the sections were written; sealed artifacts hang on it. ``make golden`` adds
cases that are new and changes none that is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from alma import sections
from alma.prompts import JUDGE_TEMPLATE
from alma.sections import (
    Answers,
    Chat,
    Curate,
    Diversify,
    Embed,
    Evaluate,
    Finetune,
    Harness,
    Imitate,
    IngestModel,
    IngestRows,
    IngestTasks,
    Judge,
    Reference,
    Report,
    Respond,
    Reward,
    Safety,
    Sampling,
    Section,
    Select,
    Synthesize,
)
from alma.sections.section import Mark

GOLDEN = Path(__file__).parents[1] / "golden" / "sections.json"

OPENAI = {"endpoint": "http://vllm.models:8000/v1", "model": "m"}
ASKED = OPENAI | {"extensions": "vllm", "revision": "2", "retries": 3, "max_concurrent": 2, "top_logprobs": 11}
HARM = {"labels": ("harmful",), "threshold": 0.7}
MACHINE: dict[str, Any] = {
    "micro_batch_rows": 2,
    "num_devices": 4,
    "parallel": "zero3",
    "activation_checkpointing": False,
    "liger": True,
    "checkpoint_steps": 7,
}
JUDGE_END = JUDGE_TEMPLATE.partition("{response}")[2]
SHORT = {"max_model_len": 2048, "tensor_parallel": 2, "prefix_caching": False}


def of(kind: type[Section], /, **values: Any) -> Section:
    return kind.model_validate(values)


CASES: dict[str, Section] = {
    "reward": of(Reward, name="r", model={"source": "m"}),
    "chat": of(Chat, name="c", openai=OPENAI),
    "answers": of(Answers, name="a", answers={"source": "a.jsonl"}, by="c"),
    "safety, changed": of(
        Safety,
        name="s",
        prompts={"source": "p.jsonl", "kind": "prompts"},
        evaluate={"refusals": {"by": "openings", "harmful_families": ["a"]}},
    ),
    "evaluate, refusals": of(
        Evaluate, harm={"labels": ["unsafe"]}, refusals={"by": "either", "labels": ["refusal"], "threshold": 0.7}
    ),
    "harness": of(Harness, name="h", tasks=["gsm8k"]),
    "harness, changed": of(
        Harness,
        name="h",
        tasks=["a", "b"],
        folder={"source": "tasks", "kind": "tasks"},
        num_fewshot=0,
        limit=10,
        chat_template=False,
        seed=1,
        every=2,
    ),
    "ingest tasks": of(IngestTasks, source="tasks"),
    "safety": of(
        Safety,
        name="s",
        prompts={"source": "p.jsonl"},
        classifier={"source": "m"},
        evaluate={"harm": {"labels": ["unsafe"]}},
    ),
    "curate": of(Curate),
    "diversify": of(Diversify),
    "diversify, changed": of(Diversify, method="random", num_clusters=20, per_round=2),
    "embed": of(Embed),
    "embed, vllm": of(Embed, engine="vllm", vllm=SHORT),
    "embed, vllm's default": of(Embed, engine="vllm"),
    "evaluate": of(Evaluate),
    "evaluate, nearest": of(Evaluate, shots="nearest"),
    "evaluate, nearest, changed": of(Evaluate, shots="nearest", num_shots=3, embedding_tokens=9, seed=4),
    "evaluate, random": of(Evaluate, shots="random", seed=4, allow_overlap=True, turns={"header": "x"}),
    "evaluate, no shots": of(Evaluate, num_shots=3, seed=4, embedding_tokens=9, turns={"header": "x"}),
    "evaluate, harm": of(Evaluate, harm=HARM, max_too_long_share=0.1, max_new_tokens=9),
    "evaluate, other half": of(Evaluate, engine="vllm", vllm={"gpu_memory_share": 0.9}),
    "evaluate, vllm": of(Evaluate, engine="vllm", vllm=SHORT),
    "evaluate, openai": of(Evaluate, engine="openai", openai=OPENAI, dtype="float32", batch_rows=3, shots="nearest"),
    "finetune": of(Finetune),
    "finetune, adapter": of(Finetune, adapter={}),
    "finetune, adapter, changed": of(Finetune, adapter={"rank": 4, "targets": ("q_proj",)}, warmup_share=0.1),
    "finetune, mixture": of(Finetune, router_loss=0.01, dropout=True),
    "finetune, dpo": of(Finetune, objective="dpo", beta=0.2, seed=3),
    "finetune, judge": of(Finetune, objective="judge", packing=False, labels="rounded"),
    "finetune, judge, sharpened": of(Finetune, objective="judge", labels="sharpened"),
    "finetune, judge, sharpened, changed": of(Finetune, objective="judge", labels="sharpened", label_temperature=0.25),
    "finetune, temperature not read": of(Finetune, objective="judge", label_temperature=0.25),
    "finetune, adam": of(Finetune, adam_betas=(0.9, 0.95)),
    "finetune, machine": of(Finetune, **MACHINE),
    "imitate": of(Imitate),
    "imitate, judged": of(Imitate, num_answers=4, min_mass=0.1, max_tokens=99),
    "imitate, not judged": of(Imitate, num_answers=1, min_mass=0.1, max_tokens=99),
    "imitate, random": of(Imitate, retrieval="random", embedding_tokens=9, max_too_long_share=0.0),
    "imitate, nearest first": of(Imitate, answer_order="nearest_first", duplicates="shots"),
    "imitate, openai": of(Imitate, engine="openai", openai=ASKED, answer_sampling={}),
    "ingest, model": of(IngestModel, source="base"),
    "ingest, classifier": of(IngestModel, source="hf://a/b", revision="c", task="classification"),
    "ingest, template": of(IngestModel, source="base", chat_template="{{ x }}"),
    "ingest, rows": of(IngestRows, source="rows.jsonl", kind="pairs"),
    "ingest, rows, changed": of(IngestRows, source="rows.jsonl", kind="scores", columns={"prompt": "p"}, limit=3),
    "ingest, rows, held out": of(IngestRows, source="rows.jsonl", kind="prompts", overlap="drop", likeness={}),
    "ingest, rows, system turns": of(IngestRows, source="rows.jsonl", kind="pairs", system_turn="prepend"),
    "judge": of(Judge),
    "judge, openai": of(Judge, engine="openai", openai=ASKED, vllm=SHORT),
    "judge, openai not asked": of(Judge, openai=OPENAI, vllm=SHORT),
    "judge, shots": of(Judge, num_shots=3),
    "judge, shots, changed": of(
        Judge, num_shots=3, shot_end="]", seed=4, variants=("{prompt} | {response}" + JUDGE_END,)
    ),
    "judge, rationale": of(Judge, rationale={}, seed=4),
    "judge, no shots": of(Judge, shot_end="]", seed=4),
    "judge, echo": of(Judge, engine="echo", max_bad_share=0.5, template="{prompt} {response} rating:"),
    "reference": of(Reference),
    "reference, changed": of(Reference, engine="echo", max_tokens=9),
    "report": of(Report),
    "report, arm": of(Report, arm="sft", repeat=0, label="round 03", round=3),
    "report, repeat": of(Report, repeat=2, title="ISARA"),
    "respond": of(Respond),
    "respond, vllm": of(Respond, engine="vllm", vllm=SHORT, dtype="bfloat16", part_rows=9),
    "respond, vllm's memory": of(Respond, engine="vllm", vllm={"kv_cache_gib": 2.0}),
    "respond, penalty": of(Respond, sampling={"repetition_penalty": 1.2}, num_prompts=None),
    "respond, judged otherwise": of(Respond, judge_template="{prompt} {response} rating:"),
    "sampling": of(Sampling),
    "sampling, penalty": of(Sampling, temperature=1.0, repetition_penalty=1.1),
    "sampling, no runs twice": of(Sampling, no_repeat_ngram_size=10),
    "select": of(Select),
    "select, pairs": of(Select, pairs="best_vs_worst", score="risk_averse", risk=0.5, length_tolerance=0.5, round=2),
    "synthesize": of(Synthesize),
    "synthesize, changed": of(Synthesize, sampling={"repetition_penalty": 1.2}, stop=("\n",), max_too_long_share=1.0),
}


def every() -> set[type[Section]]:
    found = {each for each in vars(sections).values() if isinstance(each, type) and issubclass(each, Section)}
    return found - {Section}


def marks(field: FieldInfo) -> list[Mark]:
    return [each for each in field.metadata if isinstance(each, Mark)]


def written(section: Section) -> str:
    """Both JSONs, in the order of their settings; the judge's long template by its name."""
    both = {"dump": section.model_dump(mode="json"), "key": json.loads(json.dumps(section.keyed(), sort_keys=True))}
    return json.dumps(both, ensure_ascii=False).replace(json.dumps(JUDGE_TEMPLATE, ensure_ascii=False), '"JUDGE"')


@pytest.fixture(scope="module")
def recorded(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    if request.config.getoption("--regenerate-golden"):
        found = {name: json.loads(written(section)) for name, section in CASES.items()} | found
        lines = (f"{json.dumps(name)}: {json.dumps(found[name], ensure_ascii=False)}" for name in sorted(found))
        GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return found


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_json_of_a_section_is_as_recorded(recorded: dict[str, Any], name: str) -> None:
    assert name in recorded, "a new case: make golden"
    assert written(CASES[name]) == json.dumps(recorded[name], ensure_ascii=False)


def test_every_stage_has_a_recorded_section(recorded: dict[str, Any]) -> None:
    assert sorted(recorded) == sorted(CASES), "a recorded case stays"
    inner = {
        sections.Harm,
        sections.Likeness,
        sections.Lora,
        sections.OpenAI,
        sections.Rationale,
        sections.Refusals,
        sections.Turns,
        sections.Vllm,
    }
    bases = {sections.Inference, sections.Scoring, sections.Ingest, sections.Outsider}
    assert every() - inner - bases == {type(section) for section in CASES.values()}


def test_no_section_writes_its_own_json_and_an_overriding_field_keeps_the_marks() -> None:
    for kind in every():
        assert not {"keyed", "model_dump", "_write"} & set(vars(kind)), kind
        assert list(kind.__pydantic_decorators__.model_serializers) == ["_write"], kind
        for base in kind.__mro__[1:]:
            for name, field in getattr(base, "model_fields", {}).items():
                assert {*marks(field)} <= {*marks(kind.model_fields[name])}, f"{kind.__name__}.{name}"


def test_what_is_read_or_not_are_settings() -> None:
    for section in CASES.values():
        assert set(section.reads()) <= set(type(section).model_fields)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_section_is_read_back_from_its_json(name: str) -> None:
    section = CASES[name]
    again = type(section).model_validate_json(section.model_dump_json())
    assert again == section
    assert again.keyed() == section.keyed()
