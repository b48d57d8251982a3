"""/segments/ serves clients of the classic upload module, behind a real nginx."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import ApiToken
from tests.conftest import Person
from tests.stack import Reply, Stack, deployed, needs_nginx
from uploads import partials, segments, service, space
from uploads.models import Door, State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

type Listing = Callable[[], list[Path]]

CONTENT = secrets.token_bytes(400_003)
SESSION = "a-session_1"
MIB = 1024**2


@dataclass
class Client:
    """Sends what clients of the classic module send, for one person."""

    kit: Stack
    person: Person
    prefix: str = "X-"

    def send(self, method: str, body: bytes = b"", /, **headers: str | None) -> Reply:
        sent: dict[str, str | None] = {
            "Authorization": f"Bearer {self.person.token}",
            f"{self.prefix}Session-ID": SESSION,
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="run 1.bam"',
        }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        given = {name: value for name, value in sent.items() if value is not None}
        return self.kit.send(method, "/segments/", body, given)

    def segment(self, first: int, body: bytes, total: int, **headers: str | None) -> Reply:
        span = f"bytes {first}-{first + len(body) - 1}/{total}"
        return self.send("POST", body, **{f"{self.prefix}Content_Range": span, **headers})


@pytest.fixture
def client(kit: Stack, owner: Person) -> Client:
    """Return the owner's client."""
    return Client(kit, owner)


def _json(reply: Reply, status: int = 200) -> dict[str, Any]:
    assert reply.status == status, reply.body
    members: dict[str, Any] = json.loads(reply.body)
    return members


def _files(store: Path) -> list[str]:
    found = (store / "incoming").rglob("*")
    return sorted(path.name for path in found if path.is_file())


def _directories(store: Path) -> list[Path]:
    return sorted((store / "incoming" / "segments").glob("*/*"))


@pytest.mark.parametrize("prefix", ["X-", ""])
def test_segments_in_any_order_make_a_whole_file(
    client: Client, stored: Listing, store: Path, prefix: str
) -> None:
    client.prefix = prefix
    total = len(CONTENT)
    last = client.segment(300_000, CONTENT[300_000:], total)
    assert (last.status, last.headers["Range"]) == (201, f"300000-{total - 1}/{total}")
    first = client.segment(0, CONTENT[:100_000], total)
    assert first.body.decode() == f"0-99999/{total},300000-{total - 1}/{total}"
    answer = _json(client.segment(100_000, CONTENT[100_000:300_000], total))
    [upload] = answer["uploads"]
    assert answer["detail"] == "Upload Complete"
    assert (upload["name"], upload["size"]) == ("run 1.bam", total)
    assert upload["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    recorded = Upload.objects.get()
    assert (recorded.state, recorded.protocol) == (State.COMPLETE, Door.SEGMENTS)
    assert recorded.content_type == "application/octet-stream"
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    assert (_files(store), _directories(store)) == ([], [])


def test_segments_may_come_in_parallel_from_the_first_on(client: Client, stored: Listing) -> None:
    total, size = len(CONTENT), 50_001

    def send(first: int) -> int:
        reply = client.segment(first, CONTENT[first : first + size], total)
        # Of two that could be the last, one may hear that the other still writes.
        while reply.status == HTTPStatus.CONFLICT:
            reply = client.segment(first, CONTENT[first : first + size], total)
        return reply.status

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(send, range(0, total, size)))
    assert statuses == [200, *[201] * (len(statuses) - 1)]
    assert Upload.objects.get().sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert [path.read_bytes() for path in stored()] == [CONTENT]


def test_a_session_without_a_range_is_a_whole_file(client: Client, stored: Listing) -> None:
    assert _json(client.send("POST", CONTENT))["uploads"][0]["size"] == len(CONTENT)
    assert [path.read_bytes() for path in stored()] == [CONTENT]


def test_a_session_id_of_two_people_is_two_uploads(
    client: Client, kit: Stack, colleague: Person, stranger: Person, stored: Listing
) -> None:
    total = len(CONTENT)
    client.segment(0, CONTENT[:10], total)
    for person in (colleague, stranger):
        other = Client(kit, person)
        reply = other.segment(10, b"x" * 10, 20)
        assert (reply.status, reply.headers["Range"]) == (201, "10-19/20")
    assert client.segment(10, CONTENT[10:], total).status == 200
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    owners = Upload.objects.receiving().values_list("owner__username", flat=True)
    assert sorted(owners) == ["carl", "sam"]


