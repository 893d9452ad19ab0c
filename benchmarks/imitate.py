"""One iteration of ISARA: the stage ``imitate`` against the straightforward way, as research scripts do it.

    python benchmarks/imitate.py

The straightforward way asks ``model.generate`` for four texts at a time, embeds one question per call, builds an index
for every query and compares texts pair by pair. It generates up to the token limit and cuts afterwards, or stops at a
marker (``stop_strings``), which is shown apart. Both sides have the micro world's base, the same seeds, shots, prompts,
sampling, limits and filters (a question's own shots, as the authors do) and begin with a folder on disk; the stage
also writes its artifact. First both retrieve for the same questions, which must give the same shots, and their yields
and lengths must agree; then they are timed in turn.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, variance
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from models import EXAMPLES, MICRO, micro
from sklearn.neighbors import NearestNeighbors
from timing import Way, compare, machine, options, parse
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from alma.artifact import Artifact, Ref, Rows, artifact_key, row_id
from alma.artifact.out import Out
from alma.artifact.records import SCHEMAS
from alma.running.stage import run
from alma.sections import Imitate, Sampling, Turns
from alma.seeds import sample_seed
from alma.stages.imitate.attempt import Answer
from alma.stages.imitate.filters import Known, answer_flaw, question_flaw
from alma.store import Store, open_store
from alma.text.shots import DataSet, Shot, draw
from alma.text.turns import answer_prompt, cut, markers, question_prompt

NUM_SEEDS = 64
BATCH = 4
CHECKED = 10**6
"""Seed of the iteration that is compared; timed ones have others."""
SETTINGS = Imitate(
    turns=Turns(header="<s>", question="<user>{question}", answer="<assistant>{answer}"),
    duplicates="shots",
    max_rouge=0.7,
    min_words=1,  # an answer of the micro world is one word
    # Otherwise the authors' settings; the micro base's context ends before the 200 tokens of a question do.
    batch_rows=64,
)


@dataclass(frozen=True)
class Kept:
    """A kept question, its answer and the ids of the answer's shots."""

    question: str
    answer: str
    shot_ids: tuple[str, ...]


class Script:
    """What a research script does. ``stops`` says whether generation stops at a marker."""

    def __init__(self, cfg: Imitate, folder: Path, shots: Sequence[Shot], stops: bool) -> None:
        self.cfg, self.folder, self.shots, self.stops = cfg, folder, shots, stops

    def load(self) -> None:
        """The model, from disk."""
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    def __call__(self, repeat: int) -> list[Kept]:
        """One iteration."""
        cfg = self.cfg
        self.load()
        torch.manual_seed(repeat)
        sets = [DataSet(self.shots)]
        asked = []
        for start in range(0, cfg.num_attempts, BATCH):
            numbers = range(start, min(start + BATCH, cfg.num_attempts))
            shown = [draw(sets, cfg.num_shots, sample_seed(repeat, "question shots", 1, each)) for each in numbers]
            prompts = [question_prompt(cfg.turns, [each[1:] for each in shots]) for shots in shown]
            for shots, (text, ended) in zip(shown, self.generate(prompts, cfg.question_sampling), strict=True):
                if question_flaw(cfg, text, ended=ended):
                    continue
                if any(Known(cfg.max_rouge, [shot.question]).flaws([text])[0] for shot in shots):
                    continue
                asked.append(text)
        vectors = [self.embed(shot.question) for shot in self.shots]
        kept = []
        for start in range(0, len(asked), BATCH):
            batch = asked[start : start + BATCH]
            shown = [self.nearest(question, vectors) for question in batch]
            prompts = [
                answer_prompt(cfg.turns, [each[1:] for each in shots], question)
                for shots, question in zip(shown, batch, strict=True)
            ]
            answers = self.generate(prompts, cfg.answer_sampling)
            for question, shots, (text, ended) in zip(batch, shown, answers, strict=True):
                if answer_flaw(cfg, question, Answer(text, 0, 0, ended)) is None:
                    kept.append(Kept(question, text, tuple(shot.id for shot in shots)))
        return kept

    def generate(self, prompts: list[str], sampling: Sampling) -> list[tuple[str, bool]]:
        """(text up to the first marker, whether it ended) of each prompt."""
        given = self.tokenizer(prompts, add_special_tokens=False, padding=True, return_tensors="pt")
        ends = markers(self.cfg.turns)
        room = self.model.config.max_position_embeddings - given["input_ids"].shape[1]
        with torch.inference_mode():
            ids = self.model.generate(
                **given,
                do_sample=True,
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=0,
                repetition_penalty=sampling.repetition_penalty,
                max_new_tokens=min(sampling.max_new_tokens, room),
                pad_token_id=self.tokenizer.pad_token_id,
                **({"stop_strings": list(ends), "tokenizer": self.tokenizer} if self.stops else {}),
            )
        texts = self.tokenizer.batch_decode(ids[:, given["input_ids"].shape[1] :])
        eos = self.tokenizer.eos_token
        return [
            (cut(self.cfg.turns, text.partition(eos)[0]), any(end in text for end in (*ends, eos))) for text in texts
        ]

    def embed(self, text: str) -> Any:
        """Mean hidden state of one text, of length 1."""
        with torch.inference_mode():
            given = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")
            vector = self.model(**given, output_hidden_states=True).hidden_states[-1][0].double().mean(0).numpy()
        return vector / np.linalg.norm(vector)

    def nearest(self, question: str, vectors: list[Any]) -> list[Shot]:
        """The shots whose questions are nearest to this one, the nearest last."""
        found = NearestNeighbors(metric="cosine", algorithm="brute").fit(np.stack(vectors))
        places = found.kneighbors(self.embed(question)[None], len(vectors), return_distance=False)[0]
        taken = DataSet(self.shots).take(places, self.cfg.num_shots, question)
        return [self.shots[place] for place in reversed(taken)]


