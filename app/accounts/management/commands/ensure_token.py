"""Make sure that a token that Ansible generated is known; its text comes from stdin or a file."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import ApiToken, User, digest_of


class Command(BaseCommand):
    """Prints `changed ...` or `unchanged ...`."""

    help = "Store the digest of a token for a user. Prints changed or unchanged."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--user", required=True)
        parser.add_argument("--name", required=True, help="what uses the token")
        parser.add_argument("--token-file", type=Path, help="file with the token; default: stdin")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Add the token, or replace the one of the same name."""
        owner = User.objects.filter(username=options["user"]).first()
        if owner is None:
            raise CommandError(
                f"no user {options['user']!r}: run `manage.py ensure_user {options['user']}` first."
            )
        text = self._read(options["token_file"])
        label = f"token {options['name']} of {owner.username}"
        known = ApiToken.objects.filter(owner=owner, name=options["name"]).first()
        if known is not None and known.digest == digest_of(text):
            # A token that was revoked stays so: its text may be in the wrong hands.
            self.stdout.write(f"unchanged {label}{' (revoked)' if known.revoked else ''}")
            return
        if ApiToken.objects.filter(digest=digest_of(text)).exists():
            raise CommandError(
                "this token is stored already under another name or user: make a new one."
            )
        if known is not None:
            known.delete()
        try:
            ApiToken.objects.add(owner, options["name"], text)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        self.stdout.write(f"changed {label} ({'created' if known is None else 'replaced'})")

    def _read(self, path: Path | None) -> str:
        if path is None:
            return sys.stdin.read().strip()
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise CommandError(
                f"{path} cannot be read ({error.strerror}): name a file that holds the token."
            ) from error
