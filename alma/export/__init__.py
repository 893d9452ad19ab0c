"""A sealed model as a folder that other tools take: named, with a card, and with what it came from.

::

    place      what a person calls a model → the store and the artifact
    lineage    the artifacts that it came from, back to what people wrote
    results    what the evaluations and validations in the store say of it
    card       README.md: the model card of the Hugging Face Hub
    folder     the folder
    push       the folder, uploaded to the Hub
"""

from __future__ import annotations

from alma.export.folder import Exported, export
from alma.export.push import push

__all__ = ["Exported", "export", "push"]
