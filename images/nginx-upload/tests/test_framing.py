"""HTTP versions and the ways to say how long a body is."""

import pytest

from client import Connection, Http2, chunked, exchange, form, head, part
from harness import Answer, both_ways

pytestmark = both_ways

DATA = bytes(range(256)) * 2000
BODY = form(part(b"value", "field"), part(DATA, "file", "a.bin"))


def is_stored(nginx):
    (path,) = nginx.files()
    same = path.read_bytes() == DATA
    path.unlink()
    return same


@pytest.mark.parametrize("path", ["/upload", "/plain"])
def test_every_framing_of_the_body_gives_the_same_file(nginx, backend, path):
    for request in (
        head(path, len(BODY), version="1.0") + BODY,
        head(path, len(BODY)) + BODY,
        head(path, headers=["Transfer-Encoding: chunked"]) + chunked(BODY),
        head(path, headers=["Transfer-Encoding: chunked"]) + chunked(BODY, 1000),
    ):
        assert exchange(nginx.port, request).status == 200
        assert is_stored(nginx)
    for length in (len(BODY), None):
        with Http2(nginx.http2_port) as h2:
            stream = h2.request(path, length)
            h2.send(stream, BODY)
            assert h2.response(stream).status == 200
        assert is_stored(nginx)


@pytest.mark.parametrize("path", ["/upload", "/plain"])
def test_small_bodies_that_come_together_with_the_header(nginx, backend, path):
    body = form(part(b"value", "field"), part(b"data", "file", "a.bin"))
    for length in (len(body), None):
        with Http2(nginx.http2_port) as h2:
            stream = h2.request(path, length)
            h2.send(stream, body)
            assert h2.response(stream).status == 200
    assert exchange(nginx.port, head(path, len(body)) + body).status == 200
    assert [file.read_bytes() for file in nginx.files()] == [b"data"] * 3


def test_two_http2_uploads_at_a_time_on_one_connection(nginx, backend):
    with Http2(nginx.http2_port) as h2:
        first, second = h2.request("/upload", len(BODY)), h2.request("/upload", len(BODY))
        for start in range(0, len(BODY), 10000):
            end = start + 10000 >= len(BODY)
            for stream in (first, second):
                h2.send(stream, BODY[start : start + 10000], end=end)
        assert [h2.response(stream).status for stream in (first, second)] == [200, 200]
    assert [file.read_bytes() == DATA for file in nginx.files()] == [True, True]


def test_100_continue_comes_after_authorize_said_yes(nginx, backend):
    with Connection(nginx.port) as c:
        c.send(head(length=len(BODY), headers=["Expect: 100-continue"]))
        assert c.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert c.file.readline() == b"\r\n"
        assert len(backend.authorizes) == 1
        c.send(BODY)
        assert c.response().status == 200
    assert is_stored(nginx)


def test_100_continue_does_not_come_when_authorize_said_no(nginx, backend):
    backend.authorize = Answer(403, body=b"no")
    with Connection(nginx.port) as c:
        c.send(head(length=len(BODY), headers=["Expect: 100-continue"]))
        response = c.response()
        assert (response.status, response.body, response.interim) == (403, b"no", [])
        assert c.is_closed()


@pytest.mark.parametrize(
    "request_head, status",
    [
        (head("/plain", 10, headers=["Expect: 100-continue"], content_type="text/plain"), 415),
        (head("/plain", 10, headers=["Expect: 100-continue"], content_type="multipart/form-data"), 400),
        (head("/denied", 10, headers=["Expect: 100-continue"]), 403),
        (head("/down", 10, headers=["Expect: 100-continue"]), 502),
    ],
)
def test_100_continue_does_not_come_for_a_body_that_is_refused(nginx, backend, request_head, status):
    with Connection(nginx.port) as c:
        c.send(request_head)
        response = c.response()
        assert (response.status, response.interim) == (status, [])
        assert c.is_closed()


def test_a_connection_is_used_again_after_uploads(nginx, backend):
    with Connection(nginx.port) as c:
        for body in (BODY, form(part(b"x", "a")), BODY):
            c.send(head(length=len(body)) + body)
            assert c.response().status == 200
        c.send(head(headers=["Transfer-Encoding: chunked"]) + chunked(BODY, 5000))
        assert c.response().status == 200
        c.send(b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert c.response().body == b"[]"


def test_a_connection_is_used_again_after_a_refusal(nginx, backend):
    with Connection(nginx.port) as c:
        backend.authorize = Answer(401, body=b"who?")
        c.send(head(length=len(BODY)) + BODY)
        assert (c.response().status, nginx.files()) == (401, [])
        backend.authorize = Answer(204)
        c.send(head(length=len(BODY)) + BODY)
        assert c.response().status == 200
    assert is_stored(nginx)


def test_pipelined_requests_are_kept_apart(nginx, backend):
    body = form(part(b"x", "a"))
    with Connection(nginx.port) as c:
        c.send((head("/plain", len(body)) + body) * 3 + b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert [c.response().status for _ in range(4)] == [200] * 4
    assert len(backend.completes) == 3


def test_methods(nginx, backend):
    backend.complete = Answer(200, body=b"the page")
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        response = exchange(nginx.port, head("/plain", 0, method=method))
        assert response.status == 405
    response = exchange(nginx.port, head("/plain", 3, method="OPTIONS") + b"abc")
    assert (response.status, response.body) == (200, b"")


def test_get_can_be_answered_by_the_application(nginx, backend):
    backend.complete = Answer(200, {"Content-Type": "text/html"}, b"the page")
    with Connection(nginx.port) as c:
        c.send(b"GET /upload HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # error_page 405 = @app
        response = c.response()
    assert (response.status, response.body) == (200, b"the page")
    assert backend.authorizes == []
    assert [(seen.method, seen.path) for seen in backend.completes] == [("GET", "/upload")]
