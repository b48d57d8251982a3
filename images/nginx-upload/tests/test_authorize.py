"""The authorize step: asked before the body, and its refusal is the client's answer, unchanged."""

import os

import pytest

from client import Connection, Http2, chunked, exchange, form, head, part, post
from harness import Answer, both_ways, wait_for

pytestmark = both_ways

DATA = os.urandom(300000)
BODY = form(part(DATA, "file", "a.bin"))

PROBLEM = {"Content-Type": "application/problem+json"}

REFUSALS = [
    Answer(
        401,
        {**PROBLEM, "WWW-Authenticate": ["Bearer", 'Basic realm="up"'], "Set-Cookie": ["a=1", "b=2"]},
        b'{"status": 401}',
    ),
    Answer(302, {"Location": "/login?next=/upload", "Vary": "Cookie"}),
    Answer(303, {"Location": "https://elsewhere.example/"}, b"see"),
    Answer(403, PROBLEM, b'{"status": 403, "detail": "no"}'),
    Answer(404, {}, b""),
    Answer(405, {"Allow": "GET"}, b"x"),
    Answer(413, {**PROBLEM, "X-Max": "1"}, b'{"max_size": 1}'),
    Answer(429, {"Retry-After": "120"}, b"later"),
    Answer(500, {"Content-Type": "text/html"}, b"<h1>Django</h1>"),
    Answer(503, {"Retry-After": "5"}, b"maintenance"),
    Answer(507, PROBLEM, b'{"free": 0}' * 1000),
]


def assert_relayed(nginx, backend, response, answer):
    assert (response.status, response.body) == (answer.status, answer.body)
    for name, value in answer.headers.items():
        assert response.headers_named(name) == (value if isinstance(value, list) else [value])
    assert response.headers_named("Content-Length") in ([str(len(answer.body))], [])
    assert len(response.headers_named("Date")) == 1
    assert response.header("X-Upload-Grant") is None
    assert nginx.files() == []
    assert backend.completes == []
    assert len(backend.authorizes) == 1


@pytest.mark.parametrize("answer", REFUSALS, ids=lambda answer: str(answer.status))
def test_a_refusal_is_relayed_unchanged(nginx, backend, answer):
    for request in (
        head(length=len(BODY)) + BODY,
        head(length=len(BODY)),
        head(headers=["Transfer-Encoding: chunked"]) + chunked(BODY, 8000),
        head(length=0),
        head(length=len(BODY), version="1.0") + BODY,
    ):
        backend.reset()
        backend.authorize = answer
        assert_relayed(nginx, backend, exchange(nginx.port, request), answer)
    for length in (len(BODY), None):
        backend.reset()
        backend.authorize = answer
        with Http2(nginx.http2_port) as h2:
            stream = h2.request(length=length)
            h2.send(stream, BODY)
            assert_relayed(nginx, backend, h2.response(stream), answer)
            # the connection serves the next stream
            backend.reset()
            stream = h2.request(length=len(BODY))
            h2.send(stream, BODY)
            assert h2.response(stream).status == 200
        nginx.files()[0].unlink()


RELAYED = [
    Answer(200, PROBLEM, b'{"deleted": true}'),
    Answer(201, {"Location": "/files/1", "Set-Cookie": ["a=1", "b=2"]}),
    Answer(202, {}, b"x" * 10_000),
    Answer(204, {"Tus-Resumable": "1.0.0"}),
]


@pytest.mark.parametrize("path", ["/upload", "/append"])
@pytest.mark.parametrize("answer", RELAYED, ids=lambda answer: str(answer.status))
def test_a_success_that_is_to_be_relayed_is_the_answer_and_no_body_is_received(nginx, backend, answer, path):
    for request in (
        head(path, len(BODY)) + BODY,
        head(path, len(BODY), headers=["Expect: 100-continue"]),
        head(path, headers=["Transfer-Encoding: chunked"]) + chunked(BODY, 8000),
        head(path, 0),
        head(path, len(BODY), version="1.0") + BODY,
    ):
        backend.reset()
        told = {**answer.headers, "X-Upload-Relay": "1", "X-Upload-Path": nginx.store / "file"}
        backend.authorize = Answer(answer.status, told, answer.body)
        response = exchange(nginx.port, request)
        assert_relayed(nginx, backend, response, answer)
        assert response.interim == []
        # no length of what cannot have a body
        assert answer.status != 204 or response.header("Content-Length") is None
    with Http2(nginx.http2_port) as h2:
        for length in (len(BODY), None):
            backend.authorizes.clear()
            stream = h2.request(path, length)
            h2.send(stream, BODY)
            response = h2.response(stream)
            assert response.status == answer.status
            assert_relayed(nginx, backend, response, answer)


def test_the_connection_serves_the_next_request_after_an_answer_that_was_relayed(nginx, backend):
    with Connection(nginx.port) as c:
        for status in (200, 204, 201):
            backend.authorize = Answer(status, {"X-Upload-Relay": "1"}, b"" if status == 204 else b"done")
            c.send(head(length=len(BODY)) + BODY)
            assert c.response().status == status
        backend.authorize = Answer(204)
        c.send(head(length=len(BODY)) + BODY)
        assert c.response().status == 200
    assert nginx.files()[0].read_bytes() == DATA


@pytest.mark.parametrize("value", ["", "0", "11", "yes"])
def test_a_wish_to_relay_that_is_none_is_502(nginx, backend, value):
    backend.authorize = Answer(200, {"X-Upload-Relay": value}, b"secret")
    response = post(nginx.port, BODY)
    assert (response.status, nginx.files(), backend.completes) == (502, [], [])
    assert "X-Upload-Relay" in response.json()["detail"]


