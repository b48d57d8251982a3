"""Partial files: how much of one is there, who writes to it, and its end.

The file is the truth, with the checkpoint that the upload module keeps beside it; the format and
the rules are those of images/nginx-upload/module/upload_checkpoint.h. Bytes are never read here.

The module holds an OFD write lock on the file from its first look until the client's answer, so
through `complete` as well. Who wants the file asks for it by a lock on the checkpoint, at which the
holder looks twice a second: see `Takeover`.
"""

import contextlib
import errno
import fcntl
import functools
import os
import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings

from config.problems import Problem
from uploads.models import Door, Upload

SUFFIX: Final = ".checkpoint"
# Of segments: which ranges are there, and that while it is being written.
STATES: Final = (".state", ".state.tmp")
# As long as the module waits on behalf of a request that takes an upload over.
TAKEOVER_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05

_SLOT: Final = 4096
_CRC: Final = len("crc32 00000000\n")
_TEXT: Final = re.compile(
    rb"upload-checkpoint 1\n"
    rb"sequence (?P<sequence>[0-9]{1,19})\n"
    rb"offset (?P<offset>[0-9]{1,19})\n"
    rb"boot (?P<boot>[^\n]{1,64})\n"
    rb"(?:(?:crc32|md5|sha1|sha256|sha512) [0-9a-f]*\n)*"
)
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
# struct flock of 64-bit Linux: type, whence, start, length (0: all), process; padded at the end.
_FLOCK: Final = struct.Struct("@hhqqi0q")
# A byte of the checkpoint for each way to ask, so that neither is in the other's way.
_ASKING: Final = {"idle": (fcntl.F_RDLCK, 0), "now": (fcntl.F_WRLCK, 1)}


