"""Classification with transformers: ``HfClassifier``. Axes: P texts, L labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alma.engines.hf.headed import HeadedModel
from alma.engines.requests import OnTokens
from alma.engines.tokenizer import named
from alma.errors import DataError
from alma.sections import Inference


class HfClassifier(HeadedModel):
    """``alma.engines.Classifier`` over transformers' sequence classification.

    A model of several labels is read as its config says: ``problem_type = "multi_label_classification"``, or a single
    label, gives each label a probability of its own (sigmoid), anything else one distribution over the labels
    (softmax).
    """

    def __init__(self, cfg: Inference, model: Path) -> None:
        super().__init__(cfg, model)
        # What is classified was written by models: the spelling of a special token in it is text and nothing else.
        self.tokenizer.split_special_tokens = True
        config = self.model.config
        self._independent: bool = config.num_labels == 1 or config.problem_type == "multi_label_classification"
        if sorted(config.id2label) != list(range(config.num_labels)):
            raise DataError(
                f"{model}/config.json: id2label names the labels {', '.join(map(str, sorted(config.id2label)[:8]))}, "
                "and they are counted from 0; mend it there"
            )
        self._labels = [str(config.id2label[place]) for place in range(config.num_labels)]

    @property
    def labels(self) -> list[str]:
        """See ``alma.engines.Classifier``."""
        return self._labels

    @property
    def independent(self) -> bool:
        """See ``alma.engines.Classifier``."""
        return self._independent

    def classify(
        self, texts_P: Sequence[str], *, max_tokens: int, on_tokens: OnTokens = lambda _: None
    ) -> list[list[float] | None]:
        """See ``alma.engines.Classifier``."""
        with named(self.tokenizer):
            ids_PT: list[list[int]] = self.tokenizer(list(texts_P), verbose=False)["input_ids"] if texts_P else []
        return [
            None if logits_L is None else (logits_L.sigmoid() if self._independent else logits_L.softmax(-1)).tolist()
            for logits_L in self.logits(ids_PT, max_tokens, on_tokens)
        ]
