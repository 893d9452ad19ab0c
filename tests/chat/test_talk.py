"""What becomes of lines: with models that answer by rule, so that nothing is loaded."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from alma.chat import memory
from alma.chat.commands import COMMANDS, command_of, said
from alma.chat.find import Found
from alma.chat.pipe import Pipe
from alma.chat.screen import Screen
from alma.chat.settings import Settings
from alma.chat.speaker import Answer, Speaker
from alma.chat.talk import Talk
from alma.engines import Completion, GenerateRequest
from alma.errors import ConfigError, DataError, UserError

ESCAPE = "\x1b[31mred\x1b]0;title\x07 \u202eback\r"


class Rule:
    """``alma.engines.Streamer``: answers with the number of characters that it reads, and its seed."""

    def __init__(self, room: int | None = None, answer: str = "") -> None:
        self.most, self.answer = room, answer

    def __enter__(self) -> Rule:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def chat(self, prompt: str, earlier: Sequence[Any] = ()) -> str:
        return "|".join([*(f"{turn.content}" for turn in earlier), prompt])

    def stops(self, rating_template: str | None = None) -> tuple[str, ...]:
        return ()

    def room(self, text: str) -> int | None:
        return None if self.most is None else max(0, self.most - len(text))

    def stream(self, request: GenerateRequest) -> Iterator[Completion]:
        [text], [[seed]] = request.texts_P, request.seeds_PN
        whole = self.answer or f"{len(text)} {seed % 1000}"
        for size in range(1, len(whole) + 1):
            yield Completion(whole[:size], size, ended=size == len(whole))


class Script:
    """``alma.chat.talk.Face`` with the lines of a test."""

    def __init__(self, *lines: str) -> None:
        self.given, self.notes, self.faults, self.answers = lines, [], [], []  # type: ignore[var-annotated]

    def lines(self) -> Iterator[str]:
        yield from self.given

    def show(self, streams: Any) -> list[tuple[Completion, bool]]:
        return [(list(stream)[-1], False) for _, stream in streams]

    def told(self, answers: Sequence[tuple[str, Answer]]) -> None:
        self.answers.append([answer.text for _, answer in answers])

    def note(self, text: str) -> None:
        self.notes.append(text)

    def fault(self, error: UserError) -> None:
        self.faults.append(str(error))


def settings(**changed: Any) -> Settings:
    whole = {"temperature": 0.7, "top_p": 0.9, "max_new_tokens": 100, "seed": 0, "system": None}
    return Settings.of(**whole | changed)


def talk(*lines: str, engines: Sequence[Rule] | None = None, **changed: Any) -> tuple[Script, list[Speaker]]:
    face, wanted = Script(*lines), settings(**changed)
    speakers = [Speaker(f"m{place}", each, wanted) for place, each in enumerate(engines or [Rule()])]
    Talk(speakers, wanted, face).run()
    return face, speakers


def test_a_conversation_is_kept_and_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    face, _ = talk(
        "hello",
        "",
        "and",
        f"/save {file}",
        "/new",
        "hello",
        f"/save {file}",
        "/quit",
        "never",
        engines=[Rule(), Rule()],
    )
    first, second, again = ([text.split()[0] for text in said] for said in face.answers)
    assert first == again == ["5", "5"]
    length = len("hello|" + face.answers[0][0] + "|and")
    assert second == [str(length)] * 2
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(row["model"], len(row["messages"])) for row in rows] == [("m0", 4), ("m1", 4), ("m0", 2), ("m1", 2)]
    assert [turn["role"] for turn in rows[0]["messages"]] == ["user", "assistant"] * 2
    assert rows[0]["messages"][2]["content"] == "and"
    assert not face.faults


def test_another_answer_takes_the_place_of_the_last() -> None:
    face, [speaker] = talk("hello", "/again", "/again", "more")
    drawn = [said for [said] in face.answers]
    assert len(set(drawn[:3])) == 3, "another seed each time"
    assert [answer.text for answer in speaker.answers] == drawn[2:]
    assert talk("hello", "/again")[0].answers == face.answers[:2], "the same talk is answered alike"
    assert talk("hello", seed=1)[0].answers != face.answers[:1]
    assert "nothing was asked yet" in talk("/again")[0].faults[0]
    greedy, [kept] = talk("hello", "/again", temperature=0)
    assert "at temperature 0 the answer would be the same" in greedy.faults[0]
    assert len(kept.answers) == 1


def test_what_models_are_told_first_begins_a_new_conversation(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    lines = ("hi", f"/save {file}", "/system Be short.", "hi", f"/save {file}", "/system", "hi", f"/save {file}")
    face, _ = talk(*lines, system="Be kind.")
    assert [said.split()[0] for [said] in face.answers] == [str(len("Be kind.|hi")), str(len("Be short.|hi")), "2"]
    roles = [[turn["role"] for turn in json.loads(line)["messages"]] for line in file.read_text().splitlines()]
    assert roles == [["system", "user", "assistant"]] * 2 + [["user", "assistant"]]


def test_a_template_that_does_not_write_a_turn_is_said() -> None:
    class Strict(Rule):
        def chat(self, prompt: str, earlier: Sequence[Any] = ()) -> str:
            if earlier:
                raise DataError("the template leaves out a turn; change the section of the rows")
            return prompt

    face, _ = talk("hi", "again", "/new", "hi", engines=[Strict()])
    assert face.faults == ["m0: its chat template does not write these earlier turns; /new asks the next prompt alone"]
    assert len(face.answers) == 2
    face, _ = talk("hi", "/system", "hi", engines=[Strict()], system="Be kind.")
    assert "does not write a system turn; /system without a text goes on" in face.faults[0]
    assert len(face.answers) == 1


def test_a_full_context_is_said_and_nothing_is_dropped() -> None:
    face, speakers = talk("12345", "678", engines=[Rule(), Rule(room=12)])
    assert "fills the context of m1: nothing was asked and nothing forgotten" in face.faults[0]
    assert [len(each.answers) for each in speakers] == [1, 1]
    cut = talk("1234", engines=[Rule(room=6, answer="ab")])[1][0].answers[0]
    assert cut.end == "ended"


@pytest.mark.parametrize(
    ("num", "room", "stopped", "end"),
    [(100, None, False, "limit"), (3, 3, False, "context"), (3, 9, False, "marker"), (3, 9, True, "stopped")],
)
def test_why_an_answer_is_over(num: int, room: int | None, stopped: bool, end: str) -> None:
    speaker = Speaker("m", Rule(room=room), settings())
    assert speaker.keep("", "", Completion("abc", num, ended=False), stopped=stopped).end == end


@given(st.text(max_size=20))
def test_a_line_is_a_command_or_said(line: str) -> None:
    try:
        found = command_of(line)
    except DataError as error:
        assert line.startswith("/")
        assert "/" in str(error)  # noqa: PT017 - which lines are wrong is the property
        return
    if found is None:
        assert said(line) == (line[1:] if line.startswith("//") else line)
    else:
        assert found.name in {each.split()[0] for each in COMMANDS}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("/nwe", "/nwe is no command; there are /new"),
        ("/save", "needs the name of a file"),
        ("/new talk", "takes nothing behind it"),
        ("/save /nowhere/there/x.jsonl", "/nowhere/there/x.jsonl"),
        ("a\x1b[0m", "a control character"),
        ("half \udc80", "half a character"),
    ],
)
def test_a_wrong_line_is_told_and_the_talk_goes_on(line: str, wrong: str) -> None:
    face, _ = talk("first", line, "last")
    assert [wrong in fault for fault in face.faults] == [True]
    assert len(face.answers) == 2


@pytest.mark.parametrize("width", [60, 120])
def test_a_models_text_never_commands_the_terminal(width: int) -> None:
    file = io.StringIO()
    screen = Screen(Console(file=file, force_terminal=True, width=width, height=20, color_system=None))
    names = ["a\x1b[2J", "b"]
    done = screen.show(
        [(name, Rule(answer=ESCAPE * 40).stream(GenerateRequest([""], [[0]], None, 9))) for name in names]
    )
    screen.told(
        [(name, Answer("", each.text, each.num_tokens, "limit")) for name, (each, _) in zip(names, done, strict=True)]
    )
    screen.note(ESCAPE)
    screen.fault(DataError(ESCAPE))
    assert [each.text for each, _ in done] == [ESCAPE * 40] * 2
    for command in ("\x1b[31m", "\x1b]", "\x07", "\u202e", "\x1b[2J"):
        assert command not in file.getvalue()
    assert "⟨U+001B⟩" in file.getvalue()


@pytest.mark.parametrize("num", [1, 2])
def test_ctrl_c_stops_an_answer_and_keeps_what_came(num: int) -> None:
    def endless() -> Iterator[Completion]:
        for size in range(1, 1000):
            if size == 5:
                os.kill(os.getpid(), signal.SIGINT)
            yield Completion("x" * size, size, ended=False)
        pytest.fail("it was not stopped")

    before = signal.getsignal(signal.SIGINT)
    screen = Screen(Console(file=io.StringIO(), force_terminal=True, width=120))
    done = screen.show([("m", endless())] + [("n", iter([Completion("n", 1, ended=True)]))] * (num - 1))
    assert done[0][1]
    assert done[0][0].text == "xxxxx"
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_the_first_token_stops_the_answer_and_not_the_talk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template may take its time; what is at its place then is the one line's."""

    class Slow(Rule):
        def chat(self, prompt: str, earlier: Sequence[Any] = ()) -> str:
            if prompt == "one":
                os.kill(os.getpid(), signal.SIGINT)
            return super().chat(prompt, earlier)

    lines = iter(["one", "two"])

    def asked(_: str) -> str:
        if line := next(lines, None):
            return line
        raise EOFError

    monkeypatch.setattr("builtins.input", asked)
    before = signal.getsignal(signal.SIGINT)
    speaker = Speaker("m", Slow(answer="yes"), settings())
    Talk([speaker], settings(), Screen(Console(file=io.StringIO(), width=120))).run()
    assert [(each.text, each.end) for each in speaker.answers] == [("", "stopped"), ("yes", "ended")]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_system_text_that_is_no_text_is_refused_and_the_talk_goes_on() -> None:
    face, speaker = Script("one", "/system a\udcff", "two"), Speaker("m", Rule(), settings())
    Talk([speaker], settings(), face).run()
    assert "the system text has half a character" in face.faults[0]
    assert len(speaker.answers) == 2, "nothing was forgotten"


