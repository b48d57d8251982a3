"""The answer to the request that completes a file, in protocols that leave it to the server."""

from http import HTTPStatus

from django.http import HttpResponse

from uploads import answers
from uploads.models import Upload
from uploads.protocols import structured
from uploads.protocols.adapter import Call


def finished(call: Call, upload: Upload) -> HttpResponse:
    """Return 201 with the document that a form's files are answered with."""
    response = answers.completed(call.request, [upload])
    response.status_code = HTTPStatus.CREATED
    location = call.request.build_absolute_uri(upload.get_resource_url())
    response.headers["Location"] = location
    if structured.wants_sha256(call.headers):
        response.headers["Repr-Digest"] = upload.repr_digest
    return response
