"""The cache that the processes of a machine share: fetched once, bounded, never taken from who uses it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alma.errors import AccessError, ConfigError, IntegrityError, NoSpaceError
from alma.parallel import in_order
from alma.store import Store
from alma.store.cache import cached
from alma.store.eviction import VARIABLE, bound
from tests.builders.proxy import Proxy
from tests.builders.small_disk import small_disk

if TYPE_CHECKING:
    pass

SIZE = 10_000
USE = """
import sys
from alma.store.cache import cached
from alma.store import open_store
store = open_store(sys.argv[1])
for name, size, sha256 in zip(*[iter(sys.argv[2:])] * 3):
    print(cached(store, name, int(size), sha256), flush=True)
sys.stdin.read()
"""
ROOT = Path(__file__).parents[2]

Wanted = tuple[str, int, str]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALMA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(store: Store, name: str, size: int = SIZE) -> Wanted:
    data = hashlib.shake_256(name.encode()).digest(size)
    store.write(name, data)
    return name, size, hashlib.sha256(data).hexdigest()


def put_large(store: Store, tmp_path: Path) -> Wanted:
    """Five ranges."""
    data = b"".join(hashlib.shake_256(bytes([i])).digest(2**16) * 256 for i in range(5))
    (tmp_path / "large").write_bytes(data)
    store.upload(tmp_path / "large", "finetune/large/model")
    return "finetune/large/model", len(data), hashlib.sha256(data).hexdigest()


def user(store: Store, *wanted: Wanted) -> subprocess.Popen[str]:
    """A process that fetches files, and then uses them until it is let go."""
    arguments = [str(word) for each in wanted for word in each]
    command = [sys.executable, "-c", USE, store.uri, *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def let_go(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


def use_once(store: Store, *wanted: Wanted) -> None:
    let_go(user(store, *wanted))


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def there(cache: Path) -> set[str]:
    """Names of the cached files, without the folder of their store."""
    paths = [path for path in cache.rglob("*") if path.is_file() and ".index" not in path.parts]
    return {path.relative_to(cache).as_posix().partition("/")[2] for path in paths}


# One fetches, the others wait


def test_two_that_want_one_file(store: Store, proxy: Proxy, cache: Path, tmp_path: Path) -> None:
    wanted = put_large(store, tmp_path)
    proxy.forget()
    proxy.fault = lambda r: "hold" if r.method == "GET" else None
    both = [user(store, wanted), user(store, wanted)]
    while not proxy.asked:
        time.sleep(0.01)
    proxy.released.set()
    assert line(both[0]) == line(both[1])
    for each in both:
        let_go(each)
    assert proxy.data("GET") == [0, 1, 2, 3, 4], "both fetched it"


def test_a_killed_downloader_does_not_block_the_next(store: Store, proxy: Proxy, cache: Path, tmp_path: Path) -> None:
    wanted = put_large(store, tmp_path)
    proxy.forget()
    proxy.fault = lambda r: "hold" if r.number is not None and r.number >= 2 else None
    first = user(store, wanted)
    journals = cache.rglob
    while not any(each.read_bytes().count(b"\n") == 3 for each in journals(".alma-tmp-*.ranges")):
        assert first.poll() is None
        time.sleep(0.01)
    second = user(store, wanted)
    time.sleep(0.2)  # it may wait for the lock by now; if not yet, it comes to a free one
    first.send_signal(signal.SIGKILL)
    first.communicate()
    proxy.fault = lambda request: None
    path = Path(line(second))
    let_go(second)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == wanted[2]
    assert proxy.data("GET") == [0, 1, 2, 3, 4], "what had come was fetched again"
    assert there(cache) == {wanted[0]}


def test_threads_of_one_process_fetch_once(store: Store, proxy: Proxy, cache: Path) -> None:
    wanted = put(store, "curate/a/parts/0")
    proxy.forget()
    paths = in_order(lambda _: cached(store, *wanted), range(8), 8)
    assert len(set(paths)) == 1
    assert [r.method for r in proxy.served] == ["HEAD", "GET"]


# Checked once


def test_a_checked_file_is_not_hashed_again(store: Store, cache: Path) -> None:
    """Shown by what that trusts: a change that keeps size and time is not seen; one that does not is."""
    wanted = put(store, "curate/a/parts/0")
    path = cached(store, *wanted)
    good, state = path.read_bytes(), path.stat()
    path.write_bytes(bytes(SIZE))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert cached(store, *wanted).read_bytes() == bytes(SIZE)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    assert cached(store, *wanted).read_bytes() == good


def test_a_file_without_its_entry_is_hashed_and_kept(store: Store, proxy: Proxy, cache: Path) -> None:
    wanted = put(store, "curate/a/parts/0")
    path = cached(store, *wanted)
    for entry in (cache / ".index").rglob("*.json"):
        entry.write_bytes(b"{half")
    proxy.forget()
    assert cached(store, *wanted) == path
    assert proxy.asked == []


def test_what_is_not_as_its_manifest_says_is_refused(store: Store, proxy: Proxy, cache: Path) -> None:
    name, size, _ = put(store, "curate/a/parts/0")
    with pytest.raises(IntegrityError, match="remove the artifact"):
        cached(store, name, size, "0" * 64)
    with pytest.raises(IntegrityError, match="not in the store"):
        cached(store, "curate/a/parts/1", size, "0" * 64)
    assert there(cache) == set()
    assert not list((cache / ".index").rglob("*.json")), "a file that never came still counts"


def test_a_damaged_beginning_is_fetched_again(store: Store, proxy: Proxy, cache: Path, tmp_path: Path) -> None:
    wanted = put_large(store, tmp_path)
    proxy.fault = lambda r: "hold" if r.number is not None and r.number >= 2 else None
    first = user(store, wanted)
    while not any(each.read_bytes().count(b"\n") == 3 for each in cache.rglob(".alma-tmp-*.ranges")):
        assert first.poll() is None
        time.sleep(0.01)
    first.kill()
    first.communicate()
    (partial,) = (path for path in cache.rglob(".alma-tmp-*") if path.suffix != ".ranges")
    with partial.open("r+b") as file:
        file.write(b"damaged")
    proxy.fault = lambda request: None
    assert hashlib.sha256(cached(store, *wanted).read_bytes()).hexdigest() == wanted[2]


# The bound


def test_what_was_used_longest_ago_goes_first(store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(3 * SIZE))
    a, b, c, d, e = (put(store, f"curate/{x}/parts/0") for x in "abcde")
    for each in (a, b, c, a):  # one after the other: a is used again
        use_once(store, each)
    use_once(store, d)
    assert there(cache) == {a[0], c[0], d[0]}
    use_once(store, e)
    assert there(cache) == {a[0], d[0], e[0]}


def test_files_of_one_artifact_go_together(store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(3 * SIZE))
    use_once(store, put(store, "finetune/a/files/x"), put(store, "finetune/a/files/deep/y"))
    use_once(store, put(store, "curate/b/parts/0"))
    use_once(store, put(store, "curate/c/parts/0"))
    assert there(cache) == {"curate/b/parts/0", "curate/c/parts/0"}
    assert not list(cache.glob("*/finetune/a"))


def test_what_a_live_process_uses_stays(store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(2 * SIZE))
    a, b, c, d = (put(store, f"curate/{x}/parts/0") for x in "abcd")
    holder = user(store, a)
    assert line(holder).endswith(a[0])
    use_once(store, b)
    use_once(store, c)
    assert there(cache) == {a[0], c[0]}, "the oldest is in use, so the second oldest goes"
    other = user(store, c)
    line(other)
    with pytest.raises(NoSpaceError, match="live processes use"):
        cached(store, *d)
    assert there(cache) == {a[0], c[0]}
    holder.kill()
    holder.communicate()
    cached(store, *d)  # who is dead uses nothing
    assert there(cache) == {c[0], d[0]}
    let_go(other)


def test_a_file_that_is_on_its_way_counts(
    store: Store, proxy: Proxy, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = put_large(store, tmp_path), put(store, "curate/a/parts/0")
    monkeypatch.setenv(VARIABLE, str(large[1] + SIZE - 1))
    proxy.forget()
    proxy.fault = lambda r: "hold" if r.number is not None else None
    fetching = user(store, large)
    while not any(r.number is not None for r in proxy.asked):
        time.sleep(0.01)
    with pytest.raises(NoSpaceError, match="needs 1 bytes more"):
        cached(store, *small)
    fetching.kill()
    fetching.communicate()
    cached(store, *small)  # and what broke off goes like all else
    assert there(cache) == {small[0]}


def test_a_file_larger_than_the_bound(store: Store, proxy: Proxy, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "9kB")
    wanted = put(store, "curate/a/parts/0")
    proxy.forget()
    with pytest.raises(NoSpaceError, match="10,000 bytes, and ALMA_CACHE_BYTES is 9,000; raise it"):
        cached(store, *wanted)
    assert proxy.asked == []


FULL = """
import sys
from alma.store.cache import cached
from alma.errors import NoSpaceError
from alma.store import open_store
try:
    cached(open_store(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
except NoSpaceError as error:
    print(error)
"""


def test_a_disk_that_is_too_small(store: Store, proxy: Proxy, cache: Path, tmp_path: Path) -> None:
    on_small_disk = small_disk(cache, "4m")
    wanted = put_large(store, tmp_path)
    proxy.forget()
    command = [*on_small_disk, sys.executable, "-c", FULL, store.uri, *map(str, wanted)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    assert "the disk is full" in done.stdout
    assert proxy.asked == [], "it was known before"


def test_a_cache_that_refuses_us(store: Store, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ALMA_CACHE", "/proc/alma")
    with pytest.raises((AccessError, OSError), match="/proc/alma"):
        cached(store, *put(store, "curate/a/parts/0"))


UNITS = {"": 1, "B": 1, "kB": 1000, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30,
         "TiB": 2**40, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(1, 5000), unit=st.sampled_from(sorted(UNITS)), space=st.sampled_from(["", " "]))
def test_sizes_as_people_write_them(monkeypatch: pytest.MonkeyPatch, number: int, unit: str, space: str) -> None:
    monkeypatch.setenv(VARIABLE, f"{number}{space}{unit}")
    assert bound() == number * UNITS[unit]


@pytest.mark.parametrize("text", ["0", "-1", "much", "10 apples", "GiB", "1e400", "nan", "inf GB"])
def test_what_is_no_size(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(ConfigError, match=r"ALMA_CACHE_BYTES = .* is not a size; write bytes, or 200GiB"):
        bound()


def test_without_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert bound() is None


# Work in threads


@given(items=st.lists(st.integers(), max_size=30), threads=st.integers(1, 6))
def test_results_come_in_order(items: list[int], threads: int) -> None:
    seen: list[tuple[int, int]] = []
    found = in_order(lambda item: item * 2, items, threads, lambda item, result: seen.append((item, result)))
    assert found == [item * 2 for item in items]
    assert seen == [(item, item * 2) for item in items]


def test_the_first_failure_ends_the_rest() -> None:
    begun: list[int] = []
    failed = threading.Event()

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            failed.set()
            raise ValueError("first")
        failed.wait(10)
        time.sleep(0.05)  # so that the failure is known before the next is begun

    with pytest.raises(ValueError, match="first"):
        in_order(work, range(100), 2)
    assert len(begun) < 10
