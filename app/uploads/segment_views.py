"""/segments/: raw bodies with Session-ID and Content-Range, each with or without `X-`.

nginx answers the segments that do not complete a file: 201, and the ranges that are there.
"""

import re
import uuid
from http import HTTPStatus
from typing import Final

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.http import parse_header_parameters
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.models import User
from config.problems import Problem
from uploads import access, content_range, ending, handoff, partials, segments, service, storage
from uploads.access import Continuer
from uploads.answers import completed
from uploads.grants import AppendGrant
from uploads.models import Door, State, Upload
from uploads.protocols.adapter import method_not_allowed
from uploads.refusals import Gone
from uploads.service import NewUpload

_SESSION: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")


def authorize(request: HttpRequest, asked: handoff.AuthorizeRequest) -> HttpResponse:
    """Decide on a segment before its body; the first one of a session records its upload."""
    if asked.content_type.lower().startswith("multipart/form-data"):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "A segment is a raw body",
            "Send the bytes themselves, with 'Content-Type: application/octet-stream'; forms go to"
            " /upload.",
        )
    session = _session(request)
    total = _total(request, asked.length)
    name = _name(request)
    kind = asked.content_type if handoff.is_media_type(asked.content_type) else ""
    client = access.continuer(request)
    upload = _join(client, session, total) or _begin(request, session, total, name, kind)
    path = partials.locate(upload)
    for directory in (path.parent.parent.parent, path.parent.parent, path.parent):
        storage.make_directory(directory)
    segments.mend(path, total)
    grant = AppendGrant(
        upload=str(upload.id),
        protocol=Door.SEGMENTS.value,
        token=client.token.pk if client.token else None,
        is_creation=False,
        is_final=False,
    )
    directory = path.parent.relative_to(path.parent.parent.parent)
    return handoff.write_segment(grant.sign(), str(directory), total)


@csrf_exempt  # the grant is the proof
@require_POST
def complete(request: HttpRequest) -> HttpResponse:
    """Take note of a file whose last missing segment has come."""
    grant = AppendGrant.read(handoff.read_grant(request.headers))
    body = handoff.read_append(request.POST)
    status = service.received(grant.open(), body, is_final=False)
    return completed(request, [status.upload])


@csrf_exempt  # `access` looks at where it comes from
def resource(request: HttpRequest) -> HttpResponse:
    """End an unfinished upload: DELETE with its Session-ID."""
    if request.method != "DELETE":
        raise method_not_allowed("POST", "DELETE")
    client = access.continuer(request)
    upload = _find(client.user, _session(request))
    if upload is None or not client.may(upload):
        raise access.not_found()
    ending.terminate(upload)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _join(client: Continuer, session: str, total: int) -> Upload | None:
    """Return the upload of a session, None: it has none yet. Problem: 401, 409 or 410."""
    upload = _find(client.user, session)
    if upload is None:
        return None
    if not client.may(upload):
        raise access.not_found()
    if upload.is_overdue(timezone.now()):
        # Once it is gone, the session can begin again.
        ending.expire(upload)
        raise Gone(State.EXPIRED)
    if upload.length != total:
        raise segments.TotalConflict(upload.length or 0, total)
    service.slide(upload)
    service.recover(upload)
    return upload


def _begin(request: HttpRequest, session: str, total: int, name: str, kind: str) -> Upload:
    """Record a new upload, unless another segment of its session has just done so."""
    creator = access.creator(request)
    with transaction.atomic():
        # Segments come in parallel from the first on, and they are one upload.
        User.objects.select_for_update().get(pk=creator.user.pk)
        upload = _find(creator.user, session)
        if upload is None:
            new = NewUpload(
                owner=creator.user,
                token=creator.token,
                protocol=Door.SEGMENTS,
                name=name,
                length=total,
                content_type=kind,
                metadata=session,
            )
            upload = service.begin(new, size=0).upload
            # The client named it, so it knows of it already.
            service.slide(upload)
        elif upload.length != total:
            raise segments.TotalConflict(upload.length or 0, total)
    return upload


def _find(owner: User, session: str) -> Upload | None:
    return (
        Upload.objects.receiving()
        .select_related("owner")
        .filter(owner=owner, protocol=Door.SEGMENTS, metadata=session)
        .first()
    )


def _header(request: HttpRequest, name: str) -> str | None:
    # In the module's order, so that both read the same one.
    found = request.headers.get(name)
    return request.headers.get(f"X-{name}") if found is None else found


def _session(request: HttpRequest) -> str:
    session = _header(request, "Session-ID") or ""
    if not _SESSION.fullmatch(session):
        raise _malformed("a Session-ID has 1 to 200 letters, digits, _ and -")
    return session


def _total(request: HttpRequest, length: int | None) -> int:
    found = content_range.read(_header(request, "Content-Range"))
    if found is None:
        if length is None:
            raise _malformed("without Content-Range it has to have a Content-Length")
        return length
    if length is not None and length != found.size:
        raise Problem(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "range",
            "The body and its range differ",
            f"The body has {length} bytes and its range {found.size}. Send both anew.",
            numbers={"size": length},
        )
    return found.total


def _name(request: HttpRequest) -> str:
    try:
        _, parameters = parse_header_parameters(_header(request, "Content-Disposition") or "")
    except (LookupError, ValueError):
        raise _malformed("Content-Disposition cannot be read") from None
    name = parameters.get("filename")
    return handoff.clean_name(name) if name else f"upload-{uuid.uuid4().hex[:8]}"


def _malformed(reason: str) -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "malformed-header",
        "A header is malformed",
        f"The request is malformed: {reason}.",
    )
