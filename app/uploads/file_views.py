"""The page of one upload, and what its people may do there; programs get its description."""

from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.authentication import Identity, identified, identified_with
from accounts.models import Scope
from config.problems import wants_page
from uploads import access, answers, commands, ending, handoff, history, service, sharing, states
from uploads.models import ENDED, Kind, ShareLink, ShareLinkQuerySet, State, Upload

_ACTIONS: Final = ["GET", "HEAD", "POST"]


@require_safe
@identified_with(Scope.UPLOAD)
def upload_detail(request: HttpRequest, identity: Identity, upload_id: UUID) -> HttpResponse:
    """Show one upload, also while it is under way; programs get JSON."""
    upload = visible(identity, upload_id)
    if wants_page(request):
        # It has the share links, which are good for more than a token that only uploads.
        identity.require(Scope.READ)
        response = _page(request, identity, upload)
    else:
        response = _description(request, upload)
    patch_vary_headers(response, ["Accept"])
    return response


@require_safe
@identified
def download(request: HttpRequest, identity: Identity, upload_id: UUID) -> HttpResponse:  # noqa: ARG001
    """Tell nginx which file to send, under its client's name and always to be saved."""
    upload = visible(identity, upload_id)
    states.require_complete(upload)
    return answers.file(upload)


@require_http_methods(_ACTIONS)
@identified
def rename(request: HttpRequest, identity: Identity, upload_id: UUID) -> HttpResponse:
    """Give a file another name, by the rules of names that uploads come with."""
    upload = visible(identity, upload_id)
    states.require_complete(upload)
    target = _next(request, upload.get_absolute_url())
    context = {"user": identity.user, "upload": upload, "next": target, "asked": _asked(request)}
    if request.method != "POST":
        return render(request, "uploads/rename.html", {**context, "name": upload.name})
    name = request.POST.get("name", "")
    try:
        _rename(upload, handoff.clean_name(name))
    except handoff.BadName as bad:
        context |= {"name": name, "error": f"This name cannot be used, {bad.reason}."}
        return render(request, "uploads/rename.html", context, status=bad.status)
    messages.success(request, f"Renamed: {upload.name}")
    return _see_other(target)


@require_http_methods(_ACTIONS)
@identified
def delete(request: HttpRequest, identity: Identity, upload_id: UUID) -> HttpResponse:
    """Ask, and then delete a file, or cancel an upload that is under way."""
    upload = visible(identity, upload_id)
    states.require_remembered(upload)
    if request.method != "POST":
        context = {
            "user": identity.user,
            "upload": upload,
            "links": _links(upload).count(),
            "next": _next(request, upload.get_absolute_url()),
            "asked": _asked(request),
        }
        return render(request, "uploads/delete.html", context)
    ending.terminate(upload)
    messages.success(request, f"Deleted: {upload.name}")
    return _see_other(_next(request, reverse("uploads")))


@require_POST
@identified
def share(request: HttpRequest, identity: Identity, upload_id: UUID) -> HttpResponse:
    """Make a share link."""
    upload = visible(identity, upload_id)
    states.require_complete(upload)
    fields = {key: request.POST.get(key, "") for key in ("lifetime", "day")}
    try:
        expires = sharing.read_expiry(**fields)
    except sharing.BadExpiry as bad:
        return _page(request, identity, upload, status=bad.status, share_error=bad.detail)
    sharing.create(upload, identity.user, expires)
    messages.success(request, "The share link is below.")
    return _see_other(f"{upload.get_absolute_url()}#shares")


@require_POST
@identified
def withdraw(
    request: HttpRequest, identity: Identity, upload_id: UUID, link_id: UUID
) -> HttpResponse:
    """End a share link now."""
    upload = visible(identity, upload_id)
    link = ShareLink.objects.filter(upload=upload, pk=link_id).first()
    if link is None:
        raise Http404
    sharing.withdraw(link)
    messages.success(request, "The share link is withdrawn.")
    return _see_other(f"{upload.get_absolute_url()}#shares")


def visible(identity: Identity, upload_id: UUID) -> Upload:
    """Return an upload that somebody may see, and so manage. Http404: there is none."""
    uploads = access.visible(identity).select_related("owner", "token")
    upload = uploads.filter(pk=upload_id).first()
    if upload is None:
        # The same for a stranger's upload and for none, so that ids cannot be tried out.
        raise Http404
    return upload


def _description(request: HttpRequest, upload: Upload) -> JsonResponse:
    status = service.status(upload)
    if upload.state == State.COMPLETE:
        told = answers.describe(request, upload)
    else:
        told = answers.describe_progress(request, status)
    return JsonResponse(
        {
            **told,
            "state": upload.state,
            "content_type": upload.content_type,
            "fields": upload.fields,
            "created": upload.created.isoformat(),
        }
    )


def _page(
    request: HttpRequest,
    identity: Identity,
    upload: Upload,
    status: HTTPStatus = HTTPStatus.OK,
    **more: Any,
) -> HttpResponse:
    state = _state(upload)
    context = {
        "user": identity.user,
        "upload": upload,
        "state": state,
        "events": history.of(upload),
        "interruptions": history.interruptions(upload),
        **more,
    }
    if state is State.COMPLETE:
        context |= {
            "check": commands.check(upload),
            "curl": commands.curl(request, upload),
            "push": commands.push(request, upload),
            "links": [(link, sharing.url_of(request, link)) for link in _links(upload)],
            "lifetimes": [(key, label) for key, (label, _) in sharing.LIFETIMES.items()],
            "lifetime": request.POST.get("lifetime", sharing.DEFAULT_LIFETIME),
            "day": request.POST.get("day", ""),
        }
    if state is State.RECEIVING:
        context["progress"] = service.status(upload)
    if state in ENDED:
        status = HTTPStatus.GONE
    return render(request, "uploads/file.html", context, status=status)


def _links(upload: Upload) -> ShareLinkQuerySet:
    return ShareLink.objects.working().filter(upload=upload).select_related("created_by")


def _state(upload: Upload) -> State:
    state = State(upload.state)
    is_waiting = state in {State.RECEIVING, State.PART}
    return State.EXPIRED if is_waiting and upload.is_overdue(timezone.now()) else state


def _rename(upload: Upload, name: str) -> None:
    if name == upload.name:
        return
    with transaction.atomic():
        Upload.objects.filter(pk=upload.pk).update(name=name)
        history.record(upload, Kind.RENAMED, detail=f"{upload.name} \N{RIGHTWARDS ARROW} {name}")
    upload.name = name


def _asked(request: HttpRequest) -> str:
    """Return the list as it was when a person left it, by its query; empty: it was not there."""
    asked = request.POST.get("next") or request.GET.get("next") or ""
    # What the list's own links have leads to no other site.
    return asked if asked.startswith("?") else ""


def _next(request: HttpRequest, default: str) -> str:
    asked = _asked(request)
    return reverse("uploads") + asked.removesuffix("?") if asked else default


def _see_other(target: str) -> HttpResponse:
    response = HttpResponseRedirect(target)
    response.status_code = HTTPStatus.SEE_OTHER
    return response