def test_a_pipe_ends_at_the_first_fault(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def through(data: bytes, *, as_json: bool) -> str:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        speaker = Speaker("m", Rule(answer=ESCAPE), settings())
        Talk([speaker], settings(), Pipe(as_json=as_json)).run()
        return capsys.readouterr().out

    assert through(b"hello\n\nmore\n", as_json=False).count("⟨U+001B⟩") == 4
    told = [json.loads(line) for line in through(b'"a\\nb"\n"/new"\n"c"', as_json=True).splitlines()]
    assert [(each["prompt"], each["response"], each["end"]) for each in told] == [
        ("a\nb", ESCAPE, "ended"),
        ("c", ESCAPE, "ended"),
    ]
    for data, as_json, wrong in [
        (b"hello\n/nwe\n", False, "line 2 of the input: /nwe is no command"),
        (b"\xff\n", False, "line 1 of the input: byte 0 is not UTF-8"),
        (b"hello\n", True, "line 1 of the input: 'hello' is no text as JSON"),
    ]:
        with pytest.raises(DataError, match=wrong):
            through(data, as_json=as_json)


def test_a_model_that_does_not_fit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("6000000\n")
    (tmp_path / "memory.current").write_text("5000000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 2000000\n")
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    8000 kB\n")
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "count_gpus", lambda: 0)
    assert memory.free_bytes() == 3_000_000
    micro = Found("micro", Path(__file__).parents[2] / "examples" / "micro" / "base")  # 0.86 M parameters
    memory.check_fits(micro, "bfloat16")
    with pytest.raises(
        ConfigError, match=r"micro: its weights take .* as float32, .*one model at a time, --dtype bfloat16"
    ):
        memory.check_fits(micro, "auto")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_bytes() == 8000 * 1024


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"temperature": -1}, "--temperature -1"),
        ({"temperature": 1e-300}, "--temperature 1e-300: input should be greater than or equal to 0.001"),
        ({"temperature": 1e308}, r"temperature is 1e\+308, and .* give a smaller one"),
        ({"top_p": 1e-300}, "--top-p 1e-300"),
        ({"top_p": 2}, "--top-p 2"),
        ({"max_new_tokens": 0}, "--max-new-tokens 0"),
    ],
)
def test_impossible_settings_are_named(changed: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        settings(**changed)
