"""``evaluate``: examples before prompts, every measure against a reckoning of its own, and what is refused."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
)

from alma.artifact import Artifact, Model, Ref, Rows
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.engines import load_classifier, load_embedder, load_generator
from alma.errors import ConfigError, DataError, StageError
from alma.progress import silent
from alma.prompts.conversation import exchanges
from alma.running.stage import run
from alma.sections import Evaluate, Harm, IngestModel, IngestRows, Turns
from alma.stages.evaluate.harm import classified, classify
from alma.stages.evaluate.harm import together as as_one
from alma.stages.evaluate.references import rouge_difference
from alma.store import Store, open_store
from alma.text.rouge import rouge_l, rouge_l_matrix, words
from alma.text.turns import answer_prompt
from tests.builders.asking import embed, generate
from tests.builders.models import llama, saved
from tests.builders.sealed import named, seal

torch.set_num_threads(1)
ECHO = Evaluate(engine="echo", max_new_tokens=12, part_rows=5)


class Bench:
    """A store with a model, seeds and evaluation prompts, brought in as a run brings them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store: Store = open_store(str(folder / "store"))

    def rows(self, name: str, kind: Any, rows: list[dict[str, Any]], **more: Any) -> Ref:
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return self.run("ingest", IngestRows(source=str(path), kind=kind, **more))

    def model(self, name: str, folder: Path) -> Ref:
        """A folder as the artifact of a training."""
        out = Out(self.store, named("finetune", name), self.folder / name)
        shutil.copytree(folder, out.folder, dirs_exist_ok=True)
        seal(out, "model")
        return out.ref

    def echo_model(self, name: str) -> Ref:
        """Any folder will do for the echo engine."""
        folder = self.folder / f"folder-{name}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"name": name}))
        return self.model(name, folder)

    def run(self, stage: str, cfg: Any, **inputs: Ref | None) -> Ref:
        return run(stage, cfg, inputs, self.store, base=self.folder, emit=silent).ref

    def read(self, ref: Ref) -> Any:
        return Artifact.open(self.store, ref)

    def table(self, ref: Ref) -> list[dict[str, Any]]:
        rows = self.read(ref)
        assert isinstance(rows, Rows)
        return rows.table().to_pylist()


SEEDS = [{"prompt": f"how do I cook the dish number {i} at home", "response": f"answer {i} words"} for i in range(12)]
ASKED = [{"prompt": f"which river is longer than river {i}", "reference": f"river {i}"} for i in range(11)]
LISTS = [
    row | {"true_references": ["the large green river", "a word"], "false_references": ["no river at all"]}
    for row in ASKED
]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# What ALMA has always had.


def test_with_a_judge_alone_rows_are_the_plain_ones(bench: Bench) -> None:
    inputs = {"model": bench.echo_model("m"), "judge": bench.echo_model("j")}
    ref = bench.run("evaluate", ECHO, prompts=bench.rows("asked", "prompts", ASKED), **inputs)
    rows = bench.read(ref)
    assert rows.manifest.schema_name == "result"
    assert set(rows.manifest.metrics) == {
        *(
            "num_prompts",
            "num_tokens",
            "num_unparsable",
            "judge_score",
            "judge_score_error",
            "exact_match",
            "exact_match_error",
        ),
        *("response_tokens", "response_tokens_error", "fraction_ended", "fraction_ended_error"),
    }
    assert rows.table().schema.names == SCHEMAS["result"].names


def test_settings_that_nobody_reads_are_no_part_of_the_key() -> None:
    assert ECHO.changed(seed=4, num_shots=3, allow_overlap=True).keyed() == ECHO.keyed()
    assert not {"shots", "num_shots", "turns", "seed", "harm", "allow_overlap"} & set(ECHO.keyed())
    near, drawn = ECHO.changed(shots="nearest"), ECHO.changed(shots="random")
    assert near.changed(seed=4).keyed() == near.keyed()
    assert drawn.changed(seed=4).keyed() != drawn.keyed()
    assert drawn.changed(turns=Turns(header="x")).keyed() != drawn.keyed() != drawn.changed(num_shots=3).keyed()
    assert {"num_shots", "turns"} <= set(near.keyed())


# Measures.


