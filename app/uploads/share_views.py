"""/shared/: what whoever has a share link gets, with an account or without."""

from http import HTTPStatus
from typing import Final

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe

from config.problems import Problem, answer, wants_page
from uploads import answers, commands, sharing
from uploads.models import ShareLink

# The address is the key: no page behind it learns it, no search engine, and no cache.
_HEADERS: Final = {
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}


@require_safe
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """Show the file to a person, and send it to a program."""
    link = sharing.find(token)
    if link is None:
        return _closed(request)
    response = _page(request, link) if wants_page(request) else _file(request, link)
    patch_vary_headers(response, ["Accept"])
    return _guarded(response)


@require_safe
def shared_download(request: HttpRequest, token: str) -> HttpResponse:
    """Send the file."""
    link = sharing.find(token)
    return _closed(request) if link is None else _guarded(_file(request, link))


def _page(request: HttpRequest, link: ShareLink) -> HttpResponse:
    url = sharing.url_of(request, link)
    context = {
        # The same for everybody: who happens to be signed in here does not matter.
        "user": AnonymousUser(),
        "link": link,
        "upload": link.upload,
        "url": url,
        "check": commands.check(link.upload),
        "curl": commands.curl_shared(url, link.upload),
    }
    return render(request, "uploads/shared.html", context)


def _file(request: HttpRequest, link: ShareLink) -> HttpResponse:
    # What goes on with a download is not another one.
    is_start = request.headers.get("Range", "bytes=0-").startswith("bytes=0-")
    if request.method == "GET" and is_start:
        sharing.note_download(link)
    return answers.file(link.upload)


def _closed(request: HttpRequest) -> HttpResponse:
    """Answer for every link that does not work, and give no hint why."""
    problem = Problem(
        HTTPStatus.NOT_FOUND,
        "share-link",
        "This link does not work",
        "It has run out or was withdrawn, the file is gone, or the address is not complete. Ask"
        " whoever sent it for a new one.",
    )
    if not wants_page(request):
        return _guarded(answer(request, problem))
    context = {"user": AnonymousUser(), "problem": problem}
    return _guarded(render(request, "uploads/shared.html", context, status=problem.status))


def _guarded(response: HttpResponse) -> HttpResponse:
    for name, value in _HEADERS.items():
        response.headers[name] = value
    return response
