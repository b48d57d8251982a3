"""Grants: what authorize decided, signed, carried by nginx to complete.

A form has its `Grant`, an append or a segment its `AppendGrant`, a chunk its `ChunkGrant`; one is
never taken for another.
"""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Self
from uuid import UUID

from django.conf import settings
from django.core import signing

from accounts.authentication import Identity
from accounts.models import ApiToken, User
from config.problems import Problem
from uploads.access import Continuer
from uploads.models import Door, Upload

_SALT: Final = "uploads.grant"
_APPEND_SALT: Final = "uploads.grant.append"
_CHUNK_SALT: Final = "uploads.grant.chunk"


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to upload: for whom, by which token (None: a session), and how many bytes."""

    user: int
    token: int | None
    length: int | None
    max_size: int | None

    @classmethod
    def to(cls, identity: Identity, length: int | None, max_size: int | None) -> Self:
        """Return the grant for an identity."""
        token = identity.token.pk if identity.token else None
        return cls(identity.user.pk, token, length, max_size)

    def sign(self) -> str:
        """Return the grant as a text that only the holder of the secret key can make."""
        return signing.dumps(asdict(self), salt=_SALT)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the grant of a signed text. Problem 403: forged or too old."""
        try:
            return cls(**_load(text, _SALT))
        except TypeError:
            raise _invalid() from None

    def owner(self) -> User:
        """Return the user, if the right to upload still stands. Problem 403: it was withdrawn.

        A token that expired while its upload was under way was good when it counted; one that was
        revoked meanwhile was withdrawn on purpose.
        """
        user = User.objects.filter(pk=self.user, is_active=True).first()
        if user is None or not _stands(self.token):
            raise _withdrawn()
        return user


@dataclass(frozen=True, slots=True)
class AppendGrant:
    """Leave to append one body to an upload, and how to answer at its end.

    `is_creation`: this request made the upload. `is_final`: its end is the end of the file, also of
    one whose length nobody declared.
    """

    upload: str
    protocol: str
    token: int | None
    is_creation: bool
    is_final: bool

    def sign(self) -> str:
        """Return the grant as a text that only the holder of the secret key can make."""
        return signing.dumps(asdict(self), salt=_APPEND_SALT)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the grant of a signed text. Problem 403: forged or too old."""
        try:
            grant = cls(**_load(text, _APPEND_SALT))
            UUID(grant.upload), Door(grant.protocol)
        except (TypeError, ValueError, AttributeError):
            raise _invalid() from None
        return grant

    def open(self) -> Upload:
        """Return the upload, if the right to it still stands. Problem 403: it was withdrawn."""
        upload = (
            Upload.objects.select_related("owner")
            .filter(pk=self.upload, owner__is_active=True)
            .first()
        )
        if upload is None or not _stands(self.token):
            raise _withdrawn()
        return upload


@dataclass(frozen=True, slots=True)
class ChunkGrant:
    """Leave to send one chunk: for whom, to which upload (None: the form names it, or a new one).

    `first` and `total` are those of its Content-Range, and `size` follows from it; all are None
    without one, when the chunk is the whole file or the form has none. `is_outlived`: the token ran
    out, and is good for the upload that it created.
    """

    user: int
    token: int | None
    is_outlived: bool
    upload: str | None
    first: int | None
    size: int | None
    total: int | None

    def sign(self) -> str:
        """Return the grant as a text that only the holder of the secret key can make."""
        return signing.dumps(asdict(self), salt=_CHUNK_SALT)

    @classmethod
    def read(cls, text: str) -> Self:
        """Return the grant of a signed text. Problem 403: forged or too old."""
        try:
            return cls(**_load(text, _CHUNK_SALT))
        except TypeError:
            raise _invalid() from None

    def holder(self) -> Continuer:
        """Return whose it is, if the right still stands. Problem 403: it was withdrawn."""
        user = User.objects.filter(pk=self.user, is_active=True).first()
        if user is None or not _stands(self.token):
            raise _withdrawn()
        token = None if self.token is None else ApiToken.objects.get(pk=self.token)
        return Continuer(user, token, self.is_outlived)


def issued(text: str) -> datetime:
    """Return when a signed text, which has been read before, was made."""
    return datetime.fromtimestamp(signing.b62_decode(text.split(":")[-2]), UTC)


def _load(text: str, salt: str) -> dict[str, Any]:
    members: dict[str, Any]
    try:
        members = signing.loads(text, salt=salt, max_age=settings.UPLOAD_GRANT_MAX_AGE)
    except signing.SignatureExpired:
        raise _refused(
            "grant-expired",
            f"It took longer than {settings.UPLOAD_GRANT_MAX_AGE} seconds, the most an upload"
            " may take. Send it again, or ask the administrator to raise UPLOAD_GRANT_MAX_AGE.",
        ) from None
    except signing.BadSignature:
        raise _invalid() from None
    return members


def _stands(token: int | None) -> bool:
    return token is None or ApiToken.objects.filter(pk=token, revoked=None).exists()


def _invalid() -> Problem:
    return _refused(
        "grant-invalid",
        "It carries no valid grant. Send it to the upload address, where it gets one.",
    )


def _withdrawn() -> Problem:
    return _refused(
        "grant-withdrawn",
        "The account or the token was withdrawn while the upload was under way."
        " Ask the administrator.",
    )


def _refused(kind: str, detail: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, kind, "This upload is not accepted", detail)
