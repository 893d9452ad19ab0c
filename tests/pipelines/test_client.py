"""What answers in the place of Kubeflow Pipelines is none of it, whatever it says."""

from __future__ import annotations

import argparse
from types import SimpleNamespace
from typing import Any

import pytest

from alma.errors import ConfigError, UserError
from pipelines.runs import client
from pipelines.runs.client import Api
from pipelines.runs.events import Events
from pipelines.runs.names import numbered
from pipelines.runs.submission import Submission
from tests.builders.stub_server import served


class Says:
    """One answer to everything."""

    def __init__(self, said: Any) -> None:
        self.said = said
        self.seen: list[tuple[str, str]] = []

    def fault(self, method: str, path: str) -> str:
        return ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any, token: str) -> Any:
        return self.said


def api_of(host: str) -> Api:
    parser = argparse.ArgumentParser()
    client.add_options(parser)
    return Api(parser.parse_args(["--host", host, "--lost-after", "0.2"]), Events("json"))


@pytest.mark.parametrize("said", [None, {"runs": [None]}, {"runs": [{"display_name": "a"}]}, {"runs": [{}]}])
def test_a_list_of_runs_has_runs(said: Any) -> None:
    with served(Says(said)) as host, pytest.raises(UserError, match="does not answer as Kubeflow Pipelines does"):
        numbered(api_of(host), "experiment", "a")


@pytest.mark.parametrize("details", [[None], [{"task_id": "a", "child_tasks": [None]}]])
def test_a_run_has_no_null_among_its_tasks(details: Any) -> None:
    with served(Says({"run_id": "r", "run_details": {"task_details": details}})) as host:
        api = api_of(host)
        with pytest.raises(UserError, match=r"does not answer as Kubeflow Pipelines does \(null\)"):
            api.ask(api.runs.run_service_get_run, "r")


@pytest.mark.parametrize("said", [{}, {"runs": {"a": 1}}, {"run_id": ""}, None])
def test_what_was_created_has_an_id(said: Any) -> None:
    """Its id is what is followed, and what a caller gets."""
    with served(Says(said)) as host:
        api = api_of(host)
        with pytest.raises(UserError, match="does not answer as Kubeflow Pipelines does"):
            Submission("uid", "a").create(api, 1, "a", lambda name, token: api.models.V2beta1Run(display_name=name))


def test_numbers_of_thousands_of_digits_are_nobody_s() -> None:
    runs = [{"run_id": str(n), "display_name": f"a · {'9' * n}"} for n in (1, 5000)]
    with served(Says({"runs": runs})) as host:
        assert numbered(api_of(host), "experiment", "a") == "a · 10"
    run = SimpleNamespace(description=f"submission uid attempt {'9' * 5000}")
    assert Submission("uid", "a").number_of(run) == 0


def test_a_login_in_the_address_is_refused_and_not_printed() -> None:
    with pytest.raises(ConfigError, match="leave the login out") as refused:
        api_of("http://me:s3cret@127.0.0.1:1")
    assert "s3cret" not in str(refused.value)
