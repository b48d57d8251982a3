"""Run manage.py and gunicorn as processes of their own, as a deployment does."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

from django.conf import settings
from django.db import connection

APP = Path(__file__).resolve().parent.parent
START_SECONDS = 30


def environment(**changes: str | None) -> dict[str, str]:
    """Return the environment of a deployment on this test's store and database; None removes."""
    parts = connection.settings_dict
    url = f"sqlite:///{parts['NAME']}"
    if connection.vendor == "postgresql":
        url = f"postgresql:///{parts['NAME']}?host={parts['HOST']}"
    values: Mapping[str, str | None] = {
        **os.environ,
        "UPLOAD_DATABASE_URL": url,
        "UPLOAD_INCOMING_DIR": str(settings.UPLOAD_INCOMING_DIR),
        "UPLOAD_FILES_DIR": str(settings.UPLOAD_FILES_DIR),
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def manage(*arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
    """Run manage.py."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=APP,
        env=environment(**changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class Server:
    """A running gunicorn behind a unix socket."""

    def __init__(self, process: subprocess.Popen[str], path: Path) -> None:
        """Take the process and its socket."""
        self.process = process
        self.path = path

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        """Send one request as nginx would, and return the answer with its body."""
        client = HTTPConnection("upload.test")
        client.sock = socket.socket(socket.AF_UNIX)
        client.sock.settimeout(START_SECONDS)
        client.sock.connect(str(self.path))
        sent = {"Host": "upload.test", "X-Forwarded-Proto": "https", **(headers or {})}
        client.request(method, path, body, sent)
        response = client.getresponse()
        content = response.read()
        client.close()
        return response, content

    def memory(self) -> int:
        """Return the bytes of all processes, shared pages counted once (PSS)."""
        total = 0
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def processes(self) -> list[int]:
        """Return the master's process id and its workers'."""
        master = self.process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]


@contextmanager
def gunicorn(directory: Path, **changes: str | None) -> Iterator[Server]:
    """Run the server with a socket in `directory` until the block ends; it must end cleanly."""
    path = directory / "app.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--config", "python:config.gunicorn_conf"],
        cwd=APP,
        env=environment(UPLOAD_APP_SOCKET=str(path), PYTHONUNBUFFERED="1", **changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process:
        lines = []
        # Its own line says when it serves: nothing sleeps or polls.
        for line in process.stdout:
            lines.append(line)
            if "Booting worker" in line:
                break
        else:
            raise AssertionError("".join(lines))
        try:
            yield Server(process, path)
        finally:
            process.terminate()
            log = process.stdout.read()
        assert process.wait(START_SECONDS) == 0, log
