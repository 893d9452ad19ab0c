"""Every table and figure of both papers, in miniature: runs what is asked for and writes docs/paper.md.

    python benchmarks/paper.py --seeds 1 2 3 --store store                # hours on two cores; stop and go on at will
    python benchmarks/paper.py --only table3 table4 --minutes 40          # a piece; nothing begins that would end later
    python benchmarks/paper.py --list                                     # the pieces, what is missing, minutes

Runs of one seed share what they do not change, by the store's keys. Raw figures are kept in docs/paper.json, from which
the page is written after every run. All work is at the lowest priority, one thread a worker.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from papers.experiment import Experiment, read_all
from papers.measure import Job, measure
from papers.page import page
from papers.plan import Kept, jobs_of, key, load_kept, save_kept
from timing import add_quick, machine, parse

from alma.arguments import whole

DOCS = Path(__file__).resolve().parent.parent / "docs"
QUICK = {
    "alma": (
        "alma.engine=echo",
        "alma.rounds=2",
        "alma.synthesize.num_attempts=200",
        "alma.diversify.num_clusters=20",
        "alma.distill.num_prompts=20",
        "alma.respond.num_prompts=20",
        "alma.respond.num_samples=4",
        "alma.curve.enabled=false",
    ),
    "isara": ("isara.engine=echo", "isara.imitate.num_attempts=16"),
}
"""Settings of ``--quick``: the echo engine, whose answers say nothing about a row."""


class Progress:
    """A line a run, with the time that is left: expected minutes, corrected by what the runs so far took."""

    def __init__(self, jobs: Sequence[tuple[Experiment, Job]], workers: int) -> None:
        self._shares = _shares(jobs)
        self._left = sum(self._shares.values())
        self._workers, self._num, self._done = workers, len(jobs), 0
        self._expected, self._took = 0.0, 0.0

    def expects(self, job: Job) -> float:
        """Seconds that this run will take."""
        pace = self._took / self._expected if self._expected else 1.0
        return self._shares[job] * pace

    def tell(self, experiment: Experiment, job: Job, result: dict[str, Any]) -> None:
        """One run ended."""
        self._done += 1
        self._expected += self._shares[job]
        self._took += result["seconds"]
        self._left -= self._shares[job]
        pace = self._took / self._expected if self._expected else 1.0
        said = result.get("error") or ", ".join(f"{each:.3f}" for each in result["values"].values() if each is not None)
        left = max(self._left, 0.0) * pace / self._workers / 60
        print(
            f"[{self._done}/{self._num}] {experiment.name} · seed {job.seed} · {' '.join(job.settings) or 'default'}: "
            f"{result['seconds']:.0f} s · {said} · about {left:.0f} min left",
            file=sys.stderr,
            flush=True,
        )


def _shares(jobs: Sequence[tuple[Experiment, Job]]) -> dict[Job, float]:
    """Expected seconds of every run: an experiment's minutes in equal parts over its runs of one seed."""
    count: dict[tuple[str, int], int] = {}
    for experiment, job in jobs:
        count[experiment.name, job.seed] = count.get((experiment.name, job.seed), 0) + 1
    return {job: 60 * each.minutes / count[each.name, job.seed] for each, job in jobs}


def run_all(
    jobs: list[tuple[Experiment, Job]], options: argparse.Namespace, kept: Kept, experiments: list[Experiment]
) -> None:
    """Runs the jobs, never two of one seed at once: what they share would be computed twice."""
    progress, busy, begun = Progress(jobs, options.workers), set[int](), time.monotonic()
    waiting, running = list(jobs), dict[Future[dict[str, Any]], tuple[Experiment, Job]]()
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn")) as pool:
        while waiting or running:
            for each in list(waiting):
                if len(running) == options.workers:
                    break
                late = time.monotonic() - begun + progress.expects(each[1]) > 60 * options.minutes
                if late:
                    waiting.remove(each)
                    print(f"no time for {each[0].name} · seed {each[1].seed}", file=sys.stderr)
                elif each[1].seed not in busy:
                    waiting.remove(each)
                    busy.add(each[1].seed)
                    running[pool.submit(measure, each[1], options.store)] = each
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                experiment, job = running.pop(future)
                busy.discard(job.seed)
                result = future.result()
                progress.tell(experiment, job, result)
                _keep(kept, job, result)
                write(options, kept, experiments)


def _keep(kept: Kept, job: Job, result: dict[str, Any]) -> None:
    """A run's figures beside those that it had for other rows."""
    name = key(job.run, job.settings, job.seed)
    result["values"] = kept.get(name, {}).get("values", {}) | result["values"]
    kept[name] = result


def write(options: argparse.Namespace, kept: Kept, experiments: list[Experiment]) -> None:
    """The raw figures, and the page that they make."""
    facts = {"machine": machine()}
    save_kept(options.out, kept, facts)
    options.page.write_text(page(experiments, kept, facts), encoding="utf-8")


def quick(jobs: list[tuple[Experiment, Job]]) -> list[tuple[Experiment, Job]]:
    """The same runs on the echo engine."""
    return [
        (experiment, replace(job, extra=QUICK["isara" if job.run.startswith("isara") else "alma"]))
        for experiment, job in jobs
    ]


def main() -> None:
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [each.name for each in read_all()]
    parser.add_argument("--only", nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--store", default="store")
    parser.add_argument("--workers", type=whole(1), default=2, help="runs at once, each of another seed (default: 2)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing that would end later")
    parser.add_argument("--out", type=Path, default=DOCS / "paper.json", help="the raw figures")
    parser.add_argument("--page", type=Path, default=DOCS / "paper.md")
    parser.add_argument("--only-page", action="store_true", help="run nothing, write the page from the raw figures")
    parser.add_argument("--list", action="store_true", help="say what would be run, and run nothing")
    add_quick(parser)
    folder = Path(tempfile.gettempdir())
    options = parse(
        parser, only=["table3", "yields"], seeds=[1, 2], out=folder / "alma-paper.json", page=folder / "alma-paper.md"
    )
    experiments = read_all()
    kept = load_kept(options.out)
    jobs = jobs_of([each for each in experiments if each.name in options.only], options.seeds, kept)
    jobs = quick(jobs) if options.quick else jobs
    if options.list:
        for experiment in experiments:
            mine = [job for each, job in jobs if each.name == experiment.name]
            print(f"{experiment.name:12} {len(mine):3} runs  {experiment.minutes:5.1f} min a seed  {experiment.title}")
        return
    if options.only_page:
        facts = json.loads(options.out.read_text(encoding="utf-8"))["facts"] if options.out.exists() else {}
        options.page.write_text(page(experiments, kept, facts), encoding="utf-8")
        return
    run_all(jobs, options, kept, experiments)


if __name__ == "__main__":
    main()
