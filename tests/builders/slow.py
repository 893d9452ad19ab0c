"""Runs the command line with a pause before each published part: ``python slow.py SECONDS -- ARGUMENTS``."""

import sys
import time
from typing import Any

from alma import cli
from alma.artifact.parts import Parts


def main() -> None:
    seconds, _, *arguments = sys.argv[1:]
    publish = Parts.publish

    def slowly(self: Parts, *given: Any) -> None:
        time.sleep(float(seconds))
        publish(self, *given)

    Parts.publish = slowly  # type: ignore[method-assign]
    cli.main(arguments)


if __name__ == "__main__":
    main()
