"""`manage.py expire_uploads`: what nobody comes back for goes, and what a request is at stays."""

import io
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from tests.conftest import Person
from tests.nginx import HOST, checkpoint, writing
from tests.tus import Tus
from uploads import housekeeping, partials, space, storage
from uploads.models import State, Upload

type Listing = Callable[[], list[Path]]

DAY = 86400
NOTHING = "0 uploads expired, 0 files removed, 0 ended uploads forgotten: 0 bytes freed"


def _run(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("expire_uploads", *arguments, stdout=out)
    return out.getvalue().splitlines()


def _age(path: Path, seconds: float) -> None:
    moment = timezone.now().timestamp() - seconds
    for each in (path, partials.checkpoint_of(path)):
        if each.exists():
            os.utime(each, (moment, moment))


def _orphan(store: Path, name: str, *, age: float = 2 * DAY) -> Path:
    path = store / "incoming" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x" * 5000)
    _age(path, age)
    return path


@pytest.fixture
def abandoned(owner: Person) -> Upload:
    """Return an upload that half of is there, and whose time ran out an hour ago."""
    Tus(owner.api).patch(Tus(owner.api).begin(8), 0, b"sequ")
    Upload.objects.update(expires=timezone.now() - timedelta(hours=1))
    upload = Upload.objects.get()
    _age(partials.path_of(upload.id), 8 * DAY)
    return upload


def test_an_abandoned_upload_is_ended_and_its_space_is_free(
    abandoned: Upload, owner: Person, incoming: Listing
) -> None:
    size = sum(partials.allocated(path) for path in incoming())
    assert size > 0
    lines = _run()
    assert lines == [
        f"expired upload {abandoned.id} ('run.bam' of olivia): {size} bytes",
        "1 uploads expired, 0 files removed, 0 ended uploads forgotten: " + f"{size} bytes freed",
    ]
    assert incoming() == []
    assert Upload.objects.get().state == State.EXPIRED
    assert space.of(owner.user).reserved == 0
    assert Tus(owner.api).head(f"https://{HOST}/files/{abandoned.id}").status_code == 410
    assert _run() == [NOTHING]


def test_a_dry_run_says_the_same_and_changes_nothing(
    abandoned: Upload, store: Path, incoming: Listing
) -> None:
    _orphan(store, "0000000012")
    before = incoming()
    planned = _run("--dry-run")
    assert planned[0].startswith(f"would expire upload {abandoned.id} ")
    assert planned[1] == "would remove file 0000000012: 8192 bytes"
    assert planned[2].startswith("1 uploads would be expired, 1 files would be removed, 0 ")
    assert incoming() == before
    assert Upload.objects.get().state == State.RECEIVING
    done = [line.replace("would expire", "expired") for line in planned]
    done = [line.replace("would remove", "removed").replace("would be ", "") for line in done]
    assert _run() == done


def test_a_request_that_takes_longer_than_the_first_ten_minutes_is_alive(
    abandoned: Upload, incoming: Listing
) -> None:
    path = partials.path_of(abandoned.id)
    before = incoming()
    with writing(path):
        for arguments in ((), ("--dry-run",)):
            [line, total] = _run(*arguments)
            assert line.endswith(f"{abandoned.id} ('run.bam' of olivia): a request is at it")
            assert total.startswith("0 uploads ")
    _age(path, 60)
    assert _run()[0].startswith("kept ")
    assert incoming() == before
    assert Upload.objects.get().state == State.RECEIVING


def test_an_upload_that_has_time_left_or_is_finished_stays(
    owner: Person, incoming: Listing, stored: Listing
) -> None:
    url = Tus(owner.api).begin(8)
    Tus(owner.api).patch(url, 0, b"sequ")
    for path in incoming():
        _age(path, 30 * DAY)
    Tus(owner.api).create(b"whole", Upload_Length="5")
    Upload.objects.complete().update(expires=timezone.now() - timedelta(days=1))
    assert _run() == [NOTHING]
    assert (len(incoming()), len(stored())) == (2, 1)


def test_an_upload_that_a_crash_left_finished_but_not_recorded_leaves_no_file(
    abandoned: Upload, incoming: Listing, stored: Listing
) -> None:
    with storage.claimed([(partials.path_of(abandoned.id), abandoned.stored_path)]):
        pass
    assert len(stored()) == 1
    assert _run()[0].startswith("expired ")
    assert (stored(), incoming()) == ([], [])


def test_a_file_without_upload_is_removed_when_it_is_older_than_a_day(
    store: Path,
    incoming: Listing,
    db: None,  # noqa: ARG001
) -> None:
    old = _orphan(store, "0000000012")
    young = _orphan(store, "0000000013", age=DAY - 600)
    assert _run()[0] == f"removed file {old.name}: 8192 bytes"
    assert incoming() == [young]


def test_a_file_without_upload_that_is_being_written_stays(
    store: Path,
    incoming: Listing,
    db: None,  # noqa: ARG001
) -> None:
    path = _orphan(store, "0000000012")
    with writing(path):
        assert _run() == [NOTHING]
        assert _run("--dry-run")[-1].endswith(" 0 bytes would be freed")
    assert incoming() == [path]


def test_the_first_file_of_a_form_stays_while_the_form_is_being_received(
    store: Path,
    incoming: Listing,
    settings: Settings,
    db: None,  # noqa: ARG001
) -> None:
    first = _orphan(store, "0000000012")
    growing = _orphan(store, "0000000013", age=5)
    assert _run() == [NOTHING]
    assert incoming() == [first, growing]
    # A grant that old is good no more, so no form can hand the file over.
    settings.UPLOAD_GRANT_MAX_AGE = DAY
    assert _run()[0].startswith("removed file 0000000012")


def test_what_is_kept_beside_the_file_of_an_upload_stays(
    owner: Person, store: Path, incoming: Listing
) -> None:
    Tus(owner.api).begin(8)
    beside = _orphan(store, f"{Upload.objects.get().id}.note")
    assert _run() == [NOTHING]
    assert beside in incoming()


@pytest.mark.parametrize("state", [State.EXPIRED, State.DELETED])
def test_what_an_ended_upload_left_is_removed(
    abandoned: Upload, incoming: Listing, state: State
) -> None:
    Upload.objects.update(state=state, ended=timezone.now())
    assert _run()[0].startswith(f"removed file {abandoned.id}: ")
    assert incoming() == []


@pytest.mark.parametrize(
    ("state", "stays"), [(State.VERIFYING, True), (State.COMPLETE, False), (State.DELETED, False)]
)
def test_the_file_of_a_part_stays_until_it_is_in_the_whole(
    owner: Person, store: Path, incoming: Listing, state: State, *, stays: bool
) -> None:
    long_ago = timezone.now() - timedelta(days=40)
    whole = Upload.objects.create(
        owner=owner.user, state=state, name="whole.bin", length=5000, sha256="0" * 64
    )
    part = Upload.objects.create(
        owner=owner.user, state=State.JOINED, is_part=True, joined_to=whole, position=0
    )
    Upload.objects.filter(pk=part.pk).update(ended=long_ago)
    path = _orphan(store, str(part.id))
    _run()
    assert (path in incoming()) is stays
    assert Upload.objects.filter(pk=part.pk).exists() is stays


def test_a_checkpoint_that_outlived_its_file_is_removed(owner: Person, incoming: Listing) -> None:
    Tus(owner.api).create(b"whole", Upload_Length="5")
    path = partials.path_of(Upload.objects.get().id)
    checkpoint(path, 5)
    _age(path, 2 * DAY)
    assert len(incoming()) == 1
    assert _run()[0].startswith(f"removed file {path.name}: ")
    assert incoming() == []


def test_ranges_that_are_still_missing_some_have_as_long_as_any_upload(
    store: Path,
    settings: Settings,
    db: None,  # noqa: ARG001
) -> None:
    path = _orphan(store, "segments/olivia-1")
    assert _run() == [NOTHING]
    _age(path, settings.UPLOAD_EXPIRY + 60)
    assert _run()[0] == "removed file segments/olivia-1: 8192 bytes"
    assert not path.exists()


def test_links_and_directories_are_not_touched(
    store: Path,
    incoming: Listing,
    db: None,  # noqa: ARG001
) -> None:
    target = _orphan(store, "../files/aa")
    link = store / "incoming" / "0000000012"
    link.symlink_to(target)
    os.utime(link, (0, 0), follow_symlinks=False)
    assert _run() == [NOTHING]
    assert incoming() == [link]
    assert target.exists()


@pytest.mark.parametrize("state", [State.EXPIRED, State.DELETED])
def test_an_upload_that_is_over_is_forgotten_after_a_while(
    abandoned: Upload, owner: Person, state: State
) -> None:
    partials.remove(partials.path_of(abandoned.id))
    now = timezone.now()
    Upload.objects.update(state=state, ended=now - housekeeping.REMEMBERED + timedelta(hours=1))
    assert _run() == [NOTHING]
    Upload.objects.update(ended=now - housekeeping.REMEMBERED)
    assert " 1 ended uploads would be forgotten: " in _run("--dry-run")[0]
    assert Upload.objects.exists()
    assert " 1 ended uploads forgotten: " in _run()[0]
    assert Tus(owner.api).head(f"https://{HOST}/files/{abandoned.id}").status_code == 404
