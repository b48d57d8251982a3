"""What Django asks of the module: checksums, takeover from dead connections, relayed answers."""

import base64
import hashlib
import json
import secrets
import threading
import time
import zlib
from collections.abc import Callable
from http.client import HTTPResponse
from pathlib import Path

import pytest

from tests.stack import Stack, needs_nginx
from tests.stack_tus import CHUNK, SIZE, TUS, begin, create, offset, patch, wait_until
from uploads import partials
from uploads.models import State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

type Listing = Callable[[], list[Path]]


def _digest(algorithm: str, content: bytes) -> str:
    digest = zlib.crc32(content).to_bytes(4, "big")
    if algorithm != "crc32":
        digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5", "crc32"])
def test_a_body_with_another_checksum_leaves_nothing(
    stack: Stack, stored: Listing, algorithm: str
) -> None:
    content = secrets.token_bytes(SIZE)
    url = begin(stack)
    assert patch(stack, url, 0, content[:1000]).status == 204
    wrong = {"Upload-Checksum": _digest(algorithm, content)}
    reply = patch(stack, url, 1000, content[1000:], **wrong)
    assert (reply.status, reply.headers["Tus-Resumable"]) == (460, "1.0.0")
    assert json.loads(reply.body)["title"] == "Checksum Mismatch"
    assert offset(stack, url) == 1000
    right = {"Upload-Checksum": _digest(algorithm, content[1000:])}
    assert patch(stack, url, 1000, content[1000:], **right).status == 204
    assert Upload.objects.get().sha256 == hashlib.sha256(content).hexdigest()
    assert [path.read_bytes() for path in stored()] == [content]


def test_a_creation_may_have_a_checksum_as_well(stack: Stack) -> None:
    wrong = create(stack, 8, b"sequ", **{"Upload-Checksum": _digest("sha1", b"SEQU")})
    assert wrong.status == 460
    right = create(stack, 8, b"sequ", **{"Upload-Checksum": _digest("sha1", b"sequ")})
    assert (right.status, right.headers["Upload-Offset"]) == (201, "4")


def test_a_post_may_stand_for_head_and_delete(stack: Stack, incoming: Listing) -> None:
    url = begin(stack, 8)
    patch(stack, url, 0, b"sequ")
    head = stack.send("POST", url, headers={**TUS, "X-HTTP-Method-Override": "HEAD"})
    assert (head.status, head.headers["Upload-Offset"]) == (200, "4")
    assert head.headers.get_all("Tus-Resumable") == ["1.0.0"]
    gone = stack.send("POST", url, headers={**TUS, "X-HTTP-Method-Override": "DELETE"})
    assert (gone.status, gone.body) == (204, b"")
    assert not [name for name in gone.headers if name.startswith("X-Upload-")]
    assert incoming() == []


def test_a_request_that_went_silent_is_taken_over_within_five_seconds(
    stack: Stack, stored: Listing
) -> None:
    content = secrets.token_bytes(SIZE)
    url = begin(stack)
    path = partials.path_of(Upload.objects.get().id)
    with stack.begin("PATCH", url, SIZE, {**CHUNK, "Upload-Offset": "0"}) as connection:
        connection.sendall(content[:100_000])
        wait_until(lambda: partials.is_locked(path))
        begun = time.monotonic()
        there = offset(stack, url)
        assert time.monotonic() - begun < 5
        assert there == 100_000
        answer = HTTPResponse(connection)
        answer.begin()
        assert answer.status == 409
    assert patch(stack, url, there, content[there:]).status == 204
    assert [path.read_bytes() for path in stored()] == [content]


def test_a_second_patch_takes_over_itself(stack: Stack, stored: Listing) -> None:
    content = secrets.token_bytes(2 * SIZE)
    url = begin(stack, 2 * SIZE)
    path = partials.path_of(Upload.objects.get().id)
    with stack.begin("PATCH", url, 2 * SIZE, {**CHUNK, "Upload-Offset": "0"}) as connection:
        connection.sendall(content[: 256 * 1024])
        # All but 16 KiB at most, for which no thread is woken up: they are written when it ends.
        wait_until(lambda: path.stat().st_size > 240 * 1024)
        begun = time.monotonic()
        assert patch(stack, url, 256 * 1024, content[256 * 1024 :]).status == 204
        assert time.monotonic() - begun < 5
    assert [path.read_bytes() for path in stored()] == [content]


def test_a_request_that_goes_on_keeps_the_upload_and_a_deletion_ends_it(
    stack: Stack, incoming: Listing
) -> None:
    url = begin(stack, 10**9)
    path = partials.path_of(Upload.objects.get().id)
    is_over = threading.Event()
    with stack.begin("PATCH", url, 10**9, {**CHUNK, "Upload-Offset": "0"}) as connection:

        def trickle() -> None:
            try:
                while not is_over.wait(0.1):
                    connection.sendall(b"x" * 1000)
            except OSError:
                is_over.set()

        sender = threading.Thread(target=trickle)
        sender.start()
        wait_until(lambda: partials.is_locked(path))
        assert stack.send("HEAD", url, headers=TUS).status == 423
        assert patch(stack, url, 0, b"x").status == 423
        assert stack.send("DELETE", url, headers=TUS).status == 204
        is_over.set()
        sender.join()
    assert incoming() == []
    assert Upload.objects.get().state == State.DELETED
