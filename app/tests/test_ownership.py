"""Who may do what below /files/: an upload is its owner's alone, and to others it is not there."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.models import ApiToken, new_token
from tests.conftest import Person
from tests.nginx import GRANT, HOST, Nginx, append
from tests.tus import TYPE, VERSION, Tus
from uploads.models import State, Upload

PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def url(owner: Person) -> str:
    """Return the address of the owner's upload, of which half is there."""
    address = Tus(owner.api).begin(8)
    Tus(owner.api).patch(address, 0, b"sequ")
    return address


def _statuses(client: Nginx, url: str) -> list[int]:
    tus = Tus(client)
    answers = (tus.head(url), tus.patch(url, 4, b"x"), tus.delete(url))
    return [answer.status_code for answer in answers]


def test_to_strangers_and_colleagues_it_is_not_there(
    url: str, stranger: Person, colleague: Person
) -> None:
    unknown = f"https://{HOST}/files/{uuid.uuid4()}"
    for person in (stranger, colleague):
        assert _statuses(person.api, url) == _statuses(person.api, unknown) == [404, 404, 404]
        there, nowhere = (Tus(person.api).patch(at, 4, b"x") for at in (url, unknown))
        assert there.content == nowhere.content
        assert dict(there.headers) == dict(nowhere.headers)
    assert Upload.objects.get().state == State.RECEIVING


def test_an_ended_one_is_not_there_either(url: str, owner: Person, stranger: Person) -> None:
    Tus(owner.api).delete(url)
    assert _statuses(owner.api, url) == [410, 410, 410]
    assert _statuses(stranger.api, url) == [404, 404, 404]


def test_nobody_is_asked_for_a_token(url: str, nobody: Nginx) -> None:
    unknown = f"https://{HOST}/files/{uuid.uuid4()}"
    assert _statuses(nobody, url) == _statuses(nobody, unknown) == [401, 401, 401]
    answer = Tus(nobody).create(Upload_Length="8")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="upload"'


def test_a_browser_uploads_from_our_own_page_only(owner: Person) -> None:
    ours = Nginx(headers=PAGE, cookies=owner.browser.cookies)
    theirs = Nginx(headers={"Sec-Fetch-Site": "cross-site"}, cookies=owner.browser.cookies)
    assert Tus(theirs).create(Upload_Length="8").status_code == 403
    url = Tus(ours).begin(8)
    assert Tus(theirs).patch(url, 0, b"sequ").status_code == 403
    assert Tus(theirs).delete(url).status_code == 403
    assert Tus(ours).patch(url, 0, b"sequ").status_code == 204
    assert Tus(ours).delete(url).status_code == 204
    assert Upload.objects.get().token is None


# Tokens that end before the upload does.


def test_a_token_that_expires_goes_on_with_what_it_created(url: str, owner: Person) -> None:
    ApiToken.objects.filter(owner=owner.user).update(expires=timezone.now())
    tus = Tus(owner.api)
    assert tus.create(Upload_Length="8").status_code == 401
    assert owner.api.get("/uploads/").status_code == 401
    assert tus.head(url).status_code == 200
    assert tus.patch(url, 4, b"ence").status_code == 204
    assert tus.head(url).headers["Upload-Offset"] == "8"
    assert Upload.objects.get().state == State.COMPLETE


def test_another_expired_token_of_the_owner_does_not(url: str, owner: Person) -> None:
    text = new_token()
    ApiToken.objects.add(owner.user, "old", text, timezone.now() - timedelta(days=1))
    other = Nginx(headers={"Authorization": f"Bearer {text}"})
    assert _statuses(other, url) == [401, 401, 401]


@pytest.mark.parametrize("change", ["revoked", "deleted", "inactive"])
def test_a_right_that_was_withdrawn_is_gone(url: str, owner: Person, change: str) -> None:
    created = Tus(owner.api).create(Upload_Length="8")
    capability = Nginx(headers={"Authorization": f"Bearer {created.headers['Upload-Token']}"})
    assert Tus(capability).head(created.headers["Location"]).status_code == 200
    tokens = ApiToken.objects.filter(owner=owner.user)
    if change == "revoked":
        tokens.update(revoked=timezone.now())
    elif change == "deleted":
        tokens.delete()
    else:
        owner.user.is_active = False
        owner.user.save()
    assert _statuses(owner.api, url) == [401, 401, 401]
    assert _statuses(capability, created.headers["Location"]) == [401, 401, 401]


