"""The ``openai`` engine against a real HTTP server, in front of the model that the ``hf`` engine runs beside it."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alma.engines import TOO_LONG, Completion, load_embedder, load_generator
from alma.engines.openai import http
from alma.engines.openai.generate import check_pool
from alma.errors import AccessError, ConfigError, TransientError
from alma.prompts import joined, quote
from alma.running.stage import run
from alma.sections import Embed, Evaluate, Inference, IngestModel, IngestRows, OpenAI, Sampling, Synthesize
from alma.store import open_store
from tests.builders.asking import generate
from tests.builders.models import TEXTS, gpt2, llama, saved
from tests.builders.openai_server import Fault, ServerStub, serving

SAMPLING = Sampling(temperature=1.0, top_p=0.95)
SEEDS = [[5, 2**63 + 5, 7], [1], [], [2**64 - 1, 3], [9] * 4, [11, 12]]
MICRO = Path(__file__).parents[2] / "examples" / "micro"
KEY = "sk-not-a-key-but-looked-for"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("model"), llama, ten=False)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "FIRST_WAIT_SECONDS", 0.01)


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(levels):
        found = {"a": found}
    return found


def section(address: str, **settings: Any) -> Inference:
    return Inference(engine="openai", openai=OpenAI(endpoint=address, **({"model": "served"} | settings)))


@contextmanager
def engine_of(stub: ServerStub, **settings: Any) -> Any:
    with serving(stub) as address, load_generator(section(address, **settings), stub.folder) as engine:
        stub.bodies.clear()
        yield engine


@pytest.mark.parametrize("extensions", ["none", "vllm"])
@pytest.mark.parametrize("prompts", ["tokens", "text"])
@pytest.mark.parametrize("make", [llama, gpt2], ids=lambda make: make.__name__)
def test_text_order_and_count_are_those_of_hf(
    tmp_path: Path, make: Callable[[int], Any], prompts: str, extensions: str
) -> None:
    stub = ServerStub(saved(tmp_path, make, ten=make is gpt2), vllm=extensions == "vllm")
    rng = random.Random(0)
    stub.delay = lambda: rng.uniform(0, 0.03)  # answers come in another order than requests
    texts = ["abc", "a", "hello 7 beg", "q a b r: ", "ij ij 10", "<s>ab 10"]
    heard: list[int] = []
    masked = [[seed % 2**63 for seed in seeds] for seeds in SEEDS]
    for sampling, seeds in ((SAMPLING, SEEDS), (None, [[0]] * len(texts))):
        wanted = generate(stub.engine, texts, masked if sampling else seeds, sampling, max_new_tokens=20, stop=["a:"])
        with engine_of(stub, prompts=prompts, extensions=extensions) as engine:
            found = generate(engine, texts, seeds, sampling, max_new_tokens=20, stop=["a:"], on_tokens=heard.append)
            assert engine.chat("abc") == stub.engine.chat("abc")
        assert found == wanted
        assert sum(heard) == sum(each.num_tokens for several in found for each in several)
        assert len(stub.bodies) == sum(map(len, seeds))
        heard.clear()


def test_a_prompt_that_spells_a_special_token_is_sent_as_tokens(folder: Path) -> None:
    """A server's tokenizer would find it; the texts of all others are sent as they are."""
    with engine_of(ServerStub(folder), prompts="text") as engine:
        for content, is_text in (("ab", True), ("a</s>b", False)):
            text = joined(["<s>", quote(content), " "])
            [ids] = engine.encode([text])
            assert engine.prompt(text, ids) == (f"{content} " if is_text else ids)
            assert engine.tokenizer.eos_token_id not in ids


def test_requests_are_bounded(folder: Path) -> None:
    stub = ServerStub(folder, delay=lambda: 0.02)
    with engine_of(stub, max_concurrent=3) as engine:
        generate(engine, TEXTS, [[1, 2, 3]] * len(TEXTS), SAMPLING, max_new_tokens=2)
    assert stub.peak == 3


