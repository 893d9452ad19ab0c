"""Artifacts in the place of others, given to a stage by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma.artifact import Model, Page, Rows
from alma.errors import ConfigError, DataError
from alma.running.stage import check_kinds
from alma.stages import STAGES, load_stage
from tests.builders.bench import Bench


@pytest.mark.parametrize("name", STAGES)
def test_every_input_has_a_kind_and_takes_no_other(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    bench, stage = Bench(tmp_path), load_stage(name)
    brought = {Model: bench.model(tmp_path / "folder", ""), Rows: bench.rows("prompt", [])}
    assert set(stage.kinds) == set(stage.ports)
    for port, kind in stage.kinds.items():
        assert kind in (Rows, Model, Page)
        for other, artifact in brought.items():
            if other is kind:
                check_kinds(stage, {port: artifact})
            else:
                with pytest.raises(
                    ConfigError, match=rf"stage {name} takes .* as its input '{port}', and {artifact.ref} is"
                ):
                    check_kinds(stage, {port: artifact})


def test_rows_of_another_table_lack_a_column(tmp_path: Path) -> None:
    rows = Bench(tmp_path).rows("prompt", [])
    with pytest.raises(DataError, match=f"{rows.ref} holds prompt rows, which have no 'vector'; they have id, "):
        rows.table(["id", "vector"])
