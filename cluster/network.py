"""How the pods of one Job, nodes of one training, find each other, and that nobody else reaches them.

Both objects belong to the Job and go with it. They can be made only once there is a Job to belong to; its pods wait for
each other until then.
"""

from __future__ import annotations

from alma.config.kubernetes import QUEUE_LABEL
from cluster.pod import RENDEZVOUS_PORT, Object

CHOSEN_PORTS = {"protocol": "TCP", "port": 1024, "endPort": 65535}
"""NCCL and gloo choose a port for every connection; the first node is met at ``RENDEZVOUS_PORT``."""


def service_of(job: Object) -> Object:
    """The headless Service by which the pods of a created Job find the first of them.

    The pods are told of before they are ready: that is when they meet.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(job),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": _pods(job),
            "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT}],
        },
    }


def policy_of(job: Object) -> Object:
    """The NetworkPolicy that lets the pods of a created Job be reached by each other, and by nobody else.

    It says nothing of what they may reach: one that did would cut them off from names and the store wherever no other
    policy opens those.
    """
    from_each_other = {"from": [{"podSelector": {"matchLabels": _pods(job)}}], "ports": [dict(CHOSEN_PORTS)]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(job),
        "spec": {
            "podSelector": {"matchLabels": _pods(job)},
            "policyTypes": ["Ingress"],
            "ingress": [from_each_other],
        },
    }


def _pods(job: Object) -> dict[str, str]:
    """The label that Kubernetes itself gives the pods of a Job."""
    return {"batch.kubernetes.io/job-name": job["metadata"]["name"]}


def _metadata(job: Object) -> Object:
    metadata = job["metadata"]
    return {
        "name": metadata["name"],
        "labels": {key: value for key, value in metadata["labels"].items() if key != QUEUE_LABEL},
        "ownerReferences": [
            {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
        ],
    }
