"""Passwords: how often one may be guessed, who gets a token for one, and how that is withdrawn."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, Scope, SignInFailure
from accounts.sign_in import FAILURE_TIME, FAILURES_OF_NAME
from tests.conftest import Person
from tests.nginx import HOST, Nginx

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

PASSWORD = "correct horse battery staple"
ADDRESS = "/accounts/token"


@pytest.fixture
def olivia(owner: Person) -> Person:
    """Return the owner, with a password."""
    owner.user.set_password(PASSWORD)
    owner.user.save()
    return owner


def ask(person: Nginx, *, address: str = "192.0.2.1", **changes: Any) -> "Answer":
    """Ask for a token as push.py does; `changes` replaces members."""
    said = {"username": "olivia", "password": PASSWORD, "name": "push.py", **changes}
    return person.client().post(
        ADDRESS,
        json.dumps(said),
        content_type="application/json",
        secure=True,
        headers={"X-Real-IP": address},
    )


def sign_in(
    password: str = PASSWORD, *, name: str = "olivia", address: str = "192.0.2.1"
) -> "Answer":
    """Fill in the form of the page."""
    return Client(headers={"Host": HOST, "X-Real-IP": address}).post(
        "/accounts/login/", {"username": name, "password": password}, secure=True
    )


def test_whoever_knows_the_password_gets_a_token_that_works(olivia: Person, nobody: Nginx) -> None:
    answer = ask(nobody)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    text = answer.json()["token"]
    assert Nginx(headers={"Authorization": f"Bearer {text}"}).authorize().status_code == 204
    assert ApiToken.objects.get(name="push.py").owner == olivia.user


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(
    olivia: Person, nobody: Nginx
) -> None:
    answers = [ask(nobody, password="wrong"), ask(nobody, username="nemo")]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].content == answers[1].content
    assert ApiToken.objects.filter(owner=olivia.user).count() == 1


def test_whoever_is_deactivated_gets_none(olivia: Person, nobody: Nginx) -> None:
    olivia.user.is_active = False
    olivia.user.save()
    assert ask(nobody).status_code == 401


@pytest.mark.usefixtures("olivia")
def test_a_password_can_be_guessed_five_times_and_then_not_for_a_while(nobody: Nginx) -> None:
    assert [ask(nobody, password="wrong").status_code for _ in range(5)] == [401] * 5
    answer = ask(nobody)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "300")
    assert ask(nobody, address="192.0.2.2").status_code == 201


@pytest.mark.usefixtures("olivia")
def test_one_address_cannot_try_many_names(nobody: Nginx) -> None:
    names = [f"user{number}" for number in range(50)]
    assert {ask(nobody, username=name).status_code for name in names} == {401}
    assert ask(nobody).status_code == 429


@pytest.mark.usefixtures("olivia")
def test_the_page_and_the_programs_count_together(nobody: Nginx) -> None:
    assert [ask(nobody, password="wrong").status_code for _ in range(3)] == [401] * 3
    assert [sign_in("wrong").status_code for _ in range(2)] == [200] * 2
    answer = sign_in()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "300")
    page = answer.content.decode()
    assert "Too many wrong passwords. Wait for five minutes, and try again." in page
    assert 'type="password"' in page
    assert ask(nobody).status_code == 429
    assert sign_in(address="192.0.2.2").status_code == 302


@pytest.mark.usefixtures("olivia")
def test_who_signs_in_begins_to_count_anew(nobody: Nginx) -> None:
    for name in ("one", "two"):
        assert [sign_in("wrong").status_code for _ in range(4)] == [200] * 4
        assert ask(nobody, name=name).status_code == 201
    assert [sign_in("wrong").status_code for _ in range(4)] == [200] * 4
    assert sign_in().status_code == 302
    assert not SignInFailure.objects.exists()


@pytest.mark.usefixtures("olivia")
def test_one_name_that_signs_in_forgives_no_other(nobody: Nginx) -> None:
    assert [sign_in("wrong", name="sam").status_code for _ in range(5)] == [200] * 5
    assert sign_in().status_code == 302
    assert sign_in("wrong", name="sam").status_code == 429
    assert ask(nobody, username="sam").status_code == 429


@pytest.mark.usefixtures("olivia")
def test_after_five_minutes_a_password_is_looked_at_again() -> None:
    assert [sign_in("wrong").status_code for _ in range(6)] == [200] * 5 + [429]
    SignInFailure.objects.update(at=timezone.now() - FAILURE_TIME)
    assert sign_in("wrong").status_code == 200
    assert SignInFailure.objects.count() == 1


@pytest.mark.usefixtures("olivia")
def test_who_is_told_to_wait_does_not_wait_for_longer_by_asking() -> None:
    assert [sign_in("wrong").status_code for _ in range(8)] == [200] * 5 + [429] * 3
    assert SignInFailure.objects.count() == FAILURES_OF_NAME


@pytest.mark.usefixtures("transactional_db", "olivia")
def test_guesses_at_the_same_time_are_counted_like_others() -> None:
    def guess(number: int) -> int:
        try:
            return sign_in(f"wrong {number}").status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(guess, range(12)))
    assert statuses.count(200) <= FAILURES_OF_NAME
    assert set(statuses) <= {200, 429}


@pytest.mark.usefixtures("olivia")
def test_what_was_typed_as_a_name_is_not_stored() -> None:
    sign_in("wrong", name=PASSWORD)
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_signinfailure")
        [row] = cursor.fetchall()
    assert PASSWORD not in str(row)


def test_a_token_can_be_asked_for_with_a_scope(olivia: Person, nobody: Nginx) -> None:
    assert ask(nobody).json()["scope"] == "all"
    answer = ask(nobody, name="backup", scope="read")
    assert (answer.status_code, answer.json()["scope"]) == (201, "read")
    program = Nginx(headers={"Authorization": f"Bearer {answer.json()['token']}"})
    assert program.get("/uploads/").status_code == 200
    assert program.authorize().status_code == 403
    assert olivia.user.tokens.get(name="backup").scope == Scope.READ


@pytest.mark.usefixtures("olivia")
def test_a_name_is_given_once(nobody: Nginx) -> None:
    assert [ask(nobody).status_code for _ in range(2)] == [201, 409]


@pytest.mark.usefixtures("olivia")
@pytest.mark.parametrize(
    "change", [{"name": ""}, {"name": "x" * 101}, {"password": 7}, {"scope": "root"}, {"scope": 1}]
)
def test_a_malformed_request_is_400(nobody: Nginx, change: dict[str, Any]) -> None:
    assert ask(nobody, **change).status_code == 400
    answer = nobody.client().post(ADDRESS, {"username": "olivia"}, secure=True)
    assert answer.status_code == 400
    assert nobody.get(ADDRESS).status_code == 405


def test_a_token_withdraws_itself_and_no_other(olivia: Person, nobody: Nginx) -> None:
    text = ask(nobody).json()["token"]
    api = Nginx(headers={"Authorization": f"Bearer {text}"})
    assert api.send("DELETE", ADDRESS).status_code == 204
    assert api.send("DELETE", ADDRESS).status_code == 401
    assert api.authorize().status_code == 401
    assert olivia.api.authorize().status_code == 204
    assert olivia.browser.send("DELETE", ADDRESS).status_code == 401
