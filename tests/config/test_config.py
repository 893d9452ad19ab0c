"""Run files: what is accepted, what is refused and how it is said."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from alma.config import Alma, Isara, Method, load, parse
from alma.config.runfile import apply
from alma.errors import ConfigError
from alma.sections import Reward, Synthesize, Turns

ROOT = Path(__file__).parents[2]

MINIMAL = """
[alma]
[alma.base]
source = "model"
[alma.sft_seeds]
source = "pairs.jsonl"
[alma.score_seeds]
source = "scores.jsonl"
[alma.evaluation_prompts]
source = "prompts.jsonl"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*.toml")), ids=lambda path: path.name)
def test_every_run_file_of_the_repository_loads(path: Path) -> None:
    assert isinstance(load(path), Method)


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    cfg = load(write(tmp_path, MINIMAL))
    assert (cfg.rounds, cfg.respond.num_samples, cfg.respond.num_prompts) == (10, 200, 50_000)
    assert (cfg.synthesize.num_attempts, cfg.diversify.num_clusters) == (100_000_000, 1_000_000)
    assert (cfg.pool, cfg.start, cfg.data, cfg.select.score) == ("initial_and_latest", "base", "union", "real")
    assert cfg.distill.num_prompts * cfg.distill.num_samples == 20_000
    assert cfg.judge_seed.objective == cfg.judge_distill.objective == "judge"


def test_engine_and_template_are_set_once(tmp_path: Path) -> None:
    text = MINIMAL.replace("[alma]", '[alma]\nengine = "echo"\njudge_template = "{prompt} {response} ["')
    cfg = load(write(tmp_path, text))
    sections = (cfg.synthesize, cfg.embed, cfg.respond, cfg.judge, cfg.evaluate)
    assert {section.engine for section in sections} == {"echo"}
    assert {cfg.initial.trainer, cfg.judge_seed.trainer, cfg.train.trainer} == {"echo"}
    assert {cfg.judge.template, cfg.evaluate.template, cfg.judge_distill.template} == {"{prompt} {response} ["}


def test_a_section_may_name_its_own_engine(tmp_path: Path) -> None:
    cfg = load(write(tmp_path, MINIMAL + '[alma.respond]\nengine = "echo"\n'))
    assert (cfg.respond.engine, cfg.judge.engine) == ("echo", "hf")


def test_preference_pairs_train_with_dpo(tmp_path: Path) -> None:
    cfg = load(write(tmp_path, MINIMAL), ["alma.select.pairs=best_vs_random"])
    assert cfg.train.objective == "dpo"


@pytest.mark.parametrize(
    ("override", "value"),
    [
        pytest.param("alma.rounds=3", 3, id="number"),
        pytest.param("alma.rounds = 3", 3, id="spaces"),
    ],
)
def test_overrides(tmp_path: Path, override: str, value: int) -> None:
    assert load(write(tmp_path, MINIMAL), [override]).rounds == value


