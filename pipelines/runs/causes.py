"""Why a run failed, and whether another attempt can pass: out of the journal, the pods and what the server says.

KFP's launcher ends with 1 whatever the program in it ended with, so the program's own word counts first: its entry in
the store's journal, or the event ``error`` in its log. Only where it said nothing does it matter how its pod ended.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alma.errors import EXIT_ABANDONED, EXIT_TRANSIENT, EXIT_USER, StageError
from alma.pace import Step
from pipelines.runs.journal import Word
from pipelines.runs.pods import TERMINATED, PodEnd

AWAY = re.compile(
    r"connection refused|connection reset|i/o timeout|deadline exceeded|no such host|TLS handshake timeout|"
    r"rpc error: code = (Unavailable|Aborted)|\b50[234]\b|SlowDown|too many requests|does not answer",
    re.IGNORECASE,
)
"""What drivers and launchers write when KFP's API, its metadata or the object store is away."""

ENDED = re.compile(
    r"OOMKilled|exit code 137|signal: killed|pod deleted|node (was low|shutdown|lost|is not ready)|Evicted|"
    r"preempt|ImagePullBackOff|ErrImagePull|PodInitializing|UnexpectedAdmissionError",
    re.IGNORECASE,
)
"""What Argo says of a node whose pod was ended from outside, or that never began."""

PASSES = frozenset({"oom", "killed", "lost", "image"})
"""Ends of a pod that another attempt can pass."""

SHOWN_LINES = 8


@dataclass(frozen=True)
class Cause:
    """Why one step failed."""

    label: str
    why: str
    passes: bool
    """Whether another attempt can pass."""

    lines: tuple[str, ...] = ()
    """What it wrote last."""

    def __str__(self) -> str:
        """Over several lines, for a person."""
        return "\n".join([f"{self.label}: {self.why}", *(f"  | {line}" for line in self.lines[-SHOWN_LINES:])])


def causes(
    steps: Sequence[Step], words: Mapping[str, Sequence[Word]], pods: Sequence[PodEnd], told: str = ""
) -> list[Cause]:
    """A cause per step that failed. ``told`` is what the server says of the whole run.

    A step that was seen ended by the run's own end (``terminated``) is none where another one failed.
    """
    by_label: dict[str, list[PodEnd]] = defaultdict(list)
    for pod in pods:
        by_label[pod.label].append(pod)
    broken = {step.label: step for step in steps if step.state in ("failed", "stopped", "silent")}
    over = {step.label for step in steps if step.over}
    found = []
    for label in dict.fromkeys([*broken, *by_label]):
        if label in over:  # an earlier attempt at it
            continue
        found.append(_cause(label, broken.get(label), words.get(label, []), by_label[label]))
    if not found and told:
        found.append(Cause("the run", told, bool(ENDED.search(told) or AWAY.search(told))))
    own = [cause for cause in found if cause.why != TERMINATED]
    return own or found


def can_pass(found: Sequence[Cause]) -> bool:
    """Whether another attempt at the run is of use: there are causes, and each of them may pass."""
    return bool(found) and all(cause.passes for cause in found)


def _cause(label: str, step: Step | None, words: Sequence[Word], pods: Sequence[PodEnd]) -> Cause:
    last = pods[-1] if pods else None
    lines = last.lines if last else ()
    outside = next((pod for pod in reversed(pods) if pod.why in PASSES), None)
    said = [(e.exit_code, e.kind, e.message) for e in words if e.state in ("failed", "stopped") and e.exit_code]
    if not said and not words and last and last.error:
        said = [_event(last.error)]
    for code, kind, message in sorted(said, key=lambda each: each[0] != EXIT_USER):
        why = f"{message} ({kind}, exit code {code})"
        if code in (EXIT_TRANSIENT, EXIT_ABANDONED):
            return Cause(label, why, True, lines)
        if code == EXIT_USER or kind == StageError.__name__ or not (last and last.why in PASSES):
            return Cause(label, why, False, lines)
    if outside:
        return Cause(label, outside.text, True, outside.lines)
    if last and last.why in ("deadline", "terminated"):
        return Cause(label, last.text, False, lines)
    error = step.error if step else ""
    silent = any(word.state == "running" for word in words)
    if silent or (step and step.state == "silent"):
        return Cause(label, f"it ended without a word: it was killed, or its node is gone{_also(error)}", True, lines)
    away = next((line for line in reversed(lines) if AWAY.search(line)), "")
    if away or ENDED.search(error) or AWAY.search(error):
        return Cause(label, error or away, True, lines)
    return Cause(label, error or (last.text if last else "it failed, and nobody says why"), False, lines)


def _event(error: Mapping[str, Any]) -> tuple[int, str, str]:
    code = error.get("exit")  # of a line of a log, which may be anything
    return code if type(code) is int and code else 1, str(error.get("kind")), str(error.get("message"))


def _also(error: str) -> str:
    return f" ({error})" if error else ""
