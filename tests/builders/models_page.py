"""``docs/models.md``: what is proven of each architecture. A row per architecture, each made by itself."""

from __future__ import annotations

from pathlib import Path

import transformers

from alma.engines.ways import Proof

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
COMMAND = ".venv/bin/pytest --every-architecture --regenerate-golden tests/engines/models/test_page.py"

_COLUMNS = (
    (
        "joined rows",
        "SFT joins the rows of a forward pass into one sequence without padding (`packing`)",
        "`padded`: padding is computed too; with rows of like lengths that is little",
    ),
    (
        "side by side",
        "rows of several lengths are padded into one batch",
        "`equal lengths`: prompts of other lengths are generated and rated after one another, and the judge is trained "
        "a row at a time; `alone`: all is done a row at a time",
    ),
    (
        "cache",
        "a prompt is read once for all its samples, then a token at a time",
        "`per sample`: a prompt is read for each sample; `none`: the whole text is read again for every token, which "
        "is slow for long answers",
    ),
    (
        "shared beginnings",
        "responses to one prompt are rated after it was read once",
        "`read whole`: the judge reads the prompt again for every response",
    ),
    (
        "beyond a border",
        "positions that are turned otherwise in long texts (`longrope`, `dynamic`) follow each row's own length",
        "`–`: the model of this table has no border",
    ),
    (
        "DPO",
        "the first loss is log 2 and the margin 0",
        "`no`: chosen and rejected have to be read side by side; it is refused before anything is loaded",
    ),
)
_TOP = """# Models

Written by `{command}`
with transformers {version}. Nobody writes a row by hand: each is what `alma.engines.probe` finds out about a small
random model of the architecture. `make models` compares every engine on that model (generation, ratings, references,
embeddings, the first losses of SFT, DPO and the judge) with plain transformers, one text at a time.

**Your own model** is proven by `alma probe MODEL`, in seconds, from its `config.json` alone. `ingest` does the same,
keeps the proof with the model, and refuses what cannot be used before a GPU is held. That proof counts, not this
table: a config decides too (a window, a border, ALiBi), and a model whose architecture is not listed is proven just so.

What is not *proven* is not done: the safe way that is named instead is taken by itself, and said. Results are the
same, only time and memory differ.

| column | proven means | otherwise |
|---|---|---|
{columns}

| architecture | {names} |
|---|{bars}|
"""
_CACHE = {"shared": "proven", "own": "per sample", "none": "none"}


def row(model_type: str, proof: Proof) -> str:
    """A line of the table, without its end."""
    if proof.refusal:
        why = proof.refusal.partition("cannot be used: ")[2].partition(" (")[0]
        return f"| {model_type} | refused: {why} | | | | | |"
    ways = proof.ways
    side = "proven" if ways.left and ways.right else "equal lengths" if ways.right else "alone"
    cells = (
        "proven" if ways.packed else "padded",
        side,
        _CACHE[ways.cache],
        "proven" if ways.prefix else "read whole",
        "proven" if any("rotary border" in each.check for each in proof.findings) else "–",
        "proven" if ways.right else "no",
    )
    return f"| {model_type} | {' | '.join(cells)} |"


def rows() -> dict[str, str]:
    """The rows of the page as it is, by architecture."""
    lines = PAGE.read_text(encoding="utf-8").splitlines() if PAGE.is_file() else []
    start = next((place for place, line in enumerate(lines) if line.startswith("| architecture")), len(lines))
    return {line.split(" | ")[0].removeprefix("| "): line for line in lines[start + 2 :]}


def page(rows: dict[str, str]) -> str:
    """The whole page."""
    top = _TOP.format(
        command=COMMAND,
        version=transformers.__version__,
        columns="\n".join(f"| {' | '.join(each)} |" for each in _COLUMNS),
        names=" | ".join(name for name, _, _ in _COLUMNS),
        bars="|".join("---" for _ in _COLUMNS),
    )
    return top + "".join(f"{rows[name]}\n" for name in sorted(rows))
