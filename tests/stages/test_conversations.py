"""Conversations from stage to stage: asked turn after turn, judged as one text, trained on by their turns."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from alma.engines import Training, load_generator, load_scorer
from alma.engines.dpo_reference import dpo_rows
from alma.engines.judging import rate
from alma.engines.tokenization import IGNORED
from alma.engines.tokenizer import load_tokenizer, stop_ids
from alma.engines.trl import sft
from alma.errors import ConfigError, DataError
from alma.objectives import OBJECTIVES
from alma.prompts.conversation import Message, column, messages
from alma.sections import Evaluate, Finetune, Judge, Reference, Respond, Sampling, Select, Synthesize
from alma.stages import evaluate, judge, reference, respond, select, synthesize
from alma.stages.finetune import training_rows
from tests.builders.asking import generate
from tests.builders.bench import Bench
from tests.builders.training import place, settings, train, write_model, write_tokenizer

torch.set_num_threads(1)
ECHO = Evaluate(engine="echo", max_new_tokens=12, part_rows=9)
SYSTEM = Message("system", "Be brief.")
FIRST = Message("user", "name a river")
TALK = (FIRST, Message("assistant", "the Nile"))
ASKED: list[dict[str, Any]] = [
    {"source_id": "1", "prompt": "name a river"},
    {"source_id": "2", "prompt": "and a longer one", "earlier": column([FIRST])},
    {"source_id": "3", "prompt": "why", "earlier": column([FIRST, Message("user", "and a longer one")])},
    {"source_id": "4", "prompt": "and a longer one", "earlier": column([SYSTEM, *TALK])},
    {"source_id": "5", "prompt": "name a river", "earlier": column([SYSTEM])},
]


def model(folder: Path, name: str = "m") -> Any:
    """Any folder will do for the echo engine."""
    path = folder / name
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({"name": name}))
    return SimpleNamespace(folder=path, ref=f"finetune/{name}")


def told(row: dict[str, Any]) -> str:
    return " | ".join(turn["content"] for turn in row["earlier"] or ())


def test_the_model_answers_what_lacks_an_answer_and_is_asked_on(bench: Bench, tmp_path: Path) -> None:
    prompts, its_judge = bench.rows("evaluation_prompt", ASKED), model(tmp_path, "j")
    rows = bench.run(evaluate, ECHO, model=model(tmp_path), prompts=prompts, judge=its_judge).table().to_pylist()
    first, second, third, given, system = rows
    assert (first["earlier"], told(system)) == (None, "Be brief.")
    assert told(second) == f"name a river | {first['response']}"
    assert told(third) == f"name a river | {first['response']} | and a longer one | {second['response']}"
    assert told(given) == "Be brief. | name a river | the Nile"
    assert system["response"] != first["response"]
    with load_generator(ECHO, model(tmp_path).folder) as generator:
        texts = [generator.chat(row["prompt"], messages(row["earlier"])) for row in rows]
        wanted = generate(generator, texts, [[0]] * len(texts), None, max_new_tokens=12)
    assert [row["response"] for row in rows] == [each.text for (each,) in wanted]
    shown = "System: Be brief.\n\nUser: name a river\n\nAssistant: the Nile\n\nUser: and a longer one"
    with load_scorer(ECHO, its_judge.folder) as scorer:
        [rating] = rate(ECHO, scorer, [(shown, given["response"])])
    assert given["mean"] == pytest.approx(sum(k * p for k, p in enumerate(rating.probs_R)), rel=1e-6)


def test_equal_first_turns_are_asked_once(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def answer(several: Any) -> Any:
        asked.append([each.prompt for each in several])
        return [evaluate.answers.Completion(f"to {each.prompt}", 2, True) for each in several]

    rows = [evaluate.answers.Asked(row["prompt"], messages(row.get("earlier"))) for row in ASKED]
    found, num_tokens = evaluate.answers.converse(rows, answer)
    assert asked == [["name a river", "and a longer one", "name a river"], ["and a longer one"], ["why"]]
    assert num_tokens == 2 * 5
    assert [completion.text for completion, _ in found] == [f"to {row['prompt']}" for row in ASKED]


def test_a_model_answers_a_second_turn_by_its_own_chat_template(bench: Bench, tmp_path: Path) -> None:
    """Greedily, with transformers: as if each turn were asked by hand. A first turn that is too long ends it."""
    folder = write_model(tmp_path / "model")
    cfg = Evaluate(engine="hf", dtype="float32", max_new_tokens=4, max_too_long_share=0.5)
    given = [{"source_id": "1", "prompt": "and b", "earlier": column([Message("user", "say a")])}]
    given += [{"source_id": "2", "prompt": "and b", "earlier": column([Message("user", "a" * 70)])}]
    prompts = bench.rows("evaluation_prompt", given)
    its = SimpleNamespace(folder=folder, ref="finetune/m")
    answered, too_long = bench.run(evaluate, cfg, model=its, prompts=prompts).table().to_pylist()
    with load_generator(cfg, folder) as generator:

        def ask(text: str) -> str:
            return generate(generator, [text], [[0]], None, max_new_tokens=4)[0][0].text

        own = ask("<s><user>say a<assistant>")
        assert messages(answered["earlier"]) == (Message("user", "say a"), Message("assistant", own))
        assert answered["response"] == ask(f"<s><user>say a<assistant>{own}</s>\n<s><user>and b<assistant>")
    assert (too_long["num_tokens"], too_long["response"], too_long["earlier"]) == (0, "", given[1]["earlier"])


def test_samples_are_drawn_where_all_turns_are_there(bench: Bench, tmp_path: Path) -> None:
    cfg = Respond(engine="echo", num_samples=2, num_prompts=None, part_rows=4, sampling=Sampling(max_new_tokens=8))
    prompts = bench.rows("evaluation_prompt", ASKED)
    responses = bench.run(respond, cfg, prompts=prompts, first=model(tmp_path, "a"), second=model(tmp_path, "b"))
    rows = responses.table().to_pylist()
    ids = prompts.table(["id"])["id"].to_pylist()
    assert [row["prompt_id"] for row in rows] == [ids[place] for place in (0, 0, 3, 3, 4, 4)]
    assert [told(row) for row in rows[::2]] == ["", "Be brief. | name a river | the Nile", "Be brief."]
    assert rows[0]["sample_seed"] != rows[4]["sample_seed"], "another conversation, whose last turn is the same"
    with pytest.raises(DataError, match=r"all 2 prompts .* curve.enabled = false"):
        bench.run(respond, cfg, prompts=bench.rows("evaluation_prompt", ASKED[1:3]), first=model(tmp_path, "a"))
    judged = bench.run(judge, Judge(engine="echo"), judge=model(tmp_path, "j"), responses=responses)
    assert [row["earlier"] for row in judged.table().to_pylist()] == [row["earlier"] for row in rows]
    chosen = bench.run(select, Select(require_end=False), judgements=judged).table().to_pylist()
    assert [told(row) for row in chosen] == [told(row) for row in rows[::2]]


def test_scores_of_conversations_with_one_last_turn_are_of_several_prompts(bench: Bench, tmp_path: Path) -> None:
    talks = [{"earlier": column(TALK)}, {"earlier": column([SYSTEM, *TALK])}, {}]
    scores = [
        {"source_id": f"{place}{score}", "prompt": "why", "response": f"because {score}", "score": float(score)} | talk
        for place, talk in enumerate(talks)
        for score in (1, 9)
    ]
    rows = bench.rows("score", scores)
    judged = bench.run(judge, Judge(engine="echo", min_mass=0.0), judge=model(tmp_path), responses=rows)
    assert judged.metrics["num_pairs"] == 3
    trained = training_rows(Finetune(objective="judge"), rows)
    assert trained[0]["prompt"] == "User: name a river\n\nAssistant: the Nile\n\nUser: why"
    assert [set(row) for row in trained] == [{"prompt", "response", "target"}] * 6


def test_prompts_are_written_after_what_was_asked_first(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: set[str] = set()
    few_shot = synthesize.few_shot
    monkeypatch.setattr(synthesize, "few_shot", lambda cfg, shots: shown.update(shots) or few_shot(cfg, shots))
    seeds = [{"source_id": str(i), "prompt": f"and {i}", "response": "x", "earlier": column(TALK)} for i in range(5)]
    cfg = Synthesize(engine="echo", num_attempts=3)
    bench.run(synthesize, cfg, model=model(tmp_path), seeds=bench.rows("pair", seeds))
    assert shown == {"name a river"}


def test_bare_turns_know_no_conversation(bench: Bench, tmp_path: Path) -> None:
    example = (Message("user", "name a lake"), Message("assistant", "Como"))
    seeds = bench.rows("pair", [{"source_id": "1", "prompt": "no", "response": "x", "earlier": column(example)}])
    given = {"model": model(tmp_path), "prompts": bench.rows("evaluation_prompt", ASKED), "shots": seeds}
    with pytest.raises(ConfigError, match=r'4 of 5 prompts .* stand in conversations: set form = "chat"'):
        bench.run(evaluate, ECHO.changed(shots="random", num_shots=1), **given)
    cfg = ECHO.changed(shots="random", form="chat", num_shots=1, allow_overlap=True)
    rows = bench.run(evaluate, cfg, **given).table().to_pylist()
    with load_generator(cfg, model(tmp_path).folder) as generator:
        text = generator.chat("and a longer one", (SYSTEM, *example, *TALK))
        [[wanted]] = generate(generator, [text], [[0]], None, max_new_tokens=12)
    assert rows[2]["shot_ids"] == rows[3]["shot_ids"] == [seeds.table(["id"])["id"][0].as_py()]
    assert rows[3]["response"] == wanted.text


# What is trained on: tokens of characters, the template's markers tokens of their own.


SAID = (Message("user", "a"), Message("assistant", "bc"))


@pytest.mark.parametrize(
    ("loss_on", "learnt"), [("last", "ef</s>"), ("all", "bc</s>ef</s>")], ids=["the last answer", "all answers"]
)
def test_which_tokens_are_learnt(tmp_path: Path, bench: Bench, loss_on: Any, learnt: str) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 2}))
    cfg = Finetune(loss_on=loss_on)
    given = bench.rows("pair", [{"source_id": "1", "prompt": "d", "response": "ef", "earlier": column(SAID)}])
    rows = training_rows(cfg, given)
    tokenizer = load_tokenizer(tmp_path)
    training = Training(model=tmp_path, rows=rows, out=tmp_path, scratch=tmp_path)
    [row] = sft.tokenize(cfg, training, tokenizer).rows
    assert row is not None
    assert tokenizer.decode(row["input_ids"]) == "<s><user>a<assistant>bc</s>\n<s><user>d<assistant>ef</s>"
    pairs = list(zip(row["input_ids"], row["labels"], strict=True))
    assert all(label in (IGNORED, token) for token, label in pairs)
    assert tokenizer.decode([label for _, label in pairs if label != IGNORED]) == learnt


def test_both_sides_of_a_preference_are_behind_the_conversation(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": 2}))
    tokenizer = load_tokenizer(tmp_path)
    given = {"prompt": "d", "chosen": "e", "rejected": "f", "earlier": column(SAID)}
    [row] = dpo_rows(tokenizer, stop_ids(tmp_path, tokenizer), [given])
    assert row is not None
    assert {name: tokenizer.decode(ids) for name, ids in row.items()} == {
        "prompt_ids": "<s><user>a<assistant>bc</s>\n<s><user>d<assistant>",
        "chosen_ids": "e</s>",
        "rejected_ids": "f</s>",
    }


def test_the_loss_is_that_of_all_answers(tmp_path: Path) -> None:
    """Of TRL's first step, over two conversations of several lengths: the mean over what is learnt, nothing else."""
    start = write_model(tmp_path / "start")
    rows = [
        {"prompt": "d", "response": "ef", "earlier": column(SAID)},
        {"prompt": "ab", "response": "abcd"},
    ]
    cfg = settings(loss_on="all", epochs=1, micro_batch_rows=2)
    done = train(cfg, place(start, tmp_path, rows))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(start), load_tokenizer(start)
    losses: list[float] = []
    for before, answer, behind in (
        ("<s><user>a<assistant>", "bc</s>", "\n<s><user>d<assistant>ef</s>"),
        ("<s><user>a<assistant>bc</s>\n<s><user>d<assistant>", "ef</s>", ""),
        ("<s><user>ab<assistant>", "abcd</s>", ""),
    ):
        first, ids = len(tokenizer(before)["input_ids"]), tokenizer(before + answer + behind)["input_ids"]
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [
            -float(logprobs[at - 1, ids[at]]) for at in range(first, first + len(tokenizer(answer)["input_ids"]))
        ]
    assert len(losses) == 3 + 3 + 5
    assert done["first_loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-4)


def test_a_reference_reads_the_conversation(bench: Bench, tmp_path: Path) -> None:
    side = {"prompt_id": "p", "round": 2, "prompt": "d", "chosen_score": 2.0, "rejected_score": 1.0}
    pairs = [
        side | {"chosen": "e", "rejected": "f", "chosen_id": f"c{i}", "rejected_id": f"r{i}", "earlier": earlier}
        for i, earlier in enumerate((None, column(SAID), column(SAID)))
    ]
    rows = bench.rows("preference", pairs)
    read = bench.run(reference, Reference(engine="echo"), model=model(tmp_path), rows=rows).table().to_pylist()
    assert read[1]["digest"] == read[2]["digest"] != read[0]["digest"]


def test_only_answers_are_learnt_all_of() -> None:
    assert OBJECTIVES["sft"].fault(Finetune(loss_on="all")) is None
    for objective in ("dpo", "judge"):
        fault = OBJECTIVES[objective].fault(Finetune(objective=objective, loss_on="all"))
        assert fault is not None
        assert "leave loss_on out" in fault
