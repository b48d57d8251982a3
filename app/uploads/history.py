"""The history of an upload: who did what to it, from where, and how often it was interrupted.

An interruption is an append that goes on behind more bytes than the last answered request left:
whoever sent them never had the answer. So a client that sends forty requests in turn has none, and
one that tries again at the same offset has one, not two.
"""

from contextvars import ContextVar
from datetime import datetime
from typing import Final

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.authentication import bearer_token, client_address, identify
from accounts.models import Scope, User
from config.middleware import GetResponse
from uploads.models import Kind, Upload, UploadEvent

# Of an upload that was cut a thousand times, the newest do.
SHOWN: Final = 200

_current: Final[ContextVar[HttpRequest | None]] = ContextVar("current", default=None)


class CurrentRequest:
    """Makes the request known to `record`, wherever below a view it is called."""

    def __init__(self, get_response: GetResponse) -> None:
        """Take the next layer."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        token = _current.set(request)
        try:
            return self.get_response(request)
        finally:
            _current.reset(token)


def record(
    upload: Upload,
    kind: Kind,
    *,
    offset: int | None = None,
    detail: str = "",
    at: datetime | None = None,
) -> None:
    """Write one line of an upload's history; outside a request it is the service's own doing."""
    record_all([upload], kind, offset=offset, detail=detail, at=at)


def record_all(
    uploads: list[Upload],
    kind: Kind,
    *,
    offset: int | None = None,
    detail: str = "",
    at: datetime | None = None,
) -> None:
    """Write the same line for several uploads of one owner."""
    user, token, address = _who(uploads[0])
    UploadEvent.objects.bulk_create(
        UploadEvent(
            upload=upload,
            at=at or timezone.now(),
            kind=kind,
            user=user,
            token=token,
            address=address,
            protocol=upload.protocol,
            offset=offset,
            detail=detail,
        )
        for upload in uploads
    )


def note_continuation(upload: Upload, offset: int) -> None:
    """Record that an append goes on after a cut, if this is one; `offset` is that on the disk."""
    if offset <= upload.reported:
        return
    with transaction.atomic():
        # Two requests that come for it at once are one continuation.
        if Upload.objects.filter(pk=upload.pk, reported__lt=offset).update(reported=offset):
            record(upload, Kind.WENT_ON, offset=offset)
    upload.reported = offset


def of(upload: Upload) -> list[UploadEvent]:
    """Return what happened to an upload, the newest first."""
    events = UploadEvent.objects.filter(upload=upload).select_related("user")
    return list(events.order_by("-at", "-id")[:SHOWN])


def interruptions(upload: Upload) -> int:
    """Return how often the bytes of a file were cut."""
    return UploadEvent.objects.filter(upload=upload, kind=Kind.WENT_ON).count()


def take_over(parts: list[Upload], upload: Upload) -> None:
    """Give the interruptions of parts to the file of them, which is remembered for longer."""
    cuts = UploadEvent.objects.filter(upload__in=parts, kind=Kind.WENT_ON)
    cuts.update(upload=upload, detail="in a part")


def _who(upload: Upload) -> tuple[User | None, str, str]:
    request = _current.get()
    if request is None:
        return None, "", ""
    address = client_address(request)
    identity = identify(request, *Scope)
    if identity is not None:
        return identity.user, identity.token.name if identity.token else "", address
    if bearer_token(request) is None:
        return None, "", address
    # Something else opened the upload, for its owner: the token that ran out, or its capability.
    return upload.owner, upload.token.name if upload.token else "", address
