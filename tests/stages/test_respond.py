"""``respond`` on a real model: its answers end where templates' texts begin, and are otherwise what they were."""

from __future__ import annotations

from typing import Any

import pytest

from alma.artifact import Artifact, Model
from alma.engines import load_generator
from alma.engines.continuation import before_first
from alma.sections import Respond, Sampling
from alma.stages import respond
from tests.builders.bench import Bench
from tests.builders.models import CHARACTERS, llama, saved
from tests.builders.sealed import seal

LETTERS = [each for each in CHARACTERS if each.isalnum()]
RATED = "{prompt}" + "".join(f"\n{each}:" for each in LETTERS) + "{response}\n[rated]: ["
SAMPLING = Sampling(temperature=1.0, top_p=1.0, max_new_tokens=60)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("respond"))


@pytest.fixture(scope="module")
def model(bench: Bench) -> Model:
    out = bench.out("finetune")
    saved(out.folder, llama, ten=False)
    seal(out, "model")
    found = Artifact.open(bench.store, out.ref)
    assert isinstance(found, Model)
    return found


def test_the_rating_prompt_s_markers_end_an_answer(bench: Bench, model: Model) -> None:
    prompts = bench.rows("prompt", [{"candidate_id": "c", "prompt": each} for each in ("abc", "hello", "7")])
    free = Respond(num_samples=120, num_prompts=None, sampling=SAMPLING, judge_template="{prompt} {response} rate it")
    with load_generator(free, model.folder) as engine:
        stops = engine.stops(RATED)
    assert stops == ("[rated]: [", *(f"\n{each}:" for each in LETTERS))
    gone_on = bench.run(respond, free, prompts=prompts, first=model).table().to_pylist()
    found = bench.run(respond, free.changed(judge_template=RATED), prompts=prompts, first=model).table().to_pylist()
    wanted: list[tuple[Any, ...]] = []
    for row in gone_on:
        cut = before_first(row["response"], stops)
        ended = row["ended"] or cut is not None
        text = row["response"] if cut is None else cut
        wanted.append((row["sample_seed"], text.rstrip() if ended else text, ended))
    assert [(row["sample_seed"], row["response"], row["ended"]) for row in found] == wanted
    assert any(before_first(row["response"], stops) is not None for row in gone_on), "else nothing was tried"
    assert {row["marker"] for row in gone_on} == {None}
