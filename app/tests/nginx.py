"""nginx as Django sees it: the requests of docs/hand-off.md, and files it received."""

import fcntl
import hashlib
import itertools
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.test import Client

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

HOST = "upload.test"
GRANT = "X-Upload-Grant"
BOUNDARY = "upload-form"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"

_numbers = itertools.count(1)

type Field = tuple[str, str]


def received(content: bytes, name: str = "run.bam", **changes: str) -> list[Field]:
    """Write a file as nginx does, and return its fields; `changes` replaces some (`path=...`)."""
    path = Path(settings.UPLOAD_INCOMING_DIR) / f"{next(_numbers):010d}"
    path.write_bytes(content)
    path.chmod(0o640)
    fields = {
        "field": "file",
        "name": name,
        "type": "application/octet-stream",
        "path": str(path),
        "size": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
        **changes,
    }
    return [(f"file.{key}", value) for key, value in fields.items()]


def multipart(fields: Sequence[Field]) -> bytes:
    """Return the form in the order given, which Django's own encoder does not keep."""
    lines = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields
    ]
    return ("".join(lines) + f"--{BOUNDARY}--\r\n").encode()


def boot_id() -> str:
    """Return what the module takes for the machine's start."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def checkpoint(path: Path, offset: int, sequence: int = 1, boot: str | None = None) -> None:
    """Write a slot of a partial file's checkpoint, as module/upload_checkpoint.c does."""
    text = f"upload-checkpoint 1\nsequence {sequence}\noffset {offset}\n"
    body = f"{text}boot {boot or boot_id()}\nsha256 {'0' * 64}\n".encode()
    slot = (body + b"crc32 %08x\n" % zlib.crc32(body)).ljust(4096, b"\0")
    place = path.with_name(f"{path.name}.checkpoint")
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o640)
    os.pwrite(descriptor, slot, sequence % 2 * 4096)
    os.close(descriptor)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Hold a partial file as a request does that is being received, and never give way."""
    with path.open("r+b") as file:
        lock = struct.pack("@hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, lock)
        yield


def append(path: Path, offset: int, body: bytes) -> list[Field]:
    """Append a body as the module does, and return the form of complete."""
    path.touch(0o640)
    assert path.stat().st_size == offset
    with path.open("ab") as file:
        file.write(body)
    content = path.read_bytes()
    checkpoint(path, len(content))
    return [
        ("file.path", str(path)),
        ("file.offset", str(offset)),
        ("file.size", str(len(content))),
        ("file.sha256", hashlib.sha256(content).hexdigest()),
    ]


@dataclass
class Nginx:
    """Sends the two internal requests over HTTPS, with the headers of one client."""

    headers: Mapping[str, str] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)

    def client(self) -> Client:
        """Return a client that checks CSRF and answers crashes instead of raising them."""
        client = Client(
            enforce_csrf_checks=True,
            raise_request_exception=False,
            headers={"Host": HOST, **self.headers},
        )
        for name, value in self.cookies.items():
            client.cookies[name] = value
        return client

    def get(self, path: str, **headers: str) -> "Answer":
        """Get a page."""
        return self.client().get(path, secure=True, headers=headers)

    def authorize(
        self, length: int | None = 1000, headers: Mapping[str, str] | None = None
    ) -> "Answer":
        """Ask whether an upload may start; `length` is the declared one."""
        return self.client().get(
            "/internal/authorize",
            secure=True,
            headers={
                "X-Upload-Shape": "form",
                "X-Upload-Method": "POST",
                "X-Upload-Uri": "/upload",
                "X-Upload-Request-Length": "" if length is None else str(length),
                **(headers or {}),
            },
        )

    def complete(
        self, fields: Sequence[Field], grant: str, headers: Mapping[str, str] | None = None
    ) -> "Answer":
        """Hand the received files over."""
        return self.client().post(
            "/complete/",
            data=multipart(fields),
            content_type=MULTIPART,
            secure=True,
            headers={GRANT: grant, **(headers or {})},
        )

    def upload(self, fields: Sequence[Field], headers: Mapping[str, str] | None = None) -> "Answer":
        """Do both, as for a real upload."""
        allowed = self.authorize()
        assert allowed.status_code == 204, allowed.content
        return self.complete(fields, allowed.headers[GRANT], headers)

    def permit(
        self, method: str, uri: str, length: int | None, headers: Mapping[str, str] | None = None
    ) -> "Answer":
        """Ask whether a body may be appended."""
        sent = dict(headers or {})
        return self.client().get(
            "/internal/authorize",
            secure=True,
            headers={
                "X-Upload-Shape": "append",
                "X-Upload-Method": method,
                "X-Upload-Uri": uri,
                "X-Upload-Request-Length": "" if length is None else str(length),
                "X-Upload-Request-Type": sent.pop("Content-Type", ""),
                **sent,
            },
        )

    def send(
        self,
        method: str,
        uri: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        cut: int | None = None,
    ) -> "Answer":
        """Send a request below /files/; `cut` breaks it off after so many bytes."""
        uri = uri.removeprefix(f"https://{HOST}")
        if method not in {"POST", "PUT", "PATCH"}:
            return self.client().generic(method, uri, secure=True, headers=dict(headers or {}))
        allowed = self.permit(method, uri, len(body), headers)
        if "X-Upload-Path" not in allowed.headers:
            return allowed
        path = Path(allowed.headers["X-Upload-Path"])
        form = append(path, int(allowed.headers["X-Upload-Offset"]), body[:cut])
        if cut is not None:
            return allowed
        sent = {name: value for name, value in (headers or {}).items() if name != "Content-Type"}
        return self.complete(form, allowed.headers[GRANT], sent)
