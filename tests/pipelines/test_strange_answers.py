"""Answers of the Kubernetes API that hold something else than they should: they end nothing that is followed."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.runs import job as jobs
from pipelines.runs.job import Job, ending
from pipelines.runs.kube import STRANGE, UnknownError
from pipelines.runs.pods import NODE, failed, stuck

HELD = {"name": "main", "state": {"waiting": {"reason": "ErrImagePull"}, "terminated": {"exitCode": 1}}}
STATUS = {"phase": "Pending", "containerStatuses": [HELD], "conditions": [{"type": "PodScheduled", "status": "False"}]}


class Answers:
    """In the place of the API."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found

    def pods(self, *_: str) -> list[dict[str, Any]]:
        return [self.found]

    def job(self, *_: str) -> dict[str, Any]:
        return self.found

    def last_lines(self, *_: Any) -> list[str]:
        return []


@pytest.mark.parametrize("odd", [["Pending"], {"containerStatuses": [{}]}, {"containerStatuses": ["main"]}])
def test_what_became_of_such_pods_is_not_known(odd: Any) -> None:
    pod = {"metadata": {"name": "pod", "annotations": {NODE: "run.task"}}, "status": STATUS}
    kube: Any = Answers(pod)
    assert [end.why for end in failed(kube, "run", "team", [])] == ["image"]
    pod["status"] = odd
    with pytest.raises(UnknownError, match=STRANGE):
        failed(kube, "run", "team", [])


@pytest.mark.parametrize("odd", ["PodScheduled", [None], [{"type": "PodScheduled"}]])
def test_why_such_pods_do_not_begin_is_not_known(odd: Any) -> None:
    kube: Any = Answers({"metadata": {"name": "pod"}, "status": STATUS})
    assert "no node takes its pod" in stuck(kube, "run", "team", [])["pod"]
    kube.found = {"metadata": {"name": "pod"}, "status": STATUS | {"conditions": odd}}
    with pytest.raises(UnknownError, match=STRANGE):
        stuck(kube, "run", "team", [])


@pytest.mark.parametrize("status", [None, ["Failed"], {"conditions": [{"type": "Failed"}]}, {"conditions": [1]}])
def test_whether_such_a_job_ends_is_not_known(status: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "Kube", lambda: Answers({"metadata": {"uid": "u"}, "status": status}))
    with pytest.raises(UnknownError, match=STRANGE):
        ending(Job("job", "u", "team"), seconds=0)
