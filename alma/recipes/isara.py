"""ISARA: self-alignment from fewer than 100 samples (arXiv 2401.06785), and what it has to beat.

::

    D0 = the seeds: question-answer pairs of one domain
    for t = 1 .. T:
        Dt = new questions after random shots, answers after the nearest ones, filtered    # shots of D0 .. D(t-1)
        M  = SFT(M, D0 ∪ Dt, lr);  lr = lr / 2                       # continues from M, not from the base
"""

from __future__ import annotations

from typing import Any, NamedTuple

from alma.config.isara import Isara
from alma.recipes import Do, Outcome, seed


class Sources(NamedTuple):
    """What the user brings, and the judge that their scores train."""

    base: Any
    seeds: Any
    evaluation_prompts: Any
    classifier: Any
    embedder: Any
    judge: Any


def isara(cfg: Isara, do: Do) -> Outcome:
    """The method and its baselines, once per repeat; every ablation is a field of ``cfg``."""
    given = sources(cfg, do)
    page = Page(cfg, do, given)
    page.add("pretrained", given.base)
    if cfg.baselines.in_context:
        page.add("in-context nearest", given.base, shots="nearest")
        for repeat in cfg.repeats:
            page.add("in-context random", given.base, repeat=repeat, shots="random")
    model = None
    for repeat in cfg.repeats:
        last, imitation = iterations(cfg, do, given, page, repeat)
        model = model or last
        if cfg.baselines.sft:
            page.add("sft", compute_matched(cfg, do, given, repeat, imitation), repeat=repeat)
        if cfg.baselines.one_shot:
            one_shot(cfg, do, given, page, repeat)
    return Outcome(model, given.judge, page.last)


def sources(cfg: Isara, do: Do) -> Sources:
    """Everything from outside, and the judge, which is trained once."""
    base = do("ingest", cfg.base, label="base model")
    judge = None
    if cfg.score_seeds is not None:
        scores = do("ingest", cfg.score_seeds, label="human scores", model=base)
        section = cfg.judge_seed.changed(seed=seed(cfg, "judge"))
        judge = do("finetune", section, label="judge · finetune", model=base, rows=scores)
    return Sources(
        base=base,
        seeds=do("ingest", cfg.seeds, label="seeds", model=base),
        evaluation_prompts=do("ingest", cfg.evaluation_prompts, label="evaluation prompts", model=base),
        classifier=cfg.classifier and do("ingest", cfg.classifier, label="classifier"),
        embedder=cfg.embedder and do("ingest", cfg.embedder, label="embedder"),
        judge=judge,
    )


def iterations(cfg: Isara, do: Do, given: Sources, page: Page, repeat: int) -> tuple[Any, Any]:
    """T iterations; the last model and all that it and its predecessors wrote."""
    model, imitation = given.base, None
    for t in range(1, cfg.iterations + 1):
        point = f"repeat {repeat} · isara {t}"
        imitation = do(
            "imitate",
            cfg.imitate.changed(iteration=t, seed=seed(cfg, repeat, "imitate", t)),
            label=f"{point} · imitate",
            model=model,
            seeds=given.seeds,
            previous=imitation,
            **helpers(cfg, given),
        )
        model = do(
            "finetune",
            cfg.train.changed(
                learning_rate=cfg.train.learning_rate * cfg.learning_rate_decay ** (t - 1),
                seed=seed(cfg, repeat, "train", t),
            ),
            label=f"{point} · finetune",
            model=model if cfg.start == "latest" else given.base,
            rows=given.seeds,
            replay=imitation,
        )
        page.add(f"isara {t}", model, repeat=repeat, imitation=imitation)
    return model, imitation


def one_shot(cfg: Isara, do: Do, given: Sources, page: Page, repeat: int) -> None:
    """All T iterations' attempts at once from the base model: equal budget of generation, no bootstrap."""
    point = f"repeat {repeat} · one-shot"
    imitation = do(
        "imitate",
        cfg.imitate.changed(
            num_attempts=cfg.iterations * cfg.imitate.num_attempts, seed=seed(cfg, repeat, "one-shot", "imitate")
        ),
        label=f"{point} · imitate",
        model=given.base,
        seeds=given.seeds,
        **helpers(cfg, given),
    )
    section = cfg.train.changed(seed=seed(cfg, repeat, "one-shot", "train"))
    model = do("finetune", section, label=f"{point} · finetune", model=given.base, rows=given.seeds, replay=imitation)
    page.add("one-shot", model, repeat=repeat, imitation=imitation)


def compute_matched(cfg: Isara, do: Do, given: Sources, repeat: int, imitation: Any) -> Any:
    """SFT on the seeds alone, over and over, until it has seen as many rows as ISARA's trainings together."""
    return do(
        "finetune",
        cfg.train.changed(seed=seed(cfg, repeat, "sft")),
        label=f"repeat {repeat} · sft · finetune",
        model=given.base,
        rows=given.seeds,
        matched=imitation,
    )


def helpers(cfg: Isara, given: Sources) -> dict[str, Any]:
    """The other models that ``imitate`` asks: the hybrid's judge, an external embedder."""
    return {"judge": given.judge if cfg.imitate.num_answers > 1 else None, "embedder": given.embedder}


class Page:
    """The report, one arm after another: each is evaluated and joins the page so far."""

    def __init__(self, cfg: Isara, do: Do, given: Sources) -> None:
        self._cfg, self._do, self._given = cfg, do, given
        self.last: Any = None

    def add(
        self, arm: str, model: Any, *, repeat: int | None = None, shots: str = "none", imitation: Any = None
    ) -> None:
        """Evaluates ``model``, greedily, with or without ``shots`` of the seeds before every prompt."""
        cfg, given = self._cfg, self._given
        point = arm if repeat is None else f"repeat {repeat} · {arm}"
        evaluation = self._do(
            "evaluate",
            cfg.evaluate.changed(shots=shots, seed=seed(cfg, repeat or 0, "evaluate"))
            if shots != "none"
            else cfg.evaluate,
            label=f"{point} · evaluate",
            model=model,
            prompts=given.evaluation_prompts,
            judge=given.judge,
            classifier=given.classifier,
            shots=given.seeds,
        )
        self.last = self._do(
            "report",
            cfg.report.changed(label=point, arm=arm, repeat=repeat, seed=seed(cfg, "report")),
            label=f"{point} · report",
            previous=self.last,
            evaluation=evaluation,
            imitation=imitation,
            training=model if model is not given.base else None,
        )
