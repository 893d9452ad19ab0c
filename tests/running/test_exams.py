"""Exams are looked up before any work: on one machine all of it, in a pipeline's first task what its image can."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from alma.config import Method, load
from alma.errors import ConfigError, DataError
from alma.running.exams import check_exams

EXAMPLES = Path(__file__).parents[2] / "examples"


def micro(*names: str, folder: str = "micro/tasks") -> Method:
    told = f"{{name = 'exams', kind = 'harness', tasks = {list(names)}, folder = {{source = '{folder}'}}}}"
    return load(EXAMPLES / "micro.toml", [f"alma.evaluators=[{told}]"])


def test_a_run_without_exams_looks_nothing_up() -> None:
    assert check_exams(load(EXAMPLES / "micro.toml"), EXAMPLES) == []


@pytest.mark.skipif(find_spec("lm_eval") is not None, reason="lm-eval is here: its own tests run instead")
def test_without_lm_eval_the_machine_refuses_and_the_pipeline_tells() -> None:
    with pytest.raises(ConfigError, match=r"evaluator_exams: .*needs lm_eval, which is not here: .*images/harness"):
        check_exams(micro("micro"), EXAMPLES)
    (line,) = check_exams(micro("micro"), EXAMPLES, held_elsewhere=True)
    assert line == "evaluator_exams: micro are looked up by its first pod, before a model is loaded"


@pytest.mark.harness
@pytest.mark.slow
def test_tasks_and_their_data_are_looked_up_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "micro" / "tasks", tmp_path / "tasks")
    cfg = micro("micro", folder="tasks")
    assert check_exams(cfg, tmp_path) == ["evaluator_exams: micro and their data are there"]
    assert {each.name for each in (tmp_path / "tasks").iterdir()} == {
        each.name for each in (EXAMPLES / "micro" / "tasks").iterdir()
    }
    (tmp_path / "tasks" / "questions.jsonl").unlink()
    with pytest.raises(DataError, match="evaluator_exams: task 'micro': its data cannot be found"):
        check_exams(cfg, tmp_path)
