"""A Job of the stub in containers: its pods as podman runs them, and the task that makes it and follows it.

Both as restricted as the strictest pod. The task finds the API as a pod does: by its service account's token, its
certificate authority and two variables; over TLS.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

import yaml

from tests.builders.jobs_stub import ClusterStub
from tests.builders.kubelet import Named, Object, Pod, expand, variables
from tests.builders.kustomized import MANIFESTS
from tests.builders.stub_server import served
from tests.containers import podman

if TYPE_CHECKING:
    from tests.conftest import S3Server

LABEL = "alma-test-job"
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
SLOW = Path(__file__).parents[1] / "builders" / "slow.py"
NAMESPACE, TOKEN = "team", "the-token-of-the-runs-account"


@dataclass
class Task:
    """Tasks of a pipeline that has Jobs, as containers of the submit image."""

    stub: ClusterStub
    image: str
    variables: dict[str, str]
    account: Path
    slow_seconds: float = 0.0
    """Of pods, before each part."""
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Starts ``python -m cluster`` with ``words``; its process ends as the container does."""
        command = ["podman", "run", "--rm", *podman.RESTRICTED, *podman.HOST_NETWORK, f"--label={LABEL}"]
        command += [f"--name={self.stub.folder.parent.name}-task", f"--volume={self.account}:{ACCOUNT}:ro"]
        command += [*(f"--env={name}" for name in self.variables), "--tmpfs=/cache", "--entrypoint=", self.image]
        process = subprocess.Popen(
            [*command, "python", "-m", "cluster", *words],
            env=os.environ | self.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit status, output and messages of such a container."""
        process = self.start(*words)
        output, error = process.communicate()
        return process.returncode, output, error

    def kill(self) -> None:
        """Ends it as a KFP task ends when its run is terminated: no signal that it could heed."""
        podman.podman("kill", "--signal=KILL", f"{self.stub.folder.parent.name}-task")


@contextmanager
def cluster(folder: Path, submit_image: str, s3_server: S3Server) -> Iterator[Task]:
    """A stub whose pods are containers, and tasks that are told of it. No container is left."""
    login = {
        "AWS_ENDPOINT_URL": s3_server.endpoint,
        "AWS_ACCESS_KEY_ID": s3_server.key_id,
        "AWS_SECRET_ACCESS_KEY": s3_server.secret,
        "AWS_REGION": "us-east-1",
    }
    stub = ClusterStub(folder / "pods", role())
    stub.token = TOKEN
    controller = threading.Thread(target=stub.run, daemon=True)
    controller.start()
    account, tls = service_account(folder / "account")
    try:
        with served(stub, tls) as host:
            address = urlparse(host)
            where = {"KUBERNETES_SERVICE_HOST": str(address.hostname), "KUBERNETES_SERVICE_PORT": str(address.port)}
            task = Task(stub, submit_image, {**login, **where}, account)
            stub.start = lambda pod: in_podman(pod, {"alma-s3": login}, task.slow_seconds)
            try:
                yield task
            finally:
                for process in task.started:
                    process.kill()
                    process.communicate()
    finally:
        left = podman.podman("ps", "--all", "--quiet", f"--filter=label={LABEL}").split()
        if left:
            podman.podman("rm", "--force", "--time=0", *left)
        stub.close()
        controller.join()


def role() -> list[Object]:
    """What the account of a run's pods may do, as ``manifests/`` grants it."""
    found = yaml.safe_load_all((MANIFESTS / "base" / "run-role.yaml").read_text(encoding="utf-8"))
    return [rule for item in found if item["kind"] == "Role" for rule in item["rules"]]


def service_account(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """What the kubelet mounts into a pod, and the server's side of its certificate."""
    folder.mkdir()
    (folder / "token").write_text(TOKEN)
    (folder / "namespace").write_text(NAMESPACE)
    key = folder.with_suffix(".key")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=kubernetes"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", folder / "ca.crt"]
    subprocess.run(list(map(str, words)), check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "ca.crt", key)
    for each in (folder, *folder.iterdir()):
        each.chmod(0o755)  # whoever the pod is
    return folder, tls


def in_podman(pod: Pod, named: Named, slow_seconds: float = 0.0) -> subprocess.Popen[bytes]:
    """Starts a pod's container as its spec has it; what ``named`` holds stands in no command line of this machine.

    With ``slow_seconds`` it pauses before each part that it publishes.
    """
    pod.folder.mkdir(parents=True)
    given = variables(pod, {}, named)
    command = ["podman", "run", "--rm", f"--name={pod.name}", f"--label={LABEL}", *podman.STRICT]
    command += [*podman.HOST_NETWORK, *hosts(pod), *user(pod.spec["securityContext"]), *volumes(pod)]
    command += [f"--memory={pod.container['resources']['limits']['memory'].removesuffix('i').lower()}"]
    command += ["--env=OMP_NUM_THREADS=1", *(f"--env={name}" for name in given), "--entrypoint="]
    entry = pod.container["command"]
    if slow_seconds:
        command += [f"--volume={SLOW}:/slow.py:ro"]
        entry = ["python", "/slow.py", str(slow_seconds), "--"]
    command += [pod.container["image"], *entry, *(expand(word, given) for word in pod.container["args"])]
    with (pod.folder / "log").open("wb") as log:
        return subprocess.Popen(
            command, env=os.environ | given, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def hosts(pod: Pod) -> list[str]:
    """Its host name; where its Job has a headless Service, the names that this gives the pods, and an address for each.

    torchrun tells machines apart by their names and its process's number, and containers all have low ones.
    """
    service, mine = pod.spec.get("subdomain"), f"{pod.job}-{pod.index}"
    if not service:
        return []
    addresses = {f"{pod.job}-{index}": f"127.0.0.{2 + index}" for index in range(pod.num_pods)}
    names = [f"--add-host={name}.{service}:{address}" for name, address in addresses.items()]
    return ["--uts=private", f"--hostname={mine}", *names, f"--add-host={mine}:{addresses[mine]}"]


def user(context: Object) -> list[str]:
    """As whom it runs: ``runAsUser`` alone leaves the group to the image, here 0; ``fsGroup`` is one more."""
    found = [f"--user={context['runAsUser']}"] if "runAsUser" in context else []
    return found + ([f"--group-add={context['fsGroup']}"] if "fsGroup" in context else [])


def volumes(pod: Pod) -> Iterator[str]:
    """Of its kinds those that are made with the pod and go with it."""
    kinds = {volume["name"]: volume["emptyDir"] for volume in pod.spec["volumes"]}
    for mount in pod.container["volumeMounts"]:
        if mount["mountPath"] == "/dev/shm":
            yield f"--shm-size={kinds[mount['name']]['sizeLimit'].removesuffix('i').lower()}"
        else:
            yield f"--tmpfs={mount['mountPath']}"
