"""When recording fails, the files are nginx's again, which removes them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection

from tests.conftest import Person
from tests.nginx import received
from uploads import storage
from uploads.models import Upload

type Listing = Callable[[], list[Path]]

# A database that refuses: SQLite at the insert, PostgreSQL as late as the commit.
_REFUSE = {
    "sqlite": (
        "CREATE TRIGGER refuse BEFORE INSERT ON uploads_upload WHEN NEW.name = 'refused'"
        " BEGIN SELECT RAISE(ABORT, 'the disk is full'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'the disk is full'; END $$",
        "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON uploads_upload"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.name = 'refused')"
        " EXECUTE FUNCTION refuse()",
    ),
}
_RESTORE = {
    "sqlite": ("DROP TRIGGER refuse",),
    "postgresql": ("DROP FUNCTION refuse CASCADE",),
}


def _execute(statements: tuple[str, ...]) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def refusing_database(transactional_db: None) -> Iterator[None]:  # noqa: ARG001
    """Make every upload named `refused` fail to be recorded."""
    _execute(_REFUSE[connection.vendor])
    yield
    _execute(_RESTORE[connection.vendor])


@pytest.mark.usefixtures("refusing_database")
def test_a_failing_database_leaves_every_file_where_nginx_put_it(
    owner: Person, stored: Listing, incoming: Listing
) -> None:
    fields = [*received(b"1", "a"), *received(b"2", "refused"), *received(b"3", "b")]
    before = incoming()
    answer = owner.api.upload(fields)
    assert answer.status_code == 500
    assert answer.json()["type"] == "urn:upload:internal-error"
    assert "full" not in answer.content.decode()
    assert incoming() == before
    assert [path.read_bytes() for path in incoming()] == [b"1", b"2", b"3"]
    assert stored() == []
    assert Upload.objects.count() == 0


@pytest.mark.usefixtures("refusing_database")
def test_after_a_failure_the_next_upload_is_recorded(owner: Person, stored: Listing) -> None:
    owner.api.upload(received(b"1", "refused"))
    assert owner.api.upload(received(b"2", "taken")).status_code == 200
    assert [path.read_bytes() for path in stored()] == [b"2"]


def test_a_move_that_fails_takes_the_ones_before_it_back(store: Path, stored: Listing) -> None:
    first = store / "incoming" / "1"
    first.write_bytes(b"1")
    moves = [(first, "aa/first"), (store / "incoming" / "gone", "bb/second")]
    with pytest.raises(FileNotFoundError), storage.claimed(moves):
        pytest.fail("the block runs only when everything was moved")
    assert first.read_bytes() == b"1"
    assert stored() == []


def test_a_file_that_cannot_be_moved_back_does_not_stay_unrecorded(
    store: Path, stored: Listing
) -> None:
    first = store / "incoming" / "1"
    first.write_bytes(b"1")

    def record() -> None:
        (store / "incoming").rename(store / "elsewhere")
        raise OSError("recording failed")

    with pytest.raises(OSError, match="recording failed"), storage.claimed([(first, "aa/first")]):
        record()
    assert stored() == []
