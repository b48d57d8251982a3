"""Forms that are sent again: after what may be over in a while, and never after what stays."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable

import pytest
from conftest import receive

if TYPE_CHECKING:
    from conftest import Push
    from upload_server import Exchange, Script, Server

    Serve = Callable[..., Server]

REFUSED, NETWORK, SERVER = 5, 6, 7


@pytest.fixture
def patient(push: Push) -> Push:
    """Return a client that tries again for a while."""
    push.env["PUSH_RETRY_FOR"] = "30s"
    return push


def at_first(count: int, script: Script) -> Script:
    """Follow a script for so many requests, and be a good server after that."""
    left = [count]

    def play(exchange: Exchange) -> None:
        left[0] -= 1
        (script if left[0] >= 0 else receive)(exchange)

    return play


def answering(status: str, **headers: str) -> Script:
    return lambda exchange: exchange.answer(status, body=b"", **headers)


def cut(exchange: Exchange) -> None:
    exchange.go_ahead()
    exchange.take(1 << 20)


@pytest.mark.parametrize(
    "script",
    [cut, answering("503 Service Unavailable"), answering("429 Too Many Requests")],
    ids=["cut", "503", "429"],
)
def test_a_form_is_sent_again_after_what_passes(
    patient: Push, serve: Serve, script: Script
) -> None:
    server = serve(at_first(2, script))
    outcome = patient(patient.file(size=4 << 20), to=server)
    assert outcome.code == 0, outcome.err
    assert len(server.requests) == 3
    assert outcome.err.count("trying again in") == 2


def test_a_server_that_says_when_to_come_back_is_heard(patient: Push, serve: Serve) -> None:
    script = answering("503 Service Unavailable", **{"Retry-After": "2"})
    server = serve(at_first(1, script))
    started = time.monotonic()
    assert patient(patient.file(size=9), to=server).code == 0
    assert time.monotonic() - started > 2


@pytest.mark.parametrize("value", ["9999", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_who_is_to_come_back_too_late_gives_up_at_once(
    patient: Push, serve: Serve, value: str
) -> None:
    server = serve(answering("503 Service Unavailable", **{"Retry-After": value}))
    started = time.monotonic()
    assert patient(patient.file(size=9), to=server).code == SERVER
    assert time.monotonic() - started < 10
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["400 Bad Request", "409 Conflict", "507 Insufficient Storage"])
def test_what_stays_is_not_tried_again(patient: Push, serve: Serve, status: str) -> None:
    server = serve(answering(status))
    assert patient(patient.file(size=9), to=server).code == REFUSED
    assert len(server.requests) == 1


def test_the_tries_end_after_a_while_without_progress(push: Push, serve: Serve) -> None:
    push.env["PUSH_RETRY_FOR"] = "2"
    server = serve(answering("429 Too Many Requests"))
    outcome = push(push.file(size=9), to=server)
    assert outcome.code == NETWORK
    assert 2 <= len(server.requests) <= 5


@pytest.mark.parametrize(
    ("arguments", "phrase"),
    [
        (["--retry-for", "soon"], "'soon' is not a time for --retry-for"),
        (["--timeout", "1d"], "'1d' is not a time for --timeout"),
        (["--limit-rate", "fast"], "'fast' is not a size for --limit-rate"),
        (["--request-size", "0"], "'0' is not a size for --request-size"),
        (["--jobs", "0"], "'0' is not a number of connections"),
        (["-j", "100"], "'100' is not a number of connections"),
    ],
)
def test_a_wrong_value_is_one_sentence(push: Push, arguments: list[str], phrase: str) -> None:
    outcome = push(*arguments, push.file())
    assert outcome.code == 2
    assert phrase in outcome.sentence
