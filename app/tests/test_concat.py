"""tus's concatenation, up to the answer: what may be joined, and what is said of it meanwhile."""

import hashlib
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.conftest import Person
from tests.parts import final, partial
from tests.tus import VERSION, Tus, metadata
from uploads import ending, partials, space, storage
from uploads.models import State, Upload

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

type Listing = Callable[[], list[Path]]

MIB = 1024**2


def _part(person: Person, body: bytes) -> str:
    answer = person.api.send("POST", "/files/", body, partial(len(body)))
    assert answer.status_code == 201, answer.content
    return answer.headers["Location"]


def _join(person: Person, urls: list[str], **headers: str) -> "Answer":
    return person.api.send("POST", "/files/", headers=final(urls, **headers))


def _of(url: str) -> Upload:
    return Upload.objects.get(pk=url.rpartition("/")[2])


# Parts.


def test_a_part_is_no_file_and_has_its_own_digest(
    owner: Person, stored: Listing, incoming: Listing
) -> None:
    url = _part(owner, b"sequence")
    part = _of(url)
    assert (part.state, part.sha256) == (State.PART, hashlib.sha256(b"sequence").hexdigest())
    assert stored() == []
    assert [path.name for path in incoming()] == [str(part.id), f"{part.id}.checkpoint"]
    assert "run.bam" not in owner.browser.get("/uploads/").content.decode()
    description = owner.api.get(part.get_absolute_url()).json()
    assert (description["state"], description["sha256"]) == ("part", part.sha256)
    answer = owner.api.get(part.get_download_url())
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:upload:part")


def test_a_part_goes_in_pieces_and_says_what_it_is(owner: Person) -> None:
    tus = Tus(owner.api)
    url = tus.begin(8, Upload_Concat="partial")
    assert tus.patch(url, 0, b"sequ").status_code == 204
    for body, state in ((b"ence", State.RECEIVING), (b"", State.PART)):
        assert _of(url).state == state
        answer = tus.head(url)
        assert answer.headers["Upload-Concat"] == "partial"
        assert answer.headers["Upload-Length"] == "8"
        assert answer.headers["Upload-Expires"]
        if body:
            assert tus.patch(url, 4, body).status_code == 204
    assert tus.head(url).headers["Upload-Offset"] == "8"
    assert tus.patch(url, 8, b"s").status_code == 403
    assert tus.delete(url).status_code == 204
    assert tus.head(url).status_code == 410


def test_a_part_that_nobody_joins_expires(owner: Person, incoming: Listing) -> None:
    url = _part(owner, b"sequence")
    past = timezone.now() - timedelta(days=1)
    Upload.objects.update(expires=past)
    for path in incoming():
        os.utime(path, (past.timestamp(), past.timestamp()))
    assert _join(owner, [url]).status_code == 410
    assert ending.expire(_of(url))
    assert (_of(url).state, incoming()) == (State.EXPIRED, [])


# The file of parts.


def test_a_file_of_parts_is_announced_at_once(owner: Person, stored: Listing) -> None:
    urls = [_part(owner, body) for body in (b"AAA", b"", b"CC")]
    answer = _join(owner, urls, Upload_Metadata=metadata(filename="whole.bam", sample="S1"))
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["X-Upload-Relay"] == "1"
    assert answer.headers["Upload-Token"].startswith("upl_")
    upload = _of(answer.headers["Location"])
    assert (upload.state, upload.length, upload.name) == (State.VERIFYING, 5, "whole.bam")
    assert upload.fields == {"sample": ["S1"]}
    assert [part.id for part in upload.parts.order_by("position")] == [_of(u).id for u in urls]
    assert stored() == []
    assert Upload.objects.get(pk=upload.pk).owner == owner.user


def test_metadata_is_of_the_file_and_not_of_its_parts(owner: Person) -> None:
    sent = partial(3) | {"Upload-Metadata": metadata(filename="part.bam", sample="S1")}
    url = owner.api.send("POST", "/files/", b"AAA", sent).headers["Location"]
    found = _of(_join(owner, [url], Upload_Metadata="").headers["Location"])
    assert (found.fields, found.metadata) == ({}, "")
    assert found.name != "part.bam"


