"""IETF resumable uploads through a real nginx: interruptions, digests, limits, and takeovers."""

import hashlib
import json
import random
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest
from django.utils import timezone

from tests.conftest import Person
from tests.rufh import IANA, PARTIAL, Reply, Rufh, digest
from tests.stack import Stack, deployed, needs_nginx
from tests.stack_tus import wait_for_writer
from uploads.models import State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

type Listing = Callable[[], list[Path]]

MAX_SIZE = 50_000_000


@pytest.fixture
def stack(sockets: Path, db: None) -> Iterator[Stack]:  # noqa: ARG001 - before the server
    """Return the running kit."""
    with deployed(sockets, UPLOAD_MAX_SIZE=str(MAX_SIZE)) as running:
        yield running


@pytest.fixture
def client(stack: Stack, owner: Person) -> Rufh:
    """Return the owner's client."""
    return Rufh(stack, owner.token)


def _begin(client: Rufh, **headers: str) -> str:
    reply = client.create(**headers)
    assert (reply.status, reply.headers["Upload-Complete"]) == (201, "?0"), reply
    return reply.headers["Location"]


def _is_complete(reply: Reply, content: bytes) -> bool:
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (201, ["?1"]), reply
    upload = Upload.objects.get(pk=reply.headers["Location"].rpartition("/")[2])
    return upload.sha256 == hashlib.sha256(content).hexdigest()


def _taken_at(connection: socket.socket) -> int:
    """Return the offset that a request which was taken over is told, in the draft's words."""
    response = HTTPResponse(connection)
    response.begin()
    assert (response.status, response.headers.get_all("Upload-Complete")) == (409, ["?0"])
    (offset,) = response.headers.get_all("Upload-Offset", [])
    problem = json.loads(response.read())
    assert problem["type"] == f"{IANA}mismatching-upload-offset"
    assert (problem["expected-offset"], problem["provided-offset"]) == (int(offset), 0)
    assert "another request has taken this upload over" in problem["detail"]
    return int(offset)


@pytest.mark.parametrize("version", ["6", "8"])
def test_a_whole_file_in_one_request(
    stack: Stack, owner: Person, stored: Listing, version: str
) -> None:
    content = secrets.token_bytes(300_000)
    client = Rufh(stack, owner.token, version)
    reply = client.create(
        content,
        complete="?1",
        path="/files/run.bam",
        Content_Type="text/plain",
        Repr_Digest=digest(content),
        Want_Repr_Digest="sha-256=1",
    )
    assert _is_complete(reply, content)
    assert reply.headers["Repr-Digest"] == digest(content)
    upload = Upload.objects.get()
    assert (upload.name, upload.content_type) == ("run.bam", "text/plain")
    assert [path.read_bytes() for path in stored()] == [content]


def test_fifty_interruptions_at_random_offsets_leave_the_file_whole(
    client: Rufh, stored: Listing, incoming: Listing
) -> None:
    chance = random.Random(4)  # noqa: S311 - the same cuts each time
    content = chance.randbytes(20_000_000)
    reply = client.upload(content, cuts=50, chance=chance)
    assert _is_complete(reply, content)
    assert [path.read_bytes() for path in stored()] == [content]
    assert incoming() == []


def test_a_file_of_unknown_length_is_ended_by_an_empty_request(client: Rufh) -> None:
    url = _begin(client, Content_Disposition='attachment; filename="run.bam"')
    assert client.append(url, 0, b"sequence", complete="?0").headers["Upload-Complete"] == "?0"
    assert client.offset(url) == 8
    assert _is_complete(client.append(url, 8, complete="?1"), b"sequence")
    assert Upload.objects.get().name == "run.bam"
    state = client.state(url, Want_Repr_Digest="sha-256=1")
    assert (state.status, state.headers["Upload-Complete"]) == (204, "?1")
    assert state.headers["Repr-Digest"] == digest(b"sequence")


def test_a_creation_that_is_put_or_patch_works_as_well(client: Rufh, stack: Stack) -> None:
    for method in ("PUT", "PATCH"):
        headers = {"Authorization": f"Bearer {client.token}", "Upload-Complete": "?1"}
        assert _is_complete(stack.send(method, "/files/a", b"sequence", headers), b"sequence")


def test_a_wrong_offset_is_409_and_nothing_changes(client: Rufh) -> None:
    url = _begin(client)
    client.append(url, 0, b"sequ", complete="?0")
    reply = client.append(url, 3, b"ence", complete="?1")
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (409, ["?0"])
    assert reply.headers["Upload-Offset"] == "4"
    assert f"{IANA}mismatching-upload-offset".encode() in reply.body
    assert _is_complete(client.append(url, 4, b"ence", complete="?1"), b"sequence")


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_a_body_with_another_digest_is_460_and_not_appended(client: Rufh, algorithm: str) -> None:
    url = _begin(client)
    client.append(url, 0, b"sequ", complete="?0")
    wrong = digest(b"other", algorithm)
    reply = client.append(url, 4, b"ence", complete="?1", Content_Digest=wrong)
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (460, ["?0"])
    assert client.offset(url) == 4
    right = digest(b"ence", algorithm)
    reply = client.append(url, 4, b"ence", complete="?1", Content_Digest=right)
    assert _is_complete(reply, b"sequence")


