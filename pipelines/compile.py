"""``python -m pipelines compile``: a run file into the YAML that ``kfp pipeline create`` and the dashboard take."""

from __future__ import annotations

import re
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from alma.arguments import written
from alma.config import load, read_tree
from alma.ending import escaped
from alma.errors import ConfigError
from alma.regular import expand, is_same
from components.placement import load_placement
from pipelines.rules import check
from pipelines.shrink import shrink
from pipelines.size import Size, estimate

COMPILED = Path(__file__).parent / "compiled"

MOST_SHOWN = 12
"""Broken rules that are told."""

NAME = re.compile(r"(?=.{1,128}\Z)[a-z0-9]+(-[a-z0-9]+)*")
"""What KFP takes as the name of a pipeline, and leaves as it is."""


def add_parser(subparsers: Any) -> None:
    """Adds ``compile`` to the command line."""
    parser: ArgumentParser = subparsers.add_parser(
        "compile",
        help="compile a run file into a pipeline",
        description="Writes the pipeline's YAML and says how large its run will be. Refused is what a real "
        "backend would not run, or could not store. Nothing is contacted.",
    )
    parser.add_argument("run_file", type=Path, help="the run file (TOML) with [alma] or [isara], and [placement]")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, such as alma.rounds=3 or placement.generate.gpus=4 (repeatable)",
    )
    parser.add_argument("--name", help="the pipeline's name (default: the run file's, the method's before it)")
    parser.add_argument("--output", type=written, metavar="FILE", help="default: NAME.yaml here")
    parser.add_argument(
        "--manifests",
        type=written,
        metavar="FILE",
        help="also write Pipeline and PipelineVersion manifests, for KFP in Kubernetes-native mode",
    )
    parser.set_defaults(run=main)


def main(options: Namespace) -> None:
    """Runs the command."""
    name = pipeline_name(options.run_file, options.overrides) if options.name is None else options.name
    output = options.output or Path(f"{name}.yaml")
    size = compile_run(options.run_file, output, name=name, overrides=options.overrides, manifests=options.manifests)
    print(f"{escaped(str(output))}: {size.describe()}", file=sys.stderr)  # noqa: T201


def pipeline_name(run_file: Path, overrides: Sequence[str] = ()) -> str:
    """The run file's name as KFP takes it, with the method's before it."""
    method = load(run_file, overrides).root
    stem = re.sub(r"[^a-z0-9]+", "-", run_file.stem.lower())
    named = stem if stem.startswith(f"{method}-") else f"{method}-{stem}"
    return named[:128].strip("-")


def trace(run_file: Path, overrides: Sequence[str] = (), name: str | None = None) -> Any:
    """The pipeline of a run file: KFP's object. Raises ``ConfigError`` that names the setting."""
    from pipelines.trace import pipeline_of

    tree = read_tree(run_file, overrides)
    cfg, placement = load(run_file, overrides), load_placement(run_file, overrides)
    named = name or pipeline_name(run_file, overrides)
    # At each setting of a task KFP looks at the whole stack, and Python for the source of each of its frames: those of
    # "python -m" have none, and are looked for in all modules anew. The stack of a thread is short: ten rounds take
    # 3.5 s of a core instead of 7.6.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(pipeline_of, cfg, {cfg.root: tree[cfg.root]}, placement, named).result()


