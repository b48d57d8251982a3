"""How an upload ends: complete, expired or deleted, by one request alone, and after any crash."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, connections
from django.utils import timezone

from config.problems import Problem
from tests.conftest import Person
from tests.nginx import GRANT, HOST, append, checkpoint, writing
from tests.tus import TYPE, VERSION, Tus
from uploads import ending, partials, service, storage
from uploads.handoff import ReceivedBody
from uploads.models import TRANSITIONS, State, Upload
from uploads.refusals import Gone, Incomplete

type Listing = Callable[[], list[Path]]

SHA256 = "0" * 64


@pytest.fixture
def upload(owner: Person) -> Upload:
    """Return an upload of eight bytes whose first four are there."""
    Tus(owner.api).patch(Tus(owner.api).begin(8), 0, b"sequ")
    return Upload.objects.get()


def _body(upload: Upload, size: int) -> ReceivedBody:
    path = partials.path_of(upload.id)
    if path.exists():
        append(path, path.stat().st_size, b"x" * (size - path.stat().st_size))
    return ReceivedBody(path=path, offset=0, size=size, sha256=SHA256)


def test_a_state_changes_only_as_it_may(upload: Upload) -> None:
    for state in State:
        for target in State:
            Upload.objects.update(state=state, sha256=SHA256)
            assert Upload.objects.advance(upload.id, target) == (target in TRANSITIONS[state])
    assert Upload.objects.advance(upload.id, State.RECEIVING) is False


def test_an_end_without_length_is_the_clients_word(owner: Person) -> None:
    Tus(owner.api).begin(None)
    upload = Upload.objects.get()
    found = service.received(upload, _body(upload, 5), is_final=False)
    assert (found.offset, found.length, upload.state) == (5, None, State.RECEIVING)
    found = service.received(upload, _body(upload, 7), is_final=True)
    assert (found.offset, found.length, upload.state) == (7, 7, State.COMPLETE)


def test_an_end_before_the_declared_length_is_refused(upload: Upload) -> None:
    with pytest.raises(Incomplete):
        service.received(upload, _body(upload, 7), is_final=True)
    assert Upload.objects.get().state == State.RECEIVING


def test_what_was_received_of_a_finished_upload_changes_nothing(upload: Upload) -> None:
    stale = Upload.objects.get()
    body = _body(upload, 8)
    service.received(upload, body, is_final=False)
    assert service.received(stale, body, is_final=False).offset == 8
    assert service.received(upload, body, is_final=False).offset == 8


@pytest.mark.parametrize("state", [State.EXPIRED, State.DELETED])
def test_what_was_received_of_an_ended_upload_is_gone(upload: Upload, state: State) -> None:
    body = _body(upload, 8)
    stale = Upload.objects.get()
    Upload.objects.update(state=state)
    for known in (stale, Upload.objects.get()):
        with pytest.raises(Gone):
            service.received(known, body, is_final=False)


# A database that fails, and processes that are killed.

_REFUSE = {
    "sqlite": (
        "CREATE TRIGGER refuse BEFORE UPDATE ON uploads_upload WHEN NEW.state = 'complete'"
        " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$",
        "CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON uploads_upload"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.state = 'complete')"
        " EXECUTE FUNCTION refuse()",
    ),
}
_RESTORE = {
    "sqlite": ("DROP TRIGGER refuse",),
    "postgresql": ("DROP FUNCTION refuse CASCADE",),
}


@pytest.fixture
def refusing_database(transactional_db: None) -> Iterator[Callable[[], None]]:  # noqa: ARG001
    """Make it impossible to record a finished upload; what it returns ends that."""
    with connection.cursor() as cursor:
        for statement in _REFUSE[connection.vendor]:
            cursor.execute(statement)
        restored: list[bool] = []

        def restore() -> None:
            if not restored:
                restored.append(True)
                for statement in _RESTORE[connection.vendor]:
                    cursor.execute(statement)

        yield restore
        restore()


def test_a_failing_database_leaves_the_file_where_it_was(
    refusing_database: Callable[[], None], upload: Upload, owner: Person, stored: Listing
) -> None:
    url = f"https://{HOST}/files/{upload.id}"
    answer = Tus(owner.api).patch(url, 4, b"ence")
    assert answer.status_code == 500
    assert stored() == []
    assert partials.path_of(upload.id).read_bytes() == b"sequence"
    assert Upload.objects.get().state == State.RECEIVING
    refusing_database()
    assert Tus(owner.api).patch(url, 8, b"").status_code == 204
    assert [path.read_bytes() for path in stored()] == [b"sequence"]


def test_a_crash_between_rename_and_record_is_made_good(
    upload: Upload, owner: Person, stored: Listing, incoming: Listing
) -> None:
    append(partials.path_of(upload.id), 4, b"ence")
    with storage.claimed([(partials.path_of(upload.id), upload.stored_path)]):
        pass
    assert len(stored()) == 1
    answer = Tus(owner.api).patch(f"https://{HOST}/files/{upload.id}", 8, b"")
    assert answer.status_code == 204
    assert Upload.objects.get().state == State.COMPLETE
    assert [path.read_bytes() for path in stored()] == [b"sequence"]
    assert incoming() == []


def test_an_upload_that_has_all_bytes_waits_for_nginx_to_be_completed(
    upload: Upload, owner: Person
) -> None:
    append(partials.path_of(upload.id), 4, b"ence")
    answer = Tus(owner.api).head(f"https://{HOST}/files/{upload.id}")
    assert answer.status_code == 503
    assert "Upload-Offset" not in answer.headers
    assert int(answer.headers["Retry-After"]) > 0


# Deletion and expiry beside a writer.


def test_an_upload_in_use_is_not_deleted(
    upload: Upload, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partials, "TAKEOVER_SECONDS", 0.2)
    url = f"https://{HOST}/files/{upload.id}"
    with writing(partials.path_of(upload.id)):
        assert Tus(owner.api).delete(url).status_code == 423
        answer = Tus(owner.api).head(url)
        assert answer.status_code == 423
        assert "Upload-Offset" not in answer.headers
        # nginx knows more: it waits, and compares the offset when it has the file.
        sent = {**VERSION, **TYPE, "Upload-Offset": "7"}
        permit = owner.api.permit("PATCH", f"/files/{upload.id}", 1, sent)
        assert permit.headers["X-Upload-Offset"] == "7"
    assert Tus(owner.api).delete(url).status_code == 204


def test_an_upload_whose_time_ran_out_expires(upload: Upload, incoming: Listing) -> None:
    past = timezone.now() - timedelta(days=1)
    path = partials.path_of(upload.id)
    assert not ending.expire(upload)
    Upload.objects.update(expires=past)
    assert not ending.expire(upload)
    os.utime(path, (past.timestamp(), past.timestamp()))
    with writing(path):
        assert not ending.expire(upload)
    assert ending.expire(upload)
    assert not ending.expire(upload)
    assert incoming() == []
    found = Upload.objects.get()
    assert found.state == State.EXPIRED
    assert found.ended is not None


def test_a_finished_upload_never_expires(upload: Upload, owner: Person, stored: Listing) -> None:
    Tus(owner.api).patch(f"https://{HOST}/files/{upload.id}", 4, b"ence")
    Upload.objects.update(expires=timezone.now() - timedelta(days=1))
    assert not ending.expire(Upload.objects.get())
    assert len(stored()) == 1
    assert Tus(owner.api).head(f"https://{HOST}/files/{upload.id}").status_code == 200


def test_a_slow_creation_is_recorded_after_its_first_time_ran_out(owner: Person) -> None:
    sent = {**VERSION, **TYPE, "Upload-Length": "8"}
    permit = owner.api.permit("POST", "/files/", 4, sent)
    form = append(Path(permit.headers["X-Upload-Path"]), 0, b"sequ")
    Upload.objects.update(expires=timezone.now() - timedelta(seconds=1))
    answer = owner.api.complete(form, permit.headers[GRANT], VERSION)
    assert answer.status_code == 201
    assert Tus(owner.api).head(answer.headers["Location"]).headers["Upload-Offset"] == "4"


@pytest.mark.django_db(transaction=True)
def test_of_many_that_end_an_upload_one_has_its_way(
    owner: Person, stored: Listing, incoming: Listing
) -> None:
    for _ in range(5):
        Tus(owner.api).patch(Tus(owner.api).begin(8), 0, b"sequ")
    for upload in Upload.objects.all():
        checkpoint(partials.path_of(upload.id), 8)
        body = _body(upload, 8)
        copies = [Upload.objects.get(pk=upload.pk) for _ in range(8)]

        def end(number: int, copies: list[Upload] = copies, body: ReceivedBody = body) -> str:
            try:
                if number % 2:
                    ending.terminate(copies[number])
                    return "deleted"
                service.received(copies[number], body, is_final=False)
            except Problem as problem:
                return str(int(problem.status))
            finally:
                connections.close_all()
            return "complete"

        with ThreadPoolExecutor(8) as pool:
            ends = sorted(pool.map(end, range(8)))
        assert ends.count("deleted") == 1
        assert set(ends) <= {"deleted", "complete", "410"}
        assert Upload.objects.get(pk=upload.pk).state == State.DELETED
    assert (stored(), incoming()) == ([], [])
