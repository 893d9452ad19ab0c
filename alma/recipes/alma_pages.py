"""ALMA's report (arXiv 2412.04305, section 4) by points: the base, an initial checkpoint, each round's model."""

from __future__ import annotations

from typing import Any

from alma.config import Alma
from alma.recipes import Do, seed
from alma.recipes.alma_judge import rating
from alma.recipes.alma_sources import Sources
from alma.recipes.outsiders import Outsiders


class Pages:
    """At every point a checkpoint is evaluated, the outsiders look at it, and it joins the page so far."""

    def __init__(self, cfg: Alma, do: Do, given: Sources, judge: Any, outsiders: Outsiders) -> None:
        self._cfg, self._do, self._given, self._judge, self._outsiders = cfg, do, given, judge, outsiders
        self.last: Any = None

    def add_base(self, prompts: Any, validation: dict[str, Any]) -> None:
        """Point 0: the base model, the pool of prompts, and what validates the judge."""
        point = "round 00"
        evaluated = self._evaluated(point, 0, self._given.base)
        self._add(point, 0, **evaluated, few_shot=self._few_shot_base(point), prompts=prompts, **validation)

    def add_initial(self, first: Any, second: Any) -> None:
        """Point 1: the first of the two checkpoints, and what the judge's pick gains among the answers of both."""
        point = "round 01"
        curve = self._best_of_n(point, first, second)
        self._add(point, 1, training=first, **curve, **self._evaluated(point, 1, first))

    def add_round(self, r: int, model: Any, *, judgements: Any, selected: Any) -> None:
        """Point r: the round's model, and the rows that it was trained on."""
        point = f"round {r:02d}"
        evaluated = self._evaluated(point, r, model)
        self._add(point, r, **evaluated, judgements=judgements, selected=selected, training=model)

    def _add(self, point: str, number: int, **inputs: Any) -> None:
        section = self._cfg.report.changed(label=point, round=number, seed=seed(self._cfg, "report", number))
        label = f"{self._outsiders.layer(point)} · report"
        self.last = self._do("report", section, label=label, previous=self.last, **inputs)

    def _evaluated(self, point: str, number: int, model: Any) -> dict[str, Any]:
        results = self._do(
            "evaluate",
            self._cfg.evaluate,
            label=f"{self._outsiders.layer(point)} · evaluate",
            model=model,
            judge=self._judge,
            prompts=self._given.evaluation_prompts,
        )
        return {"evaluation": results, **self._outsiders.ports(point, number, model, results)}

    def _few_shot_base(self, point: str) -> Any:
        """Section 4: the base model behind a few SFT seeds. Asked without, it does not know what form an answer has."""
        cfg, given = self._cfg, self._given
        if not cfg.base_shots:
            return None
        section = cfg.evaluate.changed(
            shots="random",
            form="chat",
            num_shots=cfg.base_shots,
            seed=seed(cfg, "evaluate", "few-shot"),
            allow_overlap=True,  # an example that asks the prompt itself is left out
        )
        return self._do(
            "evaluate",
            section,
            label=f"{self._outsiders.layer(point)} · evaluate few-shot",
            model=given.base,
            judge=self._judge,
            prompts=given.evaluation_prompts,
            shots=given.sft_seeds,
        )

    def _best_of_n(self, point: str, first: Any, second: Any) -> dict[str, Any]:
        """The curve of section 5: how much the judge's pick gains with n, on the evaluation prompts."""
        cfg, prompts = self._cfg, self._given.evaluation_prompts
        if not cfg.curve.enabled:
            return {}
        section = cfg.respond.changed(
            num_samples=cfg.curve.num_samples, num_prompts=None, first_prompt=0, seed=seed(cfg, "curve")
        )
        label = f"{point} · best-of-n respond"
        answers = self._do("respond", section, label=label, prompts=prompts, first=first, second=second)
        label = f"{point} · best-of-n judge"
        curve = self._do("judge", rating(cfg), label=label, judge=self._judge, responses=answers)
        return {"curve": curve, "references": prompts}
