"""``alma plan``: rows and tokens of every stage, and hours only from what was measured or given."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alma import plan
from alma.config import load
from alma.errors import ConfigError, StageError
from alma.plan.count import COUNTS
from alma.plan.exams import notes as exam_notes
from alma.plan.hours import Means, work_by_stage
from alma.plan.rates import Rate, Rates, read_rates, write_rate
from alma.plan.step import Step, Use
from alma.plan.table import hours, notes, print_notes
from alma.prompts import JUDGE_TEMPLATE_TOKENS
from alma.sections import Evaluate, Finetune, Harness, Imitate, Reference
from alma.stages import STAGES

EXAMPLES = Path(__file__).parents[2] / "examples"
PAPER = EXAMPLES / "llama3-8b.toml"
DPO = ("alma.select.pairs='best_vs_random'", "alma.engine='vllm'")


def rate(**changes: Any) -> Rate:
    values = {
        "work": "generate",
        "engine": "hf",
        "tokens_per_second": 1000.0,
        "device": "a device",
        "model": "a model",
        "parameters": 8_030_261_248,
        "dtype": "bfloat16",
        "workload": "8 prompts",
        "machine": "a machine",
        "versions": {"alma": "1"},
        "date": "2026-11-21",
        "command": "python benchmarks/generation.py",
    }
    return Rate.model_validate(values | changes)


def means(*rates: Rate, **changes: Any) -> Means:
    return Means(**{"parameters": 8.03e9, "rates": rates, **changes})


def planned(*overrides: str) -> dict[str, Step]:
    steps = plan.plan(load(PAPER, overrides), prompt_tokens=100, response_tokens=400)
    return {step.label: step for step in steps}


def output(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_file", type=Path)
    parser.set_defaults(overrides=["alma.engine='hf'"])
    plan.add_options(parser)
    plan.run(parser.parse_args([str(PAPER), *map(str, arguments)]))
    return capsys.readouterr().out


def test_every_stage_is_counted() -> None:
    assert set(COUNTS) == set(STAGES)


def test_a_stage_without_a_count_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(COUNTS, "judge")
    with pytest.raises(StageError, match=r"stage 'judge' \(judge · judge\).*alma/plan/count.py"):
        planned()


def test_the_papers_tokens() -> None:
    steps = planned()
    assert steps["prompts · synthesize"].tokens == {"generate": 120_000_000 * 100, "read": 120_000_000 * 4 * 100}
    assert steps["prompts · embed"].tokens == {"embed": 120_000_000 * 100}
    answers = 50_000 * 200
    assert steps["round 03 · respond"].tokens == {"generate": answers * 400, "read": 50_000 * 3 * 100}
    shared = 50_000 * (100 + JUDGE_TEMPLATE_TOKENS)  # a prompt once for all its responses
    assert steps["round 03 · judge"].tokens == {"read": answers * 400 + shared}
    assert steps["round 11 · finetune"].tokens == {"train": 505_000 * 500 * 2}


def test_how_every_model_is_trained_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    plan.print_plan(plan.plan(load(PAPER, DPO), prompt_tokens=100, response_tokens=400))
    lines = [line.strip("│ ") for line in capsys.readouterr().out.partition("how models are trained")[2].splitlines()]
    rows = [[cell.strip() for cell in line.split("│")] for line in lines if "·" in line]
    assert rows == [
        ["initial · finetune a and 1 more", "sft", "1e-05", "2", "128", "–"],
        ["judge · finetune and 1 more", "judge", "1e-05", "2", "128", "–"],
        ["round 02 · finetune and 9 more", "dpo", "5e-07", "2", "128", "beta 0.1"],
    ]


def test_a_reference_that_is_kept_is_read_once() -> None:
    source = Step("pairs", "select", rows=1000, prompt_tokens=100, response_tokens=400)
    cfg = Finetune(objective="dpo", epochs=2)
    without = COUNTS["finetune"](Use("t", "finetune", cfg, {"rows": source}, 100, 400))
    assert without.tokens == {"train": 2 * 1000 * 1000, "read": 2 * 1000 * 1000}
    reference = COUNTS["reference"](Use("r", "reference", Reference(), {"rows": source}, 100, 400))
    assert reference.tokens == {"read": 1000 * 1000}
    ports = {"rows": source, "reference": reference}
    assert COUNTS["finetune"](Use("t", "finetune", cfg, ports, 100, 400)).tokens == {"train": 2 * 1000 * 1000}
    ports = {"rows": Step("more", "select", 1500, 0, 100, 400), "previous": reference}
    later = COUNTS["reference"](Use("r", "reference", Reference(), ports, 100, 400))
    assert later.tokens == {"read": 500 * 1000}


def test_imitation_is_counted_by_iteration() -> None:
    seeds = Step("seeds", "ingest", 64, 64, 30, 50)
    cfg = Imitate(num_attempts=100)
    first = COUNTS["imitate"](Use("i1", "imitate", cfg, {"seeds": seeds}, 30, 50))
    assert first.tokens == {
        "generate": 100 * (30 + 50),
        "read": 100 * (8 * 80 + 8 * 80 + 30),
        "embed": 64 * 30 + 100 * 30,
    }
    second = COUNTS["imitate"](Use("i2", "imitate", cfg, {"seeds": seeds, "previous": first}, 30, 50))
    assert (second.rows, second.train_rows, second.seen_rows) == (200, 100, 2 * (64 + 100))
    ports = {"rows": seeds, "replay": second}
    trained = COUNTS["finetune"](Use("t", "finetune", Finetune(epochs=1), ports, 30, 50))
    assert trained.tokens == {"train": (64 + 100) * 80}
    ports = {"rows": seeds, "matched": second}
    trained = COUNTS["finetune"](Use("t", "finetune", Finetune(epochs=1), ports, 30, 50))
    assert trained.tokens == {"train": 2 * (64 + 100) * 80}
    union = COUNTS["imitate"](Use("i", "imitate", Imitate(data="union"), {"seeds": seeds, "previous": first}, 30, 50))
    assert union.train_rows == union.rows


def test_an_evaluation_counts_what_it_is_given() -> None:
    prompts = Step("prompts", "ingest", 10, 10, 30)
    plain = COUNTS["evaluate"](Use("e", "evaluate", Evaluate(), {"prompts": prompts}, 30, 50))
    assert plain.tokens == {"generate": 500, "read": 300}
    seeds = Step("seeds", "ingest", 64, 64, 30, 50)
    ports = {"prompts": prompts, "shots": seeds, "judge": Step("judge", "finetune")}
    found = COUNTS["evaluate"](Use("e", "evaluate", Evaluate(shots="nearest"), ports, 30, 50))
    judged = 30 + 50 + JUDGE_TEMPLATE_TOKENS
    assert found.tokens == {"generate": 500, "read": 10 * (30 + 8 * 80 + judged), "embed": 64 * 30 + 10 * 30}


def test_hours_are_tokens_by_the_measured_rate() -> None:
    measured = means(rate(tokens_per_second=500.0, num_devices=2))
    assert measured.measured_hours("generate", "hf", 3_600_000) == pytest.approx(4.0)  # 2 h of each of 2 devices
    assert measured.measured_hours("train", "hf", 1) is None
    assert measured.measured_hours("generate", "vllm", 1) is None, "another engine has another speed"


def test_operations_are_two_or_six_per_parameter() -> None:
    given = means(parameters=8e9, flops_per_second=1e15, utilisation=0.4)
    assert given.flops("read", 10) == given.flops("generate", 10) == given.flops("embed", 10) == 2 * 8e9 * 10
    assert given.flops("train", 10) == 6 * 8e9 * 10
    assert given.arithmetic_hours("generate", 90_000_000) == pytest.approx(2 * 8e9 * 9e7 / 4e14 / 3600)
    assert means(parameters=8e9).arithmetic_hours("generate", 1) is None, "no peak is assumed"


def test_a_rate_of_another_size_is_taken_only_when_asked() -> None:
    small = rate(parameters=803_000_000)
    assert means(small).measured_hours("generate", "hf", 3_600_000) is None
    scaled = means(small, scale=True)
    assert scaled.measured_hours("generate", "hf", 3_600_000) == pytest.approx(10.0)
    exact = means(small, rate(tokens_per_second=2000.0), scale=True)
    assert exact.measured_hours("generate", "hf", 3_600_000) == pytest.approx(0.5)
    work = work_by_stage([Step("s", "respond", tokens={"generate": 1}, engine="hf")])
    assert "ESTIMATE" not in "\n".join(notes(work, exact))
    assert "ESTIMATE: taken × 0.1" in "\n".join(notes(work, scaled))
    assert "--scale-by-parameters" in "\n".join(notes(work, means(small)))


@pytest.mark.parametrize(
    ("parts", "said"),
    [([1.5, 2.0], "3.5"), ([1.5, None], "> 1.5"), ([None], "–"), ([1234.4], "1,234"), ([0.0012], "0.0012")],
)
def test_a_sum_with_an_unknown_part_says_so(parts: list[float | None], said: str) -> None:
    assert hours(parts) == said


def test_without_rates_no_hours_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    said = output(capsys)
    assert "10,000,000" in said
    assert "--rates FILE" in said
    assert "hours of one device" not in said


def test_arithmetic_is_named_as_given(capsys: pytest.CaptureFixture[str]) -> None:
    said = output(capsys, "--parameters", "8e9", "--flops-per-second", "1e15", "--utilisation", "0.5")
    judge = (4_000 + 4_000 + 20_000) * (500 + JUDGE_TEMPLATE_TOKENS) * 2  # people's scores, and then its own beside
    tokens = (2 * 5_000 + sum(5_000 + 50_000 * r for r in range(1, 11))) * 500 * 2 + judge
    flops = 6 * 8e9 * tokens
    line = next(each for each in said.splitlines() if "finetune" in each and " trl " in each)
    cells = [each.strip() for each in line.strip("│").split("│")]
    assert cells == ["finetune", "train", "trl", f"{tokens:,}", f"{flops:.2e}", f"{flops / 5e14 / 3600:.3g}"]
    assert "at 0.5 of 1e+15 FLOP/s, as you gave them; not measured" in said
    assert "h measured" not in said


def test_rates_name_what_they_were_measured_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rates.json"
    for work, engine in (("generate", "hf"), ("read", "hf"), ("train", "trl")):
        write_rate(path, rate(work=work, engine=engine))
    said = output(capsys, "--parameters", "8.03e9", "--rates", path)
    assert "1,000 tokens/s on a device, a model (8,030,261,248 parameters, bfloat16), 8 prompts, 2026-11-21" in said
    assert "embed with hf: no rate in the file." in said
    everything = next(line for line in said.splitlines()[::-1] if "everything" in line)
    assert "> " in everything, "a sum without its embeddings is not the whole"


BAD_OPTIONS = {
    "utilisation alone": (["--utilisation", "0.4"], "--flops-per-second and --utilisation go together"),
    "share above one": (["--utilisation", "40", "--flops-per-second", "1e15"], "at most 1"),
    "no size": (["--utilisation", "0.4", "--flops-per-second", "1e15"], "--parameters"),
    "negative": (["--parameters", "-1"], "--parameters -1.0 is no number from"),
    "not a number": (["--parameters", "nan"], "is no number from"),
    "scaled without rates": (["--parameters", "8e9", "--scale-by-parameters"], "--rates FILE"),
    "no file": (["--parameters", "8e9", "--rates", "nowhere.json"], "nowhere.json: no such file of rates"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_options_that_do_not_fit_are_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = BAD_OPTIONS[name]
    with pytest.raises(ConfigError, match=said):
        output(capsys, *arguments)
    assert capsys.readouterr().out == ""


BAD_FILES = {
    "not JSON": ('{\n"format": 1,\n!', r"rates.json line 3 column 1 is not JSON"),
    "another format": ('{"format": 2, "rates": []}', r"format: .*it is 2"),
    "no speed": (
        json.dumps({"rates": [rate().model_dump() | {"tokens_per_second": 0}]}),
        r"rates\.0\.tokens_per_second",
    ),
    "hardly any speed": (
        json.dumps({"rates": [rate().model_dump() | {"tokens_per_second": 1e-300}]}),
        r"rates\.0\.tokens_per_second",
    ),
    "too many parameters": (json.dumps({"rates": [rate().model_dump() | {"parameters": 10**400}]}), "parameters"),
    "too many devices": (json.dumps({"rates": [rate().model_dump() | {"num_devices": 10**400}]}), "num_devices"),
    "unknown work": (json.dumps({"rates": [rate().model_dump() | {"work": "dream"}]}), r"rates\.0\.work.*'dream'"),
    "unknown key": (json.dumps({"rates": [rate().model_dump() | {"speed": 1}]}), r"rates\.0\.speed"),
    "no date": (json.dumps({"rates": [rate().model_dump() | {"date": "today"}]}), r"rates\.0\.date.*'today'"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_broken_file_of_rates_is_refused(name: str, tmp_path: Path) -> None:
    text, said = BAD_FILES[name]
    (tmp_path / "rates.json").write_text(text)
    with pytest.raises(ConfigError, match=said):
        read_rates(tmp_path / "rates.json")


def test_several_devices_want_a_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "rates.json"
    write_rate(path, rate())
    write_rate(path, rate(device="another", tokens_per_second=5.0))
    arguments = ("--parameters", "8.03e9", "--rates", path)
    with pytest.raises(ConfigError, match="2 devices; choose with --device: a device, another"):
        output(capsys, *arguments)
    with pytest.raises(ConfigError, match="'third'"):
        output(capsys, *arguments, "--device", "third")
    assert " 5 tokens/s on another" in output(capsys, *arguments, "--device", "another")


@settings(deadline=None)  # it writes files, and timings decide no test
@given(
    st.lists(
        st.builds(
            rate,
            work=st.sampled_from(["generate", "read", "embed", "train"]),
            engine=st.sampled_from(["vllm", "hf"]),
            tokens_per_second=st.floats(1e-3, 1e9),
            parameters=st.integers(1, 10**12),
            num_devices=st.integers(1, 8),
        ),
        max_size=6,
    )
)
def test_a_file_of_rates_keeps_the_last_of_each_kind(rates: list[Rate]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rates.json")
        path.write_text(Rates(rates=()).model_dump_json())
        for each in rates:
            write_rate(path, each)
        kinds = {(r.work, r.engine, r.num_devices, r.parameters): r for r in rates}
        assert {(r.work, r.engine, r.num_devices, r.parameters): r for r in read_rates(path)} == kinds


def test_what_a_person_should_know_of_the_settings_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    print_notes(["models are trained in [one] form, and write in another; " + "long " * 40])
    assert capsys.readouterr().out.startswith("Note: models are trained in [one] form, and write in another; long")


def test_exams_that_are_known_are_counted_and_others_are_named() -> None:
    def found(*names: str, **settings: Any) -> Step:
        cfg = Harness(name="exams", tasks=names, **settings)
        return COUNTS["examine"](Use("x", "examine", cfg, {}, prompt_tokens=50, response_tokens=100))

    assert found("ifeval").tokens == {"generate": 541 * 100, "read": 541 * 50}
    assert found("gsm8k").tokens == {"generate": 1319 * 100, "read": 1319 * 50 * 6}, "five examples"
    assert found("arc_easy", num_fewshot=2).tokens == {"generate": 0, "read": 2376 * 4 * 50 * 3}
    assert found("ifeval", limit=10).tokens["generate"] == 10 * 100
    assert found("mmlu", limit=10).tokens == found("ours").tokens == {"generate": 0, "read": 0}, "57 tasks have it each"
    overrides = ("alma.evaluators=[{name = 'exams', kind = 'harness', tasks = ['ifeval', 'ours']}]",)
    assert exam_notes(load(PAPER, overrides)) == ["evaluator exams: nobody here knows how much ours ask: not counted"]
