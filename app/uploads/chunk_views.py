"""/chunked/: what clients of django-chunked-upload and of drf-chunked-upload send and expect.

The first one POSTs every chunk here, with `upload_id` in the form from the second on, and at the
end the id with a digest. The other PUTs the first chunk here and the others to the `url` of the
answer, where its POST with a digest ends the upload. Both get the same JSON. A POST to here with a
file, a digest and no range is a whole upload.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from accounts.models import User
from config.problems import Problem, answer
from uploads import access, chunks, content_range, ending, handoff, service, space, storage
from uploads.access import Continuer
from uploads.chunks import ALGORITHMS
from uploads.content_range import ContentRange
from uploads.grants import ChunkGrant
from uploads.handoff import ReceivedChunk
from uploads.models import Door, State, Upload
from uploads.protocols.adapter import method_not_allowed
from uploads.refusals import AlreadyComplete, LengthExceeded, OffsetConflict
from uploads.service import NewUpload, Status

# What ends an upload has an id and a digest or two.
MAX_END: Final = 64 * 1024
# Of the form that is not the client's own: its id, its digest, and Django's token.
_OURS: Final = frozenset({"upload_id", "filename", "csrfmiddlewaretoken", *ALGORITHMS})
# As both packages number them.
_UPLOADING, _COMPLETE = 1, 2


def authorize(request: HttpRequest, asked: handoff.AuthorizeRequest) -> HttpResponse:
    """Decide on a chunk, or on what ends an upload, before its body."""
    target = unquote(urlsplit(asked.uri).path).removeprefix(reverse("chunks"))
    return _answer(request, lambda: _authorize(request, asked, target))


@csrf_exempt  # the grant is the proof
@require_POST
def complete(request: HttpRequest) -> HttpResponse:
    """Join a chunk to those before, or end an upload, and answer the client."""
    grant = ChunkGrant.read(handoff.read_grant(request.headers))
    form = handoff.read_chunk(request.POST)

    def respond() -> HttpResponse:
        holder = grant.holder()
        target = grant.upload or form.fields.get("upload_id", [""])[0]
        upload = _own(holder, target) if target else None
        if form.chunk is None:
            return _state(request, _end(upload, form.fields))
        if grant.upload is not None and grant.size is None:
            raise _no_chunk("A chunk is sent to this address with PUT.")
        storage.verify_chunk(form.chunk)
        return _join(request, grant, upload, form)

    return _answer(request, respond)


@csrf_exempt  # `access` looks at where it comes from
def resource(request: HttpRequest, target: str = "") -> HttpResponse:
    """Tell the state of an upload, end it, or delete it."""
    return _answer(request, lambda: _respond(request, target))


def _authorize(request: HttpRequest, asked: handoff.AuthorizeRequest, target: str) -> HttpResponse:
    if not asked.content_type.lower().startswith("multipart/form-data"):
        # nginx refuses to receive it, and passes it on as any small request.
        _require_small(asked.length)
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    found = content_range.read(request.headers.get("Content-Range"))
    if target:
        opened = access.to_upload(request, target, door=Door.CHUNKED)
        grant = _grant(opened.upload.owner, opened.token, found)
        if asked.method == "POST":
            _require_small(asked.length)
            found, grant = None, replace(grant, first=None, size=None, total=None)
        else:
            part = _require_range(found)
            service.append(opened.upload, part.first, size=part.size, length=part.total)
        grant = replace(grant, upload=str(opened.upload.id))
        return _permit(grant, found, opened.upload.owner, asked.length)
    if asked.method == "PUT":
        _require_range(found)
    # Which upload goes on, only the body says.
    client = access.continuer(request)
    if client.is_outlived and (found is None or found.first == 0):
        access.creator(request)
    grant = _grant(client.user, client.token.pk if client.token else None, found)
    return _permit(replace(grant, is_outlived=client.is_outlived), found, client.user, asked.length)


def _grant(user: User, token: int | None, found: ContentRange | None) -> ChunkGrant:
    return ChunkGrant(
        user=user.pk,
        token=token,
        is_outlived=False,
        upload=None,
        first=found.first if found else None,
        size=found.size if found else None,
        total=found.total if found else None,
    )


def _permit(
    grant: ChunkGrant, found: ContentRange | None, owner: User, length: int | None
) -> HttpResponse:
    """Let a chunk in that there is room for, for itself and for the whole it begins."""
    overhead = settings.UPLOAD_FORM_OVERHEAD
    left = space.of(owner)
    # A chunk has its own file until it is joined; the rest of a quota is not concerned.
    room = replace(left, quota=None)
    if found is None:
        if length is not None and length <= MAX_END:
            # It may be what ends an upload, which has its room; `service.begin` sees to a new one.
            return handoff.write_grant(grant.sign(), MAX_END)
        if length is not None:
            space.require_size(length, overhead)
        space.require(left, length)
        space.require(room, None if length is None else 2 * max(0, length - overhead))
        return handoff.write_grant(grant.sign(), min(left.left, space.max_size() or left.left))
    space.require_size(found.total)
    if length is not None and not found.size <= length <= found.size + overhead:
        raise _wrong_size(length, found.size)
    if found.first == 0 and grant.upload is None:
        space.require(left, found.total)
    space.require(room, found.size)
    # A little too long is told in the words of the protocol, at the end.
    return handoff.write_grant(grant.sign(), found.size + overhead)


def _join(
    request: HttpRequest, grant: ChunkGrant, upload: Upload | None, form: handoff.ChunkForm
) -> HttpResponse:
    chunk = form.chunk
    if chunk is None:
        raise _no_chunk("Send one file in the form.")
    size = chunk.size if grant.size is None else grant.size
    if chunk.size != size:
        raise _wrong_size(chunk.size, size)
    first = grant.first or 0
    total = first + size if grant.total is None else grant.total
    is_new = upload is None
    if upload is None:
        if first:
            raise OffsetConflict(0, first)
        upload = _begin(grant, chunk, form.fields, total)
    permit = service.append(upload, first, size=size, length=total)
    status = chunks.absorb(permit, chunk)
    if is_new and grant.total is None and _checksums(form.fields):
        try:
            status = _end(upload, form.fields)
        except chunks.ChecksumMismatch:
            # Nobody was told of it.
            ending.terminate(upload)
            raise
    response = _state(request, status)
    if is_new:
        response.headers["Upload-Token"] = access.capability(upload)
    return response


def _begin(
    grant: ChunkGrant, chunk: ReceivedChunk, fields: Mapping[str, list[str]], total: int
) -> Upload:
    holder = grant.holder()
    named = fields.get("filename", [""])[0]
    new = NewUpload(
        owner=holder.user,
        token=holder.token,
        protocol=Door.CHUNKED,
        name=handoff.clean_name(named) if named else chunk.name,
        length=total,
        content_type=chunk.content_type,
        fields={name: values for name, values in fields.items() if name not in _OURS},
    )
    return service.begin(new, size=chunk.size).upload


def _end(upload: Upload | None, fields: Mapping[str, list[str]]) -> Status:
    checksums = _checksums(fields)
    if upload is None or not checksums:
        raise _no_chunk(
            "Both 'upload_id' and 'md5' are required to end an upload (or 'sha1', 'sha256',"
            " 'sha512'), and a file to begin one."
        )
    return chunks.finish(upload, checksums)


def _checksums(fields: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: fields[name][0] for name in ALGORITHMS if fields.get(name)}


def _own(client: Continuer, target: str) -> Upload:
    upload = access.find(target, Door.CHUNKED)
    if upload is None or not client.may(upload):
        raise access.not_found()
    return upload


def _respond(request: HttpRequest, target: str) -> HttpResponse:
    if request.method == "POST":
        fields = _read_end(request)
        named = target or fields.get("upload_id", [""])[0]
        if not named:
            raise _no_chunk("Send a file in a form, or 'upload_id' and 'md5'.")
        return _state(request, _end(_own(access.continuer(request), named), fields))
    if not target:
        raise method_not_allowed("POST", "PUT")
    if request.method in {"GET", "HEAD"}:
        opened = access.to_upload(request, target, safe=True, door=Door.CHUNKED)
        return _state(request, service.status(opened.upload))
    opened = access.to_upload(request, target, door=Door.CHUNKED)
    if request.method == "DELETE":
        ending.terminate(opened.upload)
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    if request.method == "PUT":
        raise _no_chunk("Send it as multipart/form-data.")
    raise method_not_allowed("PUT", "POST", "GET", "DELETE")


def _read_end(request: HttpRequest) -> dict[str, list[str]]:
    if request.content_type != "application/json":
        return dict(request.POST.lists())
    try:
        members = json.loads(request.body)
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise _no_chunk("The JSON cannot be read.")
    return {name: [str(value)] for name, value in members.items()}


def _state(request: HttpRequest, status: Status) -> JsonResponse:
    """Return what both packages tell of an upload."""
    upload = status.upload
    is_complete = upload.state == State.COMPLETE
    members: dict[str, str | int | None] = {
        "id": str(upload.id),
        "upload_id": upload.id.hex,
        "url": request.build_absolute_uri(upload.get_resource_url()),
        "filename": upload.name,
        "offset": status.offset,
        "length": status.length,
        "status": _COMPLETE if is_complete else _UPLOADING,
        "created_at": upload.created.isoformat(),
        "completed_at": upload.ended.isoformat() if upload.ended else None,
        "expires": upload.expires.isoformat() if upload.expires else None,
    }
    if is_complete:
        members["sha256"] = upload.sha256
        members["download"] = request.build_absolute_uri(upload.get_download_url())
    return JsonResponse(members)


def _answer(request: HttpRequest, respond: Callable[[], HttpResponse]) -> HttpResponse:
    """Return an answer whose refusals have the statuses of the packages."""
    try:
        return respond()
    except OffsetConflict as conflict:
        problem = Problem(
            HTTPStatus.BAD_REQUEST,
            conflict.kind,
            "Offsets do not match",
            f"Offsets do not match: {conflict.detail}",
            numbers={"offset": conflict.expected, "provided": conflict.provided},
        )
    except AlreadyComplete as complete_:
        problem = Problem(
            HTTPStatus.BAD_REQUEST,
            complete_.kind,
            complete_.title,
            'Upload has already been marked as "complete", and a finished file does not change.',
            numbers=complete_.numbers,
        )
    except LengthExceeded as exceeded:
        problem = Problem(
            HTTPStatus.BAD_REQUEST,
            exceeded.kind,
            exceeded.title,
            exceeded.detail,
            numbers=exceeded.numbers,
        )
    except Problem as other:
        problem = other
    return answer(request, problem)


def _require_range(found: ContentRange | None) -> ContentRange:
    if found is None:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "malformed-header",
            "Error in request headers",
            "Error in request headers: a chunk needs 'Content-Range: bytes FIRST-LAST/TOTAL'.",
        )
    return found


def _require_small(length: int | None) -> None:
    if length is None or length > MAX_END:
        raise Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "too-large",
            "This is no chunk, and too large for what ends an upload",
            "Send a chunk as multipart/form-data, with PUT where its upload has an address; what"
            f" ends an upload has {MAX_END} bytes at the most, and a Content-Length.",
            numbers={**({} if length is None else {"size": length}), "max_size": MAX_END},
        )


def _wrong_size(size: int, expected: int) -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "size",
        "The chunk and its range differ",
        f"File size doesn't match headers: {size} bytes came, and Content-Range says {expected}."
        " Send the chunk again.",
        numbers={"size": size, "expected": expected},
    )


def _no_chunk(remedy: str) -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "no-file",
        "No chunk file was submitted",
        f"No chunk file was submitted. {remedy}",
    )
