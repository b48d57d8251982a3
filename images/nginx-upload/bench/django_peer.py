"""The peer: Django's own upload handler, with a view that moves the file to where it stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import django
from django.conf import settings
from django.core.files.move import file_move_safe
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

if TYPE_CHECKING:
    from django.core.files.uploadedfile import TemporaryUploadedFile

STORE = Path(os.environ["BENCH_STORE"])

settings.configure(
    ALLOWED_HOSTS=["*"],
    FILE_UPLOAD_HANDLERS=["django.core.files.uploadhandler.TemporaryFileUploadHandler"],
    FILE_UPLOAD_TEMP_DIR=os.environ["BENCH_TEMPORARY"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for a benchmark",  # noqa: S106
)
django.setup()


def upload(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return HttpResponse(status=204)
    file: TemporaryUploadedFile = request.FILES["file"]
    temporary = Path(file.temporary_file_path())
    file_move_safe(temporary, STORE / temporary.name)
    return HttpResponse(status=201)


urlpatterns = [path("upload", upload)]
application = get_wsgi_application()
