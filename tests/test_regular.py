"""What people bring as files is looked at before it is opened."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from alma.config.runfile import read_tree
from alma.errors import ConfigError, DataError
from alma.regular import check_levels, check_regular, expand, parse, read_regular
from alma.running.form import fill_in, resolve
from alma.running.pod import json_object
from alma.store.files import publish


def test_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"pipe: is a pipe, and not a regular file"):
        check_regular(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"RUN: is a device"):
        read_regular(Path("/dev/zero"), 10, named="RUN", kind=ConfigError)


def test_a_file_beyond_its_bound_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 2**40)
    with pytest.raises(DataError, match=r"large: has 1,099,511,627,776 bytes, and 1,000 are the most"):
        read_regular(tmp_path / "large", 1000)


def test_a_file_that_cannot_be_read_is_named() -> None:
    with pytest.raises(OSError, match=r"Input/output error: '/proc/self/mem'"):
        read_regular(Path("/proc/self/mem"), 10)


def test_a_run_file_that_is_none_is_said_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError) as told:
        read_tree(tmp_path / "pipe")
    assert str(told.value).endswith(
        "pipe: is a pipe, and not a regular file; write what it gives into a file, and name that"
    )
    assert str(told.value).count("pipe:") == 1


@pytest.mark.parametrize(
    ("path", "said"), [("~nosuchuser/x", "knows no user"), ("a\0b", "NUL"), ("a\ud800", "half a character")]
)
def test_what_is_no_path_is_said(path: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        expand(path)


def test_a_stack_that_is_full_is_no_fault_of_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> Path:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(Path, "expanduser", full)
    with pytest.raises(RecursionError):
        expand("a")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "more than 4,300 digits; write a shorter one"),
        ('{"a":\n ]', "line 2 column 2 is not JSON"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_json_that_python_cannot_hold_is_said(text: str | bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"x.json.*{said}"):
        parse(text, "x.json")


def test_json_of_more_values_than_memory_is_said() -> None:
    """In a process of its own: one that has given memory back may take it again below the bound."""
    code = (
        "import resource\nfrom alma import regular\nregular.JSON_MEMORY = 2**22\n"
        "before = resource.getrlimit(resource.RLIMIT_AS)\n"
        "try: regular.parse('[' + '[],' * 1_500_000 + '[]]', 'x.json')\n"
        "except regular.DataError as error: print(error)\n"
        "assert resource.getrlimit(resource.RLIMIT_AS) == before"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "x.json: its values take more than 4 MiB of memory; is it the right file" in done.stdout


def test_no_device_or_folder_is_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(ConfigError, match=r"name another file to be written"), publish(path):
            raise AssertionError
    assert (tmp_path / "pipe").is_fifo()


DEEP = ".".join(["a"] * 1000)


@pytest.mark.parametrize("text", [f"alma.{DEEP} = 1", f"[alma.{DEEP}]", f"[[alma.{DEEP}]]\nx = 1"])
def test_a_run_file_of_a_thousand_levels_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"run\.toml: alma\.a\.a\.a… is nested in more than 64 levels; .* out"):
        read_tree(tmp_path / "run.toml")


@pytest.mark.parametrize("override", [f"alma.{DEEP}=1", f"alma.a={{ {DEEP} = 1 }}"])
def test_a_setting_of_a_thousand_levels_is_refused(tmp_path: Path, override: str) -> None:
    (tmp_path / "run.toml").write_text("[alma]")
    with pytest.raises(ConfigError, match=r"--set 'alma\.a.*': .* more than 64 levels") as told:
        read_tree(tmp_path / "run.toml", [override])
    assert len(str(told.value)) < 400


def test_what_a_form_or_a_pod_is_given_is_bounded_too() -> None:
    nested = '{"a":' * 100 + "1" + "}" * 100
    with pytest.raises(ConfigError, match=r"--config .*: a\.a\.a\.a… is nested in more than 64 levels"):
        json_object(nested, "--config")
    with pytest.raises(ConfigError, match=r"the form's vllm: a\.a\.a\.a… is nested"):
        fill_in({"form field": "vllm", "json": True}, {"vllm": nested})
    with pytest.raises(ConfigError, match=r"the form's changes: 'alma\.a.*': names more than 64 levels"):
        resolve({"alma": {}}, f"alma.{DEEP}=1", {})


def test_sixty_four_levels_are_read() -> None:
    check_levels(json_object('{"a":' * 64 + "1" + "}" * 64, "--config"), "it")
