"""The names on the wire between nginx and Django, and their strict reading.

The contract is docs/hand-off.md; nginx's side stands in its upload_locations.conf. Nothing else in
this application knows these names.
"""

import json
import logging
import re
import unicodedata
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Final

from django.conf import settings
from django.http import HttpResponse, QueryDict
from django.http.request import HttpHeaders
from django.urls import reverse

from config.problems import Problem
from config.unix import UnixConnection
from uploads.partials import locked

logger = logging.getLogger(__name__)

MAX_NAME_BYTES: Final = 255  # what Linux file systems take, so that a download can be saved
MAX_FILES: Final = 1000  # one form; its six fields per file must pass DATA_UPLOAD_MAX_NUMBER_FIELDS
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+( *;[ -~]*)?", re.ASCII)
# Control characters, surrogates, and the separators that some programs take for line ends.
_FORBIDDEN_IN_NAMES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})


class RequestHeader(StrEnum):
    """What nginx says of the client's request; it clears these elsewhere."""

    SHAPE = "X-Upload-Shape"
    METHOD = "X-Upload-Method"
    URI = "X-Upload-Uri"
    LENGTH = "X-Upload-Request-Length"
    TYPE = "X-Upload-Request-Type"


class ResponseHeader(StrEnum):
    """What authorize tells nginx; the grant comes back with complete."""

    GRANT = "X-Upload-Grant"
    MAX_SIZE = "X-Upload-Max-Size"
    PATH = "X-Upload-Path"
    OFFSET = "X-Upload-Offset"
    LENGTH = "X-Upload-Length"
    TAKEOVER = "X-Upload-Takeover"
    CHECKSUM = "X-Upload-Checksum"
    RELAY = "X-Upload-Relay"
    DIRECTORY = "X-Upload-Directory"


class BadName(Problem):
    """What a client calls its file is no name."""

    def __init__(self, reason: str) -> None:
        """Take the reason."""
        super().__init__(
            HTTPStatus.BAD_REQUEST,
            "bad-name",
            "The file's name cannot be used",
            f"The file's name cannot be used, {reason}: rename the file and send it again.",
        )
        self.reason = reason


class Shape(StrEnum):
    """The body shapes of the receive step."""

    FORM = "form"
    APPEND = "append"
    SEGMENT = "segment"


METHODS: Final = {
    Shape.FORM: frozenset({"POST"}),
    Shape.SEGMENT: frozenset({"POST"}),
    Shape.APPEND: frozenset({"POST", "PUT", "PATCH"}),
}


class FileField(StrEnum):
    """The fields of one file in the form of complete, in their order."""

    FIELD = "file.field"
    NAME = "file.name"
    TYPE = "file.type"
    PATH = "file.path"
    SIZE = "file.size"
    SHA256 = "file.sha256"


class BodyField(StrEnum):
    """The fields of an appended body in the form of complete."""

    PATH = "file.path"
    OFFSET = "file.offset"
    SIZE = "file.size"
    SHA256 = "file.sha256"


class ChunkField(StrEnum):
    """The fields of a chunk's file in the form of complete, if there is one."""

    NAME = "file.name"
    TYPE = "file.type"
    PATH = "file.path"
    SIZE = "file.size"


@dataclass(frozen=True, slots=True)
class AuthorizeRequest:
    """A client's request before its body. `length` is the body's bytes, None when not declared."""

    shape: Shape
    method: str
    uri: str
    length: int | None
    content_type: str


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """One file as nginx measured it; `path` is not yet known to be in the store."""

    field: str
    name: str
    content_type: str
    path: Path
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ReceivedBody:
    """What an append made of its file: it began at `offset`, `size` and digest are the whole's."""

    path: Path
    offset: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ReceivedChunk:
    """A part of a file as nginx measured it; `path` is not yet known to be in the store."""

    name: str
    content_type: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class ChunkForm:
    """A chunk's file, None in a form that has fields alone, and those fields."""

    chunk: ReceivedChunk | None
    fields: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class CompleteForm:
    """The files of one request, in its order, and its plain fields."""

    files: tuple[ReceivedFile, ...]
    fields: dict[str, list[str]]


def read_authorize(headers: HttpHeaders) -> AuthorizeRequest | None:
    """Return what nginx asks about, or None: not nginx asks. Problem: 400 or 405."""
    shape = headers.get(RequestHeader.SHAPE)
    if not shape:
        return None
    if shape not in Shape:
        raise _malformed(f"the body shape {shape[:40]!r} is not known here")
    method = headers.get(RequestHeader.METHOD, "")
    uri = headers.get(RequestHeader.URI, "")
    allowed = METHODS[Shape(shape)]
    if is_chunk(uri):
        allowed |= {"PUT"}
    if method not in allowed:
        raise Problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method",
            "Uploads are sent in another way",
            f"Send uploads to this address with {' or '.join(sorted(allowed))}.",
            headers={"Allow": ", ".join(sorted(allowed))},
        )
    declared = headers.get(RequestHeader.LENGTH, "")
    return AuthorizeRequest(
        shape=Shape(shape),
        method=method,
        uri=uri,
        length=number(declared, RequestHeader.LENGTH) if declared else None,
        content_type=headers.get(RequestHeader.TYPE, ""),
    )


