"""Component of the exit task: however the run ended, its newest report and a table of its steps."""

from __future__ import annotations

from typing import Any

from kfp import dsl

from components.stage import IMAGE, container_component


def finish_component(*, jobs: bool) -> Any:
    """The component; with ``jobs`` it also deletes what the run left of Kubernetes Jobs.

    A run that is terminated ends its tasks at once and tells nobody; the exit handler's task runs all the same.
    """
    annotations: dict[str, Any] = {
        "store": str,
        "state": dsl.PipelineTaskFinalStatus,
        "page": dsl.Output[dsl.HTML],
        "summary": dsl.Output[dsl.Markdown],
    }

    def component(store: Any, state: Any, page: Any, summary: Any) -> dsl.ContainerSpec:
        args = ["--store", store, "--state", state, "--html", page.path, "--markdown", summary.path]
        command = ["python", "-m", "cluster", "finish"] if jobs else ["alma", "finish"]
        return dsl.ContainerSpec(image=IMAGE, command=command, args=args)

    return container_component(component, "finish", annotations)