def test_a_file_with_another_digest_is_400_and_gone(
    client: Rufh, stored: Listing, incoming: Listing
) -> None:
    url = _begin(client, Repr_Digest=digest(b"other"))
    reply = client.append(url, 0, b"sequence", complete="?1")
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (400, ["?1"])
    assert b"urn:upload:digest" in reply.body
    assert client.state(url).status == 410
    assert (stored(), incoming()) == ([], [])


def test_too_large_a_file_is_413_before_its_first_byte(client: Rufh, stack: Stack) -> None:
    reply = client.create(Upload_Length=str(MAX_SIZE + 1))
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (413, ["?0"])
    headers = {"Authorization": f"Bearer {client.token}", "Upload-Complete": "?1"}
    with stack.begin("POST", "/files/", MAX_SIZE + 1, headers) as connection:
        assert connection.recv(12) == b"HTTP/1.1 413"
    assert Upload.objects.count() == 0


def test_more_than_was_declared_ends_the_upload(client: Rufh) -> None:
    url = _begin(client, Upload_Length="8")
    assert client.append(url, 0, b"sequences", complete="?0").status == 400
    assert client.state(url).status == 410


def _send_chunks(client: Rufh, url: str, bodies: Iterable[bytes]) -> Reply:
    sent = {**PARTIAL, "Upload-Offset": "0", "Upload-Complete": "?0"}
    return client.stack.send(
        "PATCH", url, bodies, {**sent, "Authorization": f"Bearer {client.token}"}
    )


def test_more_than_was_declared_ends_the_upload_when_nobody_knew_it_before(
    client: Rufh, incoming: Listing
) -> None:
    url = _begin(client, Upload_Length="8")
    reply = _send_chunks(client, url, (b"sequences", b"and more"))
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (400, ["?0"])
    assert f"{IANA}inconsistent-upload-length".encode() in reply.body
    assert client.state(url).status == 410
    assert incoming() == []


def test_a_body_of_unknown_length_that_reaches_the_limit_leaves_the_upload_open(
    client: Rufh,
) -> None:
    url = _begin(client)
    piece = bytes(1_000_000)
    reply = _send_chunks(client, url, (piece for _ in range(MAX_SIZE // len(piece) + 1)))
    assert (reply.status, reply.headers.get_all("Upload-Complete")) == (413, ["?0"])
    assert client.offset(url) <= MAX_SIZE


def test_a_cancelled_and_an_expired_upload_are_gone(client: Rufh, incoming: Listing) -> None:
    url = _begin(client)
    assert client.cancel(url).status == 204
    assert incoming() == []
    assert client.append(url, 0, b"x", complete="?1").status == 410
    url = _begin(client)
    Upload.objects.filter(state=State.RECEIVING).update(expires=timezone.now())
    assert client.append(url, 0, b"x", complete="?1").status == 410
    assert client.state(url).status == 410


def test_anothers_upload_is_not_there(
    client: Rufh, stack: Stack, stranger: Person, colleague: Person
) -> None:
    url = _begin(client)
    client.append(url, 0, b"sequ", complete="?0")
    for person in (stranger, colleague):
        other = Rufh(stack, person.token)
        for reply in (
            other.state(url),
            other.cancel(url),
            other.append(url, 4, b"x", complete="?1"),
        ):
            assert reply.status == 404
            assert "Upload-Offset" not in reply.headers
    assert Rufh(stack, "").state(url).status == 401
    assert client.offset(url) == 4


def test_who_asks_for_the_offset_ends_the_older_request(client: Rufh) -> None:
    content = secrets.token_bytes(1_000_000)
    url = _begin(client)
    with client.begin(url, 0, len(content), complete="?1") as older:
        older.sendall(content[:1000])
        wait_for_writer()
        offset = client.offset(url)
        assert _taken_at(older) == offset
    reply = client.append(url, offset, content[offset:], complete="?1")
    assert _is_complete(reply, content)


def test_the_newer_of_two_requests_has_the_upload(client: Rufh) -> None:
    content = secrets.token_bytes(1_000_000)
    url = _begin(client)
    with client.begin(url, 0, len(content), complete="?1") as older:
        older.sendall(content[:1000])
        wait_for_writer()
        reply = client.append(url, 0, content, complete="?1")
        offset = _taken_at(older)
    # What the older request had brought counts, and the newer one is told.
    if offset:
        assert (reply.status, reply.headers["Upload-Offset"]) == (409, str(offset))
        assert f"{IANA}mismatching-upload-offset".encode() in reply.body
        reply = client.append(url, offset, content[offset:], complete="?1")
    assert _is_complete(reply, content)


def test_a_cancellation_ends_what_is_being_received(client: Rufh, incoming: Listing) -> None:
    url = _begin(client)
    with client.begin(url, 0, 1_000_000, complete="?1") as older:
        older.sendall(b"sequ")
        wait_for_writer()
        assert client.cancel(url).status == 204
        assert older.recv(12) == b"HTTP/1.1 409"
    assert client.state(url).status == 410
    assert incoming() == []
