"""A folder of sheets for people to fill in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from alma.errors import ConfigError
from alma.sheet import argilla, label_studio
from alma.sheet.cells import MOST
from alma.sheet.draw import draw
from alma.sheet.key import FILE, as_jsonl
from alma.sheet.responses import responses
from alma.sheet.scale import GUIDELINES
from alma.sheet.spreadsheet import as_csv
from alma.store.files import publish


class Written(NamedTuple):
    """What was written: where, of what, and of how many rows."""

    files: list[Path]
    source: str
    num_rows: int
    num_prompts: int
    num_unusable: int
    """Responses that nobody is asked about: empty ones, those with control characters."""

    num_long: int
    """Rows with a text that Excel would cut."""


def write(
    name: str,
    folder: Path,
    *,
    store_uri: str,
    num_prompts: int = 200,
    per_prompt: int = 2,
    num_raters: int = 1,
    seed: int = 0,
) -> Written:
    """Draws from the responses ``name`` (see ``responses``) and writes the new ``folder``; the key last.

    ``num_raters`` is how many people are to rate each of them, which Argilla asks.
    Raises ``ConfigError`` where the folder is there and not empty or more is asked for than there is, ``DataError``
    where there are no such responses.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} exists already; give a new folder, or an empty one")
    if num_raters < 1:
        raise ConfigError(f"--raters {num_raters} must be 1 or more")
    source, items = responses(name, store_uri)
    drawn = draw(items, num_prompts, per_prompt, seed)
    texts = {
        "guidelines.txt": GUIDELINES,
        "sheet.csv": as_csv(drawn.items),
        **{f"argilla/{each}": text for each, text in argilla.files(drawn.items, num_raters).items()},
        **{f"label-studio/{each}": text for each, text in label_studio.files(drawn.items).items()},
        FILE: as_jsonl(drawn.items),
    }
    for each, text in texts.items():
        with publish(folder / each) as file:
            file.write(text.encode())
    num_long = sum(max(len(item.asked), len(item.response)) > MOST for item in drawn.items)
    of = {item.asked for item in drawn.items}
    return Written([folder / each for each in texts], source, len(drawn.items), len(of), drawn.num_unusable, num_long)
