"""Component of the stage ``ingest``."""

from kfp import dsl

from components.container import stage


@dsl.container_component
def ingest(
    store: str,
    config: str,
    change: str,
    label: str,
    manifest: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    source: str,
    base_folder: str,
    model: dsl.Input[dsl.Model] = None,
) -> dsl.ContainerSpec:
    """Takes in a source: rows that people wrote, or the base model."""
    return stage("ingest", locals(), optional=["model"], extra=["--source", source, "--base", base_folder])
