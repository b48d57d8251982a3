"""What a token is good for, by its scope, at every door: everything, uploading, or reading."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils import timezone

from accounts.authentication import Identity, ScopeTooSmall, identified
from accounts.models import ApiToken, Scope, new_token
from tests.conftest import Person
from tests.multipart import form
from tests.nginx import GRANT, MULTIPART, Nginx, multipart, received
from tests.parts import final, partial
from tests.rufh import PARTIAL
from tests.stack import Stack, needs_nginx
from tests.tus import NAME, TYPE, VERSION, Tus
from uploads.models import Door, ShareLink, State, Upload

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

CONTENT = b"sequence"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SEGMENT = {
    "X-Upload-Shape": "segment",
    "X-Upload-Uri": "/segments/",
    "X-Upload-Request-Type": "application/octet-stream",
    "X-Content-Range": "bytes 0-3/8",
}
CHUNK = {
    "X-Upload-Uri": "/chunked/",
    "X-Upload-Request-Type": MULTIPART,
    "Content-Range": "bytes 0-3/8",
}


def client(person: Person, scope: Scope, name: str = "") -> Nginx:
    """Return a program of this person whose token has a scope."""
    text = new_token()
    ApiToken.objects.add(person.user, name or f"for {scope}", text, scope=scope)
    return Nginx(headers={"Authorization": f"Bearer {text}"})


@pytest.fixture
def uploader(owner: Person) -> Nginx:
    """Return the owner's program that uploads."""
    return client(owner, Scope.UPLOAD)


@pytest.fixture
def reader(owner: Person) -> Nginx:
    """Return the owner's program that reads."""
    return client(owner, Scope.READ)


@pytest.fixture
def file(owner: Person) -> Upload:
    """Return a finished file of the owner's."""
    owner.api.upload(received(CONTENT))
    return Upload.objects.get()


def refused(answer: "Answer", *scopes: str) -> bool:
    """Tell whether it is the 403 that names the scopes which would do."""
    if answer.status_code != 403:
        return False
    if answer.content:
        problem = answer.json()
        assert (problem["type"], problem["scope"]) == ("urn:upload:scope", scopes[0])
        assert all(f"'{scope}'" in problem["detail"] for scope in scopes)
    challenge = f'error="insufficient_scope", scope="{" ".join(scopes)}"'
    assert answer.headers["WWW-Authenticate"].endswith(challenge)
    return True


# Where an upload begins.

BEGINNINGS: dict[str, Callable[[Nginx], "Answer"]] = {
    "form": lambda nginx: nginx.authorize(),
    "tus": lambda nginx: nginx.permit("POST", "/files/", 0, {**VERSION, "Upload-Length": "8"}),
    "rufh": lambda nginx: nginx.permit("POST", "/files/", 8, {"Upload-Complete": "?1"}),
    "put": lambda nginx: nginx.permit("PUT", "/files/run.bam", 8),
    "chunked": lambda nginx: nginx.authorize(200, CHUNK),
    "chunked without range": lambda nginx: nginx.authorize(
        200, {name: value for name, value in CHUNK.items() if name != "Content-Range"}
    ),
    "segments": lambda nginx: nginx.authorize(4, {**SEGMENT, "X-Session-ID": "s1"}),
}


@pytest.mark.parametrize("door", BEGINNINGS)
def test_uploading_begins_at_every_door_and_reading_at_none(
    uploader: Nginx, reader: Nginx, owner: Person, door: str
) -> None:
    begin = BEGINNINGS[door]
    assert refused(begin(reader), "upload", "all")
    assert Upload.objects.count() == 0
    assert begin(uploader).status_code == 204
    assert begin(owner.api).status_code == 204


def test_the_scope_of_everything_stands_for_every_other(owner: Person, file: Upload) -> None:
    assert ApiToken.objects.get().scope == Scope.ALL
    assert owner.api.get("/uploads/").status_code == 200
    assert owner.api.get(file.get_download_url()).status_code == 200
    assert Tus(owner.api).delete(f"/files/{file.id}").status_code == 204


