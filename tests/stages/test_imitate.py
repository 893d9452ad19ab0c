"""The stage ``imitate``: the whole of it with the echo engine, and what only a model can show with the micro base."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pydantic import ValidationError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
)

from alma.artifact import Artifact, Manifest, Ref, Rows, row_id
from alma.artifact.out import Out
from alma.artifact.records import DROP_REASONS, SCHEMAS
from alma.engines import GenerateRequest, load_embedder, load_generator
from alma.engines.hf.choose import choose
from alma.engines.hf.generate import uniforms
from alma.engines.tokenizer import special_texts
from alma.errors import ConfigError, DataError, StageError, Stopped
from alma.running.stage import run
from alma.sections import Finetune, Imitate, Inference, Sampling, Turns
from alma.seeds import sample_seed
from alma.stages import finetune, imitate
from alma.store import Store, open_store
from tests.builders.asking import embed, generate
from tests.builders.sealed import named, seal

torch.set_num_threads(1)
MICRO = Path(__file__).parents[2] / "examples" / "micro"
ECHO = Imitate(engine="echo", num_attempts=40, part_rows=15, max_rouge=0.5)
PLAIN = Turns(question="q {question}\n", answer="r {answer}\n")
HF = Imitate(
    turns=Turns(question="<user>{question}", answer="<assistant>{answer}</s><s>"),
    num_attempts=24,
    num_shots=4,
    min_words=1,
    max_rouge=1.0,
    require_end=False,
    question_sampling=Sampling(temperature=1.0, max_new_tokens=16),
    answer_sampling=Sampling(temperature=1.0, max_new_tokens=16),
)


@dataclass
class World:
    """A store with seeds and models; ``imitate`` runs the stage on them."""

    store: Store
    folder: Path
    made: list[Ref] = field(default_factory=list)

    def out(self, stage: str = "ingest") -> Out:
        self.made.append(named(stage, len(self.made)))
        return Out(self.store, self.made[-1], self.folder / f"scratch{len(self.made)}")

    def rows(self, schema: str, rows: Sequence[dict[str, Any]]) -> Ref:
        out = self.out()
        named = [
            {"id": row_id(out.ref, place), "source_id": f"line {place + 1}"} | row for place, row in enumerate(rows)
        ]
        out.write(pa.Table.from_pylist(named, schema=SCHEMAS[schema]), schema, 1000)
        return self.seal(out, "rows")

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> Ref:
        return self.rows("pair", [{"prompt": prompt, "response": response} for prompt, response in pairs])

    def model(self, source: Path | None = None, name: str = "") -> Ref:
        out = self.out()
        if source is None:
            (out.folder / "config.json").write_text(json.dumps({"name": name}))
        else:
            shutil.copytree(source, out.folder, dirs_exist_ok=True)
        return self.seal(out, "model")

    def seal(self, out: Out, kind: Any) -> Ref:
        seal(out, kind)
        return out.ref

    def imitate(self, cfg: Imitate, **inputs: Ref | None) -> Rows:
        manifest: Manifest = run("imitate", cfg, inputs, self.store)
        rows = Artifact.open(self.store, manifest.ref)
        assert isinstance(rows, Rows)
        return rows

    def aside(self, rows: Rows) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.store.read(f"{rows.ref}/aside.jsonl").decode().splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(open_store(str(tmp_path / "store")), tmp_path)


WORDS = ["amber", "birch", "cedar", "delta", "ember", "frost", "grove", "haven", "inlet", "jewel"]
SEEDS = [
    (f"which of the {a} {b} things is {n}", f"the {b} {a} thing number {n}")
    for n, (a, b) in enumerate(zip(WORDS, WORDS[1:] + WORDS[:1], strict=True))
]


def content(rows: Rows) -> list[dict[str, Any]]:
    """Rows without what differs between artifacts."""
    return [{name: value for name, value in row.items() if name != "id"} for row in rows.table().to_pylist()]


# The whole stage, with the echo engine


def test_three_iterations(world: World) -> None:
    seeds, model = world.pairs(SEEDS), world.model()
    cfg, previous, artifacts = ECHO, None, []
    for iteration in (1, 2, 3):
        cfg = ECHO.changed(iteration=iteration)
        artifacts.append(world.imitate(cfg, model=model, seeds=seeds, previous=previous))
        previous = artifacts[-1].ref
    rows = artifacts[-1].table().to_pylist()
    assert [row["iteration"] for row in rows] == sorted(row["iteration"] for row in rows)
    assert {row["iteration"] for row in rows} == {1, 2, 3}
    assert all(row["train"] == (row["iteration"] == 3) for row in rows)
    assert [row["id"] for row in rows] == [row_id(artifacts[-1].ref, place) for place in range(len(rows))]
    # Earlier rows come along as they were.
    second = content(artifacts[1])
    assert [row | {"train": False} for row in second] == [
        row | {"train": False} for row in content(artifacts[2])[: len(second)]
    ]
    # Every prompt of iteration 3 has one shot of each earlier iteration and six seeds.
    iteration_of = {row["id"]: row["iteration"] for row in artifacts[1].table().to_pylist()}
    seed_ids = {row_id(seeds, place) for place in range(len(SEEDS))}
    for row in rows:
        for ids in (row["question_shot_ids"], row["answer_shot_ids"]):
            assert len(set(ids)) == 8
            if row["iteration"] == 3:
                assert sorted(iteration_of.get(each, 0) for each in ids) == [0] * 6 + [1, 2]
                assert seed_ids.issuperset(each for each in ids if each not in iteration_of)
    # The count adds up, and what was dropped lies beside the artifact.
    metrics, aside = artifacts[-1].metrics, world.aside(artifacts[-1])
    assert metrics["num_attempts"] == 40 == metrics["num_kept"] + sum(metrics[f"num_{name}"] for name in DROP_REASONS)
    assert metrics["yield"] == metrics["num_kept"] / 40
    assert metrics["num_kept"] == metrics["num_train"] == sum(row["iteration"] == 3 for row in rows)
    assert [each["reason"] for each in aside].count("short") == metrics["num_short"] > 0
    assert len(aside) == 40 - metrics["num_kept"]
    assert 0 < metrics["nearest_rouge"] <= 0.5
    assert 0 < metrics["distinct_word_share"] <= 1
    union = world.imitate(cfg.changed(data="union"), model=model, seeds=seeds, previous=artifacts[1].ref)
    assert all(row["train"] for row in union.table().to_pylist())


def test_rows_depend_on_no_part_and_on_the_seed(world: World, tmp_path: Path) -> None:
    inputs = {"seeds": world.pairs(SEEDS), "model": world.model()}
    rows = world.imitate(ECHO, **inputs)
    other = World(open_store(str(tmp_path / "other")), tmp_path / "other")  # in one store it would be found sealed
    again = other.imitate(ECHO.changed(part_rows=7), seeds=other.pairs(SEEDS), model=other.model())
    assert again.table().to_pylist() == rows.table().to_pylist()
    assert content(world.imitate(ECHO.changed(seed=1), **inputs)) != content(rows)
    seeds = [(row["question_seed"], row["sample_seed"]) for row in content(rows)]
    assert len({each for pair in seeds for each in pair}) == 2 * len(rows)


@pytest.mark.parametrize("kill_after", [1, 3, 4])
def test_a_stopped_stage_goes_on(world: World, monkeypatch: pytest.MonkeyPatch, kill_after: int) -> None:
    inputs = {"seeds": world.pairs(SEEDS), "model": world.model()}
    whole = content(world.imitate(ECHO, **inputs))
    other = World(open_store(str(world.folder / "other")), world.folder / "other-scratch")
    other_inputs = {"seeds": other.pairs(SEEDS), "model": other.model()}
    asked = 0

    def stopping() -> bool:
        nonlocal asked
        asked += 1
        return asked > kill_after

    with pytest.raises(Stopped):
        run("imitate", ECHO, other_inputs, other.store, stopping=stopping)
    sizes: list[int] = []
    original = imitate.load_generator

    def counting(*given: Any) -> Any:
        engine = original(*given)
        answer_one = engine.answer_one

        def counted(request: GenerateRequest, on_tokens: Any) -> Any:
            sizes.append(len(request))
            return answer_one(request, on_tokens)

        monkeypatch.setattr(engine, "answer_one", counted)
        return engine

    monkeypatch.setattr(imitate, "load_generator", counting)
    assert content(other.imitate(ECHO, **other_inputs)) == whole
    assert len(sizes) == 5 - kill_after  # three parts of questions, two of answers


def test_own_shots_alone_let_more_through_than_the_pool(world: World) -> None:
    inputs = {"seeds": world.pairs(SEEDS), "model": world.model()}
    cfg = ECHO.changed(max_rouge=0.3, num_shots=2, num_attempts=80)
    pool, own = (world.imitate(cfg.changed(duplicates=each), **inputs) for each in ("pool", "shots"))
    prompts = [{row["prompt"] for row in content(each)} for each in (pool, own)]
    assert prompts[0] < prompts[1]
    assert pool.metrics["num_similar"] > own.metrics["num_similar"]
    assert len(prompts[1]) == len(content(own)), "equal questions are kept once in either case, as the authors do"


def test_the_same_questions_again(world: World) -> None:
    inputs = {"seeds": world.pairs(SEEDS), "model": world.model()}
    first = world.imitate(ECHO, **inputs)
    again = world.imitate(ECHO.changed(iteration=2, questions="same"), **inputs, previous=first.ref)
    before = {row["id"]: row["prompt"] for row in first.table().to_pylist()}
    second = [row for row in again.table().to_pylist() if row["iteration"] == 2]
    assert again.metrics["num_attempts"] == len(before)
    assert 0 < len(second) <= len(before)
    for row in second:
        assert [before[each] for each in row["question_shot_ids"]] == [row["prompt"]]
        assert row["question_seed"] is None
        assert row["prompt"] not in [before.get(each) for each in row["answer_shot_ids"]]
    old = {row["prompt"]: row["response"] for row in first.table().to_pylist()}
    assert all(old[row["prompt"]] != row["response"] for row in second)


def test_the_judge_chooses_among_several_answers(world: World) -> None:
    inputs = {"seeds": world.pairs(SEEDS), "model": world.model()}
    judge = world.model(name="judge")
    one = world.imitate(ECHO, **inputs)
    best = world.imitate(ECHO.changed(num_answers=6), **inputs, judge=judge)
    assert all(row["judge_id"] is None and row["score"] is None for row in content(one))
    assert {row["judge_id"] for row in content(best)} == {str(judge)}
    scores = [row["score"] for row in content(best)]
    assert np.mean(scores) > 6.5  # of one answer 5 on the average
    assert best.metrics["judge_score"] == pytest.approx(np.mean(scores))
    places = [sample_seed(0, "answer", 1, number, place) for number in range(40) for place in range(6)]
    assert {row["sample_seed"] for row in content(best)} <= set(places)
    assert best.metrics["num_kept"] >= one.metrics["num_kept"]  # an answer without flaw is found more often
    with pytest.raises(ConfigError, match=r"num_answers = 6.*judge"):
        world.imitate(ECHO.changed(num_answers=6), **inputs)


def test_nothing_kept_says_why(world: World) -> None:
    inputs = {"seeds": world.pairs(SEEDS), "model": world.model()}
    cfg = ECHO.changed(min_words=100)
    with pytest.raises(StageError, match=r"none of 40 attempts: .*\d+ unfinished.*\d+ short \(.*min_words.*aside"):
        world.imitate(cfg, **inputs)


# What cannot work is refused before anything is loaded


@pytest.mark.parametrize(
    ("cfg", "pairs", "message"),
    [
        pytest.param({}, SEEDS[:7], r"has 7 seeds and imitate.num_shots = 8", id="few"),
        pytest.param({}, [*SEEDS, (SEEDS[3][0].upper(), "x")], r"'line 4', 'line 11' ask the same", id="twice"),
        pytest.param({}, [*SEEDS, ("a", "b ### Human: c")], r"seed 'line 11' contains '### Human:'", id="marker"),
    ],
)
def test_seeds_that_cannot_be_used(world: World, cfg: dict[str, Any], pairs: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        world.imitate(ECHO.changed(**cfg), seeds=world.pairs(pairs), model=world.model())


def test_inputs_that_do_not_fit_the_iteration(world: World) -> None:
    inputs = {"seeds": world.pairs(SEEDS), "model": world.model()}
    first = world.imitate(ECHO, **inputs)
    with pytest.raises(ConfigError, match=r"iteration = 2 needs the input previous"):
        world.imitate(ECHO.changed(iteration=2), **inputs)
    with pytest.raises(ConfigError, match=r"iteration = 1 needs no input previous"):
        world.imitate(ECHO, **inputs, previous=first.ref)
    with pytest.raises(DataError, match=r"holds the iterations 1, and imitate.iteration = 3"):
        world.imitate(ECHO.changed(iteration=3), **inputs, previous=first.ref)
    with pytest.raises(DataError, match=r"holds pair rows; wanted: imitation"):
        world.imitate(ECHO.changed(iteration=2), **inputs, previous=inputs["seeds"])
    with pytest.raises(ConfigError, match=r"sentence-transformers.*embedder"):
        world.imitate(ECHO.changed(embedding="sentence-transformers"), **inputs)
    with pytest.raises(ValidationError, match=r"num_shots = 8 is too few"):
        ECHO.changed(iteration=9)


def test_seeds_longer_than_the_context(world: World) -> None:
    pairs = [*((f"copy {chr(97 + n)}", "a") for n in range(4)), ("b" * 200, "b" * 60), ("copy c d", "c" * 250)]
    with pytest.raises(DataError, match=r"2 of the 6 seeds .* context of 256 tokens: 'line 5', 'line 6'"):
        world.imitate(HF, seeds=world.pairs(pairs), model=world.model(MICRO / "base"))


# Settings and keys


def test_the_key_holds_what_changes_the_result() -> None:
    assert "repetition_penalty" not in str(Sampling().keyed())
    assert Sampling(repetition_penalty=1.2).keyed()["repetition_penalty"] == 1.2
    assert Imitate().changed(seed=3).answer_sampling.repetition_penalty == 1.2
    off = Imitate(answer_sampling=Sampling()).changed(seed=3)
    assert off.answer_sampling.repetition_penalty == 1.0
    assert Imitate(min_mass=0.1).keyed() == Imitate().keyed()
    first = {"answer_order": "nearest_first"}
    assert Imitate(**first).keyed() != Imitate().keyed()
    assert Imitate(**first, retrieval="random").keyed() == Imitate(retrieval="random").keyed()
    assert "no_repeat_ngram_size" not in str(Sampling().model_dump())
    assert Imitate(min_mass=0.1, num_answers=2).keyed() != Imitate(num_answers=2).keyed()
    assert Imitate(embedding_tokens=9).keyed() != Imitate().keyed()


def test_training_takes_the_rows_that_are_to_be_trained_on(world: World) -> None:
    inputs = {"seeds": world.pairs(SEEDS), "model": world.model()}
    first = world.imitate(ECHO, **inputs)
    second = world.imitate(ECHO.changed(iteration=2), **inputs, previous=first.ref)
    cfg = Finetune(trainer="echo", epochs=1)
    trained = run(
        "finetune", cfg, {"model": inputs["model"], "rows": inputs["seeds"], "replay": second.ref}, world.store
    )
    assert trained.metrics["num_rows"] == len(SEEDS) + second.metrics["num_kept"] < len(SEEDS) + len(second)
    with pytest.raises(ConfigError, match=r"epochs = 100000 of all trainings that imitate/.* lower train\.epochs"):
        run(
            "finetune",
            cfg.changed(epochs=1e5),
            {"model": inputs["model"], "rows": inputs["seeds"], "matched": second.ref},
            world.store,
        )
    with pytest.raises(DataError, match=r"holds imitation rows; wanted: preference"):
        finetune.run(cfg.changed(objective="dpo"), model=None, rows=second, out=None)  # type: ignore[arg-type]


# With a model


def micro_seeds() -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in (MICRO / "sft_seeds.jsonl").read_text().splitlines()]
    return [(row["prompt"], row["response"]) for row in rows[:32]]


def test_two_iterations_of_the_micro_base(world: World) -> None:
    inputs = {"seeds": world.pairs(micro_seeds()), "model": world.model(MICRO / "base")}
    first = world.imitate(HF, **inputs)
    second = world.imitate(HF.changed(iteration=2), **inputs, previous=first.ref)
    assert 0 < first.metrics["num_kept"] <= 24
    assert {row["iteration"] for row in content(second)} == {1, 2}
    other = World(open_store(str(world.folder / "other")), world.folder / "other-scratch")
    same = other.imitate(HF, seeds=other.pairs(micro_seeds()), model=other.model(MICRO / "base"))
    assert content(same) == content(first)


def test_answers_follow_the_nearest_questions(world: World) -> None:
    pairs = micro_seeds()
    seeds, model = world.pairs(pairs), world.model(MICRO / "base")
    rows = content(world.imitate(HF, seeds=seeds, model=model))
    place_of = {row_id(seeds, place): place for place in range(len(pairs))}
    with load_embedder(HF, MICRO / "base") as embedder:
        known = embed(embedder, [question for question, _ in pairs], max_tokens=512)
        asked = embed(embedder, [row["prompt"] for row in rows], max_tokens=512)
    for row, vector in zip(rows, asked, strict=True):
        cosine = known @ vector / np.linalg.norm(known, axis=1) / np.linalg.norm(vector)
        free = [place for place in np.argsort(cosine) if pairs[place][0] != row["prompt"]]
        assert [place_of[each] for each in row["answer_shot_ids"]] == free[-4:]
    shots_of = {row["prompt"]: row["answer_shot_ids"] for row in rows}
    turned = content(world.imitate(HF.changed(answer_order="nearest_first"), seeds=seeds, model=model))
    both = [row for row in turned if row["prompt"] in shots_of]  # another answer may be dropped
    assert both
    assert all(row["answer_shot_ids"] == shots_of[row["prompt"]][::-1] for row in both)


def test_prompts_that_do_not_fit_are_set_aside(world: World) -> None:
    long = [("copy " + "abcde"[n % 5] * (100 + n), "f") for n in range(4)]
    cfg = HF.changed(num_attempts=40, num_shots=3, retrieval="random")
    rows = world.imitate(cfg, seeds=world.pairs([*micro_seeds()[:8], *long]), model=world.model(MICRO / "base"))
    assert 0 < rows.metrics["num_context"] < 40
    assert rows.metrics["num_kept"] > 0


@pytest.mark.parametrize("penalty", [1.3, 0.8])
def test_repetition_penalty_is_that_of_transformers(penalty: float) -> None:
    """Rows of uneven length in one batch, against one text at a time without cache."""
    sampling = Sampling(temperature=0.9, top_p=0.95, repetition_penalty=penalty)
    texts = ["<s><user>copy kec<assistant>", "<s><list>copy abc\n", "<s><user>first 3 hihe<assistant>hi"]
    seeds = [[1, 2, 3, 4]] * 3
    with load_generator(Inference(batch_rows=5), MICRO / "base") as engine:
        found = generate(engine, texts, seeds, sampling, max_new_tokens=20)
        plain = generate(engine, texts, seeds, sampling.changed(repetition_penalty=1.0), max_new_tokens=20)
    assert found != plain
    tokenizer = AutoTokenizer.from_pretrained(MICRO / "base")
    model = AutoModelForCausalLM.from_pretrained(MICRO / "base", dtype=torch.float32).eval()
    processor = RepetitionPenaltyLogitsProcessor(penalty)
    for text, completions in zip(texts, found, strict=True):
        for seed, completion in zip((1, 2, 3, 4), completions, strict=True):
            ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
            start = ids.shape[1]
            for uniform in uniforms([seed], 20)[0]:
                with torch.inference_mode():
                    logits = processor(ids, model(ids).logits[:, -1])
                ids = torch.cat([ids, choose(logits, uniform[None], sampling)[:, None]], dim=1)
                if ids[0, -1] == tokenizer.eos_token_id:
                    break
            written = tokenizer.decode(ids[0, start:])
            for special in special_texts(tokenizer):
                written = written.partition(special)[0]
            assert ids.shape[1] - start == completion.num_tokens
            assert written == completion.text


def test_no_run_of_tokens_is_repeated_where_that_is_asked() -> None:
    """The most probable text, with the ban of transformers, in rows of uneven length."""
    sampling = Sampling(temperature=0.001, top_p=1.0, no_repeat_ngram_size=3)
    texts = ["<s><user>copy abcabc<assistant>abc", "<s><list>copy abab\n", "<s><user>first 3 hihe<assistant>hi"]
    with load_generator(Inference(batch_rows=5), MICRO / "base") as engine:
        found = generate(engine, texts, [[1]] * 3, sampling, max_new_tokens=20)
        plain = generate(engine, texts, [[1]] * 3, sampling.changed(no_repeat_ngram_size=0), max_new_tokens=20)
    assert found != plain
    tokenizer = AutoTokenizer.from_pretrained(MICRO / "base")
    model = AutoModelForCausalLM.from_pretrained(MICRO / "base", dtype=torch.float32).eval()
    processor = NoRepeatNGramLogitsProcessor(3)
    for text, (completion,) in zip(texts, found, strict=True):
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        start = ids.shape[1]
        while ids.shape[1] - start < 20 and ids[0, -1] != tokenizer.eos_token_id:
            with torch.inference_mode():
                ids = torch.cat([ids, processor(ids, model(ids).logits[:, -1]).argmax(-1)[:, None]], dim=1)
        assert ids.shape[1] - start == completion.num_tokens


def test_an_engine_that_bans_no_runs_of_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match=r"answer_sampling.no_repeat_ngram_size = 10: engine = 'vllm' has no such ban"):
        Imitate(engine="vllm", answer_sampling=Sampling(no_repeat_ngram_size=10))


@pytest.mark.vllm
def test_vllm_penalises_as_hf_does() -> None:
    """At a temperature near zero a sample is the most probable text."""
    sampling = Sampling(temperature=0.001, top_p=1.0, repetition_penalty=1.3)
    texts = ["<s><user>copy kec<assistant>", "<s><user>first 3 hihe<assistant>"]
    answers = []
    for engine in ("hf", "vllm"):
        with load_generator(Inference.model_validate({"engine": engine}), MICRO / "base") as generator:
            answers.append(generate(generator, texts, [[1]] * 2, sampling, max_new_tokens=16))
            plain = generate(generator, texts, [[1]] * 2, None, max_new_tokens=16)
        assert plain != answers[-1]
    assert answers[0] == answers[1]


# Sentence embeddings


def test_without_the_library_the_remedy_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"pip install .*sentence-transformers"):
        world.imitate(
            ECHO.changed(embedding="sentence-transformers"),
            seeds=world.pairs(SEEDS),
            model=world.model(),
            embedder=world.model(),
        )


def test_sentence_embeddings(world: World, tmp_path: Path) -> None:
    remedy = "pip install -e '.[sentence-transformers]', then pytest tests/stages/test_imitate.py"
    library = pytest.importorskip("sentence_transformers", reason=f"sentence-transformers is not installed: {remedy}")
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text(
        "\n".join(
            [
                "[PAD]",
                "[UNK]",
                "[CLS]",
                "[SEP]",
                "[MASK]",
                *"abcdefghijklmnopqrstuvwxyz",
                *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
            ]
        )
    )
    torch.manual_seed(0)
    bert = BertModel(
        BertConfig(vocab_size=57, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    bert.save_pretrained(tmp_path / "bert")
    BertTokenizerFast(str(vocabulary)).save_pretrained(tmp_path / "bert")
    body = Transformer(str(tmp_path / "bert"))
    library.SentenceTransformer(modules=[body, Pooling(16)], device="cpu").save_pretrained(str(tmp_path / "sentences"))
    inputs = {"seeds": world.pairs(SEEDS), "model": world.model()}
    cfg = ECHO.changed(embedding="sentence-transformers")
    rows = content(world.imitate(cfg, **inputs, embedder=world.model(tmp_path / "sentences")))
    model = library.SentenceTransformer(str(tmp_path / "sentences"), device="cpu")
    known = model.encode([question for question, _ in SEEDS], normalize_embeddings=True)
    for row in rows:
        cosine = known @ model.encode([row["prompt"]], normalize_embeddings=True)[0]
        assert {int(each.rpartition("-")[2]) for each in row["answer_shot_ids"]} == set(
            np.argsort(cosine)[-8:].tolist()
        )
    (tmp_path / "sentences" / "modules.json").write_text('[{"type": "os.path"}]')
    with pytest.raises(DataError, match=r"'os.path'.*not run"):
        world.imitate(cfg, **inputs, embedder=world.model(tmp_path / "sentences"))
    with pytest.raises(DataError, match=r"no modules.json"):
        world.imitate(cfg, **inputs, embedder=world.model(name="x"))
