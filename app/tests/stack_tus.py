"""A tus client of the running kit, and what its tests wait for."""

import base64
import time
from collections.abc import Callable

from tests.stack import Reply, Stack
from uploads import partials
from uploads.models import Upload

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}
NAME = {"Upload-Metadata": f"filename {base64.b64encode(b'run.bam').decode()}"}
PORTAL = "https://portal.test"
SIZE = 300_000


def create(stack: Stack, length: int = SIZE, body: bytes = b"", **headers: str) -> Reply:
    """Create an upload, with a first body or without."""
    sent = {**(CHUNK if body else TUS), **NAME, "Upload-Length": str(length), **headers}
    return stack.send("POST", "/files/", body, sent)


def begin(stack: Stack, length: int = SIZE) -> str:
    """Create an upload, and return its address."""
    reply = create(stack, length)
    assert reply.status == 201, reply.body
    return reply.headers["Location"]


def patch(stack: Stack, url: str, offset: int, body: bytes, **headers: str) -> Reply:
    """Append a body."""
    return stack.send("PATCH", url, body, {**CHUNK, "Upload-Offset": str(offset), **headers})


def offset(stack: Stack, url: str) -> int:
    """Ask how many bytes are there."""
    reply = stack.send("HEAD", url, headers=TUS)
    assert reply.status == 200
    return int(reply.headers["Upload-Offset"])


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline


def wait_for_writer() -> None:
    """Wait until nginx is at the file of the newest upload."""

    def is_there() -> bool:
        upload = Upload.objects.first()
        return upload is not None and partials.is_locked(partials.path_of(upload.id))

    wait_until(is_there)
