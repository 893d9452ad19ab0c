"""Embedding with a sentence-transformers model: ``SentenceEmbedder``. Axes: P texts, D numbers.

Only safetensors are read and no code from the folder is run.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from alma.engines.answering import OneByOne
from alma.engines.finite import check_finite
from alma.engines.requests import EmbedRequest, Floats, OnTokens
from alma.errors import ConfigError, DataError
from alma.regular import CONFIG_BYTES, parse, read_regular
from alma.sections import Inference

_OURS = "sentence_transformers."
"""Modules of the library itself; a folder may name others, which would be imported."""


class SentenceEmbedder(OneByOne[EmbedRequest, Floats]):
    """``alma.engines.Embedder`` over sentence-transformers, whatever pooling the folder's ``modules.json`` says.

    Raises ``DataError`` where the folder holds no such model, ``ConfigError`` where the library is not installed.
    """

    def __init__(self, cfg: Inference, model: Path) -> None:
        library = _library()
        from transformers import AutoModel  # which it stands on

        from alma.engines.hf.described import check_described

        _check(model)
        check_described(AutoModel, model)
        self.cfg = cfg
        try:
            self.model: Any = library.SentenceTransformer(
                str(model),
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            )
        except Exception as error:  # each module checks its settings in its own way
            if isinstance(error, MemoryError):
                raise
            raise DataError(f"{model} cannot be loaded as a sentence-transformers model: {error}") from error
        check_finite(self.model, model)
        if hasattr(getattr(self.model, "tokenizer", None), "split_special_tokens"):
            self.model.tokenizer.split_special_tokens = True  # what is embedded is text and nothing else

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self.model

    def answer_one(self, request: EmbedRequest, on_tokens: OnTokens) -> Floats:
        """See ``alma.engines.OneByOne``; the vectors are the model's own: (P, D) float64."""
        del on_tokens  # embedders count none
        self.model.max_seq_length = min(request.max_tokens, self.model.max_seq_length or request.max_tokens)
        vectors_PD = self.model.encode(list(request.texts_P), batch_size=self.cfg.batch_rows, show_progress_bar=False)
        return np.asarray(vectors_PD, dtype=np.float64)


def _library() -> Any:
    try:
        return import_module("sentence_transformers")
    except ImportError as error:
        raise ConfigError(
            f'imitate.embedding = "sentence-transformers" needs that library, and it cannot be imported ({error}): '
            'pip install "alma-align[sentence-transformers]", or set imitate.embedding = "model"'
        ) from error


def _check(model: Path) -> None:
    path = model / "modules.json"
    if not path.is_file():
        raise DataError(f"{model} is no sentence-transformers model: it holds no modules.json")
    modules = parse(read_regular(path, CONFIG_BYTES), str(path))
    if not isinstance(modules, list) or not all(isinstance(each, dict) for each in modules):
        raise DataError(f"{path} holds no list of modules, as SentenceTransformer.save writes it; fetch it again")
    named = [str(module.get("type")) for module in modules]
    foreign = [name for name in named if not name.startswith(_OURS)]
    if foreign:
        raise DataError(
            f"{path} names the module {foreign[0]!r}, which is not sentence-transformers' own; it is not run"
        )
