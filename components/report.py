"""Component of the stage ``report``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def report(
    store: str,
    config: str,
    change: str,
    label: str,
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    page: dsl.Output[dsl.HTML],
    previous: dsl.Input[dsl.Artifact] = None,
    evaluation: dsl.Input[dsl.Artifact] = None,
    judgements: dsl.Input[dsl.Artifact] = None,
    selected: dsl.Input[dsl.Artifact] = None,
    prompts: dsl.Input[dsl.Artifact] = None,
    heldout: dsl.Input[dsl.Artifact] = None,
    heldout_first: dsl.Input[dsl.Artifact] = None,
    curve: dsl.Input[dsl.Artifact] = None,
    references: dsl.Input[dsl.Artifact] = None,
    training: dsl.Input[dsl.Artifact] = None,
) -> dsl.ContainerSpec:
    """One cumulative page, shown in the dashboard."""
    return stage(
        "report",
        locals(),
        optional=[
            "previous",
            "evaluation",
            "judgements",
            "selected",
            "prompts",
            "heldout",
            "heldout_first",
            "curve",
            "references",
            "training",
        ],
        extra=["--html", page.path],
    )
