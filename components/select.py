"""Component of the stage ``select``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def select(
    store: str,
    config: str,
    change: str,
    label: str,
    judgements: dsl.Input[dsl.Dataset],
    manifest: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    previous: dsl.Input[dsl.Dataset] = None,
) -> dsl.ContainerSpec:
    """The best response of each prompt, or preference pairs; joined to the rounds before."""
    return stage("select", locals(), inputs=["judgements"], optional=["previous"])
