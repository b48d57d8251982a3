"""Where files lie: room for more, and claiming what nginx received with a rename, never a copy."""

import contextlib
import os
import stat
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Final

from django.conf import settings

from config.problems import Problem
from uploads.handoff import ReceivedBody, ReceivedFile

DIRECTORY_MODE: Final = 0o2770


def room() -> int:
    """Return the bytes that uploads may still take: free space less the reserve, never negative."""
    status = os.statvfs(settings.UPLOAD_INCOMING_DIR)
    return max(0, status.f_bavail * status.f_frsize - settings.UPLOAD_RESERVE_BYTES)


def verify(file: ReceivedFile) -> None:
    """Check that a file is what the form says. Problem 400: not in the store, or not this file."""
    # Compared as texts: a path that needs resolving is not one that nginx made.
    if str(file.path.parent) != str(settings.UPLOAD_INCOMING_DIR) or file.path.name == "..":
        raise _not_ours(file.name, "its path is outside the incoming directory")
    _verify_file(file.path, file.size, file.name)


def verify_partial(body: ReceivedBody, path: Path) -> None:
    """Check that nginx speaks of an upload's own file. Problem 400: it does not."""
    if str(body.path) != str(path):
        raise _not_ours("The upload", "its path is another one")
    _verify_file(path, body.size, "The upload")


def path_of(place: str) -> Path:
    """Return where a finished file lies; `place` is below UPLOAD_FILES_DIR, `xx/<uuid>`."""
    path: Path = settings.UPLOAD_FILES_DIR / place
    return path


def remove(place: str) -> None:
    """Remove a finished file, if it is there."""
    path_of(place).unlink(missing_ok=True)


def _verify_file(path: Path, size: int, name: str) -> None:
    try:
        # A link is not followed, and a FIFO without a writer does not block.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _not_ours(name, f"it cannot be opened ({error.strerror})") from error
    try:
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _not_ours(name, "it is no regular file")
    if status.st_size != size:
        raise _not_ours(name, f"it has {status.st_size} bytes and not {size}")


@contextlib.contextmanager
def claimed(moves: list[tuple[Path, str]]) -> Iterator[None]:
    """Move files to their places, all or none; if the block below fails, they are moved back.

    `moves` pairs a path in the incoming directory with a place below UPLOAD_FILES_DIR, `xx/<uuid>`.
    When the block is entered the moves are durable.
    """
    done: list[tuple[Path, Path]] = []
    try:
        for source, place in moves:
            target = settings.UPLOAD_FILES_DIR / place
            _make_directory(target.parent)
            source.rename(target)
            done.append((source, target))
        for directory in {target.parent for _, target in done}:
            _sync(directory)
        yield
    except BaseException:
        for source, target in reversed(done):
            _undo(source, target)
        raise


def _undo(source: Path, target: Path) -> None:
    # Back to where nginx knows it, which removes it; failing that, no file may stay unrecorded.
    try:
        target.rename(source)
    except OSError:
        target.unlink(missing_ok=True)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir()
    except FileExistsError:
        return
    # Set apart from the creation, which the umask narrows.
    path.chmod(DIRECTORY_MODE)
    _sync(path.parent)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _not_ours(name: str, reason: str) -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "not-in-store",
        "The received file cannot be claimed",
        f"{name} cannot be claimed, {reason}. Send it again; if that fails, ask the"
        " administrator whether nginx and the application share the incoming directory.",
    )
