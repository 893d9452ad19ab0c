"""A TCP proxy that makes a near server far: latency, and a bound on what one connection carries.

Bytes go through kernel pipes by splice(2) and are never seen by Python, so that it takes little of the processor it
shares. Not covered: loss, and TCP's own slow start.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

PIECE_BYTES = 2**18


@contextmanager
def slow_link(endpoint: str, latency_ms: float, stream_mbps: float) -> Iterator[str]:
    """A process between us and ``endpoint``; its own address. ``0`` Mb/s is unbounded."""
    address = urlsplit(endpoint)
    command = [sys.executable, __file__, str(address.hostname), str(address.port), str(latency_ms), str(stream_mbps)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def pump(source: socket.socket, target: socket.socket, latency: float, bytes_per_second: float) -> None:
    """Moves bytes one way until the source ends. What begins after a silence is late by ``latency`` seconds."""
    read_end, write_end = os.pipe()
    due = 0.0  # when the connection may carry more
    try:
        while count := os.splice(source.fileno(), write_end, PIECE_BYTES):
            now = time.monotonic()
            if now > due + latency:  # a new answer, not the next piece of one
                time.sleep(latency)
                due = now + latency
            if bytes_per_second:
                due += count / bytes_per_second
                time.sleep(max(0, due - time.monotonic()))
            else:
                due = time.monotonic()
            while count:
                count -= os.splice(read_end, target.fileno(), count)
    except OSError:
        pass
    finally:
        os.close(read_end)
        os.close(write_end)
        for each, how in ((source, socket.SHUT_RD), (target, socket.SHUT_WR)):
            with suppress(OSError):
                each.shutdown(how)


def main(host: str, port: int, latency: float, bytes_per_second: float) -> None:
    """Serves until killed; prints the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            client, _ = server.accept()
            upstream = socket.create_connection((host, port))
            for each in (client, upstream):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for one, other, late in ((client, upstream, 0.0), (upstream, client, latency)):
                threading.Thread(target=pump, args=(one, other, late, bytes_per_second), daemon=True).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1000, float(sys.argv[4]) * 1e6 / 8)
