"""What nobody will come back for: uploads whose time ran out, and files that belong to none.

Whatever a running request holds is left alone. `dry_run` looks, and changes nothing.
"""

import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from config.problems import Problem
from uploads import ending, partials, storage
from uploads.models import ENDED, ShareLink, State, Upload, UploadEvent

# An upload that is over is 410 for so long, then as unknown as any other.
REMEMBERED: Final = timedelta(days=30)
# Younger files may be on their way to a row.
_ORPHANED_SECONDS: Final = 86400.0
# A form is being received as long as one of its files grows; nginx waits less for the next byte.
_FORM_SECONDS: Final = 3600.0
# What the module calls the files of a form.
OF_FORM: Final = re.compile(r"[0-9]{10,}")


class Action(StrEnum):
    """What became of something, or would become of it."""

    EXPIRE = "expire"
    KEEP = "keep"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Finding:
    """One upload or file, and the bytes that it takes on the disk."""

    action: Action
    what: str
    size: int


def end_overdue(*, dry_run: bool) -> Iterator[Finding]:
    """End the uploads whose time ran out, the oldest first."""
    overdue = Upload.objects.overdue(timezone.now())
    for upload in list(overdue.select_related("owner").order_by("expires", "id")):
        what = f"upload {upload.id} ({upload.name!r} of {upload.owner.username})"
        path = partials.locate(upload)
        size = _size(path) + partials.allocated(storage.path_of(upload.stored_path))
        ended = ending.is_abandoned(upload) if dry_run else ending.expire(upload)
        yield Finding(Action.EXPIRE if ended else Action.KEEP, what, size)


def remove_orphans(*, dry_run: bool) -> Iterator[Finding]:
    """Remove what processes that were killed left in the incoming directory."""
    root: Path = settings.UPLOAD_INCOMING_DIR
    form_age = _form_age(root)
    names = {path.name.removesuffix(partials.SUFFIX): path.parent for path in _files(root)}
    for name, parent in sorted(names.items()):
        path = parent / name
        age = _age_limit(path, root, form_age)
        if _idle(path) <= age or _has_owner(path, root) or partials.is_locked(path):
            continue
        found = Finding(Action.REMOVE, f"file {path.relative_to(root)}", _size(path))
        if dry_run or _remove(path, age):
            yield found


def forget(*, dry_run: bool) -> int:
    """Forget the uploads that have been over for long, and return how many."""
    old = Upload.objects.filter(state__in=ENDED, ended__lte=timezone.now() - REMEMBERED)
    # A file that is still being put together needs to know its parts.
    old = old.exclude(joined_to__state=State.VERIFYING)
    if dry_run:
        return old.count()
    forgotten = old.delete()[1].get("uploads.Upload", 0)
    # The release before this one forgets uploads, too, and knows of neither.
    for model in (UploadEvent, ShareLink):
        model.objects.exclude(upload__in=Upload.objects.values("pk")).delete()
    return forgotten


def _files(root: Path) -> Iterator[Path]:
    # A link is nobody's work but an administrator's.
    for directory, _, names in root.walk():
        for path in (directory / name for name in names):
            try:
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path
            except FileNotFoundError:
                continue


def _form_age(root: Path) -> float:
    # nginx closes each file of a form when it is whole, and the form may go on for as long as a
    # grant is good.
    is_receiving = any(
        OF_FORM.fullmatch(path.name) and _idle(path) < _FORM_SECONDS for path in root.iterdir()
    )
    return max(_ORPHANED_SECONDS, settings.UPLOAD_GRANT_MAX_AGE if is_receiving else 0.0)


def _age_limit(path: Path, root: Path, form_age: float) -> float:
    if path.parent != root:
        # Segments end with their upload; this is for what nothing knows of any more.
        return max(_ORPHANED_SECONDS, settings.UPLOAD_EXPIRY)
    return form_age if OF_FORM.fullmatch(path.name) else _ORPHANED_SECONDS


def _has_owner(path: Path, root: Path) -> bool:
    if path.parent != root:
        return False
    # Whatever is kept beside the file of an upload has its name and a suffix.
    try:
        upload_id = UUID(path.name.partition(".")[0])
    except ValueError:
        return False
    upload = Upload.objects.select_related("joined_to").filter(pk=upload_id).first()
    if upload is None:
        return False
    if upload.joined_to is not None:
        # Its bytes lie here until they are in the file that it went into.
        return upload.joined_to.state not in {State.COMPLETE, *ENDED}
    if upload.state in ENDED:
        return False
    # A checkpoint may outlive its file when a process is killed at the very end.
    return upload.state != State.COMPLETE or path.exists()


def _remove(path: Path, age: float) -> bool:
    try:
        with partials.held(path, None):
            if _idle(path) <= age:
                return False
            partials.remove(path)
    except Problem:
        return False
    return True


def _idle(path: Path) -> float:
    """Return the seconds since a file or its checkpoint was written to; none are there: 0."""
    times = []
    for each in (path, partials.checkpoint_of(path)):
        try:
            times.append(each.lstat().st_mtime)
        except FileNotFoundError:
            continue
    return time.time() - max(times) if times else 0.0


def _size(path: Path) -> int:
    return partials.allocated(path) + partials.allocated(partials.checkpoint_of(path))
