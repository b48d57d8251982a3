"""The request headers of tus, read strictly."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from django.http.request import HttpHeaders
from django.urls import reverse

from uploads.handoff import clean_name, is_media_type, unnamed
from uploads.protocols.adapter import malformed
from uploads.service import Checksum

# Bytes of each digest, so that a text of another length is told apart from a wrong digest.
CHECKSUM_BYTES: Final = {"sha1": 20, "sha256": 32, "md5": 16, "crc32": 4}
# What clients call the name and the type of a file: tus-js-client, Uppy and tuspy.
_NAME_KEYS: Final = ("filename", "name")
_TYPE_KEYS: Final = ("filetype", "type")
_PARTIAL: Final = "partial"
_FINAL: Final = "final"
# The path of an address, whole or not; printable ASCII, so that it can be sent back.
_ADDRESS: Final = re.compile(r"(?:https?://[!-.0-~]+)?(/[!-~]*)")
_KEY: Final = re.compile(r"[!-+\--~]+")  # printable ASCII without space and comma


@dataclass(frozen=True, slots=True)
class Metadata:
    """What Upload-Metadata says; `text` is the header, as it can be sent back."""

    name: str
    content_type: str
    fields: dict[str, list[str]]
    text: str


@dataclass(frozen=True, slots=True)
class Concat:
    """What Upload-Concat says: a part, or the file of these; `text` can be sent back."""

    targets: tuple[str, ...] | None
    text: str

    @property
    def is_part(self) -> bool:
        """Tell a part from a file of parts."""
        return self.targets is None


def read_concat(headers: HttpHeaders) -> Concat | None:
    """Return what is to be joined, None without Upload-Concat. Problem 400: it is malformed.

    A target is what stands below /files/. Addresses may be whole or a path: whatever name the
    server had for the client, the path says what is meant.
    """
    text = headers.get("Upload-Concat")
    if text is None:
        return None
    if text == _PARTIAL:
        return Concat(None, text)
    kind, separator, addresses = text.partition(";")
    if kind != _FINAL or not separator:
        raise malformed("Upload-Concat is 'partial', or 'final;' and the addresses of parts")
    words = addresses.split()
    targets = tuple(_target(word) for word in words)
    if not targets:
        raise malformed("Upload-Concat names no part")
    if len(set(targets)) < len(targets):
        raise malformed("Upload-Concat names a part twice")
    return Concat(targets, f"{_FINAL};{' '.join(words)}")


def read_new_length(headers: HttpHeaders) -> int | None:
    """Return the length of a new upload, None for a deferred one. Problem 400: neither or both."""
    length = read_length(headers)
    deferred = headers.get("Upload-Defer-Length")
    if deferred is not None and deferred != "1":
        raise malformed("Upload-Defer-Length is 1 or absent")
    if (length is None) == (deferred is None):
        raise malformed("a new upload has either Upload-Length or Upload-Defer-Length: 1")
    return length


def read_length(headers: HttpHeaders) -> int | None:
    """Return Upload-Length, None without one."""
    text = headers.get("Upload-Length")
    return None if text is None else _bytes(text, "Upload-Length")


def read_offset(headers: HttpHeaders) -> int:
    """Return Upload-Offset, which a PATCH must have."""
    return _bytes(headers.get("Upload-Offset", ""), "Upload-Offset")


def read_checksum(headers: HttpHeaders) -> Checksum | None:
    """Return the digest that the body must have, None without one."""
    text = headers.get("Upload-Checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in CHECKSUM_BYTES:
        raise malformed(f"Upload-Checksum begins with one of {', '.join(CHECKSUM_BYTES)}")
    digest = _base64(encoded)
    if digest is None or len(digest) != CHECKSUM_BYTES[algorithm]:
        raise malformed(f"Upload-Checksum has no {algorithm} in base64")
    return Checksum(algorithm, digest.hex())


def read_metadata(text: str) -> Metadata:
    """Return what a client says of its file. Problem 400: malformed, or a name that is none."""
    values: dict[str, bytes] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, _, encoded = pair.partition(" ")
        value = _base64(encoded.strip())
        if not _KEY.fullmatch(key) or value is None:
            raise malformed("Upload-Metadata has pairs of a key and a value in base64")
        if key in values:
            raise malformed("Upload-Metadata has a key twice")
        values[key] = value
    texts = {key: _text(value) for key, value in values.items()}
    name = next((found for key in _NAME_KEYS if (found := texts.get(key))), None)
    media_type = next((found for key in _TYPE_KEYS if (found := texts.get(key))), "")
    return Metadata(
        name=clean_name(name) if name else unnamed(),
        content_type=media_type if is_media_type(media_type) else "",
        fields={
            key: [value]
            for key, value in texts.items()
            if value is not None and key not in (*_NAME_KEYS, *_TYPE_KEYS)
        },
        # Written anew from what was understood, so that it holds nothing else.
        text=",".join(
            f"{key} {base64.b64encode(value).decode()}".rstrip() for key, value in values.items()
        ),
    )


def read_texts(text: str) -> dict[str, str]:
    """Return the texts of a Metadata's `text`; what is not one has no place in JSON."""
    pairs = (part.partition(" ") for part in text.split(",") if part)
    found = {key: _text(_base64(encoded) or b"") for key, _, encoded in pairs}
    return {key: value for key, value in found.items() if value is not None}


def _target(address: str) -> str:
    found = _ADDRESS.fullmatch(address)
    prefix = reverse("resources")
    if found is None or not found[1].startswith(prefix):
        raise malformed(f"Upload-Concat has addresses below {prefix}, absolute or as paths")
    return found[1].removeprefix(prefix)


def _bytes(text: str, name: str) -> int:
    # 18 digits stay below 2**63, as everywhere.
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise malformed(f"{name} is a decimal number of bytes")
    return int(text)


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _text(value: bytes) -> str | None:
    # PostgreSQL has no NUL in texts.
    try:
        return None if b"\0" in value else value.decode()
    except UnicodeDecodeError:
        return None
