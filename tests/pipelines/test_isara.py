"""The pipeline of ISARA, compiled and run by kfp.local: what it leaves is what a local run leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma.config import Isara, load
from alma.recipes.isara import isara
from alma.running.local import Local
from alma.store import open_store
from tests.builders.pipeline_here import compiled, placement, run_here, steps_in

RUN_FILE = Path(__file__).parents[2] / "examples" / "isara-micro.toml"
SMALL = [
    "isara.engine=echo",
    "isara.iterations=1",
    "isara.repeats=[4]",
    "isara.imitate.num_attempts=20",
    "isara.imitate.min_words=1",
    "isara.baselines.in_context=false",
    "isara.evaluation_prompts.limit=10",
]

pytestmark = pytest.mark.filterwarnings("ignore:Task '.*have no effect in the current local runner:UserWarning")


def test_a_pipeline_leaves_what_a_local_run_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = compiled(RUN_FILE, SMALL, placement(), tmp_path / "pipeline.yaml")
    store = tmp_path / "store"
    done = run_here(package, {"store": str(store)}, tmp_path / "root", monkeypatch)
    assert done.failed == []
    cfg = load(RUN_FILE, SMALL)
    assert isinstance(cfg, Isara)
    local = Local(open_store(str(tmp_path / "here")), RUN_FILE.parent, lambda *_: None, isolate=False)
    isara(cfg, local)
    sealed = {entry.label: entry.ref for entry in steps_in(store) if entry.state == "sealed"}
    assert sealed == {label: str(manifest.ref) for label, manifest in local.done.items()}
    for manifest in local.done.values():
        if manifest.stage != "report":  # the page shows what the work took
            assert (store / str(manifest.ref) / "manifest.json").read_bytes() == manifest.to_bytes()
    pages = [path.read_text(encoding="utf-8") for path in done.folder.rglob("finish/page")]
    assert len(pages) == 1
    assert "one-shot" in pages[0]
