"""The same result however the body is cut into reads, and only real delimiters end a part."""

import pytest

from client import BOUNDARY, Connection, Http2, form, head, part, post
from harness import both_ways

pytestmark = both_ways

FILE = b"\r\n--" + BOUNDARY[:-1] + b"\r\r\n-\r\n"
BODY = form(part(b"value", "field"), part(FILE, "file", "a.bin", "text/plain"))


def stored(nginx, backend):
    (path,) = nginx.files()
    data = path.read_bytes()
    path.unlink()
    fields = dict(backend.completes[0].form)
    backend.reset()
    return fields["field"], data, fields["file.name"]


@pytest.mark.parametrize("where", range(1, len(BODY), 1))
def test_a_body_cut_at_any_byte(nginx, backend, where):
    with Connection(nginx.port) as c:
        c.send_read(head("/plain", len(BODY)))
        c.send_read(BODY[:where])
        c.send(BODY[where:])
        assert c.response().status == 200
    assert stored(nginx, backend) == (b"value", FILE, b"a.bin")


def test_a_body_that_comes_byte_by_byte(nginx, backend):
    with Connection(nginx.port) as c:
        c.send(head("/plain", len(BODY)))
        for i in range(len(BODY)):
            c.send_read(BODY[i : i + 1])
        assert c.response().status == 200
    assert stored(nginx, backend) == (b"value", FILE, b"a.bin")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 61, 1000])
def test_a_body_of_chunks_and_of_http2_frames(nginx, backend, size):
    with Connection(nginx.port) as c:
        c.send(head("/plain", headers=["Transfer-Encoding: chunked"]))
        for i in range(0, len(BODY), size):
            piece = BODY[i : i + size]
            c.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        c.send(b"0\r\n\r\n")
        assert c.response().status == 200
    assert stored(nginx, backend) == (b"value", FILE, b"a.bin")
    with Http2(nginx.http2_port) as h2:
        stream = h2.request("/plain", len(BODY))
        h2.send(stream, BODY, size=size)
        assert h2.response(stream).status == 200
    assert stored(nginx, backend) == (b"value", FILE, b"a.bin")


@pytest.mark.parametrize("path", ["/small-buffer", "/large-buffer", "/plain"])
def test_buffers_of_any_size(nginx, backend, path):
    data = (FILE + bytes(range(256))) * 3000
    assert post(nginx.port, form(part(b"value", "field"), part(data, "file", "a.bin")), path=path).status == 200
    assert stored(nginx, backend) == (b"value", data, b"a.bin")


CONTENT = [
    b"\n--" + BOUNDARY + b"\r\n",  # no CR in front
    b"\r\n--" + BOUNDARY + b"x\r\n",  # something behind
    b"\r\n--" + BOUNDARY + b"-\r\n",
    b"\r\n--" + BOUNDARY + b" --\r\n",
    b"\r\n--" + BOUNDARY + b"\r\r\n",
    b"\r\n --" + BOUNDARY + b"\r\n",
    b"\r\n--" + BOUNDARY.lower() + b"\r\n",
    b"\r\n--" + BOUNDARY + b" " * 65 + b"\r\n",
    b"--" + BOUNDARY + b"x",
    b"\r\n--" + BOUNDARY + b" x\r\n--" + BOUNDARY + b"y",
    b"\r\r\n\n\r\r",
]


@pytest.mark.parametrize("content", CONTENT)
def test_what_is_not_a_delimiter_is_content(nginx, backend, content):
    assert post(nginx.port, form(part(b"value", "field"), part(content, "file", "a.bin")), path="/plain").status == 200
    assert stored(nginx, backend) == (b"value", content, b"a.bin")


BODIES = [
    form(part(b"value", "field"), part(b"data", "file", "a.bin"), final=False) + b"--" + BOUNDARY + b"\r\n",
    b"preamble\r\n" + BODY.replace(FILE, b"data") + b"epilogue\r\n--" + BOUNDARY + b"\r\n\r\nignored",
    form(part(b"value", "field"), part(b"data", "file", "a.bin")).replace(BOUNDARY + b"\r\n", BOUNDARY + b" \t\r\n"),
    form(part(b"value", "field", eol=b"\n"), part(b"data", "file", "a.bin", eol=b"\n"), eol=b"\n"),
    form(part(b"value", "field"), part(b"data", "file", "a.bin")).removesuffix(b"\r\n"),
]


@pytest.mark.parametrize("body", BODIES)
def test_bodies_that_end_or_begin_unusually_are_accepted(nginx, backend, body):
    for send in (post, post_http2):
        assert send(nginx.port if send is post else nginx.http2_port, body, path="/plain").status == 200
        assert stored(nginx, backend) == (b"value", b"data", b"a.bin")


def post_http2(port, body, path):
    with Http2(port) as h2:
        stream = h2.request(path)
        h2.send(stream, body)
        return h2.response(stream)


def test_bare_lf_is_a_line_end_only_where_the_body_uses_it(nginx, backend):
    body = form(part(b"a\r", "field", eol=b"\n"), part(b"x\r\ny\n", "file", "a.bin", eol=b"\n"), eol=b"\n")
    assert post(nginx.port, body, path="/plain").status == 200
    assert stored(nginx, backend) == (b"a", b"x\r\ny\n", b"a.bin")
