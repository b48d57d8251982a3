#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# dependencies = ["requests>=2.31", "requests-toolbelt>=1.0", "urllib3>=2"]
# ///
"""Send one file, of any size, to a Django Nginx Upload server and verify what arrived.

The file is read once, in large blocks, hashed beside the sending, and the server's SHA-256 must
be the same. Memory use does not depend on the file's size. The server decides before the body is
sent (Expect: 100-continue), so a refusal costs no traffic.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import http.client
import io
import json
import os
import queue
import re
import select
import shutil
import socket
import ssl
import stat
import sys
import threading
import time
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NoReturn
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

PROGRAM = "push.py"
__version__ = "0.1.0"

BESIDE = Path(__file__).resolve().parent


class Exit(IntEnum):
    """What the exit code tells a script; `meaning` is the line in --help."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Make a member from its number and its line in --help."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    DONE = 0, "stored by the server, and its SHA-256 is the file's"
    USAGE = 2, "wrong options or settings, or a certificate not trusted"
    LOCAL_FILE = 3, "the file cannot be read, or changed while it was sent"
    AUTH = 4, "the token is missing, wrong, or not allowed to upload"
    REFUSED = 5, "the server refuses the file: size, quota, space, rules"
    NETWORK = 6, "network trouble or a busy server: running again may help"
    SERVER = 7, "the server failed, or its answer is not understood"
    VERIFICATION = 8, "what the server stored is not what was sent"
    INTERRUPTED = 130, "stopped by Ctrl-C"


class PushError(Exception):
    """A failure that a person can act on: one sentence that says the remedy, and an exit code."""

    def __init__(self, code: Exit, sentence: str) -> None:
        """Keep the exit code beside the sentence."""
        super().__init__(sentence)
        self.code = code


def start_where_the_libraries_are() -> NoReturn:
    """Start again with the deployment's .venv, else with uv, else say what to install."""
    tried = os.environ.get("PUSH_STARTED_WITH")
    venv = BESIDE / ".venv"
    python = venv / "bin" / "python"
    if not tried and python.exists() and Path(sys.prefix).resolve() != venv.resolve():
        os.environ["PUSH_STARTED_WITH"] = "venv"
        os.execv(python, [str(python), __file__, *sys.argv[1:]])  # noqa: S606
    uv = shutil.which("uv")
    if tried != "uv" and uv:
        os.environ["PUSH_STARTED_WITH"] = "uv"
        os.execv(uv, [uv, "run", "--quiet", "--script", __file__, *sys.argv[1:]])  # noqa: S606
    print(
        f"{PROGRAM}: requests, requests-toolbelt or urllib3 2 is missing: install them with "
        "`python3 -m pip install requests requests-toolbelt 'urllib3>=2'`, or install uv, which "
        "fetches them by itself.",
        file=sys.stderr,
    )
    raise SystemExit(Exit.USAGE)


try:
    import requests
    import urllib3
    from requests.adapters import HTTPAdapter
    from requests.utils import get_environ_proxies
    from requests_toolbelt import MultipartEncoder  # type: ignore[import-untyped]
    from urllib3.connection import HTTPConnection, HTTPSConnection

    if urllib3.__version__.startswith("1."):  # type: ignore[attr-defined]
        raise ImportError("urllib3 1 writes file names its own way")  # noqa: TRY301
except ImportError:
    if __name__ != "__main__":
        raise
    start_where_the_libraries_are()
except KeyboardInterrupt:
    raise SystemExit(Exit.INTERRUPTED) from None


# ---- numbers -------------------------------------------------------------------------------------

BLOCK = 1 << 20
"""Bytes read, hashed and handed to the socket at once: tiny blocks would limit the throughput."""

BLOCKS_AHEAD = 4
"""Blocks that may wait for the hashing thread; they bound the memory."""

CONNECT_SECONDS = 10.0
EXPECT_SECONDS = 3.0
"""How long to wait for 100 Continue; a server or proxy that does not know it stays silent."""

STALL_SECONDS = 60.0
"""How long the server may take no bytes before the connection counts as broken."""

ANSWER_SECONDS = 900.0
"""How long the answer may take after the last byte: the server flushes the file to its disk."""

ANSWER_LIMIT = 1 << 20
"""Bytes of an answer that are read; the answers are a few hundred bytes."""

HEAD_LIMIT = 1 << 16
"""Bytes of an early answer that are taken while sending, before it counts as final anyway."""


# ---- words ---------------------------------------------------------------------------------------


def human(size: int) -> str:
    """Say a number of bytes for people, in powers of ten: 9.7 GB."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000:  # noqa: PLR2004 - the step between units
            return f"{size} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} PB"


def one_line(text: str, limit: int = 300) -> str:
    """Make foreign text safe to print: one line, no control characters, not endless."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def reason(error: OSError) -> str:
    """Say an operating system error in its own words, without its number."""
    return (error.strerror or str(error)).lower()


