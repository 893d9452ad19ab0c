"""What is looked at of a sentence-transformers model before the library is asked, which need not be here."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma.engines.sentence.embed import _check
from alma.errors import DataError


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[", r"modules\.json line 1 column 2 is not JSON"),
        ("[" * 5000, "nested too deep"),
        ('{"type": "sentence_transformers.models.Pooling"}', "no list of modules"),
        ('["sentence_transformers.models.Pooling"]', "no list of modules"),
        ('[{"type": "os.path"}]', "'os.path', which is not sentence-transformers' own"),
    ],
    ids=["cut off", "deep", "an object", "texts", "another's"],
)
def test_modules_that_are_none_are_refused_by_their_file(tmp_path: Path, written: str, said: str) -> None:
    (tmp_path / "modules.json").write_text(written)
    with pytest.raises(DataError, match=said):
        _check(tmp_path)