def test_the_subrequest_has_no_body_and_the_client_s_headers(nginx, backend):
    exchange(
        nginx.port, head("/upload?a=1", len(BODY), headers=["Cookie: session=1", "Authorization: Bearer x"]) + BODY
    )
    (seen,) = backend.authorizes
    assert (seen.method, seen.path, seen.body) == ("GET", "/internal/authorize", b"")
    assert seen.header("Content-Length") is None and seen.header("Transfer-Encoding") is None
    assert seen.header("Cookie") == "session=1" and seen.header("Authorization") == "Bearer x"
    assert seen.header("X-Upload-Shape") == "form" and seen.header("X-Upload-Method") == "POST"
    assert seen.header("X-Upload-Uri") == "/upload?a=1"
    assert seen.header("X-Upload-Request-Length") == str(len(BODY))


def test_a_body_of_unknown_length_is_announced_as_that(nginx, backend):
    exchange(nginx.port, head(headers=["Transfer-Encoding: chunked"]) + chunked(BODY))
    assert backend.authorizes[0].header("X-Upload-Request-Length") is None
    with Http2(nginx.http2_port) as h2:
        stream = h2.request()
        h2.send(stream, BODY)
        assert h2.response(stream).status == 200
    assert backend.authorizes[1].header("X-Upload-Request-Length") is None


def test_nothing_of_the_body_is_taken_before_the_answer(nginx, backend):
    asked = []

    def answer(seen):
        asked.append(nginx.files())
        return Answer(204)

    backend.authorize = answer
    assert post(nginx.port, BODY).status == 200
    assert asked == [[]]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_goes_on(nginx, backend, status):
    backend.authorize = Answer(status, {"X-Upload-Grant": "g"}, b"" if status == 204 else b"ignored")
    assert post(nginx.port, BODY).body == b'{"detail": "Upload Complete"}'
    assert backend.completes[0].header("X-Upload-Grant") == "g"
    assert nginx.files()[0].read_bytes() == DATA


def test_a_file_over_the_granted_size_is_413(nginx, backend):
    for max_size, status in ((len(DATA), 200), (len(DATA) - 1, 413), (1, 413), (0, 200)):
        backend.reset()
        backend.authorize = Answer(204, {"X-Upload-Max-Size": str(max_size)})
        response = post(nginx.port, BODY)
        assert response.status == status
        if status == 413:
            assert f"larger than {max_size} bytes" in response.json()["detail"]
            assert nginx.files() == []
        else:
            nginx.files()[0].unlink()


@pytest.mark.parametrize("value", ["many", "-1", "99999999999999999999"])
def test_a_granted_size_that_is_no_number_is_502(nginx, backend, value):
    backend.authorize = Answer(204, {"X-Upload-Max-Size": value})
    response = post(nginx.port, BODY)
    assert (response.status, nginx.files()) == (502, [])
    assert "X-Upload-Max-Size" in response.json()["detail"]


@pytest.mark.parametrize("length", [17000, 1000000])
def test_an_answer_larger_than_the_buffer_is_502_and_names_the_directive(nginx, backend, length):
    backend.authorize = Answer(403, {}, b"x" * length)
    response = post(nginx.port, BODY)
    assert response.status == 502
    assert "subrequest_output_buffer_size" in response.json()["detail"]
    assert (nginx.files(), backend.completes) == ([], [])


def test_an_application_that_is_down_is_502(nginx, backend):
    for send in (lambda: post(nginx.port, BODY, path="/down"),):
        response = send()
        assert response.status == 502
        assert response.json()["detail"] == "the application that authorizes uploads does not answer"
    with Http2(nginx.http2_port) as h2:
        stream = h2.request("/down", len(BODY))
        h2.send(stream, BODY)
        assert h2.response(stream).status == 502
    assert nginx.files() == []


def test_an_application_that_is_down_at_the_end_is_502_and_the_files_are_removed(nginx, backend):
    assert post(nginx.port, BODY, path="/down-complete").status == 502
    wait_for(lambda: not nginx.files(), "the files are removed")


def test_an_application_that_does_not_answer_in_time_is_504(own_nginx, backend):
    nginx = own_nginx(http="proxy_read_timeout 200ms;")
    done = []
    backend.authorize = lambda seen: wait_for(lambda: done, "the end of the test") and Answer(204)
    response = post(nginx.port, BODY)
    done.append(True)
    assert (response.status, response.json()["status"], nginx.files()) == (504, 504, [])


def test_a_client_that_leaves_during_authorize_leaves_nothing(nginx, backend):
    gone = []
    backend.authorize = lambda seen: wait_for(lambda: gone, "the client leaves") and Answer(204)
    with Connection(nginx.port) as c:
        c.send(head("/upload?t=gone", len(BODY)) + BODY[:1000])
        wait_for(lambda: backend.authorizes, "authorize is asked")
    assert nginx.logged("gone")[0] == "499"
    gone.append(True)
    assert (nginx.files(), backend.completes) == ([], [])


def test_the_application_s_own_errors_at_the_end_are_not_replaced(nginx, backend):
    for status in (400, 404, 409, 500, 507):
        backend.complete = Answer(status, {"Content-Type": "application/problem+json"}, b'{"from": "django"}')
        response = post(nginx.port, BODY)
        assert (response.status, response.body) == (status, b'{"from": "django"}')
        wait_for(lambda: not nginx.files(), "upload_cleanup removes the file")


def test_denied_by_nginx_is_nginx_s_error_page(nginx, backend):
    response = post(nginx.port, BODY, path="/denied")
    assert response.status == 403 and b"403 Forbidden" in response.body
    assert nginx.files() == []
