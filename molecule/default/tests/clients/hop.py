"""An HTTP hop between a client and the service that has the faults of proxies in the field."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from clients.listener import Listener, copy, end

if TYPE_CHECKING:
    from conftest import Site

_PIECE = 65536
_HEAD_END = b"\r\n\r\n"


@dataclass
class Faults:
    """What is wrong with the hop; nothing is by default. The others are about bodies."""

    name: str = "hop"
    """What it calls itself in its own answers."""
    absent: str = ""
    """Requests whose first line has this are answered with 502."""
    largest: int | None = None
    """Bodies of more bytes are answered with a page and 413."""
    cut_after: int | None = None
    """Both connections end when a body has brought so many bytes."""
    stalls: int = 0
    """So many bodies are read for `stall_after` bytes, and then no more."""
    stall_after: int = 1 << 20
    buffers: bool = False
    """The server gets a body when all of it is here."""
    pause: float = 0.0
    """Seconds before each piece of a body is passed on."""
    answers: list[str] = field(default_factory=list)
    """Heads of answers, a status and further lines, that come instead of the server's."""


class Hop(Listener):
    """Takes plain HTTP, one request a connection, and brings it to the site."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site = site
        self._over = threading.Event()
        self.faults = Faults()
        self.requests: list[str] = []
        self.received = 0

    def __exit__(self, *_: object) -> None:
        self._over.set()
        super().__exit__()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            data = b""
            while _HEAD_END not in data:
                piece = client.recv(_PIECE)
                if not piece:
                    return
                data += piece
            head, _, rest = data.partition(_HEAD_END)
            self.requests.append(head.split(b"\r\n", 1)[0].decode())
            found = re.search(rb"(?im)^content-length: (\d+)", head)
            self._pass(client, head, rest, int(found[1]) if found else 0)

    def _pass(self, client: socket.socket, head: bytes, rest: bytes, length: int) -> None:
        faults = self.faults
        refusal = self._refusal(head, length)
        if refusal:
            client.sendall(
                f"HTTP/1.1 {refusal}\r\nServer: {faults.name}\r\n"
                "Connection: close\r\nContent-Length: 0\r\n\r\n".encode()
            )
            client.shutdown(socket.SHUT_WR)
            while client.recv(_PIECE):
                pass
            return
        if length and faults.buffers:
            client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            rest = self._whole(client, rest, length)
            head = re.sub(rb"(?i)\r\nexpect: [^\r]*", b"", head)
        with self._site.connect() as server:
            server.sendall(head + b"\r\nConnection: close" + _HEAD_END)
            if length:
                self._body(client, server, rest, length)
            copy(server, client)

    def _refusal(self, head: bytes, length: int) -> str:
        absent = self.faults.absent.encode()
        if absent and absent in head.split(b"\r\n", 1)[0]:
            return "502 Bad Gateway"
        if not length:
            return ""
        if self.faults.largest is not None and length > self.faults.largest:
            return "413 Request Entity Too Large"
        return self.faults.answers.pop(0) if self.faults.answers else ""

    def _whole(self, client: socket.socket, rest: bytes, length: int) -> bytes:
        pieces = [rest]
        left = length - len(rest)
        while left:
            piece = client.recv(min(left, _PIECE))
            if not piece or self._is_cut(length - left + len(piece)):
                raise ConnectionResetError
            pieces.append(piece)
            left -= len(piece)
        self.received += length
        return b"".join(pieces)

    def _body(
        self, client: socket.socket, server: socket.socket, piece: bytes, length: int
    ) -> None:
        done = 0
        while True:
            server.sendall(piece)
            if not self.faults.buffers:
                self.received += len(piece)
            done += len(piece)
            if done >= length:
                return
            if self._is_cut(done):
                end(server)
                end(client)
                return
            if self.faults.stalls and done >= self.faults.stall_after:
                self.faults.stalls -= 1
                self._over.wait()
                return
            self._over.wait(self.faults.pause)
            piece = _next_piece(client, server)
            if not piece:
                end(server)
                return

    def _is_cut(self, done: int) -> bool:
        return self.faults.cut_after is not None and done >= self.faults.cut_after


def _next_piece(client: socket.socket, server: socket.socket) -> bytes:
    """Return more of the client's body; what the server says meanwhile is passed on.

    One thread does both, because Python's TLS must not be read and written at the same time.
    """
    while True:
        readable, _, _ = select.select([client, server], [], [])
        if server in readable:
            said, is_over = _read_now(server)
            client.sendall(said)
            if is_over:
                return b""
        if client in readable:
            return client.recv(_PIECE)


def _read_now(server: socket.socket) -> tuple[bytes, bool]:
    """Return what is there, and whether nothing will follow."""
    said = b""
    timeout = server.gettimeout()
    server.setblocking(False)
    try:
        while piece := server.recv(_PIECE):
            said += piece
    except (BlockingIOError, ssl.SSLWantReadError):
        return said, False
    finally:
        server.settimeout(timeout)
    return said, True
