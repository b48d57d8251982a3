"""Who may still store how much: the limit of one file, the room on the disk, and quotas.

The room that unfinished uploads have declared and do not take yet is reserved for them. nginx keeps
room for a file as soon as it opens it (fallocate), so a reservation counts for moments only, and
two requests that pass here at the same moment for the last room are told apart there, by a 507.
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from accounts.models import User
from config.problems import Problem
from uploads import partials, storage
from uploads.models import KEPT, UNFINISHED, State, Upload

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True)
class Space:
    """What is left, in bytes; without a quota `quota` is None."""

    room: int
    reserved: int
    quota: int | None
    used: int

    @property
    def free(self) -> int:
        """The room that nobody has declared a need of."""
        return max(0, self.room - self.reserved)

    @property
    def left(self) -> int:
        """What this user may still store."""
        if self.quota is None:
            return self.free
        return min(self.free, max(0, self.quota - self.used))


@dataclass(frozen=True, slots=True)
class Usage:
    """What a user has of its quota, in bytes: files, and what unfinished uploads declared."""

    kept: int
    unfinished: int
    quota: int | None

    @property
    def total(self) -> int:
        """What counts against the quota."""
        return self.kept + self.unfinished

    @property
    def left(self) -> int:
        """What may still come; without a quota it is not this that ends it."""
        return max(0, (self.quota or 0) - self.total)

    @property
    def high(self) -> int:
        """From how many bytes on it is nearly used up."""
        return (self.quota or 0) * 9 // 10


def of(owner: User, *, without: Upload | None = None) -> Space:
    """Return what a user may still store, `without` counting one upload of its own."""
    quota = quota_of(owner)
    return Space(
        room=storage.room(),
        reserved=reserved(without),
        quota=quota,
        used=usage(owner, without=without).total if quota else 0,
    )


def quota_of(owner: User) -> int | None:
    """Return the bytes that a user may have, None for no limit."""
    quota: int = settings.UPLOAD_QUOTA if owner.quota is None else owner.quota
    return quota or None


def max_size() -> int | None:
    """Return the bytes that one file may have, None for no limit."""
    return settings.UPLOAD_MAX_SIZE or None


def require_size(size: int, overhead: int = 0) -> None:
    """Check a file against the limit, or a request with some `overhead`. Problem: 413."""
    limit = max_size()
    if limit is not None and size > limit + overhead:
        raise too_large(size, limit)


def require(space: Space, size: int | None) -> None:
    """Check that so many more bytes fit; None: any bytes at all. Problem: 507 with the numbers."""
    if space.free == 0 or (size is not None and size > space.free):
        raise _no_space(space, size)
    if space.quota is not None and (size or 1) > space.quota - space.used:
        raise _over_quota(space.quota, space.used, size)


def require_free(space: Space, size: int) -> None:
    """Check that so many bytes are free, whatever the quota. Problem: 507 with the numbers."""
    if size > space.free:
        raise _no_space(space, size)


def too_large(size: int, limit: int) -> Problem:
    """Return the refusal of a file or request over a limit."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        "The upload is too large",
        f"The upload has {size} bytes, and {limit} are the most. Send less at a time,"
        " or ask the administrator to raise the limit.",
        numbers={"size": size, "max_size": limit},
    )


def reserved(without: Upload | None = None) -> int:
    """Return the bytes that were declared and are not taken yet, `without` those of one upload."""
    # An upload that nobody was told of, because the disk was full, soon reserves nothing.
    declared = (
        Upload.objects.receiving()
        .filter(length__isnull=False, expires__gt=timezone.now())
        .only("id", "length", "owner_id", "protocol", "metadata")
    )
    if without is not None:
        declared = declared.exclude(pk=without.pk)
    return _second_copies() + sum(
        max(0, (upload.length or 0) - partials.allocated(partials.locate(upload)))
        for upload in declared
    )


def _second_copies() -> int:
    # While a part is joined it is there twice, if the file system cannot share its extents.
    largest: dict[UUID, int] = {}
    joining = Upload.objects.filter(joined_to__state=State.VERIFYING, position__gt=0)
    for part_id, size, joined_to in joining.values_list("id", "size", "joined_to"):
        if joined_to is not None and partials.path_of(part_id).exists():
            largest[joined_to] = max(size, largest.get(joined_to, 0))
    return sum(largest.values())


def usage(owner: User, *, without: Upload | None = None) -> Usage:
    """Return what a user stores, `without` counting one upload of its own."""
    uploads = Upload.objects.filter(owner=owner)
    kept = uploads.filter(state__in=KEPT).aggregate(used=Coalesce(Sum("size"), 0))["used"]
    # What failed is on the disk as well.
    open_ones = uploads.filter(state__in=(*UNFINISHED, State.FAILED))
    if without is not None:
        open_ones = open_ones.exclude(pk=without.pk)
    unfinished = sum(
        partials.offset(partials.path_of(upload_id), durable=False) if length is None else length
        for upload_id, length in open_ones.values_list("id", "length")
    )
    return Usage(kept=kept, unfinished=unfinished, quota=quota_of(owner))


def _no_space(space: Space, size: int | None) -> Problem:
    return Problem(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "no-space",
        "Not enough space on the server",
        f"{space.free} bytes are free for uploads"
        + (f", and {size} are needed." if size is not None else ".")
        + " Nothing was sent. Ask the administrator to make room.",
        numbers={
            **({} if size is None else {"size": size}),
            "free": space.free,
            "reserved": space.reserved,
        },
    )


def _over_quota(quota: int, used: int, size: int | None) -> Problem:
    return Problem(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "quota",
        "Your quota is used up",
        f"You may store {quota} bytes, and your files have {used}"
        + (f": {size} more are too many." if size is not None else ".")
        + " Delete some, or ask the administrator for a larger quota.",
        numbers={**({} if size is None else {"size": size}), "quota": quota, "used": used},
    )
