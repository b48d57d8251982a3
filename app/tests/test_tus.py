"""tus 1.0 at /files/: its headers and statuses, for owner, colleague and stranger."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Person
from uploads.models import State, Upload

TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> str:
    """Return a value of Upload-Metadata."""
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items()
    )


def begin(person: Person, length: int | None = 8, **headers: str) -> str:
    """Create an upload, and return its address."""
    size = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    named = {"Upload-Metadata": metadata(filename="run.bam")}
    answer = person.api.send("POST", "/files/", headers={**TUS, **size, **named, **headers})
    assert answer.status_code == 201, answer.content
    return answer.headers["Location"]


def patch(person: Person, url: str, offset: int, body: bytes, **headers: str) -> object:
    sent = {**CHUNK, "Upload-Offset": str(offset), **headers}
    return person.api.send("PATCH", url, body, sent)


def test_an_upload_goes_in_pieces_from_creation_to_completion(
    owner: Person, stored: Callable[[], list[Path]], incoming: Callable[[], list[Path]]
) -> None:
    url = begin(owner)
    upload = Upload.objects.get()
    assert url == f"https://upload.test/files/{upload.id}"
    assert upload.state == State.RECEIVING
    for offset, piece in ((0, b"sequ"), (4, b"ence")):
        sent = {**CHUNK, "Upload-Offset": str(offset)}
        answer = owner.api.send("PATCH", url, piece, sent)
        assert answer.status_code == 204, answer.content
        assert answer.headers["Upload-Offset"] == str(offset + 4)
        assert answer.headers["Tus-Resumable"] == "1.0.0"
    upload.refresh_from_db()
    assert (upload.state, upload.size, upload.name) == (State.COMPLETE, 8, "run.bam")
    assert upload.sha256 == hashlib.sha256(b"sequence").hexdigest()
    assert [path.read_bytes() for path in stored()] == [b"sequence"]
    assert incoming() == []
