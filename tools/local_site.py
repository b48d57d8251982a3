"""The site that `make up` deployed on this machine, for the tools that show and measure it."""
# ruff: noqa: INP001 - the scripts beside it import it

from __future__ import annotations

import configparser
import secrets
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
# The tests' browser is the tools', too.
sys.path.insert(0, str(ROOT / "molecule/default/tests"))


@dataclass(frozen=True)
class Account:
    """Somebody who is there for a while."""

    name: str
    password: str
    token: str


def address() -> tuple[str, str]:
    """Return the site's address and the file of its private CA, empty for a public one."""
    config = configparser.ConfigParser()
    if not config.read(ROOT / "push.conf"):
        sys.exit("error: no site is deployed here: `make up` does it, then run this again")
    site = config["default"]
    return f"https://{site['host']}:{site['port']}", site.get("ca_file", "")


def command(*arguments: str) -> None:
    """Run a command of the application."""
    manage = ("docker", "exec", "upload-app", "python", "manage.py")
    subprocess.run([*manage, *arguments], check=True, capture_output=True)


def run(code: str) -> None:
    """Run code in the application."""
    command("shell", "--no-imports", "-c", code)


@contextmanager
def account(name: str, *, is_staff: bool = False) -> Iterator[Account]:
    """Make an account, and remove it with its files."""
    made = Account(name, secrets.token_urlsafe(16), f"dnu_{secrets.token_urlsafe(32)}")
    _remove(name)
    run(
        "from accounts.models import ApiToken, User;"
        f" user = User.objects.create_user('{name}', password='{made.password}',"
        f" is_staff={is_staff}, is_superuser={is_staff});"
        f" ApiToken.objects.add(user, 'laptop', '{made.token}')"
    )
    try:
        yield made
    finally:
        _remove(name)


def remove_files(name: str) -> None:
    """Delete what somebody sent."""
    run(
        "from uploads.models import ENDED, Upload; from uploads import ending;"
        f" theirs = Upload.objects.filter(owner__username='{name}').exclude(state__in=ENDED);"
        " [ending.terminate(upload) for upload in theirs]"
    )


def _remove(name: str) -> None:
    remove_files(name)
    run(
        "from accounts.models import User; from uploads.models import Upload;"
        f" Upload.objects.filter(owner__username='{name}').delete();"
        f" User.objects.filter(username='{name}').delete()"
    )
