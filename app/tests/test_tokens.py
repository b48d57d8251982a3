"""API tokens: only a digest is kept, and nothing shows the text again."""

import hashlib

import pytest
from django.contrib.admin.models import LogEntry
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from accounts.models import ApiToken, Scope, User, new_token
from tests.conftest import Person


def test_a_new_token_has_256_random_bits_and_a_prefix() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(token.startswith("dnu_") and len(token) == 47 for token in tokens)


def test_only_the_digest_is_stored(owner: Person) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM accounts_apitoken")
        row = " ".join(str(value) for value in cursor.fetchone())
    assert owner.token not in row
    assert owner.token[4:] not in row
    assert hashlib.sha256(owner.token.encode()).hexdigest() in row


def test_a_text_that_could_be_guessed_is_no_token(owner: Person) -> None:
    for text in ("", "secret", "dnu_short", "x" + owner.token, owner.token + "x"):
        with pytest.raises(ValidationError, match="create_token"):
            ApiToken.objects.add(owner.user, "weak", text)


def test_a_release_without_scopes_goes_on_making_tokens(owner: Person) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_apitoken (owner_id, name, digest, created)"
            " VALUES (%s, 'older', %s, CURRENT_TIMESTAMP)",
            [owner.user.pk, "0" * 64],
        )
    assert ApiToken.objects.get(name="older").scope == Scope.ALL


def test_a_name_is_used_once_by_an_owner(owner: Person, stranger: Person) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiToken.objects.add(owner.user, "laptop", new_token())
    ApiToken.objects.add(stranger.user, "other", new_token())


def test_the_admin_shows_and_revokes_tokens_but_not_their_text(
    owner: Person, colleague: Person
) -> None:
    User.objects.filter(pk=colleague.user.pk).update(is_superuser=True)
    token = ApiToken.objects.get(owner=owner.user)
    address = f"/admin/accounts/apitoken/{token.pk}/change/"
    page = colleague.browser.get(address).content.decode()
    assert "laptop" in page
    assert owner.token not in page
    assert token.digest not in page
    browser = colleague.browser.client()
    form = {"name": "laptop", "scope": "all", "revoked_0": "2026-01-01", "revoked_1": "00:00:00"}
    form["csrfmiddlewaretoken"] = browser.get(address, secure=True).cookies["csrftoken"].value
    answer = browser.post(address, form, secure=True, headers={"Referer": "https://upload.test/"})
    assert answer.status_code == 302
    assert LogEntry.objects.count() == 1
    assert owner.api.authorize().status_code == 401
    assert colleague.browser.get("/admin/accounts/apitoken/add/").status_code == 403
