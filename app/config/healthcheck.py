"""The container's health check: asks /healthz through the socket, as nginx would."""

import socket
import sys
from http.client import HTTPConnection, HTTPException

from config import settings

TIMEOUT_SECONDS = 5


class UnixConnection(HTTPConnection):
    """An HTTP connection through a unix socket."""

    def __init__(self, path: str) -> None:
        """Take the socket's path."""
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_SECONDS)
        self.sock.connect(self.path)


def main() -> int:
    """Ask once; a failure is one line on stderr."""
    path = str(settings.UPLOAD_APP_SOCKET)
    # Any allowed name does; ".example.org" stands for all names below example.org, "*" for all.
    host = settings.ALLOWED_HOSTS[0].lstrip(".*") or "localhost"
    try:
        connection = UnixConnection(path)
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
