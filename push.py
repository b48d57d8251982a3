#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# dependencies = ["requests>=2.31", "requests-toolbelt>=1.0", "urllib3>=2"]
# ///
"""Send files of any size to a Django Nginx Upload server, go on after cuts, and verify the result.

Where the server speaks tus, an upload that was interrupted goes on where the server is; elsewhere
the file goes out as a form. It is hashed beside the sending, and the server's SHA-256 must be the
same. Memory use does not depend on sizes. The server decides before a body is sent (Expect:
100-continue), so a refusal costs no traffic.

In this file: numbers, words, settings, local files, progress, HTTP, failures, what is remembered
of uploads, patience, tus, forms, many files, verbs, downloads, signing in, doctor, command line.
"""

from __future__ import annotations

import argparse
import base64
import configparser
import email.utils
import getpass
import glob
import hashlib
import http.client
import importlib.util
import io
import json
import netrc
import os
import queue
import random
import re
import secrets
import select
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import warnings
import webbrowser
from collections import deque
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Callable, ClassVar, NoReturn, TypeVar, Union
from urllib.parse import urlencode, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from typing_extensions import Self

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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

    DONE = 0, "done, and the server's SHA-256 is the file's"
    USAGE = 2, "wrong options or settings, or a certificate not trusted"
    LOCAL_FILE = 3, "a file here cannot be read or written, or changed meanwhile"
    AUTH = 4, "the token is missing, wrong, or not allowed to do this"
    REFUSED = 5, "the server refuses the file: size, quota, space, rules"
    NETWORK = 6, "gave up on the network or a busy server: running again resumes"
    SERVER = 7, "the server failed, or its answer is not understood"
    VERIFICATION = 8, "what the server stored is not what was sent"
    INTERRUPTED = 130, "stopped by Ctrl-C: running again resumes"


class PushError(Exception):
    """A failure that a person can act on: one sentence that says the remedy, and an exit code.

    `again` says that the same may work in a while, after so many seconds at least; `status` is
    that of the answer, 0 without one.
    """

    def __init__(
        self,
        code: Exit,
        sentence: str,
        *,
        again: bool = False,
        after: float | None = None,
        status: int = 0,
    ) -> None:
        """Keep what programs want to know beside the sentence."""
        super().__init__(sentence)
        self.code = code
        self.again = again
        self.after = after
        self.status = status


class UntrustedError(PushError):
    """The server's certificate is not one to trust, so nothing was sent."""


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


# ---- numbers ------------------------------------------------------------------------------------


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

APPEND_SECONDS = 300.0
"""The same for an appended stretch, of which less is left to flush."""

ANSWER_LIMIT = 1 << 20
"""Bytes of an answer that are read; the answers are a few hundred bytes."""

HEAD_LIMIT = 1 << 16
"""Bytes of an early answer that are taken while sending, before it counts as final anyway."""

FILES = "/files/"
"""Where tus uploads are made."""

PIECE_LEAST = 32 << 20
PIECES_MOST = 128
"""Several connections send pieces of a file: not tiny, and few enough to be named in one header."""

LARGE_FILE = 4 << 30
"""What is sent and hashed of a file of so many bytes need not stay in the system's memory."""

REQUEST_LEAST = 1 << 16
REQUEST_FIRST = 64 << 20
"""How small requests get behind a proxy that cuts them, and the first size to try after a 413."""

REQUEST_EARLY = 1 << 20
"""A request that is cut before so many bytes met an accident, unless nothing of it arrives."""

REQUESTS_BEFORE_MORE = 8
"""Good requests in a row before a larger one is tried again."""

STREAM_BYTES = 8 << 20
"""Standard input is sent, and kept until it is acknowledged, so many bytes at a time."""

BACKOFF_SECONDS = 0.5
BACKOFF_MOST = 30.0
"""The wait after a first failure, and the longest one."""

RETRY_SECONDS = 600.0
"""How long to try again without any progress."""

FIRST_SECONDS = 15.0
"""The same for the first request, where --retry-for does not say it."""

LOST_MOST = 2
"""How often the server may lose an upload before that is its failure."""

RECORD_SECONDS = 5.0
"""How often the digest of what was sent is saved; a later run compares it."""

NOTE_LEAST = 1 << 30
"""Bytes that take long enough to read that people want to know why nothing is sent."""

ASK_SECONDS = 20.0
"""How long small requests are tried again."""

TOKENS = "/accounts/token"
"""Where tokens are made for a password, and withdrawn."""

ACCOUNT = "/accounts/"
"""The page where people make tokens."""

TOKEN_PREFIX = "dnu_"  # noqa: S105 - the public part of a token
"""What tokens begin with; another password in ~/.netrc is somebody else's."""

LOOPBACK = ("localhost", "127.0.0.1", "::1")

SAMPLE_BYTES = 50 * BLOCK
SAMPLE_SLOW = 4 * BLOCK
SAMPLE_PIECE = 1 << 14
SAMPLE_NAME = {"filename": "push-doctor.tmp"}
"""What the doctor sends: in all, slowly, and in what pieces then."""

TRICKLE_SECONDS = 65.0
"""Longer than the 60 s after which many proxies cut a request."""

ANNOUNCE_MOST = 32 << 20
"""Bytes without a token that the doctor sends before it gives up on a refusal."""

CEILINGS = (0, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)
"""Sizes of requests that the doctor announces."""

CERTIFICATE_DAYS = 14
HTTP2_LEAST = 0.5
"""What the doctor warns below: days of a certificate, and speed of HTTP/2 to that of HTTP/1.1."""

KEY_LEAST = {"RSA": 2048, "EC": 224}
"""Bits of a certificate's key that are worth 112 bits of strength, by its kind."""

POLL_FIRST = 0.1
POLL_MOST = 3.0
"""The waits between questions whether parts are joined."""

LOST_STATUSES = (404, 409, 410)
"""What joining parts is answered when one of them is not there any more."""

WAITING_STATES = ("receiving", "verifying")
"""What an upload is called that the server still works at."""

HOPELESS = (Exit.USAGE, Exit.AUTH)
"""Failures that the next file would have, too."""

BUSY = (408, 423, 425, 429, 500, 502, 503, 504)
"""Statuses that may be others in a while."""


# ---- words --------------------------------------------------------------------------------------


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