def test_until_it_is_joined_it_has_a_length_and_no_offset(owner: Person) -> None:
    tus = Tus(owner.api)
    urls = [_part(owner, b"AAA"), _part(owner, b"BB")]
    paths = [url.removeprefix("https://upload.test") for url in urls]
    url = _join(owner, [urls[0], paths[1]]).headers["Location"]
    answer = tus.head(url)
    assert answer.status_code == 200
    assert "Upload-Offset" not in answer.headers
    assert answer.headers["Upload-Length"] == "5"
    assert answer.headers["Upload-Concat"] == f"final;{urls[0]} {paths[1]}"
    assert "Upload-Expires" not in answer.headers
    assert tus.patch(url, 5, b"x").status_code == 403
    assert tus.patch(url, 0, b"", Content_Type="text/plain").status_code == 403
    description = owner.api.get(_of(url).get_absolute_url()).json()
    assert (description["state"], description["length"]) == ("verifying", 5)
    assert owner.api.get(_of(url).get_download_url()).status_code == 409
    table = owner.browser.get("/uploads/").content.decode()
    assert "run.bam" in table
    assert "Verifying" in table


def test_an_upload_that_is_being_joined_is_deleted_with_its_parts(
    owner: Person, incoming: Listing
) -> None:
    tus = Tus(owner.api)
    urls = [_part(owner, b"AAA"), _part(owner, b"BB")]
    url = _join(owner, urls).headers["Location"]
    assert tus.delete(url).status_code == 204
    assert incoming() == []
    assert [tus.head(address).status_code for address in (url, *urls)] == [410, 410, 410]


