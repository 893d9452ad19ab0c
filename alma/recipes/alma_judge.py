"""ALMA's judge (arXiv 2412.04305, section 3.3): trained on human scores, then on its own; and what validates it."""

from __future__ import annotations

from typing import Any

from alma.config import Alma
from alma.recipes import Do, seed
from alma.recipes.alma_sources import Sources
from alma.sections import Judge


def train_judge(cfg: Alma, do: Do, given: Sources, prompts: Any, first: Any, second: Any) -> tuple[Any, dict[str, Any]]:
    """Section 3.3: human scores first, then once its own scores of synthetic responses; and what validates it."""
    human_judge, *others = human_judges(cfg, do, given)
    judge = human_judge
    if cfg.distill.enabled:
        own = do(
            "respond",
            cfg.respond.changed(
                num_samples=cfg.distill.num_samples,
                num_prompts=cfg.distill.num_prompts,
                first_prompt=0,
                seed=seed(cfg, "distill"),
            ),
            label="judge · respond",
            prompts=prompts,
            first=first,
            second=second,
        )
        asked = rating(cfg)
        if cfg.distill.variants:
            asked = asked.changed(variants=list(cfg.distill.variants))
        readers = dict(zip(("second", "third"), others, strict=False))
        own = do("judge", asked, label="judge · judge", judge=human_judge, **readers, responses=own)
        judge = do(
            "finetune",
            cfg.judge_distill.changed(seed=seed(cfg, "judge", 2)),
            label="judge · distill",
            model=given.base if cfg.distill.start == "base" else human_judge,
            rows=own,
            replay=given.score_seeds if cfg.distill.replay else None,
        )
    return judge, validate_judge(cfg, do, given, judge, human_judge)


def human_judges(cfg: Alma, do: Do, given: Sources) -> list[Any]:
    """Judges of the human scores, from several seeds where their readings are to be averaged. [ours]"""

    def trained(label: str, *name: str) -> Any:
        section = cfg.judge_seed.changed(seed=seed(cfg, "judge", *name))
        return do("finetune", section, label=label, model=given.base, rows=given.score_seeds)

    num_others = cfg.distill.num_judges - 1 if cfg.distill.enabled else 0
    return [
        trained("judge · finetune"),
        *(trained(f"judge · finetune {name}", name) for name in ("b", "c")[:num_others]),
    ]


def rating(cfg: Alma) -> Judge:
    """How every response is rated; the seed follows from the run's where a judge writes before it rates."""
    return cfg.judge.changed(seed=seed(cfg, "rating")) if cfg.judge.draws else cfg.judge


def validate_judge(cfg: Alma, do: Do, given: Sources, judge: Any, human_judge: Any) -> dict[str, Any]:
    """The held-out human scores as the judge rates them, and as it did before it learnt anything of its own."""
    if not given.heldout_scores:
        return {}

    def rated(label: str, by: Any, section: Judge, **inputs: Any) -> Any:
        return do("judge", section, label=label, judge=by, responses=given.heldout_scores, **inputs)

    found = {"heldout": rated("judge · validate", judge, rating(cfg))}
    if judge is not human_judge:
        found["heldout_first"] = rated("judge · validate first", human_judge, rating(cfg))
    if cfg.base_judge_shots is not None:
        # Untrained it may put little on the scale: what it puts there is read all the same.
        section = cfg.judge.changed(num_shots=cfg.base_judge_shots, min_mass=0.0, seed=seed(cfg, "judge", "base"))
        shots = given.score_seeds if cfg.base_judge_shots else None
        found["heldout_base"] = rated("judge · validate base", given.base, section, shots=shots)
    return found
