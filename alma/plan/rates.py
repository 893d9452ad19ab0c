"""Tokens per second, as measured: the JSON file that ``benchmarks/`` writes and ``alma plan --rates`` reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from alma.errors import ConfigError
from alma.plan.step import Work
from alma.regular import DOCUMENT_BYTES, parse, read_regular

LEAST, MOST = 1e-9, 10**24
"""Of a rate, and of a size: beyond them products are no numbers any more."""

Positive = Annotated[float, Field(ge=LEAST, le=MOST, allow_inf_nan=False)]
Words = Annotated[str, Field(min_length=1)]


class Rate(BaseModel):
    """One kind of work by one engine on one device, and all that is needed to measure it again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    work: Work
    engine: Words
    """Library: ``vllm``, ``hf``, ``trl``."""
    tokens_per_second: Positive
    """Of all ``num_devices`` together, counted as ``alma.plan.step`` says."""
    device: Words
    """What it ran on: "NVIDIA H100 80GB HBM3", "cpu: AMD EPYC"."""
    num_devices: Annotated[int, Field(ge=1, le=10**6)] = 1
    model: Words
    parameters: Annotated[int, Field(ge=1, le=MOST)]
    dtype: Words
    workload: Words
    """Prompts, samples and lengths that were timed."""
    machine: Words
    versions: dict[str, str]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    command: Words


class Rates(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    rates: tuple[Rate, ...]


def read_rates(path: Path) -> tuple[Rate, ...]:
    """The rates in a file. Raises ``ConfigError`` that names the file, the place and the value."""
    try:
        data = read_regular(path, DOCUMENT_BYTES, kind=ConfigError)
        return Rates.model_validate(parse(data, str(path), ConfigError)).rates
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file of rates; benchmarks/generation.py --rates {path} makes it") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error}; benchmarks/generation.py --rates {path} makes one"
        ) from error
    except ValidationError as error:
        faults = [
            f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']} (it is {fault['input']!r:.80})"
            for fault in error.errors()
        ]
        raise ConfigError("\n".join(faults)) from error


def write_rate(path: Path, rate: Rate) -> None:
    """Puts ``rate`` into the file, in place of one of the same work, engine, device and model; whole or not at all."""
    kept = [each for each in (read_rates(path) if path.exists() else ()) if _same(each) != _same(rate)]
    rates = Rates(rates=(*kept, rate))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(rates.model_dump_json(indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def _same(rate: Rate) -> tuple[str, str, str, int, int]:
    return rate.work, rate.engine, rate.device, rate.num_devices, rate.parameters


def of_device(rates: tuple[Rate, ...], device: str | None, path: Path) -> tuple[Rate, ...]:
    """The rates of one device. Raises ``ConfigError`` where it is not said which, or there is none of it."""
    known = sorted({rate.device for rate in rates})
    if device is None:
        if len(known) > 1:
            raise ConfigError(f"{path} has rates of {len(known)} devices; choose with --device: {', '.join(known)}")
        return rates
    if device not in known:
        raise ConfigError(f"--device {device!r}: {path} has rates of: {', '.join(known) or 'nothing'}")
    return tuple(rate for rate in rates if rate.device == device)
