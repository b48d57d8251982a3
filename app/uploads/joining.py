"""Joining: complete parts become one file, in the background, and nobody sends a byte again.

The first part's file becomes the file, and keeps the running digest in its checkpoint. Every other
part is brought in with copy_file_range, which shares its blocks where the file system can (XFS,
btrfs) and copies inside the kernel where it cannot (ext4); nginx then hashes what was added,
flushes it and checkpoints. So each part but the first is read once for the digest of the whole, and
nothing else is read.

How far it is stands in the checkpoint, as with bytes that a client sends, so that it can be stopped
anywhere: what lies behind the checkpoint is hashed, or after a restart of the machine cut off and
copied again, and a part goes only when the checkpoint covers it.
"""

import errno
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from config.problems import Problem
from uploads import handoff, history, partials, service, space, states
from uploads.handoff import ReceivedBody
from uploads.models import Kind, State, Upload
from uploads.partials import Takeover
from uploads.refusals import NotJoinable
from uploads.service import NewUpload

if TYPE_CHECKING:
    from uuid import UUID

logger = logging.getLogger(__name__)

# Copied at a time, and hashed while it is in memory: who wants to delete the upload waits for that.
STEP_BYTES: Final = 128 * 1024**2
# nginx hashes and flushes as much, on the slowest disk.
DIGEST_SECONDS: Final = 600.0


class Step(StrEnum):
    """What has just been done; a crash may come after any of it."""

    ADOPTED = "adopted"
    COPIED = "copied"
    HASHED = "hashed"
    FREED = "freed"
    COMPLETE = "complete"


@dataclass
class Done:
    """How many uploads a run joined, and what became of the others.

    Skipped is what somebody else works at, or what ended meanwhile.
    """

    joined: int = 0
    failed: int = 0
    put_off: int = 0
    skipped: int = 0


class _LostError(Exception):
    """Bytes that were complete are not there any more."""


def begin(new: NewUpload, chosen: Sequence[Upload]) -> Upload:
    """Record a file of its owner's parts, in this order; `run` makes it.

    Who lost the answer and asks again gets the same file. Problem: `Gone`, `Joined`, 409 for a part
    that is none or not complete, 413 or 507.
    """
    with service.serialised(new.owner):
        # In one order for all, so that two requests do not wait for each other.
        ids = [part.pk for part in chosen]
        rows = Upload.objects.filter(pk__in=ids).order_by("pk").select_for_update()
        found = {row.pk: row for row in rows}
        parts = [found[pk] for pk in ids]
        made = _made_of(parts)
        if made is not None:
            return made
        for number, part in enumerate(parts, 1):
            _require_part(number, part)
        length = sum(part.size for part in parts)
        space.require_size(length)
        # While a part is joined it may be there twice.
        space.require_free(space.of(new.owner), max((part.size for part in parts[1:]), default=0))
        now = timezone.now()
        upload = Upload.objects.create(
            owner=new.owner,
            token=new.token,
            state=State.VERIFYING,
            protocol=new.protocol,
            name=new.name,
            length=length,
            content_type=new.content_type,
            fields=new.fields,
            metadata=new.metadata,
            concat=new.concat,
            expires=now + timedelta(seconds=settings.UPLOAD_EXPIRY),
        )
        for position, part in enumerate(parts):
            Upload.objects.advance(
                part.pk, State.JOINED, joined_to=upload, position=position, ended=now
            )
        history.record(upload, Kind.BEGAN, detail=f"of {len(parts)} parts")
        history.take_over(parts, upload)
        transaction.on_commit(start)
    logger.info(
        "upload %s to be joined: %d parts, %d bytes, user %d",
        upload.id,
        len(parts),
        length,
        new.owner.pk,
    )
    return upload


def run() -> Done:
    """Join every upload that waits for it, small ones first; some may come meanwhile."""
    done = Done()
    seen: set[UUID] = set()
    joined = Upload.objects.filter(joined_to__isnull=False)
    waiting = Upload.objects.verifying().filter(pk__in=joined.values("joined_to"))
    while (upload := waiting.exclude(pk__in=seen).order_by("length").first()) is not None:
        seen.add(upload.pk)
        try:
            last = None
            for last in steps(upload):
                logger.debug("upload %s: %s", upload.id, last)
            if last is Step.COMPLETE:
                done.joined += 1
            else:
                done.skipped += 1
        except _LostError as lost:
            done.failed += 1
            _fail(upload, str(lost))
        except (Problem, OSError) as error:
            if not _is_pending(upload):
                done.skipped += 1
                continue
            done.put_off += 1
            logger.warning("upload %s is not joined yet: %s", upload.id, error)
    return done


def steps(upload: Upload) -> Generator[Step]:
    """Join the parts of an upload, a step at a time; nothing, if somebody else does.

    Problem or OSError: not now. `run` knows what is to be done then.
    """
    path = partials.path_of(upload.id)
    with partials.joining(path) as alone:
        if not alone or not _is_pending(upload):
            return
        parts = list(upload.parts.order_by("position"))
        service.recover(upload)
        if not path.exists():
            partials.adopt(partials.path_of(parts[0].id), path)
            yield Step.ADOPTED
        offset = _offset(path, parts)
        body = _digest(path, offset)
        yield Step.HASHED
        end = 0
        for part in parts:
            start, end = end, end + part.size
            source = partials.path_of(part.id)
            while offset < end:
                copied = _copy(upload, part, source, offset - start, offset)
                if copied is None:
                    return
                offset += copied
                yield Step.COPIED
                body = _digest(path, offset)
                yield Step.HASHED
            partials.remove(source)
            yield Step.FREED
        yield from _finish(upload, body)