def test_a_text_too_long_is_not_sent(folder: Path) -> None:
    for context, room in ((None, 96), (20, 20), (True, 96)):  # the model's own, or what the server says that it has
        stub = ServerStub(folder, context=context)
        with engine_of(stub) as engine:
            texts = ["a" * (room - 3), "a" * (room - 1), "a" * room]  # and <s>
            found = generate(engine, texts, [[1], [1, 2], [3]], None, max_new_tokens=50)
        assert found[1:] == [[TOO_LONG, TOO_LONG], [TOO_LONG]]
        [body] = stub.bodies
        assert (len(body["prompt"]), body["max_tokens"]) == (room - 2, 2)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(429, b'{"error": {"message": "slow down"}}', {"Retry-After": "0"}), id="429"),
        pytest.param(Fault(503, b"<html>", {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), id="503-date"),
        pytest.param(Fault(500, b"oops", {"Retry-After": "soon"}), id="500"),
        pytest.param(Fault(reset=True), id="reset"),
        pytest.param(Fault(200, b"<html>Sign in</html>"), id="html"),
        pytest.param(Fault(200, b""), id="empty"),
        pytest.param(Fault(200, b'{"choices": [{"finish_reason": "abort"}]}'), id="abort"),
    ],
)
def test_what_may_pass_is_tried_again(folder: Path, fault: Fault) -> None:
    stub = ServerStub(folder)
    with engine_of(stub) as engine:
        wanted = generate(engine, TEXTS, [[1, 2]] * len(TEXTS), SAMPLING, max_new_tokens=8)
        stub.bodies.clear()
        stub.faults = deque([fault, None, fault, fault, None, fault])
        assert generate(engine, TEXTS, [[1, 2]] * len(TEXTS), SAMPLING, max_new_tokens=8) == wanted
    assert len(stub.bodies) == 2 * len(TEXTS) + 4


def test_a_timeout_is_tried_again(folder: Path) -> None:
    waits = iter([0.0, 1.5, *[0.0] * 9])
    stub = ServerStub(folder, delay=lambda: next(waits))
    with engine_of(stub, timeout_seconds=0.5) as engine:
        assert len(generate(engine, ["abc"], [[1]], SAMPLING, max_new_tokens=2)) == 1
    assert len(stub.bodies) == 2


def test_retry_after_is_waited_for(folder: Path) -> None:
    stub = ServerStub(folder)
    with engine_of(stub) as engine:
        stub.faults = deque([Fault(429, b"", {"Retry-After": "1"})])
        start = time.monotonic()
        generate(engine, ["abc"], [[1]], SAMPLING, max_new_tokens=2)
    assert time.monotonic() - start >= 1.0


@pytest.mark.parametrize(
    ("fault", "num_tries", "said"),
    [
        pytest.param(Fault(429, b'{"error": {"message": "quota"}}', {"Retry-After": "9999"}), 1, "9999 s", id="long"),
        pytest.param(Fault(503, b'{"detail": "starting"}'), 3, "HTTP 503: starting, at try 3 of 3", id="503"),
        pytest.param(Fault(reset=True), 3, "at try 3 of 3", id="reset"),
    ],
)
def test_what_does_not_pass_ends_it_for_another_try(folder: Path, fault: Fault, num_tries: int, said: str) -> None:
    stub = ServerStub(folder)
    with engine_of(stub, retries=2, max_concurrent=1) as engine:
        stub.faults = deque([fault] * 50)
        with pytest.raises(TransientError, match=said) as caught:
            generate(engine, TEXTS, [[1]] * len(TEXTS), SAMPLING, max_new_tokens=2)
    assert caught.value.exit_code == 75
    assert len(stub.bodies) == num_tries


def test_a_refusal_in_the_middle_ends_what_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = ServerStub(folder)
    with engine_of(stub, max_concurrent=2) as engine:
        # One waits for its next try, the other is refused for good.
        stub.faults = deque(
            [Fault(429, b"", {"Retry-After": "200"}), Fault(422, b'{"error": {"message": "no seeds"}}')]
        )
        start = time.monotonic()
        with pytest.raises(ConfigError, match="HTTP 422: no seeds"):
            generate(engine, ["abc", "a"], [[1], [1]], SAMPLING, max_new_tokens=2)
    assert time.monotonic() - start < 100


