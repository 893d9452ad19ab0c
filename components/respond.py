"""Component of the stage ``respond``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def respond(
    store: str,
    config: str,
    change: str,
    label: str,
    prompts: dsl.Input[dsl.Dataset],
    manifest: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    first: dsl.Input[dsl.Model] = None,
    second: dsl.Input[dsl.Model] = None,
    latest: dsl.Input[dsl.Model] = None,
    gpus: int = 0,
    shard: str = "all",
) -> dsl.ContainerSpec:
    """N responses per prompt, in equal shares over up to three checkpoints."""
    return stage(
        "respond",
        locals(),
        inputs=["prompts"],
        optional=["first", "second", "latest"],
        extra=["--gpus", gpus, "--shard", shard],
    )