def is_chunk(uri: str) -> bool:
    """Tell whether a form is a chunk's, or ends an upload in chunks."""
    return uri.startswith(reverse("chunks"))


def write_grant(grant: str, max_size: int | None) -> HttpResponse:
    """Return the answer that lets the body in. `max_size`: bytes of one file, None for no limit."""
    response = HttpResponse(status=HTTPStatus.NO_CONTENT)
    response.headers[ResponseHeader.GRANT] = grant
    if max_size is not None:
        response.headers[ResponseHeader.MAX_SIZE] = str(max_size)
    return response


def write_append(  # noqa: PLR0913 - one for each header
    grant: str,
    path: Path,
    offset: int,
    *,
    length: int | None,
    max_size: int | None,
    takeover: str | None,
    checksum: str | None,
) -> HttpResponse:
    """Return the answer that lets a body in, to be appended to a file."""
    response = write_grant(grant, max_size)
    response.headers[ResponseHeader.PATH] = str(path)
    response.headers[ResponseHeader.OFFSET] = str(offset)
    if length is not None:
        response.headers[ResponseHeader.LENGTH] = str(length)
    if takeover is not None:
        response.headers[ResponseHeader.TAKEOVER] = takeover
    if checksum is not None:
        response.headers[ResponseHeader.CHECKSUM] = checksum
    return response


def ask_for_digest(path: Path, size: int, timeout: float) -> ReceivedBody:
    """Have nginx make all bytes of a partial file count, and return the digest of the whole.

    Only what the checkpoint does not vouch for is read. Problem 423: somebody writes to the file;
    503: nginx does not answer.
    """
    answer = _append_nothing("/append", path, size, None, timeout)
    return ReceivedBody(
        path=path, offset=size, size=int(answer["size"]), sha256=_sha256(answer["sha256"])
    )


def ask_for_digests(
    path: Path, size: int, length: int | None, timeout: float
) -> tuple[ReceivedBody, dict[str, str]]:
    """Do the same for an upload in chunks, and return its digests by their names, too.

    A file that is not there is made, with room on the disk for `length` bytes. Problem 507, too.
    """
    answer = _append_nothing("/append-chunk", path, size, length, timeout)
    body = ReceivedBody(
        path=path, offset=size, size=int(answer.pop("size")), sha256=_sha256(answer["sha256"])
    )
    return body, answer


def _append_nothing(
    place: str, path: Path, size: int, length: int | None, timeout: float
) -> dict[str, str]:
    headers = {ResponseHeader.PATH.value: str(path), ResponseHeader.OFFSET.value: str(size)}
    if length is not None:
        headers[ResponseHeader.LENGTH.value] = str(length)
    connection = UnixConnection(str(settings.UPLOAD_NGINX_SOCKET), timeout)
    try:
        connection.request("POST", place, headers={**headers, "Content-Length": "0"})
        response = connection.getresponse()
        content = response.read()
    except (OSError, HTTPException) as error:
        raise _nginx_away(str(error)) from error
    finally:
        connection.close()
    if response.status in {HTTPStatus.LOCKED, HTTPStatus.CONFLICT}:
        raise locked()
    if response.status == HTTPStatus.INSUFFICIENT_STORAGE:
        raise disk_full()
    if response.status != HTTPStatus.OK:
        raise _nginx_away(f"its answer is {response.status}")
    answer: dict[str, str] = json.loads(content)
    return answer


def write_segment(grant: str, directory: str, total: int) -> HttpResponse:
    """Return the answer that lets a segment in, to a file of `total` bytes in a directory."""
    response = write_grant(grant, total)
    response.headers[ResponseHeader.DIRECTORY] = directory
    return response


def write_relay(response: HttpResponse) -> None:
    """Make a successful answer of authorize the client's own: no body is received."""
    response.headers[ResponseHeader.RELAY] = "1"


def read_grant(headers: HttpHeaders) -> str:
    """Return the grant's text, empty when there is none."""
    return headers.get(ResponseHeader.GRANT, "")


def read_complete(form: QueryDict) -> CompleteForm:
    """Return the typed form. Problem 400: fields are missing or malformed, or no file came."""
    columns = {field: form.getlist(field) for field in FileField}
    counts = {len(column) for column in columns.values()}
    if len(counts) > 1:
        raise _malformed("the fields of its files do not have equal numbers")
    if counts == {0}:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "no-file",
            "No file in the form",
            "Choose a file; a script sends it as a form field with a file name, as"
            " `curl -F file=@run.bam` does.",
        )
    if max(counts) > MAX_FILES:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "too-many-files",
            "Too many files in one form",
            f"The form has {max(counts)} files, and {MAX_FILES} are the most: send them in parts.",
        )
    return CompleteForm(files=tuple(_read_files(columns)), fields=_read_fields(form))