@needs_nginx
@pytest.mark.django_db(transaction=True)
def test_a_token_for_uploading_brings_whole_files_through_nginx(
    stack: Stack, owner: Person, stored: Callable[[], list[Path]]
) -> None:
    text = new_token()
    ApiToken.objects.add(owner.user, "rig", text, scope=Scope.UPLOAD)
    stack.headers = {"Authorization": f"Bearer {text}"}
    whole = form(CONTENT)
    assert stack.send("POST", "/upload", whole.body, whole.headers).status == 200
    assert stack.send("PUT", "/files/run.bam", CONTENT).status == 201
    for first in (0, 4):
        named = {"upload_id": Upload.objects.get(protocol=Door.CHUNKED).id.hex} if first else {}
        chunk = form(CONTENT[first : first + 4], **named)
        span = {"Content-Range": f"bytes {first}-{first + 3}/8"}
        assert stack.send("POST", "/chunked/", chunk.body, {**chunk.headers, **span}).status == 200
    end = form(upload_id=Upload.objects.get(protocol=Door.CHUNKED).id.hex, sha256=SHA256)
    assert stack.send("POST", "/chunked/", end.body, end.headers).status == 200
    for first in (4, 0):
        span = {"Content-Range": f"bytes {first}-{first + 3}/8", "Session-ID": "s1"}
        kind = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="run.bam"',
        }
        answer = stack.send("POST", "/segments/", CONTENT[first : first + 4], {**kind, **span})
        assert answer.status == (200 if first == 0 else 201)
    assert [path.read_bytes() for path in stored()] == [CONTENT] * 4
    assert stack.send("GET", "/uploads/").status == 403
    ApiToken.objects.filter(name="rig").update(scope=Scope.READ)
    assert stack.send("PUT", "/files/run.bam", CONTENT).status == 403
    assert stack.send("POST", "/upload", whole.body, whole.headers).status == 403
    assert len(stored()) == 4


# Reading.


def test_reading_lists_describes_and_downloads_and_uploading_does_not(
    uploader: Nginx, reader: Nginx, file: Upload
) -> None:
    for path in ("/uploads/", file.get_download_url()):
        assert reader.get(path).status_code == 200
        assert refused(uploader.get(path), "read", "all")
    assert reader.get(f"/uploads/{file.id}").json()["name"] == "run.bam"
    assert uploader.get(f"/uploads/{file.id}").status_code == 404
    assert Tus(reader).head(f"/files/{file.id}").headers["Upload-Offset"] == "8"
    assert refused(Tus(uploader).head(f"/files/{file.id}"), "read", "all")


def test_reading_deletes_nothing_and_continues_nothing(reader: Nginx, owner: Person) -> None:
    url = Tus(owner.api).begin(8)
    assert refused(Tus(reader).delete(url), "all")
    assert refused(Tus(reader).patch(url, 0, CONTENT), "all")
    owner.api.send("PUT", "/files/run.bam", CONTENT, cut=4)
    assert reader.send("HEAD", "/files/run.bam").headers["Upload-Offset"] == "4"
    rest = reader.send("PUT", "/files/run.bam", b"ence", {"Content-Range": "bytes 4-7/8"})
    assert refused(rest, "upload", "all")
    assert refused(
        reader.send("DELETE", "/segments/", headers={"X-Session-ID": "s"}), "upload", "all"
    )
    assert set(Upload.objects.values_list("state", flat=True)) == {State.RECEIVING}


def test_a_token_that_is_made_one_for_reading_ends_what_it_began(owner: Person) -> None:
    created = Tus(owner.api).create(Upload_Length="8")
    url = created.headers["Location"]
    ApiToken.objects.update(scope=Scope.READ)
    capability = Nginx(headers={"Authorization": f"Bearer {created.headers['Upload-Token']}"})
    assert Tus(capability).patch(url, 0, CONTENT).status_code == 401
    assert refused(Tus(owner.api).patch(url, 0, CONTENT), "upload", "all")
    ApiToken.objects.update(expires=timezone.now())
    assert refused(Tus(owner.api).patch(url, 0, CONTENT), "upload", "all")
    assert refused(owner.api.authorize(4, {**SEGMENT, "X-Session-ID": "s"}), "upload", "all")


