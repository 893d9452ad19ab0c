"""What is read of the answers of Kubernetes: a stranger's, or one that lacks it, is told before anybody reads it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from alma.faults import first_fault

Object = dict[str, Any]

STRANGE = "it does not answer as a Kubernetes API does"


class _Shape(BaseModel):
    """What is there may hold more; a value of another type is not made one of the right type."""

    model_config = ConfigDict(strict=True)


class _Owner(_Shape):
    uid: str


class _Metadata(_Shape):
    name: str
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    ownerReferences: list[_Owner] | None = None


class _Described(_Shape):
    metadata: _Metadata


class _Identified(_Metadata):
    uid: str


class _Condition(_Shape):
    type: str
    status: str
    reason: str = ""
    message: str = ""


class _Template(_Shape):
    spec: Object


class _JobSpec(_Shape):
    completions: int | None = None
    suspend: bool | None = None
    template: _Template


class _JobStatus(_Shape):
    conditions: list[_Condition] | None = None
    active: int = 0
    ready: int = 0
    succeeded: int = 0


class _Listed(_Described):
    metadata: _Identified


class _Job(_Listed):
    spec: _JobSpec
    status: _JobStatus = _JobStatus()


class _Waiting(_Shape):
    reason: str = ""
    message: str = ""


class _Terminated(_Waiting):
    exitCode: int


class _State(_Shape):
    waiting: _Waiting | None = None
    terminated: _Terminated | None = None


class _Container(_Shape):
    name: str
    state: _State = _State()


class _PodStatus(_Shape):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[_Condition] | None = None
    containerStatuses: list[_Container] | None = None


class _Pod(_Listed):
    status: _PodStatus = _PodStatus()


_OF: dict[str, type[_Described]] = {"jobs": _Job, "pods": _Pod, "services": _Described, "networkpolicies": _Described}
_LISTED: dict[str, type[_Described]] = {"jobs": _Listed, "pods": _Pod}


class _List(BaseModel):
    items: list[Object] | None = None  # what lists nothing may say null


def checked(verb: str, resource: str, found: Any) -> Object:
    """An answer, as it came. Raises ``ValueError`` that names what is not there, or not as it must be."""
    if not isinstance(found, dict) or "kind" not in found:  # all of them say of what kind they are
        raise ValueError(STRANGE)
    try:
        if verb == "list":
            for each in _List.model_validate(found).items or []:
                _LISTED[resource].model_validate(each)
        elif verb != "delete":  # which answers with the object, or with how it went
            _OF[resource].model_validate(found)
    except ValidationError as error:
        raise ValueError(f"{STRANGE}: {first_fault(error)}") from error
    return found
