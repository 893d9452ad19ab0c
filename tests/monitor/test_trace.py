"""Where a row came from: a store whose rows no stage wrote."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from alma.artifact.out import Out
from alma.artifact.records import PROMPT, RESPONSE
from alma.monitor.trace import print_trace, trace
from alma.store import open_store
from tests.builders.sealed import named, seal


def test_a_row_that_is_its_own_origin_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path / "store"))
    out = Out(store, named("curate", "rows"), tmp_path / "scratch")
    ids = [out.row_id(place) for place in range(2)]
    rows = [{"id": one, "candidate_id": other, "prompt": "p"} for one, other in zip(ids, ids[::-1], strict=True)]
    out.write(pa.Table.from_pylist(rows, schema=PROMPT), "prompt", 10)
    seal(out, "rows")
    found = trace(store, ids[0])
    assert [each.name for each in found.origins] == [ids[1]]
    assert [each.name for each in found.origins[0].origins] == [ids[0]]
    print_trace(store, ids[0])
    assert capsys.readouterr().out.count(f"{ids[0]} (above)") == 1


def test_names_of_anybodys_inputs_command_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = open_store(str(tmp_path / "store"))
    model = Out(store, named("finetune", "model", inputs={"rows\x1b[2J": "x\x1b[31m"}), tmp_path / "model")
    (model.folder / "config.json").write_text("{}")
    seal(model, "model")
    out = Out(store, named("respond", "rows"), tmp_path / "scratch")
    row = {"id": out.row_id(0), "prompt_id": out.row_id(0), "prompt": "p", "response": "r"}
    row |= {"checkpoint_id": str(model.ref), "sample_index": 0, "sample_seed": 1, "num_tokens": 1, "ended": True}
    out.write(pa.Table.from_pylist([row], schema=RESPONSE), "response", 10)
    seal(out, "rows")
    print_trace(store, out.row_id(0))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "x\\x1b[31m" in shown
