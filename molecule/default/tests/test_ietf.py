"""A client of IETF resumable uploads against the deployed service: whole, cut, and refused."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import secrets
import ssl
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from conftest import ROOT

sys.path.append(str(ROOT / "app/tests"))

from rufh import IANA, Reply, Rufh, digest

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Mapping

    from conftest import Site

CONTENT = secrets.token_bytes(1_000_003)


@dataclass
class TlsReply:
    """An answer."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass
class Tls:
    """The way to the deployed service."""

    site: Site

    def send(
        self, method: str, path: str, body: bytes | Iterable[bytes], headers: Mapping[str, str]
    ) -> TlsReply:
        """Send a request and return the answer."""
        context = ssl.create_default_context(cafile=self.site.ca_file)
        client = http.client.HTTPSConnection(
            self.site.host, self.site.port, timeout=60, context=context
        )
        client.request(method, urlsplit(path).path, body, dict(headers))
        response = client.getresponse()
        content = response.read()
        client.close()
        return TlsReply(response.status, response.headers, content)

    def begin(
        self, method: str, path: str, length: int, headers: Mapping[str, str]
    ) -> socket.socket:
        """Send the head of a request, and return the connection for its body."""
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = self.site.head(
            *lines, f"Content-Length: {length}", token="", path=urlsplit(path).path, method=method
        )
        connection = self.site.connect()
        connection.sendall(head)
        return connection


@pytest.fixture(params=["6", "8"])
def client(request: pytest.FixtureRequest, site: Site) -> Rufh:
    """A client of each interop version."""
    return Rufh(Tls(site), site.token, request.param)


@pytest.fixture
def begun(client: Rufh) -> str:
    """The address of an upload whose first 1000 bytes are there."""
    created = client.create(Upload_Length=str(len(CONTENT)))
    assert created.status == 201, created
    url = created.headers["Location"]
    assert client.append(url, 0, CONTENT[:1000], complete="?0").headers["Upload-Complete"] == "?0"
    return url


def assert_is_whole(host: Any, reply: Reply, content: bytes) -> None:
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (201, ["?1"]), reply
    [upload] = json.loads(reply.body)["uploads"]
    expected = hashlib.sha256(content).hexdigest()
    assert upload["sha256"] == expected
    stored = f"/srv/upload/files/{upload['id'][:2]}/{upload['id']}"
    assert host.check_output(f"sha256sum {stored}").split()[0] == expected


def test_a_file_arrives_whole(host: Any, client: Rufh) -> None:
    reply = client.create(
        CONTENT, complete="?1", Repr_Digest=digest(CONTENT), Want_Repr_Digest="sha-256=1"
    )
    assert_is_whole(host, reply, CONTENT)
    assert reply.headers["Repr-Digest"] == digest(CONTENT)


def test_a_file_arrives_whole_through_fifty_interruptions(host: Any, client: Rufh) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # for whoever has to repeat it
    chance = random.Random(seed)  # noqa: S311 - no secret
    content = chance.randbytes(4_000_003)
    assert_is_whole(host, client.upload(content, cuts=50, chance=chance), content)


def test_a_wrong_offset_is_409_and_the_right_one_goes_on(
    host: Any, client: Rufh, begun: str
) -> None:
    reply = client.append(begun, 999, CONTENT[999:], complete="?1")
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (409, ["?0"])
    assert reply.headers["Upload-Offset"] == "1000"
    assert json.loads(reply.body)["type"] == f"{IANA}mismatching-upload-offset"
    assert_is_whole(host, client.append(begun, 1000, CONTENT[1000:], complete="?1"), CONTENT)


def test_a_wrong_checksum_is_460_and_nothing_is_appended(
    host: Any, client: Rufh, begun: str
) -> None:
    rest = CONTENT[1000:]
    reply = client.append(begun, 1000, rest, complete="?1", Content_Digest=digest(b"other"))
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (460, ["?0"])
    assert client.offset(begun) == 1000
    reply = client.append(begun, 1000, rest, complete="?1", Content_Digest=digest(rest))
    assert_is_whole(host, reply, CONTENT)


def test_a_file_over_the_limit_is_413(client: Rufh) -> None:
    reply = client.create(Upload_Length=str(13 * 1024**3))
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (413, ["?0"])


def test_an_expired_upload_is_410(client: Rufh, begun: str, abandon: Callable[[str], None]) -> None:
    abandon(begun)
    assert client.append(begun, 1000, CONTENT[1000:], complete="?1").status == 410


def test_a_deleted_upload_is_410(client: Rufh, begun: str) -> None:
    assert client.cancel(begun).status == 204
    assert client.append(begun, 1000, CONTENT[1000:], complete="?1").status == 410


def test_the_upload_of_another_user_is_404(host: Any, client: Rufh, begun: str) -> None:
    manage = "docker exec upload-app python manage.py"
    host.check_output(f"{manage} ensure_user sam")
    token = host.check_output(f"{manage} create_token --user sam --name {secrets.token_hex(4)}")
    other = Rufh(client.stack, token, client.version)
    replies = (
        other.state(begun), other.cancel(begun), other.append(begun, 1000, b"x", complete="?1"),
    )  # fmt: skip
    assert [reply.status for reply in replies] == [404] * 3
    assert not any("Upload-Offset" in reply.headers for reply in replies)
    assert client.offset(begun) == 1000
    client.cancel(begun)
