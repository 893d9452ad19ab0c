"""Component of the exit task: however the run ended, its newest report and a table of its steps."""

from kfp import dsl

from components.stage import IMAGE


@dsl.container_component
def finish(
    store: str,
    state: dsl.PipelineTaskFinalStatus,
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
) -> dsl.ContainerSpec:
    """Shows the newest report and where every step stands."""
    args = ["--store", store, "--state", state, "--html", page.path, "--markdown", summary.path]
    return dsl.ContainerSpec(image=IMAGE, command=["alma", "finish"], args=args)