def compile_run(
    run_file: Path, output: Path, *, name: str, overrides: Sequence[str] = (), manifests: Path | None = None
) -> Size:
    """Compiles ``run_file`` to ``output``; how large its finished run will be.

    Raises ``ConfigError`` that names the setting, or the rule of the backend that the result breaks.
    """
    from kfp import compiler

    if not NAME.fullmatch(name):
        raise ConfigError(f"--name {name!r}: give at most 128 letters a to z, digits and single dashes between them")
    output, manifests = expand(output, ConfigError), expand(manifests, ConfigError) if manifests else None
    for option, path in (("--output", output), ("--manifests", manifests)):
        if path and (path.suffix not in (".yaml", ".yml") or path.is_dir()):
            raise ConfigError(f"{option} {path}: name a file that ends in .yaml")
        if path and path.exists() and not path.is_file():  # a pipe would wait for a reader
            raise ConfigError(f"{option} {path}: is a device or a pipe; name a file that is to be written")
    if manifests and is_same(output, manifests):
        raise ConfigError(f"--manifests {manifests}: is the file of --output; name another one")
    for option, path in (("--output", output), ("--manifests", manifests)):
        if path and is_same(run_file, path):
            raise ConfigError(f"{option} {path}: is the run file, which would be lost; name another one")
    pipeline = trace(run_file, overrides, name)
    with tempfile.TemporaryDirectory() as folder:  # what is refused leaves an earlier output as it was
        whole = Path(folder, "whole.yaml")
        compiler.Compiler().compile(pipeline, str(whole))
        spec, platform = shrink(*documents(whole))
    size = estimate(spec, platform)
    refuse(name, [*check(spec, platform), *size.check()])
    origin = escaped(run_file.name).replace("\n", " ")
    header = f"# {name}, compiled from {origin} by python -m pipelines compile\n"
    output.parent.mkdir(parents=True, exist_ok=True)
    write(output, header, [spec, platform])
    if manifests:
        manifests.parent.mkdir(parents=True, exist_ok=True)
        write(manifests, header, kubernetes_manifests(name, spec, platform))
    return size


def refuse(name: str, broken: Sequence[str]) -> None:
    """Raises ``ConfigError`` that names the rules of the backend (``pipelines.rules``) which a pipeline breaks."""
    if broken:
        shown = "\n".join(broken[:MOST_SHOWN]) + (
            f"\n… and {len(broken) - MOST_SHOWN} more" if broken[MOST_SHOWN:] else ""
        )
        raise ConfigError(f"{name}: Kubeflow Pipelines would not run this as it is meant:\n{shown}")


def documents(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A compiled pipeline's two documents: the spec, and what is Kubernetes' own (empty where there is none)."""
    import yaml

    loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    spec, *rest = [each for each in yaml.load_all(path.read_text(encoding="utf-8"), loader) if each]
    return spec, rest[0] if rest else {}


def write(path: Path, header: str, several: Sequence[Mapping[str, Any]]) -> None:
    """Writes documents as YAML, all or nothing."""
    import yaml

    dumper = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper
    text = "---\n".join(yaml.dump(dict(each), Dumper=dumper, sort_keys=True, width=120) for each in several if each)
    unfinished = path.with_name(f".{path.name[:200]}.unfinished")
    unfinished.write_text(header + text, encoding="utf-8")
    unfinished.replace(path.resolve())


def kubernetes_manifests(name: str, spec: Mapping[str, Any], platform: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``Pipeline`` and ``PipelineVersion``, for KFP in Kubernetes-native mode."""
    api = "pipelines.kubeflow.org/v2beta1"
    version = {"pipelineName": name, "displayName": name, "pipelineSpec": dict(spec)}
    if platform:
        version["platformSpec"] = dict(platform)
    return [
        {"apiVersion": api, "kind": "Pipeline", "metadata": {"name": name}, "spec": {"displayName": name}},
        {"apiVersion": api, "kind": "PipelineVersion", "metadata": {"name": name}, "spec": version},
    ]


GOLDEN = (
    ("alma-micro", "examples/micro.toml", ()),
    ("alma-llama3-8b-3-rounds", "examples/llama3-8b.toml", ("alma.rounds=3",)),
    ("alma-llama3-8b-10-rounds", "examples/llama3-8b.toml", ()),
    ("isara-micro", "examples/isara-micro.toml", ()),
)
"""The pipelines that are committed: name, run file, overrides. ``make golden`` writes them anew."""


def write_golden(folder: Path = COMPILED) -> None:
    """Writes the committed pipelines and their manifests into ``folder``."""
    root = Path(__file__).parents[1]
    for name, run_file, overrides in GOLDEN:
        path = folder / f"{name}.yaml"
        size = compile_run(
            root / run_file, path, name=name, overrides=overrides, manifests=folder / f"{name}.manifests.yaml"
        )
        print(f"{path}: {size.describe()}", file=sys.stderr)  # noqa: T201