def read_chunk(form: QueryDict) -> ChunkForm:
    """Return the typed form. Problem 400: fields are malformed, or it has several files."""
    columns = {name: form.getlist(name) for name in ChunkField}
    counts = {len(column) for column in columns.values()}
    if counts == {0}:
        return ChunkForm(chunk=None, fields=_read_fields(form))
    if counts != {1}:
        raise _malformed("a chunk is one file")
    values = {name: column[0] for name, column in columns.items()}
    media_type = values[ChunkField.TYPE]
    chunk = ReceivedChunk(
        name=clean_name(values[ChunkField.NAME]),
        content_type=media_type if is_media_type(media_type) else "",
        path=Path(_text(values[ChunkField.PATH], ChunkField.PATH)),
        size=number(values[ChunkField.SIZE], ChunkField.SIZE),
    )
    return ChunkForm(chunk=chunk, fields=_read_fields(form))


def is_append(form: QueryDict) -> bool:
    """Tell the form of an append from that of a multipart form."""
    # nginx passes no plain field with a dot, so no client can pretend.
    return BodyField.OFFSET in form


def read_append(form: QueryDict) -> ReceivedBody:
    """Return what was appended. Problem 400: fields are missing or malformed."""
    columns = {name: form.getlist(name) for name in BodyField}
    if {len(column) for column in columns.values()} != {1}:
        raise _malformed("each field of an append comes once")
    values = {name: column[0] for name, column in columns.items()}
    return ReceivedBody(
        path=Path(_text(values[BodyField.PATH], BodyField.PATH)),
        offset=number(values[BodyField.OFFSET], BodyField.OFFSET),
        size=number(values[BodyField.SIZE], BodyField.SIZE),
        sha256=_sha256(values[BodyField.SHA256]),
    )


def _read_files(columns: dict[FileField, list[str]]) -> Iterator[ReceivedFile]:
    for field, name, media_type, path, size, sha256 in zip(
        *(columns[field] for field in FileField), strict=True
    ):
        yield ReceivedFile(
            field=_text(field, FileField.FIELD),
            name=clean_name(name),
            # The client's word, of use only if it is well-formed.
            content_type=media_type if is_media_type(media_type) else "",
            path=Path(_text(path, FileField.PATH)),
            size=number(size, FileField.SIZE),
            sha256=_sha256(sha256),
        )


def _read_fields(form: QueryDict) -> dict[str, list[str]]:
    # nginx passes no plain field with a dot, so none is mistaken for one of a file.
    fields = {name: values for name, values in form.lists() if "." not in name}
    for name, values in fields.items():
        for value in values:
            _text(value, name)
    return fields


def clean_name(name: str) -> str:
    """Return a file name without path parts. Problem 400: what remains cannot be a name."""
    base = name.replace("\\", "/").rpartition("/")[2].strip()
    if base in {"", ".", ".."}:
        raise BadName("it is empty")
    if any(unicodedata.category(character) in _FORBIDDEN_IN_NAMES for character in base):
        raise BadName("it has control characters")
    length = len(base.encode())
    if length > MAX_NAME_BYTES:
        raise BadName(f"it has {length} bytes in UTF-8, and {MAX_NAME_BYTES} are the most")
    return base


def unnamed() -> str:
    """Return a name for a file whose client gave none."""
    return f"upload-{uuid.uuid4().hex[:8]}"


def is_media_type(text: str) -> bool:
    """Tell whether a text can stand in a Content-Type header."""
    return len(text) <= MAX_NAME_BYTES and _MEDIA_TYPE.fullmatch(text) is not None


def number(text: str, name: str) -> int:
    """Return a number of nginx's. Problem 400: it is none."""
    # 18 digits stay below 2**63, the largest size that a file system or the database holds.
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise _malformed(f"{name} is no decimal number of bytes")
    return int(text)


def _sha256(text: str) -> str:
    if not _SHA256.fullmatch(text):
        raise _malformed(f"{FileField.SHA256} is not 64 lower-case hex digits")
    return text


def _text(text: str, name: str) -> str:
    # PostgreSQL has no NUL in texts, and no path has one.
    if "\0" in text:
        raise _malformed(f"the field {name} has a NUL byte")
    return text


def disk_full() -> Problem:
    """Return the refusal of a file that the disk has no room for, whatever was reserved."""
    return Problem(
        HTTPStatus.INSUFFICIENT_STORAGE,
        "no-space",
        "Not enough space on the server",
        "The disk is full. Ask the administrator to make room, and go on.",
    )


def _nginx_away(reason: str) -> Problem:
    logger.error("nginx does not answer at %s: %s", settings.UPLOAD_NGINX_SOCKET, reason)
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "nginx-away",
        "The upload cannot be completed now",
        "All bytes are here, and nginx cannot be asked for their digest. Try again in a minute.",
        headers={"Retry-After": "60"},
    )


def _malformed(reason: str) -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "malformed-hand-off",
        "nginx and the application disagree",
        f"The upload cannot be recorded, {reason}. Deploy both from the same version of the kit.",
    )
