"""Tokens over HTTP: push.py's login gets one for a password, and its logout withdraws it."""

import json
from http import HTTPStatus
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables

from accounts.authentication import identify, unauthenticated
from accounts.models import ApiToken, Scope, new_token
from accounts.sign_in import check_password
from config.problems import Problem

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
    user = check_password(request, said["username"], said["password"])
    if user is None:
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
    scope = Scope(said["scope"])
    ApiToken.objects.add(user, said["name"], text, scope=scope)
    made = {"token": text, "name": said["name"], "scope": scope.value}
    response = JsonResponse(made, status=HTTPStatus.CREATED)
    response.headers["Cache-Control"] = "no-store"
    return response


def _revoke(request: HttpRequest) -> HttpResponse:
    identity = identify(request, *Scope)
    if identity is None or identity.token is None:
        raise unauthenticated()
    ApiToken.objects.filter(pk=identity.token.pk).revoke()
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _read(request: HttpRequest) -> dict[str, str]:
    try:
        said: Any = json.loads(request.body)
        found = {key: said[key] for key in ("username", "password", "name")}
        found["scope"] = said.get("scope", Scope.ALL.value)
    except (ValueError, LookupError, TypeError, AttributeError):
        found = {}
    if (
        request.content_type != "application/json"
        or not found
        or not all(isinstance(value, str) and value for value in found.values())
        or len(found["name"]) > NAME_LENGTH
        or found["scope"] not in Scope.values
    ):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "malformed",
            "The request is malformed",
            "Send a JSON object with `username`, `password` and `name`, which the token will have,"
            f" and `scope` if it is not to be for everything: {', '.join(Scope.values)}.",
        )
    return found
