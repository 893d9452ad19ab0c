"""``alma plan``: what a run will take, by stage, before anything is launched.

==========  ====================================================================
step        one use of a stage: its rows, its tokens by kind of work, its bytes
count       the recipe traced with a ``do`` that counts them
paid        what endpoints are paid for
exams       how many questions the exams have that people hold most
rates       tokens per second as ``benchmarks/`` measured them, in one JSON file
hours       tokens → hours of one device, measured and by arithmetic
table       what is printed; ``size`` writes bytes as people read them
shape       the model's sizes, from its ``config.json``
machine     the GPUs that the user states
training    what one GPU holds of a training
pool        what the stages hold that see the whole pool at once
serving     what one GPU holds of a model that generates or rates
fit         every step on these GPUs; ``remedies`` what would fit where it does not; ``fit_table`` what is printed
==========  ====================================================================

Nothing is read but the run file and, where they are named, the file of rates and the model's ``config.json``. Nothing
is imported before it is needed: the command line comes first.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alma.arguments import whole
from alma.errors import ConfigError

if TYPE_CHECKING:
    from alma.config import Method
    from alma.plan.hours import Means
    from alma.plan.machine import Machine
    from alma.plan.step import Step


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``alma plan`` besides the run file."""
    parser.add_argument(
        "--prompt-tokens", type=whole(1), default=100, help="assumed mean length of a prompt (default: 100)"
    )
    parser.add_argument(
        "--response-tokens", type=whole(1), default=400, help="assumed mean length of a response (default: 400)"
    )
    parser.add_argument(
        "--parameters", type=float, metavar="NUMBER", help="parameters of the base model, such as 8.03e9; for hours"
    )
    parser.add_argument(
        "--rates", type=Path, metavar="FILE", help="tokens per second that benchmarks/ wrote with --rates FILE"
    )
    parser.add_argument("--device", metavar="NAME", help="the device to plan for, where FILE has rates of several")
    parser.add_argument(
        "--scale-by-parameters",
        action="store_true",
        help="take a rate of a model of another size times the ratio of the sizes: an estimate, and named one",
    )
    parser.add_argument(
        "--flops-per-second",
        type=float,
        metavar="NUMBER",
        help="the device's peak, such as 989e12 (with --utilisation)",
    )
    parser.add_argument(
        "--utilisation", type=float, metavar="FRACTION", help="the fraction of that peak that is reached, such as 0.4"
    )
    parser.add_argument(
        "--gpu-memory",
        metavar="SIZE",
        help="memory of one GPU, such as 80GiB: say what fits where, by the arithmetic of docs/plan.md, and exit 2 "
        "where something cannot fit",
    )
    parser.add_argument("--gpus", type=whole(1), default=1, metavar="N", help="GPUs of one machine or pod (default: 1)")
    parser.add_argument(
        "--nodes", type=whole(1), default=1, metavar="N", help="machines that train one model together (default: 1)"
    )
    parser.add_argument(
        "--model-config",
        type=Path,
        metavar="FILE",
        help="the base model's config.json, for --gpu-memory (default: in its folder, or in the Hub's cache here)",
    )


def run(options: argparse.Namespace) -> None:
    """The command. Raises ``alma.errors.ConfigError`` for options that do not go together, before anything is read."""
    from alma.config import load
    from alma.plan.hours import Means
    from alma.plan.machine import Machine

    machine = Machine.of(gpu_memory=options.gpu_memory, gpus=options.gpus, nodes=options.nodes)
    if machine is None and options.model_config is not None:
        raise ConfigError("--model-config goes with --gpu-memory, the memory of one GPU, such as 80GiB")
    means = Means.of(
        parameters=options.parameters,
        rates=options.rates,
        device=options.device,
        scale=options.scale_by_parameters,
        flops_per_second=options.flops_per_second,
        utilisation=options.utilisation,
    )
    cfg = load(options.run_file, options.overrides)
    print_plan(plan(cfg, prompt_tokens=options.prompt_tokens, response_tokens=options.response_tokens), means)
    from alma.plan.exams import notes
    from alma.plan.table import print_notes

    print_notes([*cfg.notes, *notes(cfg)])
    if machine is not None:
        print_fit(cfg, options, machine)


def print_fit(cfg: Method, options: argparse.Namespace, machine: Machine) -> None:
    """What fits where. Raises ``ConfigError`` for what cannot, after the table."""
    from alma.plan.fit import fits, refuse, uncounted
    from alma.plan.fit_table import print_fits
    from alma.plan.pool import pool
    from alma.plan.shape import find_config, read_shape
    from alma.sections import IngestModel

    base = cfg.uses["base"]
    assert isinstance(base, IngestModel), "every method begins with a model"
    shape = read_shape(find_config(base, options.run_file.parent, options.model_config), options.parameters)
    found = fits(cfg, shape, machine, options.prompt_tokens)
    print_fits(found, shape, machine, uncounted(cfg), pool(cfg, shape, options.prompt_tokens))
    refuse(found)


def plan(cfg: Method, *, prompt_tokens: int, response_tokens: int) -> list[Step]:
    """Every step of the run, in order, given mean lengths in tokens (cut at the run's own limits)."""
    from alma.plan.count import count

    return count(cfg, prompt_tokens=prompt_tokens, response_tokens=response_tokens)


def print_plan(steps: list[Step], means: Means | None = None) -> None:
    """A line per step, the sums by stage, and what ``means`` make of them."""
    from alma.plan.table import print_tables

    print_tables(steps, means)