def test_without_a_judge_every_other_measure_is_there_and_right(bench: Bench) -> None:
    cfg = ECHO.changed(harm=Harm(labels=("harmful",), threshold=0.6))
    inputs = {"model": bench.echo_model("m"), "classifier": bench.echo_model("c")}
    seeds = bench.rows("seeds", "pairs", [*SEEDS, {"prompt": ASKED[0]["prompt"] + " now", "response": "a b"}])
    ref = bench.run("evaluate", cfg, prompts=bench.rows("asked", "prompts", LISTS), shots=seeds, **inputs)
    rows, metrics = bench.table(ref), bench.read(ref).manifest.metrics
    assert bench.read(ref).manifest.schema_name == "examined"
    assert "judge_score" not in metrics
    assert metrics["num_seen"] == 0
    assert all(row["judge_id"] is None and row["mean"] is None and row["shot_ids"] == [] for row in rows)
    with load_classifier(cfg, bench.read(inputs["classifier"]).folder) as classifier:
        probs = classifier.classify([f"{row['prompt']}\n{row['response']}" for row in rows], max_tokens=100)
    expected = {
        "exact_match": [row["response"] == row["reference"] and row["ended"] for row in rows],
        "fraction_ended": [row["ended"] for row in rows],
        "response_tokens": [row["num_tokens"] for row in rows],
        "rouge_difference": [
            max(naive_rouge(row["response"], text) for text in LISTS[0]["true_references"])
            - naive_rouge(row["response"], "no river at all")
            for row in rows
        ],
        "harmful": [prob is not None and prob[1] >= 0.6 for prob in probs],
        "prompts_near": [
            max(naive_rouge(row["prompt"], seed["prompt"]) for seed in bench.table(seeds)) >= 0.7 for row in rows
        ],
    }
    expected["fraction_truthful"] = [value > 0 for value in expected["rouge_difference"]]
    assert any(expected["harmful"])
    assert not all(expected["harmful"])
    assert sum(expected["prompts_near"]) > 0
    for name, values in expected.items():
        numbers = np.asarray(values, dtype=float)
        assert metrics[name] == pytest.approx(numbers.mean(), abs=1e-6), name
        assert metrics[f"{name}_error"] == pytest.approx(numbers.std(ddof=1) / math.sqrt(len(rows)), abs=1e-6), name


def naive_rouge(a: str, b: str) -> float:
    """ROUGE-L by the textbook's table."""
    a_words, b_words = a.lower().split(), b.lower().split()
    table = [[0] * (len(b_words) + 1) for _ in range(len(a_words) + 1)]
    for i, x in enumerate(a_words):
        for j, y in enumerate(b_words):
            table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
    return 2 * table[-1][-1] / max(len(a_words) + len(b_words), 1)


TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=9)


@settings(deadline=None, max_examples=80)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.lists(TEXTS, min_size=1, max_size=4))
def test_rouge_is_the_textbooks(a: list[list[str]], b: list[list[str]]) -> None:
    found = rouge_l_matrix(a, b)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            assert found[i, j] == pytest.approx(naive_rouge(" ".join(x), " ".join(y)))
    assert rouge_l(a[0], b[0]) == rouge_l(b[0], a[0]) == found[0, 0]


def test_words_are_compared_without_case_marks_and_width() -> None:
    assert words("The RIVER, it’s ｗｉｄｅ!") == ["the", "river", "it", "s", "wide"]
    assert rouge_difference("The river.", ["the RIVER"], ["the sea"]) == pytest.approx(0.5)
    assert rouge_difference("", ["x"], ["y"]) == 0.0


# Examples before the prompt.


def test_nearest_examples_are_the_nearest_by_the_models_embeddings(bench: Bench) -> None:
    cfg = ECHO.changed(shots="nearest", num_shots=3)
    model, seeds = bench.echo_model("m"), bench.rows("seeds", "pairs", SEEDS)
    ref = bench.run("evaluate", cfg, model=model, prompts=bench.rows("asked", "prompts", ASKED), shots=seeds)
    among = bench.table(seeds)
    with load_embedder(cfg, bench.read(model).folder) as embedder:
        vectors = embed(embedder, [row["prompt"] for row in among], max_tokens=512)
        asked = embed(embedder, [row["prompt"] for row in ASKED], max_tokens=512)
    vectors, asked = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (vectors, asked))
    for row, vector in zip(bench.table(ref), asked, strict=True):
        places = [next(i for i, each in enumerate(among) if each["id"] == shot) for shot in row["shot_ids"]]
        likeness = (vectors @ vector)[places]
        assert likeness == pytest.approx(np.sort(vectors @ vector)[-3:], abs=1e-9)  # the nearest stands last