def test_a_bare_word_needs_no_quotes(tmp_path: Path) -> None:
    assert load(write(tmp_path, MINIMAL), ["alma.pool=latest"]).pool == "latest"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(["alma.round=3"], ["alma.round", "unknown setting", "did you mean rounds"], id="unknown-key"),
        pytest.param(["alma.respond.samples=3"], ["alma.respond.samples", "num_samples"], id="unknown-nested-key"),
        pytest.param(["alma.curate.pattern='('"], ["alma.curate.pattern", "no regular expression"], id="pattern"),
        pytest.param(["alma.curate.pattern='a{9999999999}'"], ["pattern", "too large"], id="large-pattern"),
        pytest.param(["alma.rounds=0"], ["alma.rounds", "greater than or equal to 1", "it is 0"], id="too-small"),
        pytest.param(["alma.rounds=many"], ["alma.rounds", "'many'"], id="wrong-type"),
        pytest.param(["alma.pool=all"], ["alma.pool", "initial_and_latest", "'all'"], id="wrong-choice"),
        pytest.param(
            ["alma.respond.num_prompts=2000000"],
            ["num_prompts = 2000000", "num_clusters = 1000000", "lower the first"],
            id="more-prompts-than-clusters",
        ),
        pytest.param(
            ["alma.synthesize.num_attempts=300000"],
            ["10 × 50000 + 10000 = 510000", "num_attempts = 300000"],
            id="more-prompts-than-the-pool",
        ),
        pytest.param(
            ["alma.train.objective=dpo"], ["select.pairs = None", "train.objective = 'dpo'"], id="dpo-without-pairs"
        ),
        pytest.param(["alma.initial.objective=judge"], ["initial.objective"], id="judge-objective-for-the-model"),
        pytest.param(
            ["alma.train.objective=dpo", "alma.select.pairs=best_vs_worst", "alma.train.dropout=true"],
            ["dropout = true with objective = 'dpo'"],
            id="dropout-in-dpo",
        ),
        pytest.param(
            ["alma.judge.template='{prompt}{response}x'"], ["judge_template once"], id="two-different-templates"
        ),
        pytest.param(["alma.judge_template='{response}:'"], ["{prompt} and then {response}"], id="template-no-prompt"),
        pytest.param(["alma.judge_template='{prompt} {response}'"], ["end with the text"], id="template-without-end"),
        pytest.param(["alma.synthesize.min_shots=9"], ["min_shots = 9", "max_shots = 5"], id="shots"),
        pytest.param(["alma.train.parallel=none", "alma.train.num_devices=8"], ["= 8", "zero3"], id="devices"),
        pytest.param(["alma.base.source.x=1"], ["source is a value"], id="section-under-a-value"),
        pytest.param(["rounds"], ["write it as alma.section.key=value"], id="override-without-value"),
        pytest.param(["other.rounds=3"], ["unknown root [other]"], id="unknown-root"),
    ],
)
def test_refused_settings(tmp_path: Path, change: list[str], said: list[str]) -> None:
    path = write(tmp_path, MINIMAL)
    with pytest.raises(ConfigError) as caught:
        load(path, change)
    for part in said:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"[alma\n", "not TOML", id="not-toml"),
        pytest.param(b"[alma]\nx = '\xff'\n", "not UTF-8 at byte 12", id="not-utf8"),
        pytest.param(b"", "no method; a run file has the settings of one", id="empty"),
    ],
)
def test_refused_files(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=said.replace("[", r"\[").replace("]", r"\]")) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_missing_run_file_suggests_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL)
    with pytest.raises(ConfigError, match=r"no such run file; did you mean run\.toml"):
        load(tmp_path / "runs.toml")


def test_a_missing_source_is_named() -> None:
    with pytest.raises(ConfigError, match=r"here: alma\.base: is required"):
        parse({"alma": {}}, "here")


def test_settings_import_no_machine_learning_library() -> None:
    code = (
        "import sys, alma.config, alma.recipes.alma\n"
        "heavy = {'torch', 'transformers', 'trl', 'datasets', 'vllm', 'numpy', 'pyarrow', 'boto3', 'kfp'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_engine_settings_are_said_once_for_all_stages() -> None:
    tree = tomllib.loads(MINIMAL)
    tree["alma"] |= {"engine": "vllm", "vllm": {"max_model_len": 64, "gpu_memory_share": 0.8}}
    tree["alma"]["judge"] = {"vllm": {"gpu_memory_share": 0.5}}
    cfg = parse(tree, "here")
    assert isinstance(cfg, Alma)
    assert (cfg.respond.engine, cfg.respond.vllm.max_model_len, cfg.respond.vllm.gpu_memory_share) == ("vllm", 64, 0.8)
    assert (cfg.judge.vllm.max_model_len, cfg.judge.vllm.gpu_memory_share) == (64, 0.5)
    assert (cfg.evaluate.vllm.max_model_len, cfg.evaluate.vllm.gpu_memory_share) == (64, 0.4), "two models at once"
    again = parse({"alma": cfg.model_dump(mode="json")}, "here")
    assert again == cfg.changed(vllm={}), "a pod reads the sections, not what they took their values from"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "judge_template='{response} {prompt}'",
            r"^run: alma: judge_template must contain .*'\{response\} \{prompt\}'$",
        ),
        ("judge.variants=['s']", r"^run: alma\.judge: variants: each must contain .*it is 's'$"),
    ],
)
def test_a_rating_prompt_that_is_none_is_called_as_it_was_written(change: str, said: str) -> None:
    tree = tomllib.loads(MINIMAL)
    apply(tree, f"alma.{change}", "")
    with pytest.raises(ConfigError, match=said):
        parse(tree, "run")


