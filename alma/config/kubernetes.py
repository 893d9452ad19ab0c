"""What settings say in Kubernetes' own words, held to what its API server takes.

Else a pipeline compiles, is uploaded, and its first pod or Job is refused. Nothing here needs a Kubernetes client.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic asks for this one of Python 3.11

_INT32 = 2**31 - 1
_DOMAIN = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*"
_WORD = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"


def _text(pattern: str, words: str, most_chars: int = 1000) -> AfterValidator:
    """Refuses what ``pattern`` does not match as a whole, and says in ``words`` what it does."""
    whole = re.compile(pattern)

    def check(value: str) -> str:
        if len(value) > most_chars or not whole.fullmatch(value):
            raise ValueError(f"{value[:80]!r} is not {words}")
        return value

    return AfterValidator(check)


Cpu = Annotated[str, _text(r"[0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m", 'a number of CPUs, such as "8", "0.5" or "500m"')]
Size = Annotated[
    str,
    # What Kubernetes and KFP both take: this one knows no fractions and no k, that one no K.
    _text("[0-9]{1,15}(M|G|T|Ki|Mi|Gi|Ti)?", 'bytes: a whole number and M, G, T, Ki, Mi, Gi or Ti, such as "1536Mi"'),
]
Name = Annotated[str, _text(_DOMAIN, "the name of an object: a to z, digits, dashes and dots", 253)]
Queue = Annotated[str, _text(_DOMAIN, "the name of a LocalQueue: a to z, digits, dashes and dots, 63 at most", 63)]
Image = Annotated[str, _text("[A-Za-z0-9][A-Za-z0-9._:/@-]*", "the name of an image, such as host/alma-trl:1")]
Gpus = Annotated[int, Field(ge=0, le=1024)]
GpuType = Annotated[str, _text(f"{_DOMAIN}/{_WORD}", 'the name of a resource, such as "nvidia.com/gpu"', 316)]
Retries = Annotated[int, Field(ge=0, le=_INT32)]
Seconds = Annotated[int, Field(ge=60, le=_INT32)]
GraceSeconds = Annotated[int, Field(ge=30, le=_INT32)]
UserId = Annotated[int, Field(ge=1, le=_INT32)]
LabelKey = Annotated[str, _text(f"({_DOMAIN}/)?{_WORD}", 'the name of a label, such as "example.com/team"', 317)]
_TaintKey = Annotated[str, _text(f"(({_DOMAIN}/)?{_WORD})?", 'the key of a taint, such as "nvidia.com/gpu"', 317)]
LabelValue = Annotated[
    str, _text(f"({_WORD})?", "the value of a label: letters, digits, dashes, dots and _, 63 at most")
]
Labels = dict[LabelKey, LabelValue]

QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""Names a pod's, or a Job's, LocalQueue of Kueue."""

_EXACT = ConfigDict(extra="forbid", strict=True)


@with_config(_EXACT)
class Toleration(TypedDict):
    """An entry of a pod's ``spec.tolerations``."""

    key: NotRequired[_TaintKey]
    operator: NotRequired[Literal["Exists", "Equal"]]
    value: NotRequired[LabelValue]
    effect: NotRequired[Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]]
    tolerationSeconds: NotRequired[int]


def _tolerates(given: Toleration) -> Toleration:
    if given.get("operator") == "Exists":
        if given.get("value"):
            raise ValueError('operator "Exists" takes no value; leave the value out, or write operator = "Equal"')
    elif not given.get("key"):
        raise ValueError('needs a key, or operator = "Exists", which tolerates every taint')
    if "tolerationSeconds" in given and given.get("effect") != "NoExecute":
        raise ValueError('tolerationSeconds is read with effect = "NoExecute" only')
    return given


Tolerated = Annotated[Toleration, AfterValidator(_tolerates)]


@with_config(_EXACT)
class _Requirement(TypedDict):
    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: NotRequired[list[str]]


def _compares(given: _Requirement) -> _Requirement:
    operator, values = given["operator"], given.get("values", [])
    if operator in ("In", "NotIn") and not values:
        raise ValueError(f'operator "{operator}" needs values')
    if operator in ("Exists", "DoesNotExist") and values:
        raise ValueError(f'operator "{operator}" takes no values')
    if operator in ("Gt", "Lt") and not (len(values) == 1 and re.fullmatch("-?[0-9]{1,18}", values[0])):
        raise ValueError(f'operator "{operator}" takes one value, a whole number as a text')
    return given


Requirement = Annotated[_Requirement, AfterValidator(_compares)]


@with_config(_EXACT)
class _Term(TypedDict):
    matchExpressions: NotRequired[list[Requirement]]
    matchFields: NotRequired[list[Requirement]]


@with_config(_EXACT)
class _Required(TypedDict):
    nodeSelectorTerms: Annotated[list[_Term], Field(min_length=1)]


@with_config(_EXACT)
class _Preferred(TypedDict):
    weight: Annotated[int, Field(ge=1, le=100)]
    preference: _Term


@with_config(_EXACT)
class NodeAffinity(TypedDict):
    """What stands in a pod's ``spec.affinity.nodeAffinity``."""

    requiredDuringSchedulingIgnoredDuringExecution: NotRequired[_Required]
    preferredDuringSchedulingIgnoredDuringExecution: NotRequired[list[_Preferred]]


def _of_nodes(given: object) -> object:
    if isinstance(given, dict) and (others := {"nodeAffinity", "podAffinity", "podAntiAffinity"} & set(given)):
        raise ValueError(f"only affinity to nodes is taken, and what it holds stands here: leave out {min(others)}")
    return given


Affinity = Annotated[NodeAffinity, BeforeValidator(_of_nodes)]
