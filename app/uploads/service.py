"""What happens to an upload, whatever protocol it comes in by: the one storage behind all doors.

Everything here takes and returns typed values; statuses and headers of a protocol are for its
adapter to know (uploads/protocols). Refusals are those of uploads/refusals.py and uploads/space.py.
"""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import ApiToken, User
from config.problems import Problem
from uploads import ending, handoff, history, partials, segments, space, states, storage
from uploads.handoff import ReceivedBody
from uploads.models import KEPT, UNFINISHED, Door, Kind, State, Upload
from uploads.partials import Takeover
from uploads.refusals import (
    DigestMismatch,
    Incomplete,
    LengthConflict,
    LengthExceeded,
    OffsetConflict,
)

logger = logging.getLogger(__name__)

# Each append moves the expiry, but not each one is worth a write.
EXPIRY_PRECISION: Final = timedelta(minutes=1)
# nginx hashes what it had not recorded when it was killed, 256 MiB at most.
DIGEST_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What a client wants to send. `length` is None when it does not know yet.

    `sha256` is the digest that the whole must have, if the client says so. One `is_findable` that
    is asked for by something else than its address, so it can be resumed by who never got that.
    """

    owner: User
    token: ApiToken | None
    protocol: Door
    name: str
    length: int | None
    content_type: str = ""
    fields: dict[str, list[str]] = field(default_factory=dict)
    metadata: str = ""
    sha256: str = ""
    is_findable: bool = False
    is_part: bool = False
    concat: str = ""


@dataclass(frozen=True, slots=True)
class Checksum:
    """The digest that one request's body must have."""

    algorithm: str
    hex: str


@dataclass(frozen=True, slots=True)
class Append:
    """Leave to append one body: where, and what nginx has to mind."""

    upload: Upload
    path: Path
    offset: int
    length: int | None
    max_size: int | None
    takeover: Takeover | None
    checksum: Checksum | None


@dataclass(frozen=True, slots=True)
class Status:
    """How far an upload is."""

    upload: Upload
    offset: int

    @property
    def length(self) -> int | None:
        """The bytes of the whole file, None when not known yet."""
        is_complete = self.upload.state == State.COMPLETE
        return self.upload.size if is_complete else self.upload.length


def begin(new: NewUpload, *, size: int | None, checksum: Checksum | None = None) -> Append:
    """Record an upload and allow its first body, of `size` bytes (None: not known).

    It expires soon, unless `received` follows: that is when the client hears of it. Problem: 413,
    507, or `LengthExceeded`, and nothing is recorded.
    """
    if new.length is not None and (size or 0) > new.length:
        raise LengthExceeded(size or 0, new.length)
    needed = size if new.length is None else new.length
    if needed is not None:
        space.require_size(needed)
    with serialised(new.owner):
        left = space.of(new.owner)
        space.require(left, needed)
        upload = Upload.objects.create(
            owner=new.owner,
            token=new.token,
            state=State.RECEIVING,
            protocol=new.protocol,
            name=new.name,
            length=new.length,
            content_type=new.content_type,
            fields=new.fields,
            metadata=new.metadata,
            expected_sha256=new.sha256,
            expires=timezone.now() + (_lifetime() if new.is_findable else ending.UNANNOUNCED),
            is_part=new.is_part,
            concat=new.concat,
        )
        history.record(upload, Kind.BEGAN)
    return Append(
        upload=upload,
        path=partials.locate(upload),
        offset=0,
        length=upload.length,
        max_size=_most(left, 0) if upload.length is None else None,
        takeover=None,
        checksum=checksum,
    )


