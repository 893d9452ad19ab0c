"""Component of the stage ``synthesize``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def synthesize(
    store: str,
    config: str,
    change: str,
    label: str,
    model: dsl.Input[dsl.Model],
    seeds: dsl.Input[dsl.Dataset],
    manifest: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    gpus: int = 0,
    shard: str = "all",
) -> dsl.ContainerSpec:
    """The base model writes prompts after a few shots."""
    return stage("synthesize", locals(), inputs=["model", "seeds"], extra=["--gpus", gpus, "--shard", shard])
