"""The account page: the quota, the password, and tokens that are shown once."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import ApiToken, Scope, new_token
from tests.conftest import Person
from tests.nginx import Nginx, received
from tests.tus import Tus

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

PASSWORD = "correct horse battery staple"
CHANGED = "seven little ducklings"
ADDRESS = "/accounts/"


def browse(person: Person) -> Client:
    """Return the person's browser, with the page open."""
    browser = person.browser.client()
    assert browser.get(ADDRESS, secure=True).status_code == 200
    return browser


def post(browser: Client, path: str, **said: str) -> "Answer":
    """Send a form of the page."""
    form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value, **said}
    return browser.post(path, form, secure=True)


def make(browser: Client, **said: str) -> "Answer":
    """Ask for a token."""
    form = {"name": "sequencer 3", "scope": "upload", "expiry": "30", **said}
    return post(browser, "/accounts/tokens/", **form)


def text_of(answer: "Answer") -> str:
    """Return the token that a page shows."""
    [text] = re.findall(r"dnu_[A-Za-z0-9_-]{43}", answer.content.decode())
    return str(text)


@pytest.mark.parametrize("path", ["", "password/", "tokens/"])
def test_nobody_is_sent_to_the_login_page(nobody: Nginx, path: str) -> None:
    answer = nobody.get(f"/accounts/{path}", Accept="text/html")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/accounts/login/?next=%2Faccounts%2F"
    assert nobody.get(f"/accounts/{path}").status_code == 401


# The quota.


def test_the_page_says_what_is_used_and_what_is_reserved_of_the_quota(
    owner: Person, stranger: Person, settings: Settings
) -> None:
    settings.UPLOAD_QUOTA = 10 * 1024
    owner.api.upload(received(bytes(2048)))
    Tus(owner.api).begin(3 * 1024)
    stranger.api.upload(received(bytes(4096)))
    page = owner.browser.get(ADDRESS).content.decode()
    meter = re.search(r"<meter[^>]*>", page)
    assert meter
    assert 'max="10240"' in meter[0]
    assert 'value="5120"' in meter[0]
    for fact in ("<dd>2.0 KiB</dd>", "<dd>3.0 KiB</dd>", "<dd>10.0 KiB, 5.0 KiB of it left</dd>"):
        assert fact in page


def test_without_a_quota_the_page_says_what_is_used(owner: Person) -> None:
    owner.api.upload(received(bytes(2048)))
    page = owner.browser.get(ADDRESS).content.decode()
    assert "<dd>2.0 KiB</dd>" in page
    assert "<meter" not in page


# Tokens.


def test_a_token_is_shown_on_the_answer_and_never_again(owner: Person) -> None:
    browser = browse(owner)
    answer = make(browser)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    text = text_of(answer)
    token = ApiToken.objects.get(name="sequencer 3")
    assert (token.owner, token.scope) == (owner.user, Scope.UPLOAD)
    assert Nginx(headers={"Authorization": f"Bearer {text}"}).authorize().status_code == 204
    page = browser.get(ADDRESS, secure=True).content.decode()
    assert "sequencer 3" in page
    assert "dnu_" not in page


def test_a_reload_of_the_answer_neither_makes_nor_shows_a_token(owner: Person) -> None:
    browser = browse(owner)
    make(browser)
    again = make(browser)
    assert again.status_code == 400
    assert "not shown again" in again.content.decode()
    assert "dnu_" not in again.content.decode()
    assert owner.user.tokens.count() == 2
    assert browser.get("/accounts/tokens/", secure=True).headers["Location"] == ADDRESS


@pytest.mark.parametrize(
    ("said", "days"),
    [({"expiry": "never"}, None), *(({"expiry": str(n)}, n) for n in (7, 30, 90, 365))],
)
def test_a_token_expires_when_its_owner_says(
    owner: Person, said: dict[str, str], days: int | None
) -> None:
    before = timezone.now()
    make(browse(owner), **said)
    expires = ApiToken.objects.get(name="sequencer 3").expires
    if days is None:
        assert expires is None
    else:
        assert expires is not None
        assert before <= expires - timedelta(days=days) <= timezone.now()


def test_a_token_is_good_until_the_end_of_its_last_day(owner: Person) -> None:
    today = timezone.localdate()
    make(browse(owner), expiry="date", date=today.isoformat())
    expires = ApiToken.objects.get(name="sequencer 3").expires
    assert expires is not None
    assert timezone.localtime(expires).strftime("%F %T") == f"{today} 23:59:59"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ({"name": ""}, "required"),
        ({"name": "x" * 101}, "at most 100"),
        ({"name": "laptop"}, "another name"),
        ({"scope": "root"}, "valid choice"),
        ({"expiry": "8"}, "valid choice"),
        ({"expiry": "date"}, "Choose the last day"),
        ({"expiry": "date", "date": "2020-01-01"}, "choose a later one"),
        ({"expiry": "date", "date": "soon"}, "valid date"),
    ],
)
def test_what_is_wrong_with_a_token_stands_beside_its_field(
    owner: Person, said: dict[str, str], remedy: str
) -> None:
    answer = make(browse(owner), **said)
    assert answer.status_code == 400
    errors = re.findall(r'class="errorlist"[^>]*>(.*?)</ul>', answer.content.decode(), re.DOTALL)
    assert len(errors) == 1
    assert remedy in errors[0]
    assert owner.user.tokens.count() == 1