def test_who_sets_one_field_of_vllm_for_evaluation_keeps_room_for_the_judge() -> None:
    tree = tomllib.loads(MINIMAL)
    tree["alma"]["evaluate"] = {"vllm": {"max_model_len": 64}}
    cfg = parse(tree, "here")
    assert isinstance(cfg, Alma)
    assert (cfg.evaluate.vllm.max_model_len, cfg.evaluate.vllm.gpu_memory_share) == (64, 0.45)


def test_who_sets_one_field_of_a_sampling_keeps_the_others() -> None:
    tree = tomllib.loads(MINIMAL)
    tree["alma"]["synthesize"] = {"sampling": {"max_new_tokens": 64}}
    cfg = parse(tree, "here")
    assert isinstance(cfg, Alma)
    assert cfg.synthesize.sampling == Synthesize().sampling.changed(max_new_tokens=64)


def test_who_sets_one_field_of_a_rationales_sampling_keeps_its_length() -> None:
    tree = tomllib.loads(MINIMAL)
    tree["alma"]["judge"] = {"rationale": {"sampling": {"temperature": 0.5}}}
    cfg = parse(tree, "here")
    assert isinstance(cfg, Alma)
    assert cfg.judge.rationale is not None
    assert (cfg.judge.rationale.sampling.temperature, cfg.judge.rationale.sampling.max_new_tokens) == (0.5, 256)


def test_a_run_file_has_one_method() -> None:
    with pytest.raises(ConfigError, match=r"here: both \[alma\] and \[isara\]; a run file has the settings of one"):
        parse({"alma": {}, "isara": {}}, "here")


def test_the_readmes_run_file_is_one() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    cfg = parse(tomllib.loads(block), "README.md")
    assert cfg.root == "alma"
    assert len(block.splitlines()) <= 10


