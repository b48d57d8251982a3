"""The kit as it is deployed: gunicorn behind a real nginx with the module, on this test's store.

Both read the configuration that compose.yaml uses, with other paths and ports. app/test.sh brings
nginx and these files along; elsewhere the tests that need them are skipped.
"""

import errno
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from pathlib import Path

import pytest
from django.conf import settings

from tests.processes import START_SECONDS, gunicorn

CONFIGURATION = Path("/etc/upload/nginx")
HOST = "upload.test"

needs_nginx = pytest.mark.skipif(
    not CONFIGURATION.is_dir() or shutil.which("nginx") is None,
    reason="needs nginx with the module and its configuration: app/test.sh has them",
)


@dataclass(frozen=True)
class Reply:
    """An answer of the server."""

    status: int
    headers: HTTPMessage
    body: bytes


class Stack:
    """A running nginx and gunicorn."""

    def __init__(self, directory: Path, port: int, tls_port: int) -> None:
        """Take the directory of the sockets and nginx's ports; the second one has HTTP/3, too."""
        self.directory = directory
        self.port = port
        self.tls_port = tls_port
        self.headers: dict[str, str] = {}
        self.nginx: subprocess.Popen[bytes] | None = None

    def send(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request and return the answer; the length of a body in pieces is not declared."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        client.request(method, path.removeprefix(f"http://{HOST}"), body, self._headers(headers))
        response = client.getresponse()
        content = response.read()
        client.close()
        return Reply(response.status, response.headers, content)

    def begin(
        self, method: str, path: str, length: int | None, headers: Mapping[str, str]
    ) -> socket.socket:
        """Send the head of a request, and return the connection for its body."""
        connection = socket.create_connection(("127.0.0.1", self.port), START_SECONDS)
        fields = self._headers(headers)
        if length is not None:
            fields["Content-Length"] = str(length)
        lines = [f"{method} {path.removeprefix(f'http://{HOST}')} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        return connection

    def start_nginx(self) -> None:
        """Start nginx, and wait until it takes connections."""
        (self.directory / "nginx.sock").unlink(missing_ok=True)
        self.nginx = subprocess.Popen(
            ["nginx", "-c", self.directory / "nginx.conf", "-g", "daemon off;"]
        )
        while not self._is_listening():
            assert self.nginx.poll() is None, "its error log is above"

    def stop_nginx(self) -> None:
        """Stop nginx at once, and wait for it."""
        if self.nginx is not None:
            self.nginx.terminate()
            self.nginx.wait(START_SECONDS)

    def kill_nginx(self) -> None:
        """Kill nginx and its workers, which can do nothing about it."""
        assert self.nginx is not None
        master = self.nginx.pid
        workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        for process in (master, *map(int, workers)):
            os.kill(process, signal.SIGKILL)
        self.nginx.wait(START_SECONDS)
        while self._is_listening():
            pass

    def _is_listening(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), START_SECONDS).close()
        except OSError as error:
            return error.errno == errno.ECONNRESET
        return True

    def _headers(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        return {"Host": HOST, **self.headers, **(headers or {})}


@contextmanager
def deployed(directory: Path, **changes: str | None) -> Iterator[Stack]:
    """Run both with their sockets in `directory`, a short path, until the block ends."""
    port, tls_port, health = _free_ports(3)
    _make_certificate(directory)
    (directory / "nginx.conf").write_text(_configuration(directory, port, tls_port, health))
    stack = Stack(directory, port, tls_port)
    own = {"UPLOAD_INSECURE_HTTP": "true", "UPLOAD_NGINX_SOCKET": str(directory / "nginx.sock")}
    with gunicorn(directory, **own, **changes):
        stack.start_nginx()
        try:
            yield stack
        finally:
            stack.stop_nginx()


def _make_certificate(directory: Path) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-noenc", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"),
            *("-keyout", directory / "tls.key", "-out", directory / "tls.crt"),
        ],
        check=True,
        capture_output=True,
    )


def _configuration(directory: Path, port: int, tls_port: int, health: int) -> str:
    store = Path(settings.UPLOAD_INCOMING_DIR).parent
    (store / "tmp").mkdir(exist_ok=True)
    text = (CONFIGURATION / "nginx.conf").read_text()
    locations = (CONFIGURATION / "upload_locations.conf").read_text()
    (directory / "upload_locations.conf").write_text(_moved(locations, directory, store))
    text = text.replace("modules/", "/usr/lib/nginx/modules/")
    text = text.replace("listen 127.0.0.1:8089;", f"listen 127.0.0.1:{health};")
    text = text.replace("worker_processes auto;", "worker_processes 2;")
    text = text.replace(" /tmp/", f" {directory}/")
    # compose.yaml has no TLS; the rest of the server is as it is there.
    listeners = f"""
        listen 127.0.0.1:{tls_port} ssl;
        listen 127.0.0.1:{tls_port} quic reuseport;
        ssl_certificate {directory}/tls.crt;
        ssl_certificate_key {directory}/tls.key;
        listen 127.0.0.1:{port} """
    text = text.replace("listen 8080 ", listeners)
    return _moved(text.replace(str(CONFIGURATION), str(directory)), directory, store)


def _moved(text: str, directory: Path, store: Path) -> str:
    return text.replace("/srv/upload", str(store)).replace("/run/upload", str(directory))


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