def start() -> None:
    """Have the waiting uploads joined by a process of its own, which outlives this one."""
    _joiner.start()


def _made_of(parts: Sequence[Upload]) -> Upload | None:
    """Return the file that exactly these parts went into, in this order; None: there is none."""
    upload = parts[0].joined_to
    if upload is None or upload.state not in {State.VERIFYING, State.COMPLETE}:
        return None
    used = upload.parts.order_by("position").values_list("pk", flat=True)
    return upload if list(used) == [part.pk for part in parts] else None


def _require_part(number: int, part: Upload) -> None:
    states.require_remembered(part)
    if not part.is_part:
        raise NotJoinable(
            "not-a-part",
            "An upload cannot be joined",
            number,
            "was not sent as a part: only parts can be joined.",
        )
    if part.state != State.PART:
        raise NotJoinable(
            "part-unfinished",
            "A part is not complete yet",
            number,
            "is under way: send the rest of it, and join the parts then.",
        )
    if partials.size(partials.path_of(part.id)) != part.size:
        raise NotJoinable(
            "part-lost",
            "A part is lost",
            number,
            "has lost its file: delete this part, and send it again.",
        )


def _is_pending(upload: Upload) -> bool:
    return Upload.objects.verifying().filter(pk=upload.pk).exists()


def _offset(path: Path, parts: Sequence[Upload]) -> int:
    offset = partials.offset(path, durable=False)
    # Nothing but the first part can have been in the file from the beginning.
    if offset < parts[0].size:
        raise _LostError(f"{offset} of the {parts[0].size} bytes of part 1 are left")
    if offset > sum(part.size for part in parts):
        raise _LostError(f"its file has {offset} bytes, more than its parts")
    return offset


def _copy(upload: Upload, part: Upload, source: Path, skip: int, offset: int) -> int | None:
    """Copy some of a part, and return how much; None: the upload has ended meanwhile."""
    path = partials.path_of(upload.id)
    partials.give_way(path)
    with partials.held(path, Takeover.IDLE):
        if not _is_pending(upload):
            return None
        number = (part.position or 0) + 1
        found = partials.size(source)
        if found != part.size:
            there = "is missing" if found is None else f"has {found} bytes and not {part.size}"
            raise _LostError(f"the file of part {number} {there}")
        target = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with source.open("rb") as file:
                copied = os.copy_file_range(
                    file.fileno(), target, min(STEP_BYTES, part.size - skip), skip, offset
                )
        finally:
            os.close(target)
        if copied == 0:
            # Some file systems say so instead of an error.
            raise OSError(errno.EIO, "copy_file_range brings nothing", str(source))
        return copied


def _digest(path: Path, offset: int) -> ReceivedBody:
    try:
        return handoff.ask_for_digest(path, offset, DIGEST_SECONDS)
    except Problem as problem:
        if problem.status != HTTPStatus.LOCKED:
            raise
    # Whoever came between has the file for a moment, as a rule to delete it.
    partials.wait_until_free(path, Takeover.IDLE)
    return handoff.ask_for_digest(path, offset, DIGEST_SECONDS)


def _finish(upload: Upload, body: ReceivedBody) -> Iterator[Step]:
    partials.give_way(body.path)
    with partials.held(body.path, Takeover.IDLE):
        if _is_pending(upload):
            service.finish(upload, body)
            yield Step.COMPLETE


def _fail(upload: Upload, reason: str) -> None:
    now = timezone.now()
    expires = now + timedelta(seconds=settings.UPLOAD_EXPIRY)
    if Upload.objects.advance(upload.pk, State.FAILED, failure=reason, ended=now, expires=expires):
        history.record(upload, Kind.FAILED, detail=reason)
        logger.error("upload %s cannot be joined, user %d: %s", upload.id, upload.owner_id, reason)


class _Joiner:
    """One child process at a time; what comes meanwhile has another one look afterwards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_running = False
        self._is_asked = False

    def start(self) -> None:
        with self._lock:
            if self._is_running:
                self._is_asked = True
                return
            self._is_running = True
        threading.Thread(target=self._run, name="joiner", daemon=True).start()

    def _run(self) -> None:
        while True:
            # In a session of its own: the end of this process, or of its terminal, is not its end.
            try:
                subprocess.run(  # noqa: S603 - our own command
                    [sys.executable, settings.BASE_DIR / "manage.py", "join_uploads"],
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr,
                    start_new_session=True,
                    check=False,
                )
            except OSError as error:
                logger.warning("uploads are joined by the next timer: %s", error)
            with self._lock:
                if not self._is_asked:
                    self._is_running = False
                    return
                self._is_asked = False


_joiner: Final = _Joiner()
