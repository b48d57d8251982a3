"""Share links: whoever has one gets the file until it ends, and nothing else."""

import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.conftest import Person
from tests.nginx import HOST, Nginx, received
from tests.stack import Stack, needs_nginx
from tests.stack_tus import create
from tests.test_file_page import post
from uploads import sharing
from uploads.models import Kind, ShareLink, Upload, UploadEvent

PAGE = {"Accept": "text/html"}
GUARDED = {
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}
NAME = "<i>run.bam"


@pytest.fixture
def upload(owner: Person) -> Upload:
    """Return a file of the owner's."""
    assert owner.api.upload(received(b"sequence", NAME)).status_code == 200
    return Upload.objects.get()


def share(person: Person, upload: Upload, lifetime: str = "1h", day: str = "") -> str:
    """Make a link on the upload's page, and return its path as the page shows it."""
    address = upload.get_absolute_url()
    status, target, _ = post(person, f"{address}/share", lifetime=lifetime, day=day)
    assert (status, target) == (303, f"{address}#shares")
    page = person.browser.get(address).content.decode()
    found = re.search(r'data-copy="(https://upload.test/shared/[^"]+)"', page)
    assert found
    return urlsplit(found[1]).path


@pytest.mark.parametrize("who", ["owner", "colleague"])
def test_whoever_has_the_link_sees_the_file_and_gets_it(
    request: pytest.FixtureRequest, upload: Upload, nobody: Nginx, who: str
) -> None:
    path = share(request.getfixturevalue(who), upload)
    answer = nobody.get(path, **PAGE)
    page = answer.content.decode()
    assert answer.status_code == 200
    for text in ("&lt;i&gt;run.bam", "8 bytes", upload.sha256, "sha256sum -c", f"{path}/download"):
        assert text in page
    assert "<i>" not in page
    assert str(upload.id) not in page
    assert "olivia" not in page
    for program in (nobody.get(path), nobody.get(f"{path}/download", **PAGE)):
        assert program.status_code == 200
        assert program.headers["X-Accel-Redirect"] == f"/protected/{upload.stored_path}"
        assert program.headers["Repr-Digest"] == upload.repr_digest
        assert "attachment" in program.headers["Content-Disposition"]
    for each in (answer, nobody.get(path)):
        assert "Accept" in each.headers["Vary"]
        assert {name: each.headers[name] for name in GUARDED} == GUARDED


def test_the_page_is_the_same_for_who_is_signed_in(owner: Person, upload: Upload) -> None:
    path = share(owner, upload)
    for person in (owner.browser, Nginx()):
        page = person.get(path, **PAGE).content.decode()
        assert "Sign out" not in page


def test_nobody_shares_the_file_of_another(stranger: Person, owner: Person, upload: Upload) -> None:
    address = upload.get_absolute_url()
    assert post(stranger, f"{address}/share", lifetime="1h")[0] == 404
    share(owner, upload)
    link = ShareLink.objects.get()
    assert post(stranger, f"{address}/shares/{link.id}/withdraw")[0] == 404
    other = stranger.api.upload(received(b"x")).json()["uploads"][0]["id"]
    # Not by way of a file of their own, either.
    assert post(stranger, f"/uploads/{other}/shares/{link.id}/withdraw")[0] == 404
    assert ShareLink.objects.working().count() == 1


def _withdraw(link: ShareLink, owner: Person) -> None:
    address = link.upload.get_absolute_url()
    assert post(owner, f"{address}/shares/{link.id}/withdraw")[0] == 303


def _expire(link: ShareLink, owner: Person) -> None:  # noqa: ARG001
    ShareLink.objects.filter(pk=link.pk).update(expires=timezone.now())


def _delete(link: ShareLink, owner: Person) -> None:
    assert post(owner, f"{link.upload.get_absolute_url()}/delete")[0] == 303


def _deactivate(link: ShareLink, owner: Person) -> None:  # noqa: ARG001
    owner.user.is_active = False
    owner.user.save()


@pytest.mark.parametrize("end", [_withdraw, _expire, _delete, _deactivate])
def test_a_link_that_has_ended_looks_like_one_that_never_was(
    owner: Person, upload: Upload, nobody: Nginx, end: Callable[[ShareLink, Person], None]
) -> None:
    path = share(owner, upload)
    id_, _, signature = path.removeprefix("/shared/").partition(".")
    end(ShareLink.objects.get(), owner)
    forged = f"/shared/{id_}.{signature[:-1]}{'A' if signature[-1] != 'A' else 'B'}"
    for headers in (PAGE, {}):
        answers = [
            nobody.get(each + more, **headers)
            for each in (path, forged, "/shared/nothing")
            for more in ("", "/download")
        ]
        assert {answer.status_code for answer in answers} == {404}
        assert len({answer.content for answer in answers}) == 1
        assert {tuple(sorted(answer.headers.items())) for answer in answers} == {
            tuple(sorted(answers[0].headers.items()))
        }
        for answer in answers:
            assert {name: answer.headers[name] for name in GUARDED} == GUARDED
            assert "Ask whoever sent it" in answer.content.decode()


def test_another_key_ends_every_link(
    owner: Person, upload: Upload, nobody: Nginx, settings: Settings
) -> None:
    path = share(owner, upload)
    settings.SECRET_KEY = "another-key-that-is-long-enough-for-the-check-of-it-0123456789"
    assert nobody.get(path).status_code == 404


