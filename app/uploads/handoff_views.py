"""The two addresses that only nginx calls: authorize before the body, complete after it."""

import logging
from http import HTTPStatus

from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from accounts.authentication import identify, refuse_anonymous, require_our_pages
from accounts.models import Scope, User
from config.problems import Problem, wants_page
from uploads import (
    answers,
    append_views,
    chunk_views,
    handoff,
    history,
    segment_views,
    space,
    storage,
)
from uploads.grants import Grant, issued
from uploads.models import Kind, Upload

logger = logging.getLogger(__name__)


@require_GET
def authorize(request: HttpRequest) -> HttpResponse:
    """Decide on an upload before its body: 204 with a grant, or the client's answer."""
    asked = handoff.read_authorize(request.headers)
    if asked is None:
        raise Http404
    if asked.shape is handoff.Shape.APPEND:
        return append_views.authorize(request, asked)
    if asked.shape is handoff.Shape.SEGMENT:
        return segment_views.authorize(request, asked)
    if handoff.is_chunk(asked.uri):
        return chunk_views.authorize(request, asked)
    identity = identify(request, Scope.UPLOAD)
    if identity is None:
        return refuse_anonymous(request, asked.uri)
    if identity.token is None:
        require_our_pages(request)
    max_size = _limit(identity.user, asked.length)
    return handoff.write_grant(Grant.to(identity, asked.length, max_size).sign(), max_size)


def _limit(owner: User, length: int | None) -> int | None:
    """Return the bytes that one file may have, None for no limit. Problem: 413 or 507.

    A body of unknown length may take what is left, so that the reserve holds; the room of a
    declared one is made sure of here.
    """
    if length is not None:
        space.require_size(length, overhead=settings.UPLOAD_FORM_OVERHEAD)
    left = space.of(owner)
    space.require(left, length)
    limit = space.max_size()
    if length is None:
        return left.left if limit is None else min(limit, left.left)
    return limit


@csrf_exempt  # the grant is the proof: authorize looked at where the request came from
@require_POST
def complete(request: HttpRequest) -> HttpResponse:
    """Record the files of one request, all or none, and answer the client."""
    if handoff.is_append(request.POST):
        return append_views.complete(request)
    grant = Grant.read(handoff.read_grant(request.headers))
    form = handoff.read_complete(request.POST)
    _check_files(form, grant)
    owner = grant.owner()
    uploads = [
        Upload(
            owner=owner,
            token_id=grant.token,
            name=file.name,
            size=file.size,
            sha256=file.sha256,
            content_type=file.content_type,
            fields=form.fields,
        )
        for file in form.files
    ]
    moves = [(f.path, u.stored_path) for f, u in zip(form.files, uploads, strict=True)]
    # The commit is inside the claim, so that a commit that fails moves the files back.
    with storage.claimed(moves), transaction.atomic():
        Upload.objects.bulk_create(uploads)
        history.record_all(uploads, Kind.BEGAN, at=issued(handoff.read_grant(request.headers)))
        history.record_all(uploads, Kind.COMPLETED)
    for upload in uploads:
        logger.info("upload %s complete: %d bytes, user %d", upload.id, upload.size, owner.pk)
    if wants_page(request):
        return _to_table(request, uploads)
    return answers.completed(request, uploads)


def _check_files(form: handoff.CompleteForm, grant: Grant) -> None:
    if len({file.path for file in form.files}) < len(form.files):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "not-in-store",
            "The received files cannot be claimed",
            "Two files of the form have one path. Send them again.",
        )
    for file in form.files:
        storage.verify(file)
        if grant.max_size is not None and file.size > grant.max_size:
            raise Problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "too-large",
                "The file is too large",
                f"{file.name} has {file.size} bytes, and {grant.max_size} are the most.",
                numbers={"size": file.size, "max_size": grant.max_size},
            )


def _to_table(request: HttpRequest, uploads: list[Upload]) -> HttpResponse:
    names = uploads[0].name if len(uploads) == 1 else f"{len(uploads)} files"
    messages.success(request, f"Upload complete: {names}")
    response = HttpResponseRedirect(reverse("uploads"))
    response.status_code = HTTPStatus.SEE_OTHER
    return response
