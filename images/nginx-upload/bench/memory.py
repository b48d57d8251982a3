"""Memory of the worker: a thousand slow uploads at once, and one at full speed."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import kinds
import servers
from kinds import APPEND_SHA256, FORM_SHA256, WEBDAV, Kind, say
from servers import HTTP_PORT, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 1000
FIRST = 100 << 10  # bytes that each has sent at first
PIECE = 4 << 10  # and then every second
SECONDS = 5
LENGTH = 4 * kinds.MIB  # of the body that they announce: the module reserves it on the disk

FULL_SPEED = kinds.GIB
SAMPLE = 0.002  # seconds between two looks at the worker

BOUNDARY = "bench7754266"


def head(kind: Kind, number: int) -> bytes:
    path = kind.path.replace("@", str(number))
    lines = [f"{'POST' if kind.form else 'PUT'} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"Content-Length: {LENGTH}"]
    if kind.form:
        lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY}", "", f"--{BOUNDARY}"]
        lines += ['Content-Disposition: form-data; name="file"; filename="f.bin"']
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@contextlib.contextmanager
def connections() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", HTTP_PORT))) for _ in range(CLIENTS)]


def bare(kind: Kind, settings: Settings) -> int:
    """Return the worker's private memory with CLIENTS connections that sent the beginning of a head."""
    with kind.start(settings, tls=False).running() as server, connections() as clients:
        for number, client in enumerate(clients):
            client.sendall(head(kind, number)[:20])
        time.sleep(1)
        return servers.private_memory(server.workers()[0])


def slow(kind: Kind, settings: Settings) -> int:
    """Return the worker's private memory with CLIENTS slow uploads."""
    with kinds.SOURCE.open("rb") as f:
        data = f.read(FIRST)
    with (
        kinds.cleared(),
        kind.start(settings, tls=False).running() as server,
        connections() as clients,
    ):
        for number, client in enumerate(clients):
            client.sendall(head(kind, number) + data)
        for _ in range(SECONDS):
            time.sleep(1)
            for client in clients:
                client.sendall(data[:PIECE])
        files = len(kinds.stored())
        if kind is not WEBDAV and files != CLIENTS:  # which has all of it in its buffer until then
            log = (servers.RUN / "server.log").read_text()
            raise RuntimeError(f"{files} of {CLIENTS} uploads of {kind.name} have a file: {log}")
        return servers.private_memory(server.workers()[0])


def full_speed(kind: Kind, settings: Settings) -> int:
    """Return by how much the worker grows during one upload."""
    with kinds.cleared(), kind.start(settings, tls=False).running() as server:
        (worker,) = server.workers()
        idle = peak = servers.memory(worker, "RssAnon")
        ended = threading.Event()

        def look() -> None:
            nonlocal peak
            while not ended.wait(SAMPLE):
                peak = max(peak, servers.memory(worker, "RssAnon"))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            kinds.send(kind, FULL_SPEED, tls=False)
        finally:
            ended.set()
            thread.join()
        return peak - idle


def run(selected: list[Kind], settings: Settings) -> dict[str, Any]:
    """Return for each kind the bytes that one more slow upload takes, and one at full speed."""
    found = {}
    for kind in (WEBDAV, FORM_SHA256, APPEND_SHA256):
        if kind in selected:
            found[kind.name] = {
                "slow": (slow(kind, settings) - bare(kind, settings)) / CLIENTS,
                "full_speed": full_speed(kind, settings),
            }
            say(f"memory {kind.name}: {found[kind.name]}")
    return found
