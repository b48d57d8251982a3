"""HTTP through a unix socket."""

import socket
from http.client import HTTPConnection


class UnixConnection(HTTPConnection):
    """An HTTP connection to a socket in the file system, each of its waits limited by `timeout`."""

    def __init__(self, path: str, timeout: float) -> None:
        """Take the socket's path, and seconds."""
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket instead of a port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)