# Uploading: what it began, and nothing else.


def test_uploading_goes_on_with_its_own_and_sees_how_far_it_is(
    uploader: Nginx, stored: Callable[[], list[Path]]
) -> None:
    tus = Tus(uploader)
    url = tus.begin(8)
    assert tus.patch(url, 0, b"sequ").status_code == 204
    assert tus.head(url).headers["Upload-Offset"] == "4"
    described = uploader.get(f"/uploads/{Upload.objects.get().id}").json()
    assert (described["state"], described["offset"]) == ("receiving", 4)
    assert tus.patch(url, 4, b"ence").status_code == 204
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    assert tus.delete(url).status_code == 204


def test_uploading_hears_that_its_own_upload_expired(uploader: Nginx) -> None:
    url = Tus(uploader).begin(8)
    Upload.objects.update(expires=timezone.now())
    assert Tus(uploader).head(url).status_code == 410


@pytest.mark.parametrize("protocol", ["tus", "rufh"])
def test_uploading_has_no_hand_in_what_another_token_began(
    uploader: Nginx, owner: Person, protocol: str
) -> None:
    url = Tus(owner.api).begin(8)
    append = {**VERSION, **TYPE} if protocol == "tus" else {**PARTIAL, "Upload-Complete": "?1"}
    common = VERSION if protocol == "tus" else {}
    assert refused(uploader.send("HEAD", url, headers=common), "read", "all")
    assert refused(uploader.send("DELETE", url, headers=common), "all")
    assert refused(uploader.send("PATCH", url, CONTENT, {**append, "Upload-Offset": "0"}), "all")
    assert Upload.objects.get().state == State.RECEIVING


def test_of_somebody_elses_upload_a_scope_tells_nothing(
    uploader: Nginx, reader: Nginx, stranger: Person
) -> None:
    url = Tus(stranger.api).begin(8)
    for program in (uploader, reader):
        answers = (
            Tus(program).head(url),
            Tus(program).patch(url, 0, b"x"),
            Tus(program).delete(url),
        )
        assert [answer.status_code for answer in answers] == [404, 404, 404]


def test_a_name_that_another_token_sends_is_another_upload(uploader: Nginx, owner: Person) -> None:
    owner.api.send("PUT", "/files/run.bam", CONTENT, cut=4)
    assert uploader.send("HEAD", "/files/run.bam").status_code == 404
    answer = uploader.send("PUT", "/files/run.bam", b"ence", {"Content-Range": "bytes 4-7/8"})
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "0")
    uploader.send("PUT", "/files/run.bam", CONTENT, cut=2)
    states = Upload.objects.values_list("state", flat=True)
    assert list(states) == [State.RECEIVING, State.RECEIVING]
    assert owner.api.send("HEAD", "/files/run.bam").status_code == 204
    owner.api.send("PUT", "/files/run.bam", CONTENT, cut=2)
    assert Upload.objects.filter(state=State.DELETED).count() == 2


def test_parts_of_another_token_are_not_joined(uploader: Nginx, owner: Person) -> None:
    def begin_part(nginx: Nginx) -> str:
        return nginx.send("POST", "/files/", b"sequ", {**NAME, **partial(4)}).headers["Location"]

    ours, theirs = begin_part(uploader), begin_part(owner.api)
    answer = uploader.permit("POST", "/files/", 0, final([ours, theirs]))
    assert (answer.status_code, answer.json()["part"]) == (404, 2)
    assert uploader.permit("POST", "/files/", 0, final([ours])).status_code == 201


