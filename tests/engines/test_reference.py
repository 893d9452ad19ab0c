"""DPO's reference as an artifact: what it holds, that training with it is training without it, and what it refuses."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM
from trl import DPOConfig, DPOTrainer

from alma.artifact import Artifact, Manifest, Ref, Rows
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.artifact.shard import SEAL, Shard
from alma.engines import PairLogprobs, load_reference
from alma.engines.dpo_reference import digest
from alma.engines.hf.reference import batches
from alma.engines.tokenizer import load_tokenizer
from alma.errors import ConfigError, DataError
from alma.running.stage import name_work, run, run_shard
from alma.sections import Finetune, IngestModel, Reference
from alma.stages import load_stage
from alma.store import Store, open_store
from tests.builders.margins import BETA, Case, dpo, first_margins
from tests.builders.recipe import SMALL, Ran
from tests.builders.recipe import settings as recipe_settings
from tests.builders.sealed import named, seal
from tests.builders.training import CHAT, PREFERENCES, curve, place, settings, train, write_model

torch.set_num_threads(1)

WORDS = ("ab", "cde", "f", "ghij", "kl", "mno", "p", "qr", "st", "uvwx")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose template writes nothing after the end token, so that TRL's own tokens are ours."""
    return write_model(tmp_path_factory.mktemp("start"), chat=CHAT.replace("</s>\n", "</s>"))


def read(start: Path, rows: Sequence[dict[str, Any]], **changes: Any) -> list[PairLogprobs | None]:
    with load_reference(Reference(**changes), start) as reference:
        return reference.read(rows)


