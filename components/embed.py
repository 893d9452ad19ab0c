"""Component of the stage ``embed``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def embed(
    store: str,
    config: str,
    change: str,
    label: str,
    model: dsl.Input[dsl.Model],
    prompts: dsl.Input[dsl.Dataset],
    manifest: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    gpus: int = 0,
    shard: str = "all",
) -> dsl.ContainerSpec:
    """Prompts to vectors, by the base model."""
    return stage("embed", locals(), inputs=["model", "prompts"], extra=["--gpus", gpus, "--shard", shard])
