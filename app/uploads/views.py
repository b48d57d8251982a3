"""Pages and downloads. nginx sends the file itself: Django answers with its place."""

from http import HTTPStatus
from typing import Final
from uuid import UUID

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.utils.http import content_disposition_header, urlencode
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from accounts.authentication import Identity, identified, identified_with
from accounts.models import Scope
from config.problems import Problem
from uploads import access, service, space, states
from uploads.answers import describe
from uploads.models import State, Upload, UploadQuerySet

PAGE_SIZE: Final = 50
PROTECTED: Final = "/protected/"


@csrf_exempt  # refused below with a reason, which the CSRF page would hide
def upload_page(request: HttpRequest) -> HttpResponse:
    """Show the page with the drop zone. Its POST is nginx's."""
    if request.method not in {"GET", "HEAD"}:
        raise Problem(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "method",
            "This request should have gone to the upload module",
            "nginx receives uploads at this address: its location needs the `upload` directives.",
            headers={"Allow": "GET, HEAD"},
        )
    return _upload_page(request)


@identified
def _upload_page(request: HttpRequest, identity: Identity) -> HttpResponse:
    return render(
        request,
        "uploads/upload.html",
        {
            "user": identity.user,
            "max_size": settings.UPLOAD_MAX_SIZE,
            "room": space.of(identity.user).left,
        },
    )


@require_safe
@identified
def upload_table(request: HttpRequest, identity: Identity) -> HttpResponse:
    """List a user's own uploads, newest first; staff sees everybody's. Programs get JSON."""
    uploads = Upload.objects.visible_to(identity.user).select_related("owner")
    if "application/json" in request.headers.get("Accept", ""):
        response = _listing(request, uploads.complete())
    else:
        response = _table(request, identity, uploads)
    patch_vary_headers(response, ["Accept"])
    return response


def _table(request: HttpRequest, identity: Identity, uploads: UploadQuerySet) -> HttpResponse:
    page = Paginator(uploads.complete(), PAGE_SIZE).get_page(request.GET.get("page"))
    # Few, and apart, so that the pages of files have an index.
    coming = list(uploads.in_the_background()) if page.number == 1 else []
    return render(
        request, "uploads/table.html", {"user": identity.user, "page": page, "coming": coming}
    )


def _listing(request: HttpRequest, uploads: UploadQuerySet) -> HttpResponse:
    asked = ((key, request.GET.get(key)) for key in ("name", "sha256"))
    chosen = {key: value for key, value in asked if value}
    page = Paginator(uploads.filter(**chosen), PAGE_SIZE).get_page(request.GET.get("page"))
    next_page = None
    if page.has_next():
        query = urlencode({**chosen, "page": str(page.next_page_number())})
        next_page = f"{request.path}?{query}"
    found = [{**describe(request, u), "created": u.created.isoformat()} for u in page]
    return JsonResponse({"uploads": found, "next": next_page})


@require_safe
@identified_with(Scope.UPLOAD)
def upload_detail(request: HttpRequest, identity: Identity, upload_id: UUID) -> HttpResponse:
    """Describe one upload in JSON, also while it is under way."""
    upload = _visible(identity, upload_id)
    return JsonResponse(
        {
            **_progress(request, upload),
            "state": upload.state,
            "content_type": upload.content_type,
            "fields": upload.fields,
            "created": upload.created.isoformat(),
        }
    )


def _progress(request: HttpRequest, upload: Upload) -> dict[str, str | int | None]:
    status = service.status(upload)
    if upload.state == State.COMPLETE:
        return {**describe(request, upload)}
    return {
        "id": str(upload.id),
        "name": upload.name,
        **({"sha256": upload.sha256} if upload.sha256 else {}),
        "protocol": upload.protocol,
        "offset": status.offset,
        "length": status.length,
        "expires": upload.expires.isoformat() if upload.expires else None,
        "url": request.build_absolute_uri(upload.get_resource_url()),
    }


@require_safe
@identified
def download(request: HttpRequest, identity: Identity, upload_id: UUID) -> HttpResponse:  # noqa: ARG001
    """Tell nginx which file to send, under its client's name and always to be saved."""
    upload = _visible(identity, upload_id)
    states.require_complete(upload)
    response = HttpResponse(content_type=upload.content_type or "application/octet-stream")
    response.headers["X-Accel-Redirect"] = PROTECTED + upload.stored_path
    response.headers["Content-Disposition"] = (
        content_disposition_header(as_attachment=True, filename=upload.name) or "attachment"
    )
    response.headers["Repr-Digest"] = upload.repr_digest
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _visible(identity: Identity, upload_id: UUID) -> Upload:
    upload = access.visible(identity).filter(pk=upload_id).first()
    if upload is None:
        # The same for a stranger's upload and for none, so that ids cannot be tried out.
        raise Http404
    return upload
