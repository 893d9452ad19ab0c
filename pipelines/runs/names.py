"""What a run is called: by what, what was changed, and a number: "alma-micro · alma.seed=2 · 3"."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from alma.pace import BETWEEN
from pipelines.runs import experiments
from pipelines.runs.client import Api

QUIET = ("store", "image_", "node_")
"""How parameters begin that say where a run runs, not what it does."""

LONGEST_CHANGES = 80
"""Characters; more is not read in a list of runs."""

LONGEST_VALUE = 30


def name_after(who: str, changed: Mapping[str, Any]) -> str:
    """The name without its number; ``changed`` are parameters over the pipeline's defaults."""
    parts = []
    for name, value in changed.items():
        if name == "changes":
            parts += [_line(line) for line in str(value).splitlines() if line.strip() and line.strip()[0] != "#"]
        elif not name.startswith(QUIET):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            parts.append(f"{name}={_cut(' '.join(text.split()), LONGEST_VALUE)}")
    return BETWEEN.join([who, *([_cut(", ".join(parts), LONGEST_CHANGES)] if parts else [])])


def numbered(api: Api, experiment_id: str, base: str) -> str:
    """``base`` with the number after the highest that a run of the experiment has."""
    pattern = re.compile(re.escape(base + BETWEEN) + r"(\d{1,9})\b")
    answer = api.ask(
        api.runs.run_service_list_runs,
        experiment_id=experiment_id,
        filter=experiments.display_name_has(base),
        sort_by="created_at desc",
        page_size=100,
    )
    found = [pattern.match(run.display_name or "") for run in answer.runs or []]
    return f"{base}{BETWEEN}{1 + max((int(each[1]) for each in found if each), default=0)}"


def of_attempt(name: str, attempt: int) -> str:
    """The name of another attempt at the same."""
    return name if attempt == 1 else f"{name}{BETWEEN}attempt {attempt}"


def _line(line: str) -> str:
    key, equals, value = line.strip().partition("=")
    return f"{key.strip()}{equals}{_cut(value.strip(), LONGEST_VALUE)}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