def test_a_session_of_segments_is_the_token_s_that_began_it(uploader: Nginx, owner: Person) -> None:
    segment = {**SEGMENT, "X-Session-ID": "s1"}
    assert owner.api.authorize(4, segment).status_code == 204
    assert uploader.authorize(4, segment).status_code == 404
    end = {"X-Session-ID": "s1"}
    assert uploader.send("DELETE", "/segments/", headers=end).status_code == 404
    Upload.objects.update(token=ApiToken.objects.get(scope=Scope.UPLOAD))
    assert uploader.authorize(4, segment).status_code == 204
    assert uploader.send("DELETE", "/segments/", headers=end).status_code == 204


def test_a_chunk_goes_to_an_upload_of_its_token_alone(uploader: Nginx, owner: Person) -> None:
    upload = Upload.objects.create(
        owner=owner.user,
        token=ApiToken.objects.get(scope=Scope.ALL),
        name="run.bam",
        length=8,
        state=State.RECEIVING,
        protocol=Door.CHUNKED,
        expires=timezone.now() + timedelta(days=1),
    )
    place = upload.get_resource_url()
    rest = {**CHUNK, "Content-Range": "bytes 0-3/8", "X-Upload-Method": "PUT"}
    assert refused(uploader.authorize(200, {**rest, "X-Upload-Uri": place}), "all")
    assert refused(uploader.get(place), "read", "all")
    assert refused(uploader.send("DELETE", place), "all")
    grant = uploader.authorize(200, CHUNK).headers[GRANT]
    named = multipart([("upload_id", upload.id.hex)])
    answer = uploader.client().post(
        "/complete/chunk", named, content_type=MULTIPART, secure=True, headers={GRANT: grant}
    )
    assert answer.status_code == 404
    Upload.objects.update(token=ApiToken.objects.get(scope=Scope.UPLOAD))
    assert uploader.authorize(200, {**rest, "X-Upload-Uri": place}).status_code == 204
    assert uploader.get(place).status_code == 200


# What no scope but everything opens.


def test_an_account_is_nothing_for_tokens(owner: Person) -> None:
    for path in ("/accounts/", "/accounts/password/", "/accounts/tokens/"):
        assert owner.api.get(path).status_code == 401
    page = {"Accept": "text/html"}
    assert owner.api.get("/accounts/", **page).status_code == 401


@pytest.mark.parametrize(
    ("method", "scopes"), [("GET", {Scope.ALL, Scope.READ}), ("POST", {Scope.ALL})]
)
def test_a_view_that_says_nothing_of_scopes_is_read_by_readers_and_changed_by_nobody(
    owner: Person, method: str, scopes: set[Scope]
) -> None:
    @identified
    def view(request: HttpRequest, identity: Identity) -> HttpResponse:  # noqa: ARG001
        return HttpResponse()

    for scope in Scope:
        headers = client(owner, scope).headers
        request = RequestFactory().generic(method, "/", headers=headers)
        if scope in scopes:
            assert view(request).status_code == 200
            continue
        with pytest.raises(ScopeTooSmall):
            view(request)


@pytest.mark.parametrize("action", ["rename", "delete", "share"])
def test_the_pages_of_a_file_change_nothing_for_other_scopes(
    reader: Nginx, uploader: Nginx, owner: Person, file: Upload, action: str
) -> None:
    def act(program: Nginx) -> "Answer":
        browser = program.client()
        # Whoever has a token may send what keeps other sites from using a cookie.
        browser.cookies["csrftoken"] = "c" * 32
        form = {"csrfmiddlewaretoken": "c" * 32, "name": "other.bam", "lifetime": "1"}
        address = f"/uploads/{file.id}/{action}"
        return browser.post(address, form, secure=True, headers={"Referer": "https://upload.test/"})

    for program in (reader, uploader):
        assert refused(act(program), "all")
    file.refresh_from_db()
    assert (file.name, file.state, ShareLink.objects.count()) == ("run.bam", State.COMPLETE, 0)
    assert act(owner.api).status_code not in {403, 404}


@pytest.mark.parametrize("scope", Scope)
def test_every_token_withdraws_itself(owner: Person, scope: Scope) -> None:
    program = client(owner, scope)
    assert program.send("DELETE", "/accounts/token").status_code == 204
    assert program.authorize().status_code == 401
