"""The addresses below /files/, and the hand-off of what is appended there, for every protocol.

Which adapter gets a request, and what it has to answer, says uploads/protocols.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from config.problems import Problem, answer
from uploads import access, cors, handoff, service
from uploads.grants import AppendGrant
from uploads.protocols import adapters
from uploads.protocols.adapter import BODY_METHODS, Adapter, Call, Permit

_NO_BODY: Final = 0


def authorize(request: HttpRequest, asked: handoff.AuthorizeRequest) -> HttpResponse:
    """Decide on a body before it is read: 204 with the way to its place, or the client's answer."""
    call = Call(
        request=request,
        method=_method(request, asked.method),
        target=_target(asked.uri),
        length=asked.length,
        content_type=asked.content_type,
    )
    if call.method in BODY_METHODS:
        return _with_adapter(call, lambda adapter: _authorize(call, adapter))
    response = _respond(call)
    if response.status_code < HTTPStatus.MULTIPLE_CHOICES:
        handoff.write_relay(response)
    return response


def complete(request: HttpRequest) -> HttpResponse:
    """Take note of an appended body, and answer the client in its protocol."""
    body = handoff.read_append(request.POST)
    call, grant, adapter = _granted(request)

    def respond() -> HttpResponse:
        status = service.received(grant.open(), body, is_final=grant.is_final, door=adapter.door)
        return adapter.complete(call, grant, status)

    return _answer(call, adapter, respond)


@csrf_exempt  # the grant is the proof
@require_POST
def too_long(request: HttpRequest) -> HttpResponse:
    """Refuse a body that went past the declared end of its file, of which nginx kept nothing."""
    call, grant, adapter = _granted(request)

    def respond() -> HttpResponse:
        raise service.too_long(grant.open(), door=adapter.door)

    return _answer(call, adapter, respond)


@csrf_exempt  # whatever changes something asks `access`, which looks at where it comes from
def resource(request: HttpRequest, target: str = "") -> HttpResponse:
    """Answer a request that brings no body: the state of an upload, its end, and the options."""
    call = Call(
        request=request,
        method=request.method or "",
        target=target,
        length=_NO_BODY,
        content_type=request.headers.get("Content-Type", ""),
    )
    return _respond(call)


def _respond(call: Call) -> HttpResponse:
    if call.method == "OPTIONS":
        return _options(call)
    return _with_adapter(call, lambda adapter: adapter.respond(call))


def _authorize(call: Call, adapter: Adapter) -> HttpResponse:
    permit = adapter.authorize(call)
    if isinstance(permit, Permit):
        return _write(permit, adapter)
    if permit.status_code < HTTPStatus.MULTIPLE_CHOICES:
        handoff.write_relay(permit)
    return permit


def _write(permit: Permit, adapter: Adapter) -> HttpResponse:
    append = permit.append
    grant = AppendGrant(
        upload=str(append.upload.id),
        protocol=adapter.door.value,
        token=permit.token,
        is_creation=permit.is_creation,
        is_final=permit.is_final,
    )
    checksum = append.checksum
    return handoff.write_append(
        grant.sign(),
        append.path,
        append.offset,
        length=append.length,
        max_size=append.max_size,
        takeover=append.takeover,
        checksum=f"{checksum.algorithm} {checksum.hex}" if checksum else None,
    )


def _options(call: Call) -> HttpResponse:
    response = cors.preflight(call.request, _names(lambda adapter: adapter.request_headers))
    if response is None:
        response = HttpResponse(status=HTTPStatus.NO_CONTENT)
        response.headers["Allow"] = cors.METHODS
    for adapter in adapters():
        for name, value in (adapter.headers(call) | adapter.advertise()).items():
            response.headers[name] = value
    cors.allow(call.request, response, _names(lambda adapter: adapter.response_headers))
    return response


def _granted(request: HttpRequest) -> tuple[Call, AppendGrant, Adapter]:
    grant = AppendGrant.read(handoff.read_grant(request.headers))
    call = Call(request=request, method="", target=grant.upload, length=None, content_type="")
    [adapter] = [known for known in adapters() if known.door == grant.protocol]
    return call, grant, adapter


def _with_adapter(call: Call, act: Callable[[Adapter], HttpResponse]) -> HttpResponse:
    adapter = next((known for known in adapters() if known.speaks(call)), None)

    def respond() -> HttpResponse:
        if adapter is None:
            raise _no_protocol()
        return act(adapter)

    return _answer(call, adapter, respond)


def _answer(
    call: Call, adapter: Adapter | None, respond: Callable[[], HttpResponse]
) -> HttpResponse:
    """Return an answer that has what its protocol, and a script of another origin, rely on."""
    try:
        response = respond()
    except Problem as problem:
        worded = adapter.refuse(call, problem) if adapter else problem
        response = answer(call.request, worded)
    if adapter is not None:
        for name, value in adapter.headers(call).items():
            response.headers[name] = value
    cors.allow(call.request, response, _names(lambda known: known.response_headers))
    return response


def _names(of: Callable[[Adapter], tuple[str, ...]]) -> list[str]:
    return list(dict.fromkeys(name for adapter in adapters() for name in of(adapter)))


def _method(request: HttpRequest, method: str) -> str:
    # For clients behind something that lets no other method through.
    override = request.headers.get("X-HTTP-Method-Override", "").upper()
    return override if method == "POST" and override else method


def _target(uri: str) -> str:
    path = unquote(urlsplit(uri).path)
    collection = reverse("resources")
    if not path.startswith(collection):
        raise access.not_found()
    return path.removeprefix(collection)


def _no_protocol() -> Problem:
    return Problem(
        HTTPStatus.BAD_REQUEST,
        "no-protocol",
        "The request says in no protocol what it wants",
        "Use a client for resumable uploads (tus clients send 'Tus-Resumable: 1.0.0', those of the"
        " IETF's protocol 'Upload-Complete'), or PUT a file to /files/NAME.",
    )
