"""A whole run that takes a second or two, and what is left of it: what campaigns kill and disturb.

It begins with a store in which the base model is ingested already, whose proof would take most of the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alma.store import Store, open_store
from tests.builders.warm import Run, Warm

ROOT = Path(__file__).parents[2]
RUN_FILE = ROOT / "examples" / "isara-micro.toml"
SETTINGS = (
    *("engine=echo", "iterations=1", "repeats=[1]", 'report.sections=["cost"]'),
    *("baselines.in_context=false", "baselines.sft=false", "baselines.one_shot=false"),
    *("imitate.num_attempts=40", "imitate.part_rows=8", "evaluate.part_rows=60"),
)


def arguments(store: str) -> list[str]:
    """What follows ``alma``, to run it in ``store``."""
    changes = [word for setting in SETTINGS for word in ("--set", f"isara.{setting}")]
    return ["run", str(RUN_FILE), "--store", store, "--in-process", *changes]


@dataclass(frozen=True)
class Tiny:
    """The run, where it was never disturbed."""

    warm: Warm
    whole: dict[str, bytes]
    manifests: dict[str, bytes]

    def begin(self, store: str, log: Path, before: str = "", **environment: str) -> Run:
        """Starts a run in ``store`` with these variables, as on a machine of its own: its cache lies beside ``log``."""
        variables = {"ALMA_CACHE": str(log.with_suffix(".cache")), **environment}
        return self.warm.run(arguments(store), log, variables, before)

    def prepare(self, uri: str) -> Store:
        """A store with the base model and nothing else."""
        store = open_store(uri)
        model = next(name.rpartition("/")[0] for name in self.whole if name.endswith("/proof.json"))
        artifact = "/".join(model.split("/")[:2])
        names = [name for name in self.whole if name.startswith(artifact)]
        for name in sorted(names, key=lambda name: name.endswith("manifest.json")):
            store.write(name, self.whole[name])
        return store


def undisturbed(warm: Warm, folder: Path) -> Tiny:
    """Runs it once, from nothing."""
    log = folder / "log"
    run = warm.run(arguments(str(folder / "store")), log, {"ALMA_CACHE": str(folder / "cache")})
    assert run.wait(300) == 0, run.said
    store = open_store(str(folder / "store"))
    whole = {name: store.read(name) for name in store.list("") if not name.startswith((".scratch", "runs/"))}
    return Tiny(warm, whole, manifests(store))


def manifests(store: Store) -> dict[str, bytes]:
    """Every manifest but those of reports, whose pages state seconds."""
    names = [name for name in store.list("") if name.endswith("/manifest.json") and not name.startswith("report/")]
    return {name: store.read(name) for name in names}