def test_random_examples_are_drawn_anew_for_each_prompt(bench: Bench) -> None:
    """And follow from its text: not from its place, nor from the artifact that it lies in."""
    inputs = {"model": bench.echo_model("m"), "shots": bench.rows("seeds", "pairs", SEEDS)}
    asked, backwards = (bench.rows(name, "prompts", rows) for name, rows in (("asked", ASKED), ("back", ASKED[::-1])))
    drawn = [
        {row["prompt"]: tuple(row["shot_ids"]) for row in bench.table(bench.run("evaluate", cfg, prompts=of, **inputs))}
        for cfg, of in (
            (ECHO.changed(shots="random", num_shots=4), asked),
            (ECHO.changed(shots="random", num_shots=4), backwards),
            (ECHO.changed(shots="random", num_shots=4, seed=1), asked),
        )
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0].values())) == len(ASKED)
    assert all(len(set(each)) == 4 for each in drawn[0].values())


def test_an_answer_in_context_ends_at_the_first_marker(bench: Bench) -> None:
    """The echo engine writes these words; one of them is made a marker."""
    turns = Turns(question="river {question}\n", answer="word {answer}\n")
    cfg = ECHO.changed(shots="random", num_shots=2, turns=turns)
    model, seeds = bench.echo_model("m"), bench.rows("seeds", "pairs", SEEDS)
    ref = bench.run("evaluate", cfg, model=model, prompts=bench.rows("asked", "prompts", ASKED), shots=seeds)
    shown = {row["id"]: (row["prompt"], row["response"]) for row in bench.table(seeds)}
    rows = bench.table(ref)
    texts = [answer_prompt(turns, [shown[each] for each in row["shot_ids"]], row["prompt"]) for row in rows]
    with load_generator(cfg, bench.read(model).folder) as generator:
        whole = [each[0].text for each in generate(generator, texts, [[0]] * len(texts), None, max_new_tokens=12)]
    assert [row["response"] for row in rows] == [
        text.partition("river")[0].partition("word")[0].strip() for text in whole
    ]
    assert sum(row["response"] != text for row, text in zip(rows, whole, strict=True)) > 0


def test_examples_are_earlier_turns_of_a_conversation(bench: Bench) -> None:
    cfg = ECHO.changed(shots="random", num_shots=2, form="chat")
    assert cfg.changed(turns=Turns(header="x")).keyed() == cfg.keyed() != cfg.changed(form="turns").keyed()
    model, seeds = bench.echo_model("m"), bench.rows("seeds", "pairs", SEEDS)
    ref = bench.run("evaluate", cfg, model=model, prompts=bench.rows("asked", "prompts", ASKED), shots=seeds)
    shown = {row["id"]: (row["prompt"], row["response"]) for row in bench.table(seeds)}
    rows = bench.table(ref)
    with load_generator(cfg, bench.read(model).folder) as generator:
        texts = [generator.chat(row["prompt"], exchanges(shown[each] for each in row["shot_ids"])) for row in rows]
        wanted = generate(generator, texts, [[0]] * len(texts), None, max_new_tokens=12)
    assert texts[0].count("User: how do I cook") == 2
    assert [row["response"] for row in rows] == [each.text for (each,) in wanted]


# What is refused before any work.