def append(  # noqa: PLR0913 - what protocols can say of one body
    upload: Upload,
    offset: int,
    *,
    size: int | None,
    length: int | None = None,
    sha256: str = "",
    takeover: Takeover | None = None,
    checksum: Checksum | None = None,
) -> Append:
    """Allow a body of `size` bytes (None: not known) after `offset`.

    `length` declares that of the whole file, and `sha256` its digest, which count from now on.
    Problem: `Gone`, `AlreadyComplete`, `OffsetConflict`, `LengthConflict`, 413, 423 or 507.
    """
    states.require_open(upload)
    path = partials.locate(upload)
    if takeover is Takeover.NOW:
        # Whoever gives way may have brought more, so the offset is compared after that.
        partials.wait_until_free(path, takeover)
    recover(upload)
    # While somebody writes, only nginx knows: it waits for the file, and compares then.
    is_free = not partials.is_locked(path)
    if is_free:
        found = partials.offset(path, durable=False)
        if found != offset:
            raise OffsetConflict(partials.offset(path, durable=True), offset)
    if length is not None:
        _declare(upload, length, offset)
    if sha256:
        Upload.objects.receiving().filter(pk=upload.pk).update(expected_sha256=sha256)
    end = offset + (size or 0)
    limit: int | None = None
    if upload.length is not None:
        if end > upload.length:
            raise LengthExceeded(end, upload.length)
    else:
        space.require_size(end)
        left = space.of(upload.owner, without=upload)
        space.require(left, size)
        limit = _most(left, offset)
    if is_free:
        history.note_continuation(upload, offset)
    return Append(
        upload=upload,
        path=path,
        offset=offset,
        length=upload.length,
        max_size=limit,
        takeover=takeover,
        checksum=checksum,
    )


def status(upload: Upload, *, takeover: Takeover | None = None, door: Door | None = None) -> Status:
    """Return how far an upload is; with `takeover` durably, and not while somebody writes.

    With `takeover`, an upload that has all its bytes is completed, if whoever brought the last of
    them could not see to it; unless by the rules of the `door` (None: its own) its client has to
    say so. Problem: `Gone`, 423 when whoever writes does not give way, or 503.
    """
    states.require_remembered(upload)
    states.require_sound(upload)
    if upload.state != State.RECEIVING or upload.protocol == Door.SEGMENTS or takeover is None:
        return Status(upload, arrived(upload))
    path = partials.locate(upload)
    partials.wait_until_free(path, takeover)
    recover(upload)
    offset = partials.offset(path, durable=True)
    door = door or Door(upload.protocol)
    if offset != upload.length or not door.ends_with_its_length or not path.exists():
        return Status(upload, offset)
    body = handoff.ask_for_digest(path, offset, DIGEST_SECONDS)
    with partials.held(path, takeover):
        return received(upload, body, is_final=False, door=door)


def arrived(upload: Upload) -> int:
    """Return the bytes that are there of an upload, without asking whether it may go on."""
    if upload.state == State.RECEIVING:
        path = partials.locate(upload)
        if upload.protocol == Door.SEGMENTS:
            return segments.received(path)
        return partials.offset(path, durable=False)
    if upload.state == State.VERIFYING:
        return upload.length or 0
    return upload.size if upload.state in KEPT else 0


def received(
    upload: Upload, file: ReceivedBody, *, is_final: bool, door: Door | None = None
) -> Status:
    """Take note of what nginx appended; whoever has all bytes is complete, or waits as a part.

    The file is held meanwhile: by nginx, until the client has its answer. `is_final`: the client
    said that this is the end, and `door` is what it came by (None: the upload's own). Problem:
    `Gone`, `Incomplete`, `DigestMismatch`, which deletes the upload, or 400 when the file is not
    what nginx says.
    """
    if upload.state != State.RECEIVING:
        return status(upload)
    length = file.size if upload.length is None and is_final else upload.length
    is_end = is_final or (door or Door(upload.protocol)).ends_with_its_length
    if length is None or file.size < length or not is_end:
        storage.verify_partial(file, partials.locate(upload))
        report(upload, file.size)
        if is_final and length is not None:
            raise Incomplete(file.size, length)
        return Status(upload, file.size)
    if upload.expected_sha256 not in {"", file.sha256}:
        ending.delete(upload, "its SHA-256 was not the one that was announced")
        raise DigestMismatch(upload.expected_sha256, file.sha256)
    return finish(upload, file)


