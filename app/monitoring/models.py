"""What was measured, once a minute."""

from datetime import timedelta
from typing import Final

from django.db import models

KEPT: Final = timedelta(days=7)


class Sample(models.Model):
    """The service at one moment; sizes in bytes."""

    at = models.DateTimeField(unique=True)
    free = models.BigIntegerField(help_text="What uploads may still take.")
    reserved = models.BigIntegerField(help_text="What unfinished uploads declared, and lack yet.")
    in_flight = models.PositiveIntegerField(help_text="Unfinished uploads.")
    received = models.BigIntegerField(
        help_text="All that ever came: of finished files, and what is there of unfinished ones."
    )

    class Meta:
        ordering = ("at",)

    def __str__(self) -> str:
        return f"{self.at:%F %T}"
