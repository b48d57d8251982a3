"""Memory of the worker: a thousand slow uploads at once, and one at full speed, over HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import kinds
import servers
from kinds import APPEND_SHA256, FORM_SHA256, WEBDAV, Kind, say
from servers import HTTP_PORT, Settings
from transports import BOUNDARY, part_head, upload, write_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLIENTS = 1000
FIRST = 100 << 10  # bytes that each has sent at first
PIECE = 4 << 10  # and then every second
SECONDS = 5
LENGTH = 4 * kinds.MIB  # of the body that they announce: the module reserves it on the disk

FULL_SPEED = kinds.GIB
SAMPLE = 0.002  # seconds between two looks at the worker

# HTTP/2 (RFC 9113)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0, 1, 4
END_HEADERS = 4
FRAME = 16384  # bytes of the largest that every server takes


def head(kind: Kind, number: int) -> bytes:
    path = kind.path.replace("@", str(number))
    lines = [f"{'POST' if kind.form else 'PUT'} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"Content-Length: {LENGTH}"]
    if kind.form:
        lines += [f"Content-Type: multipart/form-data; boundary={BOUNDARY}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (part_head() if kind.form else b"")


# One upload to a connection, with prior knowledge (RFC 9113, section 3.3): no window is exceeded by so little.


def frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    """Return an HTTP/2 frame (RFC 9113, section 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def field(name: str, value: str) -> bytes:
    """Return a header field that is neither indexed nor compressed (RFC 7541, section 6.2.2)."""
    return b"\0" + b"".join(bytes([len(text)]) + text.encode() for text in (name, value))


def http2_head(kind: Kind, number: int) -> bytes:
    fields = [(":method", "POST" if kind.form else "PUT"), (":scheme", "http"), (":authority", "localhost")]
    fields += [(":path", kind.path.replace("@", str(number))), ("content-length", str(LENGTH))]
    if kind.form:
        fields += [("content-type", f"multipart/form-data; boundary={BOUNDARY}")]
    headers = frame(HEADERS, END_HEADERS, b"".join(field(*pair) for pair in fields))
    return PREFACE + frame(SETTINGS, 0, b"", stream=0) + headers + (http2_data(part_head()) if kind.form else b"")


def http2_data(data: bytes) -> bytes:
    return b"".join(frame(DATA, 0, data[i : i + FRAME]) for i in range(0, len(data), FRAME))


@contextlib.contextmanager
def connections() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(("127.0.0.1", HTTP_PORT))) for _ in range(CLIENTS)]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How a slow client speaks, and how one at full speed does."""

    head: Callable[[Kind, int], bytes]
    beginning: int  # bytes of the head that a connection has sent which uploads nothing yet
    data: Callable[[bytes], bytes]
    full_speed: Callable[[Kind], None]


def bare(kind: Kind, protocol: Protocol, settings: Settings) -> int:
    """Return the worker's private memory with CLIENTS connections that sent the beginning of a head."""
    with kind.start(settings, tls=False).running() as server, connections() as clients:
        for number, client in enumerate(clients):
            client.sendall(protocol.head(kind, number)[: protocol.beginning])
        time.sleep(1)
        return servers.private_memory(server.workers()[0])


def slow(kind: Kind, protocol: Protocol, settings: Settings) -> int:
    """Return the worker's private memory with CLIENTS slow uploads."""
    with kinds.SOURCE.open("rb") as f:
        data = f.read(FIRST)
    with (
        kinds.cleared(),
        kind.start(settings, tls=False).running() as server,
        connections() as clients,
    ):
        for number, client in enumerate(clients):
            client.sendall(protocol.head(kind, number) + protocol.data(data))
        for _ in range(SECONDS):
            time.sleep(1)
            for client in clients:
                client.sendall(protocol.data(data[:PIECE]))
        files = len(kinds.stored())
        if kind is not WEBDAV and files != CLIENTS:  # which has all of it in its buffer until then
            log = (servers.RUN / "server.log").read_text()
            raise RuntimeError(f"{files} of {CLIENTS} uploads of {kind.name} have a file: {log}")
        return servers.private_memory(server.workers()[0])


def full_speed(kind: Kind, protocol: Protocol, settings: Settings) -> int:
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
            protocol.full_speed(kind)
        finally:
            ended.set()
            thread.join()
        return peak - idle


def send_http1(kind: Kind) -> None:
    kinds.send(kind, FULL_SPEED, tls=False)


def send_http2(kind: Kind) -> None:
    """Upload with curl, which encrypts."""
    size = FULL_SPEED // 2
    body = kinds.SOURCE.with_name("body")
    write_body(body, size, form=kind.form)
    try:
        upload(kind, "HTTP/2", "127.0.0.1", body, size)
    finally:
        body.unlink()


PROTOCOLS = {
    "HTTP/1.1": Protocol(head, 20, bytes, send_http1),
    "HTTP/2": Protocol(http2_head, len(PREFACE) + 9 + 20, http2_data, send_http2),
}


def run(selected: list[Kind], settings: Settings) -> dict[str, Any]:
    """Return for each kind and protocol the bytes that one more slow upload takes, and one at full speed."""
    found: dict[str, Any] = {}
    for kind in (WEBDAV, FORM_SHA256, APPEND_SHA256):
        if kind in selected:
            for name, protocol in PROTOCOLS.items():
                one = {
                    "slow": (slow(kind, protocol, settings) - bare(kind, protocol, settings)) / CLIENTS,
                    "full_speed": full_speed(kind, protocol, settings),
                }
                found.setdefault(kind.name, {})[name] = one
                say(f"memory {kind.name} {name}: {one}")
    return found
