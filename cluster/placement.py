"""What a stage's Job needs of the cluster: ``[placement]`` merged for that stage, the form's values filled in.

The pipeline's first task writes it into the run's settings, by stage. Nothing here needs a Kubernetes client, so that
whatever compiles a pipeline can share it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from alma.config import explain
from alma.config.kubernetes import (
    Affinity,
    Cpu,
    Gpus,
    GpuType,
    GraceSeconds,
    Image,
    Labels,
    Name,
    NodeAffinity,
    Queue,
    Retries,
    Seconds,
    Size,
    Tolerated,
    UserId,
)
from alma.errors import ConfigError
from alma.sections import Section

MOST_INDEXES = 100_000
"""Pods of one Job for which Kubernetes keeps count of failures per pod."""

NUMBERS = ("shards", "nodes", "gpus", "retries", "grace_seconds", "timeout_seconds", "user", "fs_group")
"""Settings that are whole numbers."""


class StagePlacement(Section):
    """How the pods of one stage run. Every one of them asks for all of ``cpu``, ``memory`` and ``gpus``."""

    image: Image
    """The stage's image."""

    shards: Annotated[int, Field(ge=1, le=MOST_INDEXES)] = 1
    """Pods that each compute a share of the parts."""

    nodes: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods that train together, ``gpus`` devices each."""

    cpu: Cpu = "2"
    """CPUs, as request and limit."""

    memory: Size = "8Gi"
    """Memory, as request and limit."""

    gpus: Gpus = 0
    """Accelerators per pod."""

    gpu_type: GpuType = "nvidia.com/gpu"
    """Resource name of the accelerator."""

    ephemeral_storage: Size | None = None
    """Disk of the node for ``/tmp``, ``/cache`` (where it is no claim) and logs, request and limit. Default: none."""

    shm: Size | None = None
    """Size of a memory-backed ``/dev/shm``, counted to ``memory``. Default: 8Gi with GPUs, else none."""

    cache_pvc: Name | None = None
    """Claim mounted at /cache; ``None`` = an emptyDir per pod."""

    cache_size: Size = "200Gi"
    """What fetched files may grow to in /cache; those least recently used go first."""

    node_selector: Labels = Field(default_factory=dict)
    """Labels that the pods' nodes must have."""

    tolerations: list[Tolerated] = Field(default_factory=list)
    """Taints that the pods tolerate, as in a pod's spec."""

    affinity: Affinity = Field(default_factory=NodeAffinity)
    """What a pod's spec has under ``affinity.nodeAffinity``."""

    timeout_seconds: Seconds | None = None
    """Longest that the Job may run, all its attempts together; the next Job goes on where it was. Default: no limit."""

    retries: Retries = 3
    """Times that a pod which was killed, ran out of memory or exited 75 is started again, with a growing pause."""

    grace_seconds: GraceSeconds = 300
    """How long a pod that is told to stop may take to publish its part or its checkpoint."""

    queue: Queue | None = None
    """Kueue's LocalQueue: the Job is admitted as a whole."""

    priority_class: Name | None = None
    """PriorityClass of the pods."""

    labels: Labels = Field(default_factory=dict)
    """More labels of Job and pods."""

    pull_secret: Name | None = None
    """Secret for pulling the image; ``None`` = the service account's."""

    s3_secret: Name | None = "alma-s3"  # noqa: S105 - a name
    """Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY[, AWS_SESSION_TOKEN]; may be absent."""

    keys_secret: Name | None = None
    """Secret with the keys of endpoints that the stage asks; may be absent."""

    keys: tuple[str, ...] = ()
    """Which of them the pods get: the names of their variables."""

    s3_config: Name | None = "alma-s3"
    """ConfigMap with AWS_ENDPOINT_URL and AWS_REGION; may be absent on AWS."""

    service_account: Name = "alma-stage"
    """The pods' account. It needs no right at all; a cloud may know it as the identity that may use the bucket."""

    user: UserId | None = 65532
    """Numeric user of the pods; ``None`` = the image's, or the one that OpenShift chooses."""

    fs_group: UserId | None = 65532
    """Group that may write to mounted volumes (``cache_pvc``); ``None`` = as the claim has it."""

    @classmethod
    def _received(cls, values: Any) -> Any:
        """A pipeline's form holds nothing but texts, so that here a number may come as one."""
        if not isinstance(values, dict):
            return values
        digits = {name: each for name, each in values.items() if name in NUMBERS and str(each).isdecimal()}
        return values | {name: int(each) for name, each in digits.items()}

    @property
    def num_pods(self) -> int:
        """Pods of the Job, one per index."""
        return max(self.shards, self.nodes)

    @property
    def shm_size(self) -> str | None:
        """The size of ``/dev/shm``, if one is mounted."""
        return self.shm or ("8Gi" if self.gpus else None)


def placement_of(stage: str, by_stage: Mapping[str, Any]) -> StagePlacement:
    """The placement of ``stage`` among ``Settings.placement``. Raises ``ConfigError`` that names the field."""
    if stage not in by_stage:
        raise ConfigError(
            f"the run's settings place no Job of the stage {stage}; they do of: {', '.join(by_stage) or 'none'}. Set "
            f"placement.stages.{stage} and compile the pipeline anew"
        )
    return parse(stage, by_stage[stage])


def parse(stage: str, values: Any) -> StagePlacement:
    """``values`` as the placement of ``stage``. Raises ``ConfigError`` that names the field."""
    field = f"placement.stages.{stage}"
    try:
        found = StagePlacement.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error, "the run's settings", field, StagePlacement)) from error
    if found.shards > 1 and found.nodes > 1:
        raise ConfigError(
            f"{field}: shards = {found.shards} and nodes = {found.nodes}: pods work each on a share of their own "
            "(shards) or together (nodes), set one of them to 1"
        )
    return found