def test_nobody_sends_no_segment(kit: Stack, store: Path) -> None:
    headers = {
        "Session-ID": SESSION,
        "Content-Range": "bytes 0-4/5",
        "Content-Disposition": "attachment; filename=a",
        "Content-Type": "application/octet-stream",
    }
    assert kit.send("POST", "/segments/", b"12345", headers).status == 401
    assert _files(store) == []
    assert not Upload.objects.exists()


def test_another_total_is_409_and_changes_nothing(client: Client) -> None:
    client.segment(0, CONTENT[:10], 30)
    problem = _json(client.segment(10, CONTENT[10:20], 31), 409)
    assert (problem["length"], problem["provided"]) == (30, 31)
    assert client.segment(10, CONTENT[10:20], 30).headers["Range"] == "0-19/30"
    assert client.segment(20, CONTENT[20:30], 30).status == 200


def test_a_total_over_the_maximum_is_413_with_numbers(
    sockets: Path, owner: Person, store: Path
) -> None:
    with deployed(sockets, UPLOAD_MAX_SIZE="1000") as kit:
        problem = _json(Client(kit, owner).segment(0, b"x" * 10, 1001), 413)
    assert (problem["size"], problem["max_size"]) == (1001, 1000)
    assert _files(store) == []
    assert not Upload.objects.exists()


def test_room_and_quota_are_checked_before_the_first_byte(
    client: Client, owner: Person, store: Path
) -> None:
    problem = _json(client.segment(0, b"x" * 10, 10**17), 507)
    assert problem["size"] == 10**17 > problem["free"]
    owner.user.quota = 1000
    owner.user.save()
    problem = _json(client.segment(0, b"x" * 10, 1001), 507)
    assert (problem["quota"], problem["used"]) == (1000, 0)
    assert client.segment(0, b"x" * 10, 1000).status == 201
    assert _json(client.segment(0, b"x", 1, X_Session_ID="another"), 507)["used"] == 1000
    assert client.segment(10, b"x" * 10, 1000).status == 201
    assert _files(store) == [SESSION, f"{SESSION}.checkpoint", f"{SESSION}.state"]


def test_the_total_is_reserved_and_what_has_come_is_not_reserved_twice(
    client: Client, owner: Person
) -> None:
    client.segment(0, b"x" * MIB, 8 * MIB)
    assert 6.9 * MIB <= space.of(owner.user).reserved <= 7 * MIB


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X_Session_ID": "../other"}, 400),
        ({"X_Session_ID": None}, 400),
        ({"X_Content_Range": "bytes 0-4/4"}, 400),
        ({"X_Content_Range": "bytes 0-5/10"}, 416),
        ({"Content_Disposition": 'attachment; filename=".."'}, 400),
        ({"Content_Disposition": "attachment; filename*=nothing''a"}, 400),
        ({"Content_Disposition": None}, 415),
        ({"Content_Type": "multipart/form-data; boundary=a"}, 415),
    ],
)
def test_what_cannot_be_understood_is_refused_with_a_reason(
    client: Client, store: Path, headers: dict[str, str | None], status: int
) -> None:
    problem = _json(client.segment(0, b"12345", 10, **headers), status)
    assert problem["detail"]
    assert _files(store) == []
    assert not Upload.objects.exists()


def test_the_name_may_be_left_out_or_be_of_any_script(client: Client) -> None:
    client.segment(0, b"12345", 5, Content_Disposition="attachment")
    encoded = "attachment; filename*=UTF-8''gr%C3%BC%C3%9Fe.bam"
    client.segment(0, b"12345", 5, Content_Disposition=encoded)
    names = sorted(Upload.objects.values_list("name", flat=True))
    assert names[0] == "grüße.bam"
    assert names[1].startswith("upload-")


def test_a_session_is_deleted_with_its_file_and_its_state(
    client: Client, kit: Stack, stranger: Person, store: Path
) -> None:
    client.segment(0, CONTENT[:10], 30)
    assert Client(kit, stranger).send("DELETE").status == 404
    assert client.send("DELETE").status == 204
    assert (_files(store), _directories(store)) == ([], [])
    assert client.send("DELETE").status == 404
    # It begins anew.
    assert client.segment(10, CONTENT[10:20], 40).headers["Range"] == "10-19/40"


