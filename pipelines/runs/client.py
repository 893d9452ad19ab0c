"""One door to the API of Kubeflow Pipelines (v2beta1): where it is, who we are, what its answers mean.

``kfp.Client`` itself is not used: it has no timeouts, prints tracebacks while it retries, and writes into HOME, which a
restricted pod has not. Its generated client is; host and token are found as it finds them.
https://kubeflow-pipelines.readthedocs.io/en/stable/source/client.html
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from alma.arguments import positive
from alma.bounded_pool import BoundedPool
from alma.errors import AccessError, ConfigError, DataError, TransientError, UserError
from alma.logins import hide_login
from pipelines.runs.events import Events

IN_CLUSTER_HOST = "http://ml-pipeline.kubeflow.svc.cluster.local:8888"
TOKEN_FILE = "/var/run/secrets/kubeflow/pipelines/token"  # noqa: S105 - a path: where a projected token lies
NAMESPACE_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

FIRST_ANSWER_SECONDS = 60.0
"""How long a server is tried that never answered: a wrong host should be told soon."""

CREATE_SECONDS = 120.0
"""How long an answer to a creation is waited for: asking again could create a second one."""


_IDS = {
    "V2beta1Run": "run_id",
    "V2beta1Experiment": "experiment_id",
    "V2beta1Pipeline": "pipeline_id",
    "V2beta1PipelineVersion": "pipeline_version_id",
}
"""Type of an answer → what it has of a real server."""


class NotFoundError(DataError):
    """The server knows no such run, pipeline or experiment."""


class UnavailableError(TransientError, OSError):
    """The server did not answer, or not as itself: timeouts, resets, 429, 5xx."""


class Api:
    """Requests with patience: what may pass is tried again, what cannot pass is told at once."""

    def __init__(self, options: argparse.Namespace, events: Events) -> None:
        import kfp_server_api
        import urllib3

        self.host = _host(options.host)
        self.events = events
        self._timeout: float = options.timeout
        self._lost_after: float = options.lost_after
        self._refused_after: float = options.refused_after
        self._reached = False
        self._token = ""
        self._token_file = _token_file(options.token_file)
        configuration = kfp_server_api.Configuration(host=self.host)
        configuration.retries = urllib3.Retry(False)  # we retry; and a redirect to a login page is an answer to show
        if options.ca_file:
            _check_ca(options.ca_file)
            configuration.ssl_ca_cert = options.ca_file
        if self._token_file:
            configuration.api_key["authorization"] = "read before each request"
            configuration.api_key_prefix["authorization"] = "Bearer"
            configuration.refresh_api_key_hook = self._read_token
        client = self._client = kfp_server_api.ApiClient(configuration)
        client.rest_client.pool_manager = BoundedPool(client.rest_client.pool_manager)
        self.models = kfp_server_api
        self.experiments = kfp_server_api.ExperimentServiceApi(client)
        self.runs = kfp_server_api.RunServiceApi(client)
        self.pipelines = kfp_server_api.PipelineServiceApi(client)
        self.health = kfp_server_api.HealthzServiceApi(client)

    def ask(self, method: Callable[..., Any], *given: Any, seconds: float | None = None, **named: Any) -> Any:
        """The answer, after as many tries as patience allows (``seconds``, else the settings).

        Raises ``UnavailableError`` (75) when that is over, ``AccessError`` (2) when the server keeps refusing the
        token as the file has it, ``NotFoundError`` and ``ConfigError`` (2) at once.
        """
        start, refused = time.monotonic(), None
        delay, told = 0.5, ""
        while True:
            try:
                return self.once(method, *given, **named)
            except (UnavailableError, AccessError) as error:
                now = time.monotonic()
                patience = self._lost_after if self._reached else min(FIRST_ANSWER_SECONDS, self._lost_after)
                left = min(patience, seconds or patience) - (now - start)
                refused = (refused or now) if isinstance(error, AccessError) else None
                if refused:
                    left = min(left, self._refused_after - (now - refused))
                if left <= 0:
                    raise
                if str(error) != told:
                    told = str(error)
                    self.events.tell("retry", f"{told}; trying again", message=told, seconds_left=round(left))
                time.sleep(min(left, delay * random.uniform(0.7, 1.3)))
                delay = min(delay * 2, 30.0)

    def hurry(self, seconds: float) -> None:
        """From now on no more patience than this, and no longer wait: the process was told to end."""
        self._lost_after = min(self._lost_after, seconds)
        self._refused_after = min(self._refused_after, seconds)
        self._timeout = min(self._timeout, max(1.0, seconds / 2))

    def once(self, method: Callable[..., Any], *given: Any, timeout: float | None = None, **named: Any) -> Any:
        """One request, its failure translated into alma's errors. ``timeout`` is of each read, in seconds."""
        import urllib3

        timeouts = (min(10.0, self._timeout), timeout or self._timeout)
        try:
            answer = method(*given, _request_timeout=timeouts, **named)
        except self.models.ApiException as error:
            raise self._translated(error) from None
        except urllib3.exceptions.HTTPError as error:
            raise self._unreached(error) from None
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError, OverflowError) as error:
            failed = error.__context__  # the generated client stumbles over TLS errors: they have no body
            if isinstance(failed, self.models.ApiException):
                raise self._unreached(failed.__context__ or failed) from None
            raise self._stranger(type(error).__name__) from None
        kind = self._client.last_response.getheader("content-type", "nothing")
        if "json" not in kind:  # the generated client would make an empty run of a login page
            raise self._stranger(kind)
        if (lacking := self._lacking(answer)) is not None:
            raise self._stranger(lacking)
        self._reached = True
        return answer

    def _lacking(self, answer: Any) -> str | None:
        """What the generated client lets through: an answer, or one of a list, that is null or has no id."""
        if answer is None:
            return "null"
        if isinstance(answer, list):
            return next(filter(None, map(self._lacking, answer)), None)
        name = type(answer).__name__
        wanted = _IDS.get(name)
        if wanted and not getattr(answer, wanted):
            return f"{name} without {wanted}"
        fields = (getattr(answer, each) for each in getattr(answer, "openapi_types", {}))
        return next(filter(None, (self._lacking(each) for each in fields if each is not None)), None)

    def _translated(self, error: Any) -> Exception:
        status, said = error.status or 0, self._shown(_message(error.body) or error.reason)
        if status in (401, 403):
            with_what = f"the token in {self._token_file}" if self._token_file else "no token"
            remedy = (
                "is it expired, or for another audience than the server's?"
                if status == 401
                else "its account needs create, get, list, terminate on runs and create, get, list on experiments "
                "(group pipelines.kubeflow.org) in the namespace"
            )
            return AccessError(f"{self.host} refuses {with_what} ({status}: {said}); {remedy}")
        if 300 <= status < 400:
            return AccessError(f"{self.host} sends us elsewhere ({status}), as a login page does; give a --token-file")
        if status == 404:
            return NotFoundError(f"{self.host}: {said}")
        if status in (408, 429) or status >= 500 or status == 0:
            return UnavailableError(f"{self.host} answers {status}: {said}; try again later, or ask whoever runs it")
        return ConfigError(f"{self.host} refuses the request ({status}): {said}")

    def _unreached(self, error: BaseException) -> Exception:
        if _certificate(error):
            text = f"{self.host}: its certificate is not trusted ({self._shown(error)})"
            return ConfigError(f"{text}; give its CA with --ca-file")
        return UnavailableError(f"no answer from {self.host}: {self._shown(error)}")

    def _stranger(self, why: str) -> Exception:
        text = f"{self.host} does not answer as Kubeflow Pipelines does ({why}); is it the API's address?"
        return UnavailableError(text) if self._reached else UserError(text)

    def _read_token(self, configuration: Any) -> None:
        """Before each request: the kubelet writes a new token into the file long before the old one expires."""
        try:
            self._token = Path(self._token_file).read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            raise AccessError(f"the token file {self._token_file} is not readable: {type(error).__name__}") from None
        if not self._token.isprintable() or not self._token:  # a header takes nothing else
            raise AccessError(f"the token file {self._token_file} holds no token, which is a line of letters and signs")
        configuration.api_key["authorization"] = self._token

    def _shown(self, said: object) -> str:
        text = " ".join(str(said).split())
        if self._token:
            text = text.replace(self._token, "[token]")  # servers have been seen to quote it
        return text[:600]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds where the server is and how patient to be."""
    server = parser.add_argument_group("server")
    server.add_argument(
        "--host",
        help=f"URL of the API (default: $KF_PIPELINES_ENDPOINT, else, in a pod, {IN_CLUSTER_HOST})",
    )
    server.add_argument(
        "--namespace", metavar="NS", help="namespace of the runs, for multi-user installations (default: the pod's)"
    )
    server.add_argument(
        "--token-file",
        metavar="FILE",
        help="bearer token, read before each request (default: $KF_PIPELINES_SA_TOKEN_PATH, "
        f"else {TOKEN_FILE} where it exists, else none)",
    )
    server.add_argument(
        "--ca-file",
        metavar="FILE",
        default=os.environ.get("KF_PIPELINES_CA_FILE"),
        help="CA certificates that the server's is checked against, PEM (default: $KF_PIPELINES_CA_FILE, else certifi)",
    )
    patience = parser.add_argument_group("patience")
    for name, default, words in (
        ("--timeout", 30.0, "wait so long for an answer"),
        ("--lost-after", 1800.0, "give up (exit 75) after so long without contact"),
        ("--refused-after", 60.0, "give up (exit 2) after so long of 401 or 403, the token read anew for each try"),
    ):
        patience.add_argument(
            name, type=positive, default=default, metavar="SECONDS", help=f"{words} (default: {default:g})"
        )


def _host(given: str | None) -> str:
    host = given or os.environ.get("KF_PIPELINES_ENDPOINT") or ""
    if not host and os.environ.get("KUBERNETES_SERVICE_HOST"):
        host = IN_CLUSTER_HOST
    if not host:
        raise ConfigError("no server: give --host or set KF_PIPELINES_ENDPOINT, such as http://localhost:8888")
    if "://" not in host:
        host = f"https://{host}"
    if not host.startswith(("http://", "https://")):
        raise ConfigError(f"--host {host}: write an http:// or https:// URL")
    if hide_login(host) != host:
        raise ConfigError(f"--host {hide_login(host)}: leave the login out, nobody asks for it; give a --token-file")
    return host.rstrip("/")


def _token_file(given: str | None) -> str:
    named = given or os.environ.get("KF_PIPELINES_SA_TOKEN_PATH")
    if named and not Path(named).is_file():
        raise ConfigError(f"the token file {named} is not there")
    return named or (TOKEN_FILE if Path(TOKEN_FILE).is_file() else "")


def _check_ca(file: str) -> None:
    """Raises ``ConfigError`` for what holds no CA; else the server's certificate, or the server, would be blamed."""
    import ssl

    if not Path(file).is_file():
        raise ConfigError(f"--ca-file {file}: no such file; it holds the server's CA as PEM")
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:
        said = f"holds no certificates as PEM ({error.reason})" if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"--ca-file {file}: {said}; name the file of the server's CA") from None


def _message(body: object) -> str:
    try:
        parsed = json.loads(body) if isinstance(body, (str, bytes)) else None
    except (ValueError, RecursionError):
        return str(body)[:200]
    return str(parsed.get("message") or parsed.get("error") or "") if isinstance(parsed, dict) else ""


def _certificate(error: BaseException | None) -> bool:
    """Whether a certificate was the fault: waiting would not mend it."""
    import ssl

    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        inner = next((item for item in error.args if isinstance(item, BaseException)), None)
        error = getattr(error, "reason", None) if isinstance(getattr(error, "reason", None), BaseException) else inner
    return False