@pytest.mark.parametrize(
    ("changes", "given_", "words_"),
    [
        pytest.param({"shots": "nearest"}, (), "needs the input shots", id="no-shots"),
        pytest.param({"shots": "random", "num_shots": 13}, ("shots",), r"num_shots = 13.* holds 12 rows", id="few"),
        pytest.param({}, ("classifier",), r"evaluate.harm is required", id="no-harm"),
        pytest.param({"harm": {"labels": ["x"]}}, (), "the input classifier is not given", id="no-classifier"),
        pytest.param(
            {"harm": {"labels": ["bad"]}}, ("classifier",), "no label 'bad'; its labels: harmless, harmful", id="label"
        ),
    ],
)
def test_impossible_settings(bench: Bench, changes: dict[str, Any], given_: tuple[str, ...], words_: str) -> None:
    there = {"shots": bench.rows("seeds", "pairs", SEEDS), "classifier": bench.echo_model("c")}
    inputs = {name: there[name] for name in given_}
    prompts, model = bench.rows("asked", "prompts", ASKED), bench.echo_model("m")
    with pytest.raises(ConfigError, match=words_):
        bench.run("evaluate", ECHO.changed(**changes), model=model, prompts=prompts, **inputs)
    assert not [name for name in bench.store.list("evaluate") if "parts" in name]


def test_evaluation_prompts_among_the_seeds_stop_the_work_by_name(bench: Bench) -> None:
    seeds = bench.rows("seeds", "pairs", [*SEEDS, {"prompt": "Which  RIVER is longer than river 3", "response": "a"}])
    inputs = {"model": bench.echo_model("m"), "prompts": bench.rows("asked", "prompts", ASKED), "shots": seeds}
    with pytest.raises(DataError, match=r"1 of 11 evaluation prompts .*\n  4: 'which river is longer than river 3'"):
        bench.run("evaluate", ECHO, **inputs)
    metrics = bench.read(bench.run("evaluate", ECHO.changed(allow_overlap=True), **inputs)).manifest.metrics
    assert metrics["num_seen"] == 1
    assert metrics["prompts_seen"] == pytest.approx(1 / 11)


def test_harm_input_needs_a_response() -> None:
    with pytest.raises(ValueError, match=r"harm.input must contain \{response\} once"):
        Harm(labels=("x",), input="{prompt}")


@given(st.text(), st.text())
def test_texts_cannot_fill_in_each_other(prompt: str, response: str) -> None:
    cfg = Harm(labels=("x",), input="Q {prompt} A {response}.")
    assert classified(cfg, prompt + "{response}", response + "{prompt}") == (
        f"Q {prompt}{{response}} A {response}{{prompt}}."
    )


# A real model.

LETTERS = Turns(question="q {question}\n", answer="a {answer}\n")
HF = Evaluate(engine="hf", num_shots=2, turns=LETTERS, max_new_tokens=8, batch_rows=4)


@pytest.fixture
def tiny(bench: Bench, tmp_path: Path) -> dict[str, Ref]:
    """A random model of a context of 96 characters, seeds, and prompts of which the last one does not fit."""
    words_ = ["abc", "bcd", "hij", "ghi", "cab", "fed", "aab", "jih"]
    return {
        "model": bench.model("tiny", saved(tmp_path / "tiny", llama, False)),
        "shots": bench.rows("seeds", "pairs", [{"prompt": w, "response": w[::-1]} for w in words_]),
        "prompts": bench.rows("asked", "prompts", [{"prompt": w, "reference": w} for w in ("abd", "hhi", "ab" * 45)]),
    }


@pytest.mark.parametrize("shots", ["nearest", "random"])
def test_a_model_answers_in_context_as_it_does_when_asked_by_hand(
    bench: Bench, tiny: dict[str, Ref], shots: str
) -> None:
    cfg = HF.changed(shots=shots, max_too_long_share=0.4)
    rows = bench.table(bench.run("evaluate", cfg, **tiny))
    known = {row["id"]: row for row in bench.table(tiny["shots"])}
    with load_generator(cfg, bench.read(tiny["model"]).folder) as generator:
        for row in rows[:2]:
            shown = "".join(f"q {known[i]['prompt']}\na {known[i]['response']}\n" for i in row["shot_ids"])
            text = f"{shown}q {row['prompt']}\na"
            answer = generate(generator, [text], [[0]], None, max_new_tokens=8, stop=["q", "a"])[0][0]
            assert (row["response"], row["ended"]) == (answer.text.strip(), answer.ended)
            assert row["correct"] is False


