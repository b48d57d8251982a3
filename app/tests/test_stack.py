"""tus through a real nginx and its module: what Django says reaches the client, and the file."""

import hashlib
import json
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Person
from tests.stack import Reply, Stack, needs_nginx
from tests.stack_tus import CHUNK, PORTAL, SIZE, TUS, begin, create, offset, patch, wait_until
from uploads import partials
from uploads.models import State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

type Listing = Callable[[], list[Path]]


def _only(reply: Reply, name: str) -> str:
    """Return the value of a header that stands there once."""
    [value] = reply.headers.get_all(name) or [""]
    return str(value)


def test_an_upload_in_pieces_is_whole_at_the_end(stack: Stack, stored: Listing) -> None:
    content = secrets.token_bytes(SIZE)
    created = create(stack)
    assert created.status == 201
    url = created.headers["Location"]
    assert url == f"http://upload.test/files/{Upload.objects.get().id}"
    assert created.headers["Upload-Expires"]
    assert created.headers["Upload-Token"].startswith("upl_")
    assert offset(stack, url) == 0
    reply = patch(stack, url, 0, content[:100_000])
    assert (reply.status, _only(reply, "Upload-Offset")) == (204, "100000")
    assert _only(reply, "Tus-Resumable") == "1.0.0"
    assert offset(stack, url) == 100_000
    reply = patch(stack, url, 100_000, content[100_000:])
    assert (reply.status, reply.headers["Upload-Offset"]) == (204, str(SIZE))
    upload = Upload.objects.get()
    assert (upload.state, upload.sha256) == (State.COMPLETE, hashlib.sha256(content).hexdigest())
    assert [path.read_bytes() for path in stored()] == [content]
    assert offset(stack, url) == SIZE
    for reply in (created, *(stack.send("HEAD", url, headers=TUS),)):
        assert not [name for name in reply.headers if name.startswith("X-Upload-")]


def test_a_creation_takes_the_room_at_once(stack: Stack) -> None:
    begin(stack, 1024**2)
    path = partials.path_of(Upload.objects.get().id)
    assert path.stat().st_size == 0
    assert partials.allocated(path) >= 1024**2
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_creation_brings_bytes_and_an_empty_file_is_complete(stack: Stack) -> None:
    reply = create(stack, 8, b"sequ")
    assert (reply.status, reply.headers["Upload-Offset"]) == (201, "4")
    assert create(stack, 0).status == 201
    assert sorted(Upload.objects.values_list("state", flat=True)) == ["complete", "receiving"]


def test_what_a_cut_request_brought_is_kept(stack: Stack, stored: Listing) -> None:
    content = secrets.token_bytes(SIZE)
    url = begin(stack)
    head = {**CHUNK, "Upload-Offset": "0"}
    with stack.begin("PATCH", url, SIZE, head) as connection:
        connection.sendall(content[:200_000])
        path = partials.path_of(Upload.objects.get().id)
        wait_until(lambda: partials.is_locked(path))
    there = offset(stack, url)
    assert 0 < there <= 200_000
    assert patch(stack, url, there, content[there:]).status == 204
    assert [path.read_bytes() for path in stored()] == [content]


def test_a_refusal_of_either_has_what_clients_rely_on(stack: Stack, stranger: Person) -> None:
    url = begin(stack, 8)
    path = partials.path_of(Upload.objects.get().id)
    origin = {"Origin": PORTAL}
    other = {"Authorization": f"Bearer {stranger.token}"}
    replies = [
        patch(stack, url, 4, b"x", **origin),
        patch(stack, url, 0, b"123456789", **origin),
        patch(stack, url, 0, b"x", **origin, **other),
        patch(stack, url, 0, b"x", **{**origin, "Content-Type": "text/plain"}),
        stack.send("HEAD", f"{url}0", headers={**TUS, **origin}),
        stack.send("OPTIONS", "/files/", headers=origin),
    ]
    with partials.held(path, None):
        # nginx alone knows of this one.
        replies.append(patch(stack, url, 0, b"x", **origin))
    assert [reply.status for reply in replies] == [409, 413, 404, 415, 404, 204, 423]
    for reply in replies:
        assert _only(reply, "Tus-Resumable") == "1.0.0"
        assert _only(reply, "Access-Control-Allow-Origin") == PORTAL
        assert "Upload-Offset" in _only(reply, "Access-Control-Expose-Headers")
    for reply in replies[:4] + replies[6:]:
        problem = json.loads(reply.body)
        assert problem["status"] == reply.status
        assert problem["detail"]
        assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert json.loads(replies[6].body)["title"] == "Locked"
    # Other answers have none of it.
    page = stack.send("GET", "/uploads/", headers=origin)
    assert "Tus-Resumable" not in page.headers
    assert "Access-Control-Allow-Origin" not in page.headers


