"""Networks, certificates and proxies: what goes wrong before an answer, and how it is told."""

from __future__ import annotations

import datetime as dt
import signal
import socket
import threading
from typing import TYPE_CHECKING, Callable

import pytest
from conftest import context_for, receive

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    import trustme
    from conftest import Push
    from upload_server import Exchange, Server

    Serve = Callable[..., Server]
    Either = ssl.SSLContext | None

USAGE, NETWORK, INTERRUPTED = 2, 6, 130


def test_nobody_listening_is_told_with_host_and_port(push: Push) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = push("--host", "127.0.0.1", "--port", port, push.file())
    assert outcome.code == NETWORK
    assert f"127.0.0.1 port {port} cannot be reached (connection refused)" in outcome.sentence


def test_an_unknown_name_is_told(push: Push) -> None:
    outcome = push("--host", "no-such-host.invalid", push.file())
    assert outcome.code == NETWORK
    assert "The name no-such-host.invalid is not known" in outcome.sentence


def test_a_host_that_drops_connections_is_told_after_the_connect_timeout(push: Push) -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)  # room for one connection, which the first takes
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        outcome = push.impatient(
            *("--host", "127.0.0.1", "--port", port, "--schema", "http"),
            push.file(),
            CONNECT_SECONDS=0.3,
        )
    assert outcome.code == NETWORK
    assert "does not answer within 0.3 seconds" in outcome.sentence


def test_a_server_that_takes_no_more_bytes_is_given_up_after_a_while(
    push: Push, serve: Serve, either: Either
) -> None:
    gone = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.take(1 << 20)
        gone.wait(30)

    server = serve(script, either)
    outcome = push.impatient(push.file(size=64 << 20), to=server, STALL_SECONDS=0.3)
    gone.set()
    assert outcome.code == NETWORK
    assert "took no bytes for 0.3 seconds" in outcome.sentence


def test_a_server_that_never_answers_is_given_up_after_a_while(
    push: Push, serve: Serve, either: Either
) -> None:
    gone = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.form()
        gone.wait(30)

    server = serve(script, either)
    outcome = push.impatient(push.file(size=10**6), to=server, ANSWER_SECONDS=0.3)
    gone.set()
    assert outcome.code == NETWORK
    assert "did not answer for 0.3 seconds: look in its list of uploads" in outcome.sentence


