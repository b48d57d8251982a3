"""A real HTTP server of threads and sockets: it parses the form, and misbehaves on demand."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, cast
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    import io
    import ssl

    from typing_extensions import Self

UPLOAD_URL = "https://files.example.org/uploads/0f6c/download"


@dataclass(frozen=True)
class Part:
    """The file part of a form as the server received it."""

    field: str
    name: str
    type: str
    size: int
    sha256: str


class Exchange:
    """One request of a client, in the hands of a test's script."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.stream = cast("io.BufferedReader", sock.makefile("rb", buffering=1 << 18))
        try:
            self.line = self.stream.readline().decode().strip()
        except ConnectionResetError:  # as the end of a client that only looked at our TLS
            self.line = ""
        self.headers = self._headers() if self.line else {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def _headers(self) -> dict[str, str]:
        headers = {}
        for line in iter(self.stream.readline, b"\r\n"):
            assert line.endswith(b"\r\n"), f"the request ends inside of its headers: {line!r}"
            name, _, value = line.decode("latin-1").partition(":")
            assert name.lower() not in headers, f"{name} comes twice"
            headers[name.lower()] = value.strip()
        return headers

    @property
    def length(self) -> int:
        return int(self.headers["content-length"])

    def go_ahead(self) -> None:
        self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def answer(
        self, status: str, document: Any = None, *, body: bytes | None = None, **headers: str
    ) -> None:
        content = json.dumps(document).encode() if body is None else body
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content)

    def problem(self, status: str, detail: str, **members: int) -> None:
        code, _, title = status.partition(" ")
        document = {"type": "about:blank", "title": title, "status": int(code), "detail": detail}
        self.answer(status, {**document, **members})

    def stored(self, part: Part, **changes: Any) -> None:
        upload = {
            "id": "0f6c",
            "name": part.name,
            "size": part.size,
            "sha256": part.sha256,
            "url": UPLOAD_URL,
            **changes,
        }
        self.answer("200 OK", {"detail": "Upload Complete", "uploads": [upload]})

    def take(self, count: int) -> None:
        """Read a piece of the body."""
        buffer = memoryview(bytearray(min(count, 1 << 20)))
        while count:
            size = self.stream.readinto(buffer[: min(count, len(buffer))])
            assert size, "the body ended early"
            count -= size

    def bytes_until_the_end(self) -> int:
        """Read until the client closes, and count."""
        count = 0
        try:
            while piece := self.stream.read1(1 << 18):
                count += len(piece)
        except ConnectionError:
            pass
        return count

    def form(self) -> Part:
        """Parse the form as it streams: exactly one part, and exactly Content-Length bytes."""
        kind = re.fullmatch(r"multipart/form-data; boundary=(\w+)", self.headers["content-type"])
        assert kind
        boundary = b"--" + kind[1].encode()
        left = self.length
        lines = []
        for line in iter(self.stream.readline, b"\r\n"):
            lines.append(line.removesuffix(b"\r\n"))
            left -= len(line)
        left -= 2
        assert lines.pop(0) == boundary
        headers = dict(line.decode().split(": ", 1) for line in lines)
        disposition = re.fullmatch(
            r'form-data; name="([^"]*)"; filename="([^"]*)"', headers["Content-Disposition"]
        )
        assert disposition
        digest, size, tail, end = hashlib.sha256(), 0, b"", b"\r\n" + boundary
        while left:
            piece = self.stream.read(min(left, 1 << 20))
            assert piece, "the body is shorter than its Content-Length"
            left -= len(piece)
            tail += piece
            assert end not in tail[: -len(end) - 4], "the form has more than one part"
            safe = tail[: -len(end) - 4]
            digest.update(safe)
            size += len(safe)
            tail = tail[len(safe) :]
        assert tail == end + b"--\r\n"
        name = unquote_to_bytes(disposition[2].encode()).decode()
        return Part(disposition[1], name, headers["Content-Type"], size, digest.hexdigest())


Script = Callable[[Exchange], None]


class Server:
    """Listens on loopback, runs the script for each connection, and remembers what went wrong."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.tls = tls
        self.requests: list[Exchange] = []
        self.errors: list[BaseException] = []
        self.closing = False
        self.hsts = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        while True:
            sock, _ = self.listener.accept()
            if self.closing:
                sock.close()
                return
            self._talk(sock)

    def _talk(self, sock: socket.socket) -> None:
        try:
            sock.settimeout(30)
            if self.tls:
                try:
                    sock = self.tls.wrap_socket(sock, server_side=True)
                except OSError:
                    return  # a client that does not trust us; what it says is the test's business
            with Exchange(sock) as exchange:
                if not exchange.line:
                    return
                if exchange.line.startswith("OPTIONS "):
                    # It has forms alone; what speaks tus is the real thing, in Molecule.
                    age = {"Strict-Transport-Security": "max-age=60"} if self.hsts else {}
                    exchange.answer("404 Not Found", {"detail": "Nothing here."}, **age)
                    return
                self.requests.append(exchange)
                self.script(exchange)
        except BaseException as error:  # noqa: BLE001 - close() raises it in the test's own thread
            self.errors.append(error)
        finally:
            sock.close()

    def close(self) -> None:
        """Stop listening and raise what a script's assertion found."""
        self.closing = True
        with socket.create_connection(("127.0.0.1", self.port)):
            self.thread.join()
        self.listener.close()
        if self.errors:
            raise self.errors[0]
