"""The history of an upload: who, from where, by which protocol, and how often it was cut."""

import io
import os
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts.models import ApiToken
from tests.conftest import Person
from tests.nginx import GRANT, HOST, Nginx, received, writing
from tests.tus import TYPE, VERSION, Tus
from uploads import ending, history, partials, sharing
from uploads.models import Kind, ShareLink, State, Upload, UploadEvent

type Line = tuple[str, str, str, str]


def kinds(upload: Upload | None = None) -> list[str]:
    """Return what happened, in its order."""
    events = UploadEvent.objects.filter(upload=upload or Upload.objects.get())
    return list(events.values_list("kind", flat=True))


def lines(upload: Upload) -> list[Line]:
    """Return what happened, to whom it is put down, from where and by which protocol."""
    return [
        (event.kind, event.user.username if event.user else "", event.token, event.protocol)
        for event in upload.events.select_related("user")
    ]


def from_(person: Person, address: str) -> Nginx:
    """Return the person's program at an address, as nginx names it."""
    return Nginx(headers={**person.api.headers, "X-Real-IP": address})


def test_a_form_began_when_it_was_allowed_to(owner: Person) -> None:
    client = from_(owner, "2001:db8::1")
    grant = client.authorize().headers[GRANT]
    assert client.complete([*received(b"1", "a"), *received(b"2", "b")], grant).status_code == 200
    for upload in Upload.objects.all():
        assert lines(upload) == [
            (Kind.BEGAN, "olivia", "laptop", "form"),
            (Kind.COMPLETED, "olivia", "laptop", "form"),
        ]
        began, completed = upload.events.all()
        assert timedelta(0) <= completed.at - began.at < timedelta(minutes=1)
        assert {began.address, completed.address} == {"2001:db8::1"}


def test_a_browser_has_no_token(owner: Person) -> None:
    owner.browser.upload(received(b"x"))
    assert {line[1:3] for line in lines(Upload.objects.get())} == {("olivia", "")}


@pytest.mark.parametrize("sent", ["", "unix:", "1.2.3.4, 5.6.7.8", "<b>"])
def test_what_is_no_address_is_not_kept(owner: Person, sent: str) -> None:
    from_(owner, sent).upload(received(b"x"))
    assert set(UploadEvent.objects.values_list("address", flat=True)) == {""}


def test_an_upload_that_nothing_cuts_has_no_interruption(owner: Person) -> None:
    tus = Tus(from_(owner, "192.0.2.7"))
    url = tus.begin(40)
    for number in range(40):
        assert tus.patch(url, number, b"x").status_code == 204
    upload = Upload.objects.get()
    assert upload.state == State.COMPLETE
    assert kinds() == [Kind.BEGAN, Kind.COMPLETED]
    assert history.interruptions(upload) == 0


def test_each_continuation_after_a_cut_is_an_interruption(owner: Person) -> None:
    tus = Tus(from_(owner, "192.0.2.7"))
    url = tus.begin(8)
    tus.patch(url, 0, b"sequence", cut=2)
    elsewhere = Tus(from_(owner, "192.0.2.8"))
    assert elsewhere.head(url).headers["Upload-Offset"] == "2"
    elsewhere.patch(url, 2, b"quence", cut=3)
    assert elsewhere.patch(url, 5, b"e").status_code == 204
    assert elsewhere.patch(url, 6, b"xx").status_code == 204
    upload = Upload.objects.get()
    assert kinds() == [Kind.BEGAN, Kind.WENT_ON, Kind.WENT_ON, Kind.COMPLETED]
    cuts = upload.events.filter(kind=Kind.WENT_ON)
    assert [(cut.offset, cut.address) for cut in cuts] == [(2, "192.0.2.8"), (5, "192.0.2.8")]
    page = owner.browser.get(upload.get_absolute_url()).content.decode()
    assert "<dt>Interruptions</dt><dd>2</dd>" in page
    for text in ("192.0.2.7", "192.0.2.8", "at 5 bytes", "token laptop", "tus 1.0"):
        assert text in page


