"""A token for a password: who gets one, how often it may be guessed, and how it is withdrawn."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache

from accounts.models import ApiToken
from tests.conftest import Person
from tests.nginx import Nginx

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

PASSWORD = "correct horse battery staple"
ADDRESS = "/accounts/token"


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    """Begin and end without failures of other tests."""
    cache.clear()
    yield
    cache.clear()


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
def test_a_name_is_given_once(nobody: Nginx) -> None:
    assert [ask(nobody).status_code for _ in range(2)] == [201, 409]


@pytest.mark.usefixtures("olivia")
@pytest.mark.parametrize("change", [{"name": ""}, {"name": "x" * 101}, {"password": 7}])
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
