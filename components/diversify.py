"""Component of the stage ``diversify``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def diversify(
    store: str,
    config: str,
    change: str,
    label: str,
    prompts: dsl.Input[dsl.Dataset],
    manifest: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    embeddings: dsl.Input[dsl.Dataset] = None,
) -> dsl.ContainerSpec:
    """Clusters the pool and lays out the order in which rounds draw from it."""
    return stage("diversify", locals(), inputs=["prompts"], optional=["embeddings"])