# ---- settings ------------------------------------------------------------------------------------

SCHEMAS = {"https": 443, "http": 80}
KEYS = ("host", "port", "schema", "ca_file", "token", "token_file")


@dataclass(frozen=True)
class Token:
    """A secret and where it came from; it never shows in a repr."""

    secret: str = field(repr=False)
    origin: str


@dataclass(frozen=True)
class Settings:
    """Where to send, and as whom."""

    host: str
    port: int
    schema: str
    ca_file: str | None
    token: Token | None
    withheld: str | None
    """Why a configured token is not sent, for the sentence that explains a 401."""

    @property
    def base(self) -> str:
        """The server's address without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = SCHEMAS[self.schema] == self.port
        return f"{self.schema}://{host}" + ("" if default else f":{self.port}")

    @property
    def url(self) -> str:
        """The address that takes uploads."""
        return f"{self.base}/upload"


@dataclass(frozen=True)
class Profile:
    """One section of a configuration file."""

    path: Path
    name: str
    values: dict[str, str] = field(repr=False)

    def path_of(self, key: str) -> Path | None:
        """Return a path from the file; a relative one is relative to the file."""
        value = self.values.get(key)
        return self.path.parent / Path(value).expanduser() if value else None


def usage(sentence: str) -> PushError:
    """Make the error for wrong options or settings."""
    return PushError(Exit.USAGE, sentence)


def read_small(path: Path, what: str) -> tuple[str, bool]:
    """Read a small text file, and say whether others can read it, too."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            shared = os.name == "posix" and bool(os.fstat(file.fileno()).st_mode & 0o077)
            return file.read(), shared
    except OSError as error:
        raise usage(f"{what} {path} cannot be read: {reason(error)}; check its path.") from None
    except UnicodeDecodeError:
        raise usage(f"{what} {path} is not UTF-8 text: write it anew.") from None


def shared_token(path: Path) -> PushError:
    """Make the error for a token that others can read."""
    return usage(f"{path} holds a token and others can read it: run `chmod 600 {path}`.")


def find_config(explicit: str | None) -> Path | None:
    """Find the configuration file: the named one, beside this program, or the user's own."""
    if explicit:
        return Path(explicit)
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    places = (BESIDE / "push.conf", Path(home).expanduser() / "push" / "push.conf")
    return next((place for place in places if place.exists()), None)


def read_profile(path: Path, name: str) -> Profile:
    """Read one section of a configuration file."""
    text, shared = read_small(path, "The configuration file")
    # No section lends its values to another: one server's token must not reach the next.
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # configparser's own words quote the line, which may hold the token.
        errors = getattr(error, "errors", ())
        line = errors[0][0] if errors else getattr(error, "lineno", 1)
        raise usage(f"{path} is not an INI file: mend its line {line}.") from None
    if shared and any("token" in section for section in parser.values()):
        raise shared_token(path)
    if not parser.has_section(name):
        known = ", ".join(f"[{section}]" for section in parser.sections()) or "none"
        raise usage(
            f"{path} has no section [{name}] (it has: {known}); add it or choose --profile."
        )
    values = {key: value.strip() for key, value in parser.items(name) if value.strip()}
    unknown = sorted(set(values) - set(KEYS))
    if unknown:
        raise usage(f"{path} has the unknown key '{unknown[0]}'; the keys are {', '.join(KEYS)}.")
    return Profile(path, name, values)


def checked_token(text: str, origin: str) -> Token:
    """Check that a token can stand in a header, without ever quoting it."""
    secret = text.strip()
    if not re.fullmatch(r"[\x21-\x7e]+", secret):
        raise usage(f"The token in {origin} is empty or has characters that no token has.")
    return Token(secret, origin)


def token_from_file(path: Path) -> Token:
    """Read a token from a file of its own."""
    text, shared = read_small(path, "The token file")
    if shared:
        raise shared_token(path)
    return checked_token(text, str(path))


def configured_token(profile: Profile) -> Token | None:
    """Find the token that a section of the configuration file has or points at."""
    path = profile.path_of("token_file")
    secret = profile.values.get("token")
    if path and secret:
        raise usage(f"{profile.path} has both token and token_file: remove one of them.")
    if path:
        return token_from_file(path)
    return checked_token(secret, str(profile.path)) if secret else None


def given_token(options: argparse.Namespace) -> Token | None:
    """Find the token that this run was given: --token-file, PUSH_TOKEN, PUSH_TOKEN_FILE."""
    secret = os.environ.get("PUSH_TOKEN")
    if secret and not options.token_file:
        return checked_token(secret, "PUSH_TOKEN")
    path = options.token_file or os.environ.get("PUSH_TOKEN_FILE")
    return token_from_file(Path(path)) if path else None


