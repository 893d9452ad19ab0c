"""Sequence classification with transformers: what ``HfClassifier`` and ``HfReward`` share.

Axes: P texts, B rows of a batch, T tokens, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSequenceClassification

from alma.engines.hf.memory import InMemory, device_here, dtype_on
from alma.engines.hf.model import load_weights
from alma.engines.requests import OnTokens
from alma.engines.tokenizer import load_tokenizer
from alma.errors import StageError
from alma.sections import Inference

NO_LIMIT = 2**63 - 1
"""Tokens that a model may read whose files state no number that could be one."""


class HeadedModel(InMemory):
    """A model whose head gives a whole text L numbers; reads safetensors, runs no code of its folder.

    Raises ``DataError`` where the folder holds no such model.
    """

    kind = "sequence classifier"
    remedy = "bring a model that was trained as a classifier (…ForSequenceClassification)"

    def __init__(self, cfg: Inference, model: Path) -> None:
        self.cfg = cfg
        self.path = model
        self.device = device_here()
        dtype = dtype_on(self.device, cfg)
        loaded = load_weights(AutoModelForSequenceClassification, model, dtype, kind=self.kind, remedy=self.remedy)
        self.model = loaded.to(self.device).eval().requires_grad_(False)
        self.tokenizer = load_tokenizer(model)
        config = self.model.config
        # Some architectures begin to count positions behind the padding; then their tokenizer says what is left.
        stated = (getattr(config.get_text_config(), "max_position_embeddings", None), self.tokenizer.model_max_length)
        self.context = min((each for each in stated if each is not None and each > 0), default=NO_LIMIT)

    def batch_setting(self) -> str:
        """See ``InMemory``."""
        return f"batch_rows = {self.cfg.batch_rows} of the {self.kind}"

    def logits(
        self, ids_PT: Sequence[Sequence[int]], max_tokens: int, on_tokens: OnTokens
    ) -> list[torch.Tensor | None]:
        """Each text's logits, (P, L) in float64; ``None`` for one without tokens or too long to read.

        Texts of like length are read together, the longest first. Raises ``StageError`` for one that is no number.
        """
        room = min(max_tokens, self.context)
        logits_PL: list[torch.Tensor | None] = [None] * len(ids_PT)
        readable = [place for place, ids in enumerate(ids_PT) if 0 < len(ids) <= room]
        readable.sort(key=lambda place: -len(ids_PT[place]))
        for start in range(0, len(readable), self.cfg.batch_rows):
            places = readable[start : start + self.cfg.batch_rows]
            with torch.inference_mode():
                logits_BL = self._batch([ids_PT[each] for each in places])
            if not bool(logits_BL.isfinite().all()):
                raise StageError(
                    f"{self.path}: this {self.kind} gives a text a number that is none (NaN or infinite), of which "
                    "nothing follows; set dtype = 'float32', or bring another model"
                )
            for place, logits_L in zip(places, logits_BL, strict=True):
                logits_PL[place] = logits_L
            on_tokens(sum(len(ids_PT[each]) for each in places))
        return logits_PL

    def _batch(self, ids_BT: Sequence[Sequence[int]]) -> torch.Tensor:
        pad = self.model.config.pad_token_id
        if (pad is None or pad < 0) and len(ids_BT) > 1:
            # A decoder finds a row's last token by the padding: without a padding token (-1 says so in the configs of
            # the first Llamas), transformers takes one row.
            return torch.cat([self._batch([ids]) for ids in ids_BT])
        pad = max(pad or 0, 0)
        sizes = torch.tensor([len(each) for each in ids_BT])[:, None]
        ids = pad_sequence([torch.tensor(each) for each in ids_BT], batch_first=True, padding_value=pad)
        mask = (torch.arange(ids.shape[1])[None] < sizes).long()
        logits_BL: torch.Tensor = self.model(input_ids=ids.to(self.device), attention_mask=mask.to(self.device)).logits
        return logits_BL.double().cpu()
