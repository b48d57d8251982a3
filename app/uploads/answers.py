"""What clients get of an upload, by whatever door it came: its description, and its file."""

from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.http import content_disposition_header

from uploads import service
from uploads.models import Upload

PROTECTED: Final = "/protected/"


def describe(request: HttpRequest, upload: Upload) -> dict[str, str | int]:
    """Return an upload as clients get it in JSON."""
    return {
        "id": str(upload.id),
        "name": upload.name,
        "size": upload.size,
        "sha256": upload.sha256,
        "url": request.build_absolute_uri(upload.get_download_url()),
    }


def completed(request: HttpRequest, uploads: list[Upload]) -> JsonResponse:
    """Return the answer to a program whose files are complete."""
    return JsonResponse(
        {"detail": "Upload Complete", "uploads": [describe(request, u) for u in uploads]}
    )


def describe_progress(request: HttpRequest, status: service.Status) -> dict[str, Any]:
    """Return an upload that is no file yet as clients get it in JSON."""
    upload = status.upload
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


def file(upload: Upload) -> HttpResponse:
    """Tell nginx which file to send, under its client's name and always to be saved."""
    response = HttpResponse(content_type=upload.content_type or "application/octet-stream")
    response.headers["X-Accel-Redirect"] = PROTECTED + upload.stored_path
    response.headers["Content-Disposition"] = (
        content_disposition_header(as_attachment=True, filename=upload.name) or "attachment"
    )
    response.headers["Repr-Digest"] = upload.repr_digest
    response.headers["Cache-Control"] = "private, no-cache"
    return response
