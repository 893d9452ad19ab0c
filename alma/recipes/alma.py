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

Section 3.3, the judge, is in ``alma_judge``; who else looks at a checkpoint, in ``outsiders``.
"""

from __future__ import annotations

from typing import Any

from alma.config import Alma
from alma.objectives import OBJECTIVES
from alma.recipes import Do, Outcome, seed
from alma.recipes.alma_judge import rating, train_judge
from alma.recipes.alma_sources import Sources, sources
from alma.recipes.outsiders import Outsiders


def alma(cfg: Alma, do: Do) -> Outcome:
    """The whole method. Every setting that the paper leaves open, and every ablation, is a field of ``cfg``."""
    given = sources(cfg, do)
    outsiders = Outsiders(cfg, do, given.evaluation_prompts, cfg.rounds + 2)
    reserve, prompts = write_prompts(cfg, do, given)
    first, second = initial_checkpoints(cfg, do, given)
    judge, validation = train_judge(cfg, do, given, reserve, first, second)
    return feedback_rounds(cfg, do, given, outsiders, prompts, first, second, judge, validation)


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
    cfg: Alma,
    do: Do,
    given: Sources,
    outsiders: Outsiders,
    prompts: Any,
    first: Any,
    second: Any,
    judge: Any,
    validation: dict[str, Any],
) -> Outcome:
    """Section 3.4: R rounds, each from the base on all data so far."""

    def evaluated(model: Any, point: str, number: int) -> dict[str, Any]:
        label = f"{outsiders.layer(point)} · evaluate"
        results = do("evaluate", cfg.evaluate, label=label, model=model, judge=judge, prompts=given.evaluation_prompts)
        return {"evaluation": results, **outsiders.ports(point, number, model, results)}

    def report(point: str, number: int, **inputs: Any) -> Any:
        section = cfg.report.changed(label=point, round=number, seed=seed(cfg, "report", number))
        return do("report", section, label=f"{outsiders.layer(point)} · report", **inputs)

    page = report(
        "round 00",
        0,
        **evaluated(given.base, "round 00", 0),
        few_shot=few_shot_base(cfg, do, given, judge, outsiders.layer("round 00")),
        prompts=prompts,
        **validation,
    )
    page = report(
        "round 01",
        1,
        previous=page,
        training=first,
        **best_of_n(cfg, do, given, judge, first, second),
        **evaluated(first, "round 01", 1),
    )
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
        page = report(
            point,
            r,
            previous=page,
            **evaluated(latest, point, r),
            judgements=judgements,
            selected=data,
            training=latest,
        )
    return Outcome(latest, judge, page)


def few_shot_base(cfg: Alma, do: Do, given: Sources, judge: Any, layer: str) -> Any:
    """Section 4: the base model behind a few SFT seeds. Asked without, it does not know what form an answer has."""
    if not cfg.base_shots:
        return None
    section = cfg.evaluate.changed(
        shots="random",
        form="chat",
        num_shots=cfg.base_shots,
        seed=seed(cfg, "evaluate", "few-shot"),
        allow_overlap=True,  # an example that asks the prompt itself is left out
    )
    return do(
        "evaluate",
        section,
        label=f"{layer} · evaluate few-shot",
        model=given.base,
        judge=judge,
        prompts=given.evaluation_prompts,
        shots=given.sft_seeds,
    )


def best_of_n(cfg: Alma, do: Do, given: Sources, judge: Any, first: Any, second: Any) -> dict[str, Any]:
    """The curve of section 5: how much the judge's pick gains with n, on the evaluation prompts."""
    if not cfg.curve.enabled:
        return {}
    section = cfg.respond.changed(
        num_samples=cfg.curve.num_samples, num_prompts=None, first_prompt=0, seed=seed(cfg, "curve")
    )
    label = "round 01 · best-of-n respond"
    answers = do("respond", section, label=label, prompts=given.evaluation_prompts, first=first, second=second)
    curve = do("judge", rating(cfg), label="round 01 · best-of-n judge", judge=judge, responses=answers)
    return {"curve": curve, "references": given.evaluation_prompts}


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
