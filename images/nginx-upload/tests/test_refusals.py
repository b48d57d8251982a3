"""What is refused, with which status and reason; and that a refused upload leaves nothing behind."""

import pytest

from client import Connection, Http2, chunked, exchange, form, head, part, post
from harness import both_ways, wait_for
from sending import assert_problem, ways

pytestmark = both_ways

DATA = b"0123456789" * 3000
BODY = form(part(b"value", "field"), part(b"first", "file", "first.bin"), part(DATA, "file", "a.bin"))


CUTS = [
    (BODY[: BODY.index(b"; name")], "inside the headers"),
    (BODY[: BODY.index(b"; filename")], "inside the headers"),
    (BODY[: BODY.index(b"\r\n\r\nfirst") + 2], "inside the headers"),
    (BODY[: BODY.index(b"first\r\n") + 2], "closing boundary"),
    (BODY[: BODY.index(DATA) + 10000], "closing boundary"),
    (BODY[: BODY.index(DATA) + len(DATA)], "closing boundary"),
    (BODY[:-4], "closing boundary"),
    (BODY[:-3], "closing boundary"),
    (BODY[:10], "boundary"),
    (b"no delimiter at all\r\n" * 1000, "boundary"),
]


@ways
@pytest.mark.parametrize("body, reason", CUTS)
def test_a_body_without_its_end_is_refused(nginx, backend, send, body, reason):
    assert_problem(nginx, backend, send(nginx, "/plain", body), 400, reason)


@pytest.mark.parametrize(
    "request_head, status, reason",
    [
        (head("/plain", 0), 400, "boundary"),
        (head("/plain"), 400, "boundary"),
        (head("/plain", 0, content_type=""), 400, "no Content-Type"),
        (head("/plain", 0, content_type="text/plain"), 415, "multipart/form-data"),
        (head("/plain", 0, content_type="multipart/form-datax; boundary=x"), 415, "multipart/form-data"),
        (head("/plain", 0, content_type="multipart/form-data"), 400, "no boundary"),
        (head("/plain", 0, content_type="multipart/form-data; boundary="), 400, "no boundary"),
        (head("/plain", 0, content_type='multipart/form-data; boundary=""'), 400, "no boundary"),
        (head("/plain", 0, content_type="multipart/form-data; xboundary=x"), 400, "no boundary"),
        (head("/plain", 0, content_type="multipart/form-data; boundary=" + "x" * 257), 400, "256"),
    ],
)
def test_requests_that_are_no_upload_are_refused(nginx, backend, request_head, status, reason):
    assert_problem(nginx, backend, exchange(nginx.port, request_head), status, reason)


@pytest.mark.parametrize(
    "content_type, boundary",
    [
        ("Multipart/Form-Data; charset=utf-8; Boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b;c"', b"a b;c"),
        ("multipart/form-data; boundary = abc ; x=y", b"abc"),
        ("multipart/form-data; boundary=" + "x" * 256, b"x" * 256),
    ],
)
def test_boundaries_are_read_from_any_sensible_header(nginx, backend, content_type, boundary):
    body = form(part(b"x", "a"), boundary=boundary)
    assert exchange(nginx.port, head("/plain", len(body), content_type=content_type) + body).status == 200
    assert len(backend.completes) == 1


DISPOSITIONS = [
    (b'inline; name="a"', "neither form-data nor attachment"),
    (b"", "neither"),
    (b'form-data; name="a\x01b"', "control characters"),
    (b'form-data; name="a\x00b"', "control characters"),
    (b'form-data; name="a"; filename="b\x7f"', "control characters"),
    (b"form-data; name=\"a\"; filename*=utf-8''b%0Ac", "control characters"),
    (b"form-data; name=\"a\"; filename*=utf-8''b%00", "control characters"),
    (b'form-data; name="a"; name="b"', "two names"),
    (b'form-data; name="a"; filename="b"; filename="c"', "two file names"),
    (b'form-data; name="a"\r\nContent-Disposition: form-data; name="b"', "two Content-Disposition"),
    (b'form-data; name="a"\r\nContent-Type:', "empty Content-Type"),
    (b'form-data; name="a"\r\nContent-Type: a\x02', "control characters"),
]


@pytest.mark.parametrize("disposition, reason", DISPOSITIONS)
def test_malformed_part_headers_are_refused(nginx, backend, disposition, reason):
    body = form(part(b"first", "file", "first.bin"), part(b"x", disposition=disposition))
    assert_problem(nginx, backend, post(nginx.port, body, path="/plain"), 400, reason)


@pytest.mark.parametrize("data", [b"zz\r\n", b"5\r\nabcdefgh\r\n", b"ffffffffffffffffffff\r\n"])
def test_invalid_chunks_are_400(nginx, backend, data):
    start = chunked(BODY[:20000], 5000).removesuffix(b"0\r\n\r\n")
    with Connection(nginx.port) as c:
        c.send(head("/plain", headers=["Transfer-Encoding: chunked"]) + start)
        wait_for(nginx.files, "files")
        c.send(data)
        response = c.response()
    assert_problem(nginx, backend, response, 400)


def test_upload_pass_that_leads_to_upload_pass_is_500(nginx, backend):
    assert_problem(nginx, backend, post(nginx.port, BODY, path="/loop"), 500)


def test_http2_body_other_than_its_content_length_is_400_or_reset(nginx, backend):
    for length in (len(BODY) - 1, len(BODY) + 1):
        with Http2(nginx.http2_port) as h2:
            stream = h2.request("/plain", length)
            h2.h2.streams[stream]._expected_content_length = None
            h2.send(stream, BODY)
            assert_problem(nginx, backend, h2.response(stream), 400)
