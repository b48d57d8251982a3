"""Takes note of the browsers that come by."""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts import browsers


class SeenBrowsers:
    """Records that a session is in use, before the view: what fails here has changed nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        """Take the next layer."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look at the session if the browser has one; programs with tokens have none."""
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            browsers.note(request)
        return self.get_response(request)
