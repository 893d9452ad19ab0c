"""How many tokens a row has, counted with the base model's tokenizer and without the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from alma.errors import is_of_rust
from alma.sources.values import Fault

CONTEXT_FIELDS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")


class Lengths:
    """Finds rows that no context window can hold. Templates come on top, so a row that passes may still be too long.

    ``folder`` is a model's. Without a ``tokenizer.json`` or a stated context there is nothing to check against.
    """

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        stated = (config.get(name) for name in CONTEXT_FIELDS)
        self.context: int | None = next((each for each in stated if type(each) is int and each > 0), None)
        self._tokenizer: Any = None
        path = folder / "tokenizer.json"
        if self.context is not None and path.is_file():
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(path))
            # The file may hold what its last user set: texts cut to 512 tokens, or filled up to them.
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
            self._tokenizer.encode_special_tokens = True  # what a row spells is text
            if getattr(self._tokenizer.model, "dropout", None):  # merges left out at random
                self._tokenizer.model.dropout = None

    def check(self, row: dict[str, Any]) -> None:
        """Raises ``Fault`` for a row whose texts together leave no room in the context."""
        if self._tokenizer is None or self.context is None:
            return
        earlier = [turn.content for turn in row.get("earlier", ())]
        texts = [*earlier, *(row[name] for name in ("prompt", "response") if row.get(name))]
        if sum(len(text) for text in texts) < self.context:
            return  # a token has at least one character
        try:
            num_tokens = sum(len(self._tokenizer.encode(text, add_special_tokens=False).ids) for text in texts)
        except BaseException as error:
            if not is_of_rust(error):
                raise
            detail = f"the model's tokenizer cannot write {texts[0][:60]!r} as tokens: {error}"
            raise Fault("not to be tokenized", detail) from error
        if num_tokens >= self.context:
            what = "prompt and response" if row.get("response") else "prompt"
            what = f"conversation, {what}," if earlier else what
            raise Fault(
                "longer than the context",
                f"{what} of {num_tokens} tokens where the model's context holds {self.context}: {texts[0][:60]!r}…",
            )
