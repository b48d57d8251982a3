"""Join the parts of every upload that waits for it; the application starts this, and a timer."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from uploads import joining


class Command(BaseCommand):
    """May run at any time, also several at once, and goes on where one before it stopped."""

    help = "Join the parts of uploads that are verifying; what cannot be done now is put off."

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Join what there is."""
        done = joining.run()
        self.stdout.write(
            f"{done.joined} joined, {done.failed} failed, {done.put_off} put off,"
            f" {done.skipped} skipped"
        )
        if done.put_off:
            raise CommandError("some uploads were put off: the log above says why. Run it again.")
