"""Run files, drawn: other values, keys or bytes, and paths that are none."""

from __future__ import annotations

import random
import tomllib
from pathlib import Path

from tests.campaign.inputs import Case
from tests.campaign.inputs_values import as_toml, spoil_bytes, spoil_tree
from tests.campaign.inputs_words import word

ROOT = Path(__file__).parents[2]


def run_file(draw: random.Random, folder: Path, world: Path) -> Case:
    """A run file with other values, keys or bytes, planned, compiled or run."""
    del world
    name = draw.choice(("micro.toml", "llama3-8b.toml", "isara-micro.toml"))
    text = (ROOT / "examples" / name).read_bytes()
    note = name
    chance = draw.random()
    if chance < 0.65:
        text = as_toml(spoil_tree(draw, tomllib.loads(text.decode())))
    elif chance < 0.85:
        text = spoil_bytes(draw, text)
    elif chance < 0.93:
        deep = draw.choice((90, 1000))
        text += draw.choice((b"[a]\nb = " + b"[" * deep + b"]" * deep, b"[" + b"a." * deep + b"b]\nc = 1")) + b"\n"
    elif chance < 0.95:
        text = b"a = 1\n" * 200_000
    path = folder / "run.toml"
    path.write_bytes(text)
    if chance >= 0.95:
        path = Path(
            draw.choice(("pipe", "/dev/zero", "folder", "loop", "dangling", "secret.jsonl", "~nosuchuser/r", "n" * 300))
        )
    verb = draw.choice((["plan"], ["plan"], ["run", "--in-process"], ["compile"]))
    program = "pipelines" if verb == ["compile"] else "alma"
    sets = [f"--set={word(draw)}" for _ in range(draw.choice((0, 0, 0, 1)))]
    if program == "pipelines" and name != "isara-micro.toml":
        sets = ["--set=alma.rounds=1", *sets]  # a large graph takes its time
    out = (
        ["--output", draw.choice(("out.yaml", "folder", "nosuffix", "rows.jsonl/x", "n" * 300))]
        if program != "alma"
        else []
    )
    named = "run" if path.name == "run.toml" and not sets and program == "alma" and verb == ["plan"] else None
    return Case(
        program, [*verb, str(path if path.name != "run.toml" else "run.toml"), *sets, *out], folder, named, note
    )
