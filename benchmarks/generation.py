"""``respond``, parts published and all, against raw ``LLM.generate`` of the same live vLLM engine.

    python benchmarks/generation.py --size tiny

Loading is in no figure: one engine stays loaded and all sides use it, its prefix cache emptied before each. All have
the same prompts, samples, temperature, top_p, limit and end tokens. Sides:

- alma: the stage through ``alma.running.stage``, a folder as store, several parts, each published whole with hashes;
- ``LLM.generate``, n = N: what a script would write; no seeds, nothing is written anywhere;
- ``LLM.generate``, seeded: one request per sample with alma's own seed. Its tokens are checked to be alma's;
- distilabel's ``TextGeneration`` over its ``vLLM``, batch by batch as its step gets rows, where it is installed.

Rates are generated tokens per second. Needs vLLM; on a GPU where there is one.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import tempfile
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import vllm
from live import kept
from models import llama, words
from ratios import Side, alternate, options, outcome, publish, publish_rate
from timing import parse

from alma.artifact import Model, Ref, Rows
from alma.engines import load_generator
from alma.engines.tokenizer import stop_ids
from alma.running import stage as run
from alma.sections import IngestModel, IngestRows, Respond, Sampling
from alma.seeds import sample_seed
from alma.store import Store, open_store

BITS = 2**63 - 1
"""vLLM's seeds are signed."""
DISTILABEL_ROWS = 50
"""Rows that a distilabel step is given at once unless told otherwise."""


@dataclass
class Case:
    """One workload, and the live engine."""

    cfg: Respond
    store: Store
    prompts: Ref
    model: Ref
    engine: Any
    tokens: dict[int, list[int]] = field(default_factory=dict)
    """Repeat → tokens of each of alma's samples."""

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The prompts with their ids."""
        prompts = Rows.open(self.store, self.prompts)
        assert isinstance(prompts, Rows)
        return prompts.table(["id", "prompt"]).to_pylist()

    @cached_property
    def texts(self) -> list[str]:
        """What the model is asked."""
        return [self.engine.chat(row["prompt"]) for row in self.rows]

    def params(self, **more: Any) -> Any:
        """The same sampling for everybody."""
        sampling = self.cfg.sampling
        return vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            stop_token_ids=sorted(stop_ids(self.engine.path, self.engine.tokenizer)),
            **more,
        )

    def fresh(self) -> Any:
        """The live ``vllm.LLM``, with nothing in its cache."""
        assert self.engine.llm.reset_prefix_cache()
        return self.engine.llm


def ours(case: Case, repeat: int) -> int:
    """The stage."""
    case.fresh()
    cfg = case.cfg.model_copy(update={"seed": repeat})
    manifest = run.run("respond", cfg, {"prompts": case.prompts, "first": case.model}, case.store)
    rows = Rows.open(case.store, manifest.ref)
    assert isinstance(rows, Rows)
    case.tokens[repeat] = rows.table(["num_tokens"])["num_tokens"].to_pylist()
    return sum(case.tokens[repeat])


def raw(case: Case, repeat: int) -> int:
    """All prompts in one call, n samples each."""
    del repeat
    found = case.fresh().generate(case.texts, case.params(n=case.cfg.num_samples), use_tqdm=False)
    return sum(len(answer.token_ids) for output in found for answer in output.outputs)


def seeded(case: Case, repeat: int) -> int:
    """All samples in one call, each with the seed that alma gives it; the same tokens."""
    texts, params = [], []
    for row, text in zip(case.rows, case.texts, strict=True):
        for i in range(case.cfg.num_samples):
            texts.append(text)
            params.append(case.params(seed=sample_seed(repeat, row["prompt"], "first", i) & BITS))
    found = case.fresh().generate(texts, params, use_tqdm=False)
    tokens = [len(output.outputs[0].token_ids) for output in found]
    if repeat in case.tokens and tokens != case.tokens[repeat]:
        differ = sum(a != b for a, b in zip(tokens, case.tokens[repeat], strict=True))
        # On a GPU batches of other sizes round differently, and a sample may then take another turn.
        if differ > 0.02 * len(tokens) and not on_gpu():
            raise SystemExit(f"{differ} of {len(tokens)} samples have other lengths with the same seeds")
    return sum(tokens)


def distilabel(case: Case) -> Side:
    """Its task over its engine class, which is given the live engine in place of loading one."""
    from distilabel.models.llms import vLLM
    from distilabel.steps.tasks import TextGeneration

    class Live(vLLM):  # type: ignore[misc]
        """On the live engine."""

        def load(self) -> None:
            self._model, self._tokenizer = case.engine.llm, case.engine.llm.get_tokenizer()

    sampling = case.cfg.sampling
    generation = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_new_tokens": sampling.max_new_tokens,
        "stop_token_ids": sorted(stop_ids(case.engine.path, case.engine.tokenizer)),
    }
    llm = Live(model=str(case.engine.path), generation_kwargs=generation)
    task = TextGeneration(name="generation", llm=llm, num_generations=case.cfg.num_samples)
    task.load()
    asked = [{"instruction": row["prompt"]} for row in case.rows]

    def generate(_: int) -> int:
        case.fresh()
        tokens = 0
        for start in range(0, len(asked), DISTILABEL_ROWS):
            for row in next(task.process(asked[start : start + DISTILABEL_ROWS])):
                tokens += row["distilabel_metadata"]["statistics_generation"]["output_tokens"]
        return tokens

    return Side("distilabel", generate)


def tolerant(params: Any) -> Any:
    """``SamplingParams`` that takes distilabel's empty list of a setting that vLLM no longer has."""

    def make(*args: Any, logits_processors: Any = (), **settings: Any) -> Any:
        assert not logits_processors
        return params(*args, **settings)

    return make


