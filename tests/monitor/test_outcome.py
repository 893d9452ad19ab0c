"""The table that a run ends with."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from alma.artifact import Manifest
from alma.artifact.manifest import find_manifest
from alma.monitor.outcome import _rounds
from tests.builders.bench import Bench
from tests.builders.sealed import seal


def sealed(bench: Bench, stage: str, **metrics: float) -> Manifest:
    out = bench.out(stage)
    seal(out, "model", metrics)
    found = find_manifest(bench.store, out.ref)
    assert found is not None
    return found


def test_each_row_is_a_point_with_what_outsiders_say_of_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    done = {
        "round 00 · evaluate": sealed(bench, "evaluate", judge_score=1.0, judge_score_error=0.1),
        "round 00 · evaluate few-shot": sealed(bench, "evaluate", judge_score=2.0, judge_score_error=0.1),
        "round 01 evaluation · evaluate": sealed(bench, "evaluate", judge_score=3.0, judge_score_error=0.1),
        "round 01 evaluation · evaluate skywork": sealed(bench, "reward", reward=-4.5, reward_error=0.25),
        "round 01 evaluation · evaluate other": sealed(bench, "contest", win_rate=0.625),
        "round 01 evaluation · evaluate safety": sealed(bench, "evaluate", refusal=0.5),
    }
    table = _rounds(done, "ALMA")
    console = Console(width=160)
    with console.capture() as shown:
        console.print(table)
    lines = shown.get().splitlines()
    assert [str(column.header) for column in table.columns][-2:] == ["skywork", "other"]
    [first, shots, second] = [line for line in lines if line.startswith("│ round")]
    assert "2.000" in shots
    assert shots.startswith("│ round 00, few-shot")
    assert first.rstrip("│ ").endswith("–")
    assert second.startswith("│ round 01 ")
    assert "-4.500 ± 0.250" in second
    assert "0.625" in second
