"""Grants: only what authorize signed, and not too long ago, lets an upload be recorded."""

import time

import pytest
from django.core import signing
from django.utils import timezone
from pytest_django import Settings

from accounts.models import ApiToken
from tests.conftest import Person
from tests.nginx import GRANT, Nginx, received
from uploads.models import Upload


def _refused(owner: Person, grant: str) -> str:
    answer = owner.api.complete(received(b"x"), grant)
    assert answer.status_code == 403
    assert Upload.objects.count() == 0
    kind: str = answer.json()["type"]
    return kind


def test_a_token_is_no_grant(owner: Person) -> None:
    assert _refused(owner, "") == "urn:upload:grant-invalid"
    assert _refused(owner, owner.token) == "urn:upload:grant-invalid"


def test_a_changed_grant_is_refused(owner: Person, stranger: Person) -> None:
    mine = owner.api.authorize().headers[GRANT].split(":")
    theirs = stranger.api.authorize().headers[GRANT].split(":")
    for forged in ([theirs[0], *mine[1:]], [mine[0], theirs[1] + "1", mine[2]], [*mine[:2], ""]):
        assert _refused(owner, ":".join(forged)) == "urn:upload:grant-invalid"


def test_a_grant_of_another_key_is_refused(owner: Person, settings: Settings) -> None:
    grant = owner.api.authorize().headers[GRANT]
    settings.SECRET_KEY = "another-key-" * 5
    assert _refused(owner, grant) == "urn:upload:grant-invalid"


def test_something_else_that_we_signed_is_no_grant(owner: Person) -> None:
    assert _refused(owner, signing.dumps({"user": owner.user.pk})) == "urn:upload:grant-invalid"
    for value in ({"user": owner.user.pk}, [1], None):
        signed = signing.dumps(value, salt="uploads.grant")
        assert _refused(owner, signed) == "urn:upload:grant-invalid"


def test_a_grant_expires(
    owner: Person, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.UPLOAD_GRANT_MAX_AGE = 3600
    now = time.time()
    with monkeypatch.context() as clock:
        clock.setattr(time, "time", lambda: now - 3500)
        young = owner.api.authorize().headers[GRANT]
        clock.setattr(time, "time", lambda: now - 3700)
        old = owner.api.authorize().headers[GRANT]
    assert _refused(owner, old) == "urn:upload:grant-expired"
    assert owner.api.complete(received(b"x"), young).status_code == 200


@pytest.mark.parametrize("change", ["revoked", "deleted", "inactive"])
def test_a_right_that_was_withdrawn_meanwhile_is_gone(owner: Person, change: str) -> None:
    grant = owner.api.authorize().headers[GRANT]
    if change == "revoked":
        ApiToken.objects.update(revoked=timezone.now())
    elif change == "deleted":
        ApiToken.objects.all().delete()
    else:
        owner.user.is_active = False
        owner.user.save()
    assert _refused(owner, grant) == "urn:upload:grant-withdrawn"


def test_a_token_that_ran_out_meanwhile_was_good_when_it_counted(owner: Person) -> None:
    grant = owner.api.authorize().headers[GRANT]
    ApiToken.objects.update(expires=timezone.now())
    assert owner.api.complete(received(b"x"), grant).status_code == 200


def test_the_grant_says_whose_the_upload_is_and_not_the_request(
    owner: Person, stranger: Person
) -> None:
    grant = owner.api.authorize().headers[GRANT]
    assert stranger.api.complete(received(b"x"), grant).status_code == 200
    assert Upload.objects.get().owner == owner.user


def test_a_grant_of_a_session_needs_no_token(owner: Person) -> None:
    grant = owner.browser.authorize().headers[GRANT]
    ApiToken.objects.all().delete()
    assert Nginx().complete(received(b"x"), grant).status_code == 200
