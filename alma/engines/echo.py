"""An engine without a model: every answer is a function of a hash. For tests, of alma and of those who build on it.

It keeps the contracts of ``alma.engines`` (order, seeds, stop texts, token limits, resume) and needs neither torch nor
a real model: any folder will do, and folders with other contents answer otherwise. A token is a word.

Axes: P prompts, N samples or responses of one prompt, D dimensions, R ratings.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from safetensors.numpy import save_file

from alma.artifact.records import RATINGS
from alma.engines import Completion, Rating, Training
from alma.errors import DataError, Stopped
from alma.sections import Finetune, Inference, Sampling

if TYPE_CHECKING:
    from alma.engines import Floats

_WORDS = tuple(
    word
    for line in (
        "the a one two three small large red green old new good bright quiet river mountain letter number word city",
        "garden teacher child machine story question answer list name color reason plan write explain compare sort",
        "count add show find describe give make tell translate shorten continue before after without about under with",
    )
    for word in line.split()
)
_UNENDED_SHARE = 0.05
_LOW_MASS_SHARE = 0.01
_DIMENSIONS = 64
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
_UNREADABLE = Rating(probs_R=(1 / len(RATINGS),) * len(RATINGS), mass=0.0)


def fingerprint(model: Path) -> str:
    """What tells one echo model from another: a hash over ``model.safetensors`` and ``config.json``, where present."""
    if not model.is_dir():
        raise DataError(f"{model} is not a folder; a model is a folder, for the echo engine any folder")
    found = [model / name for name in ("model.safetensors", "config.json") if (model / name).is_file()]
    return _digest(*(f"{each.name} {_file_digest(each)}" for each in found))


class _Echo:
    def __init__(self, cfg: Inference, model: Path) -> None:
        self.cfg = cfg
        self.fingerprint = fingerprint(model)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class EchoGenerator(_Echo):
    """``alma.engines.Generator``: a few words by (model, text, seed); one in twenty goes on to the token limit."""

    def chat(self, prompt: str) -> str:
        """See ``alma.engines.Generator``."""
        return f"User: {prompt}\nAssistant:"

    def generate(
        self,
        texts_P: Sequence[str],
        seeds_PN: Sequence[Sequence[int]],
        sampling: Sampling | None,
        *,
        max_new_tokens: int,
        stop: Sequence[str] = (),
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> list[list[Completion]]:
        """See ``alma.engines.Generator``."""
        style = "greedy" if sampling is None else sampling.model_dump_json(exclude={"max_new_tokens"})
        completions: list[list[Completion]] = []
        for text, seeds in zip(texts_P, seeds_PN, strict=True):
            named = [_digest(self.fingerprint, style, text, "" if sampling is None else str(seed)) for seed in seeds]
            completions.append([_completion(random.Random(each), max_new_tokens, stop) for each in named])
            on_tokens(sum(each.num_tokens for each in completions[-1]))
        return completions


class EchoScorer(_Echo):
    """``alma.engines.Scorer``: a bell over 0..10 by (model, text), mass about 0.95; one in a hundred has little."""

    def score(
        self,
        prefixes_P: Sequence[str],
        suffixes_PN: Sequence[Sequence[str]],
        *,
        max_tokens: int,
        on_tokens: Callable[[int], None] = lambda _: None,
    ) -> list[list[Rating]]:
        """See ``alma.engines.Scorer``."""
        ratings_PN: list[list[Rating]] = []
        for prefix, suffixes in zip(prefixes_P, suffixes_PN, strict=True):
            texts = [prefix + suffix for suffix in suffixes]
            ratings_PN.append([self._rating(text) if _count(text) <= max_tokens else _UNREADABLE for text in texts])
            on_tokens(sum(map(_count, texts)))
        return ratings_PN

    def _rating(self, text: str) -> Rating:
        rng = random.Random(_digest(self.fingerprint, "rating", text))
        centre, width = rng.uniform(0, 10), rng.uniform(0.7, 2.0)
        weights = [math.exp(-((k - centre) ** 2) / (2 * width**2)) for k in RATINGS]
        mass = rng.uniform(0.01, 0.3) if rng.random() < _LOW_MASS_SHARE else rng.uniform(0.9, 0.999)
        return Rating(probs_R=tuple(each / sum(weights) for each in weights), mass=mass)


class EchoEmbedder(_Echo):
    """``alma.engines.Embedder``: hashed character 3-grams in 64 dimensions, so that like texts lie near each other."""

    def embed(self, texts_P: Sequence[str], *, max_tokens: int) -> Floats:
        """See ``alma.engines.Embedder``."""
        vectors_PD = np.zeros((len(texts_P), _DIMENSIONS))
        for vector_D, text in zip(vectors_PD, texts_P, strict=True):
            read = f" {' '.join(text.lower().split()[:max_tokens])} "
            grams = [read[start : start + 3] for start in range(max(1, len(read) - 2))]
            for gram in grams:
                place = zlib.crc32(gram.encode("utf-8", "surrogatepass"))
                vector_D[place % _DIMENSIONS] += (1.0 if place & 0x8000_0000 else -1.0) / len(grams)
        return vectors_PD


class EchoTrainer:
    """``alma.engines.Trainer``: writes a model whose bytes are a function of (start model, rows, settings)."""

    def train(self, cfg: Finetune, training: Training) -> dict[str, float | int]:
        """See ``alma.engines.Trainer``. Checkpoints are step numbers; a resumed training ends in the same bytes."""
        sizes = [_count(" ".join(str(value) for value in row.values())) for row in training.rows]
        kept = [row for row, size in zip(training.rows, sizes, strict=True) if size <= cfg.max_tokens]
        if not kept:
            raise DataError(f"none of {len(sizes)} rows fits into max_tokens = {cfg.max_tokens}")
        num_tokens = sum(size for size in sizes if size <= cfg.max_tokens)
        digest = _digest(fingerprint(training.model), cfg.model_dump_json(), *map(_json, kept))
        total = math.ceil(len(kept) * cfg.epochs / cfg.batch_rows)
        losses = [2.0 * math.exp(-2.0 * step / total) + int(digest[:4], 16) / 0xFFFF for step in range(total + 1)]
        checkpoint = training.scratch / f"echo-{digest[:16]}.json"
        step = json.loads(checkpoint.read_text(encoding="utf-8"))["step"] if checkpoint.is_file() else 0
        while step < total:
            if training.stopping():
                _write(checkpoint, json.dumps({"step": step}))
                raise Stopped(f"training stopped after step {step} of {total}; its checkpoint is in {training.scratch}")
            step += 1
            rate = cfg.learning_rate * (0.5 + 0.5 * math.cos(math.pi * step / total))
            tokens = num_tokens / len(kept) * cfg.batch_rows
            training.on_step(step, total, {"loss": losses[step], "learning_rate": rate, "tokens": tokens})
            if step % cfg.checkpoint_steps == 0:
                _write(checkpoint, json.dumps({"step": step}))
        _write_model(training.model, training.out, digest)
        return {
            "num_rows": len(kept),
            "num_steps": total,
            "num_tokens": num_tokens,
            "num_too_long": len(sizes) - len(kept),
            "first_loss": losses[1],
            "last_loss": losses[-1],
        }


def _write_model(start: Path, out: Path, digest: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in _TOKENIZER_FILES:
        if (start / name).is_file():
            shutil.copyfile(start / name, out / name)
    config = {"model_type": "alma_echo", "note": "written by alma's echo engine: not a language model"}
    _write(out / "config.json", json.dumps(config, indent=2) + "\n")
    weights = np.frombuffer(bytes.fromhex(digest), dtype=np.uint8).astype(np.float32)
    save_file({"echo.weight": weights}, out / "model.safetensors", metadata={"format": "pt"})


def _completion(rng: random.Random, max_new_tokens: int, stop: Sequence[str]) -> Completion:
    num_words = rng.randint(3, 14)
    ended = num_words < max_new_tokens and rng.random() >= _UNENDED_SHARE
    words = rng.choices(_WORDS, k=num_words if ended else max_new_tokens)
    text = " ".join(words)
    found = [place for place in map(text.find, stop) if place >= 0]
    if found:
        text = text[: min(found)]
        return Completion(text=text, num_tokens=min(_count(text) + 1, max_new_tokens), ended=True)
    return Completion(text=text, num_tokens=len(words) + ended, ended=ended)


def _count(text: str) -> int:
    return len(text.split())


def _digest(*parts: str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=lambda value: value.tolist())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
