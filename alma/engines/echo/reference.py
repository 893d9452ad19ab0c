"""DPO's reference model without a model: ``EchoReference``, numbers out of a hash. A token is a word."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from alma.engines.echo.model import EchoModel, count_tokens, digest
from alma.engines.protocols import PairLogprobs
from alma.engines.requests import OnTokens
from alma.prompts.conversation import asked_text
from alma.sections import Reference

_DIGITS = 32
"""Of a digest."""


class EchoReference(EchoModel[Reference]):
    """``alma.engines.ReferenceModel``: about -2 nats a word by (model, prompt, response)."""

    def read(
        self, pairs_P: Sequence[Mapping[str, Any]], *, on_tokens: OnTokens = lambda _: None
    ) -> list[PairLogprobs | None]:
        """See ``alma.engines.ReferenceModel``."""
        return [self._read(asked_text(row), row["chosen"], row["rejected"], on_tokens) for row in pairs_P]

    def _read(self, prompt: str, chosen: str, rejected: str, on_tokens: OnTokens) -> PairLogprobs | None:
        sizes = [count_tokens(f"{prompt} {response}") for response in (chosen, rejected)]
        if max(sizes) > self.cfg.max_tokens:
            return None
        on_tokens(sum(sizes))
        return PairLogprobs(
            self._logprob(prompt, chosen), self._logprob(prompt, rejected), digest(prompt, chosen, rejected)[:_DIGITS]
        )

    def _logprob(self, prompt: str, response: str) -> float:
        rng = random.Random(digest(self.fingerprint, prompt, response)[:_DIGITS])
        return -sum(rng.uniform(0.5, 3.5) for _ in range(count_tokens(response) + 1))
