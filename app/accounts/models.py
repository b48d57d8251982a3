"""Users, the tokens that programs use instead of a password, and who is signed in."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import Final, Self

from django.contrib.auth.models import AbstractUser
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

# The prefix lets people, and scanners for leaked secrets, recognise a token.
TOKEN_PREFIX: Final = "dnu_"  # noqa: S105 - the public part of a token
TOKEN_BYTES: Final = 32
_TOKEN: Final = re.compile(TOKEN_PREFIX + r"[A-Za-z0-9_-]{43}")
# Writing the time of each use would make every request a database write.
LAST_USED_PRECISION: Final = timedelta(minutes=1)


class User(AbstractUser):
    """A person or a service: Django's user, and how much it may store."""

    quota = models.BigIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Bytes of all its files. Empty: what UPLOAD_QUOTA says; 0: no limit.",
    )


def new_token() -> str:
    """Return a new random token: the prefix and 256 random bits in 43 characters."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def digest_of(token: str) -> str:
    """Return the hex digest under which a token is stored.

    A plain SHA-256 suffices: slow, salted hashes protect secrets that can be guessed, and nobody
    guesses 256 random bits.
    """
    return hashlib.sha256(token.encode()).hexdigest()


class Scope(models.TextChoices):
    """What a token is good for; the one place that names it."""

    ALL = "all", "everything"
    # Begins uploads, and goes on with them or deletes them: with what it began itself.
    UPLOAD = "upload", "uploading"
    # Lists, describes and downloads.
    READ = "read", "reading"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """The ways to find and to make tokens."""

    def usable(self) -> Self:
        """Return the tokens that are neither revoked nor expired and whose owner is active."""
        return self.in_force().filter(Q(expires=None) | Q(expires__gt=timezone.now()))

    def in_force(self) -> Self:
        """Return the tokens that nobody withdrew, though they may have expired."""
        return self.filter(revoked=None, owner__is_active=True)

    def uploading(self) -> Self:
        """Return the tokens that are good for uploading."""
        return self.filter(scope__in=(Scope.ALL, Scope.UPLOAD))

    def with_text(self, text: str) -> "ApiToken | None":
        """Return the token with this text, or None, whatever the reason is."""
        if not _TOKEN.fullmatch(text):
            return None
        return self.filter(digest=digest_of(text)).select_related("owner").first()

    def add(
        self,
        owner: User,
        name: str,
        text: str,
        expires: datetime | None = None,
        scope: Scope = Scope.ALL,
    ) -> "ApiToken":
        """Store the digest of a token. ValidationError: its text is no token's."""
        if not _TOKEN.fullmatch(text):
            raise ValidationError(
                f"this is no token: {TOKEN_PREFIX} and 43 letters, digits, '_' or '-' are needed;"
                " `manage.py create_token` makes one."
            )
        return self.create(
            owner=owner, name=name, digest=digest_of(text), expires=expires, scope=scope
        )

    def revoke(self) -> int:
        """Withdraw the tokens that are not withdrawn yet, and return how many."""
        return self.filter(revoked=None).update(revoked=timezone.now())


class ApiToken(models.Model):
    """The right of a program to act as `owner`. Only the digest of its text is kept."""

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100, help_text="What uses it, for example: sequencer 3.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    # The database knows the default too: a release that has no scopes goes on making tokens.
    scope = models.CharField(
        max_length=10,
        choices=Scope,
        default=Scope.ALL,
        db_default=Scope.ALL.value,
        help_text="What it is good for. Uploading: with what it began itself, and nothing else.",
    )
    created = models.DateTimeField(auto_now_add=True)
    last_used = models.DateTimeField(null=True, blank=True, editable=False)
    expires = models.DateTimeField(null=True, blank=True, help_text="Empty: never.")
    revoked = models.DateTimeField(null=True, blank=True, help_text="Empty: in force.")

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"
        ordering = ("owner", "name")
        constraints = (
            models.UniqueConstraint(fields=("owner", "name"), name="token_name_once_per_owner"),
        )

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"

    @property
    def is_expired(self) -> bool:
        """Tell whether its time ran out."""
        return self.expires is not None and self.expires <= timezone.now()

    def note_use(self) -> None:
        """Record that the token was used now, at most once a minute."""
        now = timezone.now()
        if self.last_used is None or now - self.last_used > LAST_USED_PRECISION:
            ApiToken.objects.filter(pk=self.pk).update(last_used=now)
            self.last_used = now


class SignInFailure(models.Model):
    """A password that was wrong, or is being looked at; see accounts/sign_in.py."""

    address = models.CharField(max_length=45)
    # Of a name that somebody typed, which may be a password by mistake.
    name_digest = models.CharField(max_length=64)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = (models.Index(fields=("address", "at"), name="sign_in_failure_address"),)

    def __str__(self) -> str:
        return f"{self.address} at {self.at}"


class BrowserSession(models.Model):
    """A browser in which a user is signed in; see accounts/browsers.py."""

    # Ends with Django's session. No constraints in the database: a release that has no such table
    # goes on ending sessions, and deleting users.
    session = models.OneToOneField(
        Session, on_delete=models.CASCADE, db_constraint=False, related_name="browser"
    )
    user = models.ForeignKey(
        User, on_delete=models.CASCADE, db_constraint=False, related_name="browsers"
    )
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=100, help_text="The browser and its system.")
    signed_in = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        ordering = ("-last_seen", "-id")

    def __str__(self) -> str:
        return f"{self.agent} of {self.user}"
