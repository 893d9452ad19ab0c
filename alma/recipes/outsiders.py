"""Outside evaluators in a recipe's graph: each looks at evaluated checkpoints, and none selects anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alma.config import Method
from alma.recipes import Do
from alma.sections import BY, Answers, Chat, Harness, Outsider, Reward, Safety

IN_THE_ROUND = 2
"""So many evaluators leave a round's layer of tasks readable."""


class Outsiders:
    """The evaluators of ``cfg``, and what they bring. ``num_points`` checkpoints are evaluated, numbered from 0."""

    def __init__(self, cfg: Method, do: Do, prompts: Any, num_points: int) -> None:
        self.do, self.prompts, self.num_points = do, prompts, num_points
        self.evaluators = cfg.outsiders
        self.brought = {each.name: self._bring(each) for each in self.evaluators}
        self.by_name: Mapping[str, Outsider] = {each.name: each for each in self.evaluators}
        self.other_rewards = {
            each.name: self._reward(f"{each.name} rewards", self.by_name[each.by], self.brought[each.name]["answers"])
            for each in self.evaluators
            if isinstance(each, Answers) and isinstance(self.by_name[each.by], Reward)
        }

    def layer(self, point: str) -> str:
        """Where a point is evaluated: in a layer of its own where the round's would be too full to be looked at."""
        return point if len(self.evaluators) <= IN_THE_ROUND else f"{point} evaluation"

    def ports(self, point: str, number: int, model: Any, results: Any) -> dict[str, Any]:
        """What the report of a point takes: each evaluator's rows about its checkpoint."""
        found: dict[str, Any] = {}
        for each in sorted(self.evaluators, key=lambda each: isinstance(each, Answers)):
            if looks_at(each.every, number, self.num_points):
                rows = self._ask(each, point, model, results, found)
                if rows is not None:
                    found[BY + each.name] = rows
        return found

    def _bring(self, each: Outsider) -> dict[str, Any]:
        if isinstance(each, Answers):
            section = each.answers.changed(max_missing_share=each.max_missing_share)
            return {"answers": self.do("ingest", section, label=f"{each.name} answers", asked=self.prompts)}
        return {
            field: self.do("ingest", section, label=f"{each.name} {field}") for field, section in each.sources.items()
        }

    def _ask(self, each: Outsider, point: str, model: Any, results: Any, found: Mapping[str, Any]) -> Any:
        label = f"{self.layer(point)} · evaluate {each.name}"
        brought = self.brought[each.name]
        if isinstance(each, Reward):
            return self._reward(label, each, results)
        if isinstance(each, Chat):
            return self.do("appraise", each, label=label, results=results) if each.pointwise else None
        if isinstance(each, Harness):
            return self.do("examine", each, label=label, model=model, **brought)
        if isinstance(each, Safety):
            return self.do("evaluate", each.evaluate, label=label, model=model, **brought)
        assert isinstance(each, Answers)
        return self.do(
            "contest",
            each,
            label=label,
            results=results,
            others=brought["answers"],
            **self._preferred(each, point, results, found),
        )

    def _preferred(self, each: Answers, point: str, results: Any, found: Mapping[str, Any]) -> dict[str, Any]:
        """What the preferences of a comparison follow from."""
        by = self.by_name[each.by]
        if isinstance(by, Chat):
            label = f"{self.layer(point)} · evaluate {each.name} pairs"
            others = self.brought[each.name]["answers"]
            return {
                "preferences": self.do(
                    "appraise", by.changed(pairwise=True), label=label, results=results, others=others
                )
            }
        rewards = found.get(BY + by.name)
        if rewards is None:  # the reward model looks at other checkpoints than this comparison
            rewards = self._reward(f"{self.layer(point)} · evaluate {by.name}", by, results)
        return {"rewards": rewards, "other_rewards": self.other_rewards[each.name]}

    def _reward(self, label: str, by: Any, rows: Any) -> Any:
        return self.do("reward", by, label=label, model=self.brought[by.name]["model"], results=rows)


def looks_at(every: int | str, number: int, num_points: int) -> bool:
    """Whether a point is among the evaluated ones that are looked at."""
    last = num_points - 1
    if isinstance(every, int):
        return number % every == 1 % every or number == last
    return every == "all" or number in (0, last)
