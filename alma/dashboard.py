"""What a pipeline's dashboard shows of a step: KFP's executor-output file and a page of Markdown.

The file is JSON that the launcher of a container component reads: every output artifact with its metadata; the scalars
of a ``system.Metrics`` artifact are its metadata. Nothing of kfp is imported. Format:
https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto (``ExecutorOutput``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alma.artifact import Manifest, Metrics
from alma.errors import ConfigError

METRICS = "metrics"
"""The output that holds the scalars."""


def write_executor_output(executor_input: str, metrics: Metrics, metadata: Mapping[str, Any]) -> None:
    """Writes the file that ``executor_input`` (KFP's JSON) names: all outputs, ``metadata`` on the others than metrics.

    Raises ``ConfigError`` for JSON that is not an executor input.
    """
    try:
        outputs = json.loads(executor_input)["outputs"]
        path = Path(outputs["outputFile"])
        artifacts = {
            name: {"artifacts": [record | {"metadata": dict(metrics if name == METRICS else metadata)}]}
            for name, listed in outputs.get("artifacts", {}).items()
            for record in listed["artifacts"][:1]
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"--executor-input is not KFP's executor input: {type(error).__name__} {error}") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"artifacts": artifacts}), encoding="utf-8")


def markdown(manifest: Manifest, cost: Mapping[str, Any], store_uri: str) -> str:
    """What a step left, as a table. Holds names and numbers of ours and no text of a model."""
    rows = [("artifact", f"`{store_uri}/{manifest.ref}`")]
    if manifest.num_rows is not None:
        rows.append(("rows", f"{manifest.num_rows:,} ({manifest.schema_name})"))
    rows.append(("bytes", f"{sum(file.size for file in manifest.files):,}"))
    rows.append(("took", f"{cost['seconds']:,.1f} s on {cost['device']}"))
    rows += [(f"`{name}`", number(value)) for name, value in sorted(manifest.metrics.items())]
    rows += [(f"input `{port}`", f"`{ref}`") for port, ref in sorted(manifest.inputs.items())]
    return table(("", manifest.stage), rows)


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; bars and line ends in cells are escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def number(value: float) -> str:
    """Integers with separators, others with four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\r", " ").replace("\n", " ")
