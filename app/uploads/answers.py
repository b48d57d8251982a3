"""What clients get in JSON of a finished upload, by whatever door it came."""

from django.http import HttpRequest, JsonResponse

from uploads.models import Upload


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
