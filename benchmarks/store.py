"""A model of several files to and from object storage: what a task of a pipeline waits for before and after its work.

    python benchmarks/store.py --gb 4
    python benchmarks/store.py --gb 1 --latency-ms 20 --stream-mbps 200

``alma`` as its stages do it: published by ``Out.seal``, which hashes every file, and fetched through an empty cache,
with every file's SHA-256 checked. Against it the way of KFP's launcher (file after file, one stream each, no checksum;
here in Python, as the launcher itself needs a cluster), boto3's own transfers file after file, and ``rclone copy``, all
with their defaults. The server is ``rclone serve s3`` on this machine: it shares the cores and the disk with who is
measured, so that a ratio here is of processor time as much as of waiting.

A real store is far away, and one of its connections gives only so much. ``--latency-ms`` delays whatever comes back by
a proxy in between, and ``--stream-mbps`` (megabits per second, each direction) bounds each connection. Needs about
(3 + 5 × repeats) × the model's size of disk below ``--scratch``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from link import slow_link
from parts import s3_server
from timing import Way, compare, machine, options, parse

from alma.artifact import Artifact, Model, Ref, artifact_key
from alma.artifact.out import Out
from alma.store import open_store
from alma.store.cache import sha256_file

BUCKET = "alma"
NUM_LARGE = 4
SMALL = {
    "config.json": 700,
    "generation_config.json": 150,
    "tokenizer_config.json": 50_000,
    "tokenizer.json": 9_000_000,
}


@dataclass(frozen=True)
class Case:
    """One model folder, a client, and where fetched copies go."""

    model: Path
    scratch: Path
    client: Any

    @property
    def files(self) -> list[Path]:
        """The files of the model."""
        return sorted(self.model.iterdir())


def make_model(folder: Path, size: int) -> Path:
    """A folder as Hugging Face lays out a model, of ``size`` random bytes."""
    folder.mkdir(parents=True)
    for name, num in SMALL.items():
        (folder / name).write_bytes(os.urandom(num))
    each = (size - sum(SMALL.values())) // NUM_LARGE
    for i in range(NUM_LARGE):
        with (folder / f"model-{i + 1:05}-of-{NUM_LARGE:05}.safetensors").open("wb") as file:
            for start in range(0, each, 2**24):
                file.write(os.urandom(min(2**24, each - start)))
    return folder


def work_of(repeat: int) -> tuple[Ref, dict[str, Any]]:
    """The artifact of a repeat, and what its key is made of."""
    stated: dict[str, Any] = {"version": 1, "section": {}, "inputs": {}, "identity": {"repeat": str(repeat)}}
    return Ref("finetune", artifact_key("finetune", **stated)), stated


def alma_up(case: Case, repeat: int) -> Ref:
    """Publishes and seals. The files are linked into the place where a stage would have written them."""
    ref, stated = work_of(repeat)
    scratch = case.scratch / "stage" / str(repeat)
    out = Out(open_store(f"s3://{BUCKET}/store"), ref, scratch)
    for file in case.files:
        os.link(file, out.folder / file.name)
    out.seal(kind="model", metrics={}, device="cpu", **stated)
    return ref


def alma_down(case: Case, repeat: int) -> Path:
    """Opens the model through a cache that is empty."""
    os.environ["ALMA_CACHE"] = str(case.scratch / f"cache-{repeat}")
    model = Artifact.open(open_store(f"s3://{BUCKET}/store"), work_of(-1)[0])
    assert isinstance(model, Model)
    return model.folder


def one_stream_up(case: Case, repeat: int) -> None:
    """File after file, one PUT each."""
    for file in case.files:
        with file.open("rb") as source:
            case.client.put_object(Bucket=BUCKET, Key=f"stream-{repeat}/{file.name}", Body=source)


def one_stream_down(case: Case, repeat: int) -> Path:
    """File after file, one GET each."""
    return _each(case, f"stream-{repeat}", _get)


def _get(client: Any, key: str, target: Path) -> None:
    with target.open("wb") as file:
        shutil.copyfileobj(client.get_object(Bucket=BUCKET, Key=key)["Body"], file, 2**20)


def boto3_up(case: Case, repeat: int) -> None:
    """File after file, boto3's default transfer."""
    for file in case.files:
        case.client.upload_file(str(file), BUCKET, f"boto3-{repeat}/{file.name}")


