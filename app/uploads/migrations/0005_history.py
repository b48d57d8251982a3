import uuid

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("uploads", "0004_expected_sha256"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="upload",
            name="reported",
            field=models.BigIntegerField(
                db_default=0,
                default=0,
                help_text="Bytes that the last answered request left; what goes on after more was cut.",
            ),
        ),
        migrations.CreateModel(
            name="ShareLink",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=uuid.uuid4, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created", models.DateTimeField(auto_now_add=True)),
                ("expires", models.DateTimeField()),
                (
                    "revoked",
                    models.DateTimeField(blank=True, help_text="Empty: not withdrawn.", null=True),
                ),
                ("downloads", models.PositiveIntegerField(default=0)),
                ("last_used", models.DateTimeField(blank=True, null=True)),
                (
                    "created_by",
                    models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "upload",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="share_links",
                        to="uploads.upload",
                    ),
                ),
            ],
            options={
                "ordering": ("-created", "id"),
            },
        ),
        migrations.CreateModel(
            name="UploadEvent",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("at", models.DateTimeField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("began", "Began"),
                            ("went-on", "Went on after an interruption"),
                            ("completed", "Complete"),
                            ("failed", "Failed"),
                            ("renamed", "Renamed"),
                            ("shared", "Shared"),
                            ("withdrawn", "Share link withdrawn"),
                            ("deleted", "Deleted"),
                            ("expired", "Expired"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "token",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="The name of the token that was sent.",
                        max_length=100,
                    ),
                ),
                (
                    "address",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="Where the request came from.",
                        max_length=45,
                    ),
                ),
                (
                    "protocol",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("form", "HTML form"),
                            ("tus", "tus 1.0"),
                            ("rufh", "IETF resumable upload"),
                            ("chunked", "Content-Range chunks"),
                            ("segments", "segments"),
                            ("put", "plain PUT"),
                        ],
                        default="",
                        max_length=20,
                    ),
                ),
                (
                    "offset",
                    models.BigIntegerField(
                        blank=True, help_text="Bytes that were there at the time.", null=True
                    ),
                ),
                ("detail", models.CharField(blank=True, default="", max_length=600)),
                (
                    "upload",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="events",
                        to="uploads.upload",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        blank=True,
                        db_constraint=False,
                        help_text="Who did it; empty: the service itself, or somebody whose account is gone.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ("at", "id"),
                "indexes": [models.Index(fields=["upload", "at", "id"], name="event_of_upload")],
            },
        ),
    ]