def refused(stub: ServerStub, error: type[Exception], **settings: Any) -> str:
    """What the error says with which the engine does not start."""
    with serving(stub) as address, pytest.raises(error) as caught:
        load_generator(section(address, **settings), stub.folder)
    return str(caught.value)


def test_what_is_wrong_is_said_before_work_starts(folder: Path) -> None:
    stub = ServerStub(folder)
    said = "does not serve openai.model = 'other'; it serves: served"
    assert said in refused(stub, ConfigError, model="other")
    stub.lists = Fault(404)
    said = "has no openai.model = 'other' or no /completions: HTTP 404"
    assert said in refused(stub, ConfigError, model="other")
    stub.lists = Fault(302, headers={"Location": "https://elsewhere/\x1b[2J"[:18]})
    assert "redirects /models to https://elsewhere/, where the key is not sent" in refused(stub, ConfigError)
    stub.lists = Fault(200, b'{"hello": 1}')
    assert "does the address end in /v1" in refused(stub, ConfigError)
    stub.lists = Fault(200, b"[" * 100_000)
    assert "what is no JSON" in refused(stub, TransientError, retries=0)
    stub.lists = None
    stub.faults = deque([Fault(400, b'{"message": "prompt must be a string"}')])
    assert "refuses the request to /completions: HTTP 400: prompt must be a string" in refused(stub, ConfigError)
    stub.faults = deque([Fault(400, b"[" * 100_000)])
    assert "HTTP 400: [[[" in refused(stub, ConfigError)
    stub.lists = Fault(200, b"{}", headers={"Content-Encoding": "gzip, gzip"})
    assert "answers /models compressed" in refused(stub, ConfigError)


@pytest.mark.parametrize(("name", "value"), [("HTTP_PROXY", "what://x"), ("SSL_CERT_FILE", "/nowhere")])
def test_an_environment_that_no_client_can_be_made_in_is_said(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert name in refused(ServerStub(folder), ConfigError)


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "\u2603"])
def test_a_host_that_can_have_no_address_is_said(host: str) -> None:
    connection = http.Connection(OpenAI(endpoint=f"http://{host}/v1", model="m"))
    with pytest.raises(ConfigError, match=r"openai\.endpoint = .* is no address: .*; mend it"):
        connection.ask("GET", "/models")
    connection.close()


def test_an_endpoint_that_is_down_is_said_at_once(folder: Path) -> None:
    with serving(ServerStub(folder)) as address:
        pass
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"cannot be reached .*check the address"):
        load_generator(section(address), folder)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"text": None}, "'text': 'NoneType'", id="text"),
        pytest.param({"text": 5}, "'text': 'int'", id="number"),
        pytest.param({"finish_reason": "\x1b[31m"}, "finish_reason", id="reason"),
        pytest.param({"finish_reason": ["stop"]}, "'finish_reason': ['stop']", id="reasons"),
        pytest.param({"text": None, "finish_reason": nested(500)}, "'finish_reason': {'a': {'a': {", id="nested"),
    ],
)
def test_an_answer_of_another_form_is_refused(folder: Path, change: dict[str, Any], said: str) -> None:
    stub = ServerStub(folder, change=lambda answer: answer["choices"][0].update(change))
    message = refused(stub, ConfigError)
    assert said in message
    assert message.isprintable()


def test_an_answer_without_usage_or_choice_is_refused(folder: Path) -> None:
    without_usage = ServerStub(folder, change=lambda answer: answer.pop("usage"))
    assert "'usage': None" in refused(without_usage, ConfigError)
    for count in (None, True, -1, 2**31, 10**30, 1.5, "5"):
        wrong = ServerStub(folder, change=lambda answer, count=count: answer["usage"].update(completion_tokens=count))
        assert f"'completion_tokens': {count!r}"[:60] in refused(wrong, ConfigError)
    without_choices = ServerStub(folder, change=lambda answer: answer.pop("choices"))
    assert "one choice" in refused(without_choices, ConfigError)
    with_two = ServerStub(folder, change=lambda answer: answer["choices"].append({}))
    assert "one choice" in refused(with_two, ConfigError)


