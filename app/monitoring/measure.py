"""Looks at the service as it is now: the disk, the records, and what is under way."""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from django.conf import settings
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from monitoring.models import Sample
from uploads import housekeeping, partials, service, space, storage
from uploads.models import Upload

# A file of a form that has not grown for so long is taken for one that nobody sends.
_IDLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class InFlight:
    """An unfinished upload, how much of it is there, and when the newest byte of it came."""

    upload: Upload
    offset: int
    last_byte: datetime | None


@dataclass(frozen=True, slots=True)
class Now:
    """The service at this moment; `forms` are files of whose upload only nginx knows yet."""

    at: datetime
    free: int
    reserved: int
    received: int
    uploads: tuple[InFlight, ...]
    forms: int

    def sample(self) -> Sample:
        """Return what is kept of it."""
        return Sample(
            at=self.at,
            free=self.free,
            reserved=self.reserved,
            in_flight=len(self.uploads) + self.forms,
            received=self.received,
        )


def measure() -> Now:
    """Look at everything once."""
    now = timezone.now()
    uploads = tuple(_look(upload) for upload in _unfinished(now))
    sizes, forms = _forms()
    return Now(
        at=now,
        free=storage.room(),
        reserved=space.reserved(),
        received=_recorded() + sum(found.offset for found in uploads) + sizes,
        uploads=uploads,
        forms=forms,
    )


def _unfinished(now: datetime) -> list[Upload]:
    uploads = Upload.objects.receiving().exclude(expires__lte=now).select_related("owner")
    return list(
        uploads.only(
            "name", "length", "protocol", "metadata", "state", "created", "owner__username"
        ).order_by("created", "id")
    )


def _look(upload: Upload) -> InFlight:
    offset = service.arrived(upload)
    last_byte = None
    # It may end at this moment.
    with suppress(FileNotFoundError):
        if offset:
            changed = partials.locate(upload).stat().st_mtime
            last_byte = datetime.fromtimestamp(changed, UTC)
    return InFlight(upload, offset, last_byte)


def _recorded() -> int:
    # What was put together came in parts, and they are counted. Deleted files keep their size for
    # as long as they are remembered.
    own = Upload.objects.exclude(concat__startswith="final")
    total: int = own.aggregate(total=Coalesce(Sum("size"), 0))["total"]
    return total


def _forms() -> tuple[int, int]:
    """Return the bytes of the files that came in forms so far, and how many of them grow."""
    size, growing = 0, 0
    for path in settings.UPLOAD_INCOMING_DIR.iterdir():
        if not housekeeping.OF_FORM.fullmatch(path.name):
            continue
        try:
            found = path.lstat()
        except FileNotFoundError:
            continue
        size += found.st_size
        growing += time.time() - found.st_mtime < _IDLE_SECONDS
    return size, growing
