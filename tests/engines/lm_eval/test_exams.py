"""Exams by the real library on a small real model: its own numbers, and what is refused before a model is loaded."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from alma.engines import Mark, load_examiner
from alma.engines.lm_eval import model as models
from alma.engines.lm_eval import tasks
from alma.engines.ways import PROOF, Proof, Ways
from alma.errors import ConfigError, DataError
from alma.sections import Harness

pytestmark = [pytest.mark.harness, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[3] / "examples"
TASKS = EXAMPLES / "micro" / "tasks"
TASK = """
task: {name}
dataset_path: {data}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{answer}}}}"
{more}
"""


def harness(*names: str, **settings: Any) -> Harness:
    return Harness(name="exams", tasks=names, batch_rows=32, **settings)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The micro world's base as ``ingest`` leaves it."""
    folder = tmp_path_factory.mktemp("model") / "base"
    shutil.copytree(EXAMPLES / "micro" / "base", folder)
    template = tomllib.loads((EXAMPLES / "micro.toml").read_text())["alma"]["base"]["chat_template"]
    (folder / "chat_template.jinja").write_text(template)
    Proof("llama", Ways(), ()).write(folder / PROOF)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TASKS, tmp_path / "tasks"))


def task(folder: Path, name: str, data: str, more: str = "") -> None:
    (folder / f"{name}.yaml").write_text(TASK.format(name=name, data=data, more=more))


@pytest.fixture
def without_the_librarys_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The 14,000 task files of the library take ten seconds to read, and no test needs one."""
    from lm_eval.tasks import TaskManager

    made = TaskManager.__init__

    def init(self: Any, **given: Any) -> None:
        made(self, **given | {"include_defaults": False})

    monkeypatch.setattr(TaskManager, "__init__", init)


def test_marks_are_the_librarys_own_numbers(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of ``lm_eval run --model hf --apply_chat_template``, which calls ``simple_evaluate`` like this."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    heard: list[int] = []
    with load_examiner(harness("micro", limit=26, dtype="float32"), folder) as examiner:
        found = examiner.hold("micro", model, on_requests=heard.append)
    monkeypatch.chdir(folder)  # the data files are named from here
    theirs = lm_eval.simple_evaluate(
        model="hf",
        model_args={"pretrained": str(model), "dtype": "float32"},
        tasks=["micro"],
        task_manager=TaskManager(include_path=".", include_defaults=False),
        batch_size=32,
        device="cpu",
        limit=26,
        apply_chat_template=True,
    )
    told = theirs["results"]
    answer, knowledge = told["micro_answer"], told["micro_knowledge"]
    assert found == [
        Mark("micro_answer", "exact_match", answer["exact_match,none"], answer["exact_match_stderr,none"], 26, True),
        Mark("micro_knowledge", "acc", knowledge["acc,none"], knowledge["acc_stderr,none"], 26, True),
    ]
    assert 0.25 < found[1].value < 1, "it read a web about these questions"
    assert sum(heard) == 26 + 4 * 26
    assert not (Path.home() / ".cache" / "huggingface" / "datasets" / folder.name).exists()
    assert (folder / ".cache").is_dir()


def test_without_its_template_a_checkpoint_is_asked_in_bare_text(
    model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    loaded = models.hf_model

    def listening(cfg: Harness, model: Path) -> Any:
        lm = loaded(cfg, model)
        ask = lm.loglikelihood
        lm.loglikelihood = lambda requests: asked.extend(each.args[0] for each in requests) or ask(requests)
        return lm

    monkeypatch.setattr(models, "hf_model", listening)
    for chat in (True, False):
        cfg = harness("micro_knowledge", limit=1, chat_template=chat)
        with load_examiner(cfg, folder) as examiner:
            examiner.hold("micro_knowledge", model)
    assert asked == ["<s><user>copy fhil<assistant>"] * 4 + ["copy fhil"] * 4


@pytest.mark.usefixtures("without_the_librarys_own")
def test_an_unknown_name_is_told_with_those_that_are_like_it(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"knows no task 'micro_anwser'.* did you mean micro_answer"):
        load_examiner(harness("micro", "micro_anwser"), folder)


def test_a_data_set_that_cannot_be_had_is_named_before_a_model_is_loaded(folder: Path) -> None:
    task(folder, "far", "nobody/nothing")
    with pytest.raises(DataError, match=r"'far' needs the data set nobody/nothing of the Hub.*\nHF_HUB_OFFLINE is set"):
        load_examiner(harness("micro", "far"), folder)
    manager = tasks.find(["micro", "far"], folder)
    assert tasks.data_sets(manager, ["micro", "far"]) == ["nobody/nothing"]


def test_a_data_file_that_is_not_there_is_named(folder: Path) -> None:
    (folder / "questions.jsonl").unlink()
    with pytest.raises(DataError, match=r"its data cannot be found.*questions.jsonl"):
        load_examiner(harness("micro_answer"), folder)


def test_a_task_that_runs_what_the_model_wrote_is_refused(folder: Path) -> None:
    more = "dataset_kwargs:\n  data_files:\n    test: questions.jsonl\nunsafe_code: true"
    task(folder, "programs", "json", more)
    with pytest.raises(ConfigError, match=r"'programs' runs code that the model wrote"):
        load_examiner(harness("programs"), folder)


def test_more_tokens_than_the_context_holds_is_the_tasks_fault(model: Path, folder: Path) -> None:
    more = "dataset_kwargs:\n  data_files:\n    test: questions.jsonl\ngeneration_kwargs:\n  max_gen_toks: 4096"
    task(folder, "long", "json", more)
    with (
        load_examiner(harness("long", limit=1), folder) as examiner,
        pytest.raises(ConfigError, match=r"task 'long' cannot be asked of .*4096"),
    ):
        examiner.hold("long", model)
