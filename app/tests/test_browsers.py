"""Signed-in browsers: what is known of them, and how one is signed out from another."""

from datetime import timedelta
from http.cookies import SimpleCookie

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts import browsers
from accounts.models import BrowserSession
from tests.conftest import Person
from tests.nginx import HOST
from tests.test_account import ADDRESS, browse, post

PASSWORD = "correct horse battery staple"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like"
    " Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def olivia(owner: Person) -> Person:
    """Return the owner, with a password and no browser."""
    owner.user.set_password(PASSWORD)
    owner.user.save()
    Session.objects.all().delete()
    return owner


def sign_in(agent: str = FIREFOX, address: str = "192.0.2.7") -> Client:
    """Sign olivia in, as a browser does it."""
    browser = Client(headers={"Host": HOST, "User-Agent": agent, "X-Real-IP": address})
    answer = browser.post(
        "/accounts/login/", {"username": "olivia", "password": PASSWORD}, secure=True
    )
    assert answer.status_code == 302
    return browser


def is_signed_in(browser: Client) -> bool:
    return browser.get("/uploads/", secure=True, headers={"Accept": "text/html"}).status_code == 200


def known(browser: Client) -> BrowserSession:
    return BrowserSession.objects.get(session_id=browser.cookies["sessionid"].value)


def test_who_signs_in_finds_every_browser_and_which_is_this_one(olivia: Person) -> None:
    phone = sign_in(PHONE, "2001:db8::5")
    this = sign_in()
    found = BrowserSession.objects.filter(user=olivia.user)
    assert {(b.agent, b.address) for b in found} == {
        ("Firefox on Linux", "192.0.2.7"),
        ("Safari on iPhone", "2001:db8::5"),
    }
    page = this.get(ADDRESS, secure=True).content.decode()
    rows = page.split('id="browsers"')[1].split("<tr>")
    [row] = [row for row in rows if "Firefox on Linux" in row]
    assert "this one" in row
    assert "192.0.2.7" in row
    [row] = [row for row in rows if "Safari on iPhone" in row]
    assert f"/accounts/sessions/{known(phone).pk}/end" in row


def test_one_browser_is_signed_out_from_another(olivia: Person) -> None:
    this, lost, third = sign_in(), sign_in(), sign_in()
    this.get(ADDRESS, secure=True)
    assert post(this, f"/accounts/sessions/{known(lost).pk}/end").headers["Location"] == ADDRESS
    assert [is_signed_in(browser) for browser in (this, lost, third)] == [True, False, True]
    assert olivia.user.browsers.count() == 2


def test_all_others_are_signed_out_at_once(olivia: Person, stranger: Person) -> None:
    this, *others = [sign_in() for _ in range(3)]
    page = this.get(ADDRESS, secure=True).content.decode()
    assert "Sign out all other browsers" in page
    post(this, "/accounts/sessions/end-others")
    assert is_signed_in(this)
    assert not any(is_signed_in(browser) for browser in others)
    assert olivia.user.browsers.count() == 1
    assert stranger.browser.get("/uploads/").status_code == 200


def test_nobody_signs_somebody_else_out(olivia: Person, stranger: Person) -> None:
    victim = sign_in()
    path = f"/accounts/sessions/{known(victim).pk}/end"
    assert post(browse(stranger), path).status_code == 404
    assert is_signed_in(victim)
    assert olivia.user.browsers.count() == 1


@pytest.mark.usefixtures("olivia")
def test_signing_out_ends_what_is_known_of_a_browser() -> None:
    this = sign_in()
    this.post("/accounts/logout/", secure=True)
    assert BrowserSession.objects.count() == 0


@pytest.mark.usefixtures("olivia")
def test_a_session_that_ran_out_is_not_shown_and_goes_with_the_housekeeping() -> None:
    this, old = sign_in(), sign_in(PHONE)
    Session.objects.filter(pk=known(old).session_id).update(
        expire_date=timezone.now() - timedelta(days=1)
    )
    assert "iPhone" not in this.get(ADDRESS, secure=True).content.decode()
    call_command("clearsessions")
    assert list(BrowserSession.objects.all()) == [known(this)]


@pytest.mark.usefixtures("olivia")
def test_a_browser_is_written_down_once_a_minute(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    this = sign_in()
    # Session, user, files, unfinished uploads, tokens, browsers.
    with django_assert_num_queries(6):
        this.get(ADDRESS, secure=True)
    session = this.session
    session["last_seen"] = (timezone.now() - timedelta(minutes=2)).isoformat()
    session.save()
    BrowserSession.objects.update(last_seen=timezone.now() - timedelta(minutes=2))
    Session.objects.update(expire_date=timezone.now() + timedelta(days=1))
    signed_in = known(this).signed_in
    this.get("/uploads/", secure=True, headers={"X-Real-IP": "192.0.2.8"})
    seen = known(this)
    assert timezone.now() - seen.last_seen < timedelta(minutes=1)
    assert (seen.address, seen.signed_in) == ("192.0.2.8", signed_in)
    # Two weeks from now, so that a browser in use stays signed in.
    assert seen.session.expire_date > timezone.now() + timedelta(days=13)


def test_a_release_without_browsers_goes_on_ending_sessions_and_deleting_users(
    olivia: Person,
) -> None:
    sign_in()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_session")
        cursor.execute("DELETE FROM accounts_apitoken")
        cursor.execute("DELETE FROM accounts_user WHERE id = %s", [olivia.user.pk])
    connection.check_constraints()
    assert BrowserSession.objects.count() == 1


def test_a_session_from_before_this_release_is_taken_up_when_it_comes_by(olivia: Person) -> None:
    this = sign_in()
    BrowserSession.objects.all().delete()
    session = this.session
    del session["last_seen"], session["signed_in"]
    session.save()
    assert is_signed_in(this)
    assert known(this).user == olivia.user


def test_a_program_with_a_token_is_no_browser(owner: Person) -> None:
    before = BrowserSession.objects.count()
    assert owner.api.get("/uploads/").status_code == 200
    assert BrowserSession.objects.count() == before


def test_an_address_that_is_none_is_not_written_down(olivia: Person) -> None:
    sign_in(address="unix:")
    assert olivia.user.browsers.get().address is None


def test_a_cookie_that_belongs_to_nobody_is_not_written_down(owner: Person) -> None:
    browser = Client(headers={"Host": HOST})
    browser.cookies = SimpleCookie({"sessionid": "0" * 32})
    assert not is_signed_in(browser)
    assert BrowserSession.objects.get().user == owner.user


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (PHONE, "Safari on iPhone"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
            " Chrome/138.0.0.0 Safari/537.36 Edg/138.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko)"
            " Chrome/138.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 15_5) AppleWebKit/605.1.15 (KHTML, like"
            " Gecko) Version/18.5 Safari/605.1.15",
            "Safari on macOS",
        ),
        ("", "A browser"),
        ("<script>", "A browser"),
    ],
)
def test_a_browser_has_a_name_of_few_words(user_agent: str, words: str) -> None:
    assert browsers.describe(user_agent) == words
