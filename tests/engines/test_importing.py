"""A library that takes long to import is told of while it is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from alma import progress
from alma.engines import importing
from alma.engines.importing import imported
from alma.store import waiting


def test_a_slow_import_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(progress, "_hear", lambda event: said.append(event["message"]))
    monkeypatch.setattr(importing, "SECONDS", 0.05)
    monkeypatch.setattr(waiting, "_last_word", float("-inf"))
    monkeypatch.setattr(waiting, "_watcher", None)  # which sleeps still
    (tmp_path / "slow_library.py").write_text("import time\ntime.sleep(2)\nVALUE = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert imported("slow_library", "a slow library").VALUE == 1
    [message] = said
    assert re.fullmatch(r"a slow library is being imported for \d s; waits", message)
    assert imported("slow_library").VALUE == 1
    assert len(said) == 1


def test_the_first_tokenizer_imports_transformers_and_says_so(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom alma.engines import importing, tokenizer\n"
        "importing.SECONDS = 0.05\n"
        "try: tokenizer.load_tokenizer(Path(sys.argv[1]))\n"
        "except Exception: pass"
    )
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first = json.loads(done.stderr.splitlines()[0])
    assert first["event"] == "note"
    assert first["message"].startswith("transformers is being imported for ")
