"""Authorize: every decision that is made before the first byte of a body."""

from datetime import timedelta

import pytest
from django.core import signing
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import ApiToken
from config.problems import CONTENT_TYPE
from tests.conftest import Person
from tests.nginx import GRANT, Nginx

HUGE = 10**17
MAX_SIZE = "X-Upload-Max-Size"


def test_a_token_gets_a_grant_that_says_whose_it_is(owner: Person) -> None:
    answer = owner.api.authorize(1234)
    assert (answer.status_code, answer.content) == (204, b"")
    assert MAX_SIZE not in answer.headers
    members = signing.loads(answer.headers[GRANT], salt="uploads.grant")
    assert members == {
        "user": owner.user.pk,
        "token": ApiToken.objects.get(owner=owner.user).pk,
        "length": 1234,
        "max_size": None,
    }


def test_only_nginx_gets_an_answer(owner: Person) -> None:
    assert owner.api.get("/internal/authorize").status_code == 404


def test_an_unknown_shape_is_refused(owner: Person) -> None:
    answer = owner.api.authorize(headers={"X-Upload-Shape": "parcel"})
    assert answer.status_code == 400
    assert "parcel" in answer.json()["detail"]


def test_other_methods_than_post_are_refused(owner: Person) -> None:
    answer = owner.api.authorize(headers={"X-Upload-Method": "PUT"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


@pytest.mark.parametrize("length", ["-1", "1e9", "ten", "1" * 19, "٣"])
def test_a_length_that_is_no_number_is_refused(owner: Person, length: str) -> None:
    header = length.encode().decode("latin-1")
    assert owner.api.authorize(headers={"X-Upload-Request-Length": header}).status_code == 400


def test_a_program_without_token_gets_401_and_the_remedy(nobody: Nginx) -> None:
    answer = nobody.authorize()
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="upload"'
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    problem = answer.json()
    assert problem["status"] == 401
    assert "Authorization: Bearer" in problem["detail"]
    assert GRANT not in answer.headers


def test_a_browser_without_session_is_sent_to_the_login_page(nobody: Nginx) -> None:
    answer = nobody.authorize(headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/accounts/login/?next=%2Fupload"


@pytest.mark.parametrize("uri", ["https://evil.test/", "//evil.test/", "/\\evil.test", ""])
def test_the_login_page_never_leads_to_another_site(nobody: Nginx, uri: str) -> None:
    answer = nobody.authorize(headers={"Accept": "text/html", "X-Upload-Uri": uri})
    assert answer.headers["Location"] == "/accounts/login/?next=%2Fupload"


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer x", "Bearer dnu_" + "A" * 43, "bearer dnu_" + "é" * 43],
)
def test_a_wrong_token_gets_401_even_with_a_session(owner: Person, header: str) -> None:
    headers = {"Authorization": header, "Accept": "application/json"}
    assert owner.browser.authorize(headers=headers).status_code == 401


@pytest.mark.parametrize("change", ["expired", "revoked", "inactive owner"])
def test_a_token_out_of_force_gets_the_same_401(owner: Person, change: str) -> None:
    unknown = Nginx(headers={"Authorization": "Bearer dnu_" + "A" * 43}).authorize()
    past = timezone.now() - timedelta(seconds=1)
    if change == "expired":
        ApiToken.objects.update(expires=past)
    elif change == "revoked":
        ApiToken.objects.update(revoked=past)
    else:
        owner.user.is_active = False
        owner.user.save()
    answer = owner.api.authorize()
    assert answer.status_code == 401
    assert answer.content == unknown.content


def test_a_token_that_expires_later_is_good(owner: Person) -> None:
    ApiToken.objects.update(expires=timezone.now() + timedelta(hours=1))
    assert owner.api.authorize().status_code == 204


def test_a_session_of_an_account_that_was_closed_is_nobody(owner: Person) -> None:
    owner.user.is_active = False
    owner.user.save()
    assert owner.browser.authorize(headers={"Accept": "application/json"}).status_code == 401


def test_another_authorization_scheme_leaves_the_session_in_force(owner: Person) -> None:
    assert owner.browser.authorize(headers={"Authorization": "Basic eDp5"}).status_code == 204


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"Origin": "https://upload.test"}, 204),
        ({"Referer": "https://upload.test/upload"}, 204),
        ({"Sec-Fetch-Site": "same-origin"}, 204),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 204),
        ({"Origin": "https://evil.test"}, 403),
        ({"Origin": "http://upload.test"}, 403),
        ({"Origin": "https://upload.test:8443"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Referer": "https://upload.test/upload"}, 403),
        ({"Referer": "https://upload.test.evil.test/"}, 403),
        ({"Referer": "https://["}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://upload.test"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({}, 403),
    ],
)
def test_a_session_needs_our_own_page_as_the_sender(
    owner: Person, sent: dict[str, str], status: int
) -> None:
    browser = Nginx(cookies=owner.browser.cookies)
    answer = browser.authorize(headers=sent)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["type"] == "urn:upload:cross-site"
        assert "Bearer" in answer.json()["detail"]


def test_a_token_needs_no_origin(owner: Person) -> None:
    answer = owner.api.authorize(headers={"Origin": "https://elsewhere.test"})
    assert answer.status_code == 204


def test_a_body_over_the_limit_gets_413_with_the_numbers(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_MAX_SIZE = 5 * 1024**2
    answer = owner.api.authorize(7 * 1024**2)
    assert answer.status_code == 413
    problem = answer.json()
    assert (problem["size"], problem["max_size"]) == (7 * 1024**2, 5 * 1024**2)


def test_the_form_around_the_largest_file_is_no_reason_to_refuse(
    owner: Person, settings: Settings
) -> None:
    settings.UPLOAD_MAX_SIZE = 5 * 1024**2
    answer = owner.api.authorize(6 * 1024**2)
    assert answer.status_code == 204
    assert answer.headers[MAX_SIZE] == str(5 * 1024**2)
    assert owner.api.authorize(6 * 1024**2 + 1).status_code == 413


def test_a_body_that_does_not_fit_gets_507_with_the_numbers(owner: Person) -> None:
    answer = owner.api.authorize(HUGE)
    assert answer.status_code == 507
    problem = answer.json()
    assert problem["size"] == HUGE
    assert 0 < problem["free"] < HUGE


@pytest.mark.parametrize("length", [None, 0, 1])
def test_the_reserve_is_never_used(owner: Person, settings: Settings, length: int | None) -> None:
    settings.UPLOAD_RESERVE_BYTES = HUGE
    answer = owner.api.authorize(length)
    assert answer.status_code == 507
    assert answer.json()["free"] == 0


def test_a_body_of_unknown_length_may_take_the_room_there_is(
    owner: Person, settings: Settings
) -> None:
    room = int(owner.api.authorize(None).headers[MAX_SIZE])
    assert 0 < room < HUGE
    settings.UPLOAD_MAX_SIZE = 1000
    assert owner.api.authorize(None).headers[MAX_SIZE] == "1000"


def test_a_person_gets_refusals_as_a_page(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_MAX_SIZE = 1024
    answer = owner.browser.authorize(3 * 1024**2)
    assert answer.status_code == 413
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "3.0 MiB" in answer.content.decode()
    assert "1.0 KiB" in answer.content.decode()


def test_the_time_of_use_is_written_at_most_once_a_minute(
    owner: Person, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    # The token, the time, what is reserved, and what is there twice while it is joined.
    with django_assert_num_queries(4):
        owner.api.authorize()
    first = ApiToken.objects.get().last_used
    assert first is not None
    with django_assert_num_queries(3):
        owner.api.authorize()
    assert ApiToken.objects.get().last_used == first
    ApiToken.objects.update(last_used=first - timedelta(minutes=2))
    owner.api.authorize()
    again = ApiToken.objects.get().last_used
    assert again is not None
    assert again >= first
