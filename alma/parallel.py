"""Work over a list in a few threads: results in order, and the first failure ends it all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

FILES = 8
"""Files of one artifact that are moved at once: large ones share the connections, small ones spare waiting."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    threads: int,
    then: Callable[[Item, Result], None] | None = None,
) -> list[Result]:
    """``[work(item) for item in items]`` in up to ``threads`` threads.

    ``then(item, result)`` is called in this thread, in the order of the items, as soon as all before it are done.
    Raises what failed first, after what was running has ended; what was not begun never is.
    """
    failures: list[BaseException] = []
    over = threading.Event()

    def guarded(item: Item) -> Result:
        if over.is_set():
            raise CancelledError
        try:
            return work(item)
        except BaseException as error:
            failures.append(error)
            over.set()
            raise

    with ThreadPoolExecutor(max(1, min(threads, len(items)))) as pool:
        futures: list[Future[Result]] = []
        try:  # a signal may come while work is handed out, too
            futures.extend(pool.submit(guarded, item) for item in items)
            for item, future in zip(items, futures, strict=True):
                result = future.result()
                if then:
                    then(item, result)
        except BaseException as error:
            over.set()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, CancelledError) and failures:
                raise failures[0] from None
            raise
    return [future.result() for future in futures]