def wanted(start: Path, prompt: str, response: str) -> float:
    """The response's log-probability, token by token, from the definition."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(start), load_tokenizer(start)
    asked = tokenizer("<s><user>" + prompt + "<assistant>")["input_ids"]
    answer = tokenizer(response + "</s>")["input_ids"]
    with torch.no_grad():
        logprobs = model(torch.tensor([asked + answer])).logits[0].log_softmax(-1)
    return sum(float(logprobs[len(asked) + i - 1, token]) for i, token in enumerate(answer))


@pytest.mark.parametrize("batch_tokens", [1, 40, 8192], ids=["one by one", "some", "all at once"])
def test_the_numbers_are_the_responses_log_probabilities(start: Path, batch_tokens: int) -> None:
    tokens: list[int] = []
    with load_reference(Reference(batch_tokens=batch_tokens), start) as reference:
        found = reference.read(PREFERENCES, on_tokens=tokens.append)
    for row, each in zip(PREFERENCES, found, strict=True):
        assert each is not None
        assert each.chosen == pytest.approx(wanted(start, row["prompt"], row["chosen"]), abs=1e-4)
        assert each.rejected == pytest.approx(wanted(start, row["prompt"], row["rejected"]), abs=1e-4)
    sides = [(row["prompt"], row[name]) for row in PREFERENCES for name in ("chosen", "rejected")]
    assert sum(tokens) == sum(len(f"su{prompt}a{response}e") for prompt, response in sides)


def test_a_pair_that_training_sets_aside_has_no_numbers(start: Path) -> None:
    long = {"prompt": "long", "chosen": "a" * 60, "rejected": "b"}  # 68 tokens; the model's context is 64
    found = read(start, [long, *PREFERENCES], max_tokens=4096)
    assert [each is None for each in found] == [True] + [False] * len(PREFERENCES)
    assert read(start, [long]) == [None]
    assert read(start, [*PREFERENCES, long], max_tokens=3) == [None] * (len(PREFERENCES) + 1)


def trl_curve(start: Path, folder: Path, cfg: Finetune, **own: Any) -> list[float]:
    """Losses of TRL alone: its tokens, its reference, and all rows in every step."""
    dialogue = [
        {"prompt": [{"role": "user", "content": row["prompt"]}]}
        | {name: [{"role": "assistant", "content": row[name]}] for name in ("chosen", "rejected")}
        for row in PREFERENCES
    ]
    args = DPOConfig(
        output_dir=str(folder),
        per_device_train_batch_size=len(PREFERENCES),
        num_train_epochs=cfg.epochs,
        learning_rate=cfg.learning_rate,
        lr_scheduler_type="cosine",
        beta=cfg.beta,
        use_cpu=True,
        bf16=cfg.dtype == "bfloat16",
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        optim="adamw_torch_fused",
        save_strategy="no",
        **own,
    )
    tokenizer = load_tokenizer(start)
    tokenizer.pad_token = "<pad>"
    model = AutoModelForCausalLM.from_pretrained(start)
    trainer = DPOTrainer(model=model, args=args, train_dataset=Dataset.from_list(dialogue), processing_class=tokenizer)
    trainer.train()
    assert (trainer.ref_model is None) == bool(own)
    return [logs["loss"] for logs in trainer.state.log_history if "loss" in logs]


@pytest.mark.filterwarnings("ignore")  # TRL's own
@pytest.mark.parametrize(
    ("dtype", "apart"), [("float32", 1e-5), ("bfloat16", 3e-3)]
)  # bfloat16's products differ with padding
def test_the_losses_are_those_of_trl_with_a_reference_of_its_own(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, apart: float
) -> None:
    cfg = settings("dpo", epochs=6, learning_rate=1e-3, batch_rows=7, micro_batch_rows=7, dtype=dtype, warmup_share=0)
    second_model = trl_curve(start, tmp_path / "second", cfg)
    training = place(start, tmp_path / "without", PREFERENCES)
    train(cfg, training)
    without = [row["loss"] for row in curve(training)]

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("the reference was computed again")

    monkeypatch.setattr(DPOTrainer, "compute_ref_log_probs", never)
    monkeypatch.setattr("trl.trainer.dpo_trainer.create_model_from_path", never)
    found = read(start, PREFERENCES, dtype=dtype)
    training = with_reference(start, tmp_path / "with", found)
    train(cfg, training)
    losses = [row["loss"] for row in curve(training)]
    assert len(losses) == 6
    assert losses == pytest.approx(without, abs=apart)
    assert losses == pytest.approx(second_model, abs=apart)
    assert losses[0] > losses[-1] + 0.1  # something was learnt, so that equal losses say something


CASES: tuple[Case, ...] = (
    ("ddp", "float32", False),
    *((way, dtype, True) for way in ("ddp", "zero2", "zero3") for dtype in ("float32", "bfloat16")),
    ("zero3", "bfloat16", False),
)


def near_zero(case: Case) -> float:
    """The largest margin of no preference, at ``BETA``.

    Where float32 weights are multiplied in bfloat16 the pairs are read once, in other batches, whose rounding differs:
    it is held at the usual beta, 0.1.
    """
    way, dtype, brings = case
    rounds = dtype == "bfloat16" and brings and not way.startswith("zero")
    return 1e-3 * BETA / 0.1 if rounds else 1e-3


@pytest.mark.parametrize("case", [("none", "float32", True), ("none", "bfloat16", True), ("none", "bfloat16", False)])
def test_nothing_is_preferred_before_the_first_step(start: Path, tmp_path: Path, case: Case) -> None:
    way, dtype, brings = case
    training = with_reference(start, tmp_path, read(start, PREFERENCES, dtype=dtype))
    train(dpo(way, dtype, 1), training if brings else place(start, tmp_path, PREFERENCES))
    assert [row["margin"] for row in curve(training)] == pytest.approx([0.0], abs=near_zero(case))


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None,
    reason="DeepSpeed on a CPU compiles an operator, and there is no g++: apt-get install g++, then make test",
)
def test_nothing_is_preferred_before_the_first_step_of_several_devices(start: Path, tmp_path: Path) -> None:
    references = {
        dtype: [each for each in read(start, PREFERENCES, dtype=dtype) if each] for dtype in ("float32", "bfloat16")
    }
    margins = first_margins(start, references, CASES, tmp_path / "together")
    found = dict(zip(CASES, margins, strict=True))
    assert {case: margin for case, margin in found.items() if abs(margin) > near_zero(case)} == {}


def with_reference(start: Path, folder: Path, reference: list[PairLogprobs | None]) -> Any:
    from dataclasses import replace

    return replace(place(start, folder, PREFERENCES), reference=reference)


def test_another_reference_gives_other_losses(start: Path, tmp_path: Path) -> None:
    found = [PairLogprobs(each.chosen - 3.0, each.rejected, each.digest) for each in read(start, PREFERENCES) if each]
    training = with_reference(start, tmp_path, found)  # type: ignore[arg-type]
    train(settings("dpo", epochs=1), training)
    assert curve(training)[0]["loss"] == pytest.approx(0.554, abs=1e-3)  # log(1 + exp(-0.1 · 3))


def test_tokens_that_the_reference_has_not_read_are_refused(start: Path, tmp_path: Path) -> None:
    found = read(start, PREFERENCES)
    found[2] = None
    with pytest.raises(DataError, match=r"other tokens than training has of 1 of 7 pairs.*max_tokens is below"):
        train(settings("dpo"), with_reference(start, tmp_path, found))


# The stages.


class Bench:
    """A store with a start model and pairs."""

    def __init__(self, folder: Path, start: Path) -> None:
        self.store: Store = open_store(str(folder / "store"))
        self.folder = folder
        self.base = run("ingest", IngestModel(source=str(start)), {}, self.store).ref
        self.pairs = self.select("a", WORDS)

    def select(self, key: str, words: Sequence[str]) -> Ref:
        out = Out(self.store, named("select", key), self.folder / f"scratch-{key}")
        rows = [
            {
                "id": out.row_id(i),
                "chosen_id": f"judge-{word}-0",
                "rejected_id": f"judge-{word}-1",
                "prompt_id": f"p-{word}",
                "round": 2,
                "prompt": f"say {word}",
                "chosen": word * 2,
                "rejected": "no",
                "chosen_score": 9.0,
                "rejected_score": 2.0,
            }
            for i, word in enumerate(words)
        ]
        out.write(pa.Table.from_pylist(rows, schema=SCHEMAS["preference"]), "preference", 4)
        seal(out, "rows")
        return out.ref

    def read(self, rows: Ref, previous: Ref | None = None, **changes: Any) -> Manifest:
        cfg = Reference(**({"part_rows": 3} | changes))
        return run("reference", cfg, {"model": self.base, "rows": rows, "previous": previous}, self.store)

    def table(self, ref: Ref) -> list[dict[str, Any]]:
        rows = Artifact.open(self.store, ref)
        assert isinstance(rows, Rows)
        return list(rows.table().to_pylist())

    def finetune(self, reference: Ref, rows: Ref | None = None, **changes: Any) -> Manifest:
        cfg = settings(**({"objective": "dpo", "epochs": 1, "batch_rows": 5, "micro_batch_rows": 5} | changes))
        inputs = {"model": self.base, "rows": rows or self.pairs, "reference": reference}
        return run("finetune", cfg, inputs, self.store)


@pytest.fixture
def bench(tmp_path: Path, start: Path) -> Bench:
    return Bench(tmp_path, start)


def test_every_pair_has_a_row_that_names_it(bench: Bench, start: Path) -> None:
    manifest = bench.read(bench.pairs)
    rows = bench.table(manifest.ref)
    assert [row["preference_id"] for row in rows] == [row["id"] for row in bench.table(bench.pairs)]
    assert {row["checkpoint_id"] for row in rows} == {str(bench.base)}
    assert rows[3]["chosen_logprob"] == pytest.approx(wanted(start, "say ghij", "ghijghij"), abs=1e-4)
    assert manifest.metrics["num_set_aside"] == manifest.metrics["num_taken_over"] == 0
    assert manifest.metrics["num_tokens"] > 0


def test_shards_leave_what_one_process_leaves(bench: Bench, tmp_path: Path) -> None:
    whole = bench.read(bench.pairs)
    store = open_store(str(tmp_path / "shards"))
    for name in bench.store.list(""):
        if not name.startswith("reference/"):
            store.write(name, bench.store.read(name))
    inputs = {"model": bench.base, "rows": bench.pairs}
    for shard in (Shard(1, 3), Shard(0, 2), Shard(2, 3), Shard(1, 2)):
        assert run_shard("reference", Reference(part_rows=3), inputs, store, shard) == (whole.ref, None)
    _, sealed = run_shard("reference", Reference(part_rows=3), inputs, store, SEAL)
    assert sealed is not None
    assert sealed.to_bytes() == whole.to_bytes()


def test_an_earlier_rounds_rows_are_taken_over(bench: Bench) -> None:
    earlier = bench.read(bench.select("b", WORDS[:6]))
    fresh, joined = bench.read(bench.pairs), bench.read(bench.pairs, earlier.ref)
    assert (fresh.metrics["num_taken_over"], joined.metrics["num_taken_over"]) == (0, 6)
    assert joined.metrics["num_tokens"] < fresh.metrics["num_tokens"]
    for a, b in zip(bench.table(fresh.ref), bench.table(joined.ref), strict=True):
        assert (a["preference_id"], a["digest"]) == (b["preference_id"], b["digest"])
        assert a["chosen_logprob"] == pytest.approx(b["chosen_logprob"], abs=1e-4)
        assert a["rejected_logprob"] == pytest.approx(b["rejected_logprob"], abs=1e-4)


def test_numbers_of_another_arithmetic_or_model_are_not_taken_over(bench: Bench) -> None:
    earlier = bench.read(bench.select("b", WORDS[:6]), dtype="bfloat16")
    with pytest.raises(DataError, match=r"with dtype = 'bfloat16' and the pairs are with 'auto'"):
        bench.read(bench.pairs, earlier.ref)
    other = bench.finetune(bench.read(bench.pairs).ref)
    inputs = {"model": other.ref, "rows": bench.pairs, "previous": bench.read(bench.pairs).ref}
    with pytest.raises(DataError, match=rf"what {bench.base} thinks and the pairs are for {other.ref}"):
        run("reference", Reference(part_rows=3), inputs, bench.store)


def test_training_reads_the_rows_by_their_ids(bench: Bench) -> None:
    reference = bench.read(bench.pairs).ref
    inputs = {"model": bench.base, "rows": bench.pairs}
    cfg = settings("dpo", epochs=2, batch_rows=5, micro_batch_rows=5)
    own, given_ = (run("finetune", cfg, inputs | more, bench.store) for more in ({}, {"reference": reference}))
    assert own.ref != given_.ref
    assert given_.metrics["num_rows"] == len(WORDS)
    for name in ("first_loss", "last_loss"):
        assert given_.metrics[name] == pytest.approx(own.metrics[name], abs=1e-5)


def test_what_is_of_other_rows_or_another_model_is_refused(bench: Bench) -> None:
    few = bench.read(bench.select("b", WORDS[:6]))
    first = f"select-{bench.pairs.key}-0"
    with pytest.raises(DataError, match=rf"{few.ref} has no row of 10 of the 10 pairs, {first} the first"):
        bench.finetune(few.ref)
    reference = bench.read(bench.pairs).ref
    other = bench.finetune(reference)
    inputs = {"model": other.ref, "rows": bench.pairs, "reference": reference}
    with pytest.raises(DataError, match=rf"what {bench.base} thinks and training starts from {other.ref}"):
        run("finetune", settings("dpo"), inputs, bench.store)
    with pytest.raises(DataError, match=r"holds preference rows; wanted: reference"):
        bench.finetune(bench.pairs)
    with pytest.raises(DataError, match=r"other tokens than training has of 10 of 10 pairs"):
        bench.finetune(bench.read(bench.pairs, max_tokens=5).ref)
    with pytest.raises(ConfigError, match=r"objective = 'sft' reads no reference"):
        run("finetune", settings(), {"model": bench.base, "rows": sft(bench), "reference": reference}, bench.store)


def sft(bench: Bench) -> Ref:
    out = Out(bench.store, named("ingest", "c"), bench.folder / "scratch-c")
    rows = [{"id": out.row_id(0), "source_id": "1", "prompt": "say ab", "response": "abab"}]
    out.write(pa.Table.from_pylist(rows, schema=SCHEMAS["pair"]), "pair", 4)
    seal(out, "rows")
    return out.ref


def test_strength_is_no_part_of_the_references_key(bench: Bench, tmp_path: Path) -> None:
    stage = load_stage("reference")
    inputs = {"model": bench.base, "rows": bench.pairs}
    key = name_work(stage, Reference(), inputs, tmp_path)[0]
    assert "beta" not in Reference.model_fields
    assert key != name_work(stage, Reference(dtype="bfloat16"), inputs, tmp_path)[0]
    weak, strong = (name_work(load_stage("finetune"), settings("dpo", beta=b), inputs, tmp_path)[0] for b in (0.1, 0.5))
    assert weak != strong


# The recipe.

DPO = ("alma.rounds=2", "alma.select.pairs=best_vs_random")


def test_a_run_with_another_strength_reads_the_same_references(tmp_path: Path) -> None:
    ran = Ran(recipe_settings(*DPO), tmp_path)
    later = ran.manifest("round 03 · reference")
    assert ran.manifest("round 03 · finetune").inputs["reference"] == str(later.ref)
    assert later.inputs["previous"] == str(ran.manifest("round 02 · reference").ref)
    assert later.metrics["num_taken_over"] == ran.manifest("round 02 · reference").num_rows
    again = Ran(recipe_settings(*DPO, "alma.train.beta=0.5"), tmp_path)
    assert "round 02 · finetune" in again.computed()
    assert "round 02 · reference" not in again.computed()


@pytest.mark.parametrize(
    ("setting", "given_"),
    [("alma.start=latest", set()), ("alma.data=latest", set()), ("alma.start=base", {"previous"})],
)
def test_only_what_the_same_model_read_is_taken_over(setting: str, given_: set[str]) -> None:
    from alma.recipes.graph import graph

    steps = {step.label: step for step in graph(recipe_settings(*DPO, setting))}
    assert set(steps["round 03 · reference"].inputs) == {"model", "rows", *given_}
    assert steps["round 03 · reference"].inputs["model"] == steps["round 03 · finetune"].inputs["model"]
    assert not any("reference" in label for label in {step.label for step in graph(recipe_settings(setting))})


def test_the_reference_reads_as_training_does(tmp_path: Path) -> None:
    cfg = recipe_settings(*DPO, "alma.train.dtype=bfloat16", "alma.train.max_tokens=77")
    assert cfg.reference is not None
    assert (cfg.reference.engine, cfg.reference.dtype, cfg.reference.max_tokens) == ("echo", "bfloat16", 77)
    assert "alma.engine=echo" in SMALL
    with pytest.raises(ConfigError, match=r"reference.dtype = 'float32' differs from train.dtype = 'bfloat16'"):
        recipe_settings(*DPO, "alma.train.dtype=bfloat16", "alma.reference.dtype=float32")


# Parts.


@given(st.lists(st.integers(1, 60)), st.integers(1, 200))
def test_batches_hold_every_row_once_and_fit(sizes: list[int], batch_tokens: int) -> None:
    found = list(batches(sizes, batch_tokens))
    assert sorted(place for batch in found for place in batch) == list(range(len(sizes)))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(sizes[place] for place in batch) <= batch_tokens
    longest = [sizes[batch[0]] for batch in found]
    assert longest == sorted(longest, reverse=True)


_ids = st.lists(st.integers(0, 300), max_size=4)


@given(st.tuples(_ids, _ids, _ids), st.tuples(_ids, _ids, _ids))
def test_a_digest_tells_tokens_apart(one: Any, other: Any) -> None:
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    same = digest(dict(zip(names, one, strict=True))) == digest(dict(zip(names, other, strict=True)))
    assert same == (one == other)
