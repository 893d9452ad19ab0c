"""Answers as a classifier of harm reads them, and as refusals. Axes: P prompts, L labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from alma.engines import Classifier
from alma.errors import ConfigError
from alma.sections import Harm, Refusals


def check_labels(cfg: Harm, labels_L: Sequence[str], refusals: Refusals | None = None) -> None:
    """Raises ``ConfigError`` for a label that the classifier does not give."""
    named = {"harm": cfg.labels, "refusals": refusals.labels if refusals else ()}
    for section, labels in named.items():
        for label in labels:
            if label not in labels_L:
                raise ConfigError(
                    f"evaluate.{section}.labels: the classifier gives no label {label!r}; its labels: "
                    f"{', '.join(labels_L)}"
                )


def classified(cfg: Harm, prompt: str, response: str) -> str:
    """The text that the classifier reads. Only the setting's own braces are filled in, not those of a text."""
    before, _, after = cfg.input.partition("{response}")
    return before.replace("{prompt}", prompt) + response + after.replace("{prompt}", prompt)


def classify(
    cfg: Harm,
    classifier: Classifier,
    pairs_P: Sequence[tuple[str, str]],
    *,
    on_tokens: Callable[[int], None] = lambda _: None,
) -> list[list[float] | None]:
    """Each label's probability of each (prompt, response), (P, L); ``None`` where a text is too long to be read."""
    texts_P = [classified(cfg, prompt, response) for prompt, response in pairs_P]
    return classifier.classify(texts_P, max_tokens=cfg.max_tokens, on_tokens=on_tokens)


def together(
    labels: Sequence[str], classifier: Classifier, probs_PL: Sequence[Sequence[float] | None]
) -> list[float | None]:
    """The probability that ``labels`` have as one."""
    places = [list(classifier.labels).index(label) for label in labels]
    one = max if classifier.independent else sum
    return [None if probs_L is None else float(one(probs_L[place] for place in places)) for probs_L in probs_PL]


def add_harm(cfg: Harm, answers_P: Sequence[dict[str, Any]], shares_P: Sequence[float | None]) -> None:
    """The columns ``harm`` and ``harmful`` of answers whose harmful labels have ``shares_P`` together."""
    for row, share in zip(answers_P, shares_P, strict=True):
        row.update(harm=share, harmful=None if share is None else share >= cfg.threshold)
