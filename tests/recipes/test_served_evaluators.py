"""The whole recipe with a served model beside its judge, which grades and compares; over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alma import cli
from alma.artifact import Rows
from alma.engines.openai.endpoint import Endpoint
from alma.errors import ConfigError, DataError
from alma.progress import Event, hear, json_lines
from alma.recipes.graph import graph
from alma.running.endpoints import check_endpoints
from alma.sections import OpenAI
from alma.store import waiting
from tests.builders.chat_server import ChatStub
from tests.builders.ingested import write_lines
from tests.builders.recipe import ROOT, RUN_FILE, SMALL, Ran, settings
from tests.builders.serving import serving

NUM_PROMPTS = 12
KEY = "sk-not-a-key-but-looked-for"


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alma.win_rate.NUM_RESAMPLES", 30)


@pytest.fixture
def stub() -> ChatStub:
    return ChatStub(key=KEY)


@pytest.fixture
def overrides(tmp_path: Path, stub: ChatStub, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    monkeypatch.setenv("GRADER_KEY", KEY)
    lines = (ROOT / "examples" / "micro" / "eval_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines[: NUM_PROMPTS - 1]]
    write_lines(tmp_path / "answers.jsonl", [{"prompt": prompt, "response": "an answer"} for prompt in prompts])
    with serving(stub) as address:
        gpt = f'name="gpt", kind="chat", openai={{endpoint="{address}", model="served", key_variable="GRADER_KEY"}}'
        other = f'name="other", kind="answers", by="gpt", answers={{source="{tmp_path / "answers.jsonl"}"}}'
        yield [
            f"alma.evaluation_prompts.limit={NUM_PROMPTS}",
            *("alma.rounds=1", "alma.distill.enabled=false", "alma.curve.enabled=false", "alma.base_shots=0"),
            f"alma.evaluators=[{{{gpt}}}, {{{other}, max_missing_share=0.1}}]",
        ]


@pytest.mark.slow
def test_a_run_is_graded_and_compared_at_every_point(tmp_path: Path, stub: ChatStub, overrides: list[str]) -> None:
    store = tmp_path / "store"
    ran = Ran(settings(*overrides), store, pages=False)
    points = ["round 00", "round 01", "round 02"]
    requests = NUM_PROMPTS + 2 * (NUM_PROMPTS - 1)
    paid = 0
    for point in points:
        graded, compared = (ran.manifest(f"{point} · evaluate {name}") for name in ("gpt", "other"))
        pairs = ran.manifest(f"{point} · evaluate other pairs")
        paid += int(graded.metrics["num_paid_tokens"] + pairs.metrics["num_paid_tokens"])
        assert 1 <= graded.metrics["score"] <= 10
        assert compared.metrics["num_compared"] == NUM_PROMPTS - 1
        assert compared.metrics["win_rate_low"] <= compared.metrics["win_rate"] <= compared.metrics["win_rate_high"]
        rows = Rows(ran.store, compared).table(["fault", "num_paid_tokens"]).to_pylist()
        assert [row["fault"] for row in rows].count("missing") == 1
        assert sum(row["num_paid_tokens"] for row in rows) == pairs.metrics["num_paid_tokens"]
    assert len(stub.bodies) == len(points) * requests
    assert paid == stub.tokens
    again = Ran(settings(*overrides), store, pages=False)
    assert again.computed() == []
    assert len(stub.bodies) == len(points) * requests, "what is sealed is not asked for again"
    content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in content


def test_a_key_that_is_not_set_is_said_before_any_work(
    tmp_path: Path, overrides: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GRADER_KEY")
    with pytest.raises(ConfigError, match=r"evaluator_gpt: openai\.key_variable = 'GRADER_KEY'"):
        check_endpoints(settings(*overrides))
    changes = [word for each in [*SMALL, *overrides] for word in ("--set", each)]
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(RUN_FILE), "--store", str(tmp_path / "store"), "--in-process", *changes])
    assert ended.value.code == ConfigError.exit_code
    assert "'GRADER_KEY': that environment variable is not set" in capsys.readouterr().err
    assert not list((tmp_path / "store").glob("ingest/*/manifest.json"))


def test_an_endpoint_is_reached_before_any_work_and_nothing_is_paid(stub: ChatStub, overrides: list[str]) -> None:
    [line] = check_endpoints(settings(*overrides))
    assert line.startswith("evaluator_gpt: http://127.0.0.1:")
    assert stub.bodies == []
    stub.name = "another"
    with pytest.raises(ConfigError, match=r"evaluator_gpt: .*does not serve openai.model = 'served'"):
        check_endpoints(settings(*overrides))


def test_a_word_is_said_while_an_endpoint_is_waited_for(
    stub: ChatStub, overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(settings: OpenAI) -> Endpoint:
        time.sleep(1.0)
        return Endpoint(settings)

    monkeypatch.setattr("alma.engines.openai.endpoint.Endpoint", slow)
    monkeypatch.setattr(waiting, "WORD_SECONDS", 0.1)
    monkeypatch.setattr(waiting, "_watcher", None)  # which sleeps still, for 20 s
    told: list[Event] = []
    hear(told.append)
    try:
        check_endpoints(settings(*overrides))
    finally:
        hear(json_lines)
    assert any("/v1 has not answered for" in event["message"] for event in told), told


def test_answers_that_lack_prompts_end_the_run_before_anything_is_generated(
    tmp_path: Path, stub: ChatStub, overrides: list[str]
) -> None:
    with pytest.raises(DataError, match=r"other answers: .*no answer to 1 of 12 evaluation prompts"):
        Ran(settings(*overrides, "alma.evaluators.other.max_missing_share=0"), tmp_path / "store", pages=False)
    assert stub.bodies == []
    assert not (tmp_path / "store" / "synthesize").exists()


def test_one_that_only_compares_grades_nothing(overrides: list[str]) -> None:
    labels = [step.label for step in graph(settings(*overrides, "alma.evaluators.gpt.pointwise=false"))]
    assert "round 01 · evaluate other pairs" in labels
    assert "round 01 · evaluate gpt" not in labels