def duration(seconds: float) -> str:
    """Say a time for people: 4:05, or 2:10:05."""
    minutes, second = divmod(int(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def utf8(name: str | Path) -> str:
    """Return a name as UTF-8 text; bytes that are not are replaced."""
    return os.fsencode(name).decode("utf-8", "replace")


def reason(error: OSError) -> str:
    """Say an operating system error in its own words, without its number."""
    return (error.strerror or str(error)).lower()


def local(sentence: str) -> PushError:
    """Make the error for a file on this machine."""
    return PushError(Exit.LOCAL_FILE, sentence)


# ---- settings -----------------------------------------------------------------------------------


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
    def address(self) -> tuple[str, int]:
        """The host and the port."""
        return self.host, self.port

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
    named = getattr(options, "token_file", None)
    secret = os.environ.get("PUSH_TOKEN")
    if secret and not named:
        return checked_token(secret, "PUSH_TOKEN")
    path = named or os.environ.get("PUSH_TOKEN_FILE")
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
    token = token or netrc_token(host) or kept_token(host, port)
    ca_file = checked_ca_file(ca_path) if ca_path and schema == "https" else None
    return Settings(host, port, schema, ca_file, token, withheld)


# ---- files that are sent ------------------------------------------------------------------------


class LocalFile:
    """A file that is sent: read at any place by several threads, and watched for changes."""

    def __init__(self, path: Path) -> None:
        """Open the file and remember what it looks like now."""
        self.path = path
        try:
            # A pipe would block in open(), so the kind is looked at first.
            if not stat.S_ISREG(path.stat().st_mode):
                raise local(f"{self.shown} is not a regular file.")
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise local(
                f"{self.shown} cannot be read: {reason(error)}; check its path and permissions."
            ) from None
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        self._lock = threading.Lock()
        self.size, self.mtime = self._look()

    def __enter__(self) -> Self:
        """Give the open file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    @property
    def name(self) -> str:
        """The base name as UTF-8 text; bytes of a name that are not UTF-8 are replaced."""
        return utf8(self.path.name)

    @property
    def amount(self) -> str:
        """The size, for people and exactly."""
        return f"{human(self.size)} ({self.size} bytes)"

    @property
    def shown(self) -> str:
        """The path as it is shown to people."""
        return one_line(utf8(self.path))

    def read_at(self, offset: int, size: int) -> bytes:
        """Read a block, and see that nobody else is writing the file."""
        try:
            block = self._read(offset, size)
            state = self._look()
        except OSError as error:
            raise local(
                f"Reading {self.shown} failed after {human(offset)} ({reason(error)}): check the "
                "disk it is on."
            ) from None
        if state != (self.size, self.mtime) or not block:
            was, now = f"{self.size} bytes", f"{state[0]} bytes"
            change = f"from {was} to {now}" if was != now else "in place"
            raise local(
                f"{self.shown} changed while it was being sent ({change}), so it was not stored: "
                "run again when nothing writes to it any more."
            )
        return block

    def drop(self, start: int, end: int) -> None:
        """Let the system use the memory that it keeps a stretch in for what is still to be read.

        It prefers to keep what was read twice, which the sending and the hashing do.
        """
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)

    def _read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), size, offset)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)

    def _look(self) -> tuple[int, int]:
        state = os.fstat(self._file.fileno())
        return state.st_size, state.st_mtime_ns


class StreamInput:
    """What stands for standard input where a file's name and size are spoken of."""

    name = "stdin"
    shown = "standard input"
    amount = "an unknown size"


Subject = Union[LocalFile, StreamInput]


class ChangedSinceError(Exception):
    """What was sent in an earlier run is not what the file has there now."""


class Hasher:
    """The SHA-256 of a file from its front to its end, in a thread beside the sending.

    Blocks that are sent again are not hashed again. Python cannot store a running SHA-256, so a
    later run reads what an earlier one sent once more, and proves with it that it is unchanged.
    """

    def __init__(self, expected: tuple[int, str] | None = None) -> None:
        """Begin at zero; `expected` is how far an earlier run was, and its digest there."""
        self._digest = hashlib.sha256()
        self._expected = expected
        self._lock = threading.Lock()
        self._hashed = 0
        self._error: BaseException | None = None
        self.fed = 0
        self._blocks: queue.Queue[memoryview | None] = queue.Queue(BLOCKS_AHEAD)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def feed(self, offset: int, block: bytes) -> None:
        """Take a block that begins where the last one ended, or before."""
        self.check()
        end = offset + len(block)
        if end > self.fed:
            new = memoryview(block)[self.fed - offset :]
            self.fed = end
            self._blocks.put(new)

    def catch_up(self, file: LocalFile, end: int) -> None:
        """Read and hash what comes before `end`."""
        while self.fed < end:
            self.feed(self.fed, file.read_at(self.fed, min(BLOCK, end - self.fed)))

    def snapshot(self) -> tuple[int, str]:
        """Return how far it is, and the digest of that."""
        with self._lock:
            return self._hashed, self._digest.hexdigest()

    def sha256(self) -> str:
        """Wait for the thread and return the digest of all that it was fed."""
        self.close()
        self._thread.join()
        self.check()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Let the thread end."""
        if self._thread.is_alive():
            self._blocks.put(None)

    def check(self) -> None:
        """Raise what the thread found."""
        if self._error:
            raise self._error

    def _run(self) -> None:
        for block in iter(self._blocks.get, None):
            if not self._error:
                try:
                    self._take(block)
                except ChangedSinceError as error:
                    self._error = error

    def _take(self, block: memoryview) -> None:
        position, digest = self._expected or (0, "")
        before = position - self._hashed
        if 0 < before <= len(block):
            self._update(block[:before])
            block = block[before:]
            if self._digest.hexdigest() != digest:
                raise ChangedSinceError
        self._update(block)

    def _update(self, block: memoryview) -> None:
        with self._lock:
            self._digest.update(block)
            self._hashed += len(block)


# ---- progress and rate --------------------------------------------------------------------------


class Rate:
    """Keeps all connections together below a number of bytes a second."""

    def __init__(self, limit: int | None, connections: int) -> None:
        """Take the limit; None is none."""
        self._limit = limit
        self._lock = threading.Lock()
        self._free = 0.0
        most = BLOCK if connections == 1 else BLOCK // 4
        # An eighth of a second at a time, so that slow is even.
        self.block = most if limit is None else min(most, max(limit // 8, 1024))

    def wait(self, count: int) -> None:
        """Wait until so many bytes may go."""
        if self._limit is None:
            return
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._free)
            self._free = begin + count / self._limit
        time.sleep(max(0.0, begin - now))


class RichLine:
    """A progress line with a bar, as wide as the terminal, drawn by rich where that is installed.

    rich draws alone: its live display hides the cursor, which a kill -9 would leave hidden.
    """

    def __init__(self) -> None:
        """Find rich; ImportError: it is not there, or the terminal cannot have colours."""
        self._console: Any = importlib.import_module("rich.console").Console(file=sys.stderr)
        self._bar: Any = importlib.import_module("rich.progress_bar").ProgressBar
        self._text: Any = importlib.import_module("rich.text").Text
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            raise ImportError

    def drawn(self, text: str, share: float, speed: str) -> str:
        """Return the line: the text of before, a bar of what is done, and the rate."""
        free = self._console.width - len(text) - len(speed) - len("  ")
        with self._console.capture() as capture:
            self._console.print(self._text(text, style="progress.percentage"), end=" ")
            if free > 0:
                self._console.print(self._bar(total=1.0, completed=share, width=free), end="")
            self._console.print(self._text(speed, style="progress.remaining"), end="")
        return str(capture.get()).replace("\n", "")


def rich_line() -> RichLine | None:
    """Return what draws with rich; None without it."""
    try:
        return RichLine()
    except Exception:  # noqa: BLE001 - what is broken is not used
        return None


class Progress:
    """`[3682 of 3682 MB]` on stderr: in place on a terminal, else one line for every 10 %.

    On a terminal it has the rate and the time left, too, and a bar if rich is installed. Several
    files, and several connections, count together.
    """

    def __init__(self, total: int | None, *, quiet: bool) -> None:
        """Show nothing yet: the server has not said that it wants anything."""
        self._total = total
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._rich = rich_line() if self._terminal and total and not quiet else None
        self._lock = threading.Lock()
        self._done: dict[object, int] = {}
        self._tenths = 0
        self._next = 0.0
        self._width = 0
        self._samples: deque[tuple[float, int]] = deque(maxlen=50)

    def update(self, done: int, key: object = None) -> None:
        """Show how much has been sent in all, when that is due; `key` tells what `done` is of."""
        if self._quiet:
            return
        with self._lock:
            self._done[key] = done
            self._show(sum(self._done.values()))

    def note(self, sentence: str) -> None:
        """Say something beside the progress, on a line of its own."""
        if self._quiet:
            return
        with self._lock:
            self._leave()
            print(f"{PROGRAM}: {sentence}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the progress line, so that what is printed next has a line of its own."""
        with self._lock:
            self._leave()

    def _show(self, done: int) -> None:
        finished = self._total is not None and done >= self._total
        if self._terminal:
            now = time.monotonic()
            if finished or now >= self._next:
                self._next = now + 0.1
                self._samples.append((now, done))
                self._draw(done, "" if finished else self._speed(done))
        elif self._total is not None:
            tenths = 10 if finished else done * 10 // self._total
            if tenths > self._tenths:
                self._tenths = tenths
                print(self._text(done), file=sys.stderr, flush=True)

    def _draw(self, done: int, speed: str) -> None:
        text = self._text(done)
        if self._rich and self._total:
            self._width = 1
            line = self._rich.drawn(text, min(1.0, done / self._total), speed)
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
            return
        text += speed
        # A shorter line wipes out what a longer one left.
        if len(text) < self._width:
            print("\r" + " " * self._width, end="", file=sys.stderr)
        self._width = len(text)
        print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def _leave(self) -> None:
        if self._width:
            self._width = 0
            print(file=sys.stderr, flush=True)

    def _text(self, done: int) -> str:
        if self._total is None:
            return f"[{done // 10**6} MB]"
        return f"[{done // 10**6} of {self._total // 10**6} MB]"

    def _speed(self, done: int) -> str:
        (start, before), (now, _) = self._samples[0], self._samples[-1]
        if now - start < 1 or done <= before:
            return ""
        rate = (done - before) / (now - start)
        left = "" if self._total is None else f", {duration((self._total - done) / rate)} left"
        return f" {rate / 10**6:.1f} MB/s{left}"


class Body:
    """A stretch of a file as the body of a request; whoever sends it hears of every block.

    `read` and `len`, the bytes that are left, are what requests and MultipartEncoder want.
    """

    def __init__(
        self, file: LocalFile, start: int, end: int, rate: Rate, heard: Callable[[int, bytes], None]
    ) -> None:
        """Begin at `start`; `heard` is called with the place and the bytes of each block."""
        self._file = file
        self._end = end
        self._rate = rate
        self._heard = heard
        self.size = end - start
        self.len = self.size

    def read(self, size: int) -> bytes:
        """Read the next block."""
        size = min(size, self.len, self._rate.block)
        if size <= 0:
            return b""
        offset = self._end - self.len
        block = self._file.read_at(offset, size)
        self._rate.wait(len(block))
        self.len -= len(block)
        self._heard(offset, block)
        return block


class Form:
    """A form with a file as the body of a request; `len` tells what is left of it."""

    def __init__(self, name: str, body: Body) -> None:
        """Take the file's name, and its bytes."""
        self._encoder = MultipartEncoder({"file": (name, body, "application/octet-stream")})
        self.content_type: str = self._encoder.content_type
        self.len: int = self._encoder.len

    def read(self, size: int) -> bytes:
        """Read the next block."""
        block: bytes = self._encoder.read(size)
        self.len -= len(block)
        return block


class Memory:
    """Bytes as the body of a request, read in blocks as those of a file are."""

    def __init__(self, content: bytes, rate: Rate) -> None:
        """Begin at the first byte."""
        self._content = memoryview(content)
        self._rate = rate
        self.size = self.len = len(content)

    def read(self, size: int) -> bytes:
        """Read the next block."""
        size = min(size, self.len, self._rate.block)
        offset = self.size - self.len
        self._rate.wait(size)
        self.len -= size
        return bytes(self._content[offset : offset + size])


# ---- HTTP that listens while it speaks ----------------------------------------------------------


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

    deaf: ClassVar[bool] = False
    """Whether something on the way does not answer expectations, so that waiting is of no use."""

    stall: ClassVar[float | None] = None
    """How long the server may take no bytes, where it is not STALL_SECONDS."""

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

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        """Begin a request, on a connection that may have had others."""
        self._expects = self._goes_on = self._sends_body = False
        self._early = b""
        super().putrequest(*args, **kwargs)

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
                ListeningConnection.deaf = True
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
            patience = self.stall or STALL_SECONDS
            readable, writable, _ = select.select([self.sock], [self.sock], [], patience)
            if readable and self._answered():
                raise BrokenPipeError
            if not readable and not writable:
                raise PushError(
                    Exit.NETWORK,
                    f"{self.host} took no bytes for {patience:g} seconds: check the network "
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


@dataclass(frozen=True)
class Answer:
    """The server's answer, as far as it matters."""

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def location(self) -> str:
        """Where the server points to."""
        return self.headers.get("Location", "")

    @property
    def good(self) -> bool:
        """Whether the server did what it was asked to."""
        return http.HTTPStatus.OK <= self.status < http.HTTPStatus.MULTIPLE_CHOICES

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

    def header(self, name: str) -> int | None:
        """Return a header that is a number of bytes."""
        value = self.headers.get(name, "")
        return int(value) if re.fullmatch("[0-9]{1,18}", value) else None


# ---- requests and answers ------------------------------------------------------------------------


class Wire:
    """The requests of one thread to the server, over a connection that is kept while it is good."""

    def __init__(self, settings: Settings) -> None:
        """Connect with the first request."""
        self._settings = settings
        self._session: requests.Session | None = None

    def close(self) -> None:
        """Forget the connection."""
        if self._session:
            self._session.close()
            self._session = None

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        seconds: float | None = None,
        expect: bool = False,
    ) -> Answer:
        """Send a request and read the answer, whichever it is. PushError: there is none."""
        with self.open(method, path, headers, body, seconds=seconds, expect=expect) as response:
            try:
                content = response.raw.read(ANSWER_LIMIT) if method != "HEAD" else b""
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self.close()
                raise self._trouble(error, sent=True) from None
        # What was not read to its end would stand in front of the next answer.
        if getattr(body, "len", 0) or len(content) == ANSWER_LIMIT:
            self.close()
        return answer_of(response, content)

    def open(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        seconds: float | None = None,
        expect: bool = False,
    ) -> requests.Response:
        """Send a request and return the answer, whose body is still to be read."""
        settings = self._settings
        sent = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
        sent["User-Agent"] = f"{PROGRAM}/{__version__}"
        if expect and not ListeningConnection.deaf:
            sent["Expect"] = "100-continue"
        if settings.token:
            sent["Authorization"] = f"Bearer {settings.token.secret}"
        self._session = self._session or new_session(settings)
        try:
            return self._session.request(
                method,
                settings.base + path,
                data=body,
                headers=sent,
                verify=authorities(settings),
                timeout=(CONNECT_SECONDS, seconds or ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,
            )
        except PushError as error:
            self.close()
            error.again = error.code is Exit.NETWORK
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            self.close()
            raise self._trouble(error, sent=not getattr(body, "len", 0)) from None
        except OSError as error:
            # requests finds a bundle of the environment missing before it connects.
            raise usage(
                f"The certificates named in the environment cannot be used: {one_line(str(error))}."
            ) from None

    def _trouble(self, error: Exception, *, sent: bool) -> PushError:
        trouble = connection_trouble(error, self._settings, sent=sent)
        trouble.again = trouble.code is Exit.NETWORK
        return trouble


def new_session(settings: Settings) -> requests.Session:
    """Make a session whose connections listen."""
    session = requests.Session()
    # The environment's proxies are wanted; credentials are looked for in one place, given_token.
    session.trust_env = False
    session.proxies.update(get_environ_proxies(settings.url))
    adapter = ListeningAdapter()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def authorities(settings: Settings) -> str | bool:
    """Return which certificates are trusted."""
    environment = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE")
    return settings.ca_file or environment or True


def answer_of(response: requests.Response, content: bytes = b"") -> Answer:
    """Keep what matters of an answer."""
    phrase = one_line(response.reason or "")
    return Answer(response.status_code, phrase, response.headers, content)


# ---- failures, said with their remedy -----------------------------------------------------------


def refusal(answer: Answer, settings: Settings, file: Subject) -> PushError:
    """Explain an answer that is not a success, and say whether it may be another one in a while."""
    error = explained(answer, settings, file)
    error.status = answer.status
    error.again = answer.status in BUSY
    error.after = retry_after(answer)
    return error


def retry_after(answer: Answer) -> float | None:
    """Return how many seconds the server asks to wait."""
    value = answer.headers.get("Retry-After", "")
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None


def explained(answer: Answer, settings: Settings, file: Subject) -> PushError:
    """Say what an answer that is not a success means."""
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


def too_large(answer: Answer, settings: Settings, file: Subject) -> PushError:
    """Explain a 413 with both sizes."""
    limit = answer.number("max_size")
    takes = f"at most {human(limit)} ({limit} bytes)" if limit else f"less than that{answer.aside}"
    return PushError(
        Exit.REFUSED,
        f"{file.shown} has {file.amount} and {settings.base} takes {takes}: "
        "ask its operator for a higher limit, or split the file.",
    )


def no_space(answer: Answer, settings: Settings, file: Subject) -> PushError:
    """Explain a 507 with what is needed and what is free."""
    free = answer.number("free")
    room = f"no room{answer.aside}" if free is None else f"{human(free)} ({free} bytes) free"
    return PushError(
        Exit.REFUSED,
        f"{file.shown} needs {file.amount} and {settings.base} has {room}: "
        "delete uploads there, or ask its operator for space.",
    )


def forbidden(answer: Answer, settings: Settings, _: Subject) -> PushError:
    """Explain a 403."""
    who = "this token's account" if settings.token else "somebody without a token"
    return PushError(
        Exit.AUTH, f"{settings.base} does not let {who} upload{answer.aside}: ask its operator."
    )


def not_there(answer: Answer, settings: Settings, _: Subject) -> PushError:
    """Explain that something else answers at the address."""
    return usage(
        f"{settings.url} takes no uploads (status {answer.status}): check --host, --port "
        "and --schema."
    )


def busy(answer: Answer, settings: Settings, _: Subject) -> PushError:
    """Explain an answer that asks for patience."""
    return PushError(
        Exit.NETWORK,
        f"{settings.base} is too busy (status {answer.status}){answer.aside}: run again later.",
    )


def unauthorized(answer: Answer, settings: Settings, _: Subject) -> PushError:
    """Explain a 401: what was sent as a token, and how to get one that works."""
    remedy = (
        f"run `{PROGRAM} login`, or ask the server's operator for one and give it with "
        "--token-file, PUSH_TOKEN or `token` in push.conf"
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


def moved(answer: Answer, settings: Settings, _: Subject) -> PushError:
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


EXPLAINED: dict[int, Callable[[Answer, Settings, Subject], PushError]] = {
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
        return UntrustedError(
            Exit.USAGE,
            f"The certificate of port {settings.port} was not made for the name {settings.host}: "
            "use the server's own name with --host, or mend its certificate.",
        )
    dates = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
    if untrusted and untrusted.verify_code in dates:
        return UntrustedError(
            Exit.USAGE,
            f"The certificate of {settings.host} is not valid today ({untrusted.verify_message}): "
            "check this machine's clock, and renew the certificate.",
        )
    if untrusted:
        return UntrustedError(
            Exit.USAGE,
            f"The certificate of {settings.host} is not trusted ({untrusted.verify_message}): "
            "name its authority with --ca-file, PUSH_CA_FILE or `ca_file` in push.conf (`make up` "
            "writes that one beside push.py).",
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


# ---- what is remembered of uploads --------------------------------------------------------------


class Record:
    """What later runs need to go on with an upload, in a file that no other run writes meanwhile.

    It is kept by server and path, with the file's size and time and the digest of what was sent.
    It holds no secret: whose the upload is, the server knows.
    """

    def __init__(self, settings: Settings, file: LocalFile, note: Callable[[str], None]) -> None:
        """Read what is known of this file on this server, and keep other runs from it."""
        path = os.fsencode(file.path.absolute()).decode("utf-8", "surrogateescape")
        key = f"{settings.base}\n{path}".encode("utf-8", "surrogateescape")
        self._path = state_directory() / f"{hashlib.sha256(key).hexdigest()[:32]}.json"
        self._lock: IO[bytes] | None = None
        self._mutex = threading.Lock()
        self._saved = time.monotonic()
        self._identity = {
            "server": settings.base,
            "path": path,
            "size": file.size,
            "mtime": file.mtime,
        }
        self.url: str | None = None
        self.piece = 0
        self.pieces: list[str | None] = []
        self.hashed: tuple[int, str] | None = None
        self.stale: list[str] = []
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = self._locked(file)
        except OSError as error:
            note(
                f"{self._path.parent} cannot be written ({reason(error)}): a later run will not "
                "be able to go on where this one stops."
            )
        self._read(file, note)

    def __enter__(self) -> Self:
        """Give the record."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let other runs have it."""
        if self._lock:
            self._lock.close()

    def begin(self, piece: int = 0, count: int = 0) -> None:
        """Note that an upload begins, in pieces or not."""
        self.url, self.hashed = None, None
        self.piece, self.pieces = piece, [None] * count

    @property
    def known(self) -> bool:
        """Whether something of the file is on the server."""
        return bool(self.url or any(self.pieces))

    def urls(self) -> list[str]:
        """Return all that is on the server."""
        return [url for url in (self.url, *self.pieces) if url]

    def note_hash(self, hasher: Hasher) -> None:
        """Save how far the file is hashed, now and then."""
        if time.monotonic() - self._saved > RECORD_SECONDS:
            self.hashed = hasher.snapshot()
            self.save()

    def save(self) -> None:
        """Write all of it, so that a crash leaves the old state or the new one."""
        self._saved = time.monotonic()
        if not self._lock:
            return
        with self._mutex:
            document = {
                **self._identity,
                "url": self.url,
                "piece": self.piece,
                "pieces": self.pieces,
                "hashed": self.hashed,
            }
            new = self._path.with_suffix(".new")
            with new.open("w", encoding="ascii") as file:
                json.dump(document, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._path)

    def forget(self) -> None:
        """Remove it: the upload is over."""
        if self._lock:
            with suppress(OSError):
                self._path.unlink()
                self._path.with_suffix(".lock").unlink()

    def _locked(self, file: LocalFile) -> IO[bytes]:
        lock = self._path.with_suffix(".lock").open("wb")
        if fcntl:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise usage(
                    f"{file.shown} is being sent by another {PROGRAM}: wait for it, or stop it."
                ) from None
            except OSError:
                pass  # some network file systems lock nothing
        return lock

    def _read(self, file: LocalFile, note: Callable[[str], None]) -> None:
        try:
            document = json.loads(self._path.read_bytes())
            known = {key: document[key] for key in self._identity}
            self.url, self.piece = document["url"], int(document["piece"])
            self.pieces = list(document["pieces"])
            hashed = document["hashed"]
            self.hashed = (int(hashed[0]), str(hashed[1])) if hashed else None
        except (OSError, ValueError, LookupError, TypeError):
            return
        if known != self._identity:
            note(
                f"{file.shown} changed since a part of it was sent: it is sent from its beginning."
            )
            self.stale = self.urls()
            self.begin()


def state_directory() -> Path:
    """Return where uploads under way are remembered."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(os.environ.get("PUSH_STATE_DIR") or Path(home).expanduser() / "push")


# ---- patience -----------------------------------------------------------------------------------


Result = TypeVar("Result")


class Patience:
    """When to try again: soon, then less and less often, until there was no progress for long."""

    def __init__(self, seconds: float, note: Callable[[str], None]) -> None:
        """Take how long a failure may last."""
        self._seconds = seconds
        self._note = note
        self._failures = 0
        self._since = 0.0

    def progressed(self) -> None:
        """Forget the failures: it goes on."""
        self._failures = 0

    def failed(self, error: PushError) -> None:
        """Wait before the next try; raise the error when there is to be none."""
        if not error.again:
            raise error
        now = time.monotonic()
        self._since = self._since if self._failures else now
        exponential = min(BACKOFF_SECONDS * 2**self._failures, BACKOFF_MOST)
        # Many clients that were cut by one event must not come back at one moment.
        wait = exponential * random.uniform(0.5, 1.5)  # noqa: S311 - no secret
        wait = max(wait, error.after or 0.0)
        self._failures += 1
        if now + wait - self._since > self._seconds:
            raise error
        self._note(f"{str(error).rstrip('.')}; trying again in {wait:.1f} s.")
        time.sleep(wait)

    def until(self, action: Callable[[], Result]) -> Result:
        """Do something until it works, and return its result."""
        while True:
            try:
                return action()
            except PushError as error:  # noqa: PERF203 - trying again is what this is for
                self.failed(error)


class Pace:
    """How much one request may bring: all there is, until something in between cannot take it."""

    def __init__(self, limit: int | None, note: Callable[[str], None]) -> None:
        """Begin with the limit that the user gave, if any."""
        self._most = limit
        self._limit = limit
        self._note = note
        self._cuts: dict[int | None, int] = {}
        self._good = 0

    def size(self, left: int) -> int:
        """Return how much the next request has."""
        return left if self._limit is None else min(left, self._limit)

    def too_large(self, tried: int) -> bool:
        """Take note of a 413; False: it cannot be smaller."""
        if tried <= REQUEST_LEAST:
            return False
        self._most = tried - 1
        self._shrink(min(tried // 2, REQUEST_FIRST), f"requests of {human(tried)} are refused")
        return True

    def cut(self, place: int, sent: int) -> None:
        """Take note of a request that ended early: twice in a row means something cuts them."""
        if sent < REQUEST_LEAST:
            return
        self._good = 0
        # Back at the same place, nothing arrived: what is between buffers whole requests.
        key = place if sent < REQUEST_EARLY else None
        if key in self._cuts:
            least = min(sent, self._cuts[key])
            self._shrink(least // 2, f"requests are cut after {human(least)}")
        self._cuts[key] = sent

    def done(self, size: int) -> None:
        """Take note of a request that went through: after some, more is tried again."""
        self._cuts.clear()
        if self._limit is None or size < self._limit:
            return
        self._good += 1
        if self._good >= REQUESTS_BEFORE_MORE:
            self._good = 0
            self._limit = min(self._limit * 2, self._most or self._limit * 2)

    def _shrink(self, size: int, why: str) -> None:
        size = max(size, REQUEST_LEAST)
        if self._limit is None or size < self._limit:
            self._limit = size
            self._note(f"{why}: sending {human(size)} at a time.")


# ---- tus ----------------------------------------------------------------------------------------


TUS_VERSION = "1.0.0"
TUS_TYPE = "application/offset+octet-stream"


class GoneError(Exception):
    """The server knows nothing of an upload any more."""


class Tus:
    """The requests of tus 1.0 (https://tus.io/protocols/resumable-upload)."""

    def __init__(self, wire: Wire, settings: Settings, subject: Subject) -> None:
        """Take the wire of one thread; the subject is what failures speak of."""
        self._wire = wire
        self._settings = settings
        self._subject = subject

    def create(self, length: int | None, names: Mapping[str, str], *, part: bool = False) -> str:
        """Begin an upload, and return its path."""
        headers = {"Upload-Metadata": metadata(names)}
        headers.update({"Upload-Concat": "partial"} if part else {})
        headers.update(
            {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
        )
        return self._place(self._call("POST", FILES, headers))

    def join(self, paths: Sequence[str], names: Mapping[str, str]) -> str:
        """Make a file of parts, and return its path; the same list again is the same file."""
        headers = {
            "Upload-Concat": f"final;{' '.join(paths)}",
            "Upload-Metadata": metadata(names),
        }
        return self._place(self._call("POST", FILES, headers))

    def offset(self, path: str) -> int:
        """Ask how many bytes are there."""
        return self.state(path)[0]

    def state(self, path: str) -> tuple[int, bool]:
        """Ask how many bytes are there, and whether these are all."""
        answer = self._call("HEAD", path)
        self._require_there(answer)
        offset = answer.header("Upload-Offset")
        if not answer.good or offset is None:
            raise refusal(answer, self._settings, self._subject)
        return offset, answer.header("Upload-Length") == offset

    def patch(self, path: str, offset: int, body: Body | Memory | Sample, **headers: str) -> Answer:
        """Append a body, and return the answer, whichever it is."""
        return self._call(
            "PATCH",
            path,
            {
                "Content-Type": TUS_TYPE,
                "Upload-Offset": str(offset),
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
            body,
        )

    def offset_after(self, answer: Answer) -> int:
        """Return how many bytes are there after a PATCH."""
        self._require_there(answer)
        offset = answer.header("Upload-Offset")
        if answer.status == http.HTTPStatus.CONFLICT:
            raise PushError(
                Exit.NETWORK, f"{self._settings.base} is at another byte{answer.aside}.", again=True
            )
        if not answer.good or offset is None:
            raise refusal(answer, self._settings, self._subject)
        return offset

    def describe(self, path: str) -> dict[str, Any]:
        """Return what the server says of an upload."""
        answer = self._wire.request("GET", f"/uploads/{path.rsplit('/', 1)[1]}")
        self._require_there(answer)
        if not answer.good:
            raise refusal(answer, self._settings, self._subject)
        return answer.document

    def delete(self, path: str) -> Answer:
        """Delete an upload, finished or not."""
        return self._call("DELETE", path)

    def _call(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> Answer:
        expect = getattr(body, "len", 0) >= BLOCK
        return self._wire.request(
            method,
            path,
            {"Tus-Resumable": TUS_VERSION, **(headers or {})},
            body,
            expect=expect,
            seconds=APPEND_SECONDS,
        )

    def _place(self, answer: Answer) -> str:
        # The path alone: what the server calls itself may be another name than ours for it.
        path = urlsplit(answer.location).path
        if answer.status != http.HTTPStatus.CREATED or not path:
            raise refusal(answer, self._settings, self._subject)
        return path

    def _require_there(self, answer: Answer) -> None:
        if answer.status in {http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE}:
            raise GoneError


def is_of_a_hop(answer: Answer) -> bool:
    """Tell a 413 of something in between, to one request, from that of the server to the file."""
    too_large = answer.status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return too_large and answer.number("max_size") is None


def speaks_tus(wire: Wire) -> bool:
    """Ask the server whether it offers tus. PushError: there is no answer."""
    answer = wire.request("OPTIONS", FILES)
    if answer.status in BUSY:
        raise PushError(
            Exit.NETWORK,
            f"The server is busy (status {answer.status}).",
            again=True,
            after=retry_after(answer),
        )
    versions = answer.headers.get("Tus-Version", "").replace(" ", "").split(",")
    extensions = answer.headers.get("Tus-Extension", "")
    return answer.good and TUS_VERSION in versions and "creation" in extensions


def metadata(names: Mapping[str, str]) -> str:
    """Write Upload-Metadata."""
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in names.items()
    )


# ---- sending one file ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Manner:
    """How files are sent: what is the same for all of a run."""

    settings: Settings
    progress: Progress
    rate: Rate
    connections: int
    request_size: int | None
    retry_seconds: float
    form: bool

    def patience(self) -> Patience:
        """Return patience for one thing that may fail."""
        return Patience(self.retry_seconds, self.progress.note)


def nothing(*_: object) -> None:
    """Do nothing."""


class StoppedError(Exception):
    """Another thread failed, so this one need not go on."""


@dataclass
class Stretch:
    """A part of a file, or all of it, that goes to one address."""

    start: int
    end: int
    url: str | None = None
    offset: int | None = None
    """Where the server is; None when that has to be asked."""
    best: int = 0
    lost: int = 0

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.end - self.start


class Turns:
    """Hands out numbers in order."""

    def __init__(self, count: int) -> None:
        """Begin with 0."""
        self._count = count
        self._next = 0
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """Return the next number, None when there is none."""
        with self._lock:
            if self._next == self._count:
                return None
            self._next += 1
            return self._next - 1

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._lock:
            self._next = self._count


class Pieces:
    """The pieces of one file: handed out in order to be sent, and hashed not far behind.

    What is read for the one is in the system's memory for the other, while few pieces are between
    the two.
    """

    def __init__(self, file: LocalFile, stretches: Sequence[Stretch], ahead: int) -> None:
        """Take how many pieces may be handed out before the first of them is hashed."""
        self._file = file
        self._stretches = stretches
        self._ahead = ahead
        self._out = 0
        self._hashed = 0
        self._read: set[int] = set()
        self._stopped = False
        self._changed = threading.Condition()

    def take(self) -> int | None:
        """Return the next piece's number, once it may go; None when there is none."""
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopped
                    or self._out == len(self._stretches)
                    or self._out < self._hashed + self._ahead
                )
            )
            if self._stopped or self._out == len(self._stretches):
                return None
            self._out += 1
            self._changed.notify_all()
            return self._out - 1

    def to_hash(self) -> Iterator[Stretch]:
        """Give each piece when it is handed out. StoppedError: no more will be."""
        for number, stretch in enumerate(self._stretches):
            self._wait_for(number)
            yield stretch
            with self._changed:
                self._hashed = number + 1
                self._changed.notify_all()
            self.over(number)

    def _wait_for(self, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._out > number)
            if self._stopped:
                raise StoppedError

    def over(self, number: int) -> None:
        """Take note that a piece is sent, or hashed: after both, nobody here reads it again."""
        with self._changed:
            is_first = number not in self._read
            self._read.add(number)
        if not is_first and self._file.size >= LARGE_FILE:
            self._file.drop(self._stretches[number].start, self._stretches[number].end)

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()


def side_by_side(works: Sequence[Callable[[], None]], stop: Callable[[], None]) -> None:
    """Do things in a thread each; the first failure stops the others, and is raised."""
    failures: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that waits
            failures.append(error)
            stop()

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise next((e for e in failures if not isinstance(e, StoppedError)), failures[0])


@dataclass(frozen=True)
class Way:
    """What happens while a stretch is sent: to its address, its blocks, and before each request."""

    keep: Callable[[str | None], None]
    heard: Callable[[int, bytes], None]
    ready: Callable[[int], None]


class Sending:
    """One file on its way by tus, over one connection or several."""

    def __init__(
        self, manner: Manner, file: LocalFile, record: Record, names: Mapping[str, str], many: int
    ) -> None:
        """Take the file, what is known of it, and how many connections it may have."""
        self._manner = manner
        self._file = file
        self._record = record
        self._names = names
        self._many = many
        self._pace = Pace(manner.request_size, manner.progress.note)
        self._hasher = Hasher(record.hashed)
        self._stop = threading.Event()

    def run(self) -> tuple[dict[str, Any], str]:
        """Send what is missing; return what the server says of it, and our digest."""
        try:
            path = self._whole() if not self._in_pieces() else self._pieces()
            digest = self._hasher.sha256()
            return self._described(path), digest
        finally:
            self._stop.set()
            if self._record.known and not isinstance(sys.exc_info()[1], ChangedSinceError):
                self._record.hashed = self._hasher.snapshot()
                self._record.save()
            self._hasher.close()

    def _in_pieces(self) -> bool:
        record = self._record
        if record.pieces or record.url:
            return bool(record.pieces)
        if self._many == 1 or self._file.size < 2 * PIECE_LEAST:
            return False
        piece = max(PIECE_LEAST, -(-self._file.size // PIECES_MOST))
        # XFS and btrfs join what begins at the start of a block without copying it.
        piece = -(-piece // BLOCK) * BLOCK
        record.begin(piece, -(-self._file.size // piece))
        return True

    def _whole(self) -> str:
        stretch = Stretch(0, self._file.size, self._record.url)

        def keep(url: str | None) -> None:
            self._record.url = url
            self._record.save()

        def heard(offset: int, block: bytes) -> None:
            self._hasher.feed(offset, block)
            self._record.note_hash(self._hasher)

        with closing(Wire(self._manner.settings)) as wire:
            self._deliver(wire, stretch, Way(keep, heard, self._catch_up))
        return stretch.url or ""

    def _catch_up(self, offset: int) -> None:
        self._say_that_it_reads(offset - self._hasher.fed)
        self._hasher.catch_up(self._file, offset)

    def _say_that_it_reads(self, size: int) -> None:
        if size > NOTE_LEAST:
            self._manner.progress.note(
                f"{human(size)} of {self._file.shown} are on the server; reading them once more "
                "for the SHA-256."
            )

    def _deliver(self, wire: Wire, stretch: Stretch, way: Way) -> None:
        """Bring all bytes of a stretch to the server, however often that takes."""
        tus = Tus(wire, self._manner.settings, self._file)
        patience = self._manner.patience()
        while stretch.offset != stretch.size:
            try:
                self._step(tus, stretch, way, patience)
            except GoneError:  # noqa: PERF203 - trying again is what this is for
                self._begin_again(stretch, way)
            except PushError as error:
                stretch.offset = None
                patience.failed(error)

    def _step(self, tus: Tus, stretch: Stretch, way: Way, patience: Patience) -> None:
        """Find out where the server is, and send one request's worth from there."""
        if stretch.url is None:
            is_part = bool(self._record.pieces)
            names = {} if is_part else self._names
            stretch.url = tus.create(stretch.size, names, part=is_part)
            way.keep(stretch.url)
            stretch.offset = 0
        offset = tus.offset(stretch.url) if stretch.offset is None else stretch.offset
        stretch.offset = offset
        if offset > stretch.best:
            stretch.best = offset
            patience.progressed()
        self._manner.progress.update(offset, (self._file.path, stretch.start))
        way.ready(stretch.start + offset)
        if offset < stretch.size:
            stretch.offset = self._append(tus, stretch, offset, way.heard)

    def _begin_again(self, stretch: Stretch, way: Way) -> None:
        """Go back to the beginning of what the server does not have any more."""
        stretch.lost += 1
        server = self._manner.settings.base
        if stretch.lost > LOST_MOST:
            raise PushError(Exit.SERVER, f"{server} loses uploads: tell its operator.") from None
        self._manner.progress.note(
            f"{server} has no upload of {self._file.shown} any more: it is sent from its beginning."
        )
        stretch.url, stretch.offset, stretch.best = None, None, 0
        way.keep(None)

    def _append(
        self, tus: Tus, stretch: Stretch, offset: int, heard: Callable[[int, bytes], None]
    ) -> int | None:
        """Send one request; return where the server is, None when that has to be asked."""
        place = (self._file.path, stretch.start)

        def block(at: int, content: bytes) -> None:
            if self._stop.is_set():
                raise StoppedError
            heard(at, content)
            self._manner.progress.update(at + len(content) - stretch.start, place)

        start = stretch.start + offset
        end = start + self._pace.size(stretch.size - offset)
        body = Body(self._file, start, end, self._manner.rate, block)
        try:
            answer = tus.patch(stretch.url or "", offset, body)
            if answer.status == http.HTTPStatus.EXPECTATION_FAILED:
                ListeningConnection.deaf = True
                return None
            if is_of_a_hop(answer) and self._pace.too_large(body.size):
                return None
            reached = tus.offset_after(answer)
        except PushError as error:
            if error.again:
                self._pace.cut(start, body.size - body.len)
            raise
        self._pace.done(body.size)
        return reached

    def _pieces(self) -> str:
        """Send pieces over several connections, and have the server join them."""
        record = self._record
        if record.url is None:
            self._bring_pieces()
            record.url = self._joined([url or "" for url in record.pieces])
            record.save()
        return record.url

    def _bring_pieces(self) -> None:
        size, piece = self._file.size, self._record.piece
        stretches = [
            Stretch(number * piece, min(size, (number + 1) * piece), url)
            for number, url in enumerate(self._record.pieces)
        ]
        pieces = Pieces(self._file, stretches, ahead=self._many)

        def stop() -> None:
            self._stop.set()
            pieces.stop()

        def send() -> None:
            self._send_pieces(stretches, pieces)

        side_by_side([send] * self._many + [lambda: self._hash_behind(pieces)], stop)

    def _send_pieces(self, stretches: Sequence[Stretch], pieces: Pieces) -> None:
        with closing(Wire(self._manner.settings)) as wire:
            for number in iter(pieces.take, None):

                def keep(url: str | None, number: int = number) -> None:
                    self._record.pieces[number] = url
                    self._record.save()

                self._deliver(wire, stretches[number], Way(keep, nothing, nothing))
                pieces.over(number)

    def _hash_behind(self, pieces: Pieces) -> None:
        """Hash in order what the others read."""
        self._say_that_it_reads(self._record.hashed[0] if self._record.hashed else 0)
        for stretch in pieces.to_hash():
            while self._hasher.fed < stretch.end and not self._stop.is_set():
                end = min(self._hasher.fed + BLOCK, stretch.end)
                self._hasher.catch_up(self._file, end)
                self._record.note_hash(self._hasher)

    def _joined(self, paths: Sequence[str]) -> str:
        with closing(Wire(self._manner.settings)) as wire:
            tus = Tus(wire, self._manner.settings, self._file)
            try:
                return self._manner.patience().until(lambda: tus.join(paths, self._names))
            except PushError as error:
                if error.status in LOST_STATUSES:
                    # A part is lost or expired, and a new list of them helps.
                    self._record.forget()
                    self._record.begin()
                raise

    def _described(self, path: str) -> dict[str, Any]:
        """Wait until the server has the digest of the whole, and return what it says."""
        patience = self._manner.patience()
        wait = POLL_FIRST
        with closing(Wire(self._manner.settings)) as wire:
            tus = Tus(wire, self._manner.settings, self._file)
            while True:
                try:
                    document = patience.until(lambda: tus.describe(path))
                except GoneError:
                    self._record.forget()
                    raise no_receipt(self._manner.settings, path) from None
                if document.get("state") not in WAITING_STATES:
                    return document
                time.sleep(wait)
                wait = min(wait * 1.5, POLL_MOST)


def no_receipt(settings: Settings, path: str) -> PushError:
    """Make the error for a server that does not tell what it stored."""
    return PushError(
        Exit.SERVER,
        f"{settings.base} has no receipt for the upload {path}: check that this is an upload "
        "server of this version, and run again.",
    )


# ---- sending standard input ----------------------------------------------------------------------


class Streaming:
    """Standard input on its way by tus: its length is told at its end.

    What the server has not acknowledged is kept in memory, so that a cut can be mended; a later
    run cannot go on, because what was read is gone.
    """

    def __init__(self, manner: Manner, source: IO[bytes], names: Mapping[str, str]) -> None:
        """Take what is to be sent, and how."""
        self._manner = manner
        self._source = source
        self._names = names
        self._pace = Pace(manner.request_size, manner.progress.note)
        self._hasher = Hasher()

    def run(self) -> tuple[dict[str, Any], str, int]:
        """Send all; return what the server says of it, our digest and the size."""
        with closing(Wire(self._manner.settings)) as wire:
            tus = Tus(wire, self._manner.settings, StreamInput())
            patience = self._manner.patience()
            path = patience.until(lambda: tus.create(None, self._names))
            size, last = 0, False
            while not last:
                content = self._source.read(STREAM_BYTES)
                last = len(content) < STREAM_BYTES
                self._hasher.feed(size, content)
                self._bring(tus, path, size, content, last=last)
                size += len(content)
            try:
                document = patience.until(lambda: tus.describe(path))
            except GoneError:
                raise no_receipt(self._manner.settings, path) from None
            return document, self._hasher.sha256(), size

    def _bring(self, tus: Tus, path: str, begin: int, content: bytes, *, last: bool) -> None:
        """Bring these bytes to the server, and with the last ones the length."""
        end = begin + len(content)
        patience = self._manner.patience()
        offset: int | None = begin
        complete = False
        while not (complete if last else offset == end):
            try:
                if offset is None:
                    offset, complete = tus.state(path)
                    if not begin <= offset <= end:
                        raise self._lost()
                    continue
                at, offset = offset, None
                size = self._pace.size(end - at)
                ends = last and at + size == end
                body = Memory(content[at - begin : at - begin + size], self._manner.rate)
                offset = self._append(tus, path, at, body, ends=ends)
                complete = ends and offset == end
                patience.progressed()
            except GoneError:
                raise self._lost() from None
            except PushError as error:
                patience.failed(error)

    def _append(self, tus: Tus, path: str, at: int, body: Memory, *, ends: bool) -> int | None:
        """Send one request; return where the server is, None when that has to be asked."""
        length = {"Upload_Length": str(at + body.size)} if ends else {}
        try:
            answer = tus.patch(path, at, body, **length)
            if is_of_a_hop(answer) and self._pace.too_large(body.size):
                return None
            offset = tus.offset_after(answer)
        except PushError as error:
            if error.again:
                self._pace.cut(at, body.size - body.len)
            raise
        self._pace.done(body.size)
        self._manner.progress.update(offset)
        return offset

    def _lost(self) -> PushError:
        return PushError(
            Exit.SERVER,
            f"{self._manner.settings.base} lost what was sent of standard input: run again.",
        )


# ---- one file, whatever way it goes --------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """One file to send, as it was asked for."""

    argument: str
    path: Path | None
    names: Mapping[str, str]


@dataclass(frozen=True)
class Receipt:
    """What the server stored, verified, and how long that took."""

    argument: str
    status: int
    detail: str
    name: str
    size: int
    sha256: str
    url: str
    seconds: float

    @property
    def speed(self) -> float:
        """Megabytes a second."""
        return self.size / 10**6 / max(self.seconds, 1e-6)

    def __str__(self) -> str:
        """Lay the receipt out for people."""
        return "\n".join(
            (
                f"[Return status {self.status} {self.detail}]",
                f"Name:    {self.name}",
                f"Size:    {self.size} bytes ({human(self.size)})",
                f"SHA-256: {self.sha256}",
                f"Seconds: {self.seconds:.2f}",
                f"MB/s:    {self.speed:.1f}",
                f"URL:     {self.url}",
            )
        )

    def document(self) -> dict[str, Any]:
        """Return the receipt for programs."""
        return {
            "file": self.argument,
            "name": self.name,
            "size": self.size,
            "sha256": self.sha256,
            "seconds": round(self.seconds, 3),
            "mb_per_second": round(self.speed, 1),
            "url": self.url,
        }

    def checksum_line(self) -> str:
        """Return the line that `sha256sum -c` takes."""
        name = self.argument.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        return ("\\" if name != self.argument else "") + f"{self.sha256}  {name}"


def send(manner: Manner, job: Job, many: int, *, tus: bool) -> Receipt:
    """Send one file, and return the receipt when the server stored what was sent."""
    start = time.monotonic()
    if job.path is None:
        return send_stream(manner, job, start, tus=tus)
    with LocalFile(job.path) as file:
        answer, digest = resumable(manner, file, job, many) if tus else by_form(manner, file)
        return verified(answer, job, file.size, digest, manner.settings, start=start)


def send_stream(manner: Manner, job: Job, start: float, *, tus: bool) -> Receipt:
    """Send standard input."""
    if not tus:
        raise usage(
            f"{manner.settings.base} takes no input of unknown length: write it to a file first."
        )
    document, digest, size = Streaming(manner, sys.stdin.buffer, job.names).run()
    return verified(complete_answer(document), job, size, digest, manner.settings, start=start)


def resumable(manner: Manner, file: LocalFile, job: Job, many: int) -> tuple[Answer, str]:
    """Send a file by tus, or what is missing of it."""
    note = manner.progress.note
    with Record(manner.settings, file, note) as record:
        discard(manner, file, record.stale)
        while True:
            try:
                document, digest = Sending(manner, file, record, job.names, many).run()
                break
            except ChangedSinceError:
                note(
                    f"{file.shown} changed in place since a part of it was sent: it is sent from "
                    "its beginning."
                )
                discard(manner, file, record.urls())
                record.begin()
        record.forget()
    return complete_answer(document), digest


def complete_answer(document: dict[str, Any]) -> Answer:
    """Return the description of a complete upload as the answer that a form gets."""
    body = json.dumps({"detail": "Upload Complete", "uploads": [document]}).encode()
    return Answer(http.HTTPStatus.OK, "OK", {}, body)


def discard(manner: Manner, file: LocalFile, urls: Sequence[str]) -> None:
    """Delete what nobody will go on with, so that it takes no room; it would expire anyway."""
    with closing(Wire(manner.settings)) as wire, suppress(PushError):
        for url in urls:
            Tus(wire, manner.settings, file).delete(url)


# ---- forms ---------------------------------------------------------------------------------------


def by_form(manner: Manner, file: LocalFile) -> tuple[Answer, str]:
    """Send a file as a form, from its beginning each time."""
    patience = manner.patience()
    with closing(Wire(manner.settings)) as wire:
        while True:
            hasher = Hasher()
            try:
                answer = post(manner, file, wire, hasher)
                if answer.status == http.HTTPStatus.EXPECTATION_FAILED:
                    ListeningConnection.deaf = True
                    continue
                if not answer.good:
                    raise refusal(answer, manner.settings, file)
                manner.progress.update(file.size, (file.path, 0))
                return answer, hasher.sha256()
            except PushError as error:
                patience.failed(error)
            finally:
                hasher.close()


def post(manner: Manner, file: LocalFile, wire: Wire, hasher: Hasher) -> Answer:
    """Send the form with the file and read the answer, whichever it is."""
    place = (file.path, 0)

    def heard(offset: int, block: bytes) -> None:
        hasher.feed(offset, block)
        manner.progress.update(offset + len(block), place)

    body = Body(file, 0, file.size, manner.rate, heard)
    form = Form(file.name, body)
    answer = wire.request("POST", "/upload", {"Content-Type": form.content_type}, form, expect=True)
    if answer.good and body.len:
        raise PushError(
            Exit.SERVER,
            f"{manner.settings.base} answered {answer.status} before it had the whole file: "
            "check that this is an upload server.",
        )
    return answer


# ---- verification --------------------------------------------------------------------------------


def verified(
    answer: Answer, job: Job, size: int, digest: str, settings: Settings, *, start: float
) -> Receipt:
    """Compare what the server says it stored with what was sent."""
    uploads = answer.document.get("uploads")
    upload = uploads[0] if isinstance(uploads, list) and len(uploads) == 1 else None
    try:
        name, stored, theirs, url = (upload[key] for key in ("name", "size", "sha256", "url"))  # type: ignore[index]
    except (TypeError, KeyError):
        raise PushError(
            Exit.SERVER,
            f"{settings.url} answered {answer.status} without the receipt of one upload: check "
            "that this is an upload server of this version.",
        ) from None
    where = one_line(str(url))
    if stored != size:
        raise PushError(
            Exit.VERIFICATION,
            f"The server stored {one_line(str(stored))} bytes where {size} were sent: "
            f"delete {where} and run again.",
        )
    if str(theirs).lower() != digest:
        raise PushError(
            Exit.VERIFICATION,
            f"The server's SHA-256 is {one_line(str(theirs))} where {digest} was sent: "
            f"delete {where} and run again.",
        )
    return Receipt(
        job.argument,
        answer.status,
        answer.detail or answer.phrase,
        one_line(str(name)),
        size,
        digest,
        where,
        time.monotonic() - start,
    )


# ---- many files ----------------------------------------------------------------------------------


def jobs_of(arguments: Sequence[str], name: str | None) -> list[Job]:
    """Find what the arguments name: files, directories with all below them, patterns, `-`."""
    jobs: list[Job] = []
    for argument in arguments:
        if argument == "-":
            jobs.append(Job(argument, None, {"filename": name or StreamInput.name}))
        else:
            for found in matches(argument):
                jobs += jobs_below(found)
    once = {job.path.absolute() if job.path else None: job for job in reversed(jobs)}
    return list(reversed(list(once.values())))


def matches(argument: str) -> list[str]:
    """Expand a pattern that no shell has expanded."""
    if Path(argument).exists() or not any(sign in argument for sign in "*?["):
        return [argument]
    found = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207 - absolute ones, too
    if not found:
        raise local(f"Nothing matches {one_line(argument)}: check the pattern.")
    return found


def jobs_below(argument: str) -> list[Job]:
    """Return a file, or all regular files below a directory."""
    top = Path(argument)
    if not top.is_dir():
        return [Job(argument, top, {"filename": utf8(top.name)})]
    jobs = []
    for directory, below, names in os.walk(top):
        below.sort()
        for name in sorted(names):
            path = Path(directory, name)
            if path.is_file():
                relative = utf8(path.relative_to(top.parent).as_posix())
                jobs.append(
                    Job(str(path), path, {"filename": utf8(name), "relativePath": relative})
                )
    if not jobs:
        raise local(f"{one_line(argument)} is a directory without files.")
    return jobs


def total_of(jobs: Sequence[Job]) -> int | None:
    """Return the bytes of all files, None when there is something without size."""
    total = 0
    for job in jobs:
        if job.path is None:
            return None
        with suppress(OSError):
            total += job.path.stat().st_size
    return total


def send_all(
    manner: Manner,
    jobs: Sequence[Job],
    *,
    tus: bool,
    done: Callable[[Job, Receipt | PushError], None],
) -> None:
    """Send files, as many at once as there may be connections; `done` hears of each."""
    at_once = min(manner.connections, len(jobs))
    turns = Turns(len(jobs))
    lock = threading.Lock()

    def one(number: int) -> None:
        outcome: Receipt | PushError
        try:
            outcome = send(manner, jobs[number], manner.connections // at_once, tus=tus)
        except PushError as error:
            outcome = error
            if error.code in HOPELESS:
                turns.stop()
        with lock:
            done(jobs[number], outcome)

    def work() -> None:
        for number in iter(turns.take, None):
            one(number)

    if len(jobs) == 1:
        # In the main thread, so that Ctrl-C lets it save what it knows.
        work()
    else:
        side_by_side([work] * at_once, turns.stop)


# ---- other verbs ---------------------------------------------------------------------------------


def ask(
    settings: Settings,
    method: str,
    path: str,
    *,
    what: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Answer:
    """Send one small request, with a few tries. PushError: it was not done."""

    def once() -> Answer:
        answer = wire.request(method, path, headers, body)
        if not answer.good:
            raise refused(answer, settings, what)
        return answer

    with closing(Wire(settings)) as wire:
        return Patience(ASK_SECONDS, nothing).until(once)


def refused(answer: Answer, settings: Settings, what: str) -> PushError:
    """Explain an answer to something else than an upload."""
    if answer.document.get("type") == "urn:upload:password":
        return PushError(
            Exit.AUTH, "The user name or the password is wrong: run it again.", status=answer.status
        )
    if answer.status == http.HTTPStatus.UNAUTHORIZED:
        return refusal(answer, settings, StreamInput())
    kinds = {403: Exit.AUTH, 429: Exit.NETWORK}
    failed = Exit.SERVER if answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else Exit.REFUSED
    said = f"(status {answer.status} {answer.phrase}){answer.aside}"
    return PushError(
        kinds.get(answer.status, failed),
        f"{settings.base} did not {what} {said}: check what you asked for, and run again.",
        again=answer.status in BUSY,
        after=retry_after(answer),
        status=answer.status,
    )


def stored_uploads(settings: Settings, **chosen: str) -> Iterator[dict[str, Any]]:
    """Go through the finished files of the token's account, newest first."""
    path: str | None = f"/uploads/?{urlencode(chosen)}" if chosen else "/uploads/"
    while path:
        page = ask(settings, "GET", path, what="list uploads").document
        uploads = page.get("uploads")
        if not isinstance(uploads, list):
            raise PushError(
                Exit.SERVER,
                f"{settings.base} has no list for programs: check that it is an upload server of "
                "this version.",
            )
        yield from uploads
        path = page.get("next")


def find_upload(settings: Settings, wanted: str) -> dict[str, Any]:
    """Find the one upload that a name, an id or an address means."""
    found = re.search(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", wanted)
    if found:
        what = f"find the upload {found[0]}"
        return ask(settings, "GET", f"/uploads/{found[0]}", what=what).document
    named = list(stored_uploads(settings, name=wanted))
    if len(named) != 1:
        count = f"{len(named)} files are" if named else "no file is"
        ids = "".join(f" {one_line(str(upload.get('id')))}" for upload in named[:9])
        raise PushError(
            Exit.REFUSED,
            f"On {settings.base} {count} called {one_line(wanted)}: see `{PROGRAM} ls`"
            + (f", and give an id:{ids}." if named else "."),
        )
    return named[0]


def run_ls(options: argparse.Namespace) -> Exit:
    """List what is stored."""
    settings = load_settings(options)
    chosen = {"name": options.name} if options.name else {}
    for upload in stored_uploads(settings, **chosen):
        if is_set(options, "json"):
            print(json.dumps(upload))
        else:
            size, sha256 = human(int(upload["size"])), str(upload["sha256"])[:12]
            time_ = one_line(str(upload.get("created", "")))[:16].replace("T", " ")
            print(f"{upload['id']}  {time_:16}  {size:>10}  {sha256}  {one_line(upload['name'])}")
    return Exit.DONE


def run_rm(options: argparse.Namespace) -> Exit:
    """Delete stored files."""
    settings = load_settings(options)
    for wanted in options.upload:
        upload = find_upload(settings, wanted)
        ask(
            settings,
            "DELETE",
            FILES + str(upload["id"]),
            what=f"delete {one_line(wanted)}",
            headers={"Tus-Resumable": TUS_VERSION},
        )
        if is_set(options, "json"):
            print(json.dumps({"deleted": upload["id"], "name": upload["name"]}))
        elif not is_set(options, "quiet"):
            print(f"Deleted: {upload['id']} {one_line(upload['name'])}")
    return Exit.DONE


def run_verify(options: argparse.Namespace) -> Exit:
    """Check that files which are there are what the server has, without sending anything."""
    settings = load_settings(options)
    jobs = jobs_of(options.file, None)
    require_readable(jobs)
    progress = Progress(total_of(jobs), quiet=is_set(options, "quiet"))
    outcomes = Outcomes(options, progress, len(jobs))
    for job in jobs:
        try:
            outcomes.add(job, verify(settings, job, progress))
        except PushError as error:  # noqa: PERF203 - one bad file does not end it
            outcomes.add(job, error)
    outcomes.write_checksums()
    return outcomes.code


def verify(settings: Settings, job: Job, progress: Progress) -> Receipt:
    """Compare a file with what is stored under its name, or else anywhere."""
    if job.path is None:
        raise usage("Standard input cannot be verified: name a file.")
    start = time.monotonic()
    with LocalFile(job.path) as file:
        digest = digest_of(file, progress)
        same = next(stored_uploads(settings, sha256=digest), None)
        if same:
            document = {"detail": "Upload Verified", "uploads": [same]}
            answer = Answer(http.HTTPStatus.OK, "OK", {}, json.dumps(document).encode())
            return verified(answer, job, file.size, digest, settings, start=start)
        other = next(stored_uploads(settings, name=job.names["filename"]), None)
    has = f"has {one_line(str(other['sha256']))} under that name" if other else "has no such file"
    raise PushError(
        Exit.VERIFICATION,
        f"{file.shown} has the SHA-256 {digest} and {settings.base} {has}: send it again.",
    )


def digest_of(file: LocalFile, progress: Progress) -> str:
    """Read a file and return its SHA-256."""
    digest = hashlib.sha256()
    done = 0
    while done < file.size:
        block = file.read_at(done, BLOCK)
        digest.update(block)
        done += len(block)
        progress.update(done, file.path)
    return digest.hexdigest()


# ---- downloads -----------------------------------------------------------------------------------


class Download:
    """One stored file on its way here, into NAME.part until its SHA-256 is right."""

    def __init__(self, manner: Manner, upload: Mapping[str, Any], target: Path) -> None:
        """Take what is stored, and where it goes."""
        self._manner = manner
        self._upload = upload
        self._target = target
        self._part = target.with_name(f"{target.name}.{str(upload['id'])[:8]}.part")
        self._digest = hashlib.sha256()
        self._done = 0

    def run(self) -> None:
        """Fetch what is missing, check the whole, and give it its name."""
        size, sha256 = int(self._upload["size"]), str(self._upload["sha256"])
        try:
            with self._part.open("a+b") as file, closing(Wire(self._manner.settings)) as wire:
                self._read_again(file, size)
                patience = self._manner.patience()
                while self._done < size:
                    before = self._done
                    try:
                        self._fetch(wire, file, size)
                    except PushError as error:
                        wire.close()
                        if self._done > before:
                            patience.progressed()
                        patience.failed(error)
                file.flush()
                os.fsync(file.fileno())
            if self._digest.hexdigest() != sha256:
                self._part.unlink()
                raise PushError(
                    Exit.VERIFICATION,
                    f"What came of {one_line(str(self._upload['name']))} has another SHA-256 than "
                    f"{sha256}, and was removed: run again.",
                )
            self._part.replace(self._target)
        except OSError as error:
            raise local(
                f"{self._target} cannot be written: {reason(error)}; check its path and the space."
            ) from None

    def _read_again(self, file: IO[bytes], size: int) -> None:
        """Hash what an earlier run brought."""
        file.seek(0)
        for block in iter(lambda: file.read(BLOCK), b""):
            self._digest.update(block)
            self._done += len(block)
        if self._done > size:
            file.truncate(0)
            self._digest, self._done = hashlib.sha256(), 0

    def _fetch(self, wire: Wire, file: IO[bytes], size: int) -> None:
        settings = self._manner.settings
        path = f"/uploads/{self._upload['id']}/download"
        headers = {"Range": f"bytes={self._done}-", "Accept": "*/*"}
        with wire.open("GET", path, headers, seconds=STALL_SECONDS) as response:
            answer = answer_of(response)
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                raise refused(answer, settings, "send the rest of the file")
            try:
                while self._done < size:
                    block = response.raw.read(min(BLOCK, self._manner.rate.block))
                    if not block:
                        raise PushError(
                            Exit.NETWORK,
                            f"{settings.base} closed the connection in the middle of the file: "
                            "run again to go on.",
                            again=True,
                        )
                    self._manner.rate.wait(len(block))
                    file.write(block)
                    self._digest.update(block)
                    self._done += len(block)
                    self._manner.progress.update(self._done)
            except urllib3.exceptions.HTTPError as error:
                trouble = connection_trouble(error, settings, sent=False)
                trouble.again = True
                raise trouble from None


def run_get(options: argparse.Namespace) -> Exit:
    """Fetch a stored file, and check it."""
    settings = load_settings(options)
    upload = find_upload(settings, options.upload)
    target = Path(options.output or safe_name(str(upload["name"])))
    if target.is_dir():
        target /= safe_name(str(upload["name"]))
    if target.exists() and not options.force:
        raise local(f"{target} exists: remove it, or give another name with --output, or --force.")
    manner = manner_of(options, settings, int(upload.get("size", 0)))
    start = time.monotonic()
    try:
        Download(manner, upload, target).run()
    finally:
        manner.progress.end()
    seconds = time.monotonic() - start
    size, sha256 = int(upload["size"]), str(upload["sha256"])
    receipt = Receipt(
        str(target), 200, "Download Complete", str(target), size, sha256, upload["url"], seconds
    )
    if is_set(options, "json"):
        print(json.dumps(receipt.document()))
    elif not is_set(options, "quiet"):
        print(receipt)
    return Exit.DONE


def safe_name(name: str) -> str:
    """Return the last part of a name that the server says: it must not choose the directory."""
    last = re.split(r"[/\\]", name)[-1]
    if last in {"", ".", ".."} or not last.isprintable():
        raise usage(f"The file is called {one_line(name)}: give it a name with --output.")
    return last


# ---- signing in ----------------------------------------------------------------------------------


def run_login(options: argparse.Namespace) -> Exit:
    """Get a token for a password or from the browser, and keep it for this host."""
    settings = load_settings(options)
    if settings.schema == "http" and settings.host not in LOOPBACK:
        raise usage("Passwords and tokens are not sent over plain http: use --schema https.")
    if options.browser:
        token, name = pasted_token(settings), ""
    else:
        name = options.user or input_line(f"User name on {settings.host}: ")
        token = token_for_password(settings, name)
    where = keep_token(settings, token, name)
    who = f" as {one_line(name)}" if name else ""
    print(f"Signed in to {settings.base}{who}; the token is in {where}.")
    return Exit.DONE


def token_for_password(settings: Settings, username: str) -> Token:
    """Ask for the password once, and have the server make a token for it."""
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    # Two machines of one name, or two runs in a second, are two tokens.
    name = f"{PROGRAM} on {socket.gethostname()[:40]} {now} {secrets.token_hex(2)}"
    password = read_secret(f"Password on {settings.host}: ")
    said = {"username": username, "password": password, "name": name}
    answer = ask(
        replace(settings, token=None),
        "POST",
        TOKENS,
        what="give a token",
        headers={"Content-Type": "application/json"},
        body=json.dumps(said).encode(),
    )
    return checked_token(str(answer.document.get("token", "")), settings.base)


def pasted_token(settings: Settings) -> Token:
    """Have a token made in the browser and pasted here, and see that the server takes it."""
    address = settings.base + ACCOUNT
    shown = f"Your browser shows {address}" if open_browser(address) else f"Open {address}"
    print(f"{shown}: make a token there, and paste it here.", file=sys.stderr)
    token = checked_token(read_secret(f"Token for {settings.host}: "), "what was pasted")
    try:
        ask(replace(settings, token=token), "GET", "/uploads/", what="list uploads")
    except PushError as error:
        # One that may upload and not list is a good one, too.
        if error.status != http.HTTPStatus.FORBIDDEN:
            raise
    return token


def open_browser(address: str) -> bool:
    """Show a page where there is a screen: a text browser would take the terminal away."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    screen = sys.platform in {"win32", "darwin"} or any(os.environ.get(name) for name in screens)
    return screen and webbrowser.open(address)


def run_logout(options: argparse.Namespace) -> Exit:
    """Withdraw the kept token, and forget it."""
    settings = load_settings(options)
    token = kept_token(settings.host, settings.port)
    if token is None:
        raise PushError(Exit.AUTH, f"There is no token for {settings.base}: nothing to sign out.")
    try:
        ask(replace(settings, token=token), "DELETE", TOKENS, what="withdraw the token")
    except PushError as error:
        # One that the server does not know any more is as good as withdrawn.
        if error.status != http.HTTPStatus.UNAUTHORIZED:
            raise
    forget_token(settings)
    print(f"Signed out of {settings.base}.")
    return Exit.DONE


def input_line(prompt: str) -> str:
    """Ask on the terminal."""
    print(prompt, end="", file=sys.stderr, flush=True)
    line = sys.stdin.readline().strip()
    if not line:
        raise usage("No user name was given: use --user NAME.")
    return line


def read_secret(prompt: str) -> str:
    """Ask for a secret without showing it; a script gives it on stdin."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt, stream=sys.stderr)
    return sys.stdin.readline().rstrip("\n")


def service_of(host: str, port: int) -> str:
    """Return what a kept token is called."""
    return f"{PROGRAM} {host}:{port}"


def token_path(host: str, port: int) -> Path:
    """Return where a token is kept without a keyring."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    name = re.sub(r"[^\w.-]", "_", f"{host}_{port}")
    return Path(home).expanduser() / "push" / "tokens" / name


def keyring_of() -> Any:
    """Return the keyring module when it is there and has a store of its own; None else."""
    if importlib.util.find_spec("keyring") is None:
        return None
    try:
        keyring: Any = importlib.import_module("keyring")
        return keyring if keyring.get_keyring().priority >= 1 else None
    except Exception:  # noqa: BLE001 - what is broken is not used
        return None


def keep_token(settings: Settings, token: Token, username: str) -> str:
    """Store a token, in the keyring or in a file, and say where it is."""
    keyring = keyring_of()
    if keyring:
        keyring.set_password(service_of(*settings.address), "token", token.secret)
        return "the keyring" + (f", for {one_line(username)}" if username else "")
    path = token_path(*settings.address)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
            file.write(token.secret + "\n")
        new.replace(path)
    except OSError as error:
        raise local(f"The token cannot be kept in {path}: {reason(error)}.") from None
    return str(path)


def kept_token(host: str, port: int) -> Token | None:
    """Return the token that `login` kept for this host."""
    path = token_path(host, port)
    if path.exists():
        return token_from_file(path)
    keyring = keyring_of()
    secret = keyring.get_password(service_of(host, port), "token") if keyring else None
    return checked_token(secret, "the keyring") if secret else None


def netrc_token(host: str) -> Token | None:
    """Return the password that ~/.netrc ($NETRC) has for this host, which is a token."""
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    if not path.exists():
        return None
    try:
        found = netrc.netrc(path).hosts.get(host)
    except (OSError, netrc.NetrcParseError):
        raise usage(f"{path} cannot be read as a netrc file: mend it.") from None
    if not found or not found[2].startswith(TOKEN_PREFIX):
        return None
    _, shared = read_small(path, "The netrc file")
    if shared:
        raise shared_token(path)
    return checked_token(found[2], str(path))


def forget_token(settings: Settings) -> None:
    """Remove a kept token."""
    token_path(*settings.address).unlink(missing_ok=True)
    keyring = keyring_of()
    if keyring:
        with suppress(Exception):
            keyring.delete_password(service_of(*settings.address), "token")


# ---- doctor --------------------------------------------------------------------------------------


TUS_HEADERS = {
    "Tus-Resumable": TUS_VERSION,
    "Content-Type": TUS_TYPE,
    "Upload-Length": "1000000000000",
}
FORM_HEADERS = {"Content-Type": "multipart/form-data; boundary=push-doctor"}


@dataclass(frozen=True)
class Finding:
    """What one check found, and what would mend it."""

    state: str
    """ok, warn, fail or skipped."""
    text: str
    remedy: str = ""
    code: Exit = Exit.REFUSED


class CutShortError(Exception):
    """The doctor stops in the middle of a body, as a bad network does."""


class Sample:
    """The doctor's body: one MiB over and over, slow and cut where that is wanted."""

    def __init__(
        self, size: int, *, begin: int = 0, cut: int | None = None, seconds: float = 0
    ) -> None:
        """Take where in the sample it begins, and how long it is to take."""
        self.size = self.len = size
        self._begin = begin
        self._cut = cut
        self._pause = seconds / max(1, size // SAMPLE_PIECE)
        self._piece = SAMPLE_PIECE if seconds else BLOCK

    def read(self, size: int) -> bytes:
        """Read the next block."""
        done = self.size - self.len
        if self._cut is not None and done >= self._cut:
            raise CutShortError
        time.sleep(self._pause)
        at = (self._begin + done) % BLOCK
        block = sample_block()[at : at + min(size, self.len, self._piece)]
        self.len -= len(block)
        return block


@lru_cache(maxsize=1)
def sample_block() -> bytes:
    """Return a MiB that nothing on the way can compress."""
    return os.urandom(BLOCK)


@dataclass(frozen=True)
class Flaw:
    """What keeps a server's TLS from an A: the grade that is left, and the way to a better one."""

    grade: str
    text: str
    remedy: str


@dataclass(frozen=True)
class Tls:
    """What the TLS of a server looks like, beside that its certificate is trusted."""

    takes: Mapping[str, bool | None]
    """Whether it takes a version of TLS, by its number; None: it could not be tried from here."""
    key: str
    bits: int
    days: int
    """How long the certificate is good for."""
    hsts: bool

    @property
    def text(self) -> str:
        """What it has, in one line."""
        versions = ", ".join(version for version, taken in self.takes.items() if taken)
        bits = f" of {self.bits} bits" if self.bits else ""
        return (
            f"TLS {versions}, {self.key} key{bits}, the chain is trusted, the certificate is good "
            f"for {self.days} days"
        )

    def flaws(self) -> list[Flaw]:
        """Return all flaws; the worst of them is the grade, as an untrusted certificate is F."""
        known = [
            (self.bits < KEY_LEAST.get(self.key, 0), Flaw(
                "E", "the key is weak", "make a new key: RSA of 2048 bits, or EC of 256")),
            (self.takes["1.0"], Flaw("D", "TLS 1.0 is taken", "turn TLS 1.0 off")),
            (self.takes["1.1"], Flaw("C", "TLS 1.1 is taken", "turn TLS 1.1 off")),
            (self.days < CERTIFICATE_DAYS, Flaw(
                "C", "the certificate ends soon", "renew it, and see why that is not automatic")),
            (self.takes["1.3"] is False, Flaw(
                "B", "TLS 1.3 is not taken", "turn TLS 1.3 on")),
            (not self.hsts, Flaw(
                "B", "no HSTS", "send Strict-Transport-Security, for browsers to insist on https")),
        ]  # fmt: skip
        return [flaw for is_so, flaw in known if is_so]


TLS_VERSIONS = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}


def look_at_tls(settings: Settings, *, hsts: bool) -> Tls:
    """Look at a server's certificate, and try each version of TLS. OSError: there is no way."""
    trusted = authorities(settings)
    context = ssl.create_default_context(cafile=trusted if isinstance(trusted, str) else None)
    with shaken_hands(settings, context) as sock:
        certificate = sock.getpeercert() or {}
        key, bits = key_of(sock.getpeercert(binary_form=True) or b"")
    end = ssl.cert_time_to_seconds(str(certificate.get("notAfter")))
    takes = {name: takes_tls(settings, version) for name, version in TLS_VERSIONS.items()}
    return Tls(takes, key, bits, int((end - time.time()) / 86400), hsts)


@contextmanager
def shaken_hands(settings: Settings, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """Connect with TLS, and with no proxy in between."""
    raw = socket.create_connection(settings.address, CONNECT_SECONDS)
    with raw, context.wrap_socket(raw, server_hostname=settings.host) as sock:
        yield sock


def takes_tls(settings: Settings, version: ssl.TLSVersion) -> bool | None:
    """Tell whether a server takes a version of TLS; None: the libraries here do not."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Nothing is sent over it, and who the server is was looked at before.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old versions are what is looked for
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = version
            context.maximum_version = version
    except (ValueError, ssl.SSLError):
        return None
    try:
        with shaken_hands(settings, context):
            return True
    except OSError as error:
        return None if getattr(error, "reason", "") == "NO_PROTOCOLS_AVAILABLE" else False


OID_RSA = bytes.fromhex("2a864886f70d010101")
OID_EC = bytes.fromhex("2a8648ce3d0201")


def key_of(certificate: bytes) -> tuple[str, int]:
    """Return the kind of the public key in a certificate (X.509, in DER), and its bits."""
    body = next(der_values(next(der_values(certificate))[1]))[1]
    # The version in front is optional; then come serial, algorithm, issuer, validity, subject.
    values = [value for tag, value in der_values(body) if tag != 0xA0]  # noqa: PLR2004 - DER's
    (_, algorithm), (_, key) = der_values(values[5])
    kind = next(der_values(algorithm))[1]
    key = key[1:]  # how many bits of the last byte are unused stands in front
    if kind == OID_RSA:
        modulus = next(der_values(next(der_values(key))[1]))[1]
        return "RSA", int.from_bytes(modulus, "big").bit_length()
    if kind == OID_EC:
        # A point: what kind it is, and two numbers. 521 bits take 66 bytes.
        bits = (len(key) - 1) // 2 * 8
        return "EC", min(bits, 521)
    return "a modern", 0


def der_values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Go through the values of DER that stand side by side: the tag and the content of each."""
    while data:
        tag, size, begin = data[0], data[1], 2
        if size & 0x80:
            begin += size & 0x7F
            size = int.from_bytes(data[2:begin], "big")
        yield tag, data[begin : begin + size]
        data = data[begin + size :]


@dataclass(frozen=True)
class Refuser:
    """Who answers 413 to a body: the server, which says its limit, or something on the way."""

    name: str
    limit: int | None
    marks: tuple[str, ...] = ()
    """What else tells hops of one name apart."""


def ceilings(
    refuser: Callable[[int], Refuser | None], least: int, most: int
) -> list[tuple[int, Refuser]]:
    """Find from which size on somebody else refuses bodies, as exactly as people are told.

    Of two hops the outer one is seen only where it takes more than the inner one.
    """
    who = refuser(most)
    if who is None or who == refuser(least):
        return []
    if who.limit is not None:
        return [(who.limit, who)]
    if human(least) == human(most):
        return [(least, who)]
    middle = (least + most) // 2
    return ceilings(refuser, least, middle) + ceilings(refuser, middle, most)


class Doctor:
    """Tests a deployed server from the outside, one question after the other."""

    def __init__(self, settings: Settings, trickle: float) -> None:
        """Take where, as whom, and how long the slow upload lasts."""
        self._settings = settings
        self._nobody = replace(settings, token=None)
        self._trickle = trickle
        self._made: list[str] = []
        self._offset = 0
        self._most = SAMPLE_BYTES

    def run(self, heard: Callable[[str, Finding], None]) -> None:
        """Do all checks; after one that is the ground of others fails, these are skipped."""
        ground = True
        for name, check in self._checks():
            if not ground and check != self._clean_up:
                heard(name, Finding("skipped", "needs what failed above"))
                continue
            finding = self._guarded(check)
            heard(name, finding)
            if finding.state == "fail" and check in {self._dns, self._connection, self._sign_in}:
                ground = False

    def _checks(self) -> list[tuple[str, Callable[[], Finding]]]:
        return [
            ("name", self._dns),
            ("connection", self._connection),
            ("auth before body", self._refusal),
            ("size of a form", lambda: self._ceiling("/upload")),
            ("size of an append", lambda: self._ceiling(FILES)),
            ("token", self._sign_in),
            ("streaming", self._streaming),
            ("slow upload", self._slow),
            ("resume and hash", self._resume),
            ("HTTP/2", self._http2),
            ("clean-up", self._clean_up),
        ]

    def _guarded(self, check: Callable[[], Finding]) -> Finding:
        try:
            return check()
        except PushError as error:
            return Finding("fail", str(error), code=error.code)
        except GoneError:
            return Finding(
                "fail",
                "the upload is not there any more",
                "see that all requests reach one server, and look at its log",
                Exit.SERVER,
            )

    def _dns(self) -> Finding:
        host = self._settings.host
        try:
            found = socket.getaddrinfo(host, self._settings.port, type=socket.SOCK_STREAM)
        except OSError as error:
            remedy = "check the spelling, and the zone of the name"
            return Finding("fail", f"{host}: {reason(error)}", remedy, Exit.NETWORK)
        return Finding("ok", f"{host} is {', '.join(sorted({str(a[4][0]) for a in found}))}")

    def _connection(self) -> Finding:
        secure = self._settings.schema == "https"
        with closing(Wire(self._settings)) as wire:
            try:
                answer = wire.request("OPTIONS", FILES)
            except UntrustedError as error:
                return Finding("fail", f"TLS grade F: {error}", code=error.code)
        if secure:
            return self._tls(hsts="Strict-Transport-Security" in answer.headers)
        state = "ok" if self._settings.host in LOOPBACK else "warn"
        return Finding(state, "plain http, so tokens can be read on the way", "use https")

    def _tls(self, *, hsts: bool) -> Finding:
        """Grade the TLS of a server whose certificate is trusted."""
        try:
            looked = look_at_tls(self._settings, hsts=hsts)
        except OSError as error:
            return Finding("skipped", f"no direct connection ({one_line(str(error), 60)})")
        flaws = looked.flaws()
        grade = max((flaw.grade for flaw in flaws), default="A")
        why = "; ".join(flaw.text for flaw in flaws)
        text = f"TLS grade {grade}: {f'{why}; ' if why else ''}{looked.text}"
        remedy = "; ".join(flaw.remedy for flaw in flaws)
        return Finding("ok" if grade == "A" else "warn", text, remedy)

    def _refusal(self) -> Finding:
        """Announce a GB without a token: the refusal must come at once."""
        worst = 0
        for path in ("/upload", FILES):
            answer, sent = self._announce(path, 10**9)
            if answer is None:
                return Finding(
                    "fail",
                    f"{human(sent)} of 1 GB went to {path} and nobody refused them",
                    "let the proxy ask the server before it takes the body (no request buffering)",
                    Exit.SERVER,
                )
            if answer.status == http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                return Finding("skipped", "a hop refuses 1 GB by its size, see below")
            if answer.status not in {401, 403}:
                return Finding(
                    "fail",
                    f"{path} answers {answer.status} to somebody without a token",
                    "see that upload_authorize is set there, and that nothing else answers",
                    Exit.SERVER,
                )
            worst = max(worst, sent)
        return Finding("ok", f"1 GB without a token is refused after {human(worst)}")

    def _ceiling(self, path: str) -> Finding:
        """Announce larger and larger bodies without a token: a hop says 413, the server 401."""
        refuser = lru_cache(maxsize=None)(lambda size: self._refuser(path, size))
        try:
            found = [
                each for sizes in zip(CEILINGS, CEILINGS[1:]) for each in ceilings(refuser, *sizes)
            ]
        except CutShortError:
            return Finding("skipped", "a hop takes bodies before anybody is asked")
        with closing(Wire(self._nobody)) as wire:
            said = wire.request("OPTIONS", FILES).header("Tus-Max-Size")
        limit = next((who.limit for _, who in found if who.limit is not None), said)
        low = [(size, who.name) for size, who in found if limit is None or size < limit]
        if not low and limit is None:
            return Finding("ok", f"no hop refuses a request of {human(CEILINGS[-1])}")
        own = "" if limit is None else f"the server takes {human(limit)} at most"
        if not low:
            return Finding("ok", f"{own}, and no hop less")
        self._most = max(1, min(self._most, *(size for size, _ in low)))
        hops = ", ".join(f"of more than {human(size)} by {name}" for size, name in low)
        return Finding(
            "warn",
            f"requests are refused: {hops}{own and '; '}{own}",
            "raise the body limit there (client_max_body_size); by tus "
            f"{PROGRAM} sends smaller requests meanwhile",
        )

    def _refuser(self, path: str, size: int) -> Refuser | None:
        """Tell who refuses a body for its size; None: nobody. CutShortError: nobody is asked."""
        if not size:
            return None
        answer, _ = self._announce(path, size)
        if answer is None:
            raise CutShortError
        limit = answer.number("max_size")
        if limit is not None:
            return Refuser("the server", limit)
        if answer.status != http.HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return None
        name = one_line(answer.headers.get("Server", "a hop without a name"), 60)
        # A page may have an identifier of the request; these have none.
        marks = [answer.headers.get(header, "") for header in ("Via", "Content-Type")]
        return Refuser(name, None, tuple(marks))

    def _announce(self, path: str, size: int) -> tuple[Answer | None, int]:
        """Begin a request without a token; return the answer, if one comes early, and the bytes."""
        headers = FORM_HEADERS if path == "/upload" else TUS_HEADERS
        body = Sample(size, cut=min(ANNOUNCE_MOST, size - 1))
        with closing(Wire(self._nobody)) as wire:
            try:
                answer = wire.request("POST", path, headers, body, expect=True)
            except CutShortError:
                return None, body.size - body.len
        return answer, body.size - body.len

    def _sign_in(self) -> Finding:
        with closing(Wire(self._settings)) as wire:
            if not speaks_tus(wire):
                return Finding(
                    "fail", "tus is not offered at /files/", "upgrade the server", Exit.SERVER
                )
            path = Tus(wire, self._settings, StreamInput()).create(SAMPLE_BYTES, SAMPLE_NAME)
        self._made.append(path)
        return Finding("ok", "the token may upload")

    def _streaming(self) -> Finding:
        """Send 25 MB, or half of what a hop takes, cut, and ask how much is there."""
        cut = self._most // 2
        body = Sample(self._most, cut=cut)
        with closing(Wire(self._settings)) as wire, suppress(CutShortError):
            Tus(wire, self._settings, StreamInput()).patch(self._made[0], 0, body)
        self._ask_offset()
        text = f"{human(self._offset)} of {human(cut)} were there after a cut"
        if self._offset < cut // 2:
            return Finding(
                "warn",
                f"{text}: a hop buffers bodies",
                "turn request buffering off there (proxy_request_buffering off)",
            )
        return Finding("ok", text)

    def _slow(self) -> Finding:
        """Send a little for longer than the 60 s after which many proxies cut."""
        if not self._trickle:
            return Finding("skipped", "not asked for (--trickle 0)")
        body = Sample(min(SAMPLE_SLOW, self._most), begin=self._offset, seconds=self._trickle)
        try:
            self._append(body)
        except PushError as error:
            self._ask_offset()
            return Finding(
                "warn",
                f"a request was cut within {self._trickle:g} s: {error}",
                f"raise the hop's timeout for request bodies; {PROGRAM} sends shorter requests "
                "meanwhile",
            )
        return Finding("ok", f"a request of {self._trickle:g} s went through")

    def _resume(self) -> Finding:
        """Send the rest, and compare the digests."""
        while self._offset < SAMPLE_BYTES:
            size = min(SAMPLE_BYTES - self._offset, self._most)
            self._append(Sample(size, begin=self._offset))
        with closing(Wire(self._settings)) as wire:
            theirs = Tus(wire, self._settings, StreamInput()).describe(self._made[0]).get("sha256")
        ours = hashlib.sha256(sample_block() * (SAMPLE_BYTES // BLOCK)).hexdigest()
        if theirs != ours:
            remedy = "do not use this server until that is explained: look at its log and its disk"
            return Finding("fail", "the SHA-256 is another one", remedy, Exit.VERIFICATION)
        return Finding("ok", f"{human(SAMPLE_BYTES)} in pieces have the right SHA-256")

    def _http2(self) -> Finding:
        if self._settings.schema == "http":
            return Finding("skipped", "needs https")
        curl = shutil.which("curl")
        if not curl or "HTTP2" not in output_of([curl, "--version"]):
            return Finding("skipped", "needs a curl with HTTP/2")
        first, second = self._curl(curl, "--http1.1"), self._curl(curl, "--http2")
        if not first or not second:
            return Finding("warn", "curl did not get through", "try it by hand: docs/protocols.md")
        text = f"HTTP/1.1 {human(int(first))}/s, HTTP/2 {human(int(second))}/s"
        if second < first * HTTP2_LEAST:
            return Finding(
                "warn", text, "raise http2_body_preread_size and client_body_buffer_size"
            )
        return Finding("ok", text)

    def _curl(self, curl: str, version: str) -> float:
        """Send a file with curl, and return the bytes a second; 0: it failed."""
        settings = self._settings
        with tempfile.NamedTemporaryFile() as file:
            for _ in range(SAMPLE_BYTES // BLOCK):
                file.write(sample_block())
            file.flush()
            # The token goes in by stdin: the command line is there for all to read.
            config = (
                f'header = "Authorization: Bearer {settings.token.secret}"'
                if settings.token
                else ""
            )
            trusted = authorities(settings)
            said = output_of(
                [
                    *(curl, version, "--silent", "--fail", "--config", "-", "--upload-file"),
                    *(file.name, f"{settings.base}{FILES}push-doctor.tmp"),
                    *(("--cacert", trusted) if isinstance(trusted, str) else ()),
                    *("--write-out", "\n%{speed_upload} %header{location}"),
                ],
                config,
            )
        speed, _, location = said.rpartition("\n")[2].partition(" ")
        path = urlsplit(location.strip()).path
        if path:
            self._made.append(path)
        return float(speed) if path else 0.0

    def _clean_up(self) -> Finding:
        left = 0
        with closing(Wire(self._settings)) as wire:
            for path in self._made:
                answer = Tus(wire, self._settings, StreamInput()).delete(path)
                left += not answer.good
        if left:
            return Finding(
                "warn", f"{left} uploads could not be deleted", "delete them with the admin"
            )
        return Finding("ok", f"{len(self._made)} uploads deleted")

    def _append(self, body: Sample) -> None:
        with closing(Wire(self._settings)) as wire:
            tus = Tus(wire, self._settings, StreamInput())
            self._offset = tus.offset_after(tus.patch(self._made[0], self._offset, body))

    def _ask_offset(self) -> None:
        with closing(Wire(self._settings)) as wire:
            tus = Tus(wire, self._settings, StreamInput())
            self._offset = Patience(ASK_SECONDS, nothing).until(lambda: tus.offset(self._made[0]))


def output_of(command: Sequence[str], stdin: str = "") -> str:
    """Run a program and return what it prints; nothing when it fails."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=True, timeout=ANSWER_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def run_doctor(options: argparse.Namespace) -> Exit:
    """Test the server, and print the findings as they come."""
    settings = load_settings(options)
    trickle = checked_time(value_of(options, "trickle"), TRICKLE_SECONDS, "--trickle")
    as_json = is_set(options, "json")
    code = Exit.DONE
    checks: list[dict[str, str]] = []

    def heard(name: str, finding: Finding) -> None:
        nonlocal code
        checks.append(
            {"check": name, "state": finding.state, "found": finding.text, "remedy": finding.remedy}
        )
        if finding.state == "fail":
            code = code or finding.code
        if not as_json:
            print(table_rows(name, finding), flush=True)

    Doctor(settings, trickle).run(heard)
    if as_json:
        print(json.dumps({"server": settings.base, "exit_code": code, "checks": checks}))
    return code


def table_rows(name: str, finding: Finding) -> str:
    """Lay a finding out in 80 columns, its remedy below it."""
    rows = textwrap.wrap(one_line(finding.text), 51)
    if finding.remedy and finding.state in {"warn", "fail"}:
        rows += textwrap.wrap(f"-> {finding.remedy}", 51)
    first, *rest = rows
    return "\n".join([f"{finding.state:8} {name:18} {first}", *(" " * 28 + row for row in rest)])


# ---- command line -------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, and which never repeats a token."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the whole usage."""
        raise usage(f"{one_line(message)}; see {PROGRAM} --help.")


SENDING_HELP = """\
other verbs (each has a --help of its own; a file of that name is ./ls):
{2}

examples:
  {0} run.bam
  {0} --host files.example.org -j 4 run.bam
  {0} --host localhost --port 8443 --ca-file ca.pem results/ '*.bam'
  tar -c results | {0} --name results.tar -
  PUSH_TOKEN_FILE=~/.upload-token {0} --profile lab run.bam

interruptions:
  Whatever stops it (Ctrl-C, kill -9, a reboot, a network that is gone), the
  same command goes on where the server is. What was sent is read once more
  then (not sent): its SHA-256 shows that it is unchanged, and a file that
  changed is sent from its beginning. With -j a large file is always read
  twice, once to be sent and once, in order, for the SHA-256 of the whole.
  Uploads under way are remembered in ~/.local/state/push ($XDG_STATE_HOME,
  PUSH_STATE_DIR). Servers without tus get a form, which starts again.
  Standard input cannot be resumed by a later run.

settings:
  An option wins over its environment variable, that over push.conf, that over
  the default. A token is taken from PUSH_TOKEN, a token file, push.conf,
  ~/.netrc (as the password of the host) or what `{0} login` kept, and never
  from the command line, which other users of a machine can read. A token in
  push.conf goes to the host of its own section only.

  push.conf is the file that --config names, or push.conf beside {0}, or
  ~/.config/push/push.conf ($XDG_CONFIG_HOME). One section for each server:
    [default]
    host = files.example.org
    port = 443
    schema = https
    ca_file = ca.pem         (paths are relative to push.conf)
    token_file = token       (or: token = ...; either way chmod 600)

output:
  Progress and errors go to stderr, receipts to stdout.

exit codes (of several files: that of the first that failed):
{1}
"""


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line of sending, which needs no verb."""
    codes = "\n".join(f"  {code.value:<4} {code.meaning}" for code in Exit)
    verbs = "\n".join(f"  {name:<8} {verb.summary}" for name, verb in VERBS.items())
    parser = Parser(
        prog=PROGRAM,
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=79),
        description=(
            "Send files, of any size, to {schema}://{host}:{port} and verify the SHA-256 of\n"
            "what the server stored. Run it again to go on after an interruption."
        ),
        epilog=SENDING_HELP.format(PROGRAM, codes, verbs),
    )
    parser.add_argument(
        "file", nargs="+", help="a file, a directory with all below it, a pattern, or - for stdin"
    )
    add_server_options(parser)
    add_token_option(parser)
    add_sending_options(parser)
    add_output_options(parser)
    return parser


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which server."""
    add = parser.add_argument
    add("--host", help="server name or address; PUSH_HOST (default: localhost)")
    add("--port", help="server port; PUSH_PORT (default: 443, for http 80)")
    add("--schema", help="https or http; PUSH_SCHEMA (default: https)")
    add("--profile", metavar="NAME", help="section of push.conf; PUSH_PROFILE (default: default)")
    add("--config", metavar="FILE", help="configuration file; PUSH_CONFIG")
    add("--ca-file", metavar="FILE", help="PEM file with the authority to trust; PUSH_CA_FILE")


def add_token_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says as whom."""
    parser.add_argument(
        "--token-file", metavar="FILE", help="file that holds the token; PUSH_TOKEN_FILE"
    )


def add_sending_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how files are sent."""
    add = parser.add_argument
    add("-j", "--jobs", metavar="N", help="connections, for one large file or several files; "
        "PUSH_JOBS (default: 1)")  # fmt: skip
    add("--limit-rate", metavar="RATE", help="bytes a second at most, all connections together, "
        "like 50M; PUSH_LIMIT_RATE")  # fmt: skip
    add("--request-size", metavar="SIZE", help="bytes of one request at most; found out by itself "
        "when a proxy wants less; PUSH_REQUEST_SIZE")  # fmt: skip
    add("--retry-for", metavar="TIME", help="how long to try again without progress, like 90, 10m "
        "or 2h; PUSH_RETRY_FOR (default: 10m, and 15 s for the first answer)")  # fmt: skip
    add("--timeout", metavar="TIME", help="how long the server may take no bytes before the "
        "connection counts as broken; PUSH_TIMEOUT (default: 60)")  # fmt: skip
    add("--name", metavar="NAME", help="name of what comes from stdin; PUSH_NAME (default: stdin)")
    add("--verify", action="store_true", help="send nothing: check that the server has the files "
        "as they are here; PUSH_VERIFY=1")  # fmt: skip
    add("--form", action="store_true", help="send a form, which cannot be resumed; PUSH_FORM=1")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is printed."""
    add = parser.add_argument
    add("--json", action="store_true", help="one JSON object a file on stdout; PUSH_JSON=1")
    add("--checksum-file", metavar="FILE", help="write what was sent for `sha256sum -c FILE`; "
        "PUSH_CHECKSUM_FILE")  # fmt: skip
    add("--quiet", action="store_true", help="print nothing but errors; PUSH_QUIET=1")
    add("--man", action=Generate, nargs=0, help="print the manual page: push.py --man | man -l -")
    add("--completion", action=Generate, choices=("bash", "zsh"), help="print the completion of a "
        'shell: eval "$(push.py --completion bash)"')  # fmt: skip
    add("--version", action="version", version=f"{PROGRAM} {__version__}")


@dataclass(frozen=True)
class Verb:
    """What else than sending can be done."""

    run: Callable[[argparse.Namespace], Exit]
    summary: str
    add: Callable[[argparse.ArgumentParser], None]


def add_ls(parser: argparse.ArgumentParser) -> None:
    """Describe `ls`."""
    parser.add_argument("name", nargs="?", help="only files of this name")
    add_json(parser)


def add_rm(parser: argparse.ArgumentParser) -> None:
    """Describe `rm`."""
    parser.add_argument("upload", nargs="+", help="a name that is there once, an id, or an address")
    add_json(parser)
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_get(parser: argparse.ArgumentParser) -> None:
    """Describe `get`."""
    add = parser.add_argument
    add("upload", help="a name that is there once, an id, or an address")
    add("-o", "--output", metavar="PATH", help="file or directory (default: its name, here)")
    add("--force", action="store_true", help="replace a file that exists")
    add("--limit-rate", metavar="RATE", help="bytes a second at most, like 50M; PUSH_LIMIT_RATE")
    add("--retry-for", metavar="TIME", help="how long to try again without progress; "
        "PUSH_RETRY_FOR (default: 10m)")  # fmt: skip
    add_json(parser)
    add("--quiet", action="store_true", help="print nothing but errors; PUSH_QUIET=1")


def add_login(parser: argparse.ArgumentParser) -> None:
    """Describe `login`."""
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--user", metavar="NAME", help="user name (default: asked for)")
    ways.add_argument("--browser", action="store_true", help="have a token made in the browser, "
        "and paste it: no password is asked for")  # fmt: skip


def add_logout(_: argparse.ArgumentParser) -> None:
    """Describe `logout`, which has no options of its own."""


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Describe `doctor`."""
    parser.add_argument("--trickle", metavar="TIME", help="how long the slow upload lasts; "
        "PUSH_TRICKLE (default: 65, 0: none)")  # fmt: skip
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that has programs as readers."""
    parser.add_argument("--json", action="store_true", help="JSON on stdout; PUSH_JSON=1")


VERBS = {
    "ls": Verb(run_ls, "List the files that are stored.", add_ls),
    "get": Verb(run_get, "Fetch a stored file, resume that, and check its SHA-256.", add_get),
    "rm": Verb(run_rm, "Delete stored files.", add_rm),
    "login": Verb(run_login, "Get a token and keep it for this host.", add_login),
    "logout": Verb(run_logout, "Withdraw the token that login got.", add_logout),
    "doctor": Verb(run_doctor, "Test a deployed server from the outside.", add_doctor),
}


OWN_TOKEN = ("login", "logout")
"""The verbs about the token that is kept, which is the only one they look at."""


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Return every parser by its verb, the empty one for sending."""
    return {"": make_parser(), **{name: make_verb_parser(name) for name in VERBS}}


def options_of(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Return the options of a parser, without those that are not told."""
    actions = parser._actions  # noqa: SLF001 - argparse has no public list
    return [a for a in actions if a.option_strings and a.help != argparse.SUPPRESS]


def roff(text: str) -> str:
    """Write text so that nothing of it is a command of the manual's."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def man_page() -> str:
    """Write the manual page, from the parsers."""
    lines = [f'.TH PUSH.PY 1 "" "{PROGRAM} {__version__}" "User Commands"', ".SH NAME"]
    lines += [roff(f"{PROGRAM} - send files of any size, resume, and verify what arrived")]
    lines += [".SH SYNOPSIS"]
    for verb, parser in parsers().items():
        usage_ = " ".join(parser.format_usage().split()[1:])
        lines += [".HP", roff(usage_)]
        lines += [".br"] if verb else []
    for verb, parser in parsers().items():
        lines += [f".SH {verb.upper() or 'SENDING'}", roff(parser.description or "")]
        for action in options_of(parser):
            lines += [".TP", roff(shown_option(action)), roff(action.help or "")]
    for paragraph in (parsers()[""].epilog or "").split("\n\n"):
        title, _, text = paragraph.partition("\n")
        if title.endswith(":") and not title.startswith(" "):
            lines += [f".SH {roff(title.rstrip(':').partition(' (')[0].upper())}", ".nf"]
            lines += [roff(text), ".fi"]
        else:
            lines += [".nf", roff(paragraph), ".fi"]
    return "\n".join(lines) + "\n"


def shown_option(action: argparse.Action) -> str:
    """Return an option as the manual has it: -j, --jobs N."""
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return ", ".join(action.option_strings) + value


def completion(shell: str) -> str:
    """Write the completion of a shell, from the parsers."""
    words = {
        verb: sorted({o for a in options_of(p) for o in a.option_strings if o.startswith("--")})
        for verb, p in parsers().items()
    }
    cases = "\n".join(f"        {verb}) words='{' '.join(words[verb])}' ;;" for verb in VERBS)
    function = f"""\
_push() {{
    local verb=${{COMP_WORDS[1]}} current=${{COMP_WORDS[COMP_CWORD]}} words
    COMPREPLY=()
    case $verb in
{cases}
        *) words='{" ".join(words[""])}' ;;
    esac
    [ "$COMP_CWORD" -gt 1 ] || words="$words {" ".join(VERBS)}"
    case $current in
        -*) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
        *)
            COMPREPLY=($(compgen -f -- "$current"))
            [ "$COMP_CWORD" -gt 1 ] ||
                COMPREPLY+=($(compgen -W "{" ".join(VERBS)}" -- "$current"))
            ;;
    esac
}}
complete -o filenames -F _push {PROGRAM} ./{PROGRAM}
"""
    return {"bash": "", "zsh": "autoload -U +X bashcompinit && bashcompinit\n"}[shell] + function


class Generate(argparse.Action):
    """Prints what is made from the parsers, and ends."""

    def __call__(
        self, parser: argparse.ArgumentParser, _n: Any, value: Any, _o: Any = None
    ) -> None:
        """Print it."""
        print(man_page() if self.dest == "man" else completion(value), end="")
        parser.exit()


def make_verb_parser(name: str) -> argparse.ArgumentParser:
    """Describe the command line of a verb."""
    parser = Parser(
        prog=f"{PROGRAM} {name}",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, width=79),
        description=VERBS[name].summary,
        epilog=f"Settings and exit codes are those of sending: see {PROGRAM} --help.",
    )
    VERBS[name].add(parser)
    add_server_options(parser)
    if name not in OWN_TOKEN:
        add_token_option(parser)
    return parser


def value_of(options: argparse.Namespace, key: str) -> str | None:
    """Return an option, or what its environment variable says."""
    found: str | None = getattr(options, key, None) or os.environ.get(f"PUSH_{key.upper()}")
    return found


def is_set(options: argparse.Namespace, key: str) -> bool:
    """Tell whether a switch is on, here or in the environment."""
    return bool(getattr(options, key, None)) or os.environ.get(f"PUSH_{key.upper()}") == "1"


def checked_size(value: str | None, option: str) -> int | None:
    """Read a number of bytes: 50M, 1.5G, 64k, powers of ten."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kKMGT]?)B?", value)
    size = (
        int(float(found[1]) * 1000 ** " kMGT".index(found[2].replace("K", "k") or " "))
        if found
        else 0
    )
    if size < 1:
        raise usage(
            f"'{one_line(value)}' is not a size for {option}: give one like 64k, 50M or 2G."
        )
    return size


def checked_time(value: str | None, default: float, option: str) -> float:
    """Read a time: seconds, or 10m, or 2h."""
    if value is None:
        return default
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smh]?)", value)
    if not found:
        raise usage(f"'{one_line(value)}' is not a time for {option}: give one like 90, 10m or 2h.")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def checked_jobs(value: str | None) -> int:
    """Read a number of connections."""
    if value is not None and not (re.fullmatch("[0-9]{1,2}", value) and int(value)):
        raise usage(f"'{one_line(value)}' is not a number of connections: give 1 to 99.")
    return int(value or 1)


def manner_of(options: argparse.Namespace, settings: Settings, total: int | None) -> Manner:
    """Gather how files are to be sent."""
    size = checked_size(value_of(options, "request_size"), "--request-size")
    timeout = value_of(options, "timeout")
    ListeningConnection.stall = checked_time(timeout, 0, "--timeout") or None
    jobs = checked_jobs(value_of(options, "jobs"))
    return Manner(
        settings=settings,
        progress=Progress(total, quiet=is_set(options, "quiet")),
        rate=Rate(checked_size(value_of(options, "limit_rate"), "--limit-rate"), jobs),
        connections=jobs,
        request_size=size,
        retry_seconds=checked_time(value_of(options, "retry_for"), RETRY_SECONDS, "--retry-for"),
        form=is_set(options, "form"),
    )


class Outcomes:
    """Prints what became of each file, and remembers what the exit code is to be."""

    def __init__(self, options: argparse.Namespace, progress: Progress, count: int) -> None:
        """Take how it is to be printed."""
        self._json = is_set(options, "json")
        self._quiet = is_set(options, "quiet")
        self._checksums = value_of(options, "checksum_file")
        self._progress = progress
        self._several = count > 1
        self._receipts: list[Receipt] = []
        self.code = Exit.DONE

    def add(self, job: Job, outcome: Receipt | PushError) -> None:
        """Print the outcome of one file."""
        self._progress.end()
        if isinstance(outcome, PushError):
            self._fail(job, outcome)
            return
        self._receipts.append(outcome)
        if self._json:
            print(json.dumps(outcome.document()), flush=True)
        elif not self._quiet:
            print(outcome, end="\n\n" if self._several else "\n", flush=True)

    def write_checksums(self) -> None:
        """Write the file for sha256sum."""
        if not self._checksums:
            return
        lines = "".join(f"{receipt.checksum_line()}\n" for receipt in self._receipts)
        try:
            Path(self._checksums).write_bytes(os.fsencode(lines))
        except OSError as error:
            raise local(f"{self._checksums} cannot be written: {reason(error)}.") from None

    def _fail(self, job: Job, error: PushError) -> None:
        self.code = self.code or error.code
        name = f"{one_line(job.argument)}: " if self._several else ""
        print(f"{PROGRAM}: {name}{error}", file=sys.stderr)
        if self._json:
            document = {"file": job.argument, "error": str(error), "exit_code": error.code}
            print(json.dumps(document), flush=True)


def run_sending(options: argparse.Namespace) -> Exit:
    """Send what the command line names."""
    settings = load_settings(options)
    jobs = jobs_of(options.file, value_of(options, "name"))
    require_readable(jobs)
    manner = manner_of(options, settings, total_of(jobs))
    outcomes = Outcomes(options, manner.progress, len(jobs))
    try:
        asked = value_of(options, "retry_for") is not None
        tus = not manner.form and offers_tus(manner, asked=asked)
        send_all(manner, jobs, tus=tus, done=outcomes.add)
    except PushError as error:
        outcomes.add(jobs[0], error)
    finally:
        manner.progress.end()
    outcomes.write_checksums()
    return outcomes.code


def require_readable(jobs: Sequence[Job]) -> None:
    """Say what cannot be read before the server is asked for anything."""
    for job in jobs:
        if job.path:
            with LocalFile(job.path):
                pass


def offers_tus(manner: Manner, *, asked: bool) -> bool:
    """Ask the server what it speaks: the first request, which a wrong host or port fails, too.

    Whoever did not say for how long to try again wants to know that soon.
    """
    seconds = manner.retry_seconds if asked else min(manner.retry_seconds, FIRST_SECONDS)
    with closing(Wire(manner.settings)) as wire:
        return Patience(seconds, manner.progress.note).until(lambda: speaks_tus(wire))


def run(arguments: Sequence[str]) -> Exit:
    """Do what the command line says."""
    if any(re.match("--token(=|$)", argument) for argument in arguments):
        raise usage(
            "A token is never taken from the command line: use --token-file, PUSH_TOKEN or "
            "push.conf."
        )
    if arguments and arguments[0] in VERBS:
        verb = VERBS[arguments[0]]
        return verb.run(make_verb_parser(arguments[0]).parse_args(arguments[1:]))
    options = make_parser().parse_args(arguments)
    return run_verify(options) if is_set(options, "verify") else run_sending(options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and turn every failure into one sentence on stderr and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return run(sys.argv[1:] if arguments is None else arguments)
    except PushError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        print(
            f"{PROGRAM}: interrupted: run the same command again to go on.",
            file=sys.stderr,
        )
        return Exit.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
