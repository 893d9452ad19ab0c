"""A model that an endpoint serves, seen from here: what the ``openai`` engines share. Axes: P texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from alma.engines.encoding import encode, encode_known
from alma.engines.model_folder import text_config
from alma.engines.openai.endpoint import Endpoint
from alma.engines.quotations import spells
from alma.engines.tokenizer import load_tokenizer
from alma.sections import Inference


class ServedModel:
    """An endpoint, and the tokenizer and shape of the model that it serves, from the model's folder (no weights)."""

    def __init__(self, cfg: Inference, model: Path) -> None:
        assert cfg.openai is not None, "the section was checked"
        self.settings = cfg.openai
        self.path = model
        config = text_config(model)
        self.num_ids: int = config.vocab_size
        self.tokenizer = load_tokenizer(model)
        self.endpoint = Endpoint(self.settings)
        known = (getattr(config, "max_position_embeddings", None), self.endpoint.context)
        self.context: int | None = min((each for each in known if each is not None), default=None)
        opens = encode(self.tokenizer, ["x"])[0][:1] == [self.tokenizer.bos_token_id]
        self._head: str = self.tokenizer.bos_token if opens else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.endpoint.__exit__(kind, error, trace)

    def encode(self, texts_P: Sequence[str]) -> list[list[int]]:
        """See ``alma.engines.encoding.encode_known``."""
        return encode_known(self.tokenizer, texts_P, self.num_ids, self.path)

    def prompt(self, text: str, ids: list[int]) -> list[int] | str:
        """A prompt as it is sent: its tokens, or the text less the beginning that the server's tokenizer writes.

        Its tokens too, where a server would read a special token in what the text quotes.
        """
        as_tokens = self.settings.prompts == "tokens" or spells(self.tokenizer, text)
        return ids if as_tokens else str(text).removeprefix(self._head)

    @property
    def extended(self) -> bool:
        """Whether the server understands vLLM's own fields."""
        return self.settings.extensions == "vllm"
