"""Work in threads that ends early."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from alma.parallel import in_order


class Signalled(list[int]):
    """Items whose handing out is interrupted, as by a signal, once all are handed out but the last."""

    def __init__(self, items: list[int]) -> None:
        super().__init__(items)
        self.came = threading.Event()

    def __iter__(self) -> Iterator[int]:
        yield from self[:-1]
        self.came.set()
        raise SystemExit(75)


def test_what_was_not_begun_never_is_where_a_signal_comes_while_work_is_handed_out() -> None:
    """A stop that waits for all that was handed out waits for the whole upload of a model."""
    items, begun = Signalled([1, 2, 3, 4]), []

    def work(item: int) -> None:
        begun.append(item)
        assert items.came.wait(30)
        time.sleep(0.5)  # in which the other thread has only to hear of it

    with pytest.raises(SystemExit):
        in_order(work, items, threads=1)
    assert begun == [1]
