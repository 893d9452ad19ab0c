"""The table of objectives, and that nothing else knows one by its name."""

import importlib.util
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

import alma
from alma.artifact.records import SCHEMAS
from alma.config import parse
from alma.config.isara import Isara
from alma.objectives import OBJECTIVES, policy_objectives
from alma.sections import Finetune
from alma.sections.section import QUIET

NAMES = sorted(OBJECTIVES)

SOURCES = {
    "base": {"source": "base"},
    "sft_seeds": {"source": "seeds.jsonl"},
    "score_seeds": {"source": "scores.jsonl"},
    "evaluation_prompts": {"source": "prompts.jsonl"},
}


def method(**settings: Any) -> Any:
    return parse({"alma": SOURCES | settings}, "here")


def test_the_setting_names_the_objectives_of_the_table() -> None:
    assert sorted(get_args(Finetune.model_fields["objective"].annotation)) == NAMES


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="trl is not installed: uv pip install '.[train]'")
@pytest.mark.parametrize("name", NAMES)
def test_trl_trains_every_objective_and_joins_what_a_reference_thinks_where_one_is_read(name: str) -> None:
    from alma.engines.trl.objective import OBJECTIVES as TRAINED
    from alma.engines.trl.objective import load_objective

    assert sorted(TRAINED) == NAMES
    assert (load_objective(name).with_reference is not None) == OBJECTIVES[name].reads_reference


@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_of_a_row_is_there(name: str) -> None:
    for schema, source in OBJECTIVES[name].sources.items():
        assert set(source.columns) <= set(SCHEMAS[schema].names)


@pytest.mark.parametrize("name", NAMES)
def test_an_objectives_own_defaults_are_settings_that_are_always_written(name: str) -> None:
    defaults = OBJECTIVES[name].defaults
    Finetune.model_validate(defaults)
    assert not [setting for setting in defaults if QUIET in Finetune.model_fields[setting].metadata]
    assert "objective" not in defaults


def test_an_objectives_own_defaults_hold_where_the_run_file_says_nothing() -> None:
    pairs = {"select": {"pairs": "best_vs_worst"}}
    assert method().train.learning_rate == 1e-5
    for settings in (pairs, pairs | {"train": {"objective": "dpo"}}, pairs | {"engine": "echo"}):
        cfg = method(**settings)
        assert (cfg.train.objective, cfg.train.learning_rate, cfg.train.beta) == ("dpo", 5e-7, 0.1)
        assert cfg.initial.learning_rate == cfg.judge_seed.learning_rate == 1e-5
    own = method(**pairs, train={"learning_rate": 1e-5})  # the section's own default, and yet the user's word
    assert (own.train.learning_rate, own.train.beta) == (1e-5, 0.1)
    assert parse({"alma": own.model_dump(mode="json")}, "here") == own


def test_what_a_method_says_of_its_usual_objective_is_not_said_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "sft", replace(OBJECTIVES["sft"], defaults={"learning_rate": 0.5, "epochs": 7}))
    usual = Isara.shared({})["train"]

    def trained(given: dict[str, Any]) -> dict[str, Any]:
        return Isara._for_objective("train", usual, given)

    assert usual["learning_rate"] == 2e-5
    assert (trained({})["learning_rate"], trained({})["epochs"]) == (2e-5, 1)
    assert trained({"objective": "dpo"})["learning_rate"] == 5e-7
    assert trained({"objective": "dpo"})["batch_rows"] == usual["batch_rows"]


def test_a_judge_is_not_packed_unless_the_run_file_says_so() -> None:
    assert not method().judge_seed.packing
    assert method(judge_seed={"packing": True}).judge_seed.packing
    assert method().train.packing


def test_another_objective_for_the_same_rows_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OBJECTIVES, "sft", replace(OBJECTIVES["sft"], sources=OBJECTIVES["dpo"].sources))
    assert policy_objectives("preference") == ("sft", "dpo")
    pairs = {"select": {"pairs": "best_vs_worst"}}
    assert method(**pairs).train.objective == "sft"
    assert method(**pairs).reference is None
    assert method(**pairs, train={"objective": "dpo"}).reference is not None


def test_tokens_of_a_row() -> None:
    sft, dpo, judge = OBJECTIVES["sft"], OBJECTIVES["dpo"], OBJECTIVES["judge"]
    assert (sft.num_tokens(10, 20, 100), dpo.num_tokens(10, 20, 100)) == (30, 60)
    assert (sft.num_tokens(10, 20, 25), dpo.num_tokens(10, 20, 25)) == (25, 50)
    assert judge.num_tokens(10, 20, 1000) > sft.num_tokens(10, 20, 1000)


def test_no_objective_is_asked_for_by_its_name() -> None:
    for path in Path(alma.__file__).parent.rglob("*.py"):
        assert not re.search(r"objective (==|!=|in \()", path.read_text(encoding="utf-8")), path
