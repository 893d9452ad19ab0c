"""Vectors out of a hash: ``EchoEmbedder``. Axes: P texts, D dimensions."""

from __future__ import annotations

import zlib

import numpy as np

from alma.engines.answering import OneByOne
from alma.engines.echo.model import EchoModel
from alma.engines.requests import EmbedRequest, Floats, OnTokens
from alma.sections import Inference

_DIMENSIONS = 64


class EchoEmbedder(EchoModel[Inference], OneByOne[EmbedRequest, Floats]):
    """``alma.engines.Embedder``: hashed character 3-grams in 64 dimensions, so that like texts lie near each other."""

    def answer_one(self, request: EmbedRequest, on_tokens: OnTokens) -> Floats:
        """See ``alma.engines.OneByOne``."""
        del on_tokens  # embedders count none
        vectors_PD = np.zeros((len(request.texts_P), _DIMENSIONS))
        for vector_D, text in zip(vectors_PD, request.texts_P, strict=True):
            read = f" {' '.join(text.lower().split()[: request.max_tokens])} "
            grams = [read[start : start + 3] for start in range(max(1, len(read) - 2))]
            for gram in grams:
                place = zlib.crc32(gram.encode("utf-8", "surrogatepass"))
                vector_D[place % _DIMENSIONS] += (1.0 if place & 0x8000_0000 else -1.0) / len(grams)
        return vectors_PD
