"""``proof.json``: what is written is read, and nothing else is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alma.engines.ways import PROOF, SAFEST, Finding, Proof, Ways, proof_of, ways_of
from alma.errors import DataError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
WAYS = st.builds(
    Ways,
    packed=st.booleans(),
    right=st.booleans(),
    left=st.booleans(),
    cache=st.sampled_from(["shared", "own", "none"]),
    prefix=st.booleans(),
)
DIFFERS = st.none() | st.floats(min_value=0, allow_nan=False)
FINDINGS = st.lists(st.builds(Finding, check=TEXT, differs=DIFFERS, problem=TEXT, chosen=TEXT), max_size=3)
PROOFS = st.builds(Proof, model_type=TEXT, ways=WAYS, findings=FINDINGS.map(tuple), refusal=TEXT)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(TEXT, each, max_size=3),
)
GOOD = Proof("llama", SAFEST, (Finding("a text read twice", 0.0),))

same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@same_folder
@given(proof=PROOFS)
def test_what_is_written_is_read(proof: Proof, tmp_path: Path) -> None:
    proof.write(tmp_path / PROOF)
    assert Proof.read(tmp_path / PROOF) == proof


@same_folder
@given(content=st.binary(max_size=60) | JSON.map(lambda each: json.dumps(each).encode()))
def test_anything_else_is_no_proof(content: bytes, tmp_path: Path) -> None:
    (tmp_path / PROOF).write_bytes(content)
    with pytest.raises(DataError, match=r"is no proof of a model.*remove it"):
        Proof.read(tmp_path / PROOF)


@same_folder
@given(data=st.data())
def test_one_value_of_another_type_is_no_proof(data: st.DataObject, tmp_path: Path) -> None:
    value: dict[str, Any] = dataclasses.asdict(GOOD)
    place = data.draw(st.sampled_from([value, value["ways"], value["findings"][0]]))
    name = data.draw(st.sampled_from(sorted(place)))
    kinds: tuple[type, ...] = (int, float, type(None)) if name == "differs" else (type(place[name]),)
    place[name] = data.draw(JSON.filter(lambda each: type(each) not in kinds))
    if isinstance(place[name], list) and name == "findings":
        place[name] = {}
    (tmp_path / PROOF).write_text(json.dumps(value))
    with pytest.raises(DataError, match=f"is no proof of a model.*{name}"):
        Proof.read(tmp_path / PROOF)


def test_a_setting_that_nobody_knows_is_no_proof(tmp_path: Path) -> None:
    value = dataclasses.asdict(GOOD)
    value["ways"]["sideways"] = True
    (tmp_path / PROOF).write_text(json.dumps(value))
    with pytest.raises(DataError, match=r"ways\.sideways"):
        Proof.read(tmp_path / PROOF)


def test_the_proof_in_a_folder_is_believed(tmp_path: Path) -> None:
    GOOD.write(tmp_path / PROOF)
    assert ways_of(tmp_path) == SAFEST


def test_a_refused_model_is_refused_by_its_folder(tmp_path: Path) -> None:
    dataclasses.replace(GOOD, refusal="it cannot be used").write(tmp_path / PROOF)
    with pytest.raises(DataError, match=f"{tmp_path}: it cannot be used"):
        proof_of(tmp_path)
