"""Structured fields (RFC 9651) of requests, and the digests among them (RFC 9530).

What is malformed is as good as absent: so both specifications want it.
"""

from typing import Final

import http_sf
from django.http.request import HttpHeaders

from uploads.protocols.adapter import malformed
from uploads.service import Checksum

# Each algorithm as nginx calls it, and the bytes of its digests.
_ALGORITHMS: Final = {"sha-256": ("sha256", 32), "sha-512": ("sha512", 64)}


def integer(headers: HttpHeaders, name: str) -> int | None:
    """Return a number of bytes."""
    value = _bare(_parse(headers, name, "item"))
    # True and False are int as well.
    return value if type(value) is int and value >= 0 else None


def boolean(headers: HttpHeaders, name: str) -> bool | None:
    """Return ?1 or ?0."""
    value = _bare(_parse(headers, name, "item"))
    return value if isinstance(value, bool) else None


def content_digest(headers: HttpHeaders) -> Checksum | None:
    """Return the digest that the body must have. Problem 400: it cannot be one."""
    return _digest(headers, "Content-Digest", tuple(_ALGORITHMS))


def repr_sha256(headers: HttpHeaders) -> str:
    """Return the digest that the whole must have in hex, empty without. Problem 400: not one."""
    digest = _digest(headers, "Repr-Digest", ("sha-256",))
    return digest.hex if digest else ""


def wants_sha256(headers: HttpHeaders) -> bool:
    """Tell whether the client asks for the SHA-256 of the whole."""
    weight = _members(headers, "Want-Repr-Digest").get("sha-256")
    return type(weight) is int and weight > 0


def dictionary(**members: int | None) -> str:
    """Return a field's value; `max_size` becomes `max-size`, and None is left out."""
    return http_sf.ser(
        {name.replace("_", "-"): value for name, value in members.items() if value is not None}
    )


def _digest(headers: HttpHeaders, name: str, algorithms: tuple[str, ...]) -> Checksum | None:
    members = _members(headers, name)
    for key in algorithms:
        value = members.get(key)
        if not isinstance(value, bytes):
            continue
        algorithm, size = _ALGORITHMS[key]
        if len(value) != size:
            raise malformed(f"the {key} in {name} has {len(value)} bytes and not {size}")
        return Checksum(algorithm, value.hex())
    return None


def _members(headers: HttpHeaders, name: str) -> dict[str, object]:
    found = _parse(headers, name, "dictionary")
    return {key: _bare(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _bare(item: object) -> object:
    # With parameters, which nothing here has a meaning for, it is a pair.
    return item[0] if isinstance(item, tuple) else item


def _parse(headers: HttpHeaders, name: str, kind: str) -> object:
    text = headers.get(name)
    if text is None:
        return None
    try:
        return http_sf.parse(text.encode("latin-1", "replace"), tltype=kind)
    except http_sf.StructuredFieldError:
        return None
