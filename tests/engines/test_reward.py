"""Reward models: what transformers itself says of a conversation, whatever stands in its texts."""

from pathlib import Path

import pytest

from alma.engines import load_reward
from alma.engines.reward_text import conversation_text
from alma.errors import DataError, StageError
from alma.prompts.conversation import Message, exchanges
from alma.sections import Inference
from tests.builders import models

torch = pytest.importorskip("torch", reason="torch is not installed: pip install -e '.[torch]'")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install -e '.[torch]'")

CFG = Inference(engine="hf", batch_rows=2)
CONVERSATIONS = [
    [("abc", "a")],
    [("hello 7 beg", "ij ij ij ij ij")],
    [("a", "0"), ("b", "1 2 3")],
    [("ab", "")],
    [("  ab\n", " cd ")],
]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '[q ' if m['role'] == 'user' else ' a:' }}{{ m['content'] | trim }}]"
    "{% endfor %}{{ eos_token }}"
)


def saved(folder: Path, template: str | None = TEMPLATE, **changes: object) -> Path:
    tokens = models.tokenizer(ten=True)
    tokens.chat_template = template
    torch.manual_seed(5)
    config = transformers.LlamaConfig(
        num_key_value_heads=2, architectures=["LlamaForSequenceClassification"], **models.shape(len(tokens)), **changes
    )
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return folder


def messages(conversation: list[tuple[str, str]]) -> list[dict[str, str]]:
    turns = [turn for prompt, response in conversation for turn in (("user", prompt), ("assistant", response))]
    return [{"role": role, "content": text} for role, text in turns]


def test_a_reward_is_the_logit_of_transformers_own_pipeline(tmp_path):
    folder = saved(tmp_path / "model", num_labels=1)
    pipeline = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    texts = [pipeline.tokenizer.apply_chat_template(messages(each), tokenize=False) for each in CONVERSATIONS]
    theirs = [pipeline(text, function_to_apply="none", add_special_tokens=False)[0]["score"] for text in texts]
    read: list[int] = []
    with load_reward(CFG, folder) as model:
        ours = model.reward([exchanges(each) for each in CONVERSATIONS], max_tokens=96, on_tokens=read.append)
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert len(set(ours)) == len(ours)
    ids = [pipeline.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert sum(read) == sum(map(len, ids))


def test_a_system_turn_is_read_where_the_template_writes_it(tmp_path):
    template = TEMPLATE.replace("'[q ' if", "'[s ' if m['role'] == 'system' else '[q ' if")
    told = (Message("system", "i j"), *exchanges([("ab", "cd"), ("ef", "gh")]))
    folder = saved(tmp_path / "model", template, num_labels=1)
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    rendered = tokens.apply_chat_template([turn._asdict() for turn in told], tokenize=False)
    with load_reward(CFG, folder) as model:
        assert conversation_text(model.tokenizer, told) == rendered
        (reward,) = model.reward([told], max_tokens=96)
        ids = tokens(rendered, add_special_tokens=False)["input_ids"]
        assert reward == pytest.approx(model.model(input_ids=torch.tensor([ids])).logits[0, 0].item(), abs=1e-5)
        model.tokenizer.chat_template = template.replace("{% for m in messages %}", "{% for m in messages[-4:] %}")
        with pytest.raises(DataError, match="leave system turns out of the evaluation prompts"):
            model.reward([told], max_tokens=96)


def test_a_special_token_that_a_text_spells_is_text(tmp_path):
    with load_reward(CFG, saved(tmp_path / "model", num_labels=1)) as model:
        (spelled,) = model.reward([exchanges([("ab", "c</s>d")])], max_tokens=96)
        tokens = model.tokenizer
        plain = tokens.convert_tokens_to_ids(["<unk>" if each in "</>s" else each for each in "c</s>d"])
        before, after = (tokens(text, add_special_tokens=False)["input_ids"] for text in ("<s>[q ab] a:", "]</s>"))
        wanted = model.model(input_ids=torch.tensor([[*before, *plain, *after]])).logits[0, 0].item()
    assert spelled == pytest.approx(wanted, abs=1e-5)


def test_what_is_too_long_has_no_reward(tmp_path):
    with load_reward(CFG, saved(tmp_path / "model", num_labels=1)) as model:
        long, short = model.reward([exchanges([("a", "b" * 200)]), exchanges([("a", "b")])], max_tokens=1000)
        assert long is None
        assert short is not None
        assert model.reward([exchanges([("a", "bbbbbbbbbb")])], max_tokens=10) == [None]
        assert model.reward([], max_tokens=10) == []


@pytest.mark.parametrize("logit", [float("nan"), float("inf")])
def test_a_reward_that_is_no_number_is_said(tmp_path, logit):
    with load_reward(CFG, saved(tmp_path / "model", num_labels=1)) as model:
        model.model.score.weight.data.fill_(logit)
        with pytest.raises(StageError, match=r"gives a text a number that is none .* set dtype = 'float32'"):
            model.reward([exchanges([("a", "b")])], max_tokens=96)


@pytest.mark.parametrize(
    ("changes", "template", "said"),
    [
        pytest.param({"num_labels": 2}, TEMPLATE, "gives 2 numbers, and a reward is one", id="labels"),
        pytest.param({"num_labels": 1}, None, "has no chat template", id="no-template"),
        pytest.param(
            {"num_labels": 1}, "{{ messages[0]['content'] }}", "does not write each prompt and response once", id="lost"
        ),
        pytest.param(
            {"num_labels": 1},
            "{% for m in messages %}[{{ m['content'] | upper }}]{% endfor %}",
            "does not write each prompt and response once",
            id="upper",
        ),
        pytest.param(
            {"num_labels": 1},
            "{% for m in messages %}[{{ m['content'].split('`')[-1] }}]{% endfor %}",
            "changes what it is given",
            id="changed",
        ),
    ],
)
def test_what_gives_no_reward_is_refused(tmp_path, changes, template, said):
    folder = saved(tmp_path / "model", template, **changes)
    with pytest.raises(DataError, match=said):
        load_reward(CFG, folder)


def test_a_language_model_has_no_head(tmp_path):
    folder = models.saved(tmp_path / "model", models.llama, ten=False)
    with pytest.raises(DataError, match=r"score\.weight"):
        load_reward(CFG, folder)


def test_echo_rewards_follow_from_the_text_and_no_length(tmp_path):
    cfg = Inference(engine="echo")
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        (folder / "config.json").write_text(folder.name, encoding="utf-8")
    rows = [exchanges([("p", text)]) for text in ("a b c", "a b c " * 5, "word " * 99)]
    with load_reward(cfg, one) as model, load_reward(cfg, other) as second:
        short, repeated, long = model.reward(rows, max_tokens=60)
        assert long is None
        assert short - repeated > 5
        assert model.reward(rows, max_tokens=60) == [short, repeated, None]
        assert second.reward(rows, max_tokens=60) != [short, repeated, None]
