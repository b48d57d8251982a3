"""The container's health check: asks /healthz through the socket, as nginx would."""

import sys
from http.client import HTTPException

from config import settings
from config.unix import UnixConnection

TIMEOUT_SECONDS = 5


def main() -> int:
    """Ask once; a failure is one line on stderr."""
    path = str(settings.UPLOAD_APP_SOCKET)
    # Any allowed name does; ".example.org" stands for all names below example.org, "*" for all.
    host = settings.ALLOWED_HOSTS[0].lstrip(".*") or "localhost"
    try:
        connection = UnixConnection(path, TIMEOUT_SECONDS)
        connection.request("GET", "/healthz", headers={"Host": host})
        response = connection.getresponse()
        body = response.read(1000).decode(errors="replace")
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"{path}: {error}\n")
        return 1
    sys.stderr.write("" if response.status == 200 else f"{response.status} {body}\n")  # noqa: PLR2004
    return 0 if response.status == 200 else 1  # noqa: PLR2004


if __name__ == "__main__":
    sys.exit(main())