def test_an_endless_answer_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BYTES", 2**20)
    assert "more than 1 MiB" in refused(ServerStub(folder, lists=Fault(200, b" " * 2**21)), ConfigError)


@pytest.mark.parametrize(
    ("text", "stop", "wanted"),
    [
        pytest.param("half \ud800 a", (), Completion("half ? a", 9, ended=True), id="surrogate"),
        pytest.param("abc</s>de", (), Completion("abc", 9, ended=False), id="special"),
        pytest.param("ab\nq 2", ["\nq"], Completion("ab", 9, ended=True), id="stop-kept-by-the-server"),
        pytest.param("", (), Completion("", 9, ended=True), id="empty"),
    ],
)
def test_the_servers_text_is_not_trusted(folder: Path, text: str, stop: Any, wanted: Completion) -> None:
    def change(answer: dict[str, Any]) -> None:
        answer["choices"][0] |= {"text": text, "finish_reason": "stop"}
        answer["usage"]["completion_tokens"] = 9

    with engine_of(ServerStub(folder, change=change)) as engine:
        assert generate(engine, ["abc"], [[1]], SAMPLING, max_new_tokens=9, stop=stop) == [[wanted]]


def test_a_server_is_sent_as_many_stop_texts_as_it_takes(folder: Path) -> None:
    """And the text is cut at the others too."""
    stop = ["1:", "2:", "3:", "4:", "\nq"]

    def change(answer: dict[str, Any]) -> None:
        answer["choices"][0].update(text="ab\nq 2", finish_reason="length")

    for extensions, sent in (("none", stop[:4]), ("vllm", stop)):
        stub = ServerStub(folder, change=change, vllm=extensions == "vllm")
        with engine_of(stub, extensions=extensions) as engine:
            [[found]] = generate(engine, ["abc"], [[1]], SAMPLING, max_new_tokens=9, stop=stop)
            assert (found.text, found.ended) == ("ab", True)
            assert [body["stop"] for body in stub.bodies] == [sent]


