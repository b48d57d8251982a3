"""Share links: whoever has one gets the file, without an account, until it ends.

The address is the link's id, signed. So it can be shown again to whoever may see the upload, the
database holds nothing that opens a file, and a new secret key ends every link.
"""

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

from django.core import signing
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_date

from accounts.models import User
from config.problems import Problem
from uploads import history
from uploads.models import Kind, ShareLink, Upload

# What the form offers; the last one means the date beside it.
LIFETIMES: Final[Mapping[str, tuple[str, timedelta | None]]] = {
    "1h": ("1 hour", timedelta(hours=1)),
    "1d": ("1 day", timedelta(days=1)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
    "date": ("the end of a day", None),
}
DEFAULT_LIFETIME: Final = "7d"
_SALT: Final = "uploads.share"


class BadExpiry(Problem):
    """The form says no time that a link could end at."""

    def __init__(self) -> None:
        """Say what would do."""
        super().__init__(
            HTTPStatus.BAD_REQUEST,
            "expiry",
            "This is no time to end at",
            "Choose how long the link shall work, or give a day that is not over.",
        )


def read_expiry(lifetime: str, day: str) -> datetime:
    """Return when a new link ends, from the two fields of the form. Problem: `BadExpiry`."""
    if lifetime not in LIFETIMES:
        raise BadExpiry
    now = timezone.now()
    _, seconds = LIFETIMES[lifetime]
    if seconds is not None:
        return now + seconds
    try:
        found = parse_date(day)
        expires = timezone.make_aware(datetime.combine(found, time.max)) if found else now
    except (ValueError, OverflowError):
        raise BadExpiry from None
    if expires <= now:
        raise BadExpiry
    return expires


def create(upload: Upload, user: User, expires: datetime) -> ShareLink:
    """Make a link to a finished file."""
    with transaction.atomic():
        link = ShareLink.objects.create(upload=upload, created_by=user, expires=expires)
        history.record(upload, Kind.SHARED, detail=_until(link))
    return link


def withdraw(link: ShareLink) -> None:
    """End a link now."""
    with transaction.atomic():
        mine = ShareLink.objects.filter(pk=link.pk, revoked=None)
        if mine.update(revoked=timezone.now()):
            history.record(link.upload, Kind.WITHDRAWN, detail=_until(link))


def note_download(link: ShareLink) -> None:
    """Count a download."""
    ShareLink.objects.filter(pk=link.pk).update(
        downloads=F("downloads") + 1, last_used=timezone.now()
    )


def path_of(link: ShareLink) -> str:
    """Return the address on this server that opens the file."""
    return reverse("shared", args=[_signer().sign(link.id.hex)])


def url_of(request: HttpRequest, link: ShareLink) -> str:
    """Return the same, as it is sent to people."""
    return request.build_absolute_uri(path_of(link))


def find(token: str) -> ShareLink | None:
    """Return the link of an address, None if it does not work, for whatever reason."""
    try:
        link_id = UUID(_signer().unsign(token))
    except (signing.BadSignature, ValueError):
        return None
    return ShareLink.objects.working().select_related("upload").filter(pk=link_id).first()


def _until(link: ShareLink) -> str:
    return f"until {timezone.localtime(link.expires):%Y-%m-%d %H:%M %Z}"


def _signer() -> signing.Signer:
    return signing.Signer(sep=".", salt=_SALT)