def checked_host(value: str) -> str:
    """Check a host name or address."""
    host = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    address = ":" in host and re.fullmatch(r"[0-9A-Fa-f:.]+(%[\w.]+)?", host)
    if not address and (not host or re.search(r"[\s/:@?#\\\[\]]", host)):
        raise usage(
            f"'{one_line(value)}' is not a host: give a name or an address, without schema or port."
        )
    return host


def checked_port(value: str) -> int:
    """Check a port number."""
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) < 1 << 16:
        raise usage(f"'{one_line(value)}' is not a port: give a number from 1 to 65535.")
    return int(value)


def checked_schema(value: str) -> str:
    """Check a schema."""
    if value not in SCHEMAS:
        raise usage(f"'{one_line(value)}' is not a schema: give https or http.")
    return value


def checked_ca_file(path: Path) -> str:
    """Check that a file holds certificates, before a connection fails with less clear words."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=str(path))
    except ssl.SSLError:
        raise usage(
            f"The CA file {path} holds no PEM certificate: give the one that signed the server's."
        ) from None
    except OSError as error:
        raise usage(f"The CA file {path} cannot be read: {reason(error)}.") from None
    return str(path)


def load_settings(options: argparse.Namespace) -> Settings:
    """Settle each value: option, environment, configuration file, default, in this order."""
    profile_name = options.profile or os.environ.get("PUSH_PROFILE")
    config = find_config(options.config or os.environ.get("PUSH_CONFIG"))
    if profile_name and not config:
        raise usage(
            f"There is no push.conf with the profile '{profile_name}': name one with --config."
        )
    profile = read_profile(config, profile_name or "default") if config else None
    configured = profile.values if profile else {}

    def choose(key: str) -> str | None:
        return getattr(options, key) or os.environ.get(f"PUSH_{key.upper()}") or configured.get(key)

    host = checked_host(choose("host") or "localhost")
    schema = checked_schema(choose("schema") or "https")
    port = checked_port(choose("port") or str(SCHEMAS[schema]))
    named = options.ca_file or os.environ.get("PUSH_CA_FILE")
    ca_path = Path(named) if named else profile.path_of("ca_file") if profile else None
    token, withheld = given_token(options), None
    if profile and not token:
        token = configured_token(profile)
        home = configured.get("host", host)
        if token and checked_host(home).lower() != host.lower():
            withheld = f"the token in {token.origin} is for {home} and was not sent to {host}"
            token = None
    ca_file = checked_ca_file(ca_path) if ca_path and schema == "https" else None
    return Settings(host, port, schema, ca_file, token, withheld)


# ---- the file and its progress -------------------------------------------------------------------


class Progress:
    """`[3682 of 3682 MB]` on stderr: in place on a terminal, else one line for every 10 %."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        """Show nothing yet: the server has not said that it wants the file."""
        self._total = total
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._tenths = 0
        self._next = 0.0
        self._open = False

    def update(self, done: int) -> None:
        """Show how much has been sent, when that is due."""
        if self._quiet:
            return
        finished = done >= self._total
        if self._terminal:
            now = time.monotonic()
            if finished or now >= self._next:
                self._next = now + 0.1
                self._open = True
                print(f"\r{self._text(done)}", end="", file=sys.stderr, flush=True)
        else:
            tenths = 10 if finished else done * 10 // self._total
            if tenths > self._tenths:
                self._tenths = tenths
                print(self._text(done), file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the progress line, so that what is printed next has a line of its own."""
        if self._open:
            self._open = False
            print(file=sys.stderr, flush=True)

    def _text(self, done: int) -> str:
        return f"[{done // 10**6} of {self._total // 10**6} MB]"


