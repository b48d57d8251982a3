"""The admin: lists that tell something, filters, and actions that do what their words say."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import ApiToken, Scope, SignInFailure, User, new_token
from tests.conftest import Person
from tests.nginx import HOST, Nginx, received, writing
from tests.tus import Tus
from uploads import partials
from uploads.models import State, Upload

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

type Listing = Callable[[], list[Path]]

USERS = "/admin/accounts/user/"
TOKENS = "/admin/accounts/apitoken/"
UPLOADS = "/admin/uploads/upload/"


@pytest.fixture
def superuser(colleague: Person) -> Person:
    """Return the colleague, with every permission."""
    colleague.user.is_superuser = True
    colleague.user.save()
    return colleague


def act(person: Person, address: str, action: str, *chosen: object, **said: str) -> "Answer":
    """Send an action of a list."""
    browser = person.browser.client()
    token = browser.get("/accounts/", secure=True).wsgi_request.META["CSRF_COOKIE"]
    form = {"action": action, "_selected_action": [str(key) for key in chosen], **said}
    return browser.post(address, {"csrfmiddlewaretoken": token, **form}, secure=True)


def listed(person: Person, address: str) -> str:
    answer = person.browser.get(address)
    assert answer.status_code == 200
    return answer.content.decode().split('id="changelist-form"')[-1]


# Who gets in.


def test_people_sign_in_to_the_admin_where_wrong_passwords_are_counted(
    superuser: Person, nobody: Nginx
) -> None:
    answer = nobody.get(USERS, Accept="text/html")
    assert answer.headers["Location"] == f"/admin/login/?next={USERS}"
    answer = nobody.get(answer.headers["Location"], Accept="text/html")
    assert answer.headers["Location"] == f"/accounts/login/?next={USERS.replace('/', '%2F')}"
    wrong = {"username": superuser.user.username, "password": "wrong"}
    browser = Client(headers={"Host": HOST})
    answer = browser.post("/admin/login/?next=//elsewhere.test", wrong, secure=True)
    assert answer.headers["Location"] == "/accounts/login/?next=%2Fupload"
    assert not SignInFailure.objects.exists()
    assert superuser.browser.get("/admin/login/").headers["Location"] == "/admin/"


def test_who_is_signed_in_and_no_staff_is_refused_and_not_sent_in_circles(owner: Person) -> None:
    answer = owner.browser.get("/admin/")
    assert answer.headers["Location"].startswith("/admin/login/")
    assert owner.browser.get(answer.headers["Location"]).status_code == 403


def test_the_admin_leads_to_the_status_page(superuser: Person) -> None:
    assert 'href="/admin/status"' in superuser.browser.get("/admin/").content.decode()


# Users.


def test_users_are_listed_with_quota_and_use(
    superuser: Person, owner: Person, stranger: Person, settings: Settings
) -> None:
    settings.UPLOAD_QUOTA = 1024**3
    owner.user.quota = 10 * 1024**2
    owner.user.last_login = None
    owner.user.save()
    owner.api.upload([*received(bytes(1024), "a"), *received(bytes(1024), "b")])
    Upload.objects.create(owner=owner.user, name="gone", size=9999, state=State.DELETED)
    rows = listed(superuser, f"{USERS}?o=-6").split("<tr>")
    assert "olivia" in rows[2]
    assert "2.0 KiB" in rows[2]
    assert "10.0 MiB" in rows[2]
    [row] = [row for row in rows if stranger.user.username in row]
    assert "1.0 GiB, as for all" in row
    assert "0 bytes" in row


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("is_active__exact=0", {"sam"}),
        ("is_staff__exact=1", {"carl"}),
        ("quota__isempty=0", {"olivia"}),
    ],
)
def test_users_are_filtered(
    superuser: Person, owner: Person, stranger: Person, query: str, names: set[str]
) -> None:
    User.objects.filter(pk=owner.user.pk).update(quota=1)
    User.objects.filter(pk=stranger.user.pk).update(is_active=False)
    page = listed(superuser, f"{USERS}?{query}").split("<tbody>")[1]
    people = (superuser, owner, stranger)
    assert {p.user.username for p in people if f">{p.user.username}<" in page} == names


def test_who_is_deactivated_is_out_at_once_and_whoever_does_it_stays(
    superuser: Person, owner: Person
) -> None:
    act(superuser, USERS, "deactivate", owner.user.pk, superuser.user.pk)
    owner.user.refresh_from_db()
    superuser.user.refresh_from_db()
    assert (owner.user.is_active, superuser.user.is_active) == (False, True)
    assert owner.api.authorize().status_code == 401
    assert owner.browser.get("/uploads/").status_code == 303
    assert not owner.user.browsers.exists()
    assert superuser.browser.get(USERS).status_code == 200
    [entry] = LogEntry.objects.all()
    assert (entry.object_repr, entry.change_message) == ("olivia", "Deactivated.")


# Tokens.


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state=usable", {"laptop", "rig"}),
        ("state=expired", {"old"}),
        ("state=revoked", {"lost"}),
        ("scope__exact=upload", {"rig"}),
    ],
)
def test_tokens_are_filtered(superuser: Person, owner: Person, query: str, names: set[str]) -> None:
    now = timezone.now()
    ApiToken.objects.add(owner.user, "old", new_token(), now - timedelta(days=1))
    ApiToken.objects.add(owner.user, "rig", new_token(), scope=Scope.UPLOAD)
    ApiToken.objects.add(owner.user, "lost", new_token())
    ApiToken.objects.filter(name="lost").revoke()
    page = listed(superuser, f"{TOKENS}?{query}&owner__id__exact={owner.user.pk}")
    every = ("laptop", "old", "rig", "lost")
    assert {name for name in every if f">{name}<" in page} == names


def test_tokens_are_revoked_and_those_that_were_keep_their_time(
    superuser: Person, owner: Person
) -> None:
    before = timezone.now() - timedelta(days=1)
    ApiToken.objects.add(owner.user, "lost", new_token())
    lost = ApiToken.objects.filter(name="lost")
    lost.update(revoked=before)
    act(superuser, TOKENS, "revoke", *owner.user.tokens.values_list("pk", flat=True))
    assert owner.api.authorize().status_code == 401
    assert lost.get().revoked == before
    assert superuser.api.authorize().status_code == 204
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Revoked."]


# Uploads.


def test_uploads_are_listed_in_words_with_what_has_arrived(
    superuser: Person, owner: Person
) -> None:
    owner.api.upload(received(bytes(2048), "a.bam"))
    Tus(owner.api).patch(Tus(owner.api).begin(4096), 0, bytes(1024))
    Tus(owner.api).begin(None)
    rows = listed(superuser, UPLOADS).split("<tr>")
    [row] = [row for row in rows if "a.bam" in row]
    assert "2.0 KiB" in row
    [row] = [row for row in rows if "4.0 KiB" in row]
    assert "1.0 KiB" in row
    [row] = [row for row in rows if "not known" in row]
    assert "0 bytes" in row
    assert superuser.browser.get(f"{UPLOADS}add/").status_code == 403
    detail = f"{UPLOADS}{Upload.objects.get(name='a.bam').pk}"
    assert superuser.browser.get(f"{detail}/change/").status_code == 200
    assert superuser.browser.get(f"{detail}/delete/").status_code == 403


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("state__exact=receiving", 1),
        ("protocol__exact=form", 2),
        ("created__gte=2020-01-01T00:00:00Z", 3),
        ("created__lt=2020-01-01T00:00:00Z", 0),
        ("owner__id__exact={sam}", 1),
    ],
)
def test_uploads_are_filtered(
    superuser: Person, owner: Person, stranger: Person, query: str, count: int
) -> None:
    owner.api.upload(received(b"1"))
    stranger.api.upload(received(b"2"))
    Tus(owner.api).begin(8)
    address = f"{UPLOADS}?{query.format(sam=stranger.user.pk)}"
    assert listed(superuser, address).count('name="_selected_action"') == count


def test_uploads_are_deleted_with_their_files_after_a_question(
    superuser: Person, owner: Person, stored: Listing, incoming: Listing
) -> None:
    owner.api.upload(received(b"finished", "a.bam"))
    Tus(owner.api).patch(Tus(owner.api).begin(8), 0, b"half")
    owner.api.upload(received(b"kept", "kept.bam"))
    chosen = Upload.objects.exclude(name="kept.bam").values_list("pk", flat=True)
    question = act(superuser, UPLOADS, "delete_files", *chosen).content.decode()
    assert "Delete 2 uploads and the files, 8 bytes?" in question
    assert "a.bam of olivia, Complete, 8 bytes" in question
    assert len(stored()) == 2
    answer = act(superuser, UPLOADS, "delete_files", *chosen, confirmed="yes")
    assert answer.status_code == 302
    assert [path.read_bytes() for path in stored()] == [b"kept"]
    assert incoming() == []
    assert Upload.objects.filter(state=State.DELETED).count() == 2
    assert LogEntry.objects.count() == 2


def test_an_upload_that_cannot_be_deleted_is_told_and_the_others_go(
    superuser: Person, owner: Person, stored: Listing
) -> None:
    Tus(owner.api).patch(Tus(owner.api).begin(8), 0, b"half")
    busy = Upload.objects.get()
    owner.api.upload(received(b"finished", "a.bam"))
    chosen = Upload.objects.values_list("pk", flat=True)
    with writing(partials.locate(busy)):
        act(superuser, UPLOADS, "delete_files", *chosen, confirmed="yes")
    busy.refresh_from_db()
    assert busy.state == State.RECEIVING
    assert stored() == []
    assert LogEntry.objects.count() == 1


def test_staff_that_may_only_look_deletes_nothing(
    colleague: Person, owner: Person, stored: Listing
) -> None:
    colleague.user.user_permissions.add(Permission.objects.get(codename="view_upload"))
    owner.api.upload(received(b"kept"))
    assert "delete_files" not in listed(colleague, UPLOADS)
    act(colleague, UPLOADS, "delete_files", Upload.objects.get().pk, confirmed="yes")
    assert len(stored()) == 1
    colleague.user.user_permissions.add(Permission.objects.get(codename="delete_upload"))
    act(colleague, UPLOADS, "delete_files", Upload.objects.get().pk, confirmed="yes")
    assert stored() == []


@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize(
    ("address", "queries"),
    [
        # Session, user, count, rows.
        (USERS, 4),
        # And the owners that the filter offers.
        (TOKENS, 5),
        (UPLOADS, 5),
    ],
)
def test_a_list_needs_as_many_queries_for_one_as_for_many(
    superuser: Person,
    django_assert_num_queries: DjangoAssertNumQueries,
    address: str,
    queries: int,
    count: int,
) -> None:
    for number in range(count):
        user = User.objects.create(username=f"user{number}")
        ApiToken.objects.add(user, "laptop", new_token())
        Upload.objects.create(owner=user, name="a", state=State.RECEIVING)
    with django_assert_num_queries(queries):
        assert superuser.browser.get(address).status_code == 200
