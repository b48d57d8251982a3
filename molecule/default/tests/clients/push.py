"""push.py as a user has it, as a client of the deployed service."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Site

MIB = 1024**2
DONE, USAGE, LOCAL_FILE, AUTH, REFUSED, NETWORK, SERVER, VERIFICATION = 0, 2, 3, 4, 5, 6, 7, 8


def listen_to_interrupts() -> None:
    """Undo what a shell does to what it starts in the background: to ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Client:
    """push.py with a state of its own, to the service or to something before it."""

    def __init__(self, site: Site, state: Path) -> None:
        self.env = {
            **os.environ,
            "PUSH_TOKEN": site.token,
            "PUSH_HOST": site.host,
            "PUSH_PORT": str(site.port),
            "PUSH_SCHEMA": "https" if site.ca_file else "http",
            "PUSH_CA_FILE": site.ca_file,
            "PUSH_STATE_DIR": str(state),
            "PUSH_RETRY_FOR": "60",
        }
        self.state = state

    def through(self, port: int, schema: str = "http") -> Client:
        """Send through a proxy on the loopback address from now on."""
        self.env |= {"PUSH_HOST": "127.0.0.1", "PUSH_PORT": str(port), "PUSH_SCHEMA": schema}
        return self

    def start(self, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
        """Start it."""
        command = [sys.executable, str(ROOT / "push.py"), *map(str, arguments)]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            command,
            env=self.env,
            preexec_fn=listen_to_interrupts,  # noqa: PLW1509 - no thread of ours holds a lock then
            **{**pipes, **options},
        )

    def __call__(
        self, *arguments: object, stdin: bytes = b"", code: int = DONE
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end, which must have this exit code."""
        with self.start(*arguments, stdin=subprocess.PIPE) as process:
            out, err = process.communicate(stdin, timeout=600)
        assert process.returncode == code, err.decode()
        token = self.env["PUSH_TOKEN"]
        assert not token or token.encode() not in out + err
        return subprocess.CompletedProcess([], code, out.decode(), err.decode())

    def give_up(self, site: Site) -> None:
        """Delete what is under way."""
        for record in self.state.glob("*.json"):
            known = json.loads(record.read_bytes())
            for url in filter(None, [known["url"], *known["pieces"]]):
                site.request("DELETE", url, "Tus-Resumable: 1.0.0")

    def receipts(self, *arguments: object, stdin: bytes = b"") -> list[dict[str, Any]]:
        """Run it, and return what it says of each file."""
        outcome = self("--json", *arguments, stdin=stdin)
        return [json.loads(line) for line in outcome.stdout.splitlines()]


def sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