class HashedFile:
    """A file that is read once, from front to end, and hashed in a thread beside the sending.

    It is what MultipartEncoder wants of a body: `read` and `len`, the bytes that are left.
    """

    def __init__(self, path: Path, *, quiet: bool) -> None:
        """Open the file and remember what it looks like now."""
        self._path = path
        try:
            # A pipe would block in open(), so the kind is looked at first.
            if not stat.S_ISREG(path.stat().st_mode):
                kind = (
                    "a directory: pack it first, for example with tar"
                    if path.is_dir()
                    else "not a regular file"
                )
                raise PushError(Exit.LOCAL_FILE, f"{self.shown} is {kind}.")
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise PushError(
                Exit.LOCAL_FILE,
                f"{self.shown} cannot be read: {reason(error)}; check its path and permissions.",
            ) from None
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self._state = self._look()
        self.size = self._state[0]
        self.len = self.size
        self.progress = Progress(self.size, quiet=quiet)
        self._digest = hashlib.sha256()
        self._blocks: queue.Queue[bytes | None] = queue.Queue(BLOCKS_AHEAD)
        self._hasher = threading.Thread(target=self._hash, daemon=True)
        self._hasher.start()

    def __enter__(self) -> Self:
        """Give the open file."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file and leave the progress line."""
        self.progress.end()
        self._file.close()
        if self._hasher.is_alive():
            self._blocks.put(None)

    @property
    def name(self) -> str:
        """The base name as UTF-8 text; bytes of a name that are not UTF-8 are replaced."""
        return os.fsencode(self._path.name).decode("utf-8", "replace")

    @property
    def amount(self) -> str:
        """The size, for people and exactly."""
        return f"{human(self.size)} ({self.size} bytes)"

    @property
    def shown(self) -> str:
        """The path as it is shown to people."""
        return one_line(os.fsencode(self._path).decode("utf-8", "replace"))

    def read(self, size: int) -> bytes:
        """Read the next block, and see that nobody else is writing the file."""
        try:
            block = self._file.read(min(size, self.len))
            state = self._look()
        except OSError as error:
            raise PushError(
                Exit.LOCAL_FILE,
                f"Reading {self.shown} failed after {human(self.size - self.len)} "
                f"({reason(error)}): check the disk it is on.",
            ) from None
        if state != self._state or not block:
            was, now = f"{self.size} bytes", f"{state[0]} bytes"
            change = f"from {was} to {now}" if was != now else "in place"
            raise PushError(
                Exit.LOCAL_FILE,
                f"{self.shown} changed while it was being sent ({change}), so it was not stored: "
                "run again when nothing writes to it any more.",
            )
        self._blocks.put(block)
        self.len -= len(block)
        self.progress.update(self.size - self.len)
        return block

    def sha256(self) -> str:
        """Wait for the hashing thread and give the digest of all that was read."""
        self._blocks.put(None)
        self._hasher.join()
        return self._digest.hexdigest()

    def _look(self) -> tuple[int, int]:
        state = os.fstat(self._file.fileno())
        return state.st_size, state.st_mtime_ns

    def _hash(self) -> None:
        for block in iter(self._blocks.get, None):
            self._digest.update(block)


# ---- HTTP that listens while it speaks -----------------------------------------------------------

NOTHING_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a socket raises that would have to wait."""

INTERIM = re.compile(rb"HTTP/1\.[01] (1\d\d)[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n")
INTERIM_BEGINS = re.compile(rb"HTTP/1\.[01] 1")


class Rejoined(io.RawIOBase):
    """Bytes that were already taken from a socket, followed by what is still in it."""

    def __init__(self, taken: bytes, sock: socket.socket) -> None:
        """Put the taken bytes back in front."""
        self._taken = taken
        self._rest = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Give the taken bytes first."""
        if not self._taken:
            return self._rest.readinto(buffer)
        count = min(len(buffer), len(self._taken))
        buffer[:count] = self._taken[:count]
        self._taken = self._taken[count:]
        return count

    def close(self) -> None:
        """Close the socket's side, too."""
        self._rest.close()
        super().close()


class ListeningConnection(HTTPConnection):
    """An HTTP connection that hears the server out before the body and while sending it.

    http.client sends a whole body before it looks at the answer. This one waits for 100 Continue
    when the request says that it expects it, and looks for an answer whenever one may have come.
    A final answer ends the sending with BrokenPipeError, upon which urllib3 reads that answer.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Ask urllib3 for large blocks."""
        kwargs["blocksize"] = BLOCK
        super().__init__(*args, **kwargs)
        self._expects = self._goes_on = self._sends_body = False
        self._early = b""

    def response_class(  # type: ignore[override]
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> http.client.HTTPResponse:
        """Let http.client read the answer, including what was already taken of it."""
        answer = http.client.HTTPResponse(sock, debuglevel, method, url)
        if self._early:
            answer.fp.close()
            answer.fp = io.BufferedReader(Rejoined(self._early, sock))
        return answer

    def putheader(self, header: Any, *values: Any) -> None:
        """Notice that the request expects 100 Continue."""
        super().putheader(header, *values)
        self._expects = self._expects or header.lower() == "expect"

    def endheaders(self, message_body: Any = None, *, encode_chunked: bool = False) -> None:
        """Send the headers, then wait for the server to ask for the body."""
        super().endheaders(message_body, encode_chunked=encode_chunked)
        # TLS inside a proxy's TLS is not a socket of the system's: there the body goes out unheard.
        if not isinstance(self.sock, socket.socket):
            return
        self._sends_body = True
        self.sock.settimeout(0)
        end = time.monotonic() + EXPECT_SECONDS
        while self._expects and not self._goes_on:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.sock], [], [], left)[0]:
                return
            if self._answered():
                raise BrokenPipeError

    def send(self, data: Any) -> None:
        """Send a block of the body as fast as the server takes it, until it answers."""
        if not self._sends_body:
            super().send(data)
            return
        view = memoryview(data)
        while view:
            readable, writable, _ = select.select([self.sock], [self.sock], [], STALL_SECONDS)
            if readable and self._answered():
                raise BrokenPipeError
            if not readable and not writable:
                raise PushError(
                    Exit.NETWORK,
                    f"{self.host} took no bytes for {STALL_SECONDS:g} seconds: check the network "
                    "and run again.",
                )
            try:
                view = view[self.sock.send(view) :]
            except NOTHING_NOW:
                continue
            except OSError:
                self._answered()
                raise BrokenPipeError from None

    def _answered(self) -> bool:
        """Take what the server has sent so far; true for a final answer or the end."""
        while len(self._early) < HEAD_LIMIT:
            try:
                data = self.sock.recv(HEAD_LIMIT)
            except NOTHING_NOW:
                break
            except OSError:
                return True
            if not data:
                return True
            self._early += data
        interim = INTERIM.match(self._early)
        while interim:
            self._goes_on = self._goes_on or interim.group(1) == b"100"
            self._early = self._early[interim.end() :]
            interim = INTERIM.match(self._early)
        enough = len(b"HTTP/1.1 1")
        return len(self._early) >= enough and (
            len(self._early) >= HEAD_LIMIT or not INTERIM_BEGINS.match(self._early)
        )


