"""What of the ``vllm`` engine can be said without vLLM; the rest is in ``tests/engines/vllm``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from alma.engines import load_generator
from alma.errors import ConfigError
from alma.sections import Evaluate, Inference, Respond, Vllm

BASE = Path(__file__).parents[2] / "examples" / "micro" / "base"


def test_without_vllm_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ConfigError, match="images/vllm"):
        load_generator(Inference(engine="vllm"), BASE)


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
