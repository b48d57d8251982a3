"""tus through a real nginx and its module: what Django says reaches the client, and the file."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Person
from tests.stack import Reply, Stack, deployed, needs_nginx
from uploads.models import State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}
NAME = {"Upload-Metadata": f"filename {base64.b64encode(b'run.bam').decode()}"}


@pytest.fixture
def stack(sockets: Path, db: None) -> Iterator[Stack]:  # noqa: ARG001 - before the server
    """Return the running kit."""
    with deployed(sockets, UPLOAD_CORS_ORIGINS="https://portal.test") as running:
        yield running


def _bearer(person: Person) -> dict[str, str]:
    return {"Authorization": f"Bearer {person.token}"}


def _begin(stack: Stack, person: Person, length: int, **headers: str) -> Reply:
    sent = {**TUS, **NAME, **_bearer(person), "Upload-Length": str(length), **headers}
    reply = stack.send("POST", "/files/", headers=sent)
    assert reply.status == 201, reply.body
    return reply


def _patch(stack: Stack, person: Person, url: str, offset: int, body: bytes, **more: str) -> Reply:
    sent = {**CHUNK, **_bearer(person), "Upload-Offset": str(offset), **more}
    return stack.send("PATCH", url, body, sent)


def _offset(stack: Stack, person: Person, url: str) -> int:
    reply = stack.send("HEAD", url, headers={**TUS, **_bearer(person)})
    assert reply.status == 200
    return int(reply.headers["Upload-Offset"])


def test_an_upload_in_pieces_is_whole_at_the_end(
    stack: Stack, owner: Person, stored: Callable[[], list[Path]]
) -> None:
    content = secrets.token_bytes(300_000)
    created = _begin(stack, owner, len(content))
    url = created.headers["Location"]
    assert url.startswith("http://upload.test/files/")
    assert created.headers["Upload-Expires"]
    assert _offset(stack, owner, url) == 0
    reply = _patch(stack, owner, url, 0, content[:100_000])
    assert (reply.status, reply.headers["Upload-Offset"]) == (204, "100000")
    assert reply.headers.get_all("Tus-Resumable") == ["1.0.0"]
    assert _offset(stack, owner, url) == 100_000
    reply = _patch(stack, owner, url, 100_000, content[100_000:])
    assert (reply.status, reply.headers["Upload-Offset"]) == (204, "300000")
    upload = Upload.objects.get()
    assert (upload.state, upload.sha256) == (State.COMPLETE, hashlib.sha256(content).hexdigest())
    assert [path.read_bytes() for path in stored()] == [content]
    assert _offset(stack, owner, url) == 300_000