class ListeningTLSConnection(ListeningConnection, HTTPSConnection):
    """The same over TLS."""


class ListeningPool(urllib3.HTTPConnectionPool):
    """Connections that listen."""

    ConnectionCls = ListeningConnection


class ListeningTLSPool(urllib3.HTTPSConnectionPool):
    """Connections that listen, over TLS."""

    ConnectionCls = ListeningTLSConnection


class ListeningAdapter(HTTPAdapter):
    """The requests adapter that uses these connections, directly and through HTTP proxies."""

    _pools = {"http": ListeningPool, "https": ListeningTLSPool}  # noqa: RUF012 - never changed

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Use connections that listen."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Use connections that listen; a SOCKS proxy needs its own kind."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._pools
        return manager


# ---- sending -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """The server's answer, as far as it matters."""

    status: int
    phrase: str
    location: str
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object in the body; empty when it is something else."""
        try:
            document = json.loads(self.body)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    @property
    def detail(self) -> str:
        """The server's own sentence, without its full stop; empty when there is none."""
        detail = self.document.get("detail") or self.document.get("title") or ""
        return one_line(str(detail)).rstrip(".")

    @property
    def aside(self) -> str:
        """The server's own sentence in brackets, to stand inside of ours."""
        return f" ({self.detail})" if self.detail else ""

    def number(self, member: str) -> int | None:
        """Return a number of bytes from a problem document."""
        value = self.document.get(member)
        return value if isinstance(value, int) and value >= 0 else None


@dataclass(frozen=True)
class Receipt:
    """What the server stored, verified, and how long that took."""

    status: int
    detail: str
    name: str
    size: int
    sha256: str
    url: str
    seconds: float

    def __str__(self) -> str:
        """Lay the receipt out for people."""
        speed = self.size / 10**6 / max(self.seconds, 1e-6)
        return "\n".join(
            (
                f"[Return status {self.status} {self.detail}]",
                f"Name:    {self.name}",
                f"Size:    {self.size} bytes ({human(self.size)})",
                f"SHA-256: {self.sha256}",
                f"Seconds: {self.seconds:.2f}",
                f"MB/s:    {speed:.1f}",
                f"URL:     {self.url}",
            )
        )


def push(path: Path, settings: Settings, *, quiet: bool) -> Receipt:
    """Send the file, and give the receipt when the server stored what was sent."""
    start = time.monotonic()
    for expect in (True, False):
        with HashedFile(path, quiet=quiet) as file:
            answer = post(file, settings, expect=expect)
            if answer.status == http.HTTPStatus.EXPECTATION_FAILED and expect:
                continue
            if not http.HTTPStatus.OK <= answer.status < http.HTTPStatus.MULTIPLE_CHOICES:
                raise refusal(answer, settings, file)
            if file.len:
                raise PushError(
                    Exit.SERVER,
                    f"{settings.base} answered {answer.status} before it had the whole file: "
                    "check that this is an upload server.",
                )
            file.progress.update(file.size)
            return verified(answer, file, settings, time.monotonic() - start)
    raise AssertionError("the second round always answers")


