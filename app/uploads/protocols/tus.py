"""tus 1.0.0 (https://tus.io/protocols/resumable-upload): its headers and statuses.

Every extension that nginx can serve: a trailer is not seen there, so checksum-trailer is not
offered. Parts are joined when all of them are complete: concatenation-unfinished is not offered.
"""

from http import HTTPStatus
from typing import Final

from django.http import HttpResponse
from django.utils.http import http_date

from accounts.authentication import Identity
from config.problems import Problem
from uploads import access, ending, joining, service, space, states
from uploads.grants import AppendGrant
from uploads.models import Door, State, Upload
from uploads.partials import Takeover
from uploads.protocols import tus_headers
from uploads.protocols.adapter import (
    Call,
    Permit,
    add_address,
    malformed,
    method_not_allowed,
    wrong_type,
)
from uploads.protocols.tus_headers import Concat
from uploads.service import NewUpload, Status

VERSION: Final = "1.0.0"
CONTENT_TYPE: Final = "application/offset+octet-stream"
EXTENSIONS: Final = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "expiration",
    "checksum",
    "termination",
    "concatenation",
)
# Headers that no other protocol has, for clients that forget their Tus-Resumable.
_MARKS: Final = (
    "Tus-Resumable",
    "Upload-Metadata",
    "Upload-Defer-Length",
    "Upload-Checksum",
    "Upload-Concat",
)
_COLLECTION_METHODS: Final = ("POST", "OPTIONS")
_UPLOAD_METHODS: Final = ("HEAD", "PATCH", "DELETE", "OPTIONS")


