"""The page with the drop zone."""

from http import HTTPStatus

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt

from accounts.authentication import Identity, identified
from config.problems import Problem
from uploads import space


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