def test_a_used_part_says_where_it_went(owner: Person) -> None:
    tus = Tus(owner.api)
    urls = [_part(owner, b"AAA"), _part(owner, b"BB")]
    location = _join(owner, urls).headers["Location"].removeprefix("https://upload.test")
    for answer in (
        _join(owner, urls[::-1]),
        _join(owner, urls[:1]),
        _join(owner, [*urls, _part(owner, b"C")]),
        tus.delete(urls[1]),
        tus.patch(urls[1], 2, b"x"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (410, "urn:upload:joined")
        assert location in answer.json()["detail"]
    assert tus.head(urls[0]).status_code == 410
    assert Upload.objects.verifying().count() == 1


@pytest.mark.parametrize("state", [State.VERIFYING, State.COMPLETE])
def test_who_lost_the_answer_gets_the_same_file_again(owner: Person, state: State) -> None:
    urls = [_part(owner, b"AAA"), _part(owner, b"BB")]
    first = _join(owner, urls)
    upload = _of(first.headers["Location"])
    Upload.objects.filter(pk=upload.pk).update(state=state, sha256="0" * 64)
    again = _join(owner, urls)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["X-Upload-Relay"] == "1"
    assert Upload.objects.filter(concat__startswith="final").count() == 1


def test_a_list_whose_file_was_deleted_makes_none_again(owner: Person) -> None:
    urls = [_part(owner, b"AAA"), _part(owner, b"BB")]
    assert Tus(owner.api).delete(_join(owner, urls).headers["Location"]).status_code == 204
    assert _join(owner, urls).status_code == 410


def test_the_same_list_of_somebody_else_is_404(owner: Person, stranger: Person) -> None:
    urls = [_part(owner, b"AAA"), _part(owner, b"BB")]
    assert _join(owner, urls).status_code == 201
    assert _join(stranger, urls).status_code == 404


# What cannot be joined.


def test_parts_of_others_are_not_there(owner: Person, stranger: Person, colleague: Person) -> None:
    mine, theirs = _part(owner, b"AAA"), _part(stranger, b"BB")
    unknown = mine[:-12] + "0" * 12
    for person, urls in ((owner, [mine, theirs]), (owner, [mine, unknown]), (colleague, [mine])):
        answer = _join(person, urls)
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:upload:not-found")
        assert answer.json()["part"] == len(urls)
    assert set(Upload.objects.values_list("state", flat=True)) == {State.PART}


def test_an_unfinished_part_is_409_and_nothing_is_used(owner: Person) -> None:
    tus = Tus(owner.api)
    whole, half = _part(owner, b"AAA"), tus.begin(8, Upload_Concat="partial")
    tus.patch(half, 0, b"sequ")
    answer = _join(owner, [whole, half])
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:upload:part-unfinished")
    assert answer.json()["part"] == 2
    tus.patch(half, 4, b"ence")
    assert _join(owner, [whole, half]).status_code == 201


@pytest.mark.parametrize("body", [b"sequ", b"sequence"])
def test_what_was_not_sent_as_a_part_is_not_joined(owner: Person, body: bytes) -> None:
    url = Tus(owner.api).begin(8)
    Tus(owner.api).patch(url, 0, body)
    answer = _join(owner, [_part(owner, b"AAA"), url])
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:upload:not-a-part")


def test_an_ended_part_is_410(owner: Person) -> None:
    url = _part(owner, b"AAA")
    Tus(owner.api).delete(url)
    assert _join(owner, [url]).status_code == 410


def test_a_part_whose_file_is_not_whole_is_409(owner: Person, incoming: Listing) -> None:
    url = _part(owner, b"AAA")
    os.truncate(incoming()[0], 2)
    answer = _join(owner, [url])
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:upload:part-lost")
    assert Tus(owner.api).delete(url).status_code == 204


@pytest.mark.parametrize(
    "text",
    [
        "",
        "part",
        "PARTIAL",
        "final",
        "final;",
        "final; ",
        "final;{url} {url}",
        "final;{path} {url}",
        "final;/uploads/1",
        "final;ftp://upload.test{path}",
        "final;files/1",
        "final;{url},{url}x y",
    ],
)
def test_a_malformed_list_is_400(owner: Person, text: str) -> None:
    url = _part(owner, b"AAA")
    value = text.format(url=url, path=url.removeprefix("https://upload.test"))
    answer = _join(owner, [], Upload_Concat=value)
    assert (answer.status_code, Upload.objects.count()) == (400, 1)


@pytest.mark.parametrize("name", ["Upload_Length", "Upload_Defer_Length"])
def test_a_file_of_parts_declares_no_length(owner: Person, name: str) -> None:
    assert _join(owner, [_part(owner, b"A")], **{name: "1"}).status_code == 400


def test_a_file_of_parts_has_no_body(owner: Person) -> None:
    url = _part(owner, b"A")
    sent = final([url], Content_Type="application/offset+octet-stream")
    assert owner.api.send("POST", "/files/", b"x", sent).status_code == 400


def test_nobody_joins_without_a_token_or_the_version(owner: Person) -> None:
    headers = final([_part(owner, b"A")])
    del headers["Tus-Resumable"]
    assert owner.api.send("POST", "/files/", headers=headers).status_code == 412
    stranger = {**headers, **VERSION, "Authorization": ""}
    assert owner.api.send("POST", "/files/", headers=stranger).status_code == 401


# Room.


def test_a_file_over_the_limit_is_413_though_its_parts_are_not(
    owner: Person, settings: Settings
) -> None:
    settings.UPLOAD_MAX_SIZE = 4
    answer = _join(owner, [_part(owner, b"AAA"), _part(owner, b"BB")])
    assert (answer.status_code, answer.json()["size"]) == (413, 5)


def test_joining_needs_room_for_the_largest_part_but_the_first(
    owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [_part(owner, b"x" * size) for size in (3 * MIB, MIB, 2 * MIB)]
    monkeypatch.setattr(storage, "room", lambda: 2 * MIB - 1)
    answer = _join(owner, urls)
    assert (answer.status_code, answer.json()["size"]) == (507, 2 * MIB)
    monkeypatch.setattr(storage, "room", lambda: 2 * MIB)
    assert _join(owner, urls).status_code == 201
    assert space.of(owner.user).reserved == 2 * MIB
    partials.remove(partials.path_of(_of(urls[2]).id))
    assert space.of(owner.user).reserved == MIB


def test_a_quota_counts_every_byte_once(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_QUOTA = 8
    urls = [_part(owner, b"AAAAA"), _part(owner, b"BBB")]
    assert space.of(owner.user).used == 8
    answer = _join(owner, urls)
    assert answer.status_code == 201
    assert space.of(owner.user).used == 8
    Tus(owner.api).delete(answer.headers["Location"])
    assert space.of(owner.user).used == 0
