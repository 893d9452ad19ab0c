"""One of the processes that train together: ``alma.engines.trl.launch`` starts it by torchrun, one per device."""

from __future__ import annotations

import json
import os
import sys
import traceback
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alma.engines.trl.agent import PARENT, die_with
from alma.engines.trl.launch import OUTCOME, ROWS, STOP
from alma.engines.trl.together import take_rank
from alma.nodes import Nodes


def main(spec_file: str) -> int:
    """Trains as ``spec_file`` says; the exit code."""
    die_with(int(os.environ[PARENT]))
    warnings.simplefilter("ignore")  # of libraries, once per process: nobody reads them here
    nodes = Nodes.here()
    take_rank(nodes)
    rank, first = int(os.environ["RANK"]), os.environ["LOCAL_RANK"] == "0"  # the first of this machine
    if first:
        say({"event": "begun"})

    from datasets import Dataset

    from alma.engines.checkpoints import Nowhere
    from alma.engines.protocols import Training
    from alma.engines.trl.attempt import attempt, is_out_of_memory
    from alma.errors import AlmaError
    from alma.sections import Finetune

    class Told(Nowhere):
        """The process that started us has the store, and tells people."""

        def say(self, message: str) -> None:
            if rank == 0:  # all find the same
                say({"event": "said", "message": message})

    spec = json.loads(Path(spec_file).read_text(encoding="utf-8"))
    scratch = Path(spec["scratch"])
    training = Training(
        model=Path(spec["model"]),
        rows=(),
        out=Path(spec["out"]),
        scratch=scratch,
        on_step=lambda step, num_steps, row: say({"event": "step", "step": step, "num_steps": num_steps, "row": row}),
        remote=Told(),
        stopping=lambda: first and (scratch / STOP).exists(),  # its answer is everybody's
    )
    checkpoint = spec["checkpoint"] and Path(spec["checkpoint"])
    try:
        outcome = attempt(
            Finetune.model_validate(spec["section"]),
            training,
            Dataset.from_file(str(scratch / ROWS)),
            checkpoint,
            lambda step: say({"event": "saved", "step": step}),
        )
    except AlmaError as error:
        say({"event": "error", "kind": type(error).__name__, "message": str(error)})
        return error.exit_code
    except Exception as error:
        if not is_out_of_memory(error):
            # On several machines it may be another's end that shows here: not one's own fault.
            kind = "StageError" if nodes.count == 1 else "TransientError"
            say({"event": "error", "kind": kind, "message": f"process {rank}: {traceback.format_exc()}"})
            raise
        say({"event": "out of memory", "message": str(error).partition("\n")[0] or type(error).__name__})
        return 1
    if first:
        (scratch / OUTCOME).write_text(json.dumps(asdict(outcome)), encoding="utf-8")
    return 0


def say(event: dict[str, Any]) -> None:
    """Tells the process that started us, in one write: a line that is ours alone, whatever others print."""
    os.write(1, f"\n{json.dumps(event)}\n".encode())


if __name__ == "__main__":
    code = main(sys.argv[1])
    if code:
        sys.stdout.flush()
        os._exit(code)  # the others wait for us in a collective: no use in taking leave
