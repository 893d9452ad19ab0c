"""``python -m pipelines submit``: create a run, once, and follow it if asked to.

A Job's pod may be started again at any moment, so each run carries a submission name: the Job's uid in a Job, else a
random one. Before a run is created, and before a creation without an answer is tried again, a run of that submission is
looked for.
"""

from __future__ import annotations

import argparse
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma.errors import ConfigError, TransientError
from pipelines import attend, client, experiments, follow
from pipelines.arguments import arguments
from pipelines.client import Api
from pipelines.events import Events
from pipelines.job import own_job
from pipelines.package import read_package, spec_of
from pipelines.signals import postponed

UPLOADED = "pipeline:"

SETTLE_SECONDS = 3.0
"""After a creation without an answer: how long the server may still take to store the run."""


def add_parser(commands: Any) -> None:
    """Adds ``submit`` to the command line."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "submit",
        help="create a run",
        description="Creates a run and prints its id. Parameters are checked before anything is asked. In a "
        "Kubernetes Job (JOB_NAME, JOB_UID, POD_NAMESPACE in the environment) it creates one run per Job, however "
        "often its pod is started.",
    )
    parser.add_argument(
        "package", help="a compiled pipeline (YAML), or pipeline:NAME[@VERSION] for one that was uploaded"
    )
    parser.add_argument("--parameters", type=Path, metavar="FILE", help="values of parameters (YAML or JSON mapping)")
    parser.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter, over the file's: its text, or JSON where it is no text (repeatable)",
    )
    parser.add_argument(
        "--experiment",
        help=f"created if missing (default: $KF_PIPELINES_DEFAULT_EXPERIMENT_NAME, {experiments.DEFAULT})",
    )
    parser.add_argument("--name", help="the run's name (default: the Job's, else the pipeline's and the time)")
    parser.add_argument(
        "--service-account",
        metavar="SA",
        default=os.environ.get("KF_PIPELINES_SERVICE_ACCOUNT") or None,
        help="that the run's pods get (default: $KF_PIPELINES_SERVICE_ACCOUNT, else the server's)",
    )
    parser.add_argument(
        "--pipeline-root",
        metavar="URI",
        default=os.environ.get("KF_PIPELINES_ROOT") or None,
        help="where KFP keeps manifests and pages (default: $KF_PIPELINES_ROOT, else the server's)",
    )
    parser.add_argument("--id-file", type=Path, metavar="FILE", help="also write the run's id here")
    parser.add_argument("--follow", action="store_true", help="follow the run and exit as it ends")
    follow.add_options(parser)
    client.add_options(parser)
    parser.set_defaults(run=main)


@dataclass(frozen=True)
class Source:
    """What is to run: a spec brought along, or the name of one on the server."""

    name: str
    spec: dict[str, Any] | None = None
    reference: Any = None


def main(options: argparse.Namespace) -> None:
    """Runs the command."""
    events = Events(options.log)
    uploaded = options.package.startswith(UPLOADED)
    job = own_job()
    if not uploaded:
        package = read_package(Path(options.package))
        source = Source(package["pipeline_spec"]["pipelineInfo"]["name"], spec=package)
        given = arguments(package["pipeline_spec"], options.parameters, options.settings)
    else:
        source = Source(options.package.removeprefix(UPLOADED).partition("@")[0])
    api = Api(options, events)
    token = f"submission {job.uid if job else uuid.uuid4().hex}"
    default = job.name if job else f"{source.name} {time.strftime('%Y-%m-%d %H-%M-%S')}"
    name = options.name or default
    experiment_name = experiments.name_of(options.experiment)
    run_id: str | None = None
    perhaps = job is not None  # whether a run of this submission may be there

    def known() -> str | None:
        """For a stop in the midst of it: also the run whose answer we miss, or of an earlier pod of the Job."""
        if run_id or not perhaps:
            return run_id
        place = experiments.find(api, experiment_name, experiments.namespace_of(api, options.namespace))
        earlier = find(api, place.experiment_id, name, token) if place else None
        return earlier.run_id if earlier else None

    with attend.attended(api, options, events, known):
        namespace = experiments.namespace_of(api, options.namespace)
        if uploaded:
            source, declared = uploaded_source(api, options.package.removeprefix(UPLOADED), namespace)
            given = arguments(declared, options.parameters, options.settings)
        experiment = experiments.find_or_create(api, experiment_name, namespace)
        run = api.models.V2beta1Run(
            display_name=name,
            description=f"{source.name}; {f'Job {job.namespace}/{job.name}; ' if job else ''}{token}",
            experiment_id=experiment.experiment_id,
            pipeline_spec=source.spec,
            pipeline_version_reference=source.reference,
            runtime_config=api.models.V2beta1RuntimeConfig(parameters=given, pipeline_root=options.pipeline_root),
            service_account=options.service_account,
        )
        earlier = find(api, experiment.experiment_id, name, token) if job else None
        perhaps = True
        made = earlier or create(api, run, token)
        run_id = made.run_id
        how = "found the run that this Job has created" if earlier else "created"
        events.tell("submitted", f"{how}: {name}, {made.run_id}", run=run_id, name=name, created=not earlier)
        if options.id_file:
            write(options.id_file, run_id)
        print(run_id, flush=True)  # noqa: T201
        if options.follow:
            follow.follow(api, run_id, options, events)


def find(api: Api, experiment_id: str, name: str, token: str) -> Any | None:
    """The run of that submission, or none."""
    page = ""
    while True:
        answer = api.ask(
            api.runs.run_service_list_runs,
            experiment_id=experiment_id,
            filter=experiments.display_name_is(name),
            sort_by="created_at desc",
            page_size=50,
            page_token=page,
        )
        for run in answer.runs or []:
            if (run.description or "").endswith(token):
                return run
        page = answer.next_page_token or ""
        if not page:
            return None


def create(api: Api, run: Any, token: str) -> Any:
    """Creates the run. Where the answer is lost, it is looked for before it is created again."""
    tries = 5
    for left in reversed(range(tries)):
        try:
            with postponed():
                return api.once(api.runs.run_service_create_run, run, timeout=client.CREATE_SECONDS)
        except TransientError as error:
            api.events.tell("retry", f"{error}; looking whether the run was created", message=str(error))
            time.sleep(SETTLE_SECONDS)
            if made := find(api, run.experiment_id, run.display_name, token):
                return made
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def uploaded_source(api: Api, wanted: str, namespace: str | None) -> tuple[Source, Any]:
    """A pipeline on the server and its spec: NAME, or NAME@VERSION. Raises ``ConfigError``."""
    name, _, version_name = wanted.partition("@")
    pipeline = None
    for where in dict.fromkeys((namespace, None)):  # one's own, then the shared ones
        named: dict[str, Any] = {"namespace": where} if where else {}
        condition = experiments.display_name_is(name)
        listed = api.ask(api.pipelines.pipeline_service_list_pipelines, filter=condition, **named)
        if listed.pipelines:
            pipeline = listed.pipelines[0]
            break
    if pipeline is None:
        raise ConfigError(f"{api.host} has no pipeline {name!r}; upload it with 'kfp pipeline create'")
    listed = api.ask(
        api.pipelines.pipeline_service_list_pipeline_versions,
        pipeline.pipeline_id,
        sort_by="created_at desc",
        page_size=100,
    )
    versions = listed.pipeline_versions or []
    chosen = [v for v in versions if not version_name or version_name in (v.display_name, v.pipeline_version_id)]
    if not chosen:
        there = ", ".join(str(v.display_name) for v in versions[:10]) or "none"
        raise ConfigError(f"pipeline {name!r} has no version {version_name!r}; the latest are: {there}")
    spec = spec_of(chosen[0].pipeline_spec)
    if spec is None:
        raise ConfigError(f"version {chosen[0].display_name!r} of {name!r} is no pipeline of KFP 2; upload it anew")
    reference = api.models.V2beta1PipelineVersionReference(
        pipeline_id=pipeline.pipeline_id, pipeline_version_id=chosen[0].pipeline_version_id
    )
    return Source(name, reference=reference), spec


def write(path: Path, run_id: str) -> None:
    """Whole or not at all. Raises ``ConfigError``: the run is there, and its id is in the message."""
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(f"{run_id}\n", encoding="ascii")
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"--id-file {path}: {error.strerror}; the run {run_id} is created") from None
