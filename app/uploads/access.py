"""Who may do what with the uploads below /files/.

An upload belongs to its owner alone; to anybody else it is not there. Two things open one upload
and nothing else, so that a token that runs out does not end what it began: the token that created
it, expired but not revoked, and the capability that its creation was answered with.

A token whose scope is uploading is good for what it created alone, and one for reading changes
nothing: 403 where the upload is its owner's, 404 as for anybody where it is not.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from uuid import UUID

from django.core import signing
from django.http import HttpRequest
from django.utils import timezone

from accounts.authentication import (
    Identity,
    bearer_token,
    identify,
    require_our_pages,
    require_scope,
    unauthenticated,
)
from accounts.models import ApiToken, Scope, User
from config.problems import Problem
from uploads.models import ELSEWHERE, UNFINISHED, Door, Upload, UploadQuerySet

# The prefix tells a leaked capability from a token, and what it opens.
CAPABILITY_PREFIX: Final = "upl_"
_CAPABILITY: Final = re.compile(r"([0-9a-f]{32})\.([0-9]{1,18})")
_SALT: Final = "uploads.capability"


@dataclass(frozen=True, slots=True)
class Access:
    """An upload that the client may act on, and the token that says so (None: a session)."""

    upload: Upload
    token: int | None


@dataclass(frozen=True, slots=True)
class Continuer:
    """Who goes on. A token that ran out, `is_outlived`, is good for what it created alone.

    So is one whose scope is uploading.
    """

    user: User
    token: ApiToken | None
    is_outlived: bool

    def may(self, upload: Upload) -> bool:
        """Tell whether an upload is theirs."""
        created = self.token is not None and upload.token_id == self.token.pk
        limited = self.is_outlived or _is_limited(self.token)
        return upload.owner_id == self.user.pk and (created or not limited)


def creator(request: HttpRequest) -> Identity:
    """Return who begins an upload. Problem: 401, or 403 for a scope or a page of another site."""
    identity = identify(request, Scope.UPLOAD)
    if identity is None:
        raise unauthenticated()
    if identity.token is None:
        require_our_pages(request)
    return identity


def of(identity: Identity) -> UploadQuerySet:
    """Return what a client may go on with: its own, or what a token for uploading created."""
    return _of(Upload.objects.filter(owner=identity.user), identity.token)


def own(identity: Identity, targets: Sequence[str]) -> list[Upload]:
    """Return a client's own uploads in the order of `targets`. Problem 404: one is not there."""
    ids = [_id(target) for target in targets]
    found = of(identity).in_bulk([upload_id for upload_id in ids if upload_id is not None])
    for number, upload_id in enumerate(ids, 1):
        if upload_id not in found:
            problem = not_found()
            problem.numbers["part"] = number
            raise problem
    return [found[upload_id] for upload_id in ids if upload_id is not None]


def to_upload(
    request: HttpRequest, target: str, *, safe: bool = False, door: Door | None = None
) -> Access:
    """Return a client's own upload. Problem: 401, 404 for others' as for none, or 403.

    `target` is what stands below /files/, or below the address of a `door` that has its own. A
    request that changes nothing is `safe`, and a page of any site may lead to it.
    """
    upload = find(target, door)
    text = bearer_token(request)
    if text is not None and upload is not None:
        opened = _open(text, upload, safe=safe)
        if opened is not None:
            return opened
    identity = identify(request, *Scope)
    if identity is None:
        raise unauthenticated()
    if identity.token is None and not safe:
        require_our_pages(request)
    if upload is None or upload.owner_id != identity.user.pk:
        raise not_found()
    if identity.token is not None:
        _require_scope(identity.token, upload, safe=safe)
    return Access(upload, identity.token.pk if identity.token else None)


def visible(identity: Identity) -> UploadQuerySet:
    """Return what a client may see: its own, for staff everybody's, or what its token created."""
    return _of(Upload.objects.visible_to(identity.user), identity.token)


def continuer(request: HttpRequest) -> Continuer:
    """Return who goes on with an upload that only the body, or Django's record, will name."""
    identity = identify(request, Scope.UPLOAD)
    if identity is not None:
        if identity.token is None:
            require_our_pages(request)
        return Continuer(identity.user, identity.token, is_outlived=False)
    text = bearer_token(request)
    token = None if text is None else ApiToken.objects.in_force().with_text(text)
    if token is None:
        raise unauthenticated()
    require_scope(token, Scope.UPLOAD)
    return Continuer(token.owner, token, is_outlived=True)


