"""Classification with transformers: ``HfClassifier``. Axes: P texts, B rows of a batch, T tokens, L labels."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification

from alma.engines.hf.model import load_weights
from alma.engines.requests import OnTokens
from alma.engines.tokenizer import load_tokenizer
from alma.errors import ConfigError
from alma.sections import Inference


class HfClassifier:
    """``alma.engines.Classifier`` over transformers' sequence classification; reads safetensors, runs no code of its
    folder.

    A model of several labels is read as its config says: ``problem_type = "multi_label_classification"``, or a single
    label, gives each label a probability of its own (sigmoid), anything else one distribution over the labels
    (softmax). Raises ``DataError`` where the folder holds no such model.
    """

    def __init__(self, cfg: Inference, model: Path) -> None:
        self.cfg = cfg
        self.path = model
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = cfg.dtype if cfg.dtype != "auto" else ("bfloat16" if self.device.type == "cuda" else "float32")
        self.model = load_model(model, getattr(torch, dtype)).to(self.device).eval().requires_grad_(False)
        self.tokenizer = load_tokenizer(model)
        # What is classified was written by models: the spelling of a special token in it is text and nothing else.
        self.tokenizer.split_special_tokens = True
        config = self.model.config
        # Some architectures begin to count positions behind the padding; then their tokenizer says what is left.
        stated = (getattr(config.get_text_config(), "max_position_embeddings", None), self.tokenizer.model_max_length)
        self.context = min(each for each in stated if each is not None)
        self._independent: bool = config.num_labels == 1 or config.problem_type == "multi_label_classification"
        self._labels = [str(config.id2label[place]) for place in range(config.num_labels)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self.model, self.tokenizer
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise ConfigError(
                f"batch_rows = {self.cfg.batch_rows} does not fit into the memory of the GPU with the classifier "
                f"{self.path}; lower it"
            ) from error

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
        room = min(max_tokens, self.context)
        ids_PT: list[list[int]] = self.tokenizer(list(texts_P), verbose=False)["input_ids"] if texts_P else []
        probs_PL: list[list[float] | None] = [None] * len(ids_PT)
        readable = [place for place, ids in enumerate(ids_PT) if 0 < len(ids) <= room]
        readable.sort(key=lambda place: -len(ids_PT[place]))
        for start in range(0, len(readable), self.cfg.batch_rows):
            places = readable[start : start + self.cfg.batch_rows]
            with torch.inference_mode():
                for place, probs_L in zip(places, self._batch([ids_PT[each] for each in places]), strict=True):
                    probs_PL[place] = probs_L
            on_tokens(sum(len(ids_PT[each]) for each in places))
        return probs_PL

    def _batch(self, ids_BT: Sequence[Sequence[int]]) -> list[list[float]]:
        if self.model.config.pad_token_id is None and len(ids_BT) > 1:
            # A decoder finds a row's last token by the padding: without a padding token, transformers takes one row.
            return [probs for ids in ids_BT for probs in self._batch([ids])]
        pad = self.model.config.pad_token_id or 0
        sizes = torch.tensor([len(each) for each in ids_BT])[:, None]
        ids = pad_sequence([torch.tensor(each) for each in ids_BT], batch_first=True, padding_value=pad)
        mask = (torch.arange(ids.shape[1])[None] < sizes).long()
        logits_BL = self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device)).logits.double()
        probs_BL: list[list[float]] = (
            (logits_BL.sigmoid() if self._independent else logits_BL.softmax(-1)).cpu().tolist()
        )
        return probs_BL


def load_model(folder: Path, dtype: torch.dtype) -> Any:
    """The classifier of a folder, on the CPU; raises ``DataError`` where it is none or its head is missing."""
    return load_weights(
        AutoModelForSequenceClassification,
        folder,
        dtype,
        kind="sequence classifier",
        remedy="bring a model that was trained as a classifier (…ForSequenceClassification)",
    )
