"""Plain PUT at /files/NAME: a file in one request, and what was cut goes on by its name."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.conftest import Person
from tests.nginx import Nginx, writing
from tests.rufh import digest
from uploads import partials
from uploads.models import Door, State, Upload

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

type Listing = Callable[[], list[Path]]

CONTENT = b"sequence"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PLACE = "/files/run.bam"


def _cut(person: Person, after: int, place: str = PLACE) -> None:
    person.api.send("PUT", place, CONTENT, cut=after)


def _range(client: Nginx, first: int, last: int, total: int = 8) -> "Answer":
    headers = {"Content-Range": f"bytes {first}-{last}/{total}"}
    return client.send("PUT", PLACE, CONTENT[first : last + 1], headers)


def test_a_file_is_there_after_one_request(
    owner: Person, stored: Listing, incoming: Listing
) -> None:
    headers = {"Content-Type": "text/plain", "Want-Repr-Digest": "sha-256=1"}
    answer = owner.api.send("PUT", "/files/L%C3%A4ufe%201.bam", CONTENT, headers)
    upload = Upload.objects.get()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"https://upload.test/files/{upload.id}"
    assert answer.headers["Repr-Digest"] == digest(CONTENT)
    assert answer.json() == {
        "detail": "Upload Complete",
        "uploads": [
            {
                "id": str(upload.id),
                "name": "Läufe 1.bam",
                "size": 8,
                "sha256": SHA256,
                "url": f"https://upload.test/uploads/{upload.id}/download",
            }
        ],
    }
    assert (upload.state, upload.protocol, upload.owner) == (State.COMPLETE, Door.PUT, owner.user)
    assert upload.content_type == "text/plain"
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    assert incoming() == []


def test_each_put_of_a_finished_name_is_a_new_file(owner: Person, stored: Listing) -> None:
    places = {owner.api.send("PUT", PLACE, CONTENT).headers["Location"] for _ in range(2)}
    assert (len(places), len(stored())) == (2, 2)
    assert owner.api.send("HEAD", PLACE).status_code == 404


def test_a_body_of_unknown_length_ends_with_its_request(owner: Person, store: Path) -> None:
    permit = owner.api.permit("PUT", PLACE, None)
    assert "X-Upload-Length" not in permit.headers
    assert "X-Upload-Max-Size" in permit.headers
    place = Path(permit.headers["X-Upload-Path"])
    assert place.parent == store / "incoming"
    place.write_bytes(CONTENT)
    form = [("file.path", str(place)), ("file.offset", "0"), ("file.size", "8")]
    form.append(("file.sha256", SHA256))
    assert owner.api.complete(form, permit.headers["X-Upload-Grant"]).status_code == 201


@pytest.mark.parametrize(
    "place", ["/files/", "/files/a/b.bam", "/files/%2e%2e", "/files/a%0Ab", "/files/" + "x" * 256]
)
def test_a_place_that_is_no_name_is_400(owner: Person, place: str) -> None:
    assert owner.api.send("PUT", place, CONTENT).status_code == 400
    assert Upload.objects.count() == 0


def test_other_methods_are_405(owner: Person) -> None:
    for method in ("GET", "POST", "PATCH", "DELETE"):
        answer = owner.api.send(method, PLACE)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "HEAD, PUT, OPTIONS")
    answer = owner.api.send("PUT", "/files/2f0e44c8-4a0c-4f8e-9d5a-6f8f8b4e3a11", CONTENT)
    assert (answer.status_code, Upload.objects.count()) == (405, 0)


def test_too_large_a_file_is_413_and_one_that_does_not_fit_507(
    owner: Person, settings: Settings
) -> None:
    settings.UPLOAD_MAX_SIZE = 7
    answer = owner.api.send("PUT", PLACE, CONTENT)
    assert (answer.status_code, answer.json()["max_size"]) == (413, 7)
    settings.UPLOAD_MAX_SIZE = 0
    assert owner.api.permit("PUT", PLACE, 10**17).status_code == 507
    assert Upload.objects.count() == 0


# Going on.


def test_a_cut_put_goes_on_where_it_ended(owner: Person, stored: Listing) -> None:
    _cut(owner, 3)
    state = owner.api.send("HEAD", PLACE)
    assert (state.status_code, state.headers["Cache-Control"]) == (204, "no-store")
    assert (state.headers["Upload-Offset"], state.headers["Upload-Length"]) == ("3", "8")
    answer = _range(owner.api, 3, 7)
    assert answer.status_code == 201
    assert answer.json()["uploads"][0]["sha256"] == SHA256
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    assert owner.api.send("HEAD", PLACE).status_code == 404


def test_a_cut_put_waits_as_long_as_any_upload(owner: Person) -> None:
    _cut(owner, 3)
    expires = Upload.objects.get().expires
    assert expires is not None
    assert timedelta(days=7) - (expires - timezone.now()) < timedelta(minutes=1)


def test_a_file_may_come_in_ranges(owner: Person) -> None:
    for first, last in ((0, 2), (3, 5)):
        answer = _range(owner.api, first, last)
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, str(last + 1))
        assert answer.headers["Upload-Length"] == "8"
    assert _range(owner.api, 6, 7).json()["uploads"][0]["sha256"] == SHA256
    assert Upload.objects.count() == 1


@pytest.mark.parametrize("first", [1, 2, 4, 7])
def test_a_wrong_offset_is_409_with_the_right_one(
    owner: Person, incoming: Listing, first: int
) -> None:
    _cut(owner, 3)
    answer = _range(owner.api, first, 7)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "3")
    assert (answer.json()["expected"], answer.json()["provided"]) == (3, first)
    assert incoming()[0].read_bytes() == b"seq"


def test_nothing_to_go_on_with_is_409_from_the_beginning(owner: Person) -> None:
    answer = _range(owner.api, 3, 7)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "0")


@pytest.mark.parametrize(
    "value", ["bytes 3-7", "bytes 3-9/8", "bytes 7-3/8", "3-7/8", "bytes 3-6/8", ""]
)
def test_a_range_that_is_none_or_not_the_bodys_is_400(owner: Person, value: str) -> None:
    _cut(owner, 3)
    answer = owner.api.send("PUT", PLACE, CONTENT[3:], {"Content-Range": value})
    assert answer.status_code == 400
    assert owner.api.send("HEAD", PLACE).headers["Upload-Offset"] == "3"


def test_a_range_of_a_file_with_another_length_is_400(owner: Person) -> None:
    _cut(owner, 3)
    headers = {"Content-Range": "bytes 3-7/9"}
    assert owner.api.send("PUT", PLACE, CONTENT[3:], headers).status_code == 400


def test_a_put_without_a_range_begins_anew(
    owner: Person, stored: Listing, incoming: Listing
) -> None:
    _cut(owner, 3)
    _cut(owner, 5)
    assert [path.read_bytes() for path in incoming() if path.suffix == ""] == [b"seque"]
    assert owner.api.send("HEAD", PLACE).headers["Upload-Offset"] == "5"
    assert owner.api.send("PUT", PLACE, CONTENT).status_code == 201
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    assert incoming() == []
    states = Upload.objects.order_by("created").values_list("state", flat=True)
    assert list(states) == [State.DELETED, State.DELETED, State.COMPLETE]


def test_beginning_anew_leaves_alone_what_is_being_received(
    owner: Person, incoming: Listing
) -> None:
    _cut(owner, 3)
    with writing(partials.path_of(Upload.objects.get().id)):
        assert owner.api.send("PUT", PLACE, CONTENT).status_code == 201
    assert [path.read_bytes() for path in incoming() if path.suffix == ""] == [b"seq"]


def test_another_name_and_another_protocol_are_not_gone_on_with(owner: Person) -> None:
    _cut(owner, 3, "/files/other.bam")
    owner.api.send("POST", PLACE, CONTENT, {"Upload-Complete": "?0"}, cut=3)
    assert owner.api.send("HEAD", PLACE).status_code == 404
    owner.api.send("PUT", PLACE, CONTENT)
    assert Upload.objects.receiving().count() == 2


def test_an_expired_or_deleted_put_is_not_gone_on_with(owner: Person) -> None:
    _cut(owner, 3)
    Upload.objects.update(expires=timezone.now())
    assert owner.api.send("HEAD", PLACE).status_code == 404
    assert _range(owner.api, 3, 7).status_code == 409
    _cut(owner, 3)
    upload = Upload.objects.receiving().first()
    assert upload is not None
    assert owner.api.send("DELETE", f"/files/{upload.id}").status_code == 204
    assert owner.api.send("HEAD", PLACE).status_code == 404


def test_nginx_ends_an_older_request_only_if_it_is_dead(owner: Person) -> None:
    _cut(owner, 3)
    permit = owner.api.permit("PUT", PLACE, 5, {"Content-Range": "bytes 3-7/8"})
    assert permit.headers["X-Upload-Takeover"] == "idle"
    assert permit.headers["X-Upload-Offset"] == "3"


# Digests.


def test_a_file_with_another_digest_is_400_and_deleted(owner: Person, stored: Listing) -> None:
    headers = {"Repr-Digest": digest(b"other")}
    answer = owner.api.send("PUT", PLACE, CONTENT, headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:upload:digest")
    assert stored() == []
    headers = {"Repr-Digest": digest(CONTENT)}
    assert owner.api.send("PUT", PLACE, CONTENT, headers).status_code == 201


# Whose it is.


def test_a_name_is_its_owners_alone(
    owner: Person, colleague: Person, stranger: Person, nobody: Nginx, incoming: Listing
) -> None:
    _cut(owner, 3)
    for person in (colleague, stranger):
        assert person.api.send("HEAD", PLACE).status_code == 404
        assert _range(person.api, 3, 7).headers["Upload-Offset"] == "0"
        assert person.api.send("PUT", PLACE, CONTENT).status_code == 201
    assert nobody.send("HEAD", PLACE).status_code == 401
    assert _range(nobody, 3, 7).status_code == 401
    assert nobody.send("PUT", PLACE, CONTENT).status_code == 401
    assert [path.read_bytes() for path in incoming() if path.suffix == ""] == [b"seq"]
    assert owner.api.send("HEAD", PLACE).headers["Upload-Offset"] == "3"


def test_a_token_that_ran_out_goes_on_with_what_it_began(owner: Person, stranger: Person) -> None:
    _cut(owner, 3)
    upload = Upload.objects.get()
    for token in (upload.token, stranger.user.tokens.get()):
        assert token is not None
        token.expires = timezone.now() - timedelta(days=1)
        token.save()
    assert stranger.api.send("HEAD", PLACE).status_code == 401
    assert owner.api.send("HEAD", PLACE).headers["Upload-Offset"] == "3"
    assert _range(owner.api, 3, 7).status_code == 201
    assert owner.api.send("HEAD", PLACE).status_code == 401


def test_a_page_of_another_site_cannot_put(owner: Person) -> None:
    foreign = Nginx(headers={"Origin": "https://evil.test"}, cookies=owner.browser.cookies)
    for answer in (foreign.send("PUT", PLACE, CONTENT), foreign.send("HEAD", PLACE)):
        assert answer.status_code == 403
    assert owner.browser.send("PUT", PLACE, CONTENT).status_code == 201
