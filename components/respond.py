"""Component of the stage ``respond``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def respond(
    store: str,
    config: str,
    change: str,
    label: str,
    prompts: dsl.Input[dsl.Artifact],
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    first: dsl.Input[dsl.Artifact] = None,
    second: dsl.Input[dsl.Artifact] = None,
    latest: dsl.Input[dsl.Artifact] = None,
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
