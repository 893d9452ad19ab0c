"""Answers as a classifier of harm reads them. Axes: P prompts, L labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alma.engines import Classifier
from alma.errors import ConfigError
from alma.sections import Harm


def check_labels(cfg: Harm, labels_L: Sequence[str]) -> None:
    """Raises ``ConfigError`` for a label that the classifier does not give."""
    for label in cfg.labels:
        if label not in labels_L:
            raise ConfigError(
                f"evaluate.harm.labels: the classifier gives no label {label!r}; its labels: {', '.join(labels_L)}"
            )


def classified(cfg: Harm, prompt: str, response: str) -> str:
    """The text that the classifier reads. Only the setting's own braces are filled in, not those of a text."""
    before, _, after = cfg.input.partition("{response}")
    return before.replace("{prompt}", prompt) + response + after.replace("{prompt}", prompt)


def harm(
    cfg: Harm,
    classifier: Classifier,
    pairs_P: Sequence[tuple[str, str]],
    *,
    on_tokens: Callable[[int], None] = lambda _: None,
) -> list[float | None]:
    """Probability of harm of each (prompt, response); ``None`` where the classifier cannot read so long a text."""
    places = [list(classifier.labels).index(label) for label in cfg.labels]
    texts_P = [classified(cfg, prompt, response) for prompt, response in pairs_P]
    probs_PL = classifier.classify(texts_P, max_tokens=cfg.max_tokens, on_tokens=on_tokens)
    together = max if classifier.independent else sum
    return [None if probs_L is None else float(together(probs_L[place] for place in places)) for probs_L in probs_PL]
