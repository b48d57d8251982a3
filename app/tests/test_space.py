"""Room and quotas: declared lengths are reserved, and nobody gets more than is left."""

import os
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.conftest import Person
from tests.nginx import received
from tests.tus import Tus
from uploads import partials, space, storage
from uploads.models import Upload

MIB = 1024**2
MAX_SIZE = "X-Upload-Max-Size"

type Room = Callable[[int], None]


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Room:
    """Return what sets the bytes that the disk has left."""
    return lambda size: monkeypatch.setattr(storage, "room", lambda: size)


def test_a_declared_length_is_reserved_for_everybody(
    owner: Person, stranger: Person, room: Room
) -> None:
    room(10 * MIB)
    Tus(owner.api).begin(6 * MIB)
    answer = Tus(stranger.api).create(Upload_Length=str(5 * MIB))
    assert answer.status_code == 507
    problem = answer.json()
    assert (problem["size"], problem["free"], problem["reserved"]) == (5 * MIB, 4 * MIB, 6 * MIB)
    assert stranger.api.authorize(5 * MIB).json()["reserved"] == 6 * MIB
    assert stranger.api.authorize(4 * MIB).status_code == 204
    assert Tus(stranger.api).create(Upload_Length=str(4 * MIB)).status_code == 201


def test_what_nginx_has_taken_is_not_reserved_twice(owner: Person, room: Room) -> None:
    room(10 * MIB)
    url = Tus(owner.api).begin(6 * MIB)
    path = partials.path_of(Upload.objects.get().id)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 6 * MIB)
        os.ftruncate(file.fileno(), 0)
        os.posix_fallocate(file.fileno(), 0, 4 * MIB)
    reserved = space.of(owner.user).reserved
    assert 1.9 * MIB < reserved <= 2 * MIB
    Tus(owner.api).delete(url)
    assert space.of(owner.user).reserved == 0


def test_a_creation_that_failed_reserves_for_a_few_minutes_only(owner: Person) -> None:
    permit = owner.api.permit(
        "POST", "/files/", 0, {"Tus-Resumable": "1.0.0", "Upload-Length": str(MIB)}
    )
    assert permit.status_code == 204
    assert space.of(owner.user).reserved == MIB
    soon = timezone.now() + timedelta(minutes=11)
    assert Upload.objects.get(expires__lt=soon).length == MIB
    Upload.objects.update(expires=timezone.now())
    assert space.of(owner.user).reserved == 0


def test_an_unknown_length_is_capped_at_what_is_left(
    owner: Person, stranger: Person, room: Room, settings: Settings
) -> None:
    room(10 * MIB)
    Tus(stranger.api).begin(6 * MIB)
    headers = {"Tus-Resumable": "1.0.0", "Upload-Defer-Length": "1"}
    assert owner.api.permit("POST", "/files/", 0, headers).headers[MAX_SIZE] == str(4 * MIB)
    settings.UPLOAD_MAX_SIZE = MIB
    assert owner.api.permit("POST", "/files/", 0, headers).headers[MAX_SIZE] == str(MIB)
    settings.UPLOAD_MAX_SIZE = 0
    settings.UPLOAD_QUOTA = 2 * MIB
    assert owner.api.permit("POST", "/files/", 0, headers).headers[MAX_SIZE] == str(2 * MIB)


def test_the_cap_counts_what_is_there_already(owner: Person, room: Room) -> None:
    room(10 * MIB)
    url = Tus(owner.api).begin(None)
    Tus(owner.api).patch(url, 0, b"x" * MIB)
    room(9 * MIB)
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": str(MIB),
        "Content-Type": "application/offset+octet-stream",
    }
    path = url.removeprefix("https://upload.test")
    assert owner.api.permit("PATCH", path, None, headers).headers[MAX_SIZE] == str(10 * MIB)
    refused = owner.api.permit("PATCH", path, 9 * MIB + 1, headers)
    assert (refused.status_code, refused.json()["free"]) == (507, 9 * MIB)


def test_a_length_that_comes_later_has_to_fit_as_well(owner: Person, room: Room) -> None:
    room(10 * MIB)
    url = Tus(owner.api).begin(None)
    answer = Tus(owner.api).patch(url, 0, b"x", Upload_Length=str(11 * MIB))
    assert answer.status_code == 507
    assert Upload.objects.get().length is None
    assert Tus(owner.api).patch(url, 0, b"x", Upload_Length=str(10 * MIB)).status_code == 204


def test_a_quota_counts_finished_and_declared_bytes(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_QUOTA = 1000
    owner.api.upload(received(b"x" * 300))
    Tus(owner.api).begin(400)
    unknown = Tus(owner.api).begin(None)
    Tus(owner.api).patch(unknown, 0, b"x" * 100)
    refused = [Tus(owner.api).create(Upload_Length="201"), owner.api.authorize(201)]
    for answer in refused:
        assert (answer.status_code, answer.json()["type"]) == (507, "urn:upload:quota")
        problem = answer.json()
        assert (problem["size"], problem["quota"], problem["used"]) == (201, 1000, 800)
    assert owner.api.authorize(200).status_code == 204
    assert Tus(owner.api).create(Upload_Length="200").status_code == 201
    full = Tus(owner.api).create(Upload_Defer_Length="1")
    assert (full.status_code, full.json()["used"]) == (507, 1000)


def test_what_was_deleted_counts_no_more(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_QUOTA = 1000
    url = Tus(owner.api).begin(1000)
    assert Tus(owner.api).create(Upload_Length="1").status_code == 507
    Tus(owner.api).delete(url)
    assert Tus(owner.api).create(Upload_Length="1000").status_code == 201


def test_a_users_own_quota_goes_before_the_default(
    owner: Person, stranger: Person, settings: Settings
) -> None:
    settings.UPLOAD_QUOTA = 100
    owner.user.quota = 1000
    owner.user.save()
    assert Tus(owner.api).create(Upload_Length="1000").status_code == 201
    assert Tus(stranger.api).create(Upload_Length="101").status_code == 507
    stranger.user.quota = 0
    stranger.user.save()
    assert Tus(stranger.api).create(Upload_Length="101").status_code == 201


def test_the_page_says_what_is_left_for_this_user(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_QUOTA = 3 * MIB
    assert "3.0 MiB free" in owner.browser.get("/upload").content.decode()


def test_files_of_others_do_not_count(owner: Person, stranger: Person, settings: Settings) -> None:
    settings.UPLOAD_QUOTA = 1000
    Tus(owner.api).begin(1000)
    assert space.of(stranger.user).used == 0
    assert space.of(owner.user).used == 1000