def too_long(upload: Upload, *, door: Door) -> Problem:
    """Return the refusal of a body that went past the declared length; it may end the upload.

    As with `received`, nginx holds the file meanwhile. Problem: `Gone`.
    """
    states.require_open(upload)
    if door.ends_when_too_long:
        # What is longer than its client says is not the file that was meant.
        ending.delete(upload, "it was longer than it was declared")
    return LengthExceeded(None, upload.length or 0)


def slide(upload: Upload, **changes: Any) -> None:
    """Put an upload's expiry off: something of it has come."""
    expires = timezone.now() + _lifetime()
    if upload.expires is None or expires - upload.expires > EXPIRY_PRECISION:
        changes["expires"] = upload.expires = expires
    if changes:
        Upload.objects.receiving().filter(pk=upload.pk).update(**changes)


def report(upload: Upload, offset: int) -> None:
    """Put an upload's expiry off, and remember what its client is about to be told."""
    changes = {} if offset == upload.reported else {"reported": offset}
    slide(upload, **changes)
    upload.reported = offset


def recover(upload: Upload) -> None:
    """Make good a crash between the rename and the commit: the file finished, the record open."""
    path, place = partials.locate(upload), storage.path_of(upload.stored_path)
    if path.exists() or not place.exists():
        return
    with transaction.atomic():
        _lock(upload)
        if upload.state in UNFINISHED and not path.exists():
            place.rename(path)
            logger.warning("upload %s was finished and not recorded: once more", upload.id)


def _lifetime() -> timedelta:
    return timedelta(seconds=settings.UPLOAD_EXPIRY)


def finish(upload: Upload, file: ReceivedBody) -> Status:
    """Make an upload that has all its bytes a file, or keep it as a part; it is held meanwhile."""
    now = timezone.now()
    changes = {
        "length": file.size,
        "size": file.size,
        "sha256": file.sha256,
        "expires": now + _lifetime(),
    }
    # A commit that fails moves the file back, and the lock on the row decides who ends an upload.
    with ExitStack() as claim, transaction.atomic():
        _lock(upload)
        if upload.state not in UNFINISHED:
            return status(upload)
        storage.verify_partial(file, partials.locate(upload))
        if upload.is_part:
            Upload.objects.advance(upload.id, State.PART, **changes)
        else:
            claim.enter_context(storage.claimed([(file.path, upload.stored_path)]))
            Upload.objects.advance(upload.id, State.COMPLETE, ended=now, **changes)
        history.record(upload, Kind.COMPLETED)
    # The file of a part stays where it is, and its checkpoint has what goes on with the digest.
    if not upload.is_part:
        partials.remove(file.path)
    upload.refresh_from_db()
    logger.info(
        "upload %s %s: %d bytes, user %d", upload.id, upload.state, file.size, upload.owner_id
    )
    return Status(upload, file.size)


def _most(left: space.Space, offset: int) -> int:
    # A file of unknown length may take what is left, so that the reserve holds.
    most = offset + left.left
    return min(most, space.max_size() or most)


def _declare(upload: Upload, length: int, offset: int) -> None:
    if upload.length is None:
        with serialised(upload.owner):
            space.require_size(length)
            if length < offset:
                raise LengthConflict(offset, length)
            space.require(space.of(upload.owner, without=upload), length - offset)
            Upload.objects.filter(pk=upload.pk, length=None).update(length=length)
        upload.refresh_from_db(fields=["length"])
    if upload.length != length:
        raise LengthConflict(upload.length or 0, length)


def _lock(upload: Upload) -> None:
    # SQLite has one lock for all, which the transaction took when it began.
    upload.refresh_from_db(from_queryset=Upload.objects.select_for_update())


@contextmanager
def serialised(owner: User) -> Iterator[None]:
    """Decide in a transaction; two requests of one user cannot both take the last of its quota."""
    with transaction.atomic():
        if owner.quota or settings.UPLOAD_QUOTA:
            User.objects.select_for_update().get(pk=owner.pk)
        yield
