#!/usr/bin/env python3
"""Django's command line, for example `manage.py migrate` or `manage.py ensure_user`."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> int:
    """Run one command; a wrong setting is one line on stderr and exit code 78 (EX_CONFIG)."""
    # The SQLite database and the static files are the service's own and its group's.
    os.umask(0o007)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"manage.py: {error}\n")
        return os.EX_CONFIG
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
