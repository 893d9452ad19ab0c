"""The best-of-n curve and the judge's validation of several runs, from their reports.

    python benchmarks/best_of_n.py store/report/*/files/*/report.json

Name one report of each run (equal curves count once). Prints mean ± standard error over runs, as Markdown.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ablations import mean_error


def curves(paths: list[Path]) -> list[dict[str, Any]]:
    """The different curves in these reports."""
    found: dict[str, dict[str, Any]] = {}
    for path in paths:
        for point in json.loads(path.read_text(encoding="utf-8"))["points"]:
            if point.get("best_of_n"):
                found[json.dumps(point["best_of_n"], sort_keys=True)] = point["best_of_n"]
    return list(found.values())


def main() -> None:
    """Prints the table."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    runs = curves([Path(name) for name in sys.argv[1:]])
    if not runs:
        sys.exit("no best-of-n curve in these reports (alma.curve.enabled = false?)")
    if len({tuple(run["n"]) for run in runs}) > 1:
        sys.exit("the curves are of other n (alma.curve.num_samples): name reports of runs that have the same")
    print(f"{len(runs)} runs, {runs[0]['num_referenced']} prompts each\n")
    print("| n | the judge's score of its pick | its pick is right | any of n is right |\n|---|---|---|---|")
    for place, n in enumerate(runs[0]["n"]):
        cells = [
            mean_error([run[name][place]["value"] for run in runs if run[name]])  # none without references
            for name in ("score", "pick", "any_correct")
        ]
        print(f"| {n} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