def boto3_down(case: Case, repeat: int) -> Path:
    """File after file, boto3's default transfer."""
    return _each(case, f"boto3-{repeat}", lambda client, key, to: client.download_file(BUCKET, key, str(to)))


def _each(case: Case, name: str, get: Callable[[Any, str, Path], None]) -> Path:
    folder = case.scratch / name
    folder.mkdir()
    for file in case.files:
        get(case.client, f"plain/{file.name}", folder / file.name)
    return folder


def rclone_up(case: Case, repeat: int) -> None:
    """``rclone copy`` with its defaults: four files at once, each in parts."""
    _rclone(str(case.model), f":s3:{BUCKET}/rclone-{repeat}")


def rclone_down(case: Case, repeat: int) -> Path:
    """``rclone copy`` with its defaults: four files at once, large ones in four streams."""
    _rclone(f":s3:{BUCKET}/plain", str(case.scratch / f"rclone-{repeat}"))
    return case.scratch / f"rclone-{repeat}"


def _rclone(source: str, target: str) -> None:
    login = {
        f"RCLONE_S3_{name}": os.environ[f"AWS_{name}"] for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION")
    }
    settings = {**login, "RCLONE_S3_ENDPOINT": os.environ["AWS_ENDPOINT_URL"]}
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert rclone, "s3_server found it"
    command = [rclone, "copy", source, target, "--config", "", "--s3-provider", "Rclone"]
    subprocess.run(command, check=True, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)


DOWN = {"alma": alma_down, "one stream, file after file": one_stream_down, "boto3": boto3_down, "rclone": rclone_down}
UP = {"alma": alma_up, "one stream, file after file": one_stream_up, "boto3": boto3_up, "rclone": rclone_up}


def check(case: Case) -> None:
    """Fails unless every way brings the same bytes; leaves what the timed downloads read."""
    alma_up(case, -1)
    for file in case.files:
        case.client.upload_file(str(file), BUCKET, f"plain/{file.name}")
    wanted = {file.name: sha256_file(file) for file in case.files}
    for name, way in DOWN.items():
        folder = way(case, -1)
        if {file.name: sha256_file(file) for file in folder.iterdir()} != wanted:
            raise SystemExit(f"{name} brought other bytes")
        shutil.rmtree(folder)
    print(
        f"all ways bring the same {len(wanted)} files, {sum(f.stat().st_size for f in case.files):,} bytes", flush=True
    )


def main(asked: argparse.Namespace) -> None:
    """Makes a model, checks all ways, times them up and down."""
    size = 2**25 if asked.quick else int(asked.gb * 1e9)
    needed = (3 + 5 * asked.repeats) * size
    with tempfile.TemporaryDirectory(prefix="alma-benchmark-", dir=asked.scratch) as scratch:
        root = Path(scratch)
        if shutil.disk_usage(root).free < needed:
            raise SystemExit(f"{root} has less than {needed / 1e9:.0f} GB free; give --scratch, --gb or --repeats")
        slow = bool(asked.latency_ms or asked.stream_mbps)
        print(f"{machine()} · the S3 server shares them, and the disk")
        with s3_server(root / "s3") as environment:
            os.environ.update(environment)
            endpoint = environment["AWS_ENDPOINT_URL"]
            link = slow_link(endpoint, asked.latency_ms, asked.stream_mbps) if slow else nullcontext(endpoint)
            model = make_model(root / "model", size)
            with link as address:
                os.environ["AWS_ENDPOINT_URL"] = address
                case = Case(model, root / "fetched", boto3.client("s3"))
                case.scratch.mkdir()
                check(case)
                where = f"{asked.latency_ms} ms, {asked.stream_mbps} Mb/s a stream" if slow else "loopback"
                for title, ways in (("down", DOWN), ("up", UP)):
                    runs = [Way(name, partial(way, case), size // 10**6) for name, way in ways.items()]
                    compare(f"{title}, {where}", runs, "MB", asked.repeats)
                    for each in case.scratch.iterdir():
                        shutil.rmtree(each)


if __name__ == "__main__":
    parser = options(str(__doc__))
    parser.set_defaults(repeats=3)
    parser.add_argument("--gb", type=float, default=4, help="size of the model in GB (default: 4)")
    parser.add_argument(
        "--latency-ms", type=float, default=0, help="delay of whatever the server sends (default: none)"
    )
    parser.add_argument("--stream-mbps", type=float, default=0, help="bound of one connection (default: none)")
    parser.add_argument("--scratch", help="a folder on a large disk (default: the system's temporary one)")
    main(parse(parser))
