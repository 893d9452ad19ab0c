"""Component of the stage ``curate``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def curate(
    store: str,
    config: str,
    change: str,
    label: str,
    candidates: dsl.Input[dsl.Dataset],
    manifest: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    evaluation: dsl.Input[dsl.Dataset] = None,
) -> dsl.ContainerSpec:
    """Filters the written prompts: form, duplicates, those of the evaluation."""
    return stage("curate", locals(), inputs=["candidates"], optional=["evaluation"])