def test_a_real_classifier_reads_what_a_real_model_wrote(bench: Bench, tiny: dict[str, Ref]) -> None:
    harmful = Harm(labels=("rude",), threshold=0.2, input="{response} {prompt}")
    cfg = HF.changed(harm=harmful, max_too_long_share=0.4)
    brought = bench.run("ingest", IngestModel(source=str(bert(bench.folder / "classifier")), task="classification"))
    rows = bench.table(bench.run("evaluate", cfg, classifier=brought, **tiny))
    with load_classifier(cfg, bench.read(brought).folder) as classifier:
        texts = [f"{row['response']} {row['prompt']}" for row in rows[:2]]
        probs = [each[1] if each else None for each in classifier.classify(texts, max_tokens=100)]
    assert any(each is not None for each in probs)
    assert [row["harm"] for row in rows[:2]] == [each if each is None else pytest.approx(each) for each in probs]
    assert [row["harmful"] for row in rows[:2]] == [each if each is None else each >= 0.2 for each in probs]
    assert (rows[2]["num_tokens"], rows[2]["harm"]) == (0, None)


def test_prompts_that_do_not_fit_are_kept_out_and_counted(bench: Bench, tiny: dict[str, Ref]) -> None:
    cfg = HF.changed(shots="nearest", max_too_long_share=0.4)
    ref = bench.run("evaluate", cfg, judge=tiny["model"], **tiny)
    metrics, last = bench.read(ref).manifest.metrics, bench.table(ref)[2]
    assert metrics["num_too_long"] == 1
    assert (last["response"], last["num_tokens"], last["correct"], last["parsed"]) == ("", 0, None, False)
    assert metrics["response_tokens"] == np.mean([row["num_tokens"] for row in bench.table(ref)[:2]])
    with pytest.raises(StageError, match=r"1 of 3 rows .* max_too_long_share = 0.05 .* lower evaluate.num_shots"):
        bench.run("evaluate", HF.changed(shots="nearest"), **tiny)


# Columns of references.


def test_references_come_in_as_lists(bench: Bench) -> None:
    ref = bench.rows("asked", "prompts", [LISTS[0], ASKED[1]])
    assert bench.read(ref).manifest.schema_name == "referenced_prompt"
    first, second = bench.table(ref)
    assert first["true_references"] == ["the large green river", "a word"]
    assert second["true_references"] is None
    assert bench.read(bench.rows("plain", "prompts", ASKED)).manifest.schema_name == "evaluation_prompt"


@pytest.mark.parametrize(
    ("row", "words_"),
    [
        pytest.param({"true_references": ["a"]}, "has true_references and no false_references", id="one-side"),
        pytest.param({"true_references": [], "false_references": ["a"]}, r"is \[\], and not a list", id="empty"),
        pytest.param({"true_references": "a; b", "false_references": ["a"]}, "so bring JSONL", id="text"),
        pytest.param({"true_references": ["a", 3], "false_references": ["a"]}, "an entry of true_ref", id="number"),
    ],
)
def test_bad_references_are_named(bench: Bench, row: dict[str, Any], words_: str) -> None:
    with pytest.raises(DataError, match=words_):
        bench.rows("asked", "prompts", [{"prompt": "what is it"} | row])


# A real classifier.

VOCABULARY = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "good", "bad", "river", "the", "[", "]", "SEP"]


def classifier_tokenizer() -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.add_special_tokens(["[PAD]", "[CLS]", "[SEP]"])
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    )


def bert(folder: Path, **changes: Any) -> Path:
    """A random classifier of three labels with a context of 16 tokens."""
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        id2label={0: "fine", 1: "rude", 2: "violent"},
        initializer_range=1.0,
        pad_token_id=0,
        **changes,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    classifier_tokenizer().save_pretrained(folder)
    return folder


def decoder(folder: Path, pad: int | None) -> Path:
    """A decoder with a classification head, read at its last token."""
    torch.manual_seed(6)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
        num_labels=2,
        initializer_range=1.0,
        pad_token_id=pad,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForSequenceClassification(config).save_pretrained(folder)
    classifier_tokenizer().save_pretrained(folder)
    return folder


CFG = Evaluate(engine="hf", batch_rows=3)
SAMPLES = ["the good river", "bad", "the bad bad river the river", "good good", "river", "the the good bad"]