class Stage:
    """The stage, through ``alma.running.stage``, with a store in a folder; every repeat is an artifact of its own."""

    def __init__(self, cfg: Imitate, folder: Path, store: Store, pairs: list[dict[str, str]]) -> None:
        self.cfg, self.store = cfg, store
        stated = {
            each: {"version": 1, "section": {}, "inputs": {}, "identity": {"name": each}} for each in ("seeds", "model")
        }
        refs = {each: Ref("ingest", artifact_key("ingest", **given)) for each, given in stated.items()}
        seeds = Out(store, refs["seeds"], folder.parent / "seeds")
        rows = [{"id": row_id(seeds.ref, n), "source_id": str(n)} | pair for n, pair in enumerate(pairs)]
        seeds.write(pa.Table.from_pylist(rows, schema=SCHEMAS["pair"]), "pair", len(rows))
        model = Out(store, refs["model"], folder.parent / "model")
        for path in folder.iterdir():
            (model.folder / path.name).write_bytes(path.read_bytes())
        seeds.seal(kind="rows", metrics={}, device="cpu", **stated["seeds"])
        model.seal(kind="model", metrics={}, device="cpu", **stated["model"])
        self.inputs = {"seeds": seeds.ref, "model": model.ref}
        self.shots = [Shot(row["id"], row["prompt"], row["response"]) for row in rows]

    def __call__(self, repeat: int) -> list[Kept]:
        """One iteration."""
        manifest = run("imitate", self.cfg.changed(seed=repeat), self.inputs, self.store)
        rows = Artifact.open(self.store, manifest.ref)
        assert isinstance(rows, Rows)
        columns = rows.table(["prompt", "response", "answer_shot_ids"]).to_pylist()
        return [Kept(row["prompt"], row["response"], tuple(row["answer_shot_ids"])) for row in columns]


def check(stage: Stage, scripts: Sequence[Script]) -> None:
    """Fails unless both sides retrieve the same shots and keep as many pairs of the same length."""
    pairs = stage(CHECKED)
    script = scripts[0]
    script.load()
    vectors = [script.embed(shot.question) for shot in script.shots]
    same = sum(tuple(shot.id for shot in script.nearest(pair.question, vectors)) == pair.shot_ids for pair in pairs)
    print(f"the same shots in the same order for {same} of {len(pairs)} questions")
    if same < 0.98 * len(pairs):  # two neighbours may be as near as each other up to rounding
        raise SystemExit("the two sides retrieve other shots")
    for each in scripts:
        theirs, attempts = each(CHECKED), stage.cfg.num_attempts
        shares = [len(pairs) / attempts, len(theirs) / attempts]
        error = sqrt(sum(share * (1 - share) / attempts for share in shares))
        print(f"yield {shares[0]:.3f} and {shares[1]:.3f} (two standard errors of the difference: {2 * error:.3f})")
        lengths = [[len(pair.question) + len(pair.answer) for pair in side] for side in (pairs, theirs)]
        apart = mean(lengths[0]) - mean(lengths[1])
        limit = 4 * sqrt(sum(variance(side) / len(side) for side in lengths))
        print(f"characters of a kept pair {mean(lengths[0]):.1f} and {mean(lengths[1]):.1f}", flush=True)
        if abs(shares[0] - shares[1]) > 4 * error or abs(apart) > limit:
            raise SystemExit("the two sides keep other pairs")


def main(asked: argparse.Namespace) -> None:
    """Checks, then times."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    print(machine())
    cfg = SETTINGS.changed(num_attempts=32 if asked.quick else asked.attempts)
    lines = (EXAMPLES / MICRO.sft_seeds.source).read_text(encoding="utf-8").splitlines()
    pairs = [{name: json.loads(line)[name] for name in ("prompt", "response")} for line in lines[:NUM_SEEDS]]
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        folder = micro(Path(scratch, "micro"))
        stage = Stage(cfg, folder, open_store(str(Path(scratch, "store"))), pairs)
        scripts = [Script(cfg, folder, stage.shots, stops) for stops in (False, True)]
        check(stage, scripts)
        ways = [
            Way("alma imitate", stage, cfg.num_attempts),
            Way("four at a time, cut afterwards", scripts[0], cfg.num_attempts),
            Way("four at a time, stop_strings", scripts[1], cfg.num_attempts),
        ]
        compare("one iteration, micro world", ways, "attempts", asked.repeats)


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--attempts", type=int, default=512, help="attempts of an iteration (default: 512)")
    main(parse(parser))
