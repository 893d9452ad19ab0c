"""The ``openai`` engine over a real server, vLLM's, beside ``hf`` and ``vllm`` on the shipped micro model."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from alma.engines import load_generator, load_scorer
from alma.errors import ConfigError
from alma.sections import Inference, Judge, OpenAI, Sampling
from tests.builders.asking import generate, score

BASE = Path(__file__).parents[3] / "examples" / "micro" / "base"
TEMPLATE = "<s><review>{prompt}<assistant>{response}<rating>"
ASKED = ["<s><list>what", "how many", "2+2", "<s><user>say abc<assistant>"]
SAMPLING = Sampling(temperature=1.0, top_p=0.9)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(BASE), "--port", str(port)]
    command += ["--served-model-name", "base", "--dtype", "float32", "--enforce-eager", "--host", "127.0.0.1"]
    command += ["--kv-cache-memory-bytes", str(200 * 2**20), "--max-logprobs", "30"]
    quiet = {"TORCHDYNAMO_DISABLE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, **quiet}, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 500
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"vLLM's server did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # its engine is a process of its own
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def served(address: str, **settings: str) -> OpenAI:
    return OpenAI(endpoint=address, model="base", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("extensions", ["none", "vllm"])
@pytest.mark.parametrize("prompts", ["tokens", "text"])
def test_greedy_text_is_that_of_hf(address: str, extensions: str, prompts: str) -> None:
    with load_generator(Inference(), BASE) as engine:
        wanted = generate(engine, ASKED, [[0]] * len(ASKED), None, max_new_tokens=24)
        stopped = generate(engine, ASKED, [[0]] * len(ASKED), None, max_new_tokens=24, stop=["\n", "e"])
    cfg = Inference(engine="openai", openai=served(address, extensions=extensions, prompts=prompts))
    with load_generator(cfg, BASE) as engine:
        found = generate(engine, ASKED, [[0]] * len(ASKED), None, max_new_tokens=24)
        cut = generate(engine, ASKED, [[0]] * len(ASKED), None, max_new_tokens=24, stop=["\n", "e"])
    if extensions == "vllm":
        assert (found, cut) == (wanted, stopped)
    for one, other in zip(chain.from_iterable(found), chain.from_iterable(wanted), strict=True):
        assert one.text.startswith(other.text)  # without the extensions, special tokens do not end it


def test_samples_are_those_of_the_vllm_engine(address: str) -> None:
    seeds = [[1, 2**64 - 1, 3]] * len(ASKED)
    with load_generator(Inference(engine="vllm", vllm={"kv_cache_gib": 0.1}), BASE) as engine:  # type: ignore[arg-type]
        wanted = generate(engine, ASKED, seeds, SAMPLING, max_new_tokens=24)
    cfg = Inference(engine="openai", openai=served(address, extensions="vllm"))
    with load_generator(cfg, BASE) as engine:
        assert generate(engine, ASKED, seeds, SAMPLING, max_new_tokens=24) == wanted


@pytest.mark.parametrize("extensions", ["none", "vllm"])
def test_ratings_are_those_of_hf(address: str, extensions: str) -> None:
    prefixes, suffixes = ["<s><review>2+2<assistant>", "<s><review>abc<assistant>"], [["4<rating>", "5<rating>"]] * 2
    with load_scorer(Judge(template=TEMPLATE), BASE) as scorer:
        wanted = score(scorer, prefixes, suffixes, max_tokens=90)
    cfg = Judge(engine="openai", template=TEMPLATE, openai=served(address, extensions=extensions))
    with load_scorer(cfg, BASE) as scorer:
        found = score(scorer, prefixes, suffixes, max_tokens=90)
    for one, other in zip(chain.from_iterable(found), chain.from_iterable(wanted), strict=True):
        assert one.probs_R == pytest.approx(other.probs_R, abs=1e-3 if extensions == "vllm" else 0.02)
        assert one.mass == pytest.approx(other.mass, abs=1e-3 if extensions == "vllm" else 0.02)


def test_its_refusals_are_clear(address: str) -> None:
    unknown = OpenAI(endpoint=address, model="other")
    with pytest.raises(ConfigError, match=r"does not serve openai.model = 'other'; it serves: base"):
        load_generator(Inference(engine="openai", openai=unknown), BASE)
    many = OpenAI(endpoint=address, model="base", top_logprobs=40)
    with pytest.raises(ConfigError, match="HTTP 400"):
        load_scorer(Judge(engine="openai", template=TEMPLATE, openai=many), BASE)