def test_the_key_is_sent_and_shown_nowhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    stub = ServerStub(folder, key=KEY)
    with pytest.raises(ConfigError, match=r"'MY_KEY': that environment variable is not set"):
        load_generator(section("http://localhost:1/v1", key_variable="MY_KEY"), folder)
    monkeypatch.setenv("MY_KEY", KEY + "\n")  # as files of secrets end
    with engine_of(stub, key_variable="MY_KEY") as engine:
        generate(engine, ["abc"], [[1]], SAMPLING, max_new_tokens=2)
    assert "refuses a request without a key (set openai.key_variable)" in refused(stub, AccessError)
    monkeypatch.setenv("MY_KEY", KEY + "2")
    other = refused(stub, AccessError, key_variable="MY_KEY")
    assert "refuses the key in $MY_KEY: HTTP 401: " in other
    assert "[key]" in other
    monkeypatch.setenv("MY_KEY", f"{KEY} {KEY}")
    two = refused(stub, ConfigError, key_variable="MY_KEY")
    assert "holds a space or line break" in two
    assert KEY not in other + two + caplog.text


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint": "http://user:hidden@host/v1"},
        {"endpoint": "https://host/v1?key=hidden"},
        {"endpoint": "hidden"},
        {"key_variable": "sk-hidden"},
        {"key_variable": "hidden"},
    ],
)
def test_a_key_in_the_settings_is_refused_and_not_shown(settings: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        OpenAI(**({"endpoint": "http://host/v1", "model": "m"} | settings))
    [fault] = caught.value.errors()
    assert fault["type"] == "value_error"  # of which alma.config.explain shows the message and not the value
    assert "hidden" not in fault["msg"]


def test_what_an_endpoint_cannot_do_is_said(folder: Path) -> None:
    cfg = section("http://localhost:1/v1")
    with pytest.raises(ConfigError, match="'openai' cannot embed; those that can: echo, hf, vllm"):
        load_embedder(Embed(engine="openai", openai=cfg.openai), folder)
    with pytest.raises(ConfigError, match="one model answers and another one scores"):
        load_generator(Evaluate(engine="openai", openai=cfg.openai), folder)
    with pytest.raises(ConfigError, match="pool of 2"):
        check_pool([folder, folder])
    with pytest.raises(ValidationError, match=r"set openai.endpoint, openai.model"):
        Inference(engine="openai")
    penalised = Sampling(repetition_penalty=1.2)
    with engine_of(ServerStub(folder)) as engine, pytest.raises(ConfigError, match=r"repetition_penalty = 1\.2"):
        generate(engine, ["abc"], [[1]], penalised, max_new_tokens=2)
    stub = ServerStub(folder, vllm=True)
    with engine_of(stub, extensions="vllm") as engine:
        generate(engine, ["abc"], [[1]], penalised, max_new_tokens=2)
    assert stub.bodies[0]["repetition_penalty"] == 1.2


SETTINGS = {
    "endpoint": st.sampled_from(["http://a/v1", "https://b:8000/v1"]),
    "model": st.sampled_from(["m", "n"]),
    "revision": st.sampled_from([None, "2"]),
    "key_variable": st.sampled_from([None, "KEY"]),
    "prompts": st.sampled_from(["tokens", "text"]),
    "timeout_seconds": st.sampled_from([1.0, 600.0]),
    "max_concurrent": st.sampled_from([1, 64]),
    "retries": st.sampled_from([0, 8]),
}
HOW = {"endpoint", "key_variable", "timeout_seconds", "max_concurrent", "retries"}


@given(st.fixed_dictionaries(SETTINGS), st.fixed_dictionaries(SETTINGS))
def test_a_key_follows_what_is_asked_and_not_how(one: dict[str, Any], other: dict[str, Any]) -> None:
    keyed = [Inference(engine="openai", openai=OpenAI(**each)).keyed() for each in (one, other)]
    what = [{name: value for name, value in each.items() if name not in HOW} for each in (one, other)]
    assert (keyed[0] == keyed[1]) == (what[0] == what[1])


def test_other_engines_keys_know_nothing_of_it() -> None:
    named = Inference(engine="hf", openai=OpenAI(endpoint="http://a/v1", model="m"))
    assert named.keyed() == Inference(engine="hf").keyed()
    assert "openai" not in Inference().model_dump()
    assert Inference.model_validate(named.model_dump()) == named


def test_a_stage_keeps_key_and_address_to_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole stage, with the shipped micro model behind the endpoint: the same prompts wherever it lies."""
    monkeypatch.setenv("MY_KEY", KEY)
    store = open_store(str(tmp_path / "store"))
    ingested = {
        "model": IngestModel(source=str(MICRO / "base")),
        "seeds": IngestRows(kind="pairs", source=str(MICRO / "sft_seeds.jsonl")),
    }
    inputs = {port: run("ingest", section, {}, store).ref for port, section in ingested.items()}
    stub = ServerStub(MICRO / "base", key=KEY, delay=lambda: 0.0)
    asked = Synthesize(num_attempts=6, part_rows=4, sampling=Sampling(max_new_tokens=8))
    manifests = []
    for _ in range(2):
        with serving(stub) as address:
            openai = OpenAI(endpoint=address, model="served", key_variable="MY_KEY")
            changed = asked.changed(engine="openai", openai=openai)
            manifests.append(run("synthesize", changed, inputs, store))
    assert manifests[0] == manifests[1]  # another port: found sealed
    assert len(stub.bodies) == 6 + 1  # and what is asked before work starts
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"synthesize" in content
    assert KEY.encode() not in content
    assert address.rpartition(":")[0].encode() not in content
