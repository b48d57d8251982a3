"""A client of IETF resumable uploads: single requests, and whole uploads that are cut midway.

Molecule's tests drive it as well, without Django: nothing of the application is imported here.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    import socket
    from collections.abc import Iterable, Mapping
    from http.client import HTTPMessage

PARTIAL = {"Content-Type": "application/partial-upload"}
IANA = "https://iana.org/assignments/http-problem-types#"


def digest(content: bytes, algorithm: str = "sha-256") -> str:
    """Return the value of a digest field."""
    value = hashlib.new(algorithm.replace("-", ""), content).digest()
    return f"{algorithm}=:{base64.b64encode(value).decode()}:"


class Reply(Protocol):
    """An answer of the server."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> HTTPMessage: ...
    @property
    def body(self) -> bytes: ...


class Server(Protocol):
    """A way to a server, with TLS or without."""

    def send(
        self, method: str, path: str, body: bytes | Iterable[bytes], headers: Mapping[str, str], /
    ) -> Reply: ...
    def begin(
        self, method: str, path: str, length: int, headers: Mapping[str, str], /
    ) -> socket.socket: ...


@dataclass
class Rufh:
    """Sends what such a client sends, through a real nginx."""

    stack: Server
    token: str
    version: str = "8"

    def create(
        self, body: bytes = b"", /, *, path: str = "/files/", complete: str = "?0", **headers: str
    ) -> Reply:
        """Create an upload. `Upload_Length` is a header."""
        return self._send("POST", path, body, {"Upload-Complete": complete}, headers)

    def append(
        self, url: str, offset: int, body: bytes = b"", /, *, complete: str, **headers: str
    ) -> Reply:
        """Append a body."""
        sent = {**PARTIAL, "Upload-Offset": str(offset), "Upload-Complete": complete}
        return self._send("PATCH", url, body, sent, headers)

    def state(self, url: str, **headers: str) -> Reply:
        """Ask how far an upload is."""
        return self._send("HEAD", url, b"", {}, headers)

    def cancel(self, url: str) -> Reply:
        """End an upload."""
        return self._send("DELETE", url, b"", {}, {})

    def offset(self, url: str) -> int:
        """Return how much is there."""
        reply = self.state(url)
        assert (reply.status, reply.headers["Upload-Complete"]) == (204, "?0"), reply
        return int(reply.headers["Upload-Offset"])

    def begin(self, url: str, offset: int, length: int, *, complete: str) -> socket.socket:
        """Send the head of an append, and return the connection for its body."""
        sent = {**PARTIAL, "Upload-Offset": str(offset), "Upload-Complete": complete}
        return self.stack.begin("PATCH", url, length, self._headers(sent, {}))

    def upload(self, content: bytes, cuts: int, chance: random.Random) -> Reply:
        """Upload a file in requests of which so many are cut; return the last answer."""
        created = self.create(Upload_Length=str(len(content)))
        assert created.status == 201, created
        url = created.headers["Location"]
        sent = 0
        for _ in range(cuts):
            offset = self.offset(url)
            # What a cut request brought is kept, and never less than what was there before.
            assert sent <= offset <= len(content)
            sent = offset
            rest = content[offset:]
            with self.begin(url, offset, len(rest), complete="?1") as connection:
                connection.sendall(rest[: chance.randrange(len(rest) // 8)])
        while True:
            offset = self.offset(url)
            reply = self.append(url, offset, content[offset:], complete="?1")
            # What a request brought that was cut before may count only now.
            if reply.status != HTTPStatus.CONFLICT:
                return reply

    def _send(
        self,
        method: str,
        path: str,
        body: bytes,
        sent: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Reply:
        return self.stack.send(method, path, body, self._headers(sent, headers))

    def _headers(self, sent: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return {
            "Authorization": f"Bearer {self.token}",
            "Upload-Draft-Interop-Version": self.version,
            **sent,
            **named,
        }
