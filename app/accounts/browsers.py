"""The browsers that a user is signed in with: noted as they come by, and signed out from afar."""

import re
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions.models import Session
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone

from accounts.authentication import client_address
from accounts.models import BrowserSession, User

# Writing the time of each request would make every one a database write.
LAST_SEEN_PRECISION: Final = timedelta(minutes=1)
# In the session itself, which every request reads anyway.
_SIGNED_IN: Final = "signed_in"
_LAST_SEEN: Final = "last_seen"

# What a User-Agent has of the more special ones stands before what they all have.
_BROWSERS: Final = {
    "Edg(?:e|A|iOS)?/": "Edge",
    "OPR/": "Opera",
    "(?:Firefox|FxiOS)/": "Firefox",
    "SamsungBrowser/": "Samsung Internet",
    "(?:Chrome|Chromium|CriOS)/": "Chrome",
    "Safari/": "Safari",
    "curl/": "curl",
    "python-requests/": "a Python script",
}
_SYSTEMS: Final = {
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Android": "Android",
    "Windows": "Windows",
    "Mac OS X|Macintosh": "macOS",
    "CrOS": "ChromeOS",
    "Linux|X11": "Linux",
}


def note(request: HttpRequest) -> None:
    """Record that this request's session is in use, at most once a minute."""
    session = request.session
    if SESSION_KEY not in session or not session.session_key:
        return
    now = timezone.now()
    seen = session.get(_LAST_SEEN)
    if seen is not None and now - datetime.fromisoformat(seen) < LAST_SEEN_PRECISION:
        return
    session[_LAST_SEEN] = now.isoformat()
    session.setdefault(_SIGNED_IN, session[_LAST_SEEN])
    record(request)


def record(request: HttpRequest) -> None:
    """Write down a signed-in session as it is: it is a new one, or its key has changed."""
    session = request.session
    BrowserSession.objects.update_or_create(
        session_id=session.session_key,
        defaults={
            "user_id": int(session[SESSION_KEY]),
            "address": client_address(request) or None,
            "agent": describe(request.headers.get("User-Agent", "")),
            "signed_in": datetime.fromisoformat(session[_SIGNED_IN]),
            "last_seen": datetime.fromisoformat(session[_LAST_SEEN]),
        },
    )


@receiver(user_logged_in)
def begin(request: HttpRequest, **kwargs: Any) -> None:  # noqa: ARG001 - a signal's
    """Take note of a browser that has just signed in."""
    for key in (_SIGNED_IN, _LAST_SEEN):
        request.session.pop(key, None)
    # The key of a session that is not stored yet has no row that this one could belong to.
    request.session.save()
    note(request)


def end(user: User, *, but: str | None = None, pk: int | None = None) -> int:
    """Sign a user's browsers out, one of them or all `but` one key; return how many."""
    browsers = BrowserSession.objects.filter(user=user).exclude(session_id=but)
    if pk is not None:
        browsers = browsers.filter(pk=pk)
    keys = list(browsers.values_list("session_id", flat=True))
    Session.objects.filter(session_key__in=keys).delete()
    return len(keys)


def describe(user_agent: str) -> str:
    """Return in a few words what sent a User-Agent: `Firefox on Linux`."""
    browser = _first(_BROWSERS, user_agent) or "A browser"
    system = _first(_SYSTEMS, user_agent)
    return f"{browser} on {system}" if system else browser


def _first(words: dict[str, str], text: str) -> str | None:
    return next((word for pattern, word in words.items() if re.search(pattern, text)), None)