def post(file: HashedFile, settings: Settings, *, expect: bool) -> Answer:
    """Send the form with the file and read the answer, whichever it is."""
    body = MultipartEncoder({"file": (file.name, file, "application/octet-stream")})
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": body.content_type,
        "User-Agent": f"{PROGRAM}/{__version__}",
    }
    if expect:
        headers["Expect"] = "100-continue"
    if settings.token:
        headers["Authorization"] = f"Bearer {settings.token.secret}"
    authorities = (
        settings.ca_file or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    )
    with requests.Session() as session:
        # The environment's proxies are wanted, the credentials in ~/.netrc are not.
        session.trust_env = False
        session.proxies.update(get_environ_proxies(settings.url))
        adapter = ListeningAdapter()
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        try:
            response = session.post(
                settings.url,
                data=body,
                headers=headers,
                verify=authorities or True,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,
            )
            content = response.raw.read(ANSWER_LIMIT)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise connection_trouble(error, settings, sent=not file.len) from None
        except OSError as error:
            # requests finds a bundle of the environment missing before it connects.
            raise usage(
                f"The certificates named in the environment cannot be used: {one_line(str(error))}."
            ) from None
    return Answer(
        response.status_code,
        one_line(response.reason or ""),
        response.headers.get("Location", ""),
        content,
    )


def verified(answer: Answer, file: HashedFile, settings: Settings, seconds: float) -> Receipt:
    """Compare what the server says it stored with what was sent."""
    uploads = answer.document.get("uploads")
    upload = uploads[0] if isinstance(uploads, list) and len(uploads) == 1 else None
    try:
        name, size, theirs, url = (upload[key] for key in ("name", "size", "sha256", "url"))  # type: ignore[index]
    except (TypeError, KeyError):
        raise PushError(
            Exit.SERVER,
            f"{settings.url} answered {answer.status} without the receipt of one upload: check "
            "that this is an upload server of this version.",
        ) from None
    ours = file.sha256()
    where = one_line(str(url))
    if size != file.size:
        raise PushError(
            Exit.VERIFICATION,
            f"The server stored {one_line(str(size))} bytes where {file.size} were sent: "
            f"delete {where} and run again.",
        )
    if str(theirs).lower() != ours:
        raise PushError(
            Exit.VERIFICATION,
            f"The server's SHA-256 is {one_line(str(theirs))} where {ours} was sent: "
            f"delete {where} and run again.",
        )
    detail = answer.detail or answer.phrase
    return Receipt(answer.status, detail, one_line(str(name)), file.size, ours, where, seconds)


# ---- failures, said with their remedy ------------------------------------------------------------


def refusal(answer: Answer, settings: Settings, file: HashedFile) -> PushError:
    """Explain an answer that is not a success."""
    if "plain http request was sent to https port" in answer.body.decode("latin-1").lower():
        return wrong_schema(settings)
    if answer.status in EXPLAINED:
        return EXPLAINED[answer.status](answer, settings, file)
    said = f"(status {answer.status} {answer.phrase})" + answer.aside
    if answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return PushError(
            Exit.SERVER,
            f"{settings.base} failed {said}: run again later, and if it stays so, show this line "
            "to its operator.",
        )
    return PushError(Exit.REFUSED, f"{settings.base} refused the file {said}: mend that first.")


def too_large(answer: Answer, settings: Settings, file: HashedFile) -> PushError:
    """Explain a 413 with both sizes."""
    limit = answer.number("max_size")
    takes = f"at most {human(limit)} ({limit} bytes)" if limit else f"less than that{answer.aside}"
    return PushError(
        Exit.REFUSED,
        f"{file.shown} has {file.amount} and {settings.base} takes {takes}: "
        "ask its operator for a higher limit, or split the file.",
    )


def no_space(answer: Answer, settings: Settings, file: HashedFile) -> PushError:
    """Explain a 507 with what is needed and what is free."""
    free = answer.number("free")
    room = f"no room{answer.aside}" if free is None else f"{human(free)} ({free} bytes) free"
    return PushError(
        Exit.REFUSED,
        f"{file.shown} needs {file.amount} and {settings.base} has {room}: "
        "delete uploads there, or ask its operator for space.",
    )


def forbidden(answer: Answer, settings: Settings, _: HashedFile) -> PushError:
    """Explain a 403."""
    who = "this token's account" if settings.token else "somebody without a token"
    return PushError(
        Exit.AUTH, f"{settings.base} does not let {who} upload{answer.aside}: ask its operator."
    )


def not_there(answer: Answer, settings: Settings, _: HashedFile) -> PushError:
    """Explain that something else answers at the address."""
    return usage(
        f"{settings.url} takes no uploads (status {answer.status}): check --host, --port "
        "and --schema."
    )


def busy(answer: Answer, settings: Settings, _: HashedFile) -> PushError:
    """Explain an answer that asks for patience."""
    return PushError(
        Exit.NETWORK,
        f"{settings.base} is too busy (status {answer.status}){answer.aside}: run again later.",
    )


