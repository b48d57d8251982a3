"""Partial files: what of one counts, by the module's checkpoint, and who writes to it."""

import fcntl
import os
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from config.problems import Problem
from tests.nginx import boot_id, checkpoint, writing
from uploads import partials
from uploads.partials import Takeover

OTHER_BOOT = "0e8d9b2c-0000-4000-8000-000000000000"


@pytest.fixture
def path(store: Path) -> Path:
    """Return a partial file of ten bytes without checkpoint."""
    path = store / "incoming" / "partial"
    path.write_bytes(b"0123456789")
    return path


def _offset(path: Path) -> int:
    found = {partials.offset(path, durable=durable) for durable in (True, False)}
    assert len(found) == 1
    return found.pop()


# What counts.


def test_a_file_that_is_not_there_has_no_bytes(store: Path) -> None:
    assert _offset(store / "incoming" / "none") == 0


def test_what_was_written_since_the_machine_started_counts(path: Path) -> None:
    checkpoint(path, 4)
    assert _offset(path) == 10


def test_after_a_restart_only_what_the_checkpoint_vouches_for_counts(path: Path) -> None:
    checkpoint(path, 4, boot=OTHER_BOOT)
    assert _offset(path) == 4


def test_a_checkpoint_never_counts_more_than_there_is(path: Path) -> None:
    checkpoint(path, 11, boot=OTHER_BOOT)
    assert _offset(path) == 10


def test_without_a_checkpoint_nothing_counts(path: Path) -> None:
    assert _offset(path) == 0


def test_an_unknown_boot_is_another_one(path: Path) -> None:
    checkpoint(path, 4, boot="-")
    assert _offset(path) == 4


def test_the_later_slot_counts(path: Path) -> None:
    checkpoint(path, 4, sequence=5, boot=OTHER_BOOT)
    checkpoint(path, 6, sequence=6, boot=OTHER_BOOT)
    assert _offset(path) == 6
    checkpoint(path, 7, sequence=7, boot=OTHER_BOOT)
    assert _offset(path) == 7


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"offset 6", b"offset 9"),
        (b"upload-checkpoint 1", b"upload-checkpoint 2"),
        (b"crc32 ", b"crc33 "),
        (b"boot", b"b\0ot"),
    ],
)
def test_a_torn_slot_leaves_the_one_before(path: Path, old: bytes, new: bytes) -> None:
    checkpoint(path, 4, sequence=5, boot=OTHER_BOOT)
    checkpoint(path, 6, sequence=6, boot=OTHER_BOOT)
    place = path.with_name("partial.checkpoint")
    place.write_bytes(place.read_bytes().replace(old, new, 1))
    assert _offset(path) == 4


def test_a_slot_in_the_others_place_does_not_count(path: Path) -> None:
    checkpoint(path, 4, sequence=2, boot=OTHER_BOOT)
    place = path.with_name("partial.checkpoint")
    place.write_bytes(place.read_bytes()[:4096].rjust(8192, b"\0"))
    assert _offset(path) == 0


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, b"upload-checkpoint 1\n", b"\xff" * 9000])
def test_a_checkpoint_of_nonsense_is_none(path: Path, content: bytes) -> None:
    path.with_name("partial.checkpoint").write_bytes(content)
    assert _offset(path) == 0


def test_a_link_is_not_followed(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        partials.offset(link, durable=False)


def test_the_boot_is_the_one_that_the_module_writes(path: Path) -> None:
    checkpoint(path, 4)
    found = partials.read_checkpoint(path)
    assert found is not None
    assert found.boot == boot_id()


# Who writes.


def test_a_file_that_is_written_to_is_locked_and_can_be_looked_at(path: Path) -> None:
    checkpoint(path, 4)
    assert not partials.is_locked(path)
    with writing(path):
        assert partials.is_locked(path)
        assert _offset(path) == 10
    assert not partials.is_locked(path)
    assert not partials.is_locked(path.with_name("none"))


def test_a_file_is_held_by_one(path: Path) -> None:
    with partials.held(path, None):
        assert partials.is_locked(path)
        with pytest.raises(Problem) as refused, partials.held(path, None):
            pytest.fail("two have it")
        assert refused.value.status == 423
    with partials.held(path.with_name("none"), None):
        assert not partials.is_locked(path)


def test_a_process_that_is_killed_holds_nothing(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.nginx import writing\n"
        "with writing(Path(sys.argv[1])): print('has it', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert partials.is_locked(path)
        process.kill()
    assert not partials.is_locked(path)


def test_who_never_gives_way_is_423_in_the_end(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partials, "TAKEOVER_SECONDS", 0.2)
    checkpoint(path, 4)
    with writing(path):
        for takeover in Takeover:
            with pytest.raises(Problem) as refused:
                partials.wait_until_free(path, takeover)
            assert refused.value.status == 423
            with pytest.raises(Problem) as refused, partials.held(path, takeover):
                pytest.fail("two have it")
            assert refused.value.status == 423


def _asked(path: Path, kind: int, start: int) -> bool:
    """Tell whether somebody asks for the file in one way, as the module's holder looks for it."""
    with path.with_name("partial.checkpoint").open("r+b") as file:
        lock = struct.pack("@hhqqi0q", kind, os.SEEK_SET, start, 1, 0)
        found = struct.unpack("@hhqqi0q", fcntl.fcntl(file, fcntl.F_OFD_GETLK, lock))
        return bool(found[0] != fcntl.F_UNLCK)


@pytest.mark.parametrize(("takeover", "byte"), [(Takeover.IDLE, 0), (Takeover.NOW, 1)])
def test_who_gives_way_when_asked_is_followed_at_once(
    path: Path, takeover: Takeover, byte: int
) -> None:
    checkpoint(path, 4)
    with ExitStack() as holder, ThreadPoolExecutor(2) as pool:
        holder.enter_context(writing(path))
        waiting = pool.submit(partials.wait_until_free, path, takeover)
        # What the module's writer looks for: a polite request is in the way of a writer only.
        while not _asked(path, fcntl.F_WRLCK, byte):
            assert not waiting.done()
        assert _asked(path, fcntl.F_RDLCK, byte) == (takeover is Takeover.NOW)
        assert not _asked(path, fcntl.F_WRLCK, 1 - byte)
        holder.close()
        waiting.result(5)
    assert not _asked(path, fcntl.F_WRLCK, byte)


def test_who_insists_is_heard_beside_who_is_polite(path: Path) -> None:
    checkpoint(path, 4)
    with ExitStack() as holder, ThreadPoolExecutor(2) as pool:
        holder.enter_context(writing(path))
        waiting = [pool.submit(partials.wait_until_free, path, takeover) for takeover in Takeover]
        while not (_asked(path, fcntl.F_WRLCK, 0) and _asked(path, fcntl.F_WRLCK, 1)):
            assert not any(future.done() for future in waiting)
        holder.close()
        for future in waiting:
            future.result(5)


def test_what_is_preallocated_counts_as_taken(path: Path) -> None:
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 1024**2)
    assert partials.allocated(path) >= 1024**2
    assert partials.allocated(path.with_name("none")) == 0
