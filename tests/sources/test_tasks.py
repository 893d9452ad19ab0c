"""A folder of tasks is what lies in it: no link leads out of it, or round in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from alma.errors import DataError
from alma.sources.tasks import task_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tasks" / "data").mkdir(parents=True)
    (tmp_path / "tasks" / "a.yaml").write_text("task: a\n")
    (tmp_path / "tasks" / "data" / "rows.jsonl").write_text("{}\n")
    return tmp_path / "tasks"


def test_a_link_to_a_file_in_the_folder_is_that_file(folder: Path) -> None:
    (folder / "rows.jsonl").symlink_to("data/rows.jsonl")
    assert [name for name, _ in task_files(folder, "tasks")] == ["a.yaml", "data/rows.jsonl", "rows.jsonl"]


def test_a_name_of_two_lines_is_refused(folder: Path) -> None:
    (folder / "a\nalma: all is well.yaml").touch()
    with pytest.raises(
        DataError, match=r"^tasks: 'a\\nalma: all is well.yaml' has a line break in its name; rename it$"
    ):
        task_files(folder, "tasks")


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "/etc", ".", "data", "nothing/../../secret"])
@pytest.mark.timeout(20)
def test_any_other_link_is_refused(folder: Path, target: str) -> None:
    """Two links to where they lie would be walked through for ever."""
    (folder.parent / "secret").write_text("secret")
    for name in ("x", "data/x", "data/y"):
        (folder / name).symlink_to(target)
    with pytest.raises(DataError, match=r"tasks: (data/)?[xy] is a link to "):
        task_files(folder, "tasks")
