"""Rewards with transformers: ``HfReward``. Axes: P conversations, T tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alma.engines.encoding import encode_inner
from alma.engines.hf.headed import HeadedModel
from alma.engines.requests import OnTokens
from alma.engines.reward_text import Conversation, check_conversation, conversation_text
from alma.errors import DataError
from alma.sections import Inference


class HfReward(HeadedModel):
    """``alma.engines.RewardModel`` over transformers' sequence classification with one logit.

    A conversation has the tokens that ``apply_chat_template`` gives it, but for special tokens that its texts spell:
    those are text. Raises ``DataError`` for several logits and for a chat template that cannot be used.
    """

    kind = "reward model"
    remedy = "bring a model that was trained to give rewards (…ForSequenceClassification with one label)"

    def __init__(self, cfg: Inference, model: Path) -> None:
        super().__init__(cfg, model)
        if self.model.config.num_labels != 1:
            raise DataError(
                f"{model} gives {self.model.config.num_labels} numbers, and a reward is one: {self.remedy}; a "
                "classifier is asked by kind = 'safety'"
            )
        check_conversation(self.tokenizer)

    def reward(
        self, conversations_P: Sequence[Conversation], *, max_tokens: int, on_tokens: OnTokens = lambda _: None
    ) -> list[float | None]:
        """See ``alma.engines.RewardModel``."""
        texts_P = [conversation_text(self.tokenizer, each) for each in conversations_P]
        rewards_P1 = self.logits(encode_inner(self.tokenizer, texts_P), max_tokens, on_tokens)
        return [None if reward_1 is None else float(reward_1[0]) for reward_1 in rewards_P1]
