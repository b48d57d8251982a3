"""The end of an upload that does not become a file, or was one: deleted, or its time ran out."""

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from django.db import transaction
from django.utils import timezone

from config.problems import Problem
from uploads import history, partials, states, storage
from uploads.models import Door, Kind, State, Upload, UploadQuerySet
from uploads.partials import Takeover
from uploads.refusals import Gone

logger = logging.getLogger(__name__)

# What nobody was told of cannot be resumed: its creation is still under way, or was cut.
UNANNOUNCED: Final = timedelta(minutes=10)


def terminate(upload: Upload) -> None:
    """Delete an upload, finished or not. Problem: `Gone`, or 423 when it is in use."""
    states.require_remembered(upload)
    with partials.held(partials.locate(upload), Takeover.NOW):
        delete(upload)


def supersede(own: UploadQuerySet, name: str) -> None:
    """Delete a client's unfinished plain PUTs of a name that nobody is at: they keep no room.

    Who sends a file of this name from its beginning again does not go on with an older one.
    """
    for upload in own.receiving().filter(protocol=Door.PUT, name=name):
        path = partials.locate(upload)
        # Without a file it has only just begun.
        if not path.exists():
            continue
        with suppress(Problem), partials.held(path, None):
            delete(upload, "sent again from its beginning")


def delete(upload: Upload, reason: str = "") -> None:
    """Delete an upload whose file is held. Problem: `Gone`, when it ended otherwise."""
    with transaction.atomic():
        is_ours = Upload.objects.advance(upload.id, State.DELETED, ended=timezone.now())
        if is_ours:
            history.record(upload, Kind.DELETED, detail=reason)
    if not is_ours:
        upload.refresh_from_db()
        raise Gone(State(upload.state))
    _remove(upload)
    storage.remove(upload.stored_path)
    logger.info("upload %s deleted, user %d", upload.id, upload.owner_id)


def is_abandoned(upload: Upload) -> bool:
    """Tell whether `expire` would end an upload."""
    path = partials.locate(upload)
    now = timezone.now()
    return upload.is_overdue(now) and not partials.is_locked(path) and not _is_fresh(path, now)


def expire(upload: Upload) -> bool:
    """End an upload whose time ran out; False: somebody is at it, or it ended otherwise."""
    path = partials.locate(upload)
    try:
        with partials.held(path, None):
            now = timezone.now()
            if _is_fresh(path, now):
                return False
            with transaction.atomic():
                if not Upload.objects.overdue(now).advance(upload.id, State.EXPIRED, ended=now):
                    return False
                history.record(upload, Kind.EXPIRED)
            _remove(upload)
            # A crash while it was completed may have left it there.
            storage.remove(upload.stored_path)
    except Problem:
        return False
    return True


def _is_fresh(path: Path, now: datetime) -> bool:
    # What has just been received is on its way to `received`.
    return partials.changed_since(path, now - UNANNOUNCED)


def _remove(upload: Upload) -> None:
    # Parts first: one that becomes the file at this moment is found there.
    for part_id in upload.parts.values_list("id", flat=True):
        partials.remove(partials.path_of(part_id))
    partials.remove(partials.locate(upload))
