"""Cases, drawn: what people bring, spoilt, each kind by a function that draws into a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

from tests.campaign.inputs_answers import answers
from tests.campaign.inputs_model import model
from tests.campaign.inputs_rows import ROWS, rows
from tests.campaign.inputs_run_file import run_file
from tests.campaign.inputs_sheet import sheets
from tests.campaign.inputs_store import store
from tests.campaign.inputs_values import as_json
from tests.campaign.inputs_words import words

KINDS = {
    "run_file": run_file,
    "rows": rows,
    "model": model,
    "store": store,
    "words": words,
    "answers": answers,
    "sheets": sheets,
}
SHARES = {"run_file": 6, "rows": 8, "model": 3, "store": 5, "words": 5, "answers": 2, "sheets": 2}
"""How often each is drawn: a model takes a second of a core."""


def prepare(folder: Path) -> None:
    """What lies in every case's folder: a pipe, a folder, links to nowhere, rows, a file that may not be read."""
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "dangling").symlink_to("nothing")
    (folder / "rows.jsonl").write_bytes(b"\n".join(map(as_json, ROWS)))
    (folder / "secret.jsonl").write_bytes(b"{}")
    (folder / "secret.jsonl").chmod(0)
