"""Plain PUT: `curl -T run.bam https://host/files/run.bam`, and `curl -C` to go on with a cut one.

Its client knows no address but the name that it sends to, so the newest unfinished PUT of that name
is what HEAD tells of and a Content-Range continues. A finished one is out of reach by its name.
"""

from http import HTTPStatus
from typing import Final

from django.http import HttpResponse

from config.problems import Problem
from uploads import access, content_range, ending, refusals, service
from uploads.content_range import ContentRange
from uploads.grants import AppendGrant
from uploads.handoff import BadName, clean_name, is_media_type
from uploads.models import Door, State
from uploads.partials import Takeover
from uploads.protocols import structured
from uploads.protocols.adapter import Call, Permit, is_address, malformed, method_not_allowed
from uploads.protocols.finished import finished
from uploads.service import NewUpload, Status

_METHODS: Final = ("HEAD", "PUT", "OPTIONS")


class Put:
    """The adapter of plain PUT; takes what no other adapter recognises."""

    door: Door = Door.PUT
    request_headers: tuple[str, ...] = (
        "Content-Range",
        "Content-Digest",
        "Repr-Digest",
        "Want-Repr-Digest",
    )
    response_headers: tuple[str, ...] = ("Upload-Offset", "Upload-Length", "Repr-Digest")

    def speaks(self, call: Call) -> bool:
        """Tell by the method, or an address that is a file's name."""
        return call.method == "PUT" or (bool(call.target) and not is_address(call.target))

    def headers(self, call: Call) -> dict[str, str]:  # noqa: ARG002 - of the protocol
        """Return nothing: a plain client expects nothing."""
        return {}

    def advertise(self) -> dict[str, str]:
        """Return nothing: the method is named as every other."""
        return {}

    def authorize(self, call: Call) -> Permit:
        """Allow a new file, or the continuation of one."""
        if call.method != "PUT":
            raise method_not_allowed(*_METHODS)
        if is_address(call.target):
            raise method_not_allowed("HEAD", "PATCH", "DELETE", "OPTIONS")
        name = _name(call)
        part = content_range.read(call.headers.get("Content-Range"))
        if part is not None and call.length not in {None, part.size}:
            raise malformed(f"Content-Range says {part.size} bytes, and the body has {call.length}")
        if part is None or part.first == 0:
            return self._create(call, name, part)
        return self._append(call, name, part)

    def _create(self, call: Call, name: str, part: ContentRange | None) -> Permit:
        creator = access.creator(call.request)
        new = NewUpload(
            owner=creator.user,
            token=creator.token,
            protocol=self.door,
            name=name,
            length=part.total if part else call.length,
            content_type=call.content_type if is_media_type(call.content_type) else "",
            sha256=structured.repr_sha256(call.headers),
            is_findable=True,
        )
        checksum = structured.content_digest(call.headers)
        ending.supersede(access.of(creator), name)
        append = service.begin(new, size=call.length, checksum=checksum)
        token = creator.token.pk if creator.token else None
        return Permit(append, token, is_creation=True, is_final=_is_last(part))

    def _append(self, call: Call, name: str, part: ContentRange) -> Permit:
        opened = access.to_named(call.request, name, self.door)
        if opened is None:
            raise refusals.OffsetConflict(0, part.first)
        append = service.append(
            opened.upload,
            part.first,
            size=call.length,
            length=part.total,
            sha256=structured.repr_sha256(call.headers),
            takeover=Takeover.IDLE,
            checksum=structured.content_digest(call.headers),
        )
        return Permit(append, opened.token, is_final=_is_last(part))

    def complete(self, call: Call, grant: AppendGrant, status: Status) -> HttpResponse:  # noqa: ARG002
        """Answer 201 to a whole file, and 204 with the offset to a range that is not the last."""
        if status.upload.state == State.COMPLETE:
            return finished(call, status.upload)
        return _progress(status)

    def respond(self, call: Call) -> HttpResponse:
        """Answer HEAD."""
        if call.method != "HEAD":
            raise method_not_allowed(*_METHODS)
        opened = access.to_named(call.request, _name(call), self.door, safe=True)
        if opened is None:
            raise access.not_found()
        response = _progress(service.status(opened.upload, takeover=Takeover.IDLE))
        response.headers["Cache-Control"] = "no-store"
        return response

    def refuse(self, call: Call, problem: Problem) -> Problem:  # noqa: ARG002 - of the protocol
        """Return it with the offset to go on from."""
        if isinstance(problem, refusals.OffsetConflict):
            problem.headers["Upload-Offset"] = str(problem.expected)
        return problem


def _name(call: Call) -> str:
    if "/" in call.target:
        raise BadName("it has a path")
    return clean_name(call.target)


def _is_last(part: ContentRange | None) -> bool:
    return part is None or part.last + 1 == part.total


def _progress(status: Status) -> HttpResponse:
    response = HttpResponse(status=HTTPStatus.NO_CONTENT)
    response.headers["Upload-Offset"] = str(status.offset)
    if status.length is not None:
        response.headers["Upload-Length"] = str(status.length)
    return response
