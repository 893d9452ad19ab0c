"""Component of the stage ``judge``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def judge(
    store: str,
    config: str,
    change: str,
    label: str,
    judge: dsl.Input[dsl.Model],
    responses: dsl.Input[dsl.Dataset],
    manifest: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    gpus: int = 0,
    shard: str = "all",
) -> dsl.ContainerSpec:
    """p(0..10) of every response, read at one token."""
    return stage("judge", locals(), inputs=["judge", "responses"], extra=["--gpus", gpus, "--shard", shard])
