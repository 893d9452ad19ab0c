"""A model is proven on a miniature of itself: what does not hold is left off, and said."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from alma.cli import main
from alma.engines.probe import checks
from alma.engines.probe import prove as proving
from alma.engines.probe.miniature import NUM_IDS, miniature
from alma.engines.probe.prove import TOLERANCE, prove, prove_config
from alma.engines.trl.trial import safe
from alma.engines.ways import PROOF, SAFEST, Proof, Ways, proof_of, ways_of
from alma.errors import ConfigError, DataError, NoSpaceError
from tests.builders.architectures import tiny
from tests.builders.training import place, settings

PHI3 = {
    "hidden_size": 3072,
    "num_attention_heads": 32,
    "original_max_position_embeddings": 4096,
    "max_position_embeddings": 131072,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0 + place / 10 for place in range(48)],
        "long_factor": [4.0 + place for place in range(48)],
        "original_max_position_embeddings": 4096,
    },
}


@pytest.mark.parametrize("within", [{}, {"hidden_size": 8}])
def test_a_config_within_one_that_has_none_is_refused(tmp_path: Path, within: dict[str, int]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "text_config": within}))
    with pytest.raises(DataError, match="is no config of a model within it; take it out"):
        prove(tmp_path)


@pytest.mark.parametrize(
    ("model_type", "changes", "expected"),
    [
        ("llama", {}, Ways()),
        ("gemma2", {}, Ways()),
        ("phi3", PHI3, Ways()),
        ("falcon", {}, Ways(packed=False)),
        ("opt", {}, Ways(packed=False)),
        ("jamba", {}, Ways(packed=False, prefix=False)),
        ("recurrent_gemma", {}, Ways(packed=False, left=False, cache="own", prefix=False)),
        ("minimax", {}, Ways(packed=False, cache="none", prefix=False)),
    ],
)
def test_published_architectures(model_type: str, changes: dict[str, Any], expected: Ways) -> None:
    proof = prove_config(AutoConfig.for_model(model_type, **changes))
    assert (proof.model_type, proof.refusal) == (model_type, "")
    assert proof.ways == expected
    assert bool(proof.left_off) == (expected != Ways())
    assert all(each.differs is None or each.differs == 0 or each.differs > TOLERANCE for each in proof.findings)


def test_texts_on_both_sides_of_a_rotary_border_are_tried() -> None:
    found = [each.check for each in prove_config(AutoConfig.for_model("phi3", **PHI3)).findings]
    assert "joined into one row, on both sides of the rotary border" in found
    assert not any("border" in each.check for each in prove_config(AutoConfig.for_model("llama")).findings)


def test_a_model_of_no_known_shape_is_run_in_the_safest_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(_: Any) -> Any:
        raise DataError("no miniature of odd can be built: it needs 9 GB")

    monkeypatch.setattr(proving, "miniature", cannot)
    proof = prove_config(AutoConfig.for_model("llama"))
    assert proof.ways == SAFEST
    assert [each.problem for each in proof.left_off] == ["no miniature of odd can be built: it needs 9 GB"]


def test_a_miniature_is_small_and_the_same_every_time() -> None:
    large = AutoConfig.for_model("llama", num_hidden_layers=80, hidden_size=8192, num_attention_heads=64)
    with proving._apart():
        one, other = miniature(large), miniature(large)
    assert sum(each.numel() for each in one.parameters()) < 10_000_000
    assert one.get_input_embeddings().num_embeddings == NUM_IDS
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_proving_leaves_random_numbers_as_they_were(tmp_path: Path) -> None:
    folder = tiny("gpt2", tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    prove(folder)
    assert torch.equal(torch.rand(3), expected)


def test_a_model_that_keeps_state_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "twice", lambda *_: 0.5)
    proof = prove_config(AutoConfig.for_model("llama"))
    assert "a model of type llama cannot be used: what it says depends on what it has read before" in proof.refusal
    assert "differ by up to 0.5" in proof.refusal


def test_a_limit_of_the_machine_is_no_fault_of_the_model() -> None:
    """A model would be refused, or run in the safest way for ever, because a disk was full for a moment."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most[1]))
    try:
        with pytest.raises(NoSpaceError, match=r"temporary files in .*TMPDIR.*File too large.*ulimit -f"):
            prove_config(AutoConfig.for_model("llama"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)


def test_what_is_no_number_is_a_problem_and_no_difference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nothing = torch.full((2, 2), torch.nan)
    monkeypatch.setattr(checks, "left", lambda *_: checks.difference(nothing, nothing))
    proof = prove_config(AutoConfig.for_model("llama"))
    [found] = [each for each in proof.left_off if "padded on the left" in each.check]
    assert (found.differs, found.problem) == (None, "log-probabilities that are no numbers")
    proof.write(tmp_path / PROOF)
    assert "Infinity" not in (tmp_path / PROOF).read_text()
    assert Proof.read(tmp_path / PROOF) == proof


def test_the_file_says_how_a_model_is_run(tmp_path: Path) -> None:
    folder = tiny("llama", tmp_path)
    proof = proof_of(folder)
    assert proof.ways == Ways()
    replace(proof, ways=SAFEST).write(folder / PROOF)
    assert ways_of(folder) == SAFEST
    replace(proof, refusal="it is not used").write(folder / PROOF)
    with pytest.raises(DataError, match="it is not used"):
        ways_of(folder)
    (folder / PROOF).write_text('{"ways": {"packed": true}}')
    with pytest.raises(DataError, match="is no proof of a model"):
        ways_of(folder)


def test_equal_models_have_equal_proofs(tmp_path: Path) -> None:
    texts = []
    for name in ("one", "other"):
        prove(tiny("mamba", tmp_path / name)).write(tmp_path / f"{name}.json")
        texts.append((tmp_path / f"{name}.json").read_bytes())
    assert texts[0] == texts[1]
    assert Proof.read(tmp_path / "one.json").ways.packed is False


@pytest.mark.parametrize(
    ("objective", "ways", "packing", "micro_batch_rows"),
    [
        ("sft", Ways(), True, 4),
        ("sft", Ways(packed=False), False, 4),
        ("sft", Ways(packed=False, right=False), False, 1),
        ("judge", Ways(packed=False, right=False), True, 4),
        ("judge", Ways(left=False), True, 1),
        ("dpo", Ways(packed=False, left=False), True, 4),
    ],
)
def test_a_training_leaves_off_what_is_not_safe(
    tmp_path: Path, objective: str, ways: Ways, packing: bool, micro_batch_rows: int
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    Proof("odd", ways, ()).write(folder / PROOF)
    cfg = safe(settings(objective, packing=True, micro_batch_rows=4), place(folder, tmp_path, []))
    assert (cfg.packing, cfg.micro_batch_rows) == (packing, micro_batch_rows)


@pytest.mark.parametrize(("micro_batch_rows", "num_said"), [(4, 1), (1, 0)])
def test_rows_that_nothing_can_join_are_padded_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, micro_batch_rows: int, num_said: int
) -> None:
    monkeypatch.setattr("alma.engines.trl.trial.is_padding_free", lambda: False)
    Proof("odd", Ways(), ()).write(tmp_path / PROOF)
    training = place(tmp_path, tmp_path, [])
    said: list[str] = []
    monkeypatch.setattr(training.remote, "say", said.append)
    cfg = safe(settings("sft", packing=True, micro_batch_rows=micro_batch_rows), training)
    assert cfg.packing == (num_said == 0)
    assert len(said) == num_said
    assert all("padded, not joined" in each and "flash-attn" in each for each in said)


def test_dpo_is_refused_where_two_rows_cannot_be_read_at_once(tmp_path: Path) -> None:
    Proof("odd", Ways(right=False), ()).write(tmp_path / PROOF)
    with pytest.raises(ConfigError, match="objective = 'dpo' reads chosen and rejected responses side by side"):
        safe(settings("dpo"), place(tmp_path, tmp_path, []))


def test_the_command_prints_what_was_proven(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny("falcon", tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["probe", str(folder)])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "joined into one row" in said
    assert "rows of a training are padded, not joined" in said
    assert "1 of 8 do not hold" in said
    with pytest.raises(SystemExit):
        main(["probe", str(folder), "--json"])
    assert json.loads(capsys.readouterr().out)["ways"]["packed"] is False


def test_the_command_refuses_what_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = AutoConfig.for_model("bert", num_hidden_layers=2, architectures=["BertLMHeadModel"])
    config.save_pretrained(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["probe", str(tmp_path)])
    assert ended.value.code == 2
    assert "it sees what comes later" in capsys.readouterr().err
