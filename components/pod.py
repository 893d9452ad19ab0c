"""What a task's pod asks of the cluster: resources, credentials, volumes, labels, retries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kfp import dsl, kubernetes

from alma.config.kubernetes import QUEUE_LABEL
from components.placement import Placement
from components.resolve import Field, Pod

CACHE = "/cache"
"""Where the images expect fetched models and scratch files."""

RUN_ID = "metadata.labels['pipeline/runid']"
"""Where a pod finds the id of its run. As a parameter it would make every task's cache key new."""

S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
S3_SETTINGS = ("AWS_ENDPOINT_URL", "AWS_REGION")


def place(
    task: dsl.PipelineTask, pod: Pod, placement: Placement, form: Mapping[str, Any], *, retries: int | None = None
) -> dsl.PipelineTask:
    """Gives ``task`` all of its placement; ``form`` are the values of the form's fields, by name."""

    def value(of: Any) -> Any:
        return form[of.name] if isinstance(of, Field) else of

    task.set_container_image(value(pod.image))
    task.set_cpu_request(pod.cpu).set_cpu_limit(pod.cpu)
    task.set_memory_request(value(pod.memory)).set_memory_limit(value(pod.memory))
    if pod.gpus is not None:
        # A text: of a number the driver reads "", and the pod asks for no accelerator.
        task.set_accelerator_type(value(pod.gpu_type)).set_accelerator_limit(value(pod.gpus))
    if pod.node_selector is not None:
        kubernetes.add_node_selector_json(task, value(pod.node_selector))
    if pod.tolerations is not None:
        kubernetes.add_toleration_json(task, _tolerations(value(pod.tolerations)))
    if pod.affinity is not None:
        kubernetes.add_node_affinity_json(task, value(pod.affinity))
    if pod.shm:
        kubernetes.empty_dir_mount(task, "shm", "/dev/shm", medium="Memory", size_limit=pod.shm)  # noqa: S108
    if pod.timeout_seconds:
        kubernetes.set_timeout(task, pod.timeout_seconds)
    kubernetes.set_security_context(task, run_as_non_root=True)  # KFP sets the rest of what "restricted" asks for
    kubernetes.use_field_path_as_env(task, "ALMA_RUN", RUN_ID)
    _volumes(task, placement)
    _credentials(task, placement, hub=pod.hub, keys=pod.keys)
    for name, label in placement.labels.items():
        kubernetes.add_pod_label(task, name, label)
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "alma")
    if placement.queue:
        kubernetes.add_pod_label(task, QUEUE_LABEL, placement.queue)
    times = placement.retries if retries is None else retries
    if times:
        task.set_retry(times, backoff_duration="30s", backoff_factor=2, backoff_max_duration="600s")
    return task


def _tolerations(given: Any) -> Any:
    """A field of the form as it is; of what is compiled in, KFP reads this one name in a spelling of its own."""
    if not isinstance(given, list):
        return given
    return [
        {"toleration_seconds" if name == "tolerationSeconds" else name: each[name] for name in each} for each in given
    ]


def _volumes(task: dsl.PipelineTask, placement: Placement) -> None:
    kubernetes.empty_dir_mount(task, "tmp", "/tmp")  # noqa: S108 - for a read-only root file system
    if placement.cache_pvc:
        kubernetes.mount_pvc(task, placement.cache_pvc, CACHE)
    else:
        kubernetes.empty_dir_mount(task, "cache", CACHE)
    task.set_env_variable("ALMA_CACHE_BYTES", placement.cache_size)


def _credentials(task: dsl.PipelineTask, placement: Placement, *, hub: bool, keys: tuple[str, ...]) -> None:
    """Optional all of them, so that a pod starts without and says what it lacks."""
    kubernetes.use_secret_as_env(task, placement.s3_secret, {key: key for key in S3_KEYS}, optional=True)
    kubernetes.use_config_map_as_env(task, placement.s3_config, {key: key for key in S3_SETTINGS}, optional=True)
    if hub:
        kubernetes.use_secret_as_env(task, placement.hf_secret, {"HF_TOKEN": "HF_TOKEN"}, optional=True)
    if keys:
        kubernetes.use_secret_as_env(task, placement.keys_secret, {key: key for key in keys}, optional=True)
    if placement.pull_secret:
        kubernetes.set_image_pull_secrets(task, [placement.pull_secret])
