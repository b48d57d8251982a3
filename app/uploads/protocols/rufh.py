"""IETF resumable uploads (draft-ietf-httpbis-resumable-upload), interop versions 6 and 8.

The interim answer 104 is not sent: nginx lets none through. A client that wants to resume creates
an upload with `Upload-Complete: ?0` and gets its address, before the first byte if it likes.
"""

from http import HTTPStatus
from typing import ClassVar, Final

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from django.utils.http import parse_header_parameters

from config.problems import Problem
from uploads import access, ending, refusals, service, space, states
from uploads.grants import AppendGrant
from uploads.handoff import clean_name, is_media_type, unnamed
from uploads.models import Door, State, Upload
from uploads.partials import Takeover
from uploads.protocols import structured
from uploads.protocols.adapter import (
    BODY_METHODS,
    Call,
    Permit,
    add_address,
    is_address,
    malformed,
    method_not_allowed,
    wrong_type,
)
from uploads.protocols.finished import finished
from uploads.service import NewUpload, Status

CONTENT_TYPE: Final = "application/partial-upload"
# Headers that no other protocol has.
_MARKS: Final = ("Upload-Complete", "Upload-Draft-Interop-Version")
_TRUE: Final = "?1"
_FALSE: Final = "?0"
_CREATION_METHODS: Final = ("POST", "PUT", "PATCH", "OPTIONS")
_UPLOAD_METHODS: Final = ("HEAD", "PATCH", "DELETE", "OPTIONS")


class Registered(Problem):
    """A problem of a type that the draft registers."""

    type_prefix: ClassVar[str] = "https://iana.org/assignments/http-problem-types#"


class Rufh:
    """The adapter of IETF resumable uploads."""

    door: Door = Door.RUFH
    request_headers: tuple[str, ...] = (
        *_MARKS,
        "Upload-Offset",
        "Upload-Length",
        "Content-Disposition",
        "Content-Digest",
        "Repr-Digest",
        "Want-Repr-Digest",
    )
    response_headers: tuple[str, ...] = (
        "Upload-Complete",
        "Upload-Offset",
        "Upload-Length",
        "Upload-Limit",
        "Upload-Token",
        "Repr-Digest",
    )

    def speaks(self, call: Call) -> bool:
        """Tell by its headers; whatever else is asked of an upload's address is asked here."""
        if any(name in call.headers for name in _MARKS) or call.has_type(CONTENT_TYPE):
            return True
        return call.method in {"HEAD", "PATCH", "DELETE"} and is_address(call.target)

    def headers(self, call: Call) -> dict[str, str]:  # noqa: ARG002 - of the protocol
        """Return nothing: what stands on every answer depends on it."""
        return {}

    def advertise(self) -> dict[str, str]:
        """Return the limits, which say that the protocol is spoken."""
        return {"Upload-Limit": _limits(settings.UPLOAD_EXPIRY)}

    def authorize(self, call: Call) -> Permit:
        """Allow a creation, or a PATCH at the right offset."""
        if is_address(call.target):
            if call.method != "PATCH":
                raise method_not_allowed(*_UPLOAD_METHODS)
            return self._append(call)
        # The content of a creation has a type of its own.
        return self._append(call) if call.has_type(CONTENT_TYPE) else self._create(call)

    def _create(self, call: Call) -> Permit:
        creator = access.creator(call.request)
        is_complete = _read_complete(call)
        if structured.integer(call.headers, "Upload-Offset"):
            raise malformed("a new upload has no Upload-Offset: append to the upload's own address")
        append = service.begin(
            NewUpload(
                owner=creator.user,
                token=creator.token,
                protocol=self.door,
                name=_name(call),
                length=_length(call, 0, is_complete=is_complete),
                content_type=call.content_type if is_media_type(call.content_type) else "",
                sha256=structured.repr_sha256(call.headers),
            ),
            size=call.length,
            checksum=structured.content_digest(call.headers),
        )
        token = creator.token.pk if creator.token else None
        return Permit(append, token, is_creation=True, is_final=is_complete)

    def _append(self, call: Call) -> Permit:
        opened = access.to_upload(call.request, call.target)
        upload = opened.upload
        states.require_open(upload)
        if not call.has_type(CONTENT_TYPE):
            raise wrong_type(CONTENT_TYPE)
        is_complete = _read_complete(call)
        offset = structured.integer(call.headers, "Upload-Offset")
        if offset is None:
            raise malformed("Upload-Offset is missing, or no number of bytes")
        try:
            append = service.append(
                upload,
                offset,
                size=call.length,
                length=_length(call, offset, is_complete=is_complete),
                sha256=structured.repr_sha256(call.headers),
                takeover=Takeover.NOW,
                checksum=structured.content_digest(call.headers),
            )
        except refusals.LengthExceeded:
            # As in service.too_long, but nobody holds the file.
            ending.terminate(upload)
            raise
        return Permit(append, opened.token, is_final=is_complete)

    def complete(self, call: Call, grant: AppendGrant, status: Status) -> HttpResponse:
        """Answer as a form is answered when the file is complete, and with the offset before."""
        upload = status.upload
        if upload.state == State.COMPLETE:
            response = finished(call, upload)
            response.headers["Upload-Complete"] = _TRUE
            return response
        response = HttpResponse(
            status=HTTPStatus.CREATED if grant.is_creation else HTTPStatus.NO_CONTENT
        )
        _describe(response, status)
        if grant.is_creation:
            add_address(call, response, upload)
        return response

    def respond(self, call: Call) -> HttpResponse:
        """Answer HEAD and DELETE."""
        if not call.target:
            raise method_not_allowed(*_CREATION_METHODS)
        if call.method == "HEAD":
            return self._state(call)
        if call.method == "DELETE":
            ending.terminate(access.to_upload(call.request, call.target).upload)
            return HttpResponse(status=HTTPStatus.NO_CONTENT)
        raise method_not_allowed(*_UPLOAD_METHODS)

    def _state(self, call: Call) -> HttpResponse:
        upload = access.to_upload(call.request, call.target, safe=True).upload
        status = service.status(upload, takeover=Takeover.NOW, door=self.door)
        response = HttpResponse(status=HTTPStatus.NO_CONTENT)
        _describe(response, status)
        if status.length is not None:
            response.headers["Upload-Length"] = str(status.length)
        if upload.state == State.COMPLETE and structured.wants_sha256(call.headers):
            response.headers["Repr-Digest"] = upload.repr_digest
        response.headers["Cache-Control"] = "no-store"
        return response

    def refuse(self, call: Call, problem: Problem) -> Problem:
        """Return it in the draft's types, and say whether it is about the upload or its file."""
        worded = _worded(problem)
        # The method is not known any more once the body is there.
        if not call.method or call.method in BODY_METHODS:
            is_over = isinstance(problem, refusals.AlreadyComplete | refusals.DigestMismatch)
            asked = structured.boolean(call.headers, "Upload-Complete")
            worded.headers["Upload-Complete"] = _TRUE if is_over and asked else _FALSE
        return worded


