"""tus 1.0 at /files/: its headers and statuses, in the order of its specification."""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.conftest import Person
from tests.nginx import Nginx
from tests.tus import TYPE, VERSION, Tus, metadata
from uploads.models import Door, State, Upload

type Listing = Callable[[], list[Path]]

HUGE = 10**17


@pytest.fixture
def tus(owner: Person) -> Tus:
    """Return the owner's client."""
    return Tus(owner.api)


def test_an_upload_goes_in_pieces_from_creation_to_completion(
    tus: Tus, owner: Person, stored: Listing, incoming: Listing
) -> None:
    url = tus.begin(8)
    upload = Upload.objects.get()
    assert url == f"https://upload.test/files/{upload.id}"
    assert (upload.state, upload.protocol, upload.owner) == (State.RECEIVING, Door.TUS, owner.user)
    for offset, piece in ((0, b"sequ"), (4, b"ence")):
        answer = tus.patch(url, offset, piece)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Upload-Offset"] == str(offset + 4)
    upload.refresh_from_db()
    assert (upload.state, upload.size, upload.name) == (State.COMPLETE, 8, "run.bam")
    assert upload.sha256 == hashlib.sha256(b"sequence").hexdigest()
    assert [path.read_bytes() for path in stored()] == [b"sequence"]
    assert incoming() == []


# Options and versions.


def test_options_say_what_works_and_need_no_version(nobody: Nginx, settings: Settings) -> None:
    for path in ("/files/", "/files/anything"):
        answer = nobody.send("OPTIONS", path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        assert answer.headers["Tus-Extension"].split(",") == [
            "creation",
            "creation-with-upload",
            "creation-defer-length",
            "expiration",
            "checksum",
            "termination",
            "concatenation",
        ]
        assert answer.headers["Tus-Checksum-Algorithm"] == "sha1,sha256,md5,crc32"
        assert "Tus-Max-Size" not in answer.headers
    settings.UPLOAD_MAX_SIZE = 1000
    assert nobody.send("OPTIONS", "/files/").headers["Tus-Max-Size"] == "1000"


@pytest.mark.parametrize("version", ["0.2.2", "1.0.1", "", "1"])
def test_another_version_is_412_and_nothing_happens(owner: Person, version: str) -> None:
    url = Tus(owner.api).begin(8)
    for method, path in (("POST", "/files/"), ("PATCH", url), ("HEAD", url), ("DELETE", url)):
        headers = {**TYPE, "Upload-Length": "5", "Upload-Offset": "0", "Tus-Resumable": version}
        answer = owner.api.send(method, path, b"12345" if method == "PATCH" else b"", headers)
        assert answer.status_code == 412
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert Upload.objects.get().state == State.RECEIVING


def test_a_client_that_forgets_the_version_is_told(owner: Person) -> None:
    headers = {"Upload-Length": "5", "Upload-Metadata": metadata(filename="a")}
    assert owner.api.send("POST", "/files/", headers=headers).status_code == 412


def test_a_request_of_no_protocol_is_told_which_there_are(owner: Person) -> None:
    answer = owner.api.send("POST", "/files/")
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:upload:no-protocol")


def test_every_answer_has_the_version(tus: Tus, nobody: Nginx) -> None:
    url = tus.begin(8)
    answers = [
        tus.create(Upload_Length="8"),
        tus.create(),
        tus.patch(url, 0, b"1234"),
        tus.patch(url, 0, b"1234"),
        tus.head(url),
        tus.head("/files/unknown"),
        Tus(nobody).head(url),
        tus.client.send("PUT", url, headers=VERSION),
        tus.client.send("GET", url, headers=VERSION),
        tus.delete(url),
        tus.head(url),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [201, 400, 204, 409, 200, 404, 401, 405, 405, 204, 410]
    assert {answer.headers["Tus-Resumable"] for answer in answers} == {"1.0.0"}


# Creation.


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upload_Length": "8", "Upload_Defer_Length": "1"},
        {"Upload_Defer_Length": "0"},
        {"Upload_Defer_Length": "true"},
        {"Upload_Length": "-1"},
        {"Upload_Length": "8.0"},
        {"Upload_Length": ""},
        {"Upload_Length": "9" * 19},
    ],
)
def test_a_creation_has_a_length_or_defers_it(tus: Tus, headers: dict[str, str]) -> None:
    assert tus.create(**headers).status_code == 400
    assert Upload.objects.count() == 0


