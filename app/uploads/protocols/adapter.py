"""What an adapter of a protocol is, and the values that it gets and gives."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.http.request import HttpHeaders

from config.problems import Problem
from uploads import access
from uploads.grants import AppendGrant
from uploads.models import Door, Upload
from uploads.service import Append, Status

BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})


@dataclass(frozen=True, slots=True)
class Call:
    """A client's request, whichever step it is in.

    `target` is what stands below /files/, percent signs decoded: empty for the collection.
    `method` is what X-HTTP-Method-Override makes of a POST. `length` is the body's bytes, None when
    not declared.
    """

    request: HttpRequest
    method: str
    target: str
    length: int | None
    content_type: str

    @property
    def headers(self) -> HttpHeaders:
        """The client's headers, except those of the body."""
        return self.request.headers

    def has_type(self, media_type: str) -> bool:
        """Tell whether the body is of this type."""
        return self.content_type.partition(";")[0].strip().lower() == media_type


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to receive the body, by whose token, and what its end means (see AppendGrant)."""

    append: Append
    token: int | None
    is_creation: bool = False
    is_final: bool = False


class Adapter(Protocol):
    """One protocol. All methods may raise a Problem."""

    door: Door
    # What a script of another origin may send and read, beside what all protocols share.
    request_headers: tuple[str, ...]
    response_headers: tuple[str, ...]

    def speaks(self, call: Call) -> bool:
        """Tell whether a request is of this protocol; never asked about OPTIONS."""
        ...

    def headers(self, call: Call) -> dict[str, str]:
        """Return what stands on every answer of this protocol."""
        ...

    def advertise(self) -> dict[str, str]:
        """Return what an OPTIONS request is told."""
        ...

    def authorize(self, call: Call) -> Permit | HttpResponse:
        """Decide on a request before its body."""
        ...

    def complete(self, call: Call, grant: AppendGrant, status: Status) -> HttpResponse:
        """Answer a request whose body is on the disk; `call.method` and `.length` are unknown."""
        ...

    def respond(self, call: Call) -> HttpResponse:
        """Answer a request without a body."""
        ...

    def refuse(self, call: Call, problem: Problem) -> Problem:
        """Return the problem in the words of the protocol, as a rule the same."""
        ...


def method_not_allowed(*allowed: str) -> Problem:
    """Return the refusal of a method, with those that would do."""
    return Problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method",
        "This method has no meaning here",
        f"At this address there are {', '.join(allowed)}.",
        headers={"Allow": ", ".join(allowed)},
    )


def malformed(reason: str) -> Problem:
    """Return the refusal of a header."""
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "malformed-header",
        "A header is malformed",
        f"The request is malformed: {reason}.",
    )


def wrong_type(media_type: str) -> Problem:
    """Return the refusal of a body, with the type that would do."""
    return Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "media-type",
        "The body has another type",
        f"Send the bytes with 'Content-Type: {media_type}'.",
    )


def add_address(call: Call, response: HttpResponse, upload: Upload) -> None:
    """Say where a new upload is, and give the token that is good for it alone."""
    response.headers["Location"] = call.request.build_absolute_uri(upload.get_resource_url())
    response.headers["Upload-Token"] = access.capability(upload)


def is_address(target: str) -> bool:
    """Tell whether an upload can have this address below /files/; no file is called so."""
    try:
        return str(UUID(target)) == target
    except ValueError:
        return False
