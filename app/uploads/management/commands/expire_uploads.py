"""End what nobody will come back for; the systemd timer of the role `app` runs it."""

from argparse import ArgumentParser
from itertools import chain
from typing import Any

from django.core.management.base import BaseCommand

from uploads import housekeeping
from uploads.housekeeping import Action

_DONE = {Action.EXPIRE: "expired", Action.KEEP: "kept", Action.REMOVE: "removed"}
_PLANNED = {Action.EXPIRE: "would expire", Action.KEEP: "keeps", Action.REMOVE: "would remove"}


class Command(BaseCommand):
    """Prints one line for each upload and file, and a total."""

    help = (
        "End the uploads whose time ran out, and remove incoming files that belong to none."
        " Uploads that a request is at are left alone."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Do it, and say it."""
        dry_run: bool = options["dry_run"]
        words = _PLANNED if dry_run else _DONE
        counts = dict.fromkeys(Action, 0)
        freed = 0
        for found in chain(
            housekeeping.end_overdue(dry_run=dry_run), housekeeping.remove_orphans(dry_run=dry_run)
        ):
            counts[found.action] += 1
            detail = "a request is at it"
            if found.action != Action.KEEP:
                freed += found.size
                detail = f"{found.size} bytes"
            self.stdout.write(f"{words[found.action]} {found.what}: {detail}")
        forgotten = housekeeping.forget(dry_run=dry_run)
        would = "would be " if dry_run else ""
        self.stdout.write(
            f"{counts[Action.EXPIRE]} uploads {would}expired, {counts[Action.REMOVE]} files"
            f" {would}removed, {forgotten} ended uploads {would}forgotten:"
            f" {freed} bytes {would}freed"
        )
