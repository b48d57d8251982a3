"""Tokens over HTTP: push.py's login gets one for a password, and its logout withdraws it."""

import json
from http import HTTPStatus
from typing import Any, Final

from django.contrib.auth import authenticate
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from accounts.authentication import identify, unauthenticated
from accounts.models import ApiToken, User, new_token
from config.problems import Problem

# Failures that one address may have with one name, and with all, within the time. Each process of
# the application counts its own.
FAILURES_OF_NAME: Final = 5
FAILURES_OF_ADDRESS: Final = 50
FAILURE_SECONDS: Final = 300
NAME_LENGTH: Final = 100


@csrf_exempt  # a token or a password says who asks, never a cookie
def token(request: HttpRequest) -> HttpResponse:
    """Make a token for whoever knows a password, or withdraw the token that asks."""
    if request.method == "POST":
        return _create(request)
    if request.method == "DELETE":
        return _revoke(request)
    raise Problem(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method",
        "Tokens are made and withdrawn here",
        "Send POST with a name and a password, or DELETE with the token to be withdrawn.",
        headers={"Allow": "POST, DELETE"},
    )


@sensitive_variables("said", "text")
def _create(request: HttpRequest) -> HttpResponse:
    said = _read(request)
    keys = _keys(request, said["username"])
    for key, most in keys.items():
        if cache.get(key, 0) >= most:
            raise _too_many()
    user = authenticate(request, username=said["username"], password=said["password"])
    if not isinstance(user, User):
        for key in keys:
            cache.add(key, 0, FAILURE_SECONDS)
            cache.incr(key)
        raise Problem(
            HTTPStatus.UNAUTHORIZED,
            "password",
            "The name or the password is wrong",
            "Check both, and try again; who manages this service can set a new password.",
        )
    if ApiToken.objects.filter(owner=user, name=said["name"]).exists():
        raise Problem(
            HTTPStatus.CONFLICT,
            "token-name",
            "There is a token with this name",
            "Choose another name for the token.",
        )
    text = new_token()
    ApiToken.objects.add(user, said["name"], text)
    response = JsonResponse({"token": text, "name": said["name"]}, status=HTTPStatus.CREATED)
    response.headers["Cache-Control"] = "no-store"
    return response


def _revoke(request: HttpRequest) -> HttpResponse:
    identity = identify(request)
    if identity is None or identity.token is None:
        raise unauthenticated()
    ApiToken.objects.filter(pk=identity.token.pk).update(revoked=timezone.now())
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _read(request: HttpRequest) -> dict[str, str]:
    try:
        said: Any = json.loads(request.body)
        found = {key: said[key] for key in ("username", "password", "name")}
    except (ValueError, LookupError, TypeError):
        found = {}
    if (
        request.content_type != "application/json"
        or not found
        or not all(isinstance(value, str) and value for value in found.values())
        or len(found["name"]) > NAME_LENGTH
    ):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "malformed",
            "The request is malformed",
            "Send a JSON object with `username`, `password` and `name`, which the token will have.",
        )
    return found


def _keys(request: HttpRequest, username: str) -> dict[str, int]:
    address = request.headers.get("X-Real-IP", "")
    name = username.encode().hex()[:128]
    return {
        f"sign-in:{address}": FAILURES_OF_ADDRESS,
        f"sign-in:{address}:{name}": FAILURES_OF_NAME,
    }


def _too_many() -> Problem:
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-failures",
        "Too many wrong passwords",
        "Wait for five minutes, and try again.",
        headers={"Retry-After": str(FAILURE_SECONDS)},
    )