def _read_complete(call: Call) -> bool:
    is_complete = structured.boolean(call.headers, "Upload-Complete")
    if is_complete is None:
        raise malformed("Upload-Complete is ?1 when this is the end of the file, and else ?0")
    return is_complete


def _length(call: Call, offset: int, *, is_complete: bool) -> int | None:
    declared = structured.integer(call.headers, "Upload-Length")
    if not is_complete or call.length is None:
        return declared
    end = offset + call.length
    if declared is not None and declared != end:
        raise refusals.LengthConflict(declared, end)
    return end


def _name(call: Call) -> str:
    if call.target:
        return clean_name(call.target)
    text = call.headers.get("Content-Disposition", "")
    try:
        # Not ASCII, it is UTF-8 as a rule, and a WSGI server hands it over as Latin-1.
        text = text.encode("latin-1").decode()
        name = parse_header_parameters(text)[1].get("filename")
    except ValueError:
        name = None
    return clean_name(name) if name else unnamed()


def _describe(response: HttpResponse, status: Status) -> None:
    is_complete = status.upload.state == State.COMPLETE
    response.headers["Upload-Complete"] = _TRUE if is_complete else _FALSE
    response.headers["Upload-Offset"] = str(status.offset)
    response.headers["Upload-Limit"] = _limits(None if is_complete else _age(status.upload))


def _age(upload: Upload) -> int | None:
    if upload.expires is None:
        return None
    return max(0, int((upload.expires - timezone.now()).total_seconds()))


def _limits(max_age: int | None) -> str:
    return structured.dictionary(max_size=space.max_size(), min_size=0, max_age=max_age)


def _worded(problem: Problem) -> Problem:
    if isinstance(problem, refusals.OffsetConflict):
        return Registered(
            problem.status,
            "mismatching-upload-offset",
            problem.title,
            problem.detail,
            numbers={"expected-offset": problem.expected, "provided-offset": problem.provided},
            headers={"Upload-Offset": str(problem.expected)},
        )
    kind = None
    if isinstance(problem, refusals.AlreadyComplete):
        kind = "completed-upload"
    if isinstance(problem, refusals.LengthConflict | refusals.LengthExceeded | refusals.Incomplete):
        kind = "inconsistent-upload-length"
    if kind is None:
        return problem
    return Registered(
        HTTPStatus.BAD_REQUEST, kind, problem.title, problem.detail, numbers=problem.numbers
    )
