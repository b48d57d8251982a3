"""Runs push.py as a person does: a process of its own, with its own home and environment."""

from __future__ import annotations

import importlib
import os
import pty
import re
import shutil
import signal
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest
import trustme
from upload_server import Exchange, Script, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(__file__).resolve().parents[2] / "push.py"
PROGRESS = re.compile(r"\[\d+ of \d+ MB\]")


def listen_to_interrupts() -> None:
    """Undo what a shell does to what it starts in the background: to ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@dataclass
class Outcome:
    """What a run printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def progress(self) -> list[str]:
        return [line for line in self.err.splitlines() if PROGRESS.fullmatch(line)]

    @property
    def sentence(self) -> str:
        """The one sentence of a failure: nothing else is on stderr but progress."""
        assert self.out == ""
        lines = [line for line in self.err.splitlines() if not PROGRESS.fullmatch(line)]
        assert len(lines) == 1, self.err
        prefix = "push.py: "
        assert lines[0].startswith(prefix)
        assert lines[0].endswith((".", "--help."))
        return lines[0][len(prefix) :]


class Push:
    """A copy of push.py in a directory of its own, so that no real push.conf is in the way."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.program = home / "push.py"
        self.python = [sys.executable]
        self.env = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        # What goes wrong is looked at the first time; test_retries.py is about the others.
        self.env["PUSH_RETRY_FOR"] = "0"
        shutil.copy(SOURCE, self.program)

    def start(self, *arguments: object, to: Server | None = None, **options: Any) -> Any:
        command = [*self.python, str(self.program), *self._address(to), *map(str, arguments)]
        return self._popen(command, **options)

    def __call__(self, *arguments: object, to: Server | None = None, **env: str) -> Outcome:
        return self._finish(self.start(*arguments, to=to, env=env))

    def impatient(self, *arguments: object, to: Server | None = None, **seconds: float) -> Outcome:
        """Run the same program with shorter patience than a person has."""
        changes = "; ".join(f"push.{name} = {value}" for name, value in seconds.items())
        code = f"import sys, push; {changes}; sys.exit(push.main())"
        command = [*self.python, "-c", code, *self._address(to), *map(str, arguments)]
        return self._finish(self._popen(command, env={"PYTHONPATH": str(self.home)}))

    def _address(self, server: Server | None) -> list[str]:
        if server is None:
            return []
        schema = "https" if server.tls else "http"
        return ["--host", "localhost", "--port", str(server.port), "--schema", schema]

    def on_a_terminal(self, *arguments: object, typed: str = "", **options: Any) -> Outcome:
        """Run it on a terminal of its own, where stdout is not; type when it asks for something."""
        ours, theirs = pty.openpty()
        typing: dict[str, Any] = {"stdin": theirs, "start_new_session": True} if typed else {}
        process = self.start(*arguments, stderr=theirs, **typing, **options)
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 4096):
                shown += piece
                if typed and shown.endswith(b": "):
                    os.write(ours, f"{typed}\n".encode())
        except OSError:  # Linux says EIO when the last writer closed the terminal
            pass
        os.close(ours)
        with process:
            out, _ = process.communicate()
        return Outcome(process.returncode, out, shown.decode())

    def _popen(self, command: list[str], **options: Any) -> subprocess.Popen[str]:
        env = {**self.env, **options.pop("env", {})}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            command,
            env=env,
            cwd=self.home,
            text=True,
            encoding="utf-8",
            preexec_fn=listen_to_interrupts,  # noqa: PLW1509 - no thread of ours holds a lock then
            **{**pipes, **options},
        )

    def _finish(self, process: subprocess.Popen[str]) -> Outcome:
        with process:
            try:
                out, err = process.communicate(timeout=50)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return Outcome(process.returncode, out, err)

    def file(self, name: str = "run.bam", *, size: int = 0, content: bytes = b"") -> Path:
        """Make a file to send; one that only has a size is sparse."""
        path = self.home / name
        path.write_bytes(content)
        if size:
            os.truncate(path, size)
        return path

    def config(self, text: str, name: str = "push.conf", *, mode: int = 0o600) -> Path:
        """Write a configuration file, by default the one beside push.py."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path


@pytest.fixture(scope="session")
def module() -> Any:
    """push.py as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SOURCE.parent)
        return importlib.import_module("push")


@pytest.fixture
def push(tmp_path: Path) -> Push:
    return Push(tmp_path)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(script: Script, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(script, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def context_for(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture(scope="session")
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return context_for(authority.issue_cert("localhost"))


@pytest.fixture(params=["http", "https"])
def either(request: pytest.FixtureRequest, push: Push, ca_file: Path) -> ssl.SSLContext | None:
    """Run the test once in plain HTTP and once in TLS."""
    if request.param == "http":
        return None
    push.env["PUSH_CA_FILE"] = str(ca_file)
    context: ssl.SSLContext = request.getfixturevalue("tls")
    return context


def receive(exchange: Exchange) -> None:
    """Do what a good server does."""
    exchange.go_ahead()
    exchange.stored(exchange.form())
