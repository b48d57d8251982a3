"""Forms as clients of the chunk packages send them."""

import secrets
from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """A multipart body, and the header that tells of it."""

    body: bytes
    headers: dict[str, str]


def form(chunk: bytes | None = None, /, **fields: str) -> Form:
    """Return a form with fields, and with a chunk in a file."""
    boundary = secrets.token_hex(16)
    parts = [
        f'Content-Disposition: form-data; name="{key}"\r\n\r\n{value}'.encode()
        for key, value in fields.items()
    ]
    if chunk is not None:
        parts.append(
            b'Content-Disposition: form-data; name="my_file"; filename="run.bam"\r\n'
            b"Content-Type: application/octet-stream\r\n\r\n" + chunk
        )
    delimited = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return Form(
        body=delimited + f"--{boundary}--\r\n".encode(),
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
