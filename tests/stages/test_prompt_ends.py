"""Prompts that a model goes on with end where its tokens do: what it reads is how running text begins."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from alma.prompts import Prompt
from alma.sections import Synthesize, Turns
from alma.stages import synthesize
from alma.text.turns import answer_prompt, question_prompt

LINES = ["Name a river in Peru.", "how many legs has an ant?", "Écris un poème.", "42 is what?", '"Yes", he said.']
RUNNING = [f"{before} {line}\n" for line in LINES for before in ("1.", "7.", "Human:", "Assistant:", "Q:", "A:")]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Byte pairs that join a space to the word behind it, as those of GPT-2 and Llama 3 do."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(RUNNING * 20, trainer)
    return raw


ITEMS = {
    "numbered": Synthesize(),
    "numbered, a tab": Synthesize(item="{index}.\t{prompt}\n"),
    "marked, two spaces": Synthesize(item="Q:  {prompt}\n\n", stop=("\nQ:",)),
    "own line": Synthesize(item="### {index}\n{prompt}\n\n"),
    "nothing before": Synthesize(header="<s><list>", item="{prompt}\n", stop=("\n",)),
}
TURNS = {
    "ours": Turns(),
    "short": Turns(header="<s>", question="Q: {question}\n", answer="A: {answer}\n"),
    "own lines": Turns(question="Human:\n{question}\n", answer="Assistant:\n{answer}\n"),
    "one line": Turns(question="{question} ", answer="-> {answer}\n"),
}


def check(tokenizer: Tokenizer, prompt: Prompt, whole: str) -> None:
    """``whole`` is the same text with what a model would write there."""
    asked, running = tokenizer.encode(prompt).ids, tokenizer.encode(whole).ids
    assert whole.startswith(prompt)
    assert running[: len(asked)] == asked, (prompt[-20:], tokenizer.encode(prompt).tokens[-4:])


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("cfg", ITEMS.values(), ids=ITEMS)
def test_a_list_of_shots(tokenizer: Tokenizer, cfg: Synthesize, line: str) -> None:
    shots = LINES[:3]
    items = [cfg.item.replace("{index}", str(i)).replace("{prompt}", text) for i, text in enumerate([*shots, line], 1)]
    check(tokenizer, synthesize.few_shot(cfg, shots), "".join([cfg.header, *items]))


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("turns", TURNS.values(), ids=TURNS)
def test_turns(tokenizer: Tokenizer, turns: Turns, line: str) -> None:
    def written(question: str, answer: str) -> str:
        return turns.question.replace("{question}", question) + turns.answer.replace("{answer}", answer)

    shots = [(text, LINES[0]) for text in LINES[:2]]
    before = turns.header + "".join(written(*shot) for shot in shots)
    check(tokenizer, question_prompt(turns, shots), before + written(line, "Yes."))
    check(tokenizer, answer_prompt(turns, shots, LINES[2]), before + written(LINES[2], line))


def test_the_tokenizer_joins_spaces_to_words(tokenizer: Tokenizer) -> None:
    """Else the tests above could not fail."""
    asked, running = tokenizer.encode("1. ").ids, tokenizer.encode("1. Name a river in Peru.").ids
    assert running[: len(asked)] != asked
