"""Rewards out of a hash: ``EchoReward``."""

from __future__ import annotations

import random
from collections.abc import Sequence

from alma.engines.echo.model import EchoModel, count_tokens, digest
from alma.engines.requests import OnTokens
from alma.engines.reward_text import Conversation
from alma.sections import Inference


class EchoReward(EchoModel[Inference]):
    """``alma.engines.RewardModel``: standard normal, less one for every word that the response says again.

    So there is an evaluator that does not love length for its own sake.
    """

    def reward(
        self, conversations_P: Sequence[Conversation], *, max_tokens: int, on_tokens: OnTokens = lambda _: None
    ) -> list[float | None]:
        """See ``alma.engines.RewardModel``. A token is a word."""
        rewards_P: list[float | None] = []
        for conversation in conversations_P:
            num_tokens = sum(count_tokens(turn.content) for turn in conversation)
            if num_tokens > max_tokens:
                rewards_P.append(None)
                continue
            seed = digest(self.fingerprint, *(turn.content for turn in conversation))
            words = conversation[-1].content.split()
            rewards_P.append(random.Random(seed).gauss() - (len(words) - len(set(words))))
            on_tokens(num_tokens)
        return rewards_P