def unauthorized(answer: Answer, settings: Settings, _: HashedFile) -> PushError:
    """Explain a 401: what was sent as a token, and how to get one that works."""
    remedy = (
        "ask the server's operator for one and give it with --token-file, PUSH_TOKEN or "
        "`token` in push.conf"
    )
    if settings.token:
        sentence = (
            f"{settings.base} does not accept the token from {settings.token.origin}"
            f"{answer.aside}: {remedy}."
        )
    elif settings.withheld:
        sentence = f"{settings.base} wants a token, and {settings.withheld}: {remedy}."
    else:
        sentence = f"{settings.base} wants a token and none is set: {remedy}."
    return PushError(Exit.AUTH, sentence)


def moved(answer: Answer, settings: Settings, _: HashedFile) -> PushError:
    """Explain a redirect, which is never followed with the body."""
    try:
        target = urlsplit(answer.location)
        host, port = target.hostname or settings.host, target.port
    except ValueError:
        return PushError(
            Exit.SERVER, f"{settings.url} redirects to an address that is none: check the server."
        )
    options = f"--schema {target.scheme or settings.schema} --host {host}"
    options += f" --port {port}" if port else ""
    return usage(
        f"{settings.url} redirects to {one_line(answer.location)}: use {one_line(options)}."
    )


EXPLAINED: dict[int, Callable[[Answer, Settings, HashedFile], PushError]] = {
    **dict.fromkeys((301, 302, 303, 307, 308), moved),
    401: unauthorized,
    403: forbidden,
    **dict.fromkeys((404, 405), not_there),
    **dict.fromkeys((408, 425, 429), busy),
    413: too_large,
    507: no_space,
}


def wrong_schema(settings: Settings) -> PushError:
    """Explain that the port speaks the other of the two schemas."""
    other = "https" if settings.schema == "http" else "http"
    return usage(
        f"Port {settings.port} of {settings.host} does not speak {settings.schema}: "
        f"use --schema {other}, or the port that speaks {settings.schema} with --port."
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Walk through an error and all that it wraps, in the ways requests and urllib3 wrap."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, BaseException) and id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += [
                *found.args,
                getattr(found, "reason", None),
                found.__cause__,
                found.__context__,
            ]


def connection_trouble(error: Exception, settings: Settings, *, sent: bool) -> PushError:
    """Explain why there is no answer; `sent` says whether the whole file was on its way."""
    chain = list(causes(error))
    return (
        connect_trouble(error, chain, settings)
        or tls_trouble(chain, settings)
        or answer_trouble(chain, settings, sent=sent)
    )


def any_of(chain: list[BaseException], *kinds: type[BaseException]) -> bool:
    """Say whether one of the errors is of one of the kinds."""
    return any(isinstance(cause, kinds) for cause in chain)


def connect_trouble(
    error: Exception, chain: list[BaseException], settings: Settings
) -> PushError | None:
    """Explain why there is no connection."""
    server = f"{settings.host} port {settings.port}"
    sentence = None
    if any_of(chain, requests.exceptions.ProxyError, urllib3.exceptions.ProxyError):
        sentence = (
            "The proxy cannot be used: check HTTPS_PROXY and HTTP_PROXY, or list the host "
            "in NO_PROXY."
        )
    elif any_of(chain, socket.gaierror):
        sentence = f"The name {settings.host} is not known: check --host, and the network's DNS."
    elif isinstance(error, requests.exceptions.ConnectTimeout):
        sentence = (
            f"{server} does not answer within {CONNECT_SECONDS:g} seconds: check --host and "
            "--port, the network and firewalls."
        )
    elif any_of(chain, urllib3.exceptions.NewConnectionError):
        whys = [reason(cause) for cause in chain if isinstance(cause, OSError) and cause.errno]
        why = f" ({one_line(whys[0])})" if whys else ""
        sentence = (
            f"{server} cannot be reached{why}: check --host and --port, and that the server runs."
        )
    elif any_of(chain, requests.exceptions.InvalidURL):
        return usage(
            f"{settings.url} is not an address that can be used: check --host and --port, and "
            "HTTPS_PROXY and HTTP_PROXY."
        )
    return PushError(Exit.NETWORK, sentence) if sentence else None


def answer_trouble(chain: list[BaseException], settings: Settings, *, sent: bool) -> PushError:
    """Explain why a connection brought no answer."""
    server = f"{settings.host} port {settings.port}"
    for cause in chain:
        if isinstance(cause, http.client.RemoteDisconnected):
            break
        if isinstance(cause, http.client.BadStatusLine):
            if str(cause).strip("'").startswith(("\x15\x03", "\\x15\\x03")):
                return wrong_schema(settings)
            return PushError(Exit.SERVER, f"{server} does not speak HTTP: check --host and --port.")
    if any_of(chain, urllib3.exceptions.ReadTimeoutError):
        look = "look in its list of uploads, then run again" if sent else "run again"
        sentence = f"{server} did not answer for {ANSWER_SECONDS:g} seconds: {look}."
    else:
        when = "before it answered" if sent else "in the middle of the file"
        sentence = f"{server} closed the connection {when}: check the network and run again."
    return PushError(Exit.NETWORK, sentence)


