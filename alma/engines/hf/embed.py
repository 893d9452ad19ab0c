"""Embedding with transformers: ``HfEmbedder``. Axes: P texts, B rows of a batch, T tokens, D hidden units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from alma.engines.answering import OneByOne
from alma.engines.hf.model import HfModel
from alma.engines.requests import EmbedRequest, Floats, OnTokens
from alma.errors import DataError
from alma.prompts import quote


class HfEmbedder(HfModel, OneByOne[EmbedRequest, Floats]):
    """``alma.engines.Embedder`` over transformers.

    The mean is over the text's own tokens: a BOS that the tokenizer adds is read but not counted, since its vector is
    the same in every text.
    """

    def answer_one(self, request: EmbedRequest, on_tokens: OnTokens) -> Floats:
        """See ``alma.engines.OneByOne``. Longer texts are cut off on the right; one without tokens: ``DataError``."""
        del on_tokens  # embedders count none
        skip = len(self.encode(["x"])[0]) - len(self.tokenizer("x", add_special_tokens=False)["input_ids"])
        room = request.max_tokens if self.context is None else min(request.max_tokens, self.context - skip)
        ids_PT = [ids[: skip + room] for ids in self.encode([quote(text) for text in request.texts_P])]
        for place, ids in enumerate(ids_PT):
            if len(ids) <= skip:
                raise DataError(f"text {place} ({request.texts_P[place]!r}) has no tokens of its own to embed")
        vectors_PD = np.empty((len(ids_PT), self.model.get_input_embeddings().embedding_dim))
        order = sorted(range(len(ids_PT)), key=lambda place: -len(ids_PT[place]))
        batch_rows = self.cfg.batch_rows if self.ways.right else 1
        for start in range(0, len(order), batch_rows):
            places = order[start : start + batch_rows]
            with torch.inference_mode():
                vectors_PD[places] = self._means([ids_PT[each] for each in places], skip)
        return vectors_PD

    def _means(self, ids_BT: Sequence[Sequence[int]], skip: int) -> Floats:
        ids, mask = self.padded(ids_BT, "right")
        # Padding on the right is never seen by what lies before it, so no mask is needed.
        with self.of_lengths([len(each) for each in ids_BT]):
            hidden_BTD = self.body(input_ids=ids, use_cache=False).last_hidden_state.double()
        mask[:, :skip] = 0
        means_BD: Floats = ((hidden_BTD * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)).cpu().numpy()
        return means_BD
