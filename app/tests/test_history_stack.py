"""The history of uploads by every door of the running kit, and connections that really break."""

import hashlib
import secrets

import pytest

from tests.conftest import Person
from tests.multipart import form
from tests.parts import final, partial
from tests.stack import Stack, needs_nginx
from tests.stack_tus import CHUNK, SIZE, begin, create, offset, patch, wait_until
from uploads import history, joining, partials
from uploads.models import Door, Kind, State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

CONTENT = secrets.token_bytes(SIZE)


def cut(stack: Stack, url: str, first: int, count: int) -> int:
    """Send some of the rest and break the connection; return what is there then."""
    head = {**CHUNK, "Upload-Offset": str(first)}
    path = partials.path_of(Upload.objects.get(pk=url.rsplit("/", 1)[1]).id)
    with stack.begin("PATCH", url, SIZE - first, head) as connection:
        connection.sendall(CONTENT[first : first + count])
        wait_until(lambda: partials.is_locked(path))
    there = offset(stack, url)
    assert there > first
    return there


def only(door: Door) -> Upload:
    """Return the one upload, whose every event came from here by its door."""
    upload = Upload.objects.get()
    for event in upload.events.all():
        assert (event.address, event.protocol) == ("127.0.0.1", door)
        assert event.user == upload.owner
    return upload


def kinds(upload: Upload) -> list[str]:
    """Return what happened, in its order."""
    return list(upload.events.values_list("kind", flat=True))


def test_a_tus_upload_counts_the_connections_that_broke(stack: Stack) -> None:
    url = begin(stack)
    there = 0
    for count in (120_000, 80_000, 50_000):
        there = cut(stack, url, there, count)
    assert patch(stack, url, there, CONTENT[there:-1]).status == 204
    assert patch(stack, url, SIZE - 1, CONTENT[-1:]).status == 204
    upload = only(Door.TUS)
    assert upload.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert kinds(upload) == [Kind.BEGAN, *[Kind.WENT_ON] * 3, Kind.COMPLETED]
    assert history.interruptions(upload) == 3


def test_one_that_is_refused_while_another_writes_counts_once(stack: Stack) -> None:
    url = begin(stack)
    there = cut(stack, url, 0, 120_000)
    with partials.held(partials.path_of(Upload.objects.get().id), None):
        for _ in range(2):
            assert patch(stack, url, there, CONTENT[there:]).status == 423
    assert patch(stack, url, there, CONTENT[there:]).status == 204
    assert kinds(only(Door.TUS)) == [Kind.BEGAN, Kind.WENT_ON, Kind.COMPLETED]


def test_chunks_in_turn_are_no_interruptions(stack: Stack) -> None:
    first = 0
    url = "/chunked/"
    while first < SIZE:
        chunk = CONTENT[first : first + 100_000]
        sent = form(chunk)
        span = f"bytes {first}-{first + len(chunk) - 1}/{SIZE}"
        reply = stack.send("PUT", url, sent.body, {**sent.headers, "Content-Range": span})
        assert reply.status == 200, reply.body
        url = f"/chunked/{Upload.objects.get().id}"
        first += len(chunk)
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    sent = form(md5=md5)
    assert stack.send("POST", url, sent.body, sent.headers).status == 200
    assert kinds(only(Door.CHUNKED)) == [Kind.BEGAN, Kind.COMPLETED]


def test_segments_in_any_order_are_no_interruptions(stack: Stack) -> None:
    for first in (200_000, 0, 100_000):
        headers = {
            "Session-ID": "reads-1",
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="run.bam"',
            "Content-Range": f"bytes {first}-{first + 99_999}/{SIZE}",
        }
        reply = stack.send("POST", "/segments/", CONTENT[first : first + 100_000], headers)
        assert reply.status in {200, 201}, reply.body
    assert kinds(only(Door.SEGMENTS)) == [Kind.BEGAN, Kind.COMPLETED]


def test_a_put_and_a_form_begin_and_end(stack: Stack) -> None:
    assert stack.send("PUT", "/files/run.bam", CONTENT).status == 201
    assert kinds(only(Door.PUT)) == [Kind.BEGAN, Kind.COMPLETED]
    Upload.objects.all().delete()
    sent = form(CONTENT)
    assert stack.send("POST", "/upload", sent.body, sent.headers).status == 200
    assert kinds(only(Door.FORM)) == [Kind.BEGAN, Kind.COMPLETED]


def test_the_interruptions_of_parts_are_those_of_their_file(
    stack: Stack, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "start", lambda: None)
    url = create(stack, SIZE, b"", **{"Upload-Concat": "partial"}).headers["Location"]
    there = cut(stack, url, 0, 120_000)
    assert patch(stack, url, there, CONTENT[there:]).status == 204
    other = stack.send("POST", "/files/", b"end", partial(3)).headers["Location"]
    joined = owner.api.send("POST", "/files/", headers=final([url, other]))
    whole = Upload.objects.get(pk=joined.headers["Location"].rsplit("/", 1)[1])
    part = Upload.objects.get(pk=url.rsplit("/", 1)[1])
    assert part.state == State.JOINED
    assert kinds(part) == [Kind.BEGAN, Kind.COMPLETED]
    assert sorted(kinds(whole)) == [Kind.BEGAN, Kind.WENT_ON]
    assert history.interruptions(whole) == 1
    page = owner.browser.get(whole.get_absolute_url()).content.decode()
    assert "in a part" in page
    assert "of 2 parts" in page
