"""``python -m cluster stage``: a stage as a Job, followed to its end, then sealed in this process."""

from __future__ import annotations

import os
import socket
import threading
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

from alma.artifact import Ref, find_manifest
from alma.errors import AccessError, AlmaError, ConfigError, Stopped, TransientError
from alma.monitor.display import display
from alma.progress import Emit
from alma.running import pod
from alma.running.lease import renewed
from alma.running.stopping import Stop, stop_signals
from alma.stages import SHARDABLE
from cluster.adopt import adopt, finished
from cluster.api import Api
from cluster.connect import connect
from cluster.follow import Follower
from cluster.job import TRAINS, job_of
from cluster.names import RUN, job_name
from cluster.placement import StagePlacement
from cluster.pod import tracking
from cluster.progress import entries, places
from cluster.shapes import Object
from cluster.work import Work, read_placement


def stage(options: Namespace) -> Ref:
    """Runs what ``alma stage`` would run with these options, in pods of a Job, and leaves what it would leave.

    Raises ``ConfigError`` where the pods have ended well and the artifact is not whole, and as they end otherwise.
    """
    work, placement = Work.read(options), read_placement(options)
    if find_manifest(work.store, work.ref) is None:
        api = Api(options.namespace)
        name = job_name(options.job_name_prefix, work.ref, work.store.uri, placement.num_pods)
        wanted = job_of(name, work, placement)
        with display(force_json=options.log == "json") as show:
            if work.ref.stage == TRAINS and (why := tracking()[1]):
                show(work.label, {"event": "note", "message": why})
            coordinator = Coordinator(api, work, placement, wanted, lambda event: show(work.label, event), options)
            if not coordinator.run():
                # Complete before we came. Its parts may have been removed since: then once more, from the beginning.
                if ref := seal(options, work):
                    return ref
                coordinator.run(anew=True)
    ref = seal(options, work)
    if ref is None:
        raise ConfigError(
            f"the pods have ended well and {work.ref} is not whole in {work.store.uri}: the image {placement.image} "
            "has another version of alma than this one, and names the work otherwise; use images of one version"
        )
    return ref


def seal(options: Namespace, work: Work) -> Ref | None:
    """Seals what the pods have published, or finds it sealed, and leaves what the pipeline was promised.

    ``None`` where parts are missing.
    """
    if work.ref.stage not in SHARDABLE and find_manifest(work.store, work.ref) is None:
        return None
    shard = "seal" if work.ref.stage in SHARDABLE else "all"
    # What the pod that sealed it says of itself in the journal, its rows and their rate, stays.
    told = entries(work.store, places(work.run, work.label, 1))
    run = None if any(entry.state == "sealed" and entry.ref == str(work.ref) for entry in told) else work.run
    try:
        return pod.stage(Namespace(**(vars(options) | {"shard": shard, "gpus": 0, "lease": None, "run": run})))
    except TransientError as error:
        if type(error) is TransientError:  # neither the store's nor a stop: parts are not there
            return None
        raise


class Coordinator:
    """Makes the Job, renews its lease while it runs, and deletes it when it is told to stop."""

    def __init__(
        self, api: Api, work: Work, placement: StagePlacement, wanted: Object, emit: Emit, options: Namespace
    ) -> None:
        self._api, self._work, self._placement, self._emit = api, work, placement, emit
        self._wanted, self._options = wanted, options
        self._name = wanted["metadata"]["name"]
        self._pause = min(options.poll, 2.0)

    def run(self, *, anew: bool = False) -> bool:
        """Follows the Job to its end; false where it had ended well before. ``anew`` makes another in its place.

        Raises ``Stopped``, and what the Job failed of.
        """
        holder = f"{socket.gethostname()}/{os.getpid()}"
        with (
            stop_signals() as stop,
            woken(stop) as wake,
            renewed(self._work.store, self._name, holder, self._options.lease_seconds),
        ):
            self._api.stopping = stop
            if anew and (old := self._api.job(self._name)):
                self._api.delete_job(self._name, old["metadata"]["uid"], foreground=True)
            while True:
                job = adopt(self._api, self._wanted, self._say, stop, self._pause)
                if finished(job):
                    return False
                mine = job["metadata"]["labels"].get(RUN) == self._work.run
                if not mine:
                    self._say(f"follows the Job {self._name} of the run {job['metadata']['labels'].get(RUN)}")
                try:
                    self._follow(job, stop, wake, mine=mine)
                except TransientError as error:
                    if mine or type(error) is not TransientError or self._api.job(self._name):
                        raise
                    self._say(f"{error}, with its run; makes one of its own")
                else:
                    return True

    def _follow(self, job: Object, stop: Stop, wake: threading.Event, *, mine: bool) -> None:
        follower = Follower(self._api, self._work, self._placement, job, self._emit)
        try:
            if self._placement.nodes > 1:
                connect(self._api, job, self._say, stop, self._pause)
            if not follower.follow(wake.wait, self._options.poll, self._options.hopeless_seconds):
                raise Stopped(f"stopped as asked; what the pods of {self._name} published is kept")
        except (ConfigError, AccessError, Stopped):
            if mine:
                self._delete(job)
            raise

    def _delete(self, job: Object) -> None:
        """That it cannot is said: what is raised is why it should."""
        try:
            self._api.delete_job(self._name, job["metadata"]["uid"])
            self._say(f"deleted the Job {self._name}")
        except AlmaError as error:
            self._say(f"the Job {self._name} is left: {error}")

    def _say(self, message: str) -> None:
        self._emit({"event": "note", "message": message})


@contextmanager
def woken(stop: Stop) -> Iterator[threading.Event]:
    """An event that is set when this process is asked to stop."""
    wake = threading.Event()
    stop.then = wake.set
    yield wake
