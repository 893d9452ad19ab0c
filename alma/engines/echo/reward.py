"""Rewards out of a hash, or by length: ``EchoReward``."""

from __future__ import annotations

import random
from collections.abc import Sequence

from alma.engines.conversation import Conversation
from alma.engines.echo.model import EchoModel, count_tokens, digest
from alma.engines.requests import OnTokens
from alma.sections import Inference


class EchoReward(EchoModel[Inference]):
    """``alma.engines.RewardModel``: standard normal, a function of the model and the conversation.

    As much of it as can be said about a text without reading it: a word that the response repeats costs one, so that
    an evaluator is there which does not love length for its own sake.
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
