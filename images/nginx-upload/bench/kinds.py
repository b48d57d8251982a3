"""The kinds of upload that are compared, and one measurement of one of them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import mmap
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import servers
import tus
from servers import DISK, HTTP_PORT, HTTPS_PORT, STORE, TEMPORARY, Server, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GIB = 1 << 30
MIB = 1 << 20

SOURCE = Path("/source/source.bin")  # in memory
SOURCE_SIZE = GIB

SLOW_SIZE = GIB  # as much as the slow peers get to see of the file
SLOW_ROUNDS = 3

NOTES = {".checkpoint", ".info", ".json", ".lock"}  # what servers keep beside a file

MADV_POPULATE_WRITE = 23  # Python has no name for it yet


@dataclasses.dataclass(frozen=True)
class Kind:
    """One way to upload a file."""

    name: str
    title: str
    server: Callable[[Settings], Server]
    path: str
    form: bool
    tls_server: Callable[[Settings], Server] | None = None
    digest: bool = False  # the answer is the SHA-256
    plain_only: bool = False
    one_client: bool = False
    slow: bool = False  # it gets a smaller file, and fewer rounds
    directive: str = ""  # that the module must have for it
    credentials: Callable[[], dict[str, str]] | None = None  # of a tus server: the path is that of a new upload
    digest_of: Callable[[str], str] | None = None  # asked with that path, where the answer has no digest

    def start(self, settings: Settings, *, tls: bool) -> Server:
        start = self.tls_server if tls and self.tls_server else self.server
        return start(settings)


WEBDAV = Kind("webdav", "nginx WebDAV PUT", servers.webdav, "/dav/file-@", form=False)
FORM_SHA256 = Kind(
    "form-sha256",
    "form, SHA-256",
    servers.with_module(servers.FORM, digest=True, fsync=False),
    "/form",
    form=True,
    digest=True,
)
APPEND_SHA256 = Kind(
    "append-sha256",
    "append, SHA-256",
    servers.with_module(servers.APPEND, digest=True, fsync=False),
    "/append",
    form=False,
    digest=True,
    directive="upload_append",
)

TUS = Kind(
    "tus",
    "tus, the whole kit, SHA-256, flushed to disk",
    tus.kit,
    "/files/",
    form=False,
    digest=True,
    one_client=True,
    credentials=tus.authorization,
    digest_of=tus.digest,
)


TUS_UNFLUSHED = dataclasses.replace(
    TUS,
    name="tus-unflushed",
    title="tus, the whole kit, SHA-256",
    server=functools.partial(tus.kit, fsync=False),
)


def tus_peer(name: str, title: str, server: Callable[[Settings], Server]) -> Kind:
    return Kind(name, title, server, "/files/", form=False, plain_only=True, one_client=True, credentials=dict)


KINDS = [
    WEBDAV,
    Kind(
        "form",
        "form, no digest",
        servers.with_module(servers.FORM, digest=False, fsync=False),
        "/form",
        form=True,
    ),
    FORM_SHA256,
    Kind(
        "form-sha256-fsync",
        "form, SHA-256, flushed to disk",
        servers.with_module(servers.FORM, digest=True, fsync=True),
        "/form",
        form=True,
        digest=True,
        one_client=True,
    ),
    Kind(
        "append",
        "append, no digest",
        servers.with_module(servers.APPEND, digest=False, fsync=False),
        "/append",
        form=False,
        directive="upload_append",
    ),
    APPEND_SHA256,
    Kind(
        "receive",
        "bare C program",
        servers.bare(),
        "/file",
        form=False,
        plain_only=True,
        one_client=True,
    ),
    Kind(
        "receive-sha256",
        "bare C program, SHA-256",
        servers.bare("-s"),
        "/file",
        form=False,
        digest=True,
        plain_only=True,
    ),
    TUS,
    TUS_UNFLUSHED,
    tus_peer("tus-server", "tus, `@tus/server` with `@tus/file-store`", tus.reference),
    tus_peer("tuspyserver", "tus, tuspyserver", tus.of_pypi),
    Kind(
        "django",
        "Django under gunicorn",
        lambda _: servers.django(tls=False),
        "/upload",
        form=True,
        tls_server=lambda _: servers.django(tls=True),
        one_client=True,
        slow=True,
    ),
    Kind(
        "django-nginx",
        "Django behind nginx",
        servers.django_behind_nginx,
        "/upload",
        form=True,
        one_client=True,
        slow=True,
    ),
]

# not a server of its own: the file of WebDAV's run, hashed afterwards
AFTERWARDS = "webdav+sha256sum"
TITLES = {
    **{kind.name: kind.title for kind in KINDS},
    AFTERWARDS: "WebDAV PUT, then `sha256sum`",
}


@dataclasses.dataclass
class Run:
    """What one measurement found."""

    bytes: int
    seconds: float
    cpu: float
    memory: int
    answer_seconds: float = 0.0

    @property
    def speed(self) -> float:
        """MB/s."""
        return self.bytes / self.seconds / 1e6

    @property
    def cpu_per_gib(self) -> float:
        return self.cpu / self.bytes * GIB


@dataclasses.dataclass
class Sent:
    """What bench-send printed, and what it stored."""

    seconds: float
    answer_seconds: float
    contents: list[str]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def prepare(disk: int) -> None:
    """Make the directories, the certificate and the source; fail before a benchmark that has no room."""
    for directory in (STORE, TEMPORARY, servers.RUN):
        directory.mkdir(exist_ok=True)
    status = os.statvfs(DISK)
    if status.f_bavail * status.f_frsize < disk + 2 * GIB:
        raise RuntimeError(f"{DISK} needs {disk / GIB + 2:.0f} GiB: free some, or use --size")
    if not (servers.RUN / "key.pem").exists():
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        subprocess.run(
            [*command.split(), "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "certificate.pem"],
            cwd=servers.RUN,
            check=True,
            capture_output=True,
        )
    if not SOURCE.exists():
        with SOURCE.open("wb") as f:
            for _ in range(SOURCE_SIZE // (16 * MIB)):
                f.write(os.urandom(16 * MIB))


def warm(size: int) -> None:
    """Take as much memory as a round will need, and give it back: a virtual machine's host may have it."""
    with mmap.mmap(-1, size + GIB // 2, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        memory.madvise(MADV_POPULATE_WRITE)


def stored() -> list[Path]:
    return sorted(path for path in STORE.rglob("*") if path.is_file() and path.suffix not in NOTES)


@contextlib.contextmanager
def cleared() -> Iterator[None]:
    """Leave nothing on the disk, nor on its way there."""
    try:
        yield
    finally:
        for directory in (STORE, TEMPORARY):
            for path in directory.rglob("*"):
                if path.is_file():
                    path.unlink()
        os.sync()


def send(kind: Kind, size: int, *, tls: bool, clients: int = 1) -> Sent:
    """Upload `size` bytes from each client, and check that they are there."""
    command = ["bench-send", "-n", str(clients)]
    command += ["-t"] if tls else []
    command += ["-f"] if kind.form else []
    path = kind.path
    if kind.credentials:
        headers = kind.credentials()
        path = tus.create(headers, Upload_Length=str(size))
        command += tus.chunk(headers, 0)
    command += [str(HTTPS_PORT if tls else HTTP_PORT), path, str(size), str(SOURCE)]
    answer = json.loads(subprocess.check_output(command))
    uploads = answer["uploads"]
    if any(upload["status"] not in {200, 201, 204} for upload in uploads):
        log = (servers.RUN / "server.log").read_text()
        raise RuntimeError(f"{kind.name} was refused: {uploads}\n{log}")
    sizes = [path.stat().st_size for path in stored()]
    if sizes != [size] * clients:
        raise RuntimeError(f"{kind.name} stored {sizes}, not {clients} files of {size} bytes")
    return Sent(
        answer["seconds"],
        max(upload["answer_seconds"] for upload in uploads),
        [kind.digest_of(path)] if kind.digest_of else [upload["content"] for upload in uploads],
    )


def verify(kind: Kind, settings: Settings, *, tls: bool) -> None:
    """Upload a small file: what is stored, and the digest in the answer, must be those of the source."""
    size = 96 * MIB + 12345
    with SOURCE.open("rb") as f:
        expected = hashlib.sha256(f.read(size)).hexdigest()
    with kind.start(settings, tls=tls).running(), cleared():
        sent = send(kind, size, tls=tls)
        with stored()[0].open("rb") as f:
            found = hashlib.file_digest(f, "sha256").hexdigest()
    if found != expected:
        raise RuntimeError(f"{kind.name} stored other bytes than were sent")
    if kind.digest and sent.contents != [expected]:
        raise RuntimeError(f"{kind.name} answered {sent.contents}, not {expected}")


def measure(kind: Kind, settings: Settings, size: int, *, tls: bool, clients: int) -> list[Run]:
    """Upload `size` bytes in all; WebDAV's file is hashed too, and that is a second run."""
    size //= clients
    with cleared():
        warm(size * clients)
        with kind.start(settings, tls=tls).running() as server:
            before = server.cpu()
            sent = send(kind, size, tls=tls, clients=clients)
            run = Run(
                size * clients,
                sent.seconds,
                server.cpu() - before,
                server.peak_memory(),
                sent.answer_seconds,
            )
        runs = [run]
        if kind is WEBDAV:
            seconds, cpu = sha256sum()
            runs.append(Run(run.bytes, run.seconds + seconds, run.cpu + cpu, run.memory))
        return runs


def sha256sum() -> tuple[float, float]:
    """Hash what is stored, each file by a process of its own; return the time and the CPU time."""
    before = children_cpu()
    started = time.monotonic()
    running = [subprocess.Popen(["sha256sum", str(path)], stdout=subprocess.DEVNULL) for path in stored()]
    if any(process.wait() for process in running):
        raise RuntimeError("sha256sum failed")
    return time.monotonic() - started, children_cpu() - before


def children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
