"""Training without a model: ``EchoTrainer``."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from alma.engines.echo.model import count_tokens, digest, fingerprint
from alma.engines.protocols import Training
from alma.errors import DataError, Stopped
from alma.sections import Finetune

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


class EchoTrainer:
    """``alma.engines.Trainer``: writes a model whose bytes are a function of (start model, rows, settings)."""

    def train(self, cfg: Finetune, training: Training) -> dict[str, float | int]:
        """See ``alma.engines.Trainer``. Checkpoints are step numbers; a resumed training ends in the same bytes."""
        sizes = [count_tokens(" ".join(str(value) for value in row.values())) for row in training.rows]
        kept = [row for row, size in zip(training.rows, sizes, strict=True) if size <= cfg.max_tokens]
        if not kept:
            raise DataError(f"none of {len(sizes)} rows fits into max_tokens = {cfg.max_tokens}")
        num_tokens = sum(size for size in sizes if size <= cfg.max_tokens)
        name = digest(fingerprint(training.model), cfg.model_dump_json(), *map(_json, kept))
        total = math.ceil(len(kept) * cfg.epochs / cfg.batch_rows)
        losses = [2.0 * math.exp(-2.0 * step / total) + int(name[:4], 16) / 0xFFFF for step in range(total + 1)]
        checkpoint = training.scratch / f"echo-{name[:16]}.json"
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
        _write_model(training.model, training.out, name)
        return {
            "num_rows": len(kept),
            "num_steps": total,
            "num_tokens": num_tokens,
            "num_too_long": len(sizes) - len(kept),
            "first_loss": losses[1],
            "last_loss": losses[-1],
        }


def _write_model(start: Path, out: Path, name: str) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for file in _TOKENIZER_FILES:
        if (start / file).is_file():
            shutil.copyfile(start / file, out / file)
    config = {"model_type": "alma_echo", "note": "written by alma's echo engine: not a language model"}
    _write(out / "config.json", json.dumps(config, indent=2) + "\n")
    weights = np.frombuffer(bytes.fromhex(name), dtype=np.uint8).astype(np.float32)
    save_file({"echo.weight": weights}, out / "model.safetensors", metadata={"format": "pt"})


def _json(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=lambda value: value.tolist())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
