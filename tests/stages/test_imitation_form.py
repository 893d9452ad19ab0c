"""ISARA says so where a model writes its data in another form than it is trained and asked in."""

from pathlib import Path

import pytest

from alma.engines.chat import turns_template
from alma.sections import Imitate, Turns
from alma.stages.imitate.form import two_forms
from tests.builders.models import llama, saved

TURNS = Turns(question="q {question} a", answer=" {answer}\n")
"""The template of ``saved``, its BOS aside, which every text begins with."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("model"), llama, ten=False)


def test_another_form_is_said_and_the_same_is_not(folder: Path) -> None:
    told = two_forms(Imitate(), folder)
    assert told is not None
    assert "'### Human: Which way?\\n### Assistant:'" in told
    assert "'<s>q Which way? a '" in told
    assert two_forms(Imitate(turns=TURNS), folder) is None
    assert two_forms(Imitate(engine="echo"), folder) is None


def test_a_template_of_the_turns_is_their_form(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(turns_template(folder, Turns()))
    assert two_forms(Imitate(), folder) is None
