"""Grants: what authorize decided, signed, carried by nginx to complete."""

from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Final, Self

from django.conf import settings
from django.core import signing

from accounts.authentication import Identity
from accounts.models import ApiToken, User
from config.problems import Problem

_SALT: Final = "uploads.grant"


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
            members = signing.loads(text, salt=_SALT, max_age=settings.UPLOAD_GRANT_MAX_AGE)
            return cls(**members)
        except signing.SignatureExpired:
            raise _refused(
                "grant-expired",
                f"It took longer than {settings.UPLOAD_GRANT_MAX_AGE} seconds, the most an upload"
                " may take. Send it again, or ask the administrator to raise UPLOAD_GRANT_MAX_AGE.",
            ) from None
        except (signing.BadSignature, TypeError):
            raise _refused(
                "grant-invalid",
                "It carries no valid grant. Send it to the upload address, where it gets one.",
            ) from None

    def owner(self) -> User:
        """Return the user, if the right to upload still stands. Problem 403: it was withdrawn.

        A token that expired while its upload was under way was good when it counted; one that was
        revoked meanwhile was withdrawn on purpose.
        """
        user = User.objects.filter(pk=self.user, is_active=True).first()
        withdrawn = user is None or (
            self.token is not None
            and not ApiToken.objects.filter(pk=self.token, revoked=None).exists()
        )
        if user is None or withdrawn:
            raise _refused(
                "grant-withdrawn",
                "The account or the token was withdrawn while the upload was under way."
                " Ask the administrator.",
            )
        return user


def _refused(kind: str, detail: str) -> Problem:
    return Problem(HTTPStatus.FORBIDDEN, kind, "This upload is not accepted", detail)
