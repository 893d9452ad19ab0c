"""What a Job is called and labelled: by the artifact that its pods make, so that nobody makes it twice."""

from __future__ import annotations

import hashlib
import re

from alma.artifact import Ref
from alma.errors import ConfigError

LONGEST_NAME = 63
"""A Job's name is its pods' label, and with an index behind it their host name."""

PREFIX = "alma"

RUN = "pipeline/runid"
"""The label that KFP gives the pods of a run; Jobs and their pods have it too, so that one selector finds all."""

ARTIFACT, STORE, LABEL = "alma/artifact", "alma/store", "alma/label"
"""Annotations: what is made, where, and what the step is called in its run."""

NODES = "alma/nodes"
"""The label of pods that train together, whose way out to each other the network policy opens: how many they are."""

OURS = {"app.kubernetes.io/part-of": "alma", "app.kubernetes.io/component": "stage"}
"""Labels of every Job of this package, and of its pods."""


def job_name(prefix: str, ref: Ref, store_uri: str, num_pods: int) -> str:
    """The name of the Job that makes ``ref`` in that store. Raises ``ConfigError`` for a prefix that fits none."""
    store = hashlib.sha256(store_uri.encode()).hexdigest()[:4]
    name = f"{prefix}-{ref.stage}-{ref.key}-{store}"
    longest = LONGEST_NAME - len(f"-{num_pods - 1}")
    if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", prefix) or len(name) > longest:
        spare = longest - len(name) + len(prefix)
        raise ConfigError(
            f"--job-name-prefix {prefix!r}: give up to {spare} lower-case letters, digits and dashes, a letter first"
        )
    return name


def check_run(run: str | None) -> str:
    """The run's name, which its Jobs are labelled with. Raises ``ConfigError`` where it cannot be a label."""
    if not run:
        raise ConfigError("a Job belongs to a run: give --run NAME, or ALMA_RUN in the environment")
    if not re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", run):
        raise ConfigError(
            f"--run {run!r} labels the Jobs: give 1 to 63 letters, digits, dashes, dots and underscores, the first "
            "and last of them a letter or digit"
        )
    return run


def selector(labels: dict[str, str]) -> str:
    """``labels`` as a query of Kubernetes."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