def test_a_capability_is_good_for_its_upload_alone(url: str, owner: Person) -> None:
    created = Tus(owner.api).create(Upload_Length="8")
    text = created.headers["Upload-Token"]
    assert text.startswith("upl_")
    capability = Nginx(headers={"Authorization": f"Bearer {text}"})
    ApiToken.objects.update(expires=timezone.now())
    assert _statuses(capability, url) == [401, 401, 401]
    assert Tus(capability).create(Upload_Length="8").status_code == 401
    assert capability.authorize().status_code == 401
    assert capability.get("/uploads/").status_code == 401
    own = created.headers["Location"]
    assert Tus(capability).patch(own, 0, b"sequence").status_code == 204
    assert Tus(capability).head(own).headers["Upload-Offset"] == "8"
    assert Tus(capability).delete(own).status_code == 204


def test_a_capability_ends_with_its_upload(owner: Person) -> None:
    created = Tus(owner.api).create(Upload_Length="8")
    text = created.headers["Upload-Token"]
    capability = Nginx(headers={"Authorization": f"Bearer {text}"})
    Upload.objects.update(expires=timezone.now())
    assert _statuses(capability, created.headers["Location"]) == [401, 401, 401]


@pytest.mark.parametrize("change", ["cut", "other id", "other token", "plain"])
def test_a_forged_capability_opens_nothing(
    url: str, owner: Person, stranger: Person, change: str
) -> None:
    own = Tus(stranger.api).create(Upload_Length="8").headers["Upload-Token"]
    value, signature = own.rsplit(".", 1)
    target = uuid.UUID(url.rpartition("/")[2]).hex
    forged = {
        "cut": own[:-1],
        "other id": f"upl_{target}.{value.partition('.')[2]}.{signature}",
        "other token": f"{value.partition('.')[0]}.0.{signature}",
        "plain": f"upl_{target}",
    }[change]
    client = Nginx(headers={"Authorization": f"Bearer {forged}"})
    assert _statuses(client, url) == [401, 401, 401]
    assert owner.user != stranger.user


def test_a_capability_of_a_session_needs_no_token(owner: Person) -> None:
    created = Tus(Nginx(headers=PAGE, cookies=owner.browser.cookies)).create(Upload_Length="8")
    client = Nginx(headers={"Authorization": f"Bearer {created.headers['Upload-Token']}"})
    assert Tus(client).patch(created.headers["Location"], 0, b"sequence").status_code == 204


# The grant of an append.


def _permit(person: Person, url: str) -> tuple[str, Path]:
    headers = {**VERSION, **TYPE, "Upload-Offset": "4"}
    answer = person.api.permit("PATCH", url.removeprefix(f"https://{HOST}"), 4, headers)
    return answer.headers[GRANT], Path(answer.headers["X-Upload-Path"])


def test_a_grant_for_a_form_is_none_for_an_append(url: str, owner: Person) -> None:
    grant, path = _permit(owner, url)
    form = append(path, 4, b"ence")
    assert owner.api.complete(form, owner.api.authorize().headers[GRANT]).status_code == 403
    assert owner.api.complete(form, "").status_code == 403
    assert owner.api.complete(form[:-1], grant).status_code == 400
    assert owner.api.complete([*form, *form], grant).status_code == 400
    assert owner.api.complete(form, grant).status_code == 204


def test_a_token_that_is_revoked_meanwhile_ends_the_append(url: str, owner: Person) -> None:
    grant, path = _permit(owner, url)
    ApiToken.objects.update(revoked=timezone.now())
    answer = owner.api.complete(append(path, 4, b"ence"), grant)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:upload:grant-withdrawn")
    assert Upload.objects.get().state == State.RECEIVING


@pytest.mark.parametrize("path", ["other", "outside", "link", "size", "sha256"])
def test_a_file_that_is_not_the_uploads_own_is_refused(
    url: str, owner: Person, store: Path, stored: Callable[[], list[Path]], path: str
) -> None:
    grant, own = _permit(owner, url)
    other = store / "incoming" / str(uuid.uuid4())
    form = dict(append(own, 4, b"ence"))
    append(other, 0, b"sequence")
    if path == "other":
        form["file.path"] = str(other)
    elif path == "outside":
        form["file.path"] = f"{store}/incoming/../incoming/{own.name}"
    elif path == "link":
        own.unlink()
        own.symlink_to(other)
    elif path == "size":
        form["file.size"] = "9"
    else:
        form["file.sha256"] = "0" * 63
    assert owner.api.complete(list(form.items()), grant).status_code == 400
    assert stored() == []
    assert Upload.objects.get().state == State.RECEIVING