def test_a_pause_of_the_server_may_be_longer_than_the_connect_timeout(
    push: Push, serve: Serve, either: Either
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        threading.Event().wait(0.5)  # the pause is what this is about
        exchange.stored(exchange.form())

    file = push.file(size=64 << 20)
    outcome = push.impatient(file, to=serve(script, either), CONNECT_SECONDS=0.2)
    assert outcome.code == 0, outcome.err


def test_an_unknown_authority_is_told_with_all_ways_to_name_it(
    push: Push, serve: Serve, tls: ssl.SSLContext
) -> None:
    outcome = push(push.file(), to=serve(receive, tls))
    assert outcome.code == USAGE
    assert "is not trusted" in outcome.sentence
    for way in ("--ca-file", "PUSH_CA_FILE", "ca_file", "make up"):
        assert way in outcome.sentence


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_of_the_environment_is_trusted(
    push: Push, serve: Serve, tls: ssl.SSLContext, ca_file: Path, variable: str
) -> None:
    outcome = push(push.file(), to=serve(receive, tls), **{variable: str(ca_file)})
    assert outcome.code == 0, outcome.err


def test_a_ca_file_wins_over_the_bundle_of_the_environment(
    push: Push, serve: Serve, tls: ssl.SSLContext, ca_file: Path
) -> None:
    server = serve(receive, tls)
    outcome = push("--ca-file", ca_file, push.file(), to=server, REQUESTS_CA_BUNDLE="/nowhere")
    assert outcome.code == 0, outcome.err


def test_a_missing_bundle_of_the_environment_is_told(
    push: Push, serve: Serve, tls: ssl.SSLContext
) -> None:
    outcome = push(push.file(), to=serve(receive, tls), REQUESTS_CA_BUNDLE="/nowhere")
    assert outcome.code == USAGE
    assert "/nowhere" in outcome.sentence


def test_a_certificate_for_another_name_is_told_apart_from_an_unknown_authority(
    push: Push, serve: Serve, authority: trustme.CA, ca_file: Path
) -> None:
    server = serve(receive, context_for(authority.issue_cert("files.example.org")))
    outcome = push("--ca-file", ca_file, push.file(), to=server)
    assert outcome.code == USAGE
    assert "was not made for the name localhost" in outcome.sentence


def test_an_address_that_the_certificate_does_not_name_is_told_the_same_way(
    push: Push, serve: Serve, tls: ssl.SSLContext, ca_file: Path
) -> None:
    server = serve(receive, tls)
    outcome = push("--ca-file", ca_file, "--host", "127.0.0.1", "--port", server.port, push.file())
    assert outcome.code == USAGE
    assert "was not made for the name 127.0.0.1" in outcome.sentence


def test_an_expired_certificate_is_told(
    push: Push, serve: Serve, authority: trustme.CA, ca_file: Path
) -> None:
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    certificate = authority.issue_cert(
        "localhost", not_before=yesterday - dt.timedelta(days=9), not_after=yesterday
    )
    server = serve(receive, context_for(certificate))
    outcome = push("--ca-file", ca_file, push.file(), to=server)
    assert outcome.code == USAGE
    assert "is not valid today" in outcome.sentence


def test_https_to_a_plain_port_is_told_as_the_wrong_schema(push: Push) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        process = push.start("--host", "127.0.0.1", "--port", port, push.file())
        sock, _ = listener.accept()
        with sock, process:
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            _, err = process.communicate(timeout=30)
    assert process.returncode == USAGE
    assert f"Port {port} of 127.0.0.1 does not speak https: use --schema http," in err


def test_http_to_a_tls_port_is_told_as_the_wrong_schema_when_it_answers_with_an_alert(
    push: Push, serve: Serve
) -> None:
    def script(exchange: Exchange) -> None:
        exchange.sock.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

    outcome = push(push.file(), to=serve(script))
    assert outcome.code == USAGE
    assert "does not speak http: use --schema https," in outcome.sentence


def test_http_to_a_tls_port_is_told_as_the_wrong_schema_when_nginx_answers(
    push: Push, serve: Serve
) -> None:
    page = b"<h1>400</h1>The plain HTTP request was sent to HTTPS port"

    def script(exchange: Exchange) -> None:
        exchange.answer("400 Bad Request", body=page)

    outcome = push(push.file(), to=serve(script))
    assert outcome.code == USAGE
    assert "does not speak http: use --schema https," in outcome.sentence


def test_a_proxy_of_the_environment_is_used(push: Push, serve: Serve) -> None:
    def script(exchange: Exchange) -> None:
        assert exchange.line == "POST http://files.example.org/upload HTTP/1.1"
        receive(exchange)

    proxy = f"http://127.0.0.1:{serve(script).port}"
    outcome = push("--host", "files.example.org", "--schema", "http", push.file(), http_proxy=proxy)
    assert outcome.code == 0, outcome.err


def test_tls_goes_through_a_proxy_as_a_tunnel_and_listens_there_too(
    push: Push, serve: Serve, tls: ssl.SSLContext, ca_file: Path
) -> None:
    def script(exchange: Exchange) -> None:
        assert exchange.line.startswith("CONNECT localhost:443 ")
        exchange.sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        inner = tls.wrap_socket(exchange.sock, server_side=True)
        with inner, type(exchange)(inner) as tunnelled:
            tunnelled.problem("401 Unauthorized", "No.")
            assert tunnelled.bytes_until_the_end() == 0

    proxy = f"http://127.0.0.1:{serve(script).port}"
    outcome = push("--ca-file", ca_file, push.file(size=64 << 20), HTTPS_PROXY=proxy)
    assert outcome.code == 4, outcome.err


def test_a_proxy_that_is_not_there_is_told(push: Push) -> None:
    outcome = push("--host", "files.example.org", push.file(), HTTPS_PROXY="http://127.0.0.1:9")
    assert outcome.code == NETWORK
    assert "The proxy cannot be used: check HTTPS_PROXY" in outcome.sentence


def test_ctrl_c_says_one_line_and_exits_with_130(push: Push, serve: Serve, either: Either) -> None:
    under_way = threading.Event()

    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.take(1 << 20)
        under_way.set()
        exchange.bytes_until_the_end()

    server = serve(script, either)
    process = push.start("--quiet", push.file(size=1 << 40), to=server)
    with process:
        assert under_way.wait(30)
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == INTERRUPTED
    assert (out, err.count("\n")) == ("", 1)
    assert "interrupted" in err
