"""What is refused, with which status and reason; and that a refused upload leaves nothing behind."""

import pytest

from client import Connection, Http2, chunked, exchange, form, head, part, post
from harness import wait_for

DATA = b"0123456789" * 3000
BODY = form(part(b"value", "field"), part(b"first", "file", "first.bin"), part(DATA, "file", "a.bin"))


def assert_problem(nginx, backend, response, status, *words):
    assert response.status == status
    assert response.header("Content-Type") == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    for word in words:
        assert word in problem["detail"]
    # the answer may be out a moment before the request is over
    wait_for(lambda: not nginx.files(), "nothing is left in the store")
    assert backend.completes == []


def by_length(nginx, path, body):
    return post(nginx.port, body, path=path)


def by_chunks(nginx, path, body):
    return exchange(nginx.port, head(path, headers=["Transfer-Encoding: chunked"]) + chunked(body, 4000))


def by_http2(nginx, path, body):
    with Http2(nginx.http2_port) as h2:
        stream = h2.request(path, len(body))
        h2.send(stream, body)
        return h2.response(stream)


def by_http2_without_length(nginx, path, body):
    with Http2(nginx.http2_port) as h2:
        stream = h2.request(path)
        h2.send(stream, body)
        return h2.response(stream)


ways = pytest.mark.parametrize("send", [by_length, by_chunks, by_http2, by_http2_without_length])


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


@ways
def test_a_long_part_header_is_refused_with_the_directive_to_raise(nginx, backend, send):
    body = form(part(DATA, "file", "first.bin"), part(b"x", "f" * 200), part(DATA, "file", "x"))
    assert_problem(nginx, backend, send(nginx, "/small-header", body), 400, "128 bytes", "upload_max_part_header_len")


def test_a_part_header_may_be_as_long_as_the_limit(nginx, backend):
    name = "f" * (128 - len('Content-Disposition: form-data; name=""'))
    assert post(nginx.port, form(part(b"x", name)), path="/small-header").status == 200
    assert backend.completes[0].form == [(name, b"x")]
    backend.reset()
    assert_problem(nginx, backend, post(nginx.port, form(part(b"x", name + "f")), path="/small-header"), 400, "128")


@ways
def test_a_body_over_client_max_body_size_is_413(nginx, backend, send):
    response = send(nginx, "/small-body", BODY)
    if send in (by_length, by_http2):
        # nginx core refuses before the module is asked
        assert_problem(nginx, backend, response, 413)
    else:
        assert_problem(nginx, backend, response, 413, "client_max_body_size")


@ways
def test_a_file_over_upload_max_file_size_is_413_when_it_shall_be_rejected(nginx, backend, send):
    assert_problem(nginx, backend, send(nginx, "/small-file-reject", BODY), 413, "1000 bytes", "upload_max_file_size")


@ways
def test_a_file_over_upload_max_file_size_is_discarded_by_default(nginx, backend, send):
    assert send(nginx, "/small-file", BODY).status == 200
    (path,) = nginx.files()
    assert path.read_bytes() == b"first"
    assert [name for name, value in backend.completes[0].form] == [
        "field",
        "file.field",
        "file.name",
        "file.type",
        "file.path",
        "file.size",
        "file.sha256",
    ]


def test_a_file_of_exactly_the_limit_is_taken(nginx, backend):
    assert post(nginx.port, form(part(b"x" * 1000, "file", "a")), path="/small-file-reject").status == 200
    assert nginx.files()[0].stat().st_size == 1000


@ways
def test_a_form_over_upload_max_output_body_len_is_413(nginx, backend, send):
    body = form(*[part(b"x", "file", f"{i}.bin") for i in range(10)])
    assert_problem(nginx, backend, send(nginx, "/small-form", body), 413, "upload_max_output_body_len")


def test_a_field_without_room_in_the_form_is_dropped(nginx, backend):
    body = form(part(b"x" * 1500, "large"), part(b"y" * 1500, "larger"), part(b"z", "small"))
    assert post(nginx.port, body, path="/small-form").status == 200
    assert backend.completes[0].form == [("large", b"x" * 1500), ("small", b"z")]


def test_the_form_may_be_as_long_as_its_limit(nginx, backend):
    frame = len(form(part(b"", "a")))
    body = form(part(b"x" * (2000 - frame), "a"))
    assert post(nginx.port, body, path="/small-form").status == 200
    assert len(backend.completes[0].body) == 2000
    backend.reset()
    assert post(nginx.port, form(part(b"x" * (2001 - frame), "a")), path="/small-form").status == 200
    assert backend.completes[0].form == [("<ngx_upload_module_dummy>", b"")]


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


def test_600_bad_posts_in_a_row_do_not_use_up_256_connections(nginx, backend):
    for i in range(600):
        body = CUTS[i % len(CUTS)][0]
        assert post(nginx.port, body, path="/plain").status == 400
    assert post(nginx.port, form(part(b"x", "a")), path="/plain").status == 200
    assert nginx.files() == []
