"""``python -m pipelines submit``: create a run, once, and follow it if asked to; again, if it failed of what may pass.

A Job's pod may be started again at any moment, so before a run is created, and before a creation without an answer is
tried again, a run of that submission is looked for (``submission``).
"""

from __future__ import annotations

import argparse
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alma.arguments import written
from alma.errors import ConfigError
from alma.regular import is_same
from pipelines.package import Spec, changed, read_package, spec_of
from pipelines.runs import attempts, attend, client, experiments, follow
from pipelines.runs.arguments import arguments
from pipelines.runs.attempts import Attempts
from pipelines.runs.client import Api
from pipelines.runs.events import Events
from pipelines.runs.job import own_job
from pipelines.runs.names import name_after, numbered
from pipelines.runs.submission import Submission

UPLOADED = "pipeline:"


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
    parser.add_argument(
        "--name", help="the run's name (default: the Job's, else the pipeline's; what was changed; a number)"
    )
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
    parser.add_argument("--id-file", type=written, metavar="FILE", help="also write the run's id here")
    parser.add_argument("--follow", action="store_true", help="follow the run and exit as it ends")
    attempts.add_options(parser)
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
    read = {"the pipeline": Path(options.package), "the file of --parameters": options.parameters}
    for what, path in read.items():
        if options.id_file and path and is_same(options.id_file, path):
            raise ConfigError(f"--id-file {options.id_file}: is {what}, which would be lost; name another one")
    if options.id_file and options.id_file.exists() and not options.id_file.is_file():
        raise ConfigError(f"--id-file {options.id_file}: is no file that can be written; name another one")
    if options.attempts > 1 and not options.follow:
        raise ConfigError(f"--attempts {options.attempts} needs --follow: who does not look sees no run fail")
    if not uploaded:
        package = read_package(Path(options.package))
        declared: Spec = package["pipeline_spec"]
        source = Source(declared["pipelineInfo"]["name"], spec=package)
        given = arguments(declared, options.parameters, options.settings)
    else:
        source = Source(options.package.removeprefix(UPLOADED).partition("@")[0])
    api = Api(options, events)
    who = options.name or (job.name if job else source.name)
    runs = Attempts(api, options, events, Submission(job.uid if job else uuid.uuid4().hex, who), job)
    with attend.attended(api, options, events, runs.known):
        namespace = experiments.namespace_of(api, options.namespace)
        if uploaded:
            source, declared = uploaded_source(api, options.package.removeprefix(UPLOADED), namespace)
            given = arguments(declared, options.parameters, options.settings)
        experiment = experiments.find_or_create(api, experiments.name_of(options.experiment), namespace)

        def name() -> str:
            return options.name or numbered(api, experiment.experiment_id, name_after(who, changed(declared, given)))

        def run_of(run_name: str, token: str) -> Any:
            return api.models.V2beta1Run(
                display_name=run_name,
                description=f"{source.name}; {f'Job {job.namespace}/{job.name}; ' if job else ''}{token}",
                experiment_id=experiment.experiment_id,
                pipeline_spec=source.spec,
                pipeline_version_reference=source.reference,
                runtime_config=api.models.V2beta1RuntimeConfig(parameters=given, pipeline_root=options.pipeline_root),
                service_account=options.service_account,
            )

        runs.begin(experiment.experiment_id, name, run_of, look=job is not None)
        if options.follow:
            runs.follow()


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
