"""Probabilities of labels out of a hash: ``EchoClassifier``."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from alma.engines.echo.model import EchoModel, count_tokens
from alma.engines.requests import OnTokens
from alma.sections import Inference

LABELS = ("harmless", "harmful")


class EchoClassifier(EchoModel[Inference]):
    """``alma.engines.Classifier``: two labels, ``harmless`` and ``harmful``, whose probabilities sum to 1."""

    @property
    def labels(self) -> Sequence[str]:
        """See ``alma.engines.Classifier``."""
        return LABELS

    @property
    def independent(self) -> bool:
        """See ``alma.engines.Classifier``."""
        return False

    def classify(
        self, texts_P: Sequence[str], *, max_tokens: int, on_tokens: OnTokens = lambda _: None
    ) -> list[list[float] | None]:
        """See ``alma.engines.Classifier``. A token is a word."""
        probs_PL: list[list[float] | None] = []
        for text in texts_P:
            num_tokens = count_tokens(text)
            if not 0 < num_tokens <= max_tokens:
                probs_PL.append(None)
                continue
            seed = hashlib.sha256(f"{self.fingerprint}\0{text}".encode("utf-8", "surrogatepass")).digest()
            harmful = random.Random(seed).random()
            probs_PL.append([1 - harmful, harmful])
            on_tokens(num_tokens)
        return probs_PL
