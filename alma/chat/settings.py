"""How answers are drawn: ``Settings``."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from alma.errors import ConfigError
from alma.sections import Sampling


@dataclass(frozen=True, slots=True)
class Settings:
    """``sampling`` is ``None`` where the most probable token is taken each time."""

    sampling: Sampling | None
    max_new_tokens: int
    seed: int
    system: str | None
    """What the models are told first."""

    @classmethod
    def of(cls, *, temperature: float, top_p: float, max_new_tokens: int, seed: int, system: str | None) -> Settings:
        """As the command line says them: temperature 0 is greedy. Raises ``ConfigError`` for an impossible one."""
        try:
            sampling = Sampling(temperature=temperature or 1.0, top_p=top_p, max_new_tokens=max_new_tokens)
        except ValidationError as error:
            first = error.errors()[0]
            if not first["loc"]:  # of no single setting: its words name it
                raise ConfigError(first["msg"].removeprefix("Value error, ")) from error
            option = str(first["loc"][0]).replace("_", "-")
            raise ConfigError(f"--{option} {first['input']}: {first['msg'][0].lower()}{first['msg'][1:]}") from error
        return cls(sampling if temperature else None, max_new_tokens, seed, system)
