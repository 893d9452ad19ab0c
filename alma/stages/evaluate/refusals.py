"""Which prompts ask for harm, and which answers refuse: by how they begin, or by a classifier's labels for it.

Axes: P prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alma.artifact import Rows
from alma.errors import ConfigError
from alma.sections import Evaluate, Refusals
from alma.text.refusal import refuses


def check_harmful(cfg: Evaluate, prompts: Rows) -> None:
    """Raises ``ConfigError`` where nobody says which prompts are harmful, or for a family that no prompt is of."""
    if cfg.refusals is None:
        return
    families = cfg.refusals.harmful_families
    if prompts.manifest.schema_name == "safety_prompt":
        if families:
            raise ConfigError(
                "evaluate.refusals.harmful_families are given, and the prompts have a column harmful: leave out one"
            )
        return
    there = sorted({each for each in prompts.table(["family"])["family"].to_pylist() if each is not None})
    shown = f"{', '.join(there[:12]) or 'none'}{', …' if len(there) > 12 else ''}"
    if not families:
        raise ConfigError(
            "evaluate.refusals needs to know which prompts are harmful: name their column, as columns = { harmful = "
            f'"…" }}, or evaluate.refusals.harmful_families of: {shown}'
        )
    for family in families:
        if family not in there:
            raise ConfigError(f"evaluate.refusals.harmful_families: no prompt is of {family!r}; there are: {shown}")


def is_harmful(cfg: Refusals, prompt: Mapping[str, Any]) -> bool:
    """Whether a prompt's row says that it asks for harm."""
    return bool(prompt["harmful"]) if "harmful" in prompt else prompt["family"] in cfg.harmful_families


def refused(cfg: Refusals, responses_P: Sequence[str], shares_P: Sequence[float | None]) -> list[bool | None]:
    """Whether each answer refuses; ``None`` where it does not begin like a refusal and the classifier cannot read it.

    ``shares_P`` are the probabilities that the classifier gives ``cfg.labels``.
    """
    return [_refuses(cfg, response, share) for response, share in zip(responses_P, shares_P, strict=True)]


def _refuses(cfg: Refusals, response: str, share: float | None) -> bool | None:
    if cfg.by != "labels" and refuses(response):
        return True
    if cfg.by == "openings":
        return False
    return None if share is None else share >= cfg.threshold


def add_refused(cfg: Refusals, answers_P: Sequence[dict[str, Any]], shares_P: Sequence[float | None] | None) -> None:
    """The column ``refused`` of answers; ``shares_P`` as for ``refused``, ``None`` where no classifier is asked."""
    shares_P = [None] * len(answers_P) if shares_P is None else shares_P
    for row, flag in zip(answers_P, refused(cfg, [row["response"] for row in answers_P], shares_P), strict=True):
        row.update(refused=flag)
