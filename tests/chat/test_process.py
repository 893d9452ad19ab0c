"""``alma chat`` as a process, with tiny real models and lines through a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alma.chat.find import find
from alma.engines.ways import PROOF, Proof, Ways
from alma.errors import DataError
from tests.builders.models import llama, saved

TURNS = (
    "<s>{% for message in messages %}{% if message['role'] == 'user' %}q {{ message['content'] }} a "
    "{% else %}{{ message['content'] }}</s>{% endif %}{% endfor %}"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = saved(tmp_path_factory.mktemp("chat") / "tiny", llama, ten=False)
    (folder / "chat_template.jinja").write_text(TURNS)
    Proof("llama", Ways(), ()).write(folder / PROOF)
    return folder


def chat(given: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alma", "chat", *map(str, words), "--max-new-tokens", "8"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, input=given, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_a_talk_through_a_pipe(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.symlink_to(model)
    file = tmp_path / "talk.jsonl"
    lines = ["abc", "/again", "ab 7", f"/save {file}", "/new", "a" * 90]
    done = chat("".join(json.dumps(line) + "\n" for line in lines), model, other, "--json")
    assert done.returncode == 2, done.stderr
    assert "line 6 of the input: the conversation fills the context of " in done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["prompt"] for answer in answers] == ["abc"] * 4 + ["ab 7"] * 2
    assert answers[0]["response"] == answers[1]["response"] != answers[2]["response"]
    assert {answer["end"] for answer in answers} <= {"ended", "limit", "marker", "context"}
    mine, _ = (json.loads(line)["messages"] for line in file.read_text().splitlines())
    assert [turn["content"] for turn in mine] == ["abc", answers[2]["response"], "ab 7", answers[4]["response"]]


def test_a_reward_model_is_not_talked_with() -> None:
    outsider = Path(__file__).parents[2] / "examples" / "micro" / "outsider"
    with pytest.raises(DataError, match=r"outsider: .*LlamaForSequenceClassification.*needs a causal language model"):
        find(str(outsider), "store")


def test_what_cannot_be_talked_with_is_told(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no config\.json"):
        find(str(tmp_path), "store")
    for each in model.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(DataError, match=r"has no chat template.*add chat_template\.jinja"):
        find(str(tmp_path), "store")
    config = json.loads((model / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": "512"}))
    with pytest.raises(DataError, match=r"tokenizer_config\.json: model_max_length.*it is '512'.*mend it there"):
        find(str(tmp_path), "store")
