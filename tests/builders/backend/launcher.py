"""The launcher's part of a task: files into the pod before its container starts, results out of it afterwards."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.builders.backend.lines import local
from tests.builders.backend.values import Artifact, BackendError, Outputs, from_file, metadata


def download(artifacts: Mapping[str, Artifact], objects: Path, pod: Path) -> None:
    """The launcher brings every input artifact into the pod before the container starts."""
    for name, artifact in artifacts.items():
        source, target = local(artifact.uri, objects), local(artifact.uri, pod)
        if not Path(source).exists():
            raise FileNotFoundError(f"failed to download input artifact {name!r} from {artifact.uri}: no such object")
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if Path(source).is_dir() else shutil.copyfile)(source, target)


def prepare(given: Mapping[str, Any], pod: Path) -> None:
    """The folders that the launcher makes: those of output parameters and artifacts, not the executor output's."""
    outputs = given["outputs"]
    for record in outputs.get("parameters", {}).values():
        Path(record["outputFile"]).parent.mkdir(parents=True, exist_ok=True)
    for listed in outputs.get("artifacts", {}).values():
        Path(local(listed["artifacts"][0]["uri"], pod)).parent.mkdir(parents=True, exist_ok=True)
    for folder in [pod, *(path for path in pod.rglob("*") if path.is_dir())]:
        folder.chmod(0o777)  # the user of a container is nobody here


def collect(given: Mapping[str, Any], component: Mapping[str, Any], objects: Path, pod: Path) -> Outputs:
    """What the container left: parameters from their files, artifacts with the metadata that it wrote about them."""
    outputs, left = given["outputs"], Outputs()
    written = _executor_output(Path(outputs["outputFile"]))
    left.parameters = dict(written.get("parameterValues", {}))
    kinds = component.get("outputDefinitions", {}).get("parameters", {})
    for name, record in outputs.get("parameters", {}).items():
        if name not in left.parameters:
            with Path(record["outputFile"]).open(encoding="utf-8", newline="") as file:
                left.parameters[name] = from_file(name, file.read(), kinds[name]["parameterType"])
    for name, listed in outputs.get("artifacts", {}).items():
        (record,) = listed["artifacts"]
        said = (written.get("artifacts", {}).get(name, {}).get("artifacts") or [{}])[0]
        source = Path(local(record["uri"], pod))
        uri = said.get("uri") or record["uri"]
        if source.exists():
            target = Path(local(uri, objects))
            target.parent.mkdir(parents=True, exist_ok=True)
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
        values = metadata(name, {**record.get("metadata", {}), **said.get("metadata", {})})
        left.artifacts[name] = Artifact(
            str(uuid.uuid4().int % 10**12), uri, record["type"], {"display_name": name, **values}
        )
    return left


def _executor_output(path: Path) -> dict[str, Any]:
    """The file that a container may write about its outputs; the launcher takes no field that it does not know."""
    if not path.exists():
        return {}
    content = path.read_text(encoding="utf-8")
    try:
        value: dict[str, Any] = json.loads(content, parse_constant=_no_constant)
        json_format.ParseDict(value, pipeline_spec_pb2.ExecutorOutput())
    except (ValueError, json_format.ParseError) as error:
        raise BackendError(f"failed to unmarshal ExecutorOutput: {error}: {content[:200]}") from error
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
