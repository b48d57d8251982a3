"""What the scenarios' tests share: the deployed site as a client sees it from outside."""

from __future__ import annotations

import configparser
import http.client
import json
import os
import secrets
import shlex
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Playwright

ROOT = Path(__file__).resolve().parents[1]
MULTIPART = "multipart/form-data; boundary=frontier"
PASSWORD = "a-password-of-ours-7"  # noqa: S105 - of accounts that the tests make


@dataclass
class Answer:
    """Status, headers (lower-case names) and body of one answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document (RFC 9457); fails for anything else."""
        assert self.headers["content-type"] == "application/problem+json", self
        document = json.loads(self.body)
        assert document["status"] == self.status
        assert document["title"]
        assert document["detail"]
        return dict(document)


@dataclass
class Site:
    """One deployed service, reached over the network; plain HTTP when there is no CA file."""

    host: str
    port: int
    token: str
    ca_file: str = ""

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http{'s' if self.ca_file else ''}://{self.host}:{self.port}"

    def connect(self) -> socket.socket:
        """Return a connected socket, TLS verified against the site's CA."""
        raw = socket.create_connection((self.host, self.port), timeout=60)
        if not self.ca_file:
            return raw
        context = ssl.create_default_context(cafile=self.ca_file)
        return context.wrap_socket(raw, server_hostname=self.host)

    def head(
        self,
        *headers: str,
        token: str | None = None,
        path: str = "/upload",
        method: str = "POST",
    ) -> bytes:
        """Return a request's head with the site's token (or the given one; empty is none)."""
        token = self.token if token is None else token
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", *headers]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        return "\r\n".join([*lines, "", ""]).encode()

    def exchange(self, *pieces: bytes, cut: bool = False) -> Answer:
        """Send the pieces, then read one answer; cut ends our side of the connection first."""
        with self.connect() as connection:
            for piece in pieces:
                connection.sendall(piece)
            if cut:
                connection.shutdown(socket.SHUT_WR)
            return read_answer(connection)

    def post(self, body: bytes, *headers: str, token: str | None = None) -> Answer:
        """Post a whole body with its length."""
        length = f"Content-Length: {len(body)}"
        return self.exchange(
            self.head(f"Content-Type: {MULTIPART}", length, *headers, token=token), body
        )

    def get(self, path: str, *headers: str) -> Answer:
        """Get a path as the owner of the token."""
        return self.request("GET", path, *headers)

    def request(self, method: str, path: str, *headers: str) -> Answer:
        """Send a request without a body as the owner of the token."""
        with self.connect() as connection:
            connection.sendall(self.head(*headers, path=path, method=method))
            return read_answer(connection, method)


def read_answer(connection: socket.socket, method: str = "POST") -> Answer:
    """Read the answer to a request of that method."""
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def form(name: str, content: bytes, *, close: bool = True) -> bytes:
    """Return a multipart body with one file, called name as the browser would send it."""
    head = f'--frontier\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + content + (b"\r\n--frontier--\r\n" if close else b"")


@pytest.fixture(scope="session")
def push_config() -> Path:
    """The configuration that the deployment wrote for push.py."""
    return Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"], "push.conf")


@pytest.fixture(scope="session")
def site(push_config: Path) -> Site:
    """The deployed service."""
    config = configparser.ConfigParser()
    config.read(push_config)
    section = config["default"]
    return Site(section["host"], section.getint("port"), section["token"], section["ca_file"])


@pytest.fixture(scope="session")
def push(push_config: Path) -> Any:
    """Run push.py as its user would: a function of its arguments, and of further environment."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "push.py", *arguments],
            env={**os.environ, "PUSH_CONFIG": str(push_config), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    return run


@pytest.fixture(scope="module")
def manage(host: Any) -> Callable[..., str]:
    """Run a command of the application: a function of its words."""

    def run(*words: str) -> str:
        command = ["docker", "exec", "upload-app", "python", "manage.py", *words]
        return str(host.check_output(shlex.join(command)))

    return run


@pytest.fixture(scope="module")
def execute(manage: Callable[..., str]) -> Callable[[str], str]:
    """Run Python in the application: a function of the code."""
    return lambda code: manage("shell", "--no-imports", "-c", code)


@pytest.fixture(scope="module")
def account(execute: Callable[[str], str]) -> Iterator[Callable[..., str]]:
    """Make accounts with `PASSWORD`: a function of how a name begins, to the name.

    What they have is deleted at the end.
    """
    names = []

    def create(name: str, *, is_staff: bool = False) -> str:
        names.append(f"{name}-{secrets.token_hex(4)}")
        kind = "create_superuser" if is_staff else "create_user"
        made = f"User.objects.{kind}('{names[-1]}', password='{PASSWORD}')"
        execute(f"from accounts.models import User; {made}")
        return names[-1]

    yield create
    theirs = f"Upload.objects.filter(owner__username__in={names}).exclude(state__in=ENDED)"
    execute(
        "from uploads.models import ENDED, Upload; from uploads import ending;"
        f" [ending.terminate(upload) for upload in {theirs}]"
    )


@pytest.fixture(scope="module")
def pia(account: Callable[..., str]) -> str:
    """Somebody with a password."""
    return account("pia")


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """What drives browsers."""
    with sync_playwright() as running:
        yield running


@pytest.fixture
def abandon(
    host: Any, manage: Callable[..., str], execute: Callable[[str], str]
) -> Iterator[Callable[[str], None]]:
    """Let an upload look as if nobody had come back for it: a function of its path."""

    def run_out(path: str) -> None:
        upload = path.rsplit("/", 1)[1]
        change = f"Upload.objects.filter(pk='{upload}').update(expires='2026-01-01T00:00:00Z')"
        execute(f"from uploads.models import Upload; {change}")
        host.check_output(
            f"find /srv/upload/incoming -path '*{upload}*' -exec touch -d '9 days ago' {{}} +"
        )

    yield run_out
    manage("expire_uploads")


@pytest.fixture
def nothing_left(host: Any) -> Any:
    """Fail when the test leaves a file that was not there, or when nginx lost a worker."""

    def state() -> tuple[str, str]:
        files = host.check_output("find /srv/upload -type f | sort")
        workers = host.check_output("pgrep -u 10470 -f 'nginx: worker'")
        return files, workers

    before = state()
    yield
    # A client that is gone is noticed a moment later.
    deadline = time.monotonic() + 15
    while (after := state()) != before and time.monotonic() < deadline:
        pass
    assert after == before


@pytest.fixture
def tidy(site: Site) -> Iterator[None]:
    """Delete what a test stored: some of it is large."""

    def stored() -> set[str]:
        answer = site.get("/uploads/", "Accept: application/json")
        return {upload["id"] for upload in json.loads(answer.body)["uploads"]}

    before = stored()
    yield
    for upload in stored() - before:
        site.request("DELETE", f"/files/{upload}", "Tus-Resumable: 1.0.0")
