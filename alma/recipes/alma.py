"""ALMA: Alignment with Minimal Annotation (arXiv 2412.04305), sections 3.1 to 3.4.

::

    P    = prompts that the base model wrote, clustered
    M1a  = SFT(M0, D1, seed a);  M1b = SFT(M0, D1, seed b)
    J    = a judge, fine-tuned on human scores, then on its own
    for r = 2 .. R+1:
        Xr   = K prompts never used before, one from each of K clusters
        y*   = the best of N responses to x from {M1a, M1b, M_{r-1}}, by J
        Dr   = {(x, y*)}
        Mr   = SFT(M0, D1 ∪ D2 ∪ … ∪ Dr)                  # from the base, on all data

Section 3.3, the judge, is in ``alma_judge``; how checkpoints are evaluated and shown, in ``alma_pages``; who else looks
at them, in ``outsiders``.
"""

from __future__ import annotations

from typing import Any

from alma.config import Alma
from alma.objectives import OBJECTIVES
from alma.recipes import Do, Outcome, seed
from alma.recipes.alma_judge import rating, train_judge
from alma.recipes.alma_pages import Pages
from alma.recipes.alma_sources import Sources, sources
from alma.recipes.outsiders import Outsiders


def alma(cfg: Alma, do: Do) -> Outcome:
    """The whole method. Every setting that the paper leaves open, and every ablation, is a field of ``cfg``."""
    given = sources(cfg, do)
    outsiders = Outsiders(cfg, do, given.evaluation_prompts, cfg.rounds + 2)
    reserve, prompts = write_prompts(cfg, do, given)
    first, second = initial_checkpoints(cfg, do, given)
    judge, validation = train_judge(cfg, do, given, reserve, first, second)
    pages = Pages(cfg, do, given, judge, outsiders)
    pages.add_base(prompts, validation)
    pages.add_initial(first, second)
    latest = feedback_rounds(cfg, do, given, pages, prompts, first, second, judge)
    return Outcome(latest, judge, pages.last)


def write_prompts(cfg: Alma, do: Do, given: Sources) -> tuple[Any, Any]:
    """Section 3.1: the base model writes a pool of prompts once; a round takes one from each of K clusters.

    The judge's are drawn first, at random and by themselves: nothing that is said of the rounds changes the judge.
    """
    candidates = do(
        "synthesize",
        cfg.synthesize.changed(seed=seed(cfg, "synthesize")),
        label="prompts · synthesize",
        model=given.base,
        seeds=given.sft_seeds,
    )
    pool = do(
        "curate",
        cfg.curate.changed(seed=seed(cfg, "curate")),
        label="prompts · curate",
        candidates=candidates,
        evaluation=given.evaluation_prompts,
        heldout=given.heldout_scores,
        seeds=given.sft_seeds,
    )
    reserve = do(
        "diversify",
        cfg.diversify.changed(
            method="random",
            limit=cfg.distill.num_prompts,
            per_round=cfg.respond.num_prompts,
            seed=seed(cfg, "reserve"),
        ),
        label="prompts · reserve",
        prompts=pool,
    )
    vectors = None
    if cfg.diversify.method == "kmeans":
        section = cfg.embed.changed(seed=seed(cfg, "embed"))
        vectors = do("embed", section, label="prompts · embed", model=given.base, prompts=pool)
    drawn = do(
        "diversify",
        cfg.diversify.changed(seed=seed(cfg, "diversify"), per_round=cfg.respond.num_prompts),
        label="prompts · diversify",
        prompts=pool,
        embeddings=vectors,
        reserved=reserve,
    )
    return reserve, drawn


def initial_checkpoints(cfg: Alma, do: Do, given: Sources) -> tuple[Any, Any]:
    """Section 3.2: two checkpoints from two seeds, early enough to be diverse and to stay factual."""
    first = cfg.initial.changed(seed=seed(cfg, "first"))
    second = cfg.initial.changed(seed=seed(cfg, "second"))
    return (
        do("finetune", first, label="initial · finetune a", model=given.base, rows=given.sft_seeds),
        do("finetune", second, label="initial · finetune b", model=given.base, rows=given.sft_seeds),
    )


def feedback_rounds(
    cfg: Alma, do: Do, given: Sources, pages: Pages, prompts: Any, first: Any, second: Any, judge: Any
) -> Any:
    """Section 3.4: R rounds, each from the base on all data so far; the last one's model."""
    latest, data, reference = first, given.sft_seeds, None
    for r in range(2, cfg.rounds + 2):
        point = f"round {r:02d}"
        k = cfg.respond.num_prompts or 0
        responses = do(
            "respond",
            cfg.respond.changed(first_prompt=(r - 2) * k, seed=seed(cfg, "respond")),
            label=f"{point} · respond",
            prompts=prompts,
            **pool_of(cfg, r, first, second, latest),
        )
        judgements = do("judge", rating(cfg), label=f"{point} · judge", judge=judge, responses=responses)
        data = do(
            "select",
            cfg.select.changed(round=r, seed=seed(cfg, "select")),
            label=f"{point} · select",
            judgements=judgements,
            previous=earlier_of(cfg, r, data),
        )
        start = start_of(cfg, given.base, first, latest)
        reference = reference_of(cfg, do, point, start, data, reference)
        latest = do(
            "finetune",
            cfg.train.changed(seed=seed(cfg, "train", r)),
            label=f"{point} · finetune",
            model=start,
            rows=data,
            reference=reference,
        )
        pages.add_round(r, latest, judgements=judgements, selected=data)
    return latest


def pool_of(cfg: Alma, r: int, first: Any, second: Any, latest: Any) -> dict[str, Any]:
    """The checkpoints that answer in round ``r`` (section 3.2): N samples in equal parts, whatever the pool."""
    if r == 2 or cfg.pool == "initial":
        return {"first": first, "second": second}
    return {
        "latest": {"latest": latest},
        "one_initial": {"first": first},
        "initial_and_latest": {"first": first, "second": second, "latest": latest},
    }[cfg.pool]


def start_of(cfg: Alma, base: Any, first: Any, latest: Any) -> Any:
    """Where round r's training starts: the base (section 3.4); for DPO, a checkpoint that can answer. [ours]"""
    if cfg.start == "latest":
        return latest
    return {"base": base, "first": first}[OBJECTIVES[cfg.train.objective].starts_from]


def reference_of(cfg: Alma, do: Do, point: str, start: Any, data: Any, earlier: Any) -> Any:
    """DPO's reference is the model that training starts from; rows read for an earlier round are not read again."""
    if not OBJECTIVES[cfg.train.objective].reads_reference:
        return None
    assert cfg.reference is not None, "alma.config checks it"
    previous = earlier if cfg.start == "base" and cfg.data == "union" else None
    label = f"{point} · reference"
    return do("reference", cfg.reference, label=label, model=start, rows=data, previous=previous)


def earlier_of(cfg: Alma, r: int, data: Any) -> Any:
    """The rows that round r's join: D1 ∪ … ∪ D_{r-1}; for DPO, whose D1 holds no pairs, from D2 on."""
    if cfg.data == "latest" or (cfg.select.pairs and r == 2):
        return None
    return data
