"""Every option of every verb of push.py, and every exit code, in real runs on the deployed service.

What there is to try comes from push.py's own parsers: an option or a code without a case fails.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients.push import MIB, Client, sha256
from conftest import PASSWORD, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clients.hop import Hop
    from conftest import Site

pytest_plugins = ["clients.fixtures"]
pytestmark = pytest.mark.usefixtures("tidy")

sys.path.append(str(ROOT))
PUSH: Any = importlib.import_module("push")
Exit = PUSH.Exit


def combinations() -> Iterator[tuple[str, str, str]]:
    """Go through verbs, options in each spelling, and the environment variables they name."""
    sending = set()
    for verb, parser in PUSH.parsers().items():
        for action in PUSH.options_of(parser):
            for option in action.option_strings:
                yield verb, option, ""
            variable = re.search(r"PUSH_[A-Z_]+", action.help or "")
            # One of sending's is read in one place, whatever the verb.
            if variable and variable[0] not in sending:
                sending.add(variable[0])
                yield verb, action.option_strings[-1], variable[0]


@dataclass
class Turn:
    """A verb, and one option of it, given on the command line or in the environment."""

    verb: str
    option: str
    variable: str
    client: Client
    site: Site
    hop: Hop
    account: str
    directory: Path

    def prepare(self) -> list[str]:
        """Bring about what the verb needs, and return its arguments."""
        if self.verb in {"get", "rm"}:
            [receipt] = self.client.receipts(self.file())
            target = ["--output", str(self.directory / "back.bin")]
            return [receipt["url"], *(target if self.verb == "get" else [])]
        if self.verb == "logout":
            self.client("login", "--user", self.account, stdin=f"{PASSWORD}\n".encode())
        if self.verb == "doctor":
            self.client.env["PUSH_TRICKLE"] = "0"
        if self.verb == "login" and self.option != "--browser":
            return ["--user", self.account]
        return [] if self.verb else [str(self.file())]

    def run(
        self, *arguments: object, value: object = None, code: int = Exit.DONE, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run the verb with the option, which must end with this exit code."""
        given: list[object] = [] if value is None else [value]
        given = [] if self.variable else [self.option, *given]
        if self.variable:
            self.client.env[self.variable] = "1" if value is None else str(value)
        if self.verb == "login" and not stdin:
            stdin = f"{PASSWORD}\n".encode()
        verb = [self.verb] if self.verb else []
        return self.client(*verb, *arguments, *given, code=code, stdin=stdin)

    def file(self, size: int = MIB) -> Path:
        """Make a file that is like no other."""
        path = self.directory / f"{secrets.token_hex(8)}.bin"
        path.write_bytes(secrets.token_bytes(MIB) * (size // MIB))
        return path

    def through_the_hop(self) -> Hop:
        """Send through a proxy from now on."""
        self.client.through(self.hop.port)
        return self.hop

    def config(self) -> Path:
        """Write a file with all that a run needs in [lab] and nothing good in [default]."""
        path = self.directory / "lab.conf"
        path.touch(0o600)
        known = f"host = {self.site.host}\nport = {self.site.port}\ntoken = {self.site.token}\n"
        schema = f"schema = https\nca_file = {self.site.ca_file}\n"
        path.write_text(f"[default]\nport = 9\n\n[lab]\n{known}{schema}")
        return path

    def forget(self, *names: str) -> None:
        """Take settings out of the environment; without names, all that a profile has."""
        for name in names or ("HOST", "PORT", "SCHEMA", "CA_FILE", "TOKEN"):
            self.client.env.pop(f"PUSH_{name}", None)


def host(turn: Turn) -> None:
    arguments = turn.prepare()
    turn.forget("HOST")
    turn.run(*arguments, value=turn.site.host)


def port(turn: Turn) -> None:
    hop = turn.through_the_hop()
    arguments = turn.prepare()
    turn.forget("PORT")
    turn.run(*arguments, value=hop.port)


def schema(turn: Turn) -> None:
    turn.through_the_hop()
    arguments = turn.prepare()
    turn.forget("SCHEMA")
    turn.run(*arguments, value="http")


def profile(turn: Turn) -> None:
    arguments = turn.prepare()
    turn.forget()
    turn.client.env["PUSH_TOKEN"] = ""
    turn.client.env["PUSH_CONFIG"] = str(turn.config())
    turn.run(*arguments, value="lab")


def config(turn: Turn) -> None:
    arguments = turn.prepare()
    turn.forget()
    turn.client.env |= {"PUSH_TOKEN": "", "PUSH_PROFILE": "lab"}
    turn.run(*arguments, value=turn.config())


def ca_file(turn: Turn) -> None:
    arguments = turn.prepare()
    turn.forget("CA_FILE")
    turn.run(*arguments, value=turn.site.ca_file)


def token_file(turn: Turn) -> None:
    arguments = turn.prepare()
    path = turn.directory / "token"
    path.touch(0o600)
    path.write_text(turn.site.token)
    turn.client.env["PUSH_TOKEN"] = ""
    turn.run(*arguments, value=path)


def jobs(turn: Turn) -> None:
    hop = turn.through_the_hop()
    turn.run(turn.file(65 * MIB), value=2)
    pieces = 3
    assert sum(line.startswith("POST /files/ ") for line in hop.requests) == pieces + 1


def limit_rate(turn: Turn) -> None:
    arguments = turn.prepare() if turn.verb else [str(turn.file(4 * MIB))]
    rate = 8.0 if not turn.verb else 2.0
    outcome = turn.run("--json", *arguments, value=f"{rate}M")
    assert json.loads(outcome.stdout)["mb_per_second"] < rate * 1.2


def request_size(turn: Turn) -> None:
    hop = turn.through_the_hop()
    turn.run(turn.file(4 * MIB), value="1M")
    assert sum(line.startswith("PATCH ") for line in hop.requests) == 5


def retry_for(turn: Turn) -> None:
    hop = turn.through_the_hop()
    arguments = turn.prepare()
    hop.faults.absent = "/download" if turn.verb else "PATCH"
    started = time.monotonic()
    outcome = turn.run(*arguments, value="2", code=Exit.SERVER)
    assert "trying again in" in outcome.stderr
    assert time.monotonic() - started < 20


def timeout(turn: Turn) -> None:
    hop = turn.through_the_hop()
    hop.faults.stalls = 1
    outcome = turn.run(turn.file(64 * MIB), value="2")
    assert "took no bytes for 2 seconds" in outcome.stderr


def name(turn: Turn) -> None:
    outcome = turn.run("--json", "-", value="all.tar", stdin=b"content")
    assert json.loads(outcome.stdout)["name"] == "all.tar"


def verify(turn: Turn) -> None:
    hop = turn.through_the_hop()
    path = turn.file()
    turn.run(path, code=Exit.VERIFICATION)
    assert not any(line.startswith("POST") for line in hop.requests)


def form(turn: Turn) -> None:
    hop = turn.through_the_hop()
    turn.run(turn.file())
    assert [line.split()[1] for line in hop.requests if line.startswith("POST")] == ["/upload"]


def as_json(turn: Turn) -> None:
    turn.client("--quiet", turn.file())  # for ls
    arguments = turn.prepare()
    lines = turn.run(*arguments).stdout.splitlines()
    assert lines
    assert all(isinstance(json.loads(line), dict) for line in lines)


def checksum_file(turn: Turn) -> None:
    sums = turn.directory / "SHA256SUMS"
    path = turn.file()
    turn.run(path, value=sums)
    assert sums.read_text() == f"{sha256(path)}  {path}\n"


def quiet(turn: Turn) -> None:
    arguments = turn.prepare()
    outcome = turn.run(*arguments)
    assert (outcome.stdout, outcome.stderr) == ("", "")


def man(turn: Turn) -> None:
    assert turn.run().stdout.startswith(".TH PUSH.PY 1 ")


def completion(turn: Turn) -> None:
    assert "complete -o filenames -F _push" in turn.run(value="bash").stdout


def version(turn: Turn) -> None:
    assert turn.run().stdout == f"push.py {PUSH.__version__}\n"


def help_(turn: Turn) -> None:
    lines = turn.run().stdout.splitlines()
    assert lines[0].startswith(f"usage: push.py {turn.verb}".rstrip())
    assert all(len(line) <= 80 for line in lines)


def output(turn: Turn) -> None:
    target = turn.directory / "back.bin"
    turn.run(*turn.prepare(), value=target)
    assert target.stat().st_size == MIB


def force(turn: Turn) -> None:
    arguments = turn.prepare()
    target = turn.directory / "back.bin"
    target.write_text("old")
    turn.client("get", *arguments, code=Exit.LOCAL_FILE)
    turn.run(*arguments)
    assert target.stat().st_size == MIB


def user(turn: Turn) -> None:
    assert f"as {turn.account}" in turn.run(value=turn.account).stdout


def browser(turn: Turn) -> None:
    shown = turn.directory / "shown"
    opener = turn.directory / "browser"
    opener.write_text(f'#!/bin/sh\nprintf %s "$1" > {shown}\n')
    opener.chmod(0o755)
    turn.client.env |= {"BROWSER": f"{opener} %s", "PUSH_TOKEN": ""}
    outcome = turn.run(stdin=f"{turn.site.token}\n".encode())
    assert shown.read_text() == f"https://{turn.site.host}/accounts/"
    assert turn.site.token not in outcome.stdout + outcome.stderr
    turn.client("ls")  # with the token that is kept


def trickle(turn: Turn) -> None:
    assert "a request of 3 s went through" in turn.run(value="3s").stdout


CASES: dict[str, Callable[[Turn], None]] = {
    "--host": host,
    "--port": port,
    "--schema": schema,
    "--profile": profile,
    "--config": config,
    "--ca-file": ca_file,
    "--token-file": token_file,
    "--jobs": jobs,
    "-j": jobs,
    "--limit-rate": limit_rate,
    "--request-size": request_size,
    "--retry-for": retry_for,
    "--timeout": timeout,
    "--name": name,
    "--verify": verify,
    "--form": form,
    "--json": as_json,
    "--checksum-file": checksum_file,
    "--quiet": quiet,
    "--man": man,
    "--completion": completion,
    "--version": version,
    "--help": help_,
    "-h": help_,
    "--output": output,
    "-o": output,
    "--force": force,
    "--user": user,
    "--browser": browser,
    "--trickle": trickle,
}


@pytest.fixture(params=[*combinations()], ids=" ".join)
def turn(request: pytest.FixtureRequest, client: Client, site: Site, hop: Hop, pia: str) -> Turn:
    """Each verb with each of its options, one after the other."""
    directory: Path = request.getfixturevalue("tmp_path")
    return Turn(*request.param, client, site, hop, pia, directory)


def test_every_option_does_what_it_says(turn: Turn) -> None:
    assert turn.option in CASES, f"{turn.option} of push.py {turn.verb} has no test"
    CASES[turn.option](turn)


def test_no_case_is_of_an_option_that_is_gone() -> None:
    assert set(CASES) == {option for _, option, _ in combinations()}


def done(client: Client, path: Path, _: Hop) -> None:
    client(path)


def usage(client: Client, path: Path, _: Hop) -> None:
    client("--port", "x", path, code=Exit.USAGE)


def local_file(client: Client, path: Path, _: Hop) -> None:
    client(path.with_name("nowhere"), code=Exit.LOCAL_FILE)


def auth(client: Client, path: Path, _: Hop) -> None:
    client.env["PUSH_TOKEN"] = "dnu_" + "0" * 43
    client(path, code=Exit.AUTH)


def refused(client: Client, path: Path, _: Hop) -> None:
    os.truncate(path, 15 << 40)
    client(path, code=Exit.REFUSED)


def network(client: Client, path: Path, _: Hop) -> None:
    client.through(9)("--retry-for", "0", path, code=Exit.NETWORK)


def server(client: Client, path: Path, hop: Hop) -> None:
    hop.faults.answers = ["500 Internal Server Error"]
    client.through(hop.port)("--retry-for", "0", path, code=Exit.SERVER)


def verification(client: Client, path: Path, _: Hop) -> None:
    client("--verify", path, code=Exit.VERIFICATION)


def interrupted(client: Client, path: Path, hop: Hop) -> None:
    os.truncate(path, 64 * MIB)
    client.through(hop.port)
    with client.start("--limit-rate", "8M", path) as process:
        while not hop.received:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == Exit.INTERRUPTED


SCENES: dict[int, Callable[[Client, Path, Hop], None]] = {
    Exit.DONE: done,
    Exit.USAGE: usage,
    Exit.LOCAL_FILE: local_file,
    Exit.AUTH: auth,
    Exit.REFUSED: refused,
    Exit.NETWORK: network,
    Exit.SERVER: server,
    Exit.VERIFICATION: verification,
    Exit.INTERRUPTED: interrupted,
}


@pytest.mark.parametrize("code", list(Exit), ids=lambda code: str(code.name))
def test_every_exit_code_is_reached(code: Any, client: Client, tmp_path: Path, hop: Hop) -> None:
    assert code in SCENES, f"exit code {code} has no test"
    path = tmp_path / f"{secrets.token_hex(8)}.bin"
    path.write_bytes(secrets.token_bytes(MIB))
    SCENES[code](client, path, hop)
