"""Component of the stage ``embed``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def embed(
    store: str,
    config: str,
    change: str,
    label: str,
    model: dsl.Input[dsl.Artifact],
    prompts: dsl.Input[dsl.Artifact],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    gpus: int = 0,
    shard: str = "all",
) -> dsl.ContainerSpec:
    """Prompts to vectors, by the base model."""
    return stage("embed", locals(), inputs=["model", "prompts"], extra=["--gpus", gpus, "--shard", shard])
