"""Where and how a pipeline's tasks run: the ``[placement]`` root of a run file.

What a person changes from run to run is a field of the pipeline's form with these values as its defaults [form]; all
else is compiled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from alma import __version__
from alma.config import explain, read_tree
from alma.config.kubernetes import (
    QUEUE_LABEL,
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

Role = Literal["base", "generate", "train", "harness"]

ENGINES: tuple[Role, ...] = ("generate", "train", "harness")
"""Those whose pods have an engine, and fields of the form for it."""

ROLES: dict[str, Role] = {
    "ingest": "base",
    "synthesize": "generate",
    "curate": "base",
    "embed": "generate",
    "diversify": "base",
    "respond": "generate",
    "judge": "generate",
    "select": "base",
    "reference": "generate",
    "finetune": "train",
    "evaluate": "generate",
    "imitate": "generate",
    "reward": "generate",
    "appraise": "base",
    "contest": "base",
    "examine": "harness",
    "report": "base",
}
"""Stage → what its pods need, where ``[placement.stages]`` says nothing else. ``base``: CPUs and no engine.

An ingest of a model that is to be trained has the image of ``train``: it proves the model (``alma.engines.probe``)."""

OWN_LABELS = frozenset(f"app.kubernetes.io/{name}" for name in ("part-of", "component", "name"))
OWN_LABELS |= {"alma/nodes", "pipeline/runid"}
"""What pods of tasks and of Jobs are found by; a Job's would have them whatever ``labels`` says."""

SHARDABLE = ("synthesize", "embed", "respond", "judge", "reference", "reward")
"""Stages that may run as several pods at once; ``alma.stages.SHARDABLE`` is the same (a test holds it)."""


class Resources(Section):
    """What one pod of a role asks for, as request and limit."""

    cpu: Cpu = "2"
    """CPUs."""

    memory: Size = "8Gi"
    """Memory."""

    gpus: Gpus = 0
    """Accelerators per pod; 0 = the role's pods ask for none and are placed anywhere. [form, if not 0]"""

    shm: Size | None = None
    """Size of a memory-backed ``/dev/shm``, counted to ``memory``. Default: 8Gi with GPUs, else none."""

    timeout_seconds: Seconds | None = None
    """Longest a pod may run; it goes on where it was when it is tried again."""


class EngineResources(Resources):
    """As ``placement.base``, and what a pod of a role with an engine asks for by default."""

    cpu: Cpu = "8"
    """CPUs."""

    memory: Size = "64Gi"
    """Memory. [form]"""

    gpus: Gpus = 1
    """Accelerators per pod; 0 = the role's pods ask for none and are placed anywhere. [form, if not 0]"""


class StagePlacement(Section):
    """What is otherwise for the pods of one stage. ``None`` = as its role has it."""

    image: Image | None = None
    """Image of the stage's pods."""

    cpu: Cpu | None = None
    """CPUs."""

    memory: Size | None = None
    """Memory."""

    gpus: Gpus | None = None
    """Accelerators per pod."""

    shm: Size | None = None
    """Size of ``/dev/shm``."""

    timeout_seconds: Seconds | None = None
    """Longest a pod may run."""

    node_selector: Labels | None = None
    """Labels that the pods' nodes must have."""

    tolerations: list[Tolerated] | None = None
    """Taints that the pods tolerate."""

    affinity: Affinity | None = None
    """Node affinity of the pods, as ``placement.affinity``."""

    shards: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Pods that work at the stage at once, each on every n-th part. Above 1 they are those of a Kubernetes Job."""

    nodes: Annotated[int, Field(ge=1, le=1000)] = 1
    """Pods that train together (finetune). Above 1 they are those of a Kubernetes Job."""

    ephemeral_storage: Size | None = None
    """Disk of the node for ``/tmp``, ``/cache`` (if it is no claim) and logs, of a Job's pods. ``None`` = unsaid."""

    job: bool = False
    """Run the stage as a Kubernetes Job even as a single pod: retried after any kill, and given time to publish."""

    @property
    def is_job(self) -> bool:
        """Whether the stage's pods are those of a Job."""
        return self.job or self.shards > 1 or self.nodes > 1


class Images(Section):
    """Images of the roles. [form]"""

    base: Image = f"alma-base:{__version__}"
    """CPU stages."""

    generate: Image = f"alma-vllm:{__version__}"
    """Generation, embedding and judging."""

    train: Image = f"alma-trl:{__version__}"
    """Training."""

    harness: Image = f"alma-harness:{__version__}"
    """Tasks of lm-evaluation-harness."""

    submit: Image = f"alma-submit:{__version__}"
    """What makes and follows the Jobs of stages that run as Jobs."""


