"""A sentence-transformers model: the files it has besides those of any model, and the folders of its modules.

Not covered: modules with weights of their own in pickles: those files are left out, and loading reports it.
"""

from __future__ import annotations

import fnmatch
from pathlib import Path

from alma.errors import DataError

MODULES = "modules.json"
BELONGS = (MODULES, "config_sentence_transformers.json", "sentence_bert_config.json")
INNER = ("[0-9]_*/config.json", "[0-9]_*/model.safetensors")
"""Files of a module that has its own folder, such as ``1_Pooling``."""


def belongs(name: str) -> bool:
    """Whether a file of this name in the folder may be part of an embedder, besides what is part of any model."""
    return name in BELONGS or any(fnmatch.fnmatchcase(name, pattern) for pattern in INNER)


def module_files(folder: Path, source: str) -> list[Path]:
    """Those files of ``folder``. Raises ``DataError`` where it is not such a model."""
    if not (folder / MODULES).is_file():
        raise DataError(f"{source}: no {MODULES} in {folder}; name the folder that SentenceTransformer.save wrote")
    files = [folder / name for name in BELONGS if (folder / name).is_file()]
    return files + [path for pattern in INNER for path in folder.glob(pattern)]