class Tus:
    """The adapter of tus."""

    door: Door = Door.TUS
    request_headers: tuple[str, ...] = (
        "Tus-Resumable",
        "Upload-Length",
        "Upload-Defer-Length",
        "Upload-Offset",
        "Upload-Metadata",
        "Upload-Checksum",
        "Upload-Concat",
        "X-HTTP-Method-Override",
    )
    response_headers: tuple[str, ...] = (
        "Tus-Resumable",
        "Tus-Version",
        "Tus-Extension",
        "Tus-Max-Size",
        "Tus-Checksum-Algorithm",
        "Upload-Offset",
        "Upload-Length",
        "Upload-Defer-Length",
        "Upload-Metadata",
        "Upload-Expires",
        "Upload-Concat",
        "Upload-Token",
    )

    def speaks(self, call: Call) -> bool:
        """Tell by a header that only tus has, or by its media type."""
        return any(name in call.headers for name in _MARKS) or call.has_type(CONTENT_TYPE)

    def headers(self, call: Call) -> dict[str, str]:  # noqa: ARG002 - of the protocol
        """Return the version that the answer is of."""
        return {"Tus-Resumable": VERSION}

    def advertise(self) -> dict[str, str]:
        """Return what works here."""
        limit = space.max_size()
        return {
            "Tus-Version": VERSION,
            "Tus-Extension": ",".join(EXTENSIONS),
            "Tus-Checksum-Algorithm": ",".join(tus_headers.CHECKSUM_BYTES),
            **({} if limit is None else {"Tus-Max-Size": str(limit)}),
        }

    def authorize(self, call: Call) -> Permit | HttpResponse:
        """Join parts, or allow a creation, or a PATCH at the right offset."""
        _require_version(call)
        if not call.target:
            if call.method != "POST":
                raise method_not_allowed(*_COLLECTION_METHODS)
            return self._create(call)
        if call.method != "PATCH":
            raise method_not_allowed(*_UPLOAD_METHODS)
        return self._append(call)

    def _create(self, call: Call) -> Permit | HttpResponse:
        creator = access.creator(call.request)
        # A body of unknown length has a type if it is one; without type it is taken for none.
        if call.length and not call.has_type(CONTENT_TYPE):
            raise wrong_type(CONTENT_TYPE)
        metadata = tus_headers.read_metadata(call.headers.get("Upload-Metadata", ""))
        concat = tus_headers.read_concat(call.headers)
        if concat is not None and concat.targets is not None:
            return self._join(call, creator, metadata, concat)
        append = service.begin(
            NewUpload(
                owner=creator.user,
                token=creator.token,
                protocol=self.door,
                name=metadata.name,
                length=tus_headers.read_new_length(call.headers),
                content_type=metadata.content_type,
                fields=metadata.fields,
                metadata=metadata.text,
                is_part=concat is not None,
                concat=concat.text if concat else "",
            ),
            size=call.length if call.has_type(CONTENT_TYPE) else 0,
            checksum=tus_headers.read_checksum(call.headers),
        )
        token = creator.token.pk if creator.token else None
        return Permit(append, token, is_creation=True)

    def _join(
        self, call: Call, creator: Identity, metadata: tus_headers.Metadata, concat: Concat
    ) -> HttpResponse:
        if call.length:
            raise malformed("a file of parts is sent without a body")
        if {"Upload-Length", "Upload-Defer-Length"} & call.headers.keys():
            raise malformed("the length of a file of parts is that of its parts")
        upload = joining.begin(
            NewUpload(
                owner=creator.user,
                token=creator.token,
                protocol=self.door,
                name=metadata.name,
                length=None,
                content_type=metadata.content_type,
                fields=metadata.fields,
                metadata=metadata.text,
                concat=concat.text,
            ),
            access.own(creator, concat.targets or ()),
        )
        response = _empty(HTTPStatus.CREATED)
        add_address(call, response, upload)
        return response

    def _append(self, call: Call) -> Permit:
        opened = access.to_upload(call.request, call.target)
        states.require_open(opened.upload)
        if not call.has_type(CONTENT_TYPE):
            raise wrong_type(CONTENT_TYPE)
        append = service.append(
            opened.upload,
            tus_headers.read_offset(call.headers),
            size=call.length,
            length=tus_headers.read_length(call.headers),
            takeover=Takeover.IDLE,
            checksum=tus_headers.read_checksum(call.headers),
        )
        return Permit(append, opened.token)

    def complete(self, call: Call, grant: AppendGrant, status: Status) -> HttpResponse:
        """Answer 201 to a creation, and 204 to a PATCH, with the new offset."""
        upload = status.upload
        response = _empty(HTTPStatus.CREATED if grant.is_creation else HTTPStatus.NO_CONTENT)
        response.headers["Upload-Offset"] = str(status.offset)
        _add_expiry(response, upload)
        if grant.is_creation:
            add_address(call, response, upload)
        return response

    def respond(self, call: Call) -> HttpResponse:
        """Answer HEAD and DELETE."""
        _require_version(call)
        if not call.target:
            raise method_not_allowed(*_COLLECTION_METHODS)
        if call.method == "HEAD":
            return self._state(call)
        if call.method == "DELETE":
            ending.terminate(access.to_upload(call.request, call.target).upload)
            return _empty(HTTPStatus.NO_CONTENT)
        raise method_not_allowed(*_UPLOAD_METHODS)

    def _state(self, call: Call) -> HttpResponse:
        upload = access.to_upload(call.request, call.target, safe=True).upload
        status = service.status(upload, takeover=Takeover.IDLE, door=self.door)
        response = _empty(HTTPStatus.OK)
        # Of a file whose parts are being joined tus has no offset.
        if upload.state != State.VERIFYING or not upload.concat:
            response.headers["Upload-Offset"] = str(status.offset)
        if status.length is None:
            response.headers["Upload-Defer-Length"] = "1"
        else:
            response.headers["Upload-Length"] = str(status.length)
        if upload.metadata:
            response.headers["Upload-Metadata"] = upload.metadata
        if upload.concat:
            response.headers["Upload-Concat"] = upload.concat
        _add_expiry(response, upload)
        response.headers["Cache-Control"] = "no-store"
        return response

    def refuse(self, call: Call, problem: Problem) -> Problem:  # noqa: ARG002 - of the protocol
        """Return it as it is: the statuses of the service are those of tus."""
        return problem


def _require_version(call: Call) -> None:
    version = call.headers.get("Tus-Resumable")
    if version != VERSION:
        raise Problem(
            HTTPStatus.PRECONDITION_FAILED,
            "tus-version",
            "This version of tus is not spoken here",
            f"Send 'Tus-Resumable: {VERSION}'.",
            headers={"Tus-Version": VERSION},
        )


def _empty(status: HTTPStatus) -> HttpResponse:
    response = HttpResponse(status=status)
    # Django's default is of no body's type.
    del response.headers["Content-Type"]
    return response


def _add_expiry(response: HttpResponse, upload: Upload) -> None:
    if upload.state in {State.RECEIVING, State.PART} and upload.expires is not None:
        response.headers["Upload-Expires"] = http_date(upload.expires.timestamp())
