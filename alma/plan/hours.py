"""Tokens → hours of one device: by measured rates, and by arithmetic that a reader can check.

The arithmetic: a token that is generated, read or embedded costs 2 floating-point operations per parameter, one that is
trained on 6 (Kaplan et al., arXiv 2001.08361, section 2.1). Attention's own operations, which grow with the length, are
not counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from alma.errors import ConfigError
from alma.plan.rates import LEAST, MOST, Rate, of_device, read_rates
from alma.plan.step import Step, Work

FLOPS_PER_PARAMETER: dict[Work, int] = {"generate": 2, "read": 2, "embed": 2, "train": 6}
SAME_SIZE = 0.01
"""Fraction by which two models' sizes may differ and still count as equal: "8.03e9" is 8,030,261,248."""


@dataclass(frozen=True, slots=True)
class Means:
    """What hours are computed from. The user gives all of it: no default could be mistaken for a measurement."""

    parameters: float
    rates: tuple[Rate, ...] = ()
    scale: bool = False
    """Whether a rate of a model of another size is taken, times the ratio of the sizes."""
    flops_per_second: float | None = None
    utilisation: float | None = None

    @classmethod
    def of(
        cls,
        *,
        parameters: float | None,
        rates: Path | None,
        device: str | None,
        scale: bool,
        flops_per_second: float | None,
        utilisation: float | None,
    ) -> Self | None:
        """From the command line; ``None`` where nothing is asked. Raises ``ConfigError``."""
        numbers = {
            "--parameters": parameters,
            "--flops-per-second": flops_per_second,
            "--utilisation": utilisation,
        }
        for name, value in numbers.items():
            if value is not None and not LEAST <= value <= MOST:
                raise ConfigError(f"{name} {value} is no number from {LEAST:g} to {MOST:g}; give one, such as 8.03e9")
        if utilisation is not None and utilisation > 1:
            raise ConfigError(f"--utilisation {utilisation} is a fraction of the peak; give at most 1, such as 0.4")
        if (flops_per_second is None) != (utilisation is None):
            raise ConfigError("--flops-per-second and --utilisation go together: the peak, and the fraction of it")
        if rates is None and (device is not None or scale):
            raise ConfigError(
                f"{'--device' if device else '--scale-by-parameters'} is about the rates of a file; give --rates FILE"
            )
        if parameters is None:
            if rates is not None or flops_per_second is not None:
                raise ConfigError("hours need --parameters, the size of the base model, such as --parameters 8.03e9")
            return None
        measured = () if rates is None else of_device(read_rates(rates), device, rates)
        return cls(parameters, measured, scale, flops_per_second, utilisation)

    def flops(self, work: Work, tokens: int) -> float:
        """Floating-point operations for this number of tokens."""
        return FLOPS_PER_PARAMETER[work] * self.parameters * tokens

    def arithmetic_hours(self, work: Work, tokens: int) -> float | None:
        """Hours of one device at the peak and utilisation that the user gave."""
        if self.flops_per_second is None or self.utilisation is None:
            return None
        return self.flops(work, tokens) / (self.flops_per_second * self.utilisation) / 3600

    def rate(self, work: Work, engine: str) -> tuple[Rate, float] | None:
        """The rate for this work, and the factor for its tokens per second; ``None`` without one."""
        measured = [each for each in self.rates if (each.work, each.engine) == (work, engine)]
        if not measured:
            return None
        # The nearest in size; of two equally near, the one with fewer devices.
        nearest = min(measured, key=lambda each: (self._apart(each), each.num_devices))
        if self._apart(nearest) <= 1 + SAME_SIZE:
            return nearest, 1.0
        return (nearest, nearest.parameters / self.parameters) if self.scale else None

    def _apart(self, rate: Rate) -> float:
        """The larger of the two sizes over the smaller."""
        return max(rate.parameters / self.parameters, self.parameters / rate.parameters)

    def measured_hours(self, work: Work, engine: str, tokens: int) -> float | None:
        """Hours of one device at the measured rate; ``None`` without one."""
        found = self.rate(work, engine)
        if found is None:
            return None
        rate, factor = found
        return tokens * rate.num_devices / (rate.tokens_per_second * factor) / 3600


@dataclass(frozen=True, slots=True)
class StageWork:
    """All of one kind of work that one stage does by one engine."""

    stage: str
    work: Work
    engine: str
    tokens: int


def work_by_stage(steps: list[Step]) -> list[StageWork]:
    """The work of a run by stage, kind and engine, in the order of their first steps."""
    sums: dict[tuple[str, Work, str], int] = {}
    for step in steps:
        for work, tokens in step.tokens.items():
            place = (step.stage, work, step.engine)
            sums[place] = sums.get(place, 0) + tokens
    return [StageWork(*place, tokens) for place, tokens in sums.items() if tokens]