class Placement(Section):
    """The cluster's side of a run."""

    images: Images = Images()
    """[form]"""

    base: Resources = Resources()
    """Pods of CPU stages."""

    generate: EngineResources = EngineResources()
    """Pods that generate, embed and judge."""

    train: EngineResources = EngineResources()
    """Pods that train."""

    harness: EngineResources = EngineResources()
    """Pods that run lm-evaluation-harness."""

    stages: dict[str, StagePlacement] = Field(default_factory=dict)
    """Stage → what is otherwise for its pods: ``[placement.stages.respond]``."""

    accelerator: GpuType = "nvidia.com/gpu"
    """Resource name of the accelerator."""

    node_selector: Labels = Field(default_factory=dict)
    """Labels that nodes of GPU pods must have. [form]"""

    tolerations: list[Tolerated] = Field(default_factory=list)
    """Taints that GPU pods tolerate (spot nodes, GPU nodes), as in a pod's spec. [form: node_tolerations]"""

    affinity: Affinity = Field(default_factory=NodeAffinity)
    """Node affinity of GPU pods: what a pod's spec has under ``affinity.nodeAffinity``."""

    store: Annotated[str, Field(pattern=r"^s3://[A-Za-z0-9][A-Za-z0-9._-]{1,254}(/[!-~]+)?$")] | None = None
    """``s3://bucket/prefix`` of the artifacts; ``None`` = to be filled in for every run. [form]"""

    base_folder: Annotated[str, Field(pattern=r"^[^${\x00-\x1f]*$")] = "/opt/alma/examples"
    """Where relative sources start, in the base image."""

    s3_secret: Name = "alma-s3"  # noqa: S105 - a name
    """Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY[, AWS_SESSION_TOKEN]; may be absent."""

    s3_config: Name = "alma-s3"
    """ConfigMap with AWS_ENDPOINT_URL and AWS_REGION; may be absent on AWS."""

    hf_secret: Name = "alma-hf"  # noqa: S105 - a name
    """Secret with HF_TOKEN for hf:// sources and exams' data sets; may be absent. The pods of ``preflight``, ``ingest``
    and ``examine`` get it."""

    keys_secret: Name = "alma-keys"  # noqa: S105 - a name
    """Secret with the keys of endpoints, each under the name of its variable (``key_variable``, such as
    OPENAI_API_KEY); may be absent. ``preflight`` gets them all, and a stage's pods the one of the endpoint that they
    ask."""

    pull_secret: Name | None = None
    """Secret for pulling the images; ``None`` = the service account's."""

    cache_pvc: Name | None = None
    """Claim mounted at /cache: fetched models and scratch files; ``None`` = an emptyDir per pod."""

    cache_size: Size = "200Gi"
    """What fetched files may grow to in /cache; those least recently used go first."""

    queue: Queue | None = None
    """Kueue's LocalQueue of every pod (label ``kueue.x-k8s.io/queue-name``), or of a whole Job."""

    priority_class: Name | None = None
    """PriorityClass of the pods of Jobs; KFP gives none to its own."""

    grace_seconds: GraceSeconds = 300
    """How long a pod of a Job that is told to stop may take to publish its part or its checkpoint."""

    fs_group: UserId | None = 65532
    """Group that may write to mounted volumes (``cache_pvc``) in pods of Jobs; ``None`` = as the claim has it."""

    labels: Labels = Field(default_factory=dict)
    """More labels of every pod."""

    retries: Retries = 3
    """Times that KFP starts a task's pod again, and a Job one of its pods; each goes on where the last one was."""

    @field_validator("labels")
    @classmethod
    def _not_ours(cls, labels: Labels) -> Labels:
        if own := sorted(OWN_LABELS & set(labels)):
            raise ValueError(f"{own[0]!r} is a label that the pods get by themselves: leave it out")
        if QUEUE_LABEL in labels:
            raise ValueError(f"{QUEUE_LABEL!r} is said by placement.queue: write it there")
        return labels

    @model_validator(mode="after")
    def _possible(self) -> Placement:
        for name, own in self.stages.items():
            if name not in ROLES:
                raise ValueError(f"stages.{name}: there is no such stage; there are: {', '.join(ROLES)}")
            if own.shards > 1 and name not in SHARDABLE:
                raise ValueError(f"stages.{name}.shards = {own.shards}: only {', '.join(SHARDABLE)} run in shards")
            if own.nodes > 1 and name != "finetune":
                raise ValueError(f"stages.{name}.nodes = {own.nodes}: only finetune runs on several nodes")
            if self.is_job(name) and ROLES[name] == "base":
                raise ValueError(f"stages.{name}.job: a stage without an engine runs as a task of its own")
        return self

    def stage(self, name: str) -> StagePlacement:
        """What ``[placement.stages]`` says of a stage."""
        return self.stages.get(name, StagePlacement())

    def resources(self, role: Role) -> Resources:
        """What pods of ``role`` ask for."""
        found: Resources = getattr(self, role)
        return found

    def is_job(self, stage: str) -> bool:
        """Whether the stage's pods are those of a Job."""
        return self.stage(stage).is_job


def load_placement(path: Path, overrides: Sequence[str] = ()) -> Placement:
    """The ``[placement]`` of a run file that ``alma.config.load`` has read. Raises ``ConfigError``."""
    tree = read_tree(path, overrides)
    try:
        return Placement.model_validate(tree.get("placement", {}))
    except ValidationError as error:
        raise ConfigError(explain(error, str(path), "placement", Placement)) from error