def test_bytes_that_nobody_wants_are_not_asked_for(stack: Stack) -> None:
    url = begin(stack, 8)
    head = {**CHUNK, "Upload-Offset": "4", "Expect": "100-continue"}
    with stack.begin("PATCH", url, 4, head) as connection:
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 409 ")


def test_a_body_of_unknown_length_goes_as_far_as_was_declared(stack: Stack) -> None:
    url = begin(stack, 8)
    chunked = {"Transfer-Encoding": "chunked"}
    with stack.begin("PATCH", url, None, {**CHUNK, **chunked, "Upload-Offset": "0"}) as connection:
        connection.sendall(b"9\r\nsequences\r\n0\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")
    assert offset(stack, url) == 0
    with stack.begin("PATCH", url, None, {**CHUNK, **chunked, "Upload-Offset": "0"}) as connection:
        connection.sendall(b"8\r\nsequence\r\n0\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 204 ")
    assert Upload.objects.get().state == State.COMPLETE


def test_an_upload_is_deleted(stack: Stack, stored: Listing, incoming: Listing) -> None:
    for body in (b"sequ", b"sequence"):
        url = create(stack, 8, body).headers["Location"]
        assert stack.send("DELETE", url, headers=TUS).status == 204
        assert stack.send("HEAD", url, headers=TUS).status == 410
    assert (stored(), incoming()) == ([], [])


def test_a_killed_nginx_loses_nothing_that_arrived(stack: Stack, stored: Listing) -> None:
    content = secrets.token_bytes(SIZE)
    url = begin(stack)
    path = partials.path_of(Upload.objects.get().id)
    with stack.begin("PATCH", url, SIZE, {**CHUNK, "Upload-Offset": "0"}) as connection:
        connection.sendall(content[:270_000])
        wait_until(lambda: path.stat().st_size > 0)
        stack.kill_nginx()
    stack.start_nginx()
    there = offset(stack, url)
    assert there == path.stat().st_size > 0
    assert patch(stack, url, there, content[there:]).status == 204
    assert [path.read_bytes() for path in stored()] == [content]
    assert Upload.objects.get().sha256 == hashlib.sha256(content).hexdigest()


def test_an_upload_whose_end_nobody_recorded_is_completed_by_the_next_head(
    stack: Stack, stored: Listing, incoming: Listing
) -> None:
    content = secrets.token_bytes(SIZE)
    url = begin(stack)
    assert patch(stack, url, 0, content[:200_000]).status == 204
    # As a worker leaves it that is killed after its last write.
    with partials.path_of(Upload.objects.get().id).open("ab") as file:
        file.write(content[200_000:])
    assert offset(stack, url) == SIZE
    upload = Upload.objects.get()
    assert (upload.state, upload.sha256) == (State.COMPLETE, hashlib.sha256(content).hexdigest())
    assert [path.read_bytes() for path in stored()] == [content]
    assert incoming() == []


@pytest.mark.parametrize("path", ["/upload", "/files/", "/chunked/", "/segments/"])
def test_a_body_that_nobody_asked_for_is_not_kept(stack: Stack, path: str) -> None:
    with stack.begin("DELETE", path, 10**12, {"Authorization": ""}) as connection:
        connection.settimeout(10)
        # Whoever kept the body first would wait for it here.
        assert connection.recv(1024).split()[1][:1] == b"4"