def test_an_empty_file_is_complete_at_once(tus: Tus, stored: Listing) -> None:
    answer = tus.create(Upload_Length="0")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "0")
    assert "Upload-Expires" not in answer.headers
    assert Upload.objects.get().state == State.COMPLETE
    assert [path.stat().st_size for path in stored()] == [0]


def test_a_file_over_the_limit_is_413_with_the_numbers(tus: Tus, settings: Settings) -> None:
    settings.UPLOAD_MAX_SIZE = 1000
    answer = tus.create(Upload_Length="1001")
    assert answer.status_code == 413
    assert (answer.json()["size"], answer.json()["max_size"]) == (1001, 1000)
    assert tus.create(Upload_Length="1000").status_code == 201


def test_a_file_that_does_not_fit_is_507_before_its_first_byte(tus: Tus) -> None:
    answer = tus.create(Upload_Length=str(HUGE))
    assert answer.status_code == 507
    assert answer.json()["size"] == HUGE
    assert 0 < answer.json()["free"] < HUGE
    assert answer.json()["reserved"] == 0
    assert Upload.objects.count() == 0


@pytest.mark.parametrize(("body", "state"), [(b"sequ", "receiving"), (b"sequence", "complete")])
def test_a_creation_may_bring_the_first_bytes(tus: Tus, body: bytes, state: str) -> None:
    answer = tus.create(body, Upload_Length="8")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, str(len(body)))
    assert Upload.objects.get().state == state
    assert tus.head(answer.headers["Location"]).headers["Upload-Offset"] == str(len(body))


def test_a_creation_with_a_body_needs_its_type(owner: Person) -> None:
    headers = {**VERSION, "Upload-Length": "4", "Content-Type": "text/plain"}
    answer = owner.api.send("POST", "/files/", b"1234", headers)
    assert (answer.status_code, Upload.objects.count()) == (415, 0)


def test_a_creation_with_more_bytes_than_it_declares_is_413(tus: Tus) -> None:
    answer = tus.create(b"sequence", Upload_Length="4")
    assert (answer.status_code, Upload.objects.count()) == (413, 0)
    assert (answer.json()["size"], answer.json()["length"]) == (8, 4)


def test_a_deferred_length_comes_later_and_then_stays(tus: Tus, settings: Settings) -> None:
    url = tus.begin(None)
    state = tus.head(url)
    assert state.headers["Upload-Defer-Length"] == "1"
    assert "Upload-Length" not in state.headers
    assert tus.patch(url, 0, b"sequ").status_code == 204
    settings.UPLOAD_MAX_SIZE = 100
    assert tus.patch(url, 4, b"", Upload_Length="101").status_code == 413
    assert tus.patch(url, 4, b"", Upload_Length="3").status_code == 400
    assert tus.patch(url, 4, b"e", Upload_Length="8").status_code == 204
    state = tus.head(url)
    assert "Upload-Defer-Length" not in state.headers
    assert state.headers["Upload-Length"] == "8"
    assert tus.patch(url, 5, b"n", Upload_Length="9").status_code == 400
    assert tus.patch(url, 5, b"nce", Upload_Length="8").status_code == 204
    assert Upload.objects.get().state == State.COMPLETE


def test_a_deferred_length_may_be_what_is_there_already(tus: Tus) -> None:
    url = tus.begin(None)
    tus.patch(url, 0, b"sequence")
    assert Upload.objects.get().state == State.RECEIVING
    assert tus.patch(url, 8, b"", Upload_Length="8").status_code == 204
    assert Upload.objects.get().state == State.COMPLETE


# Metadata.


def test_metadata_is_kept_and_sent_back(tus: Tus) -> None:
    sent = metadata(name="other", filename="dir/Läufe.bam", filetype="text/plain", sample="S1")
    url = tus.begin(8, Upload_Metadata=f" {sent} ,empty,x ")
    upload = Upload.objects.get()
    assert upload.name == "Läufe.bam"
    assert upload.content_type == "text/plain"
    assert upload.fields == {"sample": ["S1"], "empty": [""], "x": [""]}
    assert tus.head(url).headers["Upload-Metadata"] == f"{sent},empty,x"


def test_an_upload_without_a_name_gets_one(tus: Tus) -> None:
    url = tus.begin(8, Upload_Metadata="")
    assert Upload.objects.get().name.startswith("upload-")
    assert "Upload-Metadata" not in tus.head(url).headers


