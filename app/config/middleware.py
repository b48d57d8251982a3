"""What every answer gets: a content security policy, and problems in a form that fits."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse

from config.problems import Problem, answer

type GetResponse = Callable[[HttpRequest], HttpResponse]

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)


class ContentSecurityPolicy:
    """Allows our own files and nothing inline, and keeps pages out of shared caches."""

    def __init__(self, get_response: GetResponse) -> None:
        """Take the next layer."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Add the headers that the view did not set itself."""
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers.setdefault("Cache-Control", "private, no-cache")
        return response


class Problems:
    """Answers a `Problem` that was raised below a view."""

    def __init__(self, get_response: GetResponse) -> None:
        """Take the next layer."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Pass the request on."""
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the problem's answer; other exceptions are Django's to handle."""
        return answer(request, exception) if isinstance(exception, Problem) else None
