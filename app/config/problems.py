"""Answers to what went wrong: problem documents (RFC 9457) for programs, pages for people."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import ClassVar, Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

CONTENT_TYPE: Final = "application/problem+json"
# Stable names, so that a client can tell problems of one status apart without reading English.
TYPE_PREFIX: Final = "urn:upload:"


class Problem(Exception):  # noqa: N818 - named as RFC 9457 names it
    """A refusal that any code below a view may raise; the middleware turns it into an answer."""

    # A protocol whose types are registered has their prefix in a class of its own.
    type_prefix: ClassVar[str] = TYPE_PREFIX

    def __init__(  # noqa: PLR0913 - the members of the document
        self,
        status: HTTPStatus,
        kind: str,
        title: str,
        detail: str,
        *,
        numbers: Mapping[str, int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Take the members of the document: `detail` ends with the remedy, `numbers` are bytes."""
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.numbers = dict(numbers or {})
        self.headers = dict(headers or {})

    def document(self) -> dict[str, str | int]:
        """Return the members of the problem document."""
        return {
            "type": self.type_prefix + self.kind,
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
            **self.numbers,
        }


def wants_page(request: HttpRequest) -> bool:
    """Tell a browser that shows pages from a program: only the former asks for text/html."""
    return "text/html" in request.headers.get("Accept", "").lower()


def answer(request: HttpRequest, problem: Problem) -> HttpResponse:
    """Return the problem as a page or as a document, whichever the client asked for."""
    response: HttpResponse
    if wants_page(request):
        response = render(request, "problem.html", {"problem": problem}, status=problem.status)
    else:
        response = JsonResponse(
            problem.document(), status=problem.status, content_type=CONTENT_TYPE
        )
    for name, value in problem.headers.items():
        response.headers[name] = value
    response.headers["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["Accept"])
    return response