def test_trying_again_at_the_same_offset_counts_once(owner: Person) -> None:
    tus = Tus(owner.api)
    url = tus.begin(8)
    tus.patch(url, 0, b"sequence", cut=2)
    for _ in range(3):
        tus.patch(url, 2, b"quence", cut=0)
    # One that asks while somebody writes is not known to go on from there.
    with writing(partials.path_of(Upload.objects.get().id)):
        sent = {**VERSION, **TYPE, "Upload-Offset": "3"}
        answer = tus.client.permit("PATCH", url.removeprefix(f"https://{HOST}"), 1, sent)
        assert answer.status_code == 204
    assert tus.patch(url, 7, b"e").status_code == 409
    assert tus.patch(url, 2, b"quence").status_code == 204
    assert kinds() == [Kind.BEGAN, Kind.WENT_ON, Kind.COMPLETED]


def test_a_put_that_curl_goes_on_with_was_interrupted(owner: Person) -> None:
    owner.api.send("PUT", "/files/run.bam", b"sequence", cut=3)
    rest = {"Content-Range": "bytes 3-7/8"}
    assert owner.api.send("PUT", "/files/run.bam", b"uence", rest).status_code == 201
    assert kinds() == [Kind.BEGAN, Kind.WENT_ON, Kind.COMPLETED]


def test_a_token_that_ran_out_is_still_named(owner: Person) -> None:
    tus = Tus(owner.api)
    url = tus.begin(8)
    ApiToken.objects.update(expires=timezone.now())
    tus.patch(url, 0, b"sequence", cut=4)
    assert tus.patch(url, 4, b"ence").status_code == 204
    assert {line[1:3] for line in lines(Upload.objects.get())} == {("olivia", "laptop")}


def test_the_end_of_an_upload_is_put_down_to_who_ended_it(owner: Person) -> None:
    tus = Tus(owner.api)
    deleted, overdue = tus.begin(8), tus.begin(8)
    assert tus.delete(deleted).status_code == 204
    upload = Upload.objects.get(pk=overdue.rsplit("/", 1)[1])
    Upload.objects.filter(pk=upload.pk).update(expires=timezone.now())
    path = partials.path_of(upload.id)
    for each in (path, partials.checkpoint_of(path)):
        if each.exists():
            os.utime(each, (0, 0))
    assert ending.expire(upload)
    assert lines(Upload.objects.get(state=State.DELETED))[-1] == (
        Kind.DELETED,
        "olivia",
        "laptop",
        "tus",
    )
    assert lines(upload)[-1] == (Kind.EXPIRED, "", "", "tus")
    page = owner.browser.get(upload.get_absolute_url())
    assert page.status_code == 410
    assert "Expired" in page.content.decode()


def test_a_put_that_begins_anew_says_why_the_older_one_ended(owner: Person) -> None:
    owner.api.send("PUT", "/files/run.bam", b"sequence", cut=3)
    owner.api.send("PUT", "/files/run.bam", b"sequence")
    event = UploadEvent.objects.get(kind=Kind.DELETED)
    assert event.detail == "sent again from its beginning"


# What is forgotten.


def test_events_and_links_go_with_the_record_of_their_upload(owner: Person) -> None:
    Tus(owner.api).delete(Tus(owner.api).begin(8))
    upload = Upload.objects.get()
    sharing.create(upload, owner.user, timezone.now() + timedelta(days=1))
    Upload.objects.update(ended=timezone.now() - timedelta(days=31))
    out = io.StringIO()
    call_command("expire_uploads", stdout=out)
    assert "1 ended uploads forgotten" in out.getvalue()
    assert (UploadEvent.objects.count(), ShareLink.objects.count()) == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_the_release_before_goes_on_and_what_it_leaves_behind_is_forgotten(
    owner: Person, colleague: Person
) -> None:
    before = MigrationExecutor(connection).loader.project_state(
        [("uploads", "0004_expected_sha256")]
    )
    old_upload = before.apps.get_model("uploads", "Upload")
    old_user = before.apps.get_model("accounts", "User")
    new = old_upload.objects.create(owner_id=owner.user.pk, name="x", sha256="0" * 64)
    upload = Upload.objects.get(pk=new.pk)
    assert upload.reported == 0
    sharing.create(upload, colleague.user, timezone.now() + timedelta(days=1))
    UploadEvent.objects.update(user=colleague.user)
    ApiToken.objects.filter(owner=colleague.user).delete()
    old_user.objects.filter(pk=colleague.user.pk).delete()
    [event] = history.of(upload)
    assert event.user is None
    old_upload.objects.all().delete()
    assert (UploadEvent.objects.count(), ShareLink.objects.count()) == (1, 1)
    call_command("expire_uploads", stdout=io.StringIO())
    assert (UploadEvent.objects.count(), ShareLink.objects.count()) == (0, 0)