def find(target: str, door: Door | None) -> Upload | None:
    """Return the upload at an address, None: there is none, or none with such a door."""
    try:
        upload_id = UUID(target)
    except ValueError:
        return None
    # Other spellings of the same number are not the address that was given out.
    spellings = {str(upload_id), upload_id.hex} if door is Door.CHUNKED else {str(upload_id)}
    if target not in spellings:
        return None
    uploads = Upload.objects.select_related("owner").filter(pk=upload_id)
    if door is not None:
        return uploads.filter(protocol=door).first()
    return uploads.exclude(protocol__in=ELSEWHERE, state__in=UNFINISHED).first()


def to_named(request: HttpRequest, name: str, door: Door, *, safe: bool = False) -> Access | None:
    """Return the newest unfinished upload of a client's that has a name; None: there is none.

    As with an address, a token that ran out is good for what it created. Problem: 401 or 403.
    """
    enough = (Scope.UPLOAD, Scope.READ) if safe else (Scope.UPLOAD,)
    uploads = (
        Upload.objects.receiving()
        .select_related("owner")
        .filter(name=name, protocol=door, expires__gt=timezone.now())
    )
    identity = identify(request, *enough)
    if identity is not None:
        if identity.token is None:
            require_our_pages(request)
        upload = _of(uploads.filter(owner=identity.user), identity.token).first()
        if upload is None:
            return None
        return Access(upload, identity.token.pk if identity.token else None)
    text = bearer_token(request)
    token = None if text is None else ApiToken.objects.in_force().with_text(text)
    upload = uploads.filter(token=token, owner__is_active=True).first() if token else None
    if token is None or upload is None:
        raise unauthenticated()
    require_scope(token, *enough)
    return Access(upload, token.pk)


def capability(upload: Upload) -> str:
    """Return the text that opens this upload as a token would, until the upload expires."""
    return CAPABILITY_PREFIX + _signer().sign(f"{upload.id.hex}.{upload.token_id or 0}")


def not_found() -> Problem:
    """Return the answer for what is not there, or somebody else's."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        "not-found",
        "Nothing here",
        "There is nothing at this address, or it belongs to somebody else. Check the address.",
    )


def _id(target: str) -> UUID | None:
    try:
        upload_id = UUID(target)
    except ValueError:
        return None
    # Other spellings of the same number are not the address that was given out.
    return upload_id if str(upload_id) == target else None


def _is_limited(token: ApiToken | None) -> bool:
    return token is not None and token.scope == Scope.UPLOAD


def _of(uploads: UploadQuerySet, token: ApiToken | None) -> UploadQuerySet:
    return uploads.filter(token=token) if _is_limited(token) else uploads


def _require_scope(token: ApiToken, upload: Upload, *, safe: bool) -> None:
    created = (Scope.UPLOAD,) if upload.token_id == token.pk else ()
    require_scope(token, *created, *((Scope.READ,) if safe else ()))


def _open(text: str, upload: Upload, *, safe: bool) -> Access | None:
    if upload.is_overdue(timezone.now()) or not upload.owner.is_active:
        return None
    if text.startswith(CAPABILITY_PREFIX):
        return _open_by_capability(text.removeprefix(CAPABILITY_PREFIX), upload)
    if upload.token_id is None:
        return None
    token = ApiToken.objects.in_force().with_text(text)
    if token is None or token.pk != upload.token_id:
        return None
    _require_scope(token, upload, safe=safe)
    token.note_use()
    return Access(upload, token.pk)


def _open_by_capability(text: str, upload: Upload) -> Access | None:
    try:
        value = _signer().unsign(text)
    except signing.BadSignature:
        return None
    found = _CAPABILITY.fullmatch(value)
    if found is None or UUID(found[1]) != upload.id:
        return None
    token = int(found[2]) or None
    # Whoever withdraws a token withdraws what it opened.
    if token is not None and not ApiToken.objects.in_force().uploading().filter(pk=token).exists():
        return None
    return Access(upload, token)


def _signer() -> signing.Signer:
    # A colon has no place in a bearer token (RFC 6750).
    return signing.Signer(sep=".", salt=_SALT)
