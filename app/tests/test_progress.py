"""Uploads that are under way or over: visible to their people as such, and never as files."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from tests.conftest import Person
from tests.nginx import HOST, checkpoint, received
from tests.tus import Tus, metadata
from uploads import partials
from uploads.models import State, Upload


@pytest.fixture
def upload(owner: Person) -> Upload:
    """Return an upload of eight bytes whose first four are there."""
    url = Tus(owner.api).begin(8, Upload_Metadata=metadata(filename="half.bam", sample="S1"))
    Tus(owner.api).patch(url, 0, b"sequ")
    return Upload.objects.get()


def test_the_description_says_how_far_an_upload_is(
    upload: Upload, owner: Person, colleague: Person
) -> None:
    assert upload.expires is not None
    for person in (owner, colleague):
        answer = person.api.get(upload.get_absolute_url())
        assert answer.status_code == 200
        assert answer.json() == {
            "id": str(upload.id),
            "name": "half.bam",
            "protocol": "tus",
            "state": "receiving",
            "offset": 4,
            "length": 8,
            "expires": upload.expires.isoformat(),
            "url": f"https://{HOST}/files/{upload.id}",
            "content_type": "",
            "fields": {"sample": ["S1"]},
            "created": upload.created.isoformat(),
        }


def test_a_length_that_is_not_known_is_null(owner: Person) -> None:
    Tus(owner.api).begin(None)
    found = owner.api.get(Upload.objects.get().get_absolute_url()).json()
    assert (found["length"], found["offset"]) == (None, 0)


def test_the_description_does_not_wait_for_who_writes(upload: Upload, owner: Person) -> None:
    with partials.held(partials.path_of(upload.id), None):
        assert owner.api.get(upload.get_absolute_url()).json()["offset"] == 4


def test_to_a_stranger_it_is_not_there(upload: Upload, stranger: Person) -> None:
    for path in (upload.get_absolute_url(), upload.get_download_url()):
        assert stranger.api.get(path).status_code == 404


def test_an_unfinished_upload_is_no_file(upload: Upload, owner: Person) -> None:
    answer = owner.api.get(upload.get_download_url())
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:upload:unfinished")
    assert "X-Accel-Redirect" not in answer.headers


def test_a_verifying_upload_has_all_its_bytes(upload: Upload, owner: Person) -> None:
    Upload.objects.advance(upload.id, State.VERIFYING)
    found = owner.api.get(upload.get_absolute_url()).json()
    assert (found["state"], found["offset"], found["length"]) == ("verifying", 8, 8)
    assert owner.api.get(upload.get_download_url()).status_code == 409
    assert Tus(owner.api).head(f"https://{HOST}/files/{upload.id}").headers["Upload-Offset"] == "8"
    assert Tus(owner.api).patch(f"https://{HOST}/files/{upload.id}", 8, b"").status_code == 403


@pytest.mark.parametrize("end", ["expired", "deleted", "overdue"])
def test_an_ended_upload_is_410(upload: Upload, owner: Person, stranger: Person, end: str) -> None:
    if end == "overdue":
        Upload.objects.update(expires=timezone.now() - timedelta(seconds=1))
    else:
        Upload.objects.update(state=end)
    for path in (upload.get_absolute_url(), upload.get_download_url()):
        assert owner.api.get(path).status_code == 410
        assert stranger.api.get(path).status_code == 404
    assert "half.bam" not in owner.browser.get("/uploads/").content.decode()


def test_a_finished_upload_is_described_as_one_from_a_form(upload: Upload, owner: Person) -> None:
    Tus(owner.api).patch(f"https://{HOST}/files/{upload.id}", 4, b"ence")
    tus = owner.api.get(upload.get_absolute_url()).json()
    form = owner.api.upload(received(b"sequence", "half.bam")).json()["uploads"][0]
    assert tus["state"] == "complete"
    assert tus["sha256"] == form["sha256"]
    assert set(tus) == {*form, "state", "content_type", "fields", "created"}
    assert owner.api.get(upload.get_download_url()).status_code == 200
    assert "half.bam" in owner.browser.get("/uploads/").content.decode()


def test_what_a_restart_made_of_an_upload_is_told(upload: Upload, owner: Person) -> None:
    checkpoint(partials.path_of(upload.id), 3, sequence=9, boot="another")
    assert owner.api.get(upload.get_absolute_url()).json()["offset"] == 3
    url = f"https://{HOST}/files/{upload.id}"
    assert Tus(owner.api).head(url).headers["Upload-Offset"] == "3"
    answer = Tus(owner.api).patch(url, 4, b"ence")
    assert (answer.status_code, answer.json()["expected"]) == (409, 3)


def test_ten_thousand_ended_uploads_do_not_slow_the_table(owner: Person, colleague: Person) -> None:
    Upload.objects.bulk_create(
        Upload(owner=owner.user, name="old", state=State.DELETED) for _ in range(10_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for person in (owner, colleague):
        assert "Nothing here yet" in person.browser.get("/uploads/").content.decode()
        plan = Upload.objects.visible_to(person.user).complete().explain()
        assert "upload_newest" in plan, plan