def test_what_is_no_text_is_sent_back_and_not_recorded(tus: Tus) -> None:
    url = tus.begin(8, Upload_Metadata="raw /w==,nul AA==")
    assert Upload.objects.get().fields == {}
    assert tus.head(url).headers["Upload-Metadata"] == "raw /w==,nul AA=="


@pytest.mark.parametrize(
    "text",
    [
        "filename not-base64!",
        "filename YQ==,filename Yg==",
        "filename YQ== Yg==",
        "schlüssel YQ==",
        "filename YQ",
        metadata(filename=".."),
        metadata(filename="a\nb"),
        metadata(filename="x" * 256),
    ],
)
def test_malformed_metadata_is_refused(owner: Person, text: str) -> None:
    header = text.encode().decode("latin-1")
    answer = Tus(owner.api).create(Upload_Length="8", Upload_Metadata=header)
    assert (answer.status_code, Upload.objects.count()) == (400, 0)


# PATCH.


def test_a_patch_needs_its_type_and_offset(tus: Tus, incoming: Listing) -> None:
    url = tus.begin(8)
    assert tus.patch(url, 0, b"1234", Content_Type="text/plain").status_code == 415
    assert tus.patch(url, 0, b"1234", Upload_Offset="").status_code == 400
    assert tus.patch(url, 0, b"1234", Upload_Offset="-1").status_code == 400
    assert (
        tus.patch(url, 0, b"1234", Content_Type=f"{TYPE['Content-Type']}; x=y").status_code == 204
    )
    assert incoming()[0].read_bytes() == b"1234"


@pytest.mark.parametrize("offset", [0, 3, 5, 8, 9])
def test_a_wrong_offset_is_409_and_the_file_stays(tus: Tus, incoming: Listing, offset: int) -> None:
    url = tus.begin(8)
    tus.patch(url, 0, b"sequ")
    answer = tus.patch(url, offset, b"x")
    assert answer.status_code == 409
    assert (answer.json()["expected"], answer.json()["provided"]) == (4, offset)
    assert incoming()[0].read_bytes() == b"sequ"
    assert tus.patch(url, 4, b"ence").status_code == 204


def test_what_an_interrupted_patch_brought_is_kept(tus: Tus) -> None:
    url = tus.begin(8)
    tus.patch(url, 0, b"sequence", cut=3)
    assert tus.head(url).headers["Upload-Offset"] == "3"
    assert tus.patch(url, 3, b"uence").status_code == 204
    assert Upload.objects.get().sha256 == hashlib.sha256(b"sequence").hexdigest()


def test_more_bytes_than_declared_are_413(tus: Tus, incoming: Listing) -> None:
    url = tus.begin(8)
    answer = tus.patch(url, 0, b"sequences")
    assert answer.status_code == 413
    assert (answer.json()["size"], answer.json()["length"]) == (9, 8)
    assert incoming()[0].read_bytes() == b""


def test_a_finished_upload_takes_no_more(tus: Tus, stored: Listing) -> None:
    url = tus.begin(8)
    tus.patch(url, 0, b"sequence")
    assert tus.patch(url, 8, b"s").status_code == 403
    assert tus.patch(url, 0, b"s").status_code == 403
    state = tus.head(url)
    assert (state.headers["Upload-Offset"], state.headers["Upload-Length"]) == ("8", "8")
    assert stored()[0].read_bytes() == b"sequence"


def test_an_unknown_address_is_404_without_an_offset(tus: Tus) -> None:
    upload = Upload.objects.get(pk=tus.begin(8).rpartition("/")[2])
    for target in ("x", "a/b", str(upload.id).upper(), upload.id.hex, f"{upload.id}/"):
        for answer in (tus.head(f"/files/{target}"), tus.patch(f"/files/{target}", 0, b"1")):
            assert answer.status_code == 404
            assert "Upload-Offset" not in answer.headers


def test_the_state_is_never_cached(tus: Tus) -> None:
    answer = tus.head(tus.begin(8))
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert (answer.headers["Upload-Offset"], answer.headers["Upload-Length"]) == ("0", "8")


