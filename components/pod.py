"""What a task's pod asks of the cluster: resources, credentials, volumes, labels, retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp import dsl, kubernetes

from components.placement import Placement, Role

CACHE = "/cache"
"""Where the images expect fetched models and scratch files."""

S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
S3_SETTINGS = ("AWS_ENDPOINT_URL", "AWS_REGION")


def place(task: dsl.PipelineTask, role: Role, placement: Placement, parameters: Mapping[str, Any]) -> dsl.PipelineTask:
    """Gives ``task`` all of its placement; ``parameters`` are the pipeline's, by name."""
    resources = placement.resources(role)
    used = [f"{role}_cpu", f"{role}_memory", *([f"{role}_gpus", "accelerator"] if resources.gpus else [])]
    # set_cpu_limit and its like (kfp 2.17) do not pass their parameters into an exit handler's or loop's own scope.
    task.register_pipeline_channels([parameters[name] for name in used])
    task.set_container_image(parameters[f"{role}_image"])
    task.set_cpu_request(parameters[f"{role}_cpu"]).set_cpu_limit(parameters[f"{role}_cpu"])
    task.set_memory_request(parameters[f"{role}_memory"]).set_memory_limit(parameters[f"{role}_memory"])
    if resources.gpus:
        task.set_accelerator_type(parameters["accelerator"]).set_accelerator_limit(parameters[f"{role}_gpus"])
        kubernetes.add_node_selector_json(task, parameters["node_selector"])
        kubernetes.add_toleration_json(task, parameters["tolerations"])
        kubernetes.add_node_affinity_json(task, parameters["affinity"])
    if resources.shm_size:
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=resources.shm_size)  # noqa: S108
    if resources.timeout_seconds:
        kubernetes.set_timeout(task, resources.timeout_seconds)
    _volumes(task, placement, parameters)
    _credentials(task, placement, parameters)
    for name, value in placement.labels.items():
        kubernetes.add_pod_label(task, name, value)
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "alma")
    if placement.queue:
        kubernetes.add_pod_label(task, "kueue.x-k8s.io/queue-name", placement.queue)
    if placement.retries:
        task.set_retry(placement.retries, backoff_duration="30s", backoff_factor=2, backoff_max_duration="600s")
    # The store knows what is done, and holds it; KFP's cache would only know that it was done once.
    return task.set_caching_options(False)


def _volumes(task: dsl.PipelineTask, placement: Placement, parameters: Mapping[str, Any]) -> None:
    kubernetes.empty_dir_mount(task, "tmp", "/tmp")  # noqa: S108 - for a read-only root file system
    if placement.cache_pvc:
        kubernetes.mount_pvc(task, parameters["cache_pvc"], CACHE)
    else:
        kubernetes.empty_dir_mount(task, "cache", CACHE)
    task.set_env_variable("ALMA_CACHE_BYTES", placement.cache_size)


def _credentials(task: dsl.PipelineTask, placement: Placement, parameters: Mapping[str, Any]) -> None:
    """Optional all of them, so that a pod starts without and says what it lacks."""
    secret = {key: key for key in S3_KEYS}
    kubernetes.use_secret_as_env(task, parameters["s3_secret"], secret, optional=True)
    settings = {key: key for key in S3_SETTINGS}
    kubernetes.use_config_map_as_env(task, parameters["s3_config"], settings, optional=True)
    kubernetes.use_secret_as_env(task, parameters["hf_secret"], {"HF_TOKEN": "HF_TOKEN"}, optional=True)
    if placement.pull_secret:
        kubernetes.set_image_pull_secrets(task, [parameters["pull_secret"]])
