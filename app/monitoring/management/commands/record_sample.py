"""Write down how the service does now; a timer runs it every minute."""

from typing import Any

from django.core.management.base import BaseCommand

from monitoring.measure import measure
from monitoring.models import KEPT, Sample


class Command(BaseCommand):
    """Prints nothing: it runs often."""

    help = "Record free space, uploads in flight and bytes received, for the page /admin/status."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Add a sample, and remove those that are too old."""
        sample = measure().sample()
        sample.save()
        Sample.objects.filter(at__lte=sample.at - KEPT).delete()