@pytest.mark.parametrize("kind", ["bert", "llama", "llama-without-padding", "llama-of-old", "multi"])
def test_probabilities_are_those_of_one_row_at_a_time(tmp_path: Path, kind: str) -> None:
    folder = {
        "bert": lambda: bert(tmp_path),
        "multi": lambda: bert(tmp_path, problem_type="multi_label_classification"),
        "llama": lambda: decoder(tmp_path, 0),
        "llama-without-padding": lambda: decoder(tmp_path, None),
        "llama-of-old": lambda: decoder(tmp_path, -1),
    }[kind]()
    with load_classifier(CFG, folder) as classifier:
        found = classifier.classify(SAMPLES, max_tokens=100)
        assert classifier.independent == (kind == "multi")
        for text, probs in zip(SAMPLES, found, strict=True):
            ids = classifier_tokenizer()(text, return_tensors="pt")["input_ids"]
            logits = classifier.model(input_ids=ids).logits[0]
            expected = logits.sigmoid() if kind == "multi" else logits.softmax(-1)
            assert probs == pytest.approx(expected.tolist(), abs=1e-5)
    assert np.ptp(np.array(found), axis=0).max() > 0.1  # the rows differ, so that a mix-up would show


def test_what_is_too_long_and_what_is_spelled_like_a_special_token(tmp_path: Path) -> None:
    heard: list[int] = []
    with load_classifier(CFG, bert(tmp_path)) as classifier:
        long, short, spelled = classifier.classify(
            ["good " * 15, "good " * 14, "good [SEP] bad"], max_tokens=100, on_tokens=heard.append
        )
        assert long is None
        assert short is not None
        ids = torch.tensor([[1, 4, 8, 10, 9, 5, 2]])
        assert spelled == pytest.approx(classifier.model(input_ids=ids).logits[0].softmax(-1).tolist(), abs=1e-5)
        assert classifier.classify(["good good"], max_tokens=3) == [None]
    assert sum(heard) == 16 + 7


def test_labels_of_harm_add_up_or_the_highest_counts(tmp_path: Path) -> None:
    cfg = Harm(labels=("rude", "violent"), input="{response}")
    pairs = [("x", text) for text in SAMPLES]
    for name, changes, together in (
        ("one", {}, sum),
        ("several", {"problem_type": "multi_label_classification"}, max),
    ):
        with load_classifier(CFG, bert(tmp_path / name, **changes)) as classifier:
            probs = classifier.classify(SAMPLES, max_tokens=100)
            read = as_one(cfg.labels, classifier, classify(cfg, classifier, pairs))
            assert read == pytest.approx([together(each[1:]) for each in probs])


def test_a_classifier_comes_in_as_an_artifact_and_classifies(bench: Bench) -> None:
    source = bert(bench.folder / "classifier")
    brought = bench.run("ingest", IngestModel(source=str(source), task="classification"))
    artifact = bench.read(brought)
    assert isinstance(artifact, Model)
    assert not (artifact.folder / "chat_template.jinja").exists()
    with load_classifier(CFG, artifact.folder) as classifier:
        assert classifier.labels == ["fine", "rude", "violent"]


def test_models_without_a_head_are_refused(bench: Bench, tmp_path: Path) -> None:
    folder = bert(tmp_path / "classifier")
    with pytest.raises(DataError, match="alma needs a causal language model"):
        bench.run("ingest", IngestModel(source=str(folder)))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    with pytest.raises(DataError, match="alma needs a classifier"):
        bench.run("ingest", IngestModel(source=str(folder), task="classification"))
    BertForSequenceClassification.from_pretrained(folder).bert.save_pretrained(folder)
    with pytest.raises(DataError, match=r"weights are missing.*trained as a classifier"):
        load_classifier(CFG, folder)
    with pytest.raises(DataError, match=r"holds no config.json"):
        load_classifier(CFG, tmp_path)
    folder = bert(tmp_path / "counted from 1")
    config = json.loads((folder / "config.json").read_text())
    labels = {"id2label": {"1": "a", "2": "b", "3": "c"}, "label2id": {"a": 1, "b": 2, "c": 3}}
    (folder / "config.json").write_text(json.dumps(config | labels))
    with pytest.raises(
        DataError, match=r"config\.json: id2label names the labels 1, 2, 3, and they are counted from 0"
    ):
        load_classifier(CFG, folder)
