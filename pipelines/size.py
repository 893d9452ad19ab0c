"""How large a run's workflow will be when it is done, before it is run: what Argo would store, built and compressed.

Argo keeps a run in one object: the workflow's spec, and a node with its inputs and outputs for every driver, retry,
task and layer, gzipped and in base64 once the object passes 1 MiB. From then on KFP's API reports no task any more; at
1 MiB compressed nothing can be stored.

Held against two finished runs on KFP 2.17.0 and Argo 4.0.5. The small run with its settings as parameters (122 pods,
382 nodes; nested by hand from the flat pipeline): pods equal, nodes -1 %, their bytes +5 %, compressed +2 %, spec +1 %.
A skeleton of ten rounds (80 tasks, 538 nodes; rebuilt, with pods' patches 3 % and the tasks' JSON 43 % larger): nodes
+0 %, their bytes +8 %, compressed -6 %, spec +17 %. Assumed are one undisturbed run without cache hits, the parameters'
defaults, keys of 20 digits as output parameters, and metadata as ours. A loop counts as one iteration.
"""

from __future__ import annotations

import base64
import gzip
from dataclasses import dataclass

from pipelines.rules.compiled import Compiled, Spec
from pipelines.rules.limits import compact, go_json
from pipelines.workflow import Workflow

COMPILED_BYTES = 300_000
"""Of a compiled pipeline as JSON [ours]: what is uploaded, shown, and made a workflow of."""

OBJECT_BYTES = 1_200_000
"""Of a workflow's spec and its compressed nodes together [ours]. etcd stores 1.5 MB."""

NODE_BYTES = 450_000
"""Of its nodes, compressed [ours]. Argo stores 1 MiB; the rest is for retries, whose nodes are not counted here: a node
takes about 0.7 kB of it, so that each of ten rounds' 200 pods can be tried four times more."""

LEVEL = 5
"""zlib's at which nodes pack about as well as by Go's default, in both runs."""


@dataclass(frozen=True)
class Size:
    """An estimate of a finished, undisturbed run."""

    compiled_bytes: int
    """Of the compiled pipeline as JSON: exact, and no estimate."""

    spec_bytes: int
    """Of the workflow's spec."""

    node_bytes: int
    """Of all nodes as JSON."""

    compressed_bytes: int
    """The same, gzipped and in base64."""

    tasks: int
    pods: int
    nodes: int

    def describe(self) -> str:
        """One line for a person."""
        return (
            f"workflow of {self.tasks} tasks, {self.pods} pods and {self.nodes} nodes: about "
            f"{self.spec_bytes / 1000:,.0f} kB of spec and {self.compressed_bytes / 1000:,.0f} of "
            f"{NODE_BYTES / 1000:,.0f} kB of nodes when it is done; compiled {self.compiled_bytes / 1000:,.0f} of "
            f"{COMPILED_BYTES / 1000:,.0f} kB"
        )

    def check(self) -> list[str]:
        """What is too large, and what to do about it."""
        found = []
        if self.compiled_bytes > COMPILED_BYTES:
            found.append(
                f"the compiled pipeline has {self.compiled_bytes:,} bytes as JSON, more than {COMPILED_BYTES:,}: "
                "take constants out of the tasks (by the store), or compile fewer rounds"
            )
        if self.spec_bytes + self.compressed_bytes > OBJECT_BYTES:
            found.append(
                f"the finished workflow would be about {self.spec_bytes + self.compressed_bytes:,} bytes, more than "
                f"{OBJECT_BYTES:,} (etcd stores 1.5 MB): compile fewer rounds"
            )
        if self.compressed_bytes > NODE_BYTES:
            found.append(
                f"the finished workflow's nodes would be about {self.compressed_bytes:,} bytes compressed, more than "
                f"{NODE_BYTES:,} (Argo stores 1 MiB): hand a task less by its inputs, or compile fewer rounds"
            )
        return found


def estimate(spec: Spec, platform: Spec | None = None) -> Size:
    """The size of a finished run of a compiled pipeline, with its parameters' defaults."""
    workflow = Workflow(Compiled(spec, platform or {}))
    nodes = workflow.nodes
    raw = go_json(nodes).encode()
    packed = base64.b64encode(gzip.compress(raw, LEVEL, mtime=0))
    compiled = len(compact(spec).encode()) + len(compact(platform or {}).encode())
    return Size(compiled, workflow.spec_bytes, len(raw), len(packed), workflow.num_tasks, workflow.num_pods, len(nodes))
