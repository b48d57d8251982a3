"""IETF resumable uploads at /files/: fields, statuses and problem types, in the draft's order."""

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
from tests.rufh import IANA, PARTIAL, digest
from uploads import partials
from uploads.models import Door, State, Upload

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

type Listing = Callable[[], list[Path]]

MORE = {"Upload-Complete": "?0"}
LAST = {"Upload-Complete": "?1"}
CONTENT = b"sequence"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def _begin(person: Person, body: bytes = b"", **headers: str) -> str:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = person.api.send("POST", "/files/run.bam", body, {**MORE, **sent})
    assert answer.status_code == 201, answer.content
    return answer.headers["Location"]


def _append(
    client: Nginx, url: str, offset: int, body: bytes, complete: str, **headers: str
) -> "Answer":
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    fields = {"Upload-Offset": str(offset), "Upload-Complete": complete}
    return client.send("PATCH", url, body, {**PARTIAL, **fields, **sent})


def _head(client: Nginx, url: str, **headers: str) -> "Answer":
    return client.send(
        "HEAD", url, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_an_upload_goes_in_pieces_from_creation_to_completion(
    owner: Person, stored: Listing, incoming: Listing
) -> None:
    url = _begin(owner, Upload_Length="8")
    upload = Upload.objects.get()
    assert url == f"https://upload.test/files/{upload.id}"
    assert (upload.state, upload.protocol, upload.owner) == (State.RECEIVING, Door.RUFH, owner.user)
    answer = _append(owner.api, url, 0, b"sequ", "?0")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (answer.headers["Upload-Complete"], answer.headers["Upload-Offset"]) == ("?0", "4")
    answer = _append(owner.api, url, 4, b"ence", "?1")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert answer.headers["Location"] == url
    assert answer.json() == {
        "detail": "Upload Complete",
        "uploads": [
            {
                "id": str(upload.id),
                "name": "run.bam",
                "size": 8,
                "sha256": SHA256,
                "url": f"https://upload.test/uploads/{upload.id}/download",
            }
        ],
    }
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    assert incoming() == []


# Creation.


@pytest.mark.parametrize("version", ["6", "8"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_one_request_is_enough_for_a_file(owner: Person, method: str, version: str) -> None:
    headers = {**LAST, "Content-Type": "text/plain", "Upload-Draft-Interop-Version": version}
    answer = owner.api.send(method, "/files/notes.txt", CONTENT, headers)
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    upload = Upload.objects.get()
    assert (upload.state, upload.name, upload.sha256) == (State.COMPLETE, "notes.txt", SHA256)
    assert (upload.content_type, upload.protocol) == ("text/plain", Door.RUFH)


def test_a_creation_tells_where_to_go_on_and_until_when(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_MAX_SIZE = 1000
    answer = owner.api.send("POST", "/files/", b"sequ", MORE)
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?0")
    assert answer.headers["Upload-Offset"] == "4"
    assert answer.headers["Upload-Token"].startswith("upl_")
    limits = answer.headers["Upload-Limit"].split(", ")
    assert limits[:2] == ["max-size=1000", "min-size=0"]
    name, _, seconds = limits[2].partition("=")
    assert name == "max-age"
    assert 7 * 86400 - 60 < int(seconds) <= 7 * 86400


def test_options_have_the_limits(owner: Person, settings: Settings) -> None:
    assert owner.api.send("OPTIONS", "/files/").headers["Upload-Limit"] == (
        "min-size=0, max-age=604800"
    )
    settings.UPLOAD_MAX_SIZE = 1000
    assert owner.api.send("OPTIONS", "/files/").headers["Upload-Limit"] == (
        "max-size=1000, min-size=0, max-age=604800"
    )


@pytest.mark.parametrize(
    ("path", "disposition", "name"),
    [
        ("/files/", 'attachment; filename="run 1.bam"', "run 1.bam"),
        ("/files/", "attachment; filename*=UTF-8''L%C3%A4ufe.bam", "Läufe.bam"),
        ("/files/", 'attachment; filename="../etc/passwd"', "passwd"),
        ("/files/L%C3%A4ufe.bam", 'attachment; filename="other"', "Läufe.bam"),
    ],
)
def test_the_name_comes_from_the_address_or_the_disposition(
    owner: Person, path: str, disposition: str, name: str
) -> None:
    owner.api.send("POST", path, b"", {**MORE, "Content-Disposition": disposition})
    assert Upload.objects.get().name == name


@pytest.mark.parametrize("disposition", ["", "attachment", "filename=", ";;=", "attachment; x"])
def test_without_a_name_a_file_gets_one(owner: Person, disposition: str) -> None:
    owner.api.send("POST", "/files/", b"", {**MORE, "Content-Disposition": disposition})
    assert Upload.objects.get().name.startswith("upload-")


@pytest.mark.parametrize("value", ["", "1", "true", "?2", "?1, ?0", "?1;"])
def test_upload_complete_is_a_boolean(owner: Person, value: str) -> None:
    answer = owner.api.send("POST", "/files/", CONTENT, {"Upload-Complete": value})
    assert (answer.status_code, Upload.objects.count()) == (400, 0)
    assert answer.headers["Upload-Complete"] == "?0"


@pytest.mark.parametrize("value", ["x", "-8", "8.0", "", "8, 8", '"8"', "?1", "9" * 16])
def test_an_optional_field_that_is_malformed_is_ignored(owner: Person, value: str) -> None:
    headers = {"Upload-Length": value, "Repr-Digest": value, "Want-Repr-Digest": value}
    headers |= {"Content-Digest": value, "Upload-Draft-Interop-Version": value}
    answer = owner.api.send("POST", "/files/", b"sequ", {**MORE, **headers})
    upload = Upload.objects.get()
    assert (answer.status_code, upload.length, upload.expected_sha256) == (201, None, "")


def test_parameters_of_a_field_mean_nothing(owner: Person) -> None:
    headers = {"Upload-Complete": "?0;a=1", "Upload-Length": "8;b"}
    assert owner.api.send("POST", "/files/", b"sequ", headers).status_code == 201
    assert Upload.objects.get().length == 8


def test_a_new_upload_does_not_begin_in_the_middle(owner: Person) -> None:
    headers = {**LAST, "Upload-Offset": "4"}
    answer = owner.api.send("PUT", "/files/run.bam", b"ence", headers)
    assert (answer.status_code, Upload.objects.count()) == (400, 0)


def test_a_file_over_the_limit_is_413_and_one_that_does_not_fit_507(
    owner: Person, settings: Settings
) -> None:
    settings.UPLOAD_MAX_SIZE = 1000
    answer = owner.api.send("POST", "/files/", b"", {**MORE, "Upload-Length": "1001"})
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (413, "?0")
    settings.UPLOAD_MAX_SIZE = 0
    answer = owner.api.send("POST", "/files/", b"", {**MORE, "Upload-Length": str(10**15 - 1)})
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (507, "?0")
    assert Upload.objects.count() == 0


# Length.


def test_the_last_request_says_how_long_the_file_is(owner: Person) -> None:
    url = _begin(owner, b"sequ")
    assert Upload.objects.get().length is None
    assert "Upload-Length" not in _head(owner.api, url).headers
    permit = owner.api.permit(
        "PATCH",
        url.removeprefix("https://upload.test"),
        4,
        {**PARTIAL, **LAST, "Upload-Offset": "4"},
    )
    assert permit.headers["X-Upload-Length"] == "8"
    assert _head(owner.api, url).headers["Upload-Length"] == "8"


@pytest.mark.parametrize(
    ("complete", "body", "declared"), [("?1", b"ence", "9"), ("?1", b"enc", None), ("?0", b"", "9")]
)
def test_lengths_that_disagree_are_400(
    owner: Person, complete: str, body: bytes, declared: str | None
) -> None:
    url = _begin(owner, b"sequ", Upload_Length="8")
    more = {} if declared is None else {"Upload-Length": declared}
    answer = _append(owner.api, url, 4, body, complete, **more)
    assert answer.status_code == 400
    assert answer.json()["type"] == f"{IANA}inconsistent-upload-length"
    assert answer.headers["Upload-Complete"] == "?0"
    assert _append(owner.api, url, 4, b"ence", "?1").status_code == 201


def test_a_creation_whose_lengths_disagree_is_400(owner: Person) -> None:
    headers = {**LAST, "Upload-Length": "9"}
    answer = owner.api.send("POST", "/files/", CONTENT, headers)
    assert (answer.status_code, Upload.objects.count()) == (400, 0)
    assert answer.json()["type"] == f"{IANA}inconsistent-upload-length"


def test_more_bytes_than_declared_end_the_upload(owner: Person, incoming: Listing) -> None:
    url = _begin(owner, b"sequ", Upload_Length="8")
    answer = _append(owner.api, url, 4, b"ences", "?0")
    assert answer.status_code == 400
    assert answer.json()["type"] == f"{IANA}inconsistent-upload-length"
    assert _head(owner.api, url).status_code == 410
    assert incoming() == []


def test_all_bytes_are_not_the_end_until_the_client_says_so(owner: Person) -> None:
    url = _begin(owner, b"sequ", Upload_Length="8")
    answer = _append(owner.api, url, 4, b"ence", "?0")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (204, "?0")
    state = _head(owner.api, url)
    assert (state.headers["Upload-Complete"], state.headers["Upload-Offset"]) == ("?0", "8")
    answer = _append(owner.api, url, 8, b"", "?1")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert answer.json()["uploads"][0]["sha256"] == SHA256


def test_an_empty_file_is_a_file(owner: Person, stored: Listing) -> None:
    assert owner.api.send("POST", "/files/", b"", LAST).status_code == 201
    assert [path.stat().st_size for path in stored()] == [0]


def test_an_end_before_the_declared_one_is_400_and_the_bytes_stay(owner: Person) -> None:
    url = _begin(owner, Upload_Length="8")
    sent = {**PARTIAL, **LAST, "Upload-Offset": "0"}
    path = url.removeprefix("https://upload.test")
    # Of a body of unknown length nobody knows before its end that it is too short.
    permit = owner.api.permit("PATCH", path, None, sent)
    place = Path(permit.headers["X-Upload-Path"])
    place.write_bytes(b"sequ")
    form = [("file.path", str(place)), ("file.offset", "0"), ("file.size", "4")]
    form.append(("file.sha256", hashlib.sha256(b"sequ").hexdigest()))
    answer = owner.api.complete(form, permit.headers["X-Upload-Grant"], LAST)
    assert answer.status_code == 400
    assert answer.json()["type"] == f"{IANA}inconsistent-upload-length"
    assert answer.headers["Upload-Complete"] == "?0"
    assert Upload.objects.get().state == State.RECEIVING


# Offset retrieval.


def test_the_state_has_all_fields_and_is_never_cached(owner: Person) -> None:
    url = _begin(owner, b"sequ", Upload_Length="8")
    state = _head(owner.api, url)
    assert state.status_code == 204
    assert (state.headers["Upload-Offset"], state.headers["Upload-Length"]) == ("4", "8")
    assert (state.headers["Upload-Complete"], state.headers["Cache-Control"]) == ("?0", "no-store")
    assert state.headers["Upload-Limit"].startswith("min-size=0, max-age=")
    _append(owner.api, url, 4, b"ence", "?1")
    state = _head(owner.api, url)
    assert state.status_code == 204
    assert (state.headers["Upload-Offset"], state.headers["Upload-Length"]) == ("8", "8")
    assert (state.headers["Upload-Complete"], state.headers["Cache-Control"]) == ("?1", "no-store")
    assert state.headers["Upload-Limit"] == "min-size=0"


def test_what_an_interrupted_request_brought_is_kept(owner: Person) -> None:
    url = _begin(owner, Upload_Length="8")
    headers = {**PARTIAL, **LAST, "Upload-Offset": "0"}
    owner.api.send("PATCH", url, CONTENT, headers, cut=3)
    assert _head(owner.api, url).headers["Upload-Offset"] == "3"
    assert _append(owner.api, url, 3, b"uence", "?1").json()["uploads"][0]["sha256"] == SHA256


# Append.


@pytest.mark.parametrize("offset", [0, 3, 5, 8, 9])
def test_a_wrong_offset_is_409_with_the_right_one(
    owner: Person, incoming: Listing, offset: int
) -> None:
    url = _begin(owner, b"sequ", Upload_Length="8")
    answer = _append(owner.api, url, offset, b"x", "?0")
    assert answer.status_code == 409
    assert (answer.headers["Upload-Complete"], answer.headers["Upload-Offset"]) == ("?0", "4")
    document = answer.json()
    assert document["type"] == f"{IANA}mismatching-upload-offset"
    assert (document["expected-offset"], document["provided-offset"]) == (4, offset)
    assert incoming()[0].read_bytes() == b"sequ"


@pytest.mark.parametrize("complete", ["?0", "?1"])
def test_a_completed_upload_takes_no_more(owner: Person, stored: Listing, complete: str) -> None:
    url = _begin(owner, Upload_Length="8")
    _append(owner.api, url, 0, CONTENT, "?1")
    answer = _append(owner.api, url, 8, b"", complete)
    assert answer.status_code == 400
    assert answer.json()["type"] == f"{IANA}completed-upload"
    assert answer.headers["Upload-Complete"] == complete
    assert [path.read_bytes() for path in stored()] == [CONTENT]


def test_an_append_needs_its_type_and_fields(owner: Person, incoming: Listing) -> None:
    url = _begin(owner, Upload_Length="8")
    good = {**PARTIAL, **MORE, "Upload-Offset": "0"}
    cases = [
        ({"Content-Type": "application/octet-stream"}, 415),
        ({"Upload-Offset": ""}, 400),
        ({"Upload-Offset": "-1"}, 400),
        ({"Upload-Complete": ""}, 400),
    ]
    for change, status in cases:
        answer = owner.api.send("PATCH", url, b"sequ", {**good, **change})
        assert (answer.status_code, answer.headers["Upload-Complete"]) == (status, "?0")
    assert incoming()[0].read_bytes() == b""
    assert owner.api.send("PATCH", url, b"sequ", good).status_code == 204


def test_nginx_ends_the_older_of_two_requests(owner: Person) -> None:
    url = _begin(owner, Upload_Length="8")
    path = url.removeprefix("https://upload.test")
    permit = owner.api.permit("PATCH", path, 4, {**PARTIAL, **MORE, "Upload-Offset": "0"})
    assert permit.headers["X-Upload-Takeover"] == "now"


def test_who_does_not_give_way_in_time_is_423(
    owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _begin(owner, Upload_Length="8")
    monkeypatch.setattr(partials, "TAKEOVER_SECONDS", 0.1)
    with writing(partials.path_of(Upload.objects.get().id)):
        answers = [_head(owner.api, url), _append(owner.api, url, 0, b"sequ", "?0")]
    assert [answer.status_code for answer in answers] == [423, 423]


# Cancellation.


def test_a_cancelled_upload_is_gone(owner: Person, incoming: Listing) -> None:
    url = _begin(owner, b"sequ")
    answer = owner.api.send("DELETE", url)
    assert (answer.status_code, answer.content) == (204, b"")
    assert incoming() == []
    for again in (_head(owner.api, url), _append(owner.api, url, 4, b"x", "?0")):
        assert again.status_code == 410
        assert "Upload-Offset" not in again.headers


def test_an_expired_upload_is_gone(owner: Person) -> None:
    url = _begin(owner, b"sequ")
    Upload.objects.update(expires=timezone.now())
    for answer in (_head(owner.api, url), _append(owner.api, url, 4, b"x", "?1")):
        assert answer.status_code == 410
        assert "Upload-Offset" not in answer.headers


# Digests.


def test_the_digest_of_the_whole_is_verified_at_its_end(owner: Person) -> None:
    url = _begin(owner, b"sequ", Repr_Digest=f"{digest(b'', 'sha-512')}, {digest(CONTENT)}")
    assert Upload.objects.get().expected_sha256 == SHA256
    assert _append(owner.api, url, 4, b"ence", "?1").status_code == 201


@pytest.mark.parametrize("where", ["creation", "append"])
def test_a_file_with_another_digest_is_400_and_deleted(
    owner: Person, stored: Listing, incoming: Listing, where: str
) -> None:
    announced = {"Repr_Digest": digest(b"other")}
    url = _begin(owner, b"sequ", **(announced if where == "creation" else {}))
    answer = _append(owner.api, url, 4, b"ence", "?1", **(announced if where == "append" else {}))
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (400, "?1")
    assert answer.json()["type"] == "urn:upload:digest"
    assert SHA256 in answer.json()["detail"]
    assert (stored(), incoming()) == ([], [])
    assert _head(owner.api, url).status_code == 410


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_the_digest_of_a_body_is_nginxs_to_verify(owner: Person, algorithm: str) -> None:
    url = _begin(owner, Upload_Length="8").removeprefix("https://upload.test")
    headers = {**PARTIAL, **MORE, "Upload-Offset": "0"}
    value = f"md5=:AAAA:, {digest(b'sequ', algorithm)}"
    permit = owner.api.permit("PATCH", url, 4, {**headers, "Content-Digest": value})
    name = algorithm.replace("-", "")
    expected = f"{name} {hashlib.new(name, b'sequ').hexdigest()}"
    assert permit.headers["X-Upload-Checksum"] == expected


@pytest.mark.parametrize("name", ["Content-Digest", "Repr-Digest"])
def test_a_digest_of_a_wrong_size_is_400(owner: Person, name: str) -> None:
    answer = owner.api.send("POST", "/files/", b"sequ", {**MORE, name: "sha-256=:AAAA:"})
    assert (answer.status_code, Upload.objects.count()) == (400, 0)


@pytest.mark.parametrize(
    ("wanted", "is_told"),
    [("sha-256=10", True), ("sha-512=3, sha-256=1", True), ("sha-256=0", False), ("md5=1", False)],
)
def test_who_asks_for_the_digest_gets_it(owner: Person, wanted: str, *, is_told: bool) -> None:
    answer = owner.api.send("POST", "/files/", CONTENT, {**LAST, "Want-Repr-Digest": wanted})
    expected = digest(CONTENT) if is_told else None
    assert answer.headers.get("Repr-Digest") == expected
    state = _head(owner.api, answer.headers["Location"], Want_Repr_Digest=wanted)
    assert state.headers.get("Repr-Digest") == expected
    assert "Repr-Digest" not in _head(owner.api, answer.headers["Location"]).headers


# Whose it is.


def test_only_the_owner_can_see_it(
    owner: Person, colleague: Person, stranger: Person, nobody: Nginx, incoming: Listing
) -> None:
    url = _begin(owner, b"sequ", Upload_Length="8")
    unknown = "/files/2f0e44c8-4a0c-4f8e-9d5a-6f8f8b4e3a11"
    for person in (colleague, stranger):
        for method in ("HEAD", "DELETE", "PATCH"):
            headers = {**PARTIAL, **LAST, "Upload-Offset": "4"} if method == "PATCH" else {}
            body = b"ence" if method == "PATCH" else b""
            answers = [person.api.send(method, place, body, headers) for place in (url, unknown)]
            assert [answer.status_code for answer in answers] == [404, 404]
            assert answers[0].content == answers[1].content
            assert dict(answers[0].headers) == dict(answers[1].headers)
    assert _head(nobody, url).status_code == 401
    assert nobody.send("POST", "/files/", CONTENT, LAST).status_code == 401
    assert incoming()[0].read_bytes() == b"sequ"


def test_the_uploads_own_token_and_an_expired_one_go_on(owner: Person) -> None:
    created = owner.api.send("POST", "/files/", b"sequ", MORE)
    upload = Upload.objects.get()
    assert upload.token is not None
    upload.token.expires = timezone.now() - timedelta(days=1)
    upload.token.save()
    own = Nginx(headers={"Authorization": f"Bearer {created.headers['Upload-Token']}"})
    assert _append(own, created.headers["Location"], 4, b"en", "?0").status_code == 204
    answer = _append(owner.api, created.headers["Location"], 6, b"ce", "?1")
    assert answer.json()["uploads"][0]["sha256"] == SHA256
    assert owner.api.send("POST", "/files/", b"", MORE).status_code == 401


def test_other_methods_are_405(owner: Person) -> None:
    url = _begin(owner)
    assert owner.api.send("PUT", url, CONTENT, LAST).status_code == 405
    assert owner.api.send("POST", url, CONTENT, LAST).status_code == 405
    assert owner.api.send("GET", url, headers=MORE).status_code == 405
    assert owner.api.send("HEAD", "/files/", headers=MORE).status_code == 405
