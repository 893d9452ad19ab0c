"""Component of the stage ``evaluate``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def evaluate(
    store: str,
    config: str,
    change: str,
    label: str,
    model: dsl.Input[dsl.Artifact],
    judge: dsl.Input[dsl.Artifact],
    prompts: dsl.Input[dsl.Artifact],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    gpus: int = 0,
) -> dsl.ContainerSpec:
    """Answers the evaluation prompts greedily and judges the answers."""
    return stage("evaluate", locals(), inputs=["model", "judge", "prompts"], extra=["--gpus", gpus])
