"""Labels of one's own: responses as sheets for people, and what people filled in as scores for a run.

::

    responses     what a person calls responses → rows
    item          what is rated: a prompt and a response, under an id that is a hash of both
    draw          which of them, in which order
    write         a folder of sheets, with the key to them
    key           what was given to raters, in the run's own spelling
    cells         texts that no spreadsheet takes for formulas, numbers or dates; and back
    spreadsheet   CSV
    argilla       a dataset of Argilla 2
    label_studio  tasks and the labelling interface of Label Studio
    scale         the paper's scale in words (guidelines.txt)
    score         what a rater gave, checked against the key
    read          filled-in files → scores.jsonl, heldout.jsonl
    agreement     how far two raters agree

Raters see no checkpoint: rows are shuffled, ids are hashes of what is seen, and the key stays with who wrote them.
"""

from __future__ import annotations

from alma.sheet.read import read
from alma.sheet.write import write

__all__ = ["read", "write"]
