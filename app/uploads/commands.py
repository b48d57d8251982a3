"""The shell commands that a page offers: each can be pasted as it is, whatever a file is called."""

import shlex
from urllib.parse import urlsplit

from django.http import HttpRequest

from uploads.models import Upload

_DEFAULT_PORTS = {"https": 443, "http": 80}


def check(upload: Upload) -> str:
    """Return what compares a file that was saved under its name with the digest."""
    return f"echo {shlex.quote(f'{upload.sha256}  {_here(upload.name)}')} | sha256sum -c"


def curl(request: HttpRequest, upload: Upload) -> str:
    """Return what fetches a file, and goes on with it when it is run again.

    The token is in the environment; `printf` is the shell's own, so no list of processes shows it.
    """
    url = request.build_absolute_uri(upload.get_download_url())
    return (
        """printf 'header = "Authorization: Bearer %s"' "$TOKEN" |"""
        f" curl -K - --fail -C - -o {shlex.quote(_here(upload.name))} {shlex.quote(url)}"
    )


def curl_shared(url: str, upload: Upload) -> str:
    """Return the same for whoever has a share link."""
    return f"curl --fail -C - -o {shlex.quote(_here(upload.name))} {shlex.quote(url)}"


def push(request: HttpRequest, upload: Upload) -> str:
    """Return the same for push.py, which compares the digest itself."""
    server = urlsplit(request.build_absolute_uri("/"))
    words = ["./push.py", "get", "--host", server.hostname or ""]
    if server.scheme == "http":
        words += ["--schema", "http"]
    if server.port not in {None, _DEFAULT_PORTS[server.scheme]}:
        words += ["--port", str(server.port)]
    return shlex.join([*words, str(upload.id)])


def _here(name: str) -> str:
    # A lone - is standard input or output to most programs, and -x an option to some.
    return f"./{name}" if name.startswith("-") else name