def tls_trouble(chain: list[BaseException], settings: Settings) -> PushError | None:
    """Explain why the TLS connection is not one."""
    if not any_of(chain, ssl.SSLError, urllib3.exceptions.SSLError):
        return None
    text = " ".join(str(cause) for cause in chain)
    untrusted = next(
        (cause for cause in chain if isinstance(cause, ssl.SSLCertVerificationError)), None
    )
    mismatch = {62, 63, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, _EMAIL_, _IP_ADDRESS_
    if (untrusted and untrusted.verify_code in mismatch) or "doesn't match" in text:
        return usage(
            f"The certificate of port {settings.port} was not made for the name {settings.host}: "
            "use the server's own name with --host, or mend its certificate."
        )
    if untrusted and untrusted.verify_code in {
        9,
        10,
    }:  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
        return usage(
            f"The certificate of {settings.host} is not valid today ({untrusted.verify_message}): "
            "check this machine's clock, and renew the certificate."
        )
    if untrusted:
        return usage(
            f"The certificate of {settings.host} is not trusted ({untrusted.verify_message}): "
            "name its authority with --ca-file, PUSH_CA_FILE or `ca_file` in push.conf (`make up` "
            "writes that one beside push.py)."
        )
    if re.search(
        "WRONG_VERSION_NUMBER|HTTP_REQUEST|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG", text
    ):
        return wrong_schema(settings)
    return PushError(
        Exit.NETWORK,
        f"The TLS connection to {settings.host} port {settings.port} failed "
        f"({one_line(text, 120)}): run again, and check the server's TLS settings if it stays so.",
    )


# ---- command line --------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, and which never repeats a token."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        raise usage(f"{one_line(message)}; see {PROGRAM} --help.")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    codes = "\n".join(f"  {code.value:<4} {code.meaning}" for code in Exit)
    parser = Parser(
        prog=PROGRAM,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=79),
        description=(
            "Send one file, of any size, to {schema}://{host}:{port}/upload and verify the\n"
            "SHA-256 of what the server stored."
        ),
        epilog=f"""\
examples:
  {PROGRAM} run.bam
  {PROGRAM} --host files.example.org run.bam
  {PROGRAM} --host localhost --port 8443 --ca-file ca.pem run.bam
  PUSH_TOKEN_FILE=~/.upload-token {PROGRAM} --profile lab run.bam

settings:
  An option wins over its environment variable, that over push.conf, that over
  the default. A token is taken from PUSH_TOKEN, a token file or push.conf, and
  never from the command line, which other users of a machine can read. A token
  in push.conf goes to the host of its own section only.

  push.conf is the file that --config names, or push.conf beside {PROGRAM}, or
  ~/.config/push/push.conf ($XDG_CONFIG_HOME). One section for each server:
    [default]
    host = files.example.org
    port = 443
    schema = https
    ca_file = ca.pem         (paths are relative to push.conf)
    token_file = token       (or: token = ...; either way chmod 600)

output:
  Progress and errors go to stderr, the receipt to stdout.

exit codes:
{codes}
""",
    )
    parser.add_argument("file", help="the file to send")
    parser.add_argument("--host", help="server name or address; PUSH_HOST (default: localhost)")
    parser.add_argument("--port", help="server port; PUSH_PORT (default: 443, for http 80)")
    parser.add_argument("--schema", help="https or http; PUSH_SCHEMA (default: https)")
    parser.add_argument(
        "--profile", metavar="NAME", help="section of push.conf; PUSH_PROFILE (default: default)"
    )
    parser.add_argument("--config", metavar="FILE", help="configuration file; PUSH_CONFIG")
    parser.add_argument(
        "--ca-file", metavar="FILE", help="PEM file with the authority to trust; PUSH_CA_FILE"
    )
    parser.add_argument(
        "--token-file", metavar="FILE", help="file that holds the token; PUSH_TOKEN_FILE"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Do what the command line says."""
    if any(re.match("--token(=|$)", argument) for argument in arguments):
        raise usage(
            "A token is never taken from the command line: use --token-file, PUSH_TOKEN or "
            "push.conf."
        )
    options = make_parser().parse_args(arguments)
    receipt = push(Path(options.file), load_settings(options), quiet=options.quiet)
    if not options.quiet:
        print(receipt)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and turn every failure into one sentence on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        run(sys.argv[1:] if arguments is None else arguments)
    except PushError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print(
            f"{PROGRAM}: interrupted, the server kept nothing: run again to send the file.",
            file=sys.stderr,
        )
        return Exit.INTERRUPTED
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