class Takeover(StrEnum):
    """How a request asks the holder of a partial file to give way."""

    # Only if the holder has received nothing for a few seconds, as a dead connection does.
    IDLE = "idle"
    # At once, whatever arrives.
    NOW = "now"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The better slot: as many bytes are hashed and, after a power loss, good."""

    sequence: int
    offset: int
    boot: str


def path_of(upload_id: UUID) -> Path:
    """Return where the bytes of an unfinished upload lie."""
    path: Path = settings.UPLOAD_INCOMING_DIR / str(upload_id)
    return path


def locate(upload: Upload) -> Path:
    """Return the same of any upload: segments have a directory, with their session as the name."""
    if upload.protocol == Door.SEGMENTS:
        return _segments() / str(upload.owner_id) / str(upload.id) / upload.metadata
    return path_of(upload.id)


def checkpoint_of(path: Path) -> Path:
    """Return where the module keeps what it knows of a partial file."""
    return path.with_name(path.name + SUFFIX)


def offset(path: Path, *, durable: bool) -> int:
    """Return how many bytes count; with `durable` they survive a power loss from now on.

    What was written since the machine started is there. After a restart only what the checkpoint
    vouches for is, and the module cuts off the rest when it opens the file.
    """
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        return 0
    try:
        found = read_checkpoint(path)
        if durable:
            os.fdatasync(descriptor)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    if found is None:
        return 0
    return size if found.boot == _boot_id() else min(size, found.offset)


def is_current(path: Path) -> bool:
    """Tell whether the module has opened a partial file since the machine started."""
    found = read_checkpoint(path)
    return found is not None and found.boot == _boot_id() and path.exists()


def allocated(path: Path) -> int:
    """Return the bytes that a partial file takes on the disk, preallocated ones included."""
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def changed_since(path: Path, moment: datetime) -> bool:
    """Tell whether bytes arrived after a moment."""
    try:
        return path.stat().st_mtime > moment.timestamp()
    except FileNotFoundError:
        return False


def is_locked(path: Path) -> bool:
    """Tell whether somebody writes to a partial file."""
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        return False
    try:
        return _has_holder(descriptor)
    finally:
        os.close(descriptor)


def wait_until_free(path: Path, takeover: Takeover) -> None:
    """Ask whoever writes to a partial file to give way. Problem 423: it goes on writing."""
    try:
        descriptor = _open(path)
    except FileNotFoundError:
        return
    try:
        _wait(path, takeover, lambda: not _has_holder(descriptor))
    finally:
        os.close(descriptor)


def give_way(path: Path) -> None:
    """Wait while somebody asks for a partial file, as whoever holds it again and again has to."""
    try:
        descriptor = _open(checkpoint_of(path))
    except FileNotFoundError:
        return
    deadline = time.monotonic() + TAKEOVER_SECONDS
    try:
        while _has_holder(descriptor) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def joining(path: Path) -> Iterator[bool]:
    """Be the only one to join parts to a partial file; False: somebody else is at it.

    Not a lock on the file or its checkpoint: nginx has one of these meanwhile, and takes the other
    for a request to give way.
    """
    place = _joining_of(path)
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    try:
        # Whoever had it before may have removed the file that we have open.
        alone = _lock(descriptor, fcntl.F_WRLCK) and _is_at(descriptor, place)
        try:
            yield alone
        finally:
            if alone:
                place.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held(path: Path, takeover: Takeover | None) -> Iterator[None]:
    """Hold a partial file, so that nobody else writes to it; it may be missing.

    Without `takeover` a file that is in use is not waited for. Problem 423: it stays in use.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    # Closing the descriptor, its only one, ends the lock.
    try:
        if not _lock(descriptor, fcntl.F_WRLCK):
            if takeover is None:
                raise locked()
            _wait(path, takeover, lambda: _lock(descriptor, fcntl.F_WRLCK))
        yield
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a partial file and what stands beside it; hold it meanwhile."""
    path.unlink(missing_ok=True)
    for suffix in (SUFFIX, *STATES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    _joining_of(path).unlink(missing_ok=True)
    if path.is_relative_to(_segments()):
        # A request that comes late finds no place to begin a file that nobody knows of.
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def adopt(path: Path, target: Path) -> None:
    """Make a partial file another upload's, with its checkpoint; again after a crash, if need be.

    A file without checkpoint has no bytes that count, so that one goes first, for good.
    """
    for source, place in ((checkpoint_of(path), checkpoint_of(target)), (path, target)):
        with contextlib.suppress(FileNotFoundError):
            source.rename(place)
        descriptor = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def size(path: Path) -> int | None:
    """Return the bytes of a partial file that is not written to any more, None without one."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def locked() -> Problem:
    """Return the refusal of a request that may not have the file now."""
    return Problem(
        HTTPStatus.LOCKED,
        "locked",
        "Another request is at this upload",
        "Another request writes to this upload. Wait a few seconds, ask for the offset, and go on"
        " from there.",
    )


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return what is known of a partial file, None without a valid slot."""
    try:
        descriptor = _open(checkpoint_of(path))
    except FileNotFoundError:
        return None
    best: Checkpoint | None = None
    failure: OSError | None = None
    try:
        for number in range(2):
            try:
                slot = os.pread(descriptor, _SLOT, number * _SLOT)
            except OSError as error:
                # A power loss can leave a slot that the disk refuses to read.
                failure = error
                continue
            found = _parse(slot)
            if (
                found is not None
                and found.sequence % 2 == number
                and (best is None or found.sequence > best.sequence)
            ):
                best = found
    finally:
        os.close(descriptor)
    if best is None and failure is not None:
        raise failure
    return best


def _parse(slot: bytes) -> Checkpoint | None:
    text = slot.partition(b"\0")[0]
    body, crc = text[:-_CRC], text[-_CRC:]
    if crc != b"crc32 %08x\n" % zlib.crc32(body):
        return None
    found = _TEXT.fullmatch(body)
    if found is None or int(found["sequence"]) == 0:
        return None
    return Checkpoint(
        sequence=int(found["sequence"]),
        offset=int(found["offset"]),
        boot=found["boot"].decode("latin-1"),
    )


def _segments() -> Path:
    path: Path = settings.UPLOAD_INCOMING_DIR / "segments"
    return path


@functools.cache
def _boot_id() -> str | None:
    # None equals no checkpoint's: without a boot id every boot is another one.
    try:
        text = _BOOT_ID.read_text(encoding="ascii")
    except OSError:
        return None
    return text[:-1] if re.fullmatch(r"[0-9a-f-]{1,64}\n", text) else None


def _joining_of(path: Path) -> Path:
    return path.with_name(path.name + ".joining")


def _is_at(descriptor: int, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), place.stat())
    except FileNotFoundError:
        return False


def _open(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)


def _lock(descriptor: int, kind: int, start: int = 0, length: int = 0) -> bool:
    lock = _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def _has_holder(descriptor: int) -> bool:
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
    kind: int = _FLOCK.unpack(answer)[0]
    return kind != fcntl.F_UNLCK


def _wait(path: Path, takeover: Takeover, is_free: Callable[[], bool]) -> None:
    # A lock cannot be waited for with a time limit, except by looking again.
    deadline = time.monotonic() + TAKEOVER_SECONDS
    kind, byte = _ASKING[takeover]
    with contextlib.ExitStack() as stack:
        asking: int | None = None
        is_asked = False
        while not is_free():
            if time.monotonic() >= deadline:
                raise locked()
            if asking is None:
                asking = _open_to_ask(checkpoint_of(path))
                if asking is not None:
                    stack.callback(os.close, asking)
            if asking is not None and not is_asked:
                # Refused while somebody else insists: it may give up before us.
                is_asked = _lock(asking, kind, byte, 1)
            time.sleep(_POLL_SECONDS)


def _open_to_ask(checkpoint: Path) -> int | None:
    try:
        return os.open(checkpoint, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        # The holder is about to make it, or has just finished the file.
        return None
