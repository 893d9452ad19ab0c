"""Generation on every architecture: the tokens that a model chooses when it reads each text alone and whole."""

from __future__ import annotations

from alma.engines import Completion, load_generator
from alma.sections import Inference, Sampling
from tests.builders.asking import generate
from tests.builders.plainly import Plainly, Walk
from tests.builders.training import SPECIAL
from tests.engines.models.conftest import Subject

NUM_TOKENS = 14
END = 2
TEXTS = [
    "<s><user>ab<assistant>",
    "<s><user>what is 7 + 8 and what is it for<assistant>",  # with what follows, beyond windows and borders
    "q",
    "<s><user>say more or less and nothing<assistant>",  # with what follows, across a border
    "<s><user>say no more than<assistant>",
]
SEEDS = [[3, 4], [5], [6, 7], [8], [9, 10]]
SAMPLING = Sampling(temperature=0.8, top_p=0.9)


def agree(plainly: Plainly, found: Completion, walk: Walk) -> bool:
    """Compares as far as the choices are clear; whether that is to the end."""
    clear = walk.num_clear == len(walk.ids)
    ids = walk.ids[: walk.num_clear]
    whole = plainly.decode(ids[:-1] if clear and walk.ended else ids)
    special = [place for place in map(whole.find, SPECIAL) if place >= 0]
    answer = whole[: min(special)] if special else whole
    if clear:
        assert found == Completion(answer, len(walk.ids), walk.ended and not special)
    else:
        assert found.text.startswith(answer)
    return clear


def test_greedy_is_the_most_probable_token_of_the_whole_text(subject: Subject) -> None:
    plainly = subject.plainly
    with load_generator(Inference(dtype="float32", batch_rows=8), subject.folder) as engine:
        found = generate(engine, TEXTS, [[0]] * len(TEXTS), None, max_new_tokens=NUM_TOKENS)
    walks = [plainly.greedy(plainly.encode(text), NUM_TOKENS, END) for text in TEXTS]
    clear = [agree(plainly, each, walk) for [each], walk in zip(found, walks, strict=True)]
    assert sum(clear) >= 3


def test_a_sample_is_drawn_from_the_whole_text_by_its_own_numbers(subject: Subject) -> None:
    plainly = subject.plainly
    with load_generator(Inference(dtype="float32", batch_rows=5), subject.folder) as engine:
        found_PN = generate(engine, TEXTS, SEEDS, SAMPLING, max_new_tokens=NUM_TOKENS)
    walks_PN = [
        [plainly.sampled(plainly.encode(text), NUM_TOKENS, END, seed, 0.8, 0.9) for seed in seeds]
        for text, seeds in zip(TEXTS, SEEDS, strict=True)
    ]
    clear = [
        agree(plainly, each, walk)
        for found_N, walks_N in zip(found_PN, walks_PN, strict=True)
        for each, walk in zip(found_N, walks_N, strict=True)
    ]
    assert sum(clear) >= 5
