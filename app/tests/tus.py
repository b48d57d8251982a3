"""A tus client: the requests of one person, through nginx as Django sees it."""

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.nginx import Nginx

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

VERSION = {"Tus-Resumable": "1.0.0"}
TYPE = {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> str:
    """Return a value of Upload-Metadata."""
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items()
    )


NAME = {"Upload-Metadata": metadata(filename="run.bam")}


@dataclass
class Tus:
    """Sends what a tus client sends."""

    client: Nginx

    def create(self, body: bytes = b"", /, **headers: str) -> "Answer":
        """Create an upload; a body makes it a creation-with-upload. `Upload_Length` is a header."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        typed = TYPE if body else {}
        return self.client.send("POST", "/files/", body, {**VERSION, **NAME, **typed, **sent})

    def begin(self, length: int | None = 8, **headers: str) -> str:
        """Create an upload of so many bytes (None: not known), and return its address."""
        declared = (
            {"Upload_Defer_Length": "1"} if length is None else {"Upload_Length": str(length)}
        )
        answer = self.create(**declared, **headers)
        assert answer.status_code == 201, answer.content
        return answer.headers["Location"]

    def patch(
        self, url: str, offset: int, body: bytes, *, cut: int | None = None, **headers: str
    ) -> "Answer":
        """Append a body."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {**VERSION, **TYPE, "Upload-Offset": str(offset), **sent}
        return self.client.send("PATCH", url, body, sent, cut=cut)

    def head(self, url: str) -> "Answer":
        """Ask how far an upload is."""
        return self.client.send("HEAD", url, headers=VERSION)

    def delete(self, url: str) -> "Answer":
        """End an upload."""
        return self.client.send("DELETE", url, headers=VERSION)