def test_the_table_tells_what_became_of_each_token(owner: Person) -> None:
    now = timezone.now()
    ApiToken.objects.add(owner.user, "old", new_token(), now - timedelta(days=1))
    ApiToken.objects.add(owner.user, "lost", new_token(), scope=Scope.READ)
    owner.user.tokens.filter(name="lost").update(revoked=now)
    rows = browse(owner).get(ADDRESS, secure=True).content.decode().split("<tr>")
    row = {name: next(r for r in rows if f">{name}<" in r) for name in ("old", "lost", "laptop")}
    assert "expired" in row["old"]
    assert "revoked" in row["lost"]
    assert "reading" in row["lost"]
    assert "in force" in row["laptop"]
    assert [name for name in row if "<button" in row[name]] == ["laptop"]


def test_a_token_is_revoked_by_its_owner_alone(owner: Person, stranger: Person) -> None:
    token = owner.user.tokens.get()
    path = f"/accounts/tokens/{token.pk}/revoke"
    assert post(browse(stranger), path).status_code == 404
    assert owner.api.authorize().status_code == 204
    browser = browse(owner)
    assert browser.get(path, secure=True).status_code == 405
    assert browser.post(path, secure=True).status_code == 403
    assert owner.api.authorize().status_code == 204
    assert post(browser, path).headers["Location"] == ADDRESS
    assert owner.api.authorize().status_code == 401
    revoked = owner.user.tokens.get().revoked
    post(browser, path)
    assert owner.user.tokens.get().revoked == revoked


def test_somebody_elses_tokens_and_browsers_are_not_on_the_page(
    owner: Person, stranger: Person
) -> None:
    make(browse(owner), name="mine alone")
    page = stranger.browser.get(ADDRESS).content.decode()
    assert "mine alone" not in page
    assert page.count("this one") == 1
    assert page.count("Sign out</button>") == 1


# The password.


def change(browser: Client, old: str = PASSWORD, new: str = CHANGED) -> "Answer":
    said = {"old_password": old, "new_password1": new, "new_password2": new}
    return post(browser, "/accounts/password/", **said)


def test_a_new_password_keeps_this_browser_and_ends_the_others(owner: Person) -> None:
    owner.user.set_password(PASSWORD)
    owner.user.save()
    this, other = Client(headers={"Host": "upload.test"}), Client(headers={"Host": "upload.test"})
    for browser in (this, other):
        browser.force_login(owner.user)
        browser.get(ADDRESS, secure=True)
    signed_in = owner.user.browsers.get(session_id=this.cookies["sessionid"].value).signed_in
    assert change(this).headers["Location"] == ADDRESS
    page = this.get(ADDRESS, secure=True)
    assert page.status_code == 200
    assert "every other browser is signed out" in page.content.decode()
    assert other.get("/uploads/", secure=True, headers={"Accept": "text/html"}).status_code == 303
    browser_session = owner.user.browsers.get()
    assert browser_session.session_id == this.cookies["sessionid"].value
    assert browser_session.signed_in == signed_in
    assert Session.objects.count() == 1
    owner.user.refresh_from_db()
    assert owner.user.check_password(CHANGED)


@pytest.mark.parametrize(
    ("old", "new", "remedy"), [("wrong", CHANGED, "incorrectly"), (PASSWORD, "12345", "too short")]
)
def test_a_password_that_is_refused_stays(owner: Person, old: str, new: str, remedy: str) -> None:
    owner.user.set_password(PASSWORD)
    owner.user.save()
    browser = Client(headers={"Host": "upload.test"})
    browser.force_login(owner.user)
    browser.get("/accounts/password/", secure=True)
    answer = change(browser, old, new)
    assert answer.status_code == 200
    assert remedy in answer.content.decode()
    owner.user.refresh_from_db()
    assert owner.user.check_password(PASSWORD)


@pytest.mark.parametrize("count", [1, 40])
def test_the_page_needs_as_many_queries_for_one_token_as_for_many(
    owner: Person, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    for number in range(count):
        ApiToken.objects.add(owner.user, f"token {number}", new_token())
        Client().force_login(owner.user)
    # Session, user, files, unfinished uploads, tokens, browsers.
    with django_assert_num_queries(6):
        assert owner.browser.get(ADDRESS).status_code == 200
