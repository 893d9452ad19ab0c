"""Rows that are turned by their own length, whatever lies beside them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding
from transformers.models.phi3.modeling_phi3 import Phi3RotaryEmbedding

from alma.engines.hf.rotary import Borders, borders_of, by_row

BORDER, HEAD_DIM = 8, 8
SHAPE = {
    "vocab_size": 16,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "pad_token_id": 0,
}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0, 1.5, 2.0, 2.5],
    "long_factor": [3.0, 4.0, 5.0, 6.0],
    "original_max_position_embeddings": BORDER,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=5)


def turned(kind: str) -> tuple[Any, Any]:
    """A model that turns each row by its own length, and transformers' own embedding."""
    torch.manual_seed(0)
    if kind == "longrope":
        config = Phi3Config(**SHAPE, max_position_embeddings=64, rope_parameters=LONGROPE)
        config.original_max_position_embeddings = BORDER
        model, own = Phi3ForCausalLM(config), Phi3RotaryEmbedding(config)
    else:
        config = LlamaConfig(**SHAPE, max_position_embeddings=BORDER, rope_parameters=DYNAMIC)
        model, own = LlamaForCausalLM(config), LlamaRotaryEmbedding(config)
    by_row(model.eval())
    return model, own


MODELS = {kind: turned(kind) for kind in ("longrope", "dynamic")}


def alone(kind: str, length: int) -> torch.Tensor:
    """Cosines of a text of this length by a fresh embedding: (T, D)."""
    own = type(MODELS[kind][1])(MODELS[kind][1].config)
    cosines: torch.Tensor = own(torch.zeros(1, 1, 1), torch.arange(length)[None])[0][0]
    return cosines


def embedding(kind: str) -> Any:
    return MODELS[kind][0].model.rotary_emb


@pytest.mark.parametrize("kind", MODELS)
@given(lengths=LENGTHS)
@settings(max_examples=30)
def test_texts_in_one_row_are_turned_as_each_alone(kind: str, lengths: list[int]) -> None:
    positions = torch.tensor([[place for length in lengths for place in range(length)]])
    found = embedding(kind)(torch.zeros(1, 1, 1), positions)[0][0]
    for part, length in zip(found.split(lengths), lengths, strict=True):
        torch.testing.assert_close(part, alone(kind, length))


@pytest.mark.parametrize("kind", MODELS)
@given(lengths=LENGTHS)
@settings(max_examples=30)
def test_rows_side_by_side_are_turned_as_each_alone(kind: str, lengths: list[int]) -> None:
    width = max(lengths)
    positions = torch.tensor([[min(place, length - 1) for place in range(width)] for length in lengths])
    found = embedding(kind)(torch.zeros(1, 1, 1), positions)[0]
    for row, length in zip(found, lengths, strict=True):
        torch.testing.assert_close(row[:length], alone(kind, length))


@pytest.mark.parametrize("kind", MODELS)
@given(length=st.integers(2, 20), data=st.data())
@settings(max_examples=30)
def test_a_part_is_turned_by_the_stated_length_of_the_whole(kind: str, length: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, length - 1))
    borders = borders_of(MODELS[kind][0])
    assert borders is not None
    with borders.stated([length]):
        found = embedding(kind)(torch.zeros(1, 1, 1), torch.arange(start, length)[None])[0][0]
    assert borders.lengths_B is None
    torch.testing.assert_close(found, alone(kind, length)[start:])


@given(borders=st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=3), lengths=LENGTHS)
def test_texts_of_one_kind_lie_on_one_side_of_every_border(borders: list[tuple[int, bool]], lengths: list[int]) -> None:
    found = Borders(tuple(borders))
    for one in lengths:
        for other in lengths:
            alike = all(
                one == other or (max(one, other) <= border) or (min(one, other) > border and not each)
                for border, each in borders
            )
            assert (found.kind(one) == found.kind(other)) == alike


def test_a_model_without_borders_is_left_alone() -> None:
    model = LlamaForCausalLM(LlamaConfig(**SHAPE))
    by_row(model)
    assert borders_of(model) is None
