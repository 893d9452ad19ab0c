"""The recipe of ALMA on the micro world, small and with the echo engine, run in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alma.artifact import Manifest
from alma.config import Alma, load
from alma.progress import Event
from alma.recipes import Outcome
from alma.recipes.alma import alma
from alma.running.local import Local
from alma.sections import Section
from alma.store import open_store

ROOT = Path(__file__).parents[2]

RUN_FILE = ROOT / "examples" / "micro.toml"
SMALL = [
    "alma.engine=echo",
    "alma.rounds=2",
    "alma.synthesize.num_attempts=400",
    "alma.synthesize.part_rows=150",
    "alma.diversify.num_clusters=20",
    "alma.distill.num_prompts=30",
    "alma.respond.num_prompts=20",
    "alma.respond.num_samples=6",
    "alma.respond.part_rows=48",
    "alma.judge.part_rows=48",
    "alma.curve.num_samples=2",
    "alma.evaluators.outsider.every=all",  # so that no point is another one for being the last
]


def settings(*overrides: str) -> Alma:
    return load(RUN_FILE, [*SMALL, *overrides])


class Ran:
    """One run in this process, and the events it showed; without ``pages``, whose charts take the time, no reports."""

    def __init__(self, cfg: Alma, store: Path | str, *, pages: bool = True) -> None:
        self.events: list[tuple[str, str]] = []
        self.store = open_store(str(store))
        self.local = Local(self.store, RUN_FILE.parent, self.show, isolate=False)
        self.outcome: Outcome = alma(cfg, self.local if pages else self.do_without_pages)

    def do_without_pages(self, stage: str, section: Section, *, label: str, **inputs: Any) -> Any:
        return None if stage == "report" else self.local(stage, section, label=label, **inputs)

    def show(self, label: str, event: Event) -> None:
        self.events.append((label, str(event["event"])))

    def computed(self) -> list[str]:
        return [label for label, event in self.events if event == "end"]

    def manifest(self, label: str) -> Manifest:
        return self.local.done[label]
