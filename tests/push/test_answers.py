"""What the server answers, when it answers it, and what the person learns from it."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest
from conftest import receive

if TYPE_CHECKING:
    import ssl

    from conftest import Push
    from upload_server import Exchange, Script, Server

    Serve = Callable[..., Server]
    Either = ssl.SSLContext | None

AUTH, USAGE, REFUSED, NETWORK, SERVER, VERIFICATION = 4, 2, 5, 6, 7, 8
LARGE = 64 << 20
ZEROES = "3b6a07d0d404fab4e23b6d34bc6696a6a312dd92821332385e5af7c01c421351"  # of so many


def refusing(status: str, detail: str = "No.", **members: int) -> Script:
    """Answer before the body, and prove that no byte of it came."""

    def script(exchange: Exchange) -> None:
        assert exchange.headers["expect"] == "100-continue"
        exchange.problem(status, detail, **members)
        assert exchange.bytes_until_the_end() == 0

    return script


def test_a_refusal_costs_not_one_byte_of_the_body(push: Push, serve: Serve, either: Either) -> None:
    outcome = push(push.file(size=5 << 30), to=serve(refusing("401 Unauthorized"), either))
    assert outcome.code == AUTH
    assert outcome.progress == []


@pytest.mark.parametrize(
    ("status", "code", "phrases"),
    [
        ("400 Bad Request", REFUSED, ["status 400 Bad Request", "(No)"]),
        ("403 Forbidden", AUTH, ["does not let", "upload (No)", "operator"]),
        ("404 Not Found", USAGE, ["takes no uploads", "--host, --port"]),
        ("409 Conflict", REFUSED, ["status 409", "(No)"]),
        ("413 Content Too Large", REFUSED, ["10.0 MB (10000000 bytes)", "(No)", "split"]),
        ("423 Locked", REFUSED, ["status 423", "(No)"]),
        ("429 Too Many Requests", NETWORK, ["busy", "(No)", "run again later"]),
        ("500 Internal Server Error", SERVER, ["status 500", "(No)", "operator"]),
        ("503 Service Unavailable", SERVER, ["status 503", "run again later"]),
        ("507 Insufficient Storage", REFUSED, ["10.0 MB", "no room (No)"]),
    ],
)
def test_each_refusal_has_its_exit_code_and_a_remedy(
    push: Push, serve: Serve, status: str, code: int, phrases: list[str]
) -> None:
    outcome = push(push.file(size=10**7), to=serve(refusing(status)))
    assert outcome.code == code
    for phrase in phrases:
        assert phrase in outcome.sentence


def test_a_401_without_a_token_says_how_to_make_one(push: Push, serve: Serve) -> None:
    server = serve(refusing("401 Unauthorized"))
    sentence = push(push.file(size=9), to=server).sentence
    assert "wants a token and none is set" in sentence
    assert "ask the server's operator for one and give it with --token-file" in sentence
    assert "PUSH_TOKEN" in sentence


def test_a_401_with_a_token_says_where_the_token_came_from(push: Push, serve: Serve) -> None:
    server = serve(refusing("401 Unauthorized", "The token has expired."))
    sentence = push(push.file(size=9), to=server, PUSH_TOKEN="t0ps3cret").sentence
    assert "does not accept the token from PUSH_TOKEN (The token has expired)" in sentence


def test_a_file_over_the_limit_is_told_with_both_sizes(push: Push, serve: Serve) -> None:
    server = serve(refusing("413 Content Too Large", max_size=4_000_000_000))
    sentence = push(push.file(size=9_700_000_000), to=server).sentence
    assert "9.7 GB (9700000000 bytes)" in sentence
    assert "at most 4.0 GB (4000000000 bytes)" in sentence


def test_a_full_disk_is_told_with_what_is_needed_and_what_is_free(push: Push, serve: Serve) -> None:
    server = serve(refusing("507 Insufficient Storage", free=3_200_000_000))
    sentence = push(push.file(size=9_700_000_000), to=server).sentence
    assert "needs 9.7 GB" in sentence
    assert "3.2 GB (3200000000 bytes) free" in sentence


def test_control_characters_of_a_server_do_not_reach_the_terminal(push: Push, serve: Serve) -> None:
    server = serve(refusing("403 Forbidden", "a\x1b[31mred\nline"))
    assert "(a [31mred line)" in push(push.file(), to=server).sentence


def test_a_server_that_ignores_expect_gets_the_body_after_a_short_wait(
    push: Push, serve: Serve, either: Either
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.stored(exchange.form())

    outcome = push(push.file(size=10**7), to=serve(script, either))
    assert outcome.code == 0, outcome.err


def test_a_late_100_continue_is_not_taken_for_the_answer(
    push: Push, serve: Serve, either: Either
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.take(1)
        exchange.go_ahead()
        exchange.take(exchange.length - 1)
        size = LARGE
        exchange.answer(
            "200 OK",
            {"uploads": [{"name": "n", "size": size, "sha256": ZEROES, "url": "u"}]},
        )

    server = serve(script, either)
    outcome = push.impatient(push.file(size=LARGE), to=server, EXPECT_SECONDS=0.1)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("[Return status 200 OK]\n")


def test_other_interim_answers_are_waited_out(push: Push, serve: Serve, either: Either) -> None:
    def script(exchange: Exchange) -> None:
        exchange.sock.sendall(b"HTTP/1.1 102 Processing\r\nA: b\r\n\r\nHTTP/1.1 1")
        exchange.sock.sendall(b"00 Continue\r\n\r\n")
        exchange.stored(exchange.form())

    outcome = push(push.file(size=10**7), to=serve(script, either))
    assert outcome.code == 0, outcome.err


def test_a_server_that_refuses_expect_is_asked_again_without_it(push: Push, serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        if "expect" in exchange.headers:
            exchange.problem("417 Expectation Failed", "No.")
        else:
            exchange.stored(exchange.form())

    server = serve(script)
    outcome = push(push.file(size=10**7), to=server)
    assert outcome.code == 0, outcome.err
    assert len(server.requests) == 2


@pytest.mark.parametrize("ending", ["reads no more and closes", "reads on", "stalls"])
def test_an_answer_in_the_middle_of_the_body_ends_the_sending_and_is_heard(
    push: Push, serve: Serve, either: Either, ending: str
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.take(1 << 20)
        exchange.problem("413 Content Too Large", "Too large.", max_size=1 << 20)
        if ending == "reads on":
            assert exchange.bytes_until_the_end() < LARGE - (1 << 20)
        elif ending == "stalls":
            # Nothing is read, and nothing closed: only one who listens while he sends goes away.
            gone.wait()

    gone = threading.Event()
    try:
        outcome = push(push.file(size=LARGE), to=serve(script, either))
    finally:
        gone.set()
    assert outcome.code == REFUSED
    assert "at most 1.0 MB" in outcome.sentence


@pytest.mark.parametrize("farewell", ["a clean end", "a reset"])
def test_a_connection_closed_in_the_middle_of_the_body_is_the_networks_fault(
    push: Push, serve: Serve, either: Either, farewell: str
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.take(1 << 20)
        if farewell == "a reset":
            linger = struct.pack("ii", 1, 0)
            exchange.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    outcome = push(push.file(size=LARGE), to=serve(script, either))
    assert outcome.code == NETWORK
    assert "closed the connection in the middle of the file" in outcome.sentence
    assert "run again" in outcome.sentence


def test_a_connection_closed_before_the_body_is_the_networks_fault(
    push: Push, serve: Serve, either: Either
) -> None:
    outcome = push(push.file(size=LARGE), to=serve(lambda _: None, either))
    assert outcome.code == NETWORK


def test_a_connection_closed_instead_of_an_answer_is_the_networks_fault(
    push: Push, serve: Serve, either: Either
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.form()

    outcome = push(push.file(size=10**6), to=serve(script, either))
    assert outcome.code == NETWORK
    assert "closed the connection before it answered" in outcome.sentence


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"sha256": "0" * 64}, f"The server's SHA-256 is {'0' * 64} where"),
        ({"size": 41}, "The server stored 41 bytes where 1000 were sent"),
    ],
)
def test_a_receipt_for_something_else_fails_the_verification(
    push: Push, serve: Serve, change: dict[str, Any], phrase: str
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.stored(exchange.form(), **change)

    outcome = push(push.file(size=1000), to=serve(script))
    assert outcome.code == VERIFICATION
    assert phrase in outcome.sentence
    assert "delete https://files.example.org/uploads/0f6c/download" in outcome.sentence


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Welcome</html>",
        b"",
        b"[]",
        b'{"detail": "Upload Complete"}',
        b'{"uploads": []}',
        b'{"uploads": [{"name": "run.bam", "size": 3}]}',
        b'{"uploads": ["run.bam"]}',
        b"\xff\xfe",
    ],
)
def test_an_answer_without_a_receipt_is_not_taken_for_success(
    push: Push, serve: Serve, body: bytes
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.form()
        exchange.answer("200 OK", body=body)

    outcome = push(push.file(size=3), to=serve(script))
    assert outcome.code == SERVER
    assert "without the receipt of one upload" in outcome.sentence


def test_a_200_before_the_whole_file_is_not_taken_for_success(push: Push, serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.answer("200 OK", {"detail": "Upload Complete", "uploads": []})

    outcome = push(push.file(size=3), to=serve(script))
    assert outcome.code == SERVER
    assert "before it had the whole file" in outcome.sentence


@pytest.mark.parametrize("status", ["301 Moved Permanently", "308 Permanent Redirect"])
def test_a_redirect_to_https_is_not_followed_but_told(
    push: Push, serve: Serve, status: str
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.answer(status, body=b"", Location="https://localhost:8443/upload")
        assert exchange.bytes_until_the_end() == 0

    outcome = push(push.file(size=LARGE), to=serve(script))
    assert outcome.code == USAGE
    assert "use --schema https --host localhost --port 8443." in outcome.sentence


def test_a_server_that_does_not_speak_http_is_told(push: Push, serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        exchange.sock.sendall(b"220 mail.example.org ESMTP\r\n")

    outcome = push(push.file(size=LARGE), to=serve(script))
    assert outcome.code == SERVER
    assert "does not speak HTTP" in outcome.sentence


def test_sending_the_same_file_again_is_safe(push: Push, serve: Serve) -> None:
    server = serve(receive)
    file = push.file(content=b"twice")
    assert [push(file, to=server).code for _ in range(2)] == [0, 0]