def test_nginx_is_told_where_and_how_much(tus: Tus, store: Path) -> None:
    url = tus.begin(8)
    answer = tus.client.permit(
        "PATCH",
        f"/files/{url.rpartition('/')[2]}?x=y",
        4,
        {**VERSION, **TYPE, "Upload-Offset": "0"},
    )
    assert answer.status_code == 204
    headers = answer.headers
    assert headers["X-Upload-Path"] == str(store / "incoming" / url.rpartition("/")[2])
    assert (headers["X-Upload-Offset"], headers["X-Upload-Length"]) == ("0", "8")
    assert headers["X-Upload-Takeover"] == "idle"
    assert "X-Upload-Checksum" not in headers
    assert "X-Upload-Relay" not in headers
    assert "X-Upload-Max-Size" not in headers


# Expiration.


def test_the_end_is_told_and_moves_with_each_patch(tus: Tus, settings: Settings) -> None:
    created = tus.create(Upload_Length="8")
    url = created.headers["Location"]
    week = datetime.now(UTC) + timedelta(days=7)
    told = parsedate_to_datetime(created.headers["Upload-Expires"])
    assert abs(told - week) < timedelta(minutes=1)
    settings.UPLOAD_EXPIRY = 14 * 86400
    answer = tus.patch(url, 0, b"sequ")
    later = parsedate_to_datetime(answer.headers["Upload-Expires"])
    assert abs(later - told - timedelta(days=7)) < timedelta(minutes=1)
    assert tus.head(url).headers["Upload-Expires"] == answer.headers["Upload-Expires"]
    assert "Upload-Expires" not in tus.patch(url, 4, b"ence").headers


def test_an_expired_upload_is_410(tus: Tus) -> None:
    url = tus.begin(8)
    Upload.objects.update(expires=timezone.now())
    for answer in (tus.head(url), tus.patch(url, 0, b"1"), tus.delete(url)):
        assert answer.status_code == 410
        assert "Upload-Offset" not in answer.headers


# Checksums.


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "md5", "crc32"])
def test_a_checksum_is_nginxs_to_verify(tus: Tus, algorithm: str) -> None:
    digest = b"\x01\x02\x03\x04"
    if algorithm != "crc32":
        digest = hashlib.new(algorithm, b"1234").digest()
    value = f"{algorithm} {base64.b64encode(digest).decode()}"
    headers = {**VERSION, **TYPE, "Upload-Offset": "0", "Upload-Checksum": value}
    answer = tus.client.permit(
        "PATCH", tus.begin(8).removeprefix("https://upload.test"), 4, headers
    )
    assert answer.headers["X-Upload-Checksum"] == f"{algorithm} {digest.hex()}"


@pytest.mark.parametrize(
    "value", ["sha512 AAAA", "sha1", "sha1 AAAA", "sha1 !", "", "md5 " + "A" * 28, "SHA1 x"]
)
def test_a_checksum_that_cannot_be_verified_is_400(tus: Tus, value: str) -> None:
    url = tus.begin(8)
    assert tus.patch(url, 0, b"1234", Upload_Checksum=value).status_code == 400
    assert tus.head(url).headers["Upload-Offset"] == "0"


# Termination.


@pytest.mark.parametrize("body", [b"sequ", b"sequence"])
def test_an_upload_is_deleted_finished_or_not(
    tus: Tus, stored: Listing, incoming: Listing, body: bytes
) -> None:
    url = tus.begin(8)
    tus.patch(url, 0, body)
    answer = tus.delete(url)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (stored(), incoming()) == ([], [])
    for again in (tus.head(url), tus.patch(url, 0, b"1"), tus.delete(url)):
        assert again.status_code == 410
    assert Upload.objects.get().state == State.DELETED


# Methods in a header.


def test_a_post_may_stand_for_another_method(tus: Tus) -> None:
    url = tus.begin(8)
    headers = {**VERSION, **TYPE, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    answer = tus.client.send("POST", url, b"sequ", headers)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "4")
    headers = {**VERSION, "X-HTTP-Method-Override": "HEAD"}
    answer = tus.client.send("POST", url, headers=headers)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (200, "4")
    assert answer.headers["X-Upload-Relay"] == "1"
    answer = tus.client.send("POST", url, headers={**VERSION, "X-HTTP-Method-Override": "DELETE"})
    assert (answer.status_code, answer.headers["X-Upload-Relay"]) == (204, "1")
    answer = tus.client.send("POST", url, headers={**VERSION, "X-HTTP-Method-Override": "HEAD"})
    assert answer.status_code == 410
    assert "X-Upload-Relay" not in answer.headers
    answer = tus.client.send("POST", "/files/", headers={"X-HTTP-Method-Override": "OPTIONS"})
    assert (answer.status_code, answer.headers["Tus-Version"]) == (204, "1.0.0")
