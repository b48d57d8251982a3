"""Uploads that come in segments, in any order and in parallel, as of the classic upload module.

nginx keeps account of the ranges; its state file and its locks are those of
images/nginx-upload/module/upload_segment.h. Each upload has a directory of its own, below its
owner's, with the session id as the file's name.
"""

import contextlib
import os
import re
import time
from http import HTTPStatus
from pathlib import Path
from typing import Final

from config.problems import Problem
from uploads import partials

STATE: Final = partials.STATES[0]
_RANGE: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})/[0-9]{1,18}")


class TotalConflict(Problem):
    """The same session with another total."""

    def __init__(self, known: int, provided: int) -> None:
        """Take the total on record and the client's."""
        super().__init__(
            HTTPStatus.CONFLICT,
            "length",
            "The total is another one",
            f"This session's file has {known} bytes, and this segment says {provided}. Begin a"
            " new session.",
            numbers={"length": known, "provided": provided},
        )


def received(path: Path) -> int:
    """Return how many bytes of a file are there, in whatever places."""
    try:
        text = _state_of(path).read_text(encoding="ascii")
    except FileNotFoundError:
        return 0
    return sum(int(found[2]) - int(found[1]) + 1 for found in _RANGE.finditer(text))


def mend(path: Path, total: int) -> None:
    """Give a complete file that could not be recorded its state back.

    nginx forgets the ranges before it hands the file over. With them, any segment that is sent
    again completes the file once more; without, it would be the first of a new one.
    """
    if not _is_complete(path, total):
        return
    with contextlib.suppress(Problem), partials.held(path, None):
        if _is_complete(path, total):
            descriptor = os.open(_state_of(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
            os.write(descriptor, f"0-{total - 1}/{total}\n".encode())
            os.close(descriptor)


def _is_complete(path: Path, total: int) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    # A power loss can leave a file without state as well, and that one may have holes.
    started = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return found.st_size == total > 0 and found.st_ctime > started and not _state_of(path).exists()


def _state_of(path: Path) -> Path:
    return path.with_name(path.name + STATE)