def test_isara_has_one_form_unless_it_is_told_otherwise() -> None:
    rows = {"source": "rows.jsonl"}
    tree: dict[str, Any] = {"base": {"source": "base"}, "seeds": rows, "evaluation_prompts": rows}
    turns = {"question": "Q: {question}\n", "answer": "A: {answer}\n"}
    cfg = parse({"isara": tree | {"imitate": {"turns": turns}}}, "here")
    assert isinstance(cfg, Isara)
    assert cfg.base.turns == cfg.imitate.turns == cfg.evaluate.turns == Turns.model_validate(turns)
    assert cfg.notes == ()
    own = tree | {"base": {"source": "base", "chat_template": "{{ x }}"}}
    with pytest.raises(ConfigError, match=r"base.chat_template is given, and form = 'turns'.*set form = 'chat'"):
        parse({"isara": own}, "here")
    other = parse({"isara": own | {"form": "chat"}}, "here")
    assert isinstance(other, Isara)
    assert (other.base.turns, other.base.chat_template) == (None, "{{ x }}")
    assert "trained and asked in the base's chat template" in other.notes[0]
    assert other.notes[0] in other.report.about
    with pytest.raises(ConfigError, match=r"base.turns follows from form and imitate.turns"):
        parse({"isara": tree | {"base": {"source": "base", "turns": turns}}}, "here")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('[{name="x", kind="reward", model={source="base"}, max_token=1}]', "did you mean max_tokens"),
        ('[{name="x", kind="rewrd"}]', "kind is rewrd; there are: answers, chat, harness, reward, safety"),
        ('[{name="x"}]', "kind is missing; there are: answers, chat"),
        ('{name="x", kind="reward"}', "is a list: write [[alma.evaluators]]"),
        ('[{name="x", kind="answers", answers={source="a"}, by="y"}]', "by = 'y' names no evaluator"),
    ],
)
def test_a_wrong_evaluator_is_told_by_its_kind(given: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(ROOT / "examples" / "micro.toml", [f"alma.evaluators={given}"])


def test_an_entry_of_a_list_is_set_by_its_name() -> None:
    given = 'alma.evaluators=[{name="x", kind="reward", model={source="base"}}]'
    (found,) = load(ROOT / "examples" / "micro.toml", [given, "alma.evaluators.x.max_tokens=7"]).outsiders
    assert isinstance(found, Reward)
    assert found.max_tokens == 7
    with pytest.raises(ConfigError, match="no entry is named y; there are: x"):
        load(ROOT / "examples" / "micro.toml", [given, "alma.evaluators.y.max_tokens=7"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("rounds=1000000000", "alma.rounds: Input should be less than or equal to 1000"),
        ("train.epochs=18446744073709551616", "epochs is a whole number beyond"),
        ("seed=-99999999999999999999", "seed is a whole number beyond"),
        ("train.epochs=9223372036854775807", "epochs: Input should be less than or equal to 100000"),
        ("train.weight_decay=9223372036854775807", "weight_decay is 9.22337e+18, and 1e+12 is the greatest"),
        ("train.adapter={alpha=1000000000001}", "alpha is 1e+12, and 1e+12 is the greatest"),
        ("train.epochs=1e308", "epochs is 1e+308, and 1e+12 is the greatest"),
        ("respond.openai={endpoint='http://a',model='b',timeout_seconds=1e11}", "less than or equal to 1000000"),
    ],
)
def test_absurd_numbers_are_refused_before_any_work(given: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(ROOT / "examples" / "micro.toml", [f"alma.{given}"])


def test_absurd_numbers_in_a_list_are_refused_too() -> None:
    with pytest.raises(ConfigError, match="repeats is a whole number beyond"):
        load(ROOT / "examples" / "isara-micro.toml", ["isara.repeats=[1, 18446744073709551616]"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param("alma.rounds=true", "alma.rounds: Input should be a number", id="true-for-a-number"),
        pytest.param('alma.rounds=" 3 "', "alma.rounds: Input should be a number, without quotes", id="quoted-number"),
        pytest.param('alma.curate.require_end="no"', "require_end: Input should be true or false", id="quoted-flag"),
        pytest.param(
            "alma.curate.require_end=0", "alma.curate.require_end: Input should be true", id="number-for-flag"
        ),
        pytest.param("alma.curate.near_duplicate=true", "near_duplicate: Input should be a number", id="one-of-two"),
        pytest.param('alma.initial.adam_betas=["0.9", 0.99]', "adam_betas: Input should be a number", id="in-a-list"),
        pytest.param("alma.respond.sampling={ top_p = true }", "sampling.top_p: Input should be a number", id="nested"),
    ],
)
def test_a_setting_of_another_type_is_refused_and_not_converted(tmp_path: Path, change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(write(tmp_path, MINIMAL), [change])


def test_a_whole_float_is_a_whole_number(tmp_path: Path) -> None:
    assert load(write(tmp_path, MINIMAL), ["alma.synthesize.num_attempts=2e6"]).synthesize.num_attempts == 2_000_000


@pytest.mark.parametrize("given", ["columns.prompt=\udcff", "columns.\udcff=a", "source=a\udcff"])
def test_half_a_character_in_a_setting_is_refused_with_its_file_and_place(given: str) -> None:
    path = ROOT / "examples" / "micro.toml"
    place = given.partition("=")[0].removesuffix(".\udcff")
    with pytest.raises(ConfigError, match="half a character") as caught:
        load(path, [f"alma.sft_seeds.{given}"])
    assert f"{path}: alma: sft_seeds.{place} holds" in str(caught.value)


def test_isara_says_that_it_has_no_outside_evaluators() -> None:
    with pytest.raises(ConfigError, match=r"evaluators: ISARA has none.*isara\.classifier.*belong to \[alma\]"):
        load(
            ROOT / "examples" / "isara-micro.toml", ['isara.evaluators=[{name="a", kind="reward", model={source="x"}}]']
        )


@pytest.mark.parametrize("tree", [{"isara": 16**5000}, {"alma": 16**5000}])
def test_a_number_that_python_does_not_write_is_refused_where_a_method_is_expected(tree: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"valid dictionary.*whole number of more than 4,300 digits"):
        parse(tree, "run.toml")


def test_a_number_that_python_does_not_write_is_no_evaluators_name() -> None:
    with pytest.raises(ConfigError, match="no entry is named y; there are: x, a whole number of more than"):
        apply({"alma": {"evaluators": [{"name": "x"}, {"name": 16**5000}]}}, "alma.evaluators.y.every=1")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["iterations=3", "learning_rate_decay=1e-300"], "learning_rate_decay = 1e-300 over 3 iterations leaves"),
        (["imitate.num_attempts=9000000"], "iterations × imitate.num_attempts = 2 × 9000000 is above 10,000,000"),
        (["imitate.num_attempts=10000001"], "less than or equal to 10000000"),
        (["imitate.num_answers=100001"], "less than or equal to 100000"),
    ],
)
def test_what_iterations_make_of_a_setting_is_refused_with_the_run_file(changes: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(ROOT / "examples" / "isara-micro.toml", [f"isara.{each}" for each in changes])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("curate.min_chars=4001", "min_chars = 4001 is above max_chars = 4000"),
        ('curate.markers=[""]', "markers holds an empty text"),
        ('synthesize.stop=["a", ""]', "stop holds an empty text"),
        ("evaluate.harm={labels=['unsafe', 'unsafe']}", "names one twice"),
        ("evaluate.refusals={by='labels', labels=['no', 'no']}", "names one twice"),
        ("diversify.seed=-1", "greater than or equal to 0"),
        ("embed.seed=4294967296", "less than 4294967296"),
        ("select.round=4294967296", "less than 2147483648"),
        ("respond.num_samples=100001", "less than or equal to 100000"),
        ("distill.num_samples=100001", "less than or equal to 100000"),
        ("curve.num_samples=100001", "less than or equal to 100000"),
        ("train.num_devices=1025", "less than or equal to 1024"),
        ("train.adapter={rank=65537}", "less than or equal to 65536"),
        ("vllm={data_parallel=1025}", "less than or equal to 1024"),
    ],
)
def test_what_a_stage_could_only_fail_with_is_refused_with_the_run_file(change: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        load(ROOT / "examples" / "micro.toml", [f"alma.{change}"])


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://host:port/v1", "has no port from 1 to 65535"),
        ("http://host:99999/v1", "has no port from 1 to 65535"),
        ("http://host:0/v1", "has port 0"),
        ("http://host\n/v1", "without spaces or control characters"),
        ("http://the host/v1", "without spaces or control characters"),
        (f"http://host/{'v' * 2048}", "at most 2,048 characters"),
    ],
)
def test_an_endpoint_that_no_request_can_reach_is_refused_with_the_run_file(endpoint: str, said: str) -> None:
    given = f'alma.synthesize.openai={{endpoint={json.dumps(endpoint)}, model="b"}}'
    with pytest.raises(ConfigError, match=said):
        load(ROOT / "examples" / "micro.toml", [given])
