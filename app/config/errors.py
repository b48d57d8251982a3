"""Django's own refusals (no such page, forbidden, a crash) in the same form as ours."""

from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import loader

from config.problems import CONTENT_TYPE, Problem, answer, wants_page

_CRASH = Problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "internal-error",
    "Something broke on the server",
    "Nothing was stored by this request. Try once more; if it happens again, tell the"
    " administrator the time: the log holds the reason.",
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Answer a request that Django could not read."""
    return answer(
        request,
        Problem(
            HTTPStatus.BAD_REQUEST,
            "bad-request",
            "Malformed request",
            "The server could not read this request. Check the address, its host and the form.",
        ),
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Answer a request for something that this user may not do."""
    return answer(
        request,
        Problem(
            HTTPStatus.FORBIDDEN,
            "forbidden",
            "Not allowed",
            "This account may not do that. Ask the administrator for the permission.",
        ),
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """Answer a form without the token that its page gave out."""
    return answer(
        request,
        Problem(
            HTTPStatus.FORBIDDEN,
            "csrf",
            "This form has expired",
            "Load the page again, and send the form from there. The browser must accept cookies.",
        ),
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Answer a request for what is not there, or not this user's to see."""
    return answer(
        request,
        Problem(
            HTTPStatus.NOT_FOUND,
            "not-found",
            "Nothing here",
            "There is nothing at this address, or it belongs to somebody else. Check the address.",
        ),
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer after a crash; depends on nothing that could be what crashed."""
    if wants_page(request):
        body = loader.get_template("500.html").render({"problem": _CRASH})
        return HttpResponse(body, status=_CRASH.status)
    return JsonResponse(_CRASH.document(), status=_CRASH.status, content_type=CONTENT_TYPE)


HANDLERS = tuple(
    f"config.errors.{f.__name__}" for f in (bad_request, forbidden, not_found, server_error)
)
