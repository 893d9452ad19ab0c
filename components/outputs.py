"""What a stage's artifact is called in the dashboard, and of which of KFP's types it is."""

from __future__ import annotations

from typing import Any, NamedTuple

from kfp import dsl

from alma.recipes.graph import Step
from alma.sections import IngestModel


class Output(NamedTuple):
    """The one artifact of a task, and what is shown beside it."""

    name: str
    type: Any
    metrics: bool = False
    """Scalars as ``system.Metrics``: of evaluations alone, since Compare-runs has a column per such artifact."""

    summary: bool = False
    """A page of Markdown, where there is something to read, and a workflow object has room for it."""


OUTPUTS: dict[str, Output] = {
    "ingest": Output("rows", dsl.Dataset),
    "synthesize": Output("candidates", dsl.Dataset),
    "curate": Output("pool", dsl.Dataset, summary=True),
    "embed": Output("embeddings", dsl.Dataset),
    "diversify": Output("draw", dsl.Dataset),
    "respond": Output("responses", dsl.Dataset),
    "judge": Output("judgements", dsl.Dataset),
    "select": Output("pairs", dsl.Dataset, summary=True),
    "reference": Output("logprobs", dsl.Dataset),
    "finetune": Output("model", dsl.Model, summary=True),
    "imitate": Output("imitation", dsl.Dataset, summary=True),
    "evaluate": Output("evaluation", dsl.Dataset, metrics=True),
    "reward": Output("assessment", dsl.Dataset),
    "appraise": Output("assessment", dsl.Dataset),
    "contest": Output("assessment", dsl.Dataset),
    "examine": Output("exam", dsl.Dataset),
    "report": Output("report", dsl.HTML),
}
"""Stage → its output."""


def output_of(step: Step) -> Output:
    """The output of a step; what an ``ingest`` leaves is called and typed as what it brings."""
    if step.stage != "ingest":
        return OUTPUTS[step.stage]
    if isinstance(step.section, IngestModel):
        return Output("model", dsl.Model)
    return Output(str(getattr(step.section, "kind", "rows")), dsl.Dataset)
