"""Component of the stage ``evaluate``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def evaluate(
    store: str,
    config: str,
    change: str,
    label: str,
    model: dsl.Input[dsl.Model],
    judge: dsl.Input[dsl.Model],
    prompts: dsl.Input[dsl.Dataset],
    manifest: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    gpus: int = 0,
) -> dsl.ContainerSpec:
    """Answers the evaluation prompts greedily and judges the answers."""
    return stage("evaluate", locals(), inputs=["model", "judge", "prompts"], extra=["--gpus", gpus])
