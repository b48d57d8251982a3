"""What is known of an upload, from its creation to its end."""

import base64
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiToken, User


class State(models.TextChoices):
    """The states of an upload; the one place that names them."""

    RECEIVING = "receiving"
    # Every byte is there, and the digest of the whole is not yet.
    VERIFYING = "verifying"
    COMPLETE = "complete"
    # A part has all its bytes, and waits to be joined with others to a file.
    PART = "part"
    # What the parts had cannot be put together; what is left of it stays until it expires.
    FAILED = "failed"
    # These are remembered for a while, without their file.
    JOINED = "joined"
    EXPIRED = "expired"
    DELETED = "deleted"


TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    State.RECEIVING: frozenset(
        {State.VERIFYING, State.COMPLETE, State.PART, State.EXPIRED, State.DELETED}
    ),
    State.VERIFYING: frozenset({State.COMPLETE, State.FAILED, State.DELETED}),
    State.COMPLETE: frozenset({State.DELETED}),
    State.PART: frozenset({State.JOINED, State.EXPIRED, State.DELETED}),
    State.FAILED: frozenset({State.EXPIRED, State.DELETED}),
    State.JOINED: frozenset(),
    State.EXPIRED: frozenset(),
    State.DELETED: frozenset(),
}
UNFINISHED: Final = (State.RECEIVING, State.VERIFYING)
# These have all their bytes on the disk.
KEPT: Final = (State.COMPLETE, State.PART)
# What waits for its client ends when that takes too long; what failed waits to be looked at.
EXPIRING: Final = (State.RECEIVING, State.PART, State.FAILED)
# Remembered for a while, without their file.
ENDED: Final = (State.JOINED, State.EXPIRED, State.DELETED)


class Door(models.TextChoices):
    """The protocols that an upload can come in by."""

    FORM = "form", "HTML form"
    TUS = "tus", "tus 1.0"
    RUFH = "rufh", "IETF resumable upload"
    CHUNKED = "chunked", "Content-Range chunks"
    SEGMENTS = "segments", "segments"
    PUT = "put", "plain PUT"

    @property
    def ends_with_its_length(self) -> bool:
        """Tell whether the last byte completes a file; where not, the client says that it does."""
        return self is not Door.RUFH

    @property
    def ends_when_too_long(self) -> bool:
        """Tell whether a body that goes past the declared length is the end of the upload."""
        return self is Door.RUFH


# Their unfinished uploads have an address of their own, not one below /files/.
ELSEWHERE: Final = (Door.CHUNKED, Door.SEGMENTS)


class UploadQuerySet(models.QuerySet["Upload"]):
    """Which uploads somebody may see, and the only way to change a state."""

    def visible_to(self, user: User) -> Self:
        """Return a user's own uploads; staff sees all."""
        return self if user.is_staff else self.filter(owner=user)

    def complete(self) -> Self:
        """Return the finished files."""
        return self.filter(state=State.COMPLETE)

    def receiving(self) -> Self:
        """Return the uploads that bytes are still missing of."""
        return self.filter(state=State.RECEIVING)

    def verifying(self) -> Self:
        """Return the uploads that have all bytes and no digest of the whole yet."""
        return self.filter(state=State.VERIFYING)

    def overdue(self, now: datetime) -> Self:
        """Return what ends because nobody came back to it."""
        return self.filter(state__in=EXPIRING, expires__lte=now)

    def in_the_background(self) -> Self:
        """Return what becomes a file without its client, or failed to."""
        return self.filter(state__in=(State.VERIFYING, State.FAILED))

    def under_way(self, now: datetime) -> Self:
        """Return what its client can still go on with."""
        return self.receiving().filter(expires__gt=now)

    def advance(self, upload_id: UUID, to: State, **changes: Any) -> bool:
        """Move one upload to a state, with `changes` of other fields; False: it may not go there.

        One statement, so that of two requests that end an upload one alone has its way.
        """
        sources = [state for state, targets in TRANSITIONS.items() if to in targets]
        rows = self.filter(pk=upload_id, state__in=sources)
        return rows.update(state=to, **changes) == 1


