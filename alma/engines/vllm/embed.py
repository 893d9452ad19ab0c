"""Embedding with vLLM's pooling runner: ``VllmEmbedder``. Axes: P texts, T tokens, D hidden units."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from alma.engines.encoding import encode
from alma.engines.requests import EmbedRequest, Floats
from alma.engines.vllm.model import Sequences, VllmModel
from alma.engines.vllm.start import library
from alma.errors import DataError
from alma.prompts import quote
from alma.sections import Inference


class VllmEmbedder(VllmModel):
    """``alma.engines.Embedder`` over vLLM, with the mean that ``hf`` takes.

    vLLM's mean is over all tokens. A BOS that the tokenizer adds is not counted by us, and its vector is the same
    before every text, so it is computed once and taken out of each mean.
    """

    def __init__(self, cfg: Inference, model: Path) -> None:
        library()
        super().__init__(
            cfg,
            model,
            runner="pooling",
            convert="embed",
            pooler_config=import_module("vllm.config").PoolerConfig(seq_pooling_type="MEAN", use_activation=False),
            enable_prefix_caching=False,  # the mean needs every token's vector
        )

    def sequences(self, request: EmbedRequest) -> Sequences:
        """One for every text, cut off on the right, and one for the BOS alone.

        A text without tokens of its own raises ``DataError``.
        """
        head = encode(self.tokenizer, [""])[0]
        room = min(request.max_tokens, self.context - len(head))
        ids_PT = [ids[: len(head) + room] for ids in self.encode([quote(text) for text in request.texts_P])]
        for place, ids in enumerate(ids_PT):
            if len(ids) <= len(head):
                raise DataError(f"text {place} ({request.texts_P[place]!r}) has no tokens of its own to embed")
        params = self.vllm.PoolingParams(task="embed", use_activation=False)

        def answer(outputs: list[Any]) -> Floats:
            means = np.stack([output.outputs.data.double().cpu().numpy() for output in outputs])
            if not head:
                return means
            skip, lengths_P1 = len(head), np.array([[len(ids)] for ids in ids_PT])
            taken_PD: Floats = (means[:-1] * lengths_P1 - means[-1] * skip) / (lengths_P1 - skip)
            return taken_PD

        def heard(output: Any) -> int:
            return len(output.prompt_token_ids)

        inputs = [(ids, params) for ids in ([*ids_PT, head] if head else ids_PT)]
        return Sequences(inputs, answer, heard, lambda outputs: sum(map(heard, outputs)))
