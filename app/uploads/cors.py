"""Pages of other origins that may upload here: UPLOAD_CORS_ORIGINS, and nobody by default.

They send a token and never a cookie: credentials are not allowed.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

ANY: Final = "*"
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# Beside those of the protocols, and those that every script may send or read.
REQUEST_HEADERS: Final = ("Authorization", "Content-Type", "X-Requested-With", "X-Request-ID")
RESPONSE_HEADERS: Final = ("Location",)
PREFLIGHT_SECONDS: Final = 86400


def preflight(request: HttpRequest, request_headers: Iterable[str]) -> HttpResponse | None:
    """Return the answer to a browser that asks whether a script may; None: it does not ask."""
    if request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
        return None
    response = HttpResponse(status=HTTPStatus.NO_CONTENT)
    if _allowed(request) is not None:
        response.headers["Access-Control-Allow-Methods"] = METHODS
        response.headers["Access-Control-Allow-Headers"] = ", ".join(
            (*REQUEST_HEADERS, *request_headers)
        )
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)
    return response


def allow(request: HttpRequest, response: HttpResponse, response_headers: Iterable[str]) -> None:
    """Let the script that asked read the answer, if its origin is one of ours."""
    if not settings.UPLOAD_CORS_ORIGINS:
        return
    patch_vary_headers(response, ["Origin"])
    origin = _allowed(request)
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = ", ".join(
            (*RESPONSE_HEADERS, *response_headers)
        )


def _allowed(request: HttpRequest) -> str | None:
    origin = request.headers.get("Origin")
    if not origin:
        return None
    if ANY in settings.UPLOAD_CORS_ORIGINS:
        return ANY
    return origin if origin in settings.UPLOAD_CORS_ORIGINS else None