class Upload(models.Model):
    """One file: who owns it, what the client called it, and what nginx measured.

    How much of an unfinished one is there stands on the disk (uploads/partials.py), never here.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Files are kept until somebody removes them, so a user with files is deactivated, not deleted.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="uploads"
    )
    # Who was removed on purpose ends what it began: see uploads/access.py.
    token = models.ForeignKey(
        ApiToken,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="What created it; empty: a browser's session, or a token that was deleted.",
    )
    state = models.CharField(max_length=20, choices=State, default=State.COMPLETE)
    protocol = models.CharField(max_length=20, choices=Door, default=Door.FORM)
    name = models.CharField(max_length=255, help_text="The client's file name, without path.")
    length = models.BigIntegerField(
        null=True, blank=True, help_text="Bytes that were declared; empty: not known yet."
    )
    size = models.BigIntegerField(default=0, help_text="Bytes of the finished file.")
    sha256 = models.CharField(
        "SHA-256", max_length=64, blank=True, default="", help_text="Lower-case hex."
    )
    expected_sha256 = models.CharField(
        max_length=64,
        blank=True,
        default="",
        help_text="What the client says the SHA-256 is; empty: it did not say.",
    )
    content_type = models.CharField(
        max_length=255, blank=True, help_text="As the client named it; nothing relies on it."
    )
    fields = models.JSONField(
        default=dict, blank=True, help_text="Plain form fields: name to list of values."
    )
    metadata = models.TextField(
        blank=True, default="", help_text="What the client's protocol wants back as it was sent."
    )
    is_part = models.BooleanField(
        default=False, help_text="Sent to be joined with others, never a file of its own."
    )
    joined_to = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="parts",
        help_text="The upload that this part went into.",
    )
    position = models.PositiveIntegerField(
        null=True, blank=True, help_text="Which of its parts this is, from 0."
    )
    concat = models.TextField(
        blank=True, default="", help_text="What tus's Upload-Concat said, sent back as it came."
    )
    failure = models.CharField(
        max_length=255, blank=True, default="", help_text="Why it could not be completed."
    )
    # The default is the database's as well: the release before this one goes on recording uploads.
    reported = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Bytes that the last answered request left; what goes on after more was cut.",
    )
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When an unfinished upload is removed, and its own token ends; slides.",
    )
    ended = models.DateTimeField(
        null=True, blank=True, help_text="When it was completed, expired or deleted."
    )

    objects = UploadQuerySet.as_manager()

    class Meta:
        ordering = ("-created", "id")
        indexes = (
            models.Index(fields=("state", "-created", "id"), name="upload_newest"),
            models.Index(
                fields=("owner", "state", "-created", "id"), name="upload_newest_of_owner"
            ),
            models.Index(fields=("state", "expires"), name="upload_expires"),
            models.Index(fields=("sha256",), name="upload_sha256"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(size__gte=0), name="upload_size_not_negative"
            ),
            models.CheckConstraint(
                condition=models.Q(length=None) | models.Q(length__gte=0),
                name="upload_length_not_negative",
            ),
            models.CheckConstraint(
                condition=~models.Q(state=State.COMPLETE) | ~models.Q(sha256=""),
                name="upload_complete_has_sha256",
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    def get_absolute_url(self) -> str:
        """Return the address of the upload's page, or its description for programs."""
        return reverse("upload-detail", args=[self.id])

    def get_resource_url(self) -> str:
        """Return the address that its bytes go to, and that tells how many are there."""
        if self.protocol == Door.CHUNKED:
            return reverse("chunked-upload", args=[str(self.id)])
        if self.protocol == Door.SEGMENTS:
            return reverse("segments")
        return reverse("resource", args=[str(self.id)])

    def is_overdue(self, now: datetime) -> bool:
        """Tell whether its time ran out."""
        return self.expires is not None and self.expires <= now

    @property
    def stored_path(self) -> str:
        """The file's place below UPLOAD_FILES_DIR, `xx/<uuid>`: 256 directories keep each small."""
        return f"{str(self.id)[:2]}/{self.id}"

    @property
    def repr_digest(self) -> str:
        """The digest as a Repr-Digest header's value (RFC 9530)."""
        return f"sha-256=:{base64.b64encode(bytes.fromhex(self.sha256)).decode()}:"

    def get_download_url(self) -> str:
        """Return the address of the file."""
        return reverse("download", args=[self.id])


class Kind(models.TextChoices):
    """What can happen to an upload."""

    BEGAN = "began", "Began"
    WENT_ON = "went-on", "Went on after an interruption"
    COMPLETED = "completed", "Complete"
    FAILED = "failed", "Failed"
    RENAMED = "renamed", "Renamed"
    SHARED = "shared", "Shared"
    WITHDRAWN = "withdrawn", "Share link withdrawn"
    DELETED = "deleted", "Deleted"
    EXPIRED = "expired", "Expired"


class UploadEvent(models.Model):
    """One line of an upload's history: what happened, and by whom (uploads/history.py).

    Addresses are personal data, so an event is kept no longer than the record of its upload. The
    foreign keys are Django's alone: the release before this one, which knows nothing of events,
    goes on removing uploads and users.
    """

    upload = models.ForeignKey(
        Upload, on_delete=models.CASCADE, related_name="events", db_constraint=False
    )
    at = models.DateTimeField()
    kind = models.CharField(max_length=20, choices=Kind)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_constraint=False,
        help_text="Who did it; empty: the service itself, or somebody whose account is gone.",
    )
    token = models.CharField(
        max_length=100, blank=True, default="", help_text="The name of the token that was sent."
    )
    address = models.CharField(
        max_length=45, blank=True, default="", help_text="Where the request came from."
    )
    protocol = models.CharField(max_length=20, choices=Door, blank=True, default="")
    offset = models.BigIntegerField(
        null=True, blank=True, help_text="Bytes that were there at the time."
    )
    detail = models.CharField(max_length=600, blank=True, default="")

    class Meta:
        ordering = ("at", "id")
        indexes = (models.Index(fields=("upload", "at", "id"), name="event_of_upload"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.upload_id}"


class ShareLinkQuerySet(models.QuerySet["ShareLink"]):
    """Which links are good."""

    def working(self) -> Self:
        """Return the links that lead to a file now, by people whose accounts are active."""
        return self.filter(
            revoked=None,
            expires__gt=timezone.now(),
            created_by__is_active=True,
            upload__owner__is_active=True,
            upload__state=State.COMPLETE,
        )


class ShareLink(models.Model):
    """Leave for whoever has the link to get one file, until it expires or is withdrawn.

    Its address is not kept: uploads/sharing.py signs the id. The foreign keys are as those above.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    upload = models.ForeignKey(
        Upload, on_delete=models.CASCADE, related_name="share_links", db_constraint=False
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        related_name="+",
        db_constraint=False,
    )
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()
    revoked = models.DateTimeField(null=True, blank=True, help_text="Empty: not withdrawn.")
    downloads = models.PositiveIntegerField(default=0)
    last_used = models.DateTimeField(null=True, blank=True)

    objects = ShareLinkQuerySet.as_manager()

    class Meta:
        ordering = ("-created", "id")

    def __str__(self) -> str:
        return f"{self.id} of {self.upload_id}"
