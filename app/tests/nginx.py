"""nginx as Django sees it: the requests of docs/hand-off.md, and files it received."""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
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
