"""Make a new token and print it, once: only its digest is kept."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.models import ApiToken, Scope, User, new_token


class Command(BaseCommand):
    """Prints the token alone, so that it can be piped into a file."""

    help = "Create an API token and print it once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--user", required=True)
        parser.add_argument("--name", required=True, help="what will use the token")
        parser.add_argument(
            "--scope",
            choices=Scope.values,
            default=Scope.ALL.value,
            help="what it is good for; upload: with what it began itself; default: all",
        )
        parser.add_argument("--days", type=int, help="days until it expires; default: never")

    def handle(self, *args: Any, **options: Any) -> None:  # noqa: ARG002
        """Create the token."""
        owner = User.objects.filter(username=options["user"]).first()
        if owner is None:
            raise CommandError(
                f"no user {options['user']!r}: run `manage.py ensure_user {options['user']}` first."
            )
        if options["days"] is not None and options["days"] < 1:
            raise CommandError("--days must be 1 or more.")
        if ApiToken.objects.filter(owner=owner, name=options["name"]).exists():
            raise CommandError(
                f"{owner.username} has a token named {options['name']!r}: choose another --name,"
                " or delete that one in the admin."
            )
        expires = options["days"] and timezone.now() + timedelta(days=options["days"])
        text = new_token()
        ApiToken.objects.add(owner, options["name"], text, expires, Scope(options["scope"]))
        self.stdout.write(text)
