"""What libraries print, in whatever way, is on standard error; results alone are on standard output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alma import cli, sources
from alma.stdout import kept_for_results

CHATTER = """
import logging, os, subprocess, sys
from alma.stdout import kept_for_results

logger = logging.getLogger("a library's")
logger.addHandler(logging.StreamHandler(sys.stdout))
print("begun")
with kept_for_results():
    print("printed")
    logger.warning("logged")
    sys.__stdout__.write("written before the end\\n")
    os.write(1, b"by C\\n")
    subprocess.run([sys.executable, "-c", "print('by a process')"])
print("result")
"""


def test_chatter_of_every_kind_is_kept_off() -> None:
    done = subprocess.run([sys.executable, "-c", CHATTER], capture_output=True, text=True, check=True)
    assert done.stdout == "begun\nresult\n"
    said = {"printed", "logged", "written before the end", "by C", "by a process"}
    assert set(done.stderr.splitlines()) == said


def test_the_last_to_leave_leads_back(capfd: pytest.CaptureFixture[str]) -> None:
    """Threads enter one after the other, and leave in the same order."""
    first, second = kept_for_results(), kept_for_results()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    os.write(1, b"chatter")
    second.__exit__(None, None, None)
    os.write(1, b"result")
    assert capfd.readouterr() == ("result", "chatter")


def test_a_process_without_standard_output_works_too() -> None:
    lines = [
        "import os",
        "os.close(1)",
        "from alma.stdout import kept_for_results",
        "with kept_for_results():",
        " print(1)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stderr == "1\n"


def test_a_stage_prints_the_name_of_its_artifact_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"prompt": "a", "response": "b"}) + "\n", encoding="utf-8")

    def chatty(*_: object) -> list[Path]:
        print("[WARNING] [real_accelerator.py:213:get_accelerator] Setting accelerator to CPU.")
        return [rows]

    monkeypatch.setattr(sources, "fetch_rows", chatty)
    section = json.dumps({"source": str(rows), "kind": "pairs"})
    with pytest.raises(SystemExit) as ended:
        cli.main(["stage", "ingest", "--config", section, "--store", str(tmp_path / "store")])
    out, err = capfd.readouterr()
    assert not ended.value.code, err
    assert out.splitlines() == [out.strip()]
    assert out.startswith("ingest/")
    assert "get_accelerator" in err
