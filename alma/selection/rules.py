"""Which responses to a prompt become a row to train on (paper sections 3.2 and 5.3).

Another rule is a function here and a line in ``RULES``. It takes the usable judgements of one prompt, best first, and
returns the response to train on, or the chosen and the rejected one of a pair; ``None`` where nothing can be learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from alma.sections import Select
from alma.seeds import sample_seed
from alma.selection.readings import Judgement, score

Selected = tuple[Judgement] | tuple[Judgement, Judgement]
Rule = Callable[[Select, Sequence[Judgement], np.random.Generator], Selected | None]


def best(cfg: Select, order: Sequence[Judgement], rng: np.random.Generator) -> Selected | None:
    """The best one; with a length tolerance, the shortest of those near it (arXiv 2407.19594)."""
    del rng
    return (order[_chosen(cfg, order)],) if order else None


def best_vs_random(cfg: Select, order: Sequence[Judgement], rng: np.random.Generator) -> Selected | None:
    """The best one, as ``best`` finds it, against a random one of those that are worse."""
    worse = _worse(cfg, order := _from_chosen(cfg, order))
    return (order[0], worse[int(rng.integers(len(worse)))]) if worse else None


def best_vs_worst(cfg: Select, order: Sequence[Judgement], rng: np.random.Generator) -> Selected | None:
    """The best one, as ``best`` finds it, against the worst."""
    del rng
    worse = _worse(cfg, order := _from_chosen(cfg, order))
    return (order[0], worse[-1]) if worse else None


def ordered_pair(cfg: Select, order: Sequence[Judgement], rng: np.random.Generator) -> Selected | None:
    """Two random ones, in their order."""
    return best_vs_worst(cfg, [order[i] for i in sorted(rng.permutation(len(order))[:2])], rng)


def _chosen(cfg: Select, order: Sequence[Judgement]) -> int:
    """The place of the response to learn from: the first; with a length tolerance the shortest near it."""
    if cfg.length_tolerance is None:
        return 0
    near = [row for row in order if score(cfg, row) >= score(cfg, order[0]) - cfg.length_tolerance]
    return min(range(len(near)), key=lambda i: int(near[i]["num_tokens"]))  # the best of equally short ones


def _from_chosen(cfg: Select, order: Sequence[Judgement]) -> Sequence[Judgement]:
    """``order``, from the response to learn from on: what is before it scores no less, and is no rejected side."""
    return order[_chosen(cfg, order) :] if order else order


def _worse(cfg: Select, order: Sequence[Judgement]) -> list[Judgement]:
    """Other responses than the first that score less than it, best first."""
    return [
        row for row in order[1:] if row["response"] != order[0]["response"] and score(cfg, row) < score(cfg, order[0])
    ]


RULES: dict[str | None, Rule] = {
    None: best,
    "best_vs_random": best_vs_random,
    "best_vs_worst": best_vs_worst,
    "ordered_pair": ordered_pair,
}
"""``Select.pairs`` → the rule."""


def select(cfg: Select, prompt: str, rows: Sequence[Judgement]) -> Selected | None:
    """What is selected of the usable judgements of one prompt.

    What is random follows from the prompt's text and ``cfg.seed``.
    """
    rng = np.random.default_rng(sample_seed(cfg.seed, "pair", prompt))
    return RULES[cfg.pairs](cfg, ranked(cfg, prompt, rows), rng)


def ranked(cfg: Select, prompt: str, rows: Sequence[Judgement]) -> list[Judgement]:
    """Best first; equal scores in an order drawn from the seed, not in that of the checkpoints."""
    rng = np.random.default_rng(sample_seed(cfg.seed, "ties", prompt))
    ties = rng.permutation(len(rows))
    order = sorted(range(len(rows)), key=lambda i: (-score(cfg, rows[i]), ties[i]))
    return [rows[i] for i in order]