def on_gpu() -> bool:
    """Whether vLLM runs on one."""
    from vllm.platforms import current_platform

    return not current_platform.is_cpu()


def make(asked: argparse.Namespace, scratch: Path) -> tuple[Case, int]:
    """Model and prompts, ingested into a folder store; the engine loaded."""
    parameters = llama(scratch / "model", asked.size, asked.mean_tokens)
    rng = random.Random(0)
    lines = [json.dumps({"prompt": words(rng, rng.randint(*asked.prompt_tokens))}) + "\n" for _ in range(asked.prompts)]
    (scratch / "prompts.jsonl").write_text("".join(lines), encoding="utf-8")
    os.environ["ALMA_CACHE"] = str(scratch / "cache")
    store = open_store(str(scratch / "store"))
    model = run.run("ingest", IngestModel(source="model"), {}, store, base=scratch).ref
    rows = IngestRows(kind="prompts", source="prompts.jsonl")
    prompts = run.run("ingest", rows, {"model": model}, store, base=scratch).ref
    num_rows = asked.prompts * asked.samples
    cfg = Respond(
        engine="vllm",
        num_prompts=asked.prompts,
        num_samples=asked.samples,
        sampling=Sampling(temperature=1.0, top_p=0.95, max_new_tokens=asked.max_tokens),
        part_rows=max(1, num_rows // asked.parts),
        batch_rows=asked.batch_rows,
    )
    folder = Model.open(store, model)
    assert isinstance(folder, Model)
    return Case(cfg, store, prompts, model, load_generator(cfg, folder.folder)), parameters


def main(asked: argparse.Namespace) -> None:
    """Measures, and says what could not be."""
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        case, parameters = make(asked, Path(scratch))
        missing = {}
        with kept(case.engine):
            sides = [
                Side("alma", partial(ours, case)),
                Side("LLM.generate, n = N", partial(raw, case)),
                Side("LLM.generate, seeded", partial(seeded, case)),
            ]
            if importlib.util.find_spec("distilabel"):
                vllm.SamplingParams = tolerant(vllm.SamplingParams)
                sides.append(distilabel(case))
            else:
                missing["distilabel"] = "not installed here; pip install distilabel beside vLLM"
            raw(case, -1)  # first use allocates
            measured = alternate(sides, asked.repeats, "tokens")
        lengths = [num for tokens in case.tokens.values() for num in tokens]
        workload = {
            "prompts": asked.prompts,
            "prompt_tokens": "–".join(map(str, asked.prompt_tokens)),
            "samples": asked.samples,
            "max_new_tokens": asked.max_tokens,
            "mean_response_tokens": round(sum(lengths) / len(lengths), 1),
            "parts": asked.parts,
            "batch_rows": case.cfg.batch_rows,
        }
        result = outcome(asked, parameters, workload, **measured, not_measured=missing)
        publish(asked, result)
        publish_rate(asked, result, "generate", "vllm", result["sides"]["alma"]["per_second"]["median"])


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--prompts", type=int, default=64, help="prompts (default: 64)")
    parser.add_argument("--samples", type=int, default=8, help="N, samples of each (default: 8)")
    parser.add_argument("--max-tokens", type=int, default=64, help="longest response (default: 64)")
    parser.add_argument("--mean-tokens", type=int, default=40, help="mean length were none cut off (default: 40)")
    parser.add_argument("--prompt-tokens", type=int, nargs=2, default=[20, 100], help="their lengths (default: 20 100)")
    # vLLM 0.32 on a CPU ends with an error when a seeded request's prompt is split between two steps, which have 4,096
    # tokens: 32 prompts of 100 tokens stay below it.
    parser.add_argument("--batch-rows", type=int, default=32, help="sequences at once (default: 32; a GPU wants 256)")
    parser.add_argument("--parts", type=int, default=4, help="parts that alma publishes (default: 4)")
    main(parse(parser, prompts=4, samples=4, max_tokens=8, parts=2))
