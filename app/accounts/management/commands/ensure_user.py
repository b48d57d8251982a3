"""Make sure that a user exists; for Ansible, which reads the first word of the output."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User


class Command(BaseCommand):
    """Prints `changed ...` or `unchanged ...`."""

    help = "Create a user, or bring its staff and superuser flags in line with these arguments."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name")
        parser.add_argument("--email", default=None)
        parser.add_argument("--staff", action="store_true", help="sees every upload")
        parser.add_argument("--superuser", action="store_true", help="staff, with every permission")
        parser.add_argument(
            "--password-file", type=Path, help="file with the password of a new user; - is stdin"
        )
        parser.add_argument(
            "--reset-password", action="store_true", help="set the password of a known user as well"
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Create or align the user."""
        user = User.objects.filter(username=options["name"]).first()
        is_new = user is None
        user = user or User(username=options["name"])
        changes = ["created"] if is_new else []
        wanted = {
            "is_staff": options["staff"] or options["superuser"],
            "is_superuser": options["superuser"],
        }
        if options["email"] is not None:
            wanted["email"] = options["email"]
        for field, value in wanted.items():
            if getattr(user, field) != value:
                setattr(user, field, value)
                changes += [] if is_new else [field]
        if is_new or options["reset_password"]:
            changes += self._set_password(user, options["password_file"], is_new=is_new)
        if changes:
            self._save(user)
        word = "changed" if changes else "unchanged"
        # Who was shut out in the admin stays so, whatever a deployment says.
        changes += [] if user.is_active else ["inactive"]
        details = f" ({', '.join(changes)})" if changes else ""
        self.stdout.write(f"{word} user {user.username}{details}")

    def _set_password(self, user: User, path: Path | None, *, is_new: bool) -> list[str]:
        if path is None:
            if not is_new:
                raise CommandError("--reset-password needs --password-file.")
            user.set_unusable_password()
            return []
        try:
            text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
            password = text.rstrip("\r\n")
            validate_password(password, user)
        except OSError as error:
            raise CommandError(
                f"{path} cannot be read ({error.strerror}): name a file that holds the password."
            ) from error
        except ValidationError as error:
            raise CommandError(
                f"the password in {path} is refused: {' '.join(error.messages)}"
            ) from error
        if not is_new and user.check_password(password):
            return []
        user.set_password(password)
        return [] if is_new else ["password"]

    def _save(self, user: User) -> None:
        try:
            user.full_clean()
        except ValidationError as error:
            raise CommandError(f"user {user.username!r}: {' '.join(error.messages)}") from error
        user.save()
