"""The Job of a stage: an index per shard or node, and what each way of failing means.

=========================================  ==========================================================
a pod                                      then
=========================================  ==========================================================
is drained, evicted or preempted           starts again, and it is not counted
exits 1 (the result is not usable)         the Job fails at once: it would be so again, for every index
exits 2 (settings, data, access)           the same
exits 69 (nobody follows it any more)      the same: no Job outlives its run
exits 75, is killed, runs out of memory    starts again with a growing pause, ``retries`` times per index
=========================================  ==========================================================

An index that has used up its retries fails the Job at once, too. What is published by then is kept in any case: the
pods that are ended for it publish the part that they are at, and the next Job goes on from there.
"""

from __future__ import annotations

from alma.config.kubernetes import QUEUE_LABEL
from alma.errors import EXIT_ABANDONED, EXIT_FAILED, EXIT_USER
from cluster.names import ARTIFACT, LABEL, NODES, OURS, RUN, STORE
from cluster.placement import StagePlacement
from cluster.pod import CONTAINER, Object, pod_template, tracking
from cluster.work import Work

KEPT_SECONDS = 24 * 3600
"""How long a finished Job and its pods' logs stay for somebody to look at."""

TRAINS = "finetune"
"""The stage whose pods are told where curves go."""

FAILS_AT_ONCE = (EXIT_FAILED, EXIT_USER, EXIT_ABANDONED)


def job_of(name: str, work: Work, placement: StagePlacement) -> Object:
    """The Job that makes ``work.ref``, as plain data."""
    labels = {**placement.labels, **OURS, "app.kubernetes.io/name": f"alma-{work.ref.stage}", RUN: work.run}
    if placement.nodes > 1:
        labels[NODES] = str(placement.nodes)
    curves = tracking()[0] if work.ref.stage == TRAINS else []
    spec: Object = {
        "completionMode": "Indexed",
        "completions": placement.num_pods,
        "parallelism": placement.num_pods,
        "backoffLimitPerIndex": placement.retries,
        "maxFailedIndexes": 0,
        "podReplacementPolicy": "Failed",  # never two pods of one index
        "podFailurePolicy": {
            "rules": [  # the first that fits
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailJob",
                    "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": list(FAILS_AT_ONCE)},
                },
            ]
        },
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "template": pod_template(name, work.arguments(placement, name), placement, labels, curves),
    }
    if placement.timeout_seconds:
        spec["activeDeadlineSeconds"] = placement.timeout_seconds
    own = dict(labels)
    if placement.queue:
        own[QUEUE_LABEL] = placement.queue
        spec["suspend"] = True  # until Kueue has room for all of its pods
    metadata = {"name": name, "labels": own, "annotations": _facts(work)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _facts(work: Work) -> dict[str, str]:
    return {ARTIFACT: str(work.ref), STORE: work.store.uri, LABEL: work.label}