@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [
        ("1h", timedelta(hours=1)),
        ("1d", timedelta(days=1)),
        ("7d", timedelta(days=7)),
        ("30d", timedelta(days=30)),
    ],
)
def test_a_link_works_for_as_long_as_was_chosen(
    owner: Person, upload: Upload, lifetime: str, expected: timedelta
) -> None:
    share(owner, upload, lifetime)
    link = ShareLink.objects.get()
    assert abs(link.expires - link.created - expected) < timedelta(seconds=5)


def test_a_link_works_until_the_end_of_a_day(owner: Person, upload: Upload) -> None:
    today = timezone.localtime()
    share(owner, upload, "date", f"{today:%Y-%m-%d}")
    expires = timezone.localtime(ShareLink.objects.get().expires)
    assert f"{expires:%Y-%m-%d %H:%M}" == f"{today:%Y-%m-%d} 23:59"


@pytest.mark.parametrize(
    ("lifetime", "day"),
    [
        ("", ""),
        ("100y", ""),
        ("date", ""),
        ("date", "2020-01-01"),
        ("date", "2026-02-30"),
        ("date", "soon"),
        ("date", "99999-01-01"),
    ],
)
def test_a_time_that_is_none_is_told_on_the_page(
    owner: Person, upload: Upload, lifetime: str, day: str
) -> None:
    status, _, page = post(owner, f"{upload.get_absolute_url()}/share", lifetime=lifetime, day=day)
    assert status == 400
    assert "give a day that is not over" in page
    assert ShareLink.objects.count() == 0


def test_downloads_are_counted_once_and_not_their_continuations(
    owner: Person, upload: Upload, nobody: Nginx
) -> None:
    path = share(owner, upload)
    nobody.client().head(path, secure=True)
    nobody.get(path, **PAGE)
    assert ShareLink.objects.get().downloads == 0
    nobody.get(path)
    nobody.get(f"{path}/download", Range="bytes=0-3")
    nobody.get(f"{path}/download", Range="bytes=4-")
    link = ShareLink.objects.get()
    assert link.downloads == 2
    assert link.last_used is not None
    assert "2 downloads" in owner.browser.get(upload.get_absolute_url()).content.decode()


def test_the_history_has_who_shared_and_withdrew(
    owner: Person, colleague: Person, upload: Upload
) -> None:
    share(owner, upload)
    _withdraw(ShareLink.objects.get(), colleague)
    _withdraw(ShareLink.objects.get(), colleague)
    events = UploadEvent.objects.filter(kind__in=(Kind.SHARED, Kind.WITHDRAWN))
    assert [(event.kind, event.user) for event in events] == [
        (Kind.SHARED, owner.user),
        (Kind.WITHDRAWN, colleague.user),
    ]
    page = owner.browser.get(upload.get_absolute_url()).content.decode()
    assert "/shared/" not in page


def test_the_question_before_a_deletion_says_that_it_is_shared(
    owner: Person, upload: Upload
) -> None:
    address = upload.get_absolute_url()
    assert "is shared" not in owner.browser.get(f"{address}/delete").content.decode()
    share(owner, upload)
    assert (
        "It is shared: 1 link will stop" in owner.browser.get(f"{address}/delete").content.decode()
    )


def test_a_link_changes_nothing(owner: Person, upload: Upload, nobody: Nginx) -> None:
    path = share(owner, upload)
    for method in ("POST", "PUT", "DELETE"):
        answer = nobody.client().generic(
            method, path, secure=True, headers={"Origin": f"https://{HOST}"}
        )
        assert answer.status_code in {403, 405}
    upload.refresh_from_db()
    assert upload.state == "complete"


@needs_nginx
@pytest.mark.django_db(transaction=True)
def test_a_real_nginx_sends_the_file_of_a_link_and_goes_on_with_it(
    stack: Stack, owner: Person
) -> None:
    content = secrets.token_bytes(300_000)
    assert create(stack, len(content), content).status == 201
    upload = Upload.objects.get()
    link = sharing.create(upload, owner.user, timezone.now() + timedelta(hours=1))
    path = sharing.path_of(link)
    nothing = {"Authorization": ""}
    whole = stack.send("GET", path, headers=nothing)
    assert (whole.status, whole.body) == (200, content)
    rest = stack.send("GET", f"{path}/download", headers={**nothing, "Range": "bytes=200000-"})
    assert (rest.status, rest.body) == (206, content[200_000:])
    assert rest.headers["Content-Range"] == "bytes 200000-299999/300000"
    for reply in (whole, rest):
        assert reply.headers["Repr-Digest"] == upload.repr_digest
        assert 'filename="run.bam"' in reply.headers["Content-Disposition"]
        assert {name: reply.headers[name] for name in GUARDED} == GUARDED
        assert "X-Accel-Redirect" not in reply.headers
    page = stack.send("GET", path, headers={**nothing, **PAGE}).body.decode()
    assert hashlib.sha256(content).hexdigest() in page
    sharing.withdraw(link)
    assert stack.send("GET", path, headers=nothing).status == 404
    assert ShareLink.objects.get().downloads == 1
