"""What is known of a finished upload."""

import base64
import uuid
from typing import Self

from django.conf import settings
from django.db import models
from django.urls import reverse

from accounts.models import User


class State(models.TextChoices):
    """The states of an upload; the one place that names them."""

    COMPLETE = "complete"


class UploadQuerySet(models.QuerySet["Upload"]):
    """Which uploads somebody may see."""

    def visible_to(self, user: User) -> Self:
        """Return a user's own uploads; staff sees all."""
        return self if user.is_staff else self.filter(owner=user)


class Upload(models.Model):
    """One file: who owns it, what the client called it, and what nginx measured."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # Files are kept until somebody removes them, so a user with files is deactivated, not deleted.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="uploads"
    )
    state = models.CharField(max_length=20, choices=State, default=State.COMPLETE)
    name = models.CharField(max_length=255, help_text="The client's file name, without path.")
    size = models.BigIntegerField(help_text="Bytes.")
    sha256 = models.CharField("SHA-256", max_length=64, help_text="Lower-case hex.")
    content_type = models.CharField(
        max_length=255, blank=True, help_text="As the client named it; nothing relies on it."
    )
    fields = models.JSONField(
        default=dict, blank=True, help_text="Plain form fields: name to list of values."
    )
    created = models.DateTimeField(auto_now_add=True)

    objects = UploadQuerySet.as_manager()

    class Meta:
        ordering = ("-created", "id")
        indexes = (
            models.Index(fields=("-created", "id"), name="upload_newest"),
            models.Index(fields=("owner", "-created", "id"), name="upload_newest_of_owner"),
            models.Index(fields=("sha256",), name="upload_sha256"),
        )
        constraints = (
            models.CheckConstraint(
                condition=models.Q(size__gte=0), name="upload_size_not_negative"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"

    def get_absolute_url(self) -> str:
        """Return the address of the upload's JSON description."""
        return reverse("upload-detail", args=[self.id])

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
