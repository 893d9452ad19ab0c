"""What a pipeline's dashboard shows of a step: KFP's executor-output file and a page of Markdown.

The file is JSON that the launcher of a container component reads: every output artifact with its metadata; the scalars
of a ``system.Metrics`` artifact are its metadata. Nothing of kfp is imported. Format:
https://github.com/kubeflow/pipelines/blob/master/api/v2alpha1/pipeline_spec.proto (``ExecutorOutput``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from alma.artifact import Artifact, Cost, Manifest, Metrics, Rows
from alma.errors import ConfigError
from alma.regular import expand, parse
from alma.store import open_store
from alma.text.plain import plain

QUANTITIES = ("loss", "learning_rate", "grad_norm", "margin", "accuracy", "tokens_per_second", "memory_bytes")
"""What is shown of a training's steps."""

MOST = 1e300
"""Of a value that is drawn."""

BARS = "▁▂▃▄▅▆▇█"

SPREADS = ("score", "mean", "num_tokens")
"""Columns whose values are shown as a histogram."""

TEXTS = ("earlier", "prompt", "response", "chosen", "rejected", "score", "mean", "num_tokens")
"""Columns that are shown of the first rows."""

ROWS_SHOWN = 3

METRICS = "metrics"
"""The output that holds the scalars."""


def write_executor_output(executor_input: str, metrics: Metrics, metadata: Mapping[str, Any]) -> None:
    """Writes the file that ``executor_input`` (KFP's JSON) names: all outputs, ``metadata`` on the others than metrics.

    Raises ``ConfigError`` for JSON that is not an executor input.
    """
    whole = parse(executor_input, "--executor-input", ConfigError)
    metrics = {name: value for name, value in metrics.items() if math.isfinite(value)}  # JSON has no others
    try:
        outputs = whole["outputs"]
        path = expand(outputs["outputFile"], ConfigError)
        artifacts = {
            name: {"artifacts": [record | {"metadata": dict(metrics if name == METRICS else metadata)}]}
            for name, listed in outputs.get("artifacts", {}).items()
            for record in listed["artifacts"][:1]
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"--executor-input is not KFP's executor input: {type(error).__name__} {error}; leave it out"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"artifacts": artifacts}), encoding="utf-8")


def markdown(manifest: Manifest, cost: Cost | None, store_uri: str) -> str:
    """What a step left, as a table. Holds names and numbers of ours and no text of a model."""
    rows = [("artifact", f"`{store_uri}/{manifest.ref}`")]
    if manifest.num_rows is not None:
        rows.append(("rows", f"{manifest.num_rows:,} ({manifest.schema_name})"))
    rows.append(("bytes", f"{sum(file.size for file in manifest.files):,}"))
    rows.append(("took", f"{cost.seconds:,.1f} s on {cost.device}" if cost else "unknown: no cost.json"))
    rows += [(f"`{name}`", number(value)) for name, value in sorted(manifest.metrics.items())]
    rows += [(f"input `{port}`", f"`{ref}`") for port, ref in sorted(manifest.inputs.items())]
    return table(("", manifest.stage), rows) + curves(manifest, store_uri) + first_rows(manifest, store_uri)


def first_rows(manifest: Manifest, store_uri: str) -> str:
    """How scores and lengths spread, and the first rows as code. Empty for what holds no rows.

    Text of models is indented, on one line and cut, so that no character of it is read as markup.
    """
    artifact = Artifact.open(open_store(store_uri), manifest.ref)
    if not isinstance(artifact, Rows) or len(artifact) == 0:
        return ""
    spreads = ""
    for name in SPREADS:
        if name in artifact.table(stop=1).column_names:
            values = [value for value in artifact.table([name])[name].to_pylist() if value is not None]
            spreads += f"\n`{name}`\n\n{histogram(values)}" if values else ""
    shown = [(name, value) for row in artifact.table(stop=ROWS_SHOWN).to_pylist() for name, value in row.items()]
    code = "".join(f"    {name}: {plain(value)}\n" for name, value in shown if name in TEXTS and value is not None)
    return spreads + (f"\nfirst rows\n\n{code}" if code else "")


def histogram(values: Sequence[float], num_bins: int = 10, width: int = 30) -> str:
    """The values in equal bins from their least to their greatest, a line of text each, as code.

    Those that are not finite, or beyond what can be divided, are in none.
    """
    values = [value for value in values if abs(value) < MOST]
    if not values:
        return ""
    low, high = min(values), max(values)
    size = (high - low) / num_bins or 1.0
    counts = [0] * num_bins
    for value in values:
        counts[min(int((value - low) / size), num_bins - 1)] += 1
    lines = [
        f"    {low + place * size:8.4g} {'█' * round(width * count / max(counts)):{width}} {count:,}\n"
        for place, count in enumerate(counts)
    ]
    return "".join(lines if high > low else lines[:1])


def curves(manifest: Manifest, store_uri: str) -> str:
    """How a training went, a line per quantity; the report draws the same in full. Empty for what is no training."""
    named = next((file.name for file in manifest.files if file.name.endswith("/curve.jsonl")), None)
    if named is None:
        return ""
    model = Artifact.open(open_store(store_uri), manifest.ref)
    steps = [json.loads(line) for line in model.file(named).read_text(encoding="utf-8").splitlines()]
    speeds = model.steps_beside("speed.jsonl")  # not every trainer says
    rows = [
        (f"`{name}`", sparkline(values), number(values[0]), number(values[-1]))
        for lines in (steps, speeds)
        for name in QUANTITIES
        if (values := [line[name] for line in lines if _is_drawn(line.get(name))])
    ]
    return "\n" + table((f"{len(steps):,} steps", "", "first", "last"), rows) if rows else ""


def _is_drawn(value: Any) -> bool:
    """Whether it is a number; one that is not finite is a gap."""
    return isinstance(value, int | float) and not MOST <= abs(value) < math.inf


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """The values as a line of at most ``width`` bars, from their least to their greatest; what is not finite is a gap.

    More values than bars are averaged in blocks.
    """
    width = min(width, len(values))
    blocks = [values[len(values) * i // width : len(values) * (i + 1) // width] for i in range(width)]
    halves = [sum(block) / len(block) / 2 for block in blocks]  # the difference of two halves is finite
    finite = [half for half in halves if math.isfinite(half)]
    low, span = min(finite, default=0.0), max(finite, default=0.0) - min(finite, default=0.0)
    places = [(half - low) / span if span else 0.0 for half in halves]
    top = len(BARS) - 1
    return "".join(
        BARS[round(place * top)] if math.isfinite(half) else " " for place, half in zip(places, halves, strict=True)
    )


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A Markdown table; bars and line ends in cells are escaped."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def number(value: float) -> str:
    """Integers with separators, others with four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\r", " ").replace("\n", " ")