def test_a_method_that_means_nothing_is_405(client: Client) -> None:
    assert client.send("GET").status == 405
    assert client.send("PUT", b"12345").status == 405


def test_an_expired_session_is_410_once_and_begins_anew(client: Client, store: Path) -> None:
    client.segment(0, CONTENT[:10], 30)
    _expire(store)
    assert client.segment(10, CONTENT[10:20], 30).status == 410
    assert Upload.objects.get().state == State.EXPIRED
    assert (_files(store), _directories(store)) == ([], [])
    assert client.segment(10, CONTENT[10:20], 30).headers["Range"] == "10-19/30"


def test_each_segment_puts_the_expiry_off(client: Client) -> None:
    client.segment(0, CONTENT[:10], 30)
    soon = timezone.now() + timedelta(hours=1)
    Upload.objects.update(expires=soon)
    client.segment(10, CONTENT[10:20], 30)
    expires = Upload.objects.get().expires
    assert expires is not None
    assert expires > soon + timedelta(days=1)


def test_a_finished_session_id_begins_anew(client: Client, stored: Listing) -> None:
    assert client.segment(0, b"12345678", 8).status == 200
    assert client.segment(0, b"1234", 4).status == 200
    assert sorted(path.read_bytes() for path in stored()) == [b"1234", b"12345678"]


def test_the_description_tells_how_many_bytes_are_there(client: Client) -> None:
    client.segment(0, CONTENT[:10], 100)
    client.segment(50, CONTENT[50:75], 100)
    upload = Upload.objects.get()
    assert service.status(upload).offset == 35
    headers = {"Authorization": f"Bearer {client.person.token}"}
    answer = _json(client.kit.send("GET", f"/uploads/{upload.id}", headers=headers))
    assert (answer["offset"], answer["length"]) == (35, 100)
    assert answer["url"] == "http://upload.test/segments/"
    assert client.kit.send("HEAD", f"/files/{upload.id}", headers=headers).status in {400, 404}


def test_a_token_that_ran_out_goes_on_with_its_own_session(client: Client) -> None:
    client.segment(0, CONTENT[:10], 30)
    ApiToken.objects.update(expires=timezone.now() - timedelta(days=1))
    assert client.segment(10, CONTENT[10:20], 30).status == 201
    assert client.segment(0, CONTENT[:10], 30, X_Session_ID="another").status == 401
    Upload.objects.update(token=None)
    assert client.segment(20, CONTENT[20:], len(CONTENT)).status == 404
    ApiToken.objects.update(revoked=timezone.now())
    assert client.segment(20, CONTENT[20:30], 30).status == 401


def test_a_file_that_could_not_be_recorded_is_so_when_a_segment_comes_again(
    client: Client, stored: Listing, owner: Person
) -> None:
    client.segment(0, CONTENT[:10], 20)
    # As if the application had been away when nginx handed the file over: it forgot the ranges.
    path = partials.locate(Upload.objects.get())
    with path.open("r+b") as file:
        file.write(CONTENT[:20])
    path.with_name(f"{path.name}.state").unlink()
    path.with_name(f"{path.name}.checkpoint").unlink()
    assert client.segment(10, CONTENT[10:20], 20).status == 200
    assert [path.read_bytes() for path in stored()] == [CONTENT[:20]]
    assert Upload.objects.get().sha256 == hashlib.sha256(CONTENT[:20]).hexdigest()
    assert space.of(owner.user).reserved == 0


def test_a_file_that_may_have_holes_is_not_taken_for_complete(tmp_path: Path) -> None:
    path = tmp_path / "session"
    segments.mend(path, 5)
    path.write_bytes(b"1234")
    segments.mend(path, 5)
    assert segments.received(path) == 0
    path.write_bytes(b"12345")
    segments.mend(path, 5)
    assert segments.received(path) == 5


def _expire(store: Path) -> None:
    past = timezone.now() - timedelta(days=1)
    Upload.objects.update(expires=past)
    for path in (store / "incoming").rglob("*"):
        os.utime(path, (past.timestamp(), past.timestamp()))
