"""Stores, drawn: one object spoilt, and a command that reads it."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

from tests.campaign.inputs import Case
from tests.campaign.inputs_values import NUMBERS, as_json, spoil_bytes, spoil_tree


def store(draw: random.Random, folder: Path, world: Path) -> Case:
    """A store with one object spoilt, and a command that reads it."""
    place = folder / "store"
    shutil.copytree(world / "store", place, copy_function=os.link)
    objects = sorted(
        path for path in place.rglob("*") if path.is_file() and path.suffix in (".json", ".parquet", ".html")
    )
    objects = [path for path in objects if "/files/" not in str(path) or path.name == "report.json"]
    path = draw.choice(objects)
    data = path.read_bytes()
    chance = draw.random()
    path.unlink()
    if chance < 0.65 and path.suffix == ".json":
        path.write_bytes(as_json(spoil_tree(draw, json.loads(data))))
    elif chance < 0.95:
        path.write_bytes(spoil_bytes(draw, data))
    else:
        draw.choice((os.mkfifo, Path.mkdir, lambda _: None))(path)
    refs = [str(each.parent.relative_to(place)) for each in sorted(place.glob("*/*/manifest.json"))]
    ref = str(path.relative_to(place).parent) if path.name in ("manifest.json", "cost.json") else draw.choice(refs)
    reports = [each for each in refs if each.startswith("report/")]
    runs = sorted({each.name for each in (place / "runs").iterdir() if each.is_dir()})
    models = [each for each in refs if (place / each).parts[-2] in ("ingest", "finetune")]
    words = draw.choice(
        (
            ["show", ref],
            ["show", ref, "--rows", str(draw.choice(NUMBERS))],
            ["show", f"store/{ref}/manifest.json"],
            ["trace", f"{ref.replace('/', '-')}-{draw.choice((0, 1, 10**30))}"],
            ["status"],
            ["status", draw.choice(runs)],
            ["export", draw.choice(models), "made"],
            ["compare", *reports, "--out", "made"],
            ["compare", draw.choice(runs), "--out", "made"],
            ["finish", "--run", draw.choice(runs)],
        )
    )
    return Case("alma", [*words, "--store", "store"], folder, None, str(path.relative_to(place)))
