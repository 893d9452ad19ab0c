"""Whether texts fit into a model's context; counted before its weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alma.sections import Imitate


class Room:
    """The context of the model in folder ``model``; the echo engine has none, nor have models that state none."""

    def __init__(self, cfg: Imitate, model: Path) -> None:
        self.context: int | None = None
        self._tokenizer: Any = None
        if cfg.engine == "echo":
            return
        from alma.engines.model_folder import text_config
        from alma.engines.tokenizer import load_tokenizer

        self.context = getattr(text_config(model), "max_position_embeddings", None)
        if cfg.engine == "vllm" and cfg.vllm.max_model_len is not None:
            self.context = min(cfg.vllm.max_model_len, self.context or cfg.vllm.max_model_len)
        self._tokenizer = load_tokenizer(model)

    def fits(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text leaves room for at least one more token."""
        if self.context is None or not texts:
            return [True] * len(texts)
        from alma.engines.encoding import encode

        return [len(ids) < self.context for ids in encode(self._tokenizer, texts)]
