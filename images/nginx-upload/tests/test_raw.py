"""A body that is the file itself: its headers, where it goes, and what of it is refused and why."""

import re

import pytest

from client import Connection, exchange, form, head, part, post
from harness import LEFT, Answer, both_ways, wait_for
from resumable import (
    DISPOSITION,
    TYPE,
    WAYS,
    by_chunks,
    by_http2,
    by_length,
    fields_of,
    header_list,
    lines,
    session_id,
)

DATA = bytes(range(256)) * 400

pytestmark = both_ways

every_way = pytest.mark.parametrize("way", WAYS)


def assert_problem(nginx, backend, response, status, *words):
    assert response.status == status
    problem = response.json()
    assert problem["status"] == status
    for word in words:
        assert word in problem["detail"]
    wait_for(lambda: not nginx.files(), "nothing is left in the store")
    assert list((nginx.directory / "states").glob("bad*")) == []
    assert backend.completes == []


# what is taken


@every_way
@pytest.mark.parametrize("size", [1, 5000, len(DATA)])
def test_a_file_without_a_session_gets_a_number(nginx, backend, way, size):
    assert way(nginx, "/raw", DATA[:size], header_list()).status == 200
    (path,) = nginx.files()
    assert re.fullmatch(r"\d{10}", path.name)
    assert path.read_bytes() == DATA[:size]
    assert dict(backend.completes[0].form) == {
        **fields_of(DATA[:size]),
        "file.path": str(path).encode(),
        "file.range": b"bytes 0-0/0",
    }


def test_an_empty_body_is_an_empty_file(nginx, backend):
    for way in WAYS:
        assert way(nginx, "/raw", b"", header_list()).status == 200
        assert dict(backend.completes[-1].form)["file.size"] == b"0"
    assert exchange(nginx.port, head("/raw", headers=lines(header_list()), content_type=TYPE)).status == 200
    assert [path.stat().st_size for path in nginx.files()] == [0] * (len(WAYS) + 1)


DISPOSITIONS = [
    ('attachment; filename="a.bin"', "", "a.bin"),
    ("attachment; filename=a.bin", "", "a.bin"),
    ("Attachment;FileName=a.bin", "", "a.bin"),
    ('form-data; name="field"; filename="a.bin"', "field", "a.bin"),
    ('form-data; filename="a.bin"; name="field"', "field", "a.bin"),
    ('attachment; filename="/tmp/../a.bin"', "", "a.bin"),
    ('attachment; filename="C:\\dir\\a.bin"', "", "a.bin"),
    ('attachment; filename="a;b.bin"', "", "a;b.bin"),
    ("attachment; filename*=utf-8''%c3%a9.bin; filename=e.bin", "", "é.bin"),
    ("attachment", "", ""),
    ('form-data; name="field"', "field", ""),
]


@pytest.mark.parametrize("disposition, name, filename", DISPOSITIONS)
def test_the_names_are_those_of_the_disposition(nginx, backend, disposition, name, filename):
    for way in (by_length, by_http2):
        assert way(nginx, "/raw", b"x", header_list(disposition=disposition)).status == 200
        fields = dict(backend.completes[-1].form)
        assert {**fields, **fields_of(b"x", name=name, filename=filename)} == fields
        assert backend.completes[-1].header("Content-Disposition") == disposition


@pytest.mark.parametrize("name", ["X-Content-Disposition", "content-disposition", "x-content-disposition"])
def test_the_disposition_may_have_a_prefix(nginx, backend, name):
    headers = [(name, 'attachment; filename="a.bin"')]
    assert by_length(nginx, "/raw", b"x", headers).status == 200
    assert dict(backend.completes[0].form)["file.name"] == b"a.bin"
    assert backend.completes[0].header(name) == headers[0][1]


@pytest.mark.parametrize("content_type", [TYPE, "text/plain; charset=utf-8", "multipart/mixed; boundary=x", "x"])
def test_any_type_but_a_form_is_a_file(nginx, backend, content_type):
    body = form(part(b"x", "file", "a"))
    assert by_length(nginx, "/raw", body, header_list(), content_type).status == 200
    fields = dict(backend.completes[0].form)
    assert (fields["file.size"], fields["file.type"]) == (str(len(body)).encode(), content_type.encode())


def test_a_form_stays_a_form_whatever_its_headers(nginx, backend):
    body = form(part(DATA, "file", "a.bin"))
    headers = lines(header_list(session_id(), "bytes 0-9/10"))
    assert exchange(nginx.port, head("/raw", len(body), headers=headers) + body).status == 200
    (path,) = nginx.files()
    assert path.read_bytes() == DATA
    assert dict(backend.completes[0].form)["file.range"] == b"bytes 0-0/0"


@every_way
def test_the_form_has_a_number_for_a_boundary(nginx, backend, way):
    for session in (None, session_id()):
        assert way(nginx, "/raw", b"x", header_list(session)).status == 200
        seen = backend.completes[-1]
        assert seen.method == "POST"
        assert re.fullmatch(r"multipart/form-data; boundary=\d{20}", seen.header("Content-Type"))
        assert seen.header("Content-Length") == str(len(seen.body))
        assert seen.header("Transfer-Encoding") is None
        boundary = seen.header("Content-Type").partition("=")[2].encode()
        assert seen.body.startswith(b"--" + boundary + b"\r\n")
        assert seen.body.endswith(b"\r\n--" + boundary + b"--\r\n")


def test_a_raw_upload_takes_a_number_for_its_boundary_and_a_form_does_not(own_nginx, backend):
    nginx = own_nginx()

    def number():
        return max(int(path.name) for path in nginx.files() if len(path.name) == 10)

    def boundary():
        return int(backend.completes[-1].header("Content-Type").partition("=")[2])

    post(nginx.port, form(part(b"x", "file", "a")), path="/raw")
    assert number() == 1
    by_length(nginx, "/raw", b"x", header_list())
    assert (boundary(), number()) == (2, 3)
    post(nginx.port, form(part(b"x", "file", "a")), path="/raw")
    assert number() == 4
    by_length(nginx, "/raw", b"x", header_list("0"))
    assert boundary() == 5
    by_length(nginx, "/raw", b"x", header_list("1", "bytes 0-0/2"))
    by_length(nginx, "/raw", b"x", header_list("1", "bytes 1-1/2"))
    assert boundary() == 7
    post(nginx.port, form(part(b"x", "file", "a")), path="/raw")
    assert number() == 8


def test_without_fields_the_application_gets_a_dummy(nginx, backend):
    assert by_length(nginx, "/raw-no-digests", DATA, header_list()).status == 200
    assert backend.completes[0].form == [("<ngx_upload_module_dummy>", b"")]
    assert nginx.files()[0].read_bytes() == DATA


@pytest.mark.parametrize("path, query", [("/raw", ""), ("/raw-args", "?a=b&c")])
def test_the_query_is_passed_on_if_asked_for(nginx, backend, path, query):
    assert by_length(nginx, path + "?a=b&c", b"x", header_list()).status == 200
    assert by_length(nginx, path + "?a=b&c", b"x", header_list(session_id(), "bytes 0-0/1")).status == 200
    assert [seen.path for seen in backend.completes] == ["/complete/" + query] * 2


def test_added_headers_are_there_once(nginx, backend):
    for headers, status in (
        (header_list(), 200),
        (header_list("added", "bytes 0-0/2"), 201),
        (header_list("added", "bytes 0-0/3"), 409),
        (header_list("added", "bytes 0-0"), 400),
    ):
        response = by_length(nginx, "/raw-headers", b"x", headers)
        assert response.status == status
        assert response.headers_named("X-One") == ["POST"]


def test_options_is_answered_by_nginx(nginx, backend):
    response = exchange(nginx.port, head("/raw-headers", method="OPTIONS", content_type=""))
    assert (response.status, response.body, response.headers_named("X-One")) == (200, b"", ["OPTIONS"])


def test_who_waits_to_be_invited_is(nginx, backend):
    headers = [*lines(header_list("invited", "bytes 5-9/10")), "Expect: 100-continue"]
    with Connection(nginx.port) as c:
        c.send(head("/raw", 5, headers=headers, content_type=TYPE))
        assert c.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        assert c.file.readline() == b"\r\n"
        c.send(b"56789")
        assert c.response().status == 201
    headers = [*lines(header_list("invited", "bytes 5-9/11")), "Expect: 100-continue"]
    with Connection(nginx.port) as c:
        c.send(head("/raw", 5, headers=headers, content_type=TYPE))
        response = c.response()
        assert (response.status, response.interim) == (409, [])


# what is refused


BAD_SESSIONS = ["", "a/b", "../a", "a.b", ".", "..", "a b", "a\tb", "é", "a;b", "a:b", "a\\b", "bad%41", "b" * 201]


@pytest.mark.parametrize("session", BAD_SESSIONS)
def test_a_session_id_is_letters_digits_and_dashes(nginx, backend, session):
    for way in (by_length, by_http2):
        for content_range in (None, "bytes 0-0/2"):
            response = way(nginx, "/raw", b"x", header_list(session, content_range))
            assert_problem(nginx, backend, response, 400, "Session-ID", "200 letters, digits, _ and -")


@pytest.mark.parametrize("session", ["a", "0", "-", "_", "A-Z_09", "s" * 200])
def test_a_session_id_may_be_short_or_long(nginx, backend, session):
    assert by_length(nginx, "/raw", b"x", header_list(session, "bytes 0-0/2")).status == 201
    assert by_length(nginx, "/raw", b"x", header_list(session, "bytes 1-1/2")).status == 200
    assert nginx.files() == [nginx.store / session]


BAD_RANGES = [
    "",
    "bytes",
    "bytes ",
    "bytes 0-9",
    "bytes 0-9/",
    "bytes 0/10",
    "bytes -9/10",
    "bytes 0-/10",
    "bytes */10",
    "bytes 0-9/*",
    "bytes 5-4/10",
    "bytes 0-10/10",
    "bytes 10-10/10",
    "bytes 0-0/0",
    "bytes=0-9/10",
    "bytes\t0-9/10",
    "bytes  0-9/10",
    "bytes 0 - 9/10",
    "bytes 0-9/10 x",
    "bytes 0-9/10,20-29/30",
    "bytes 0x0-9/10",
    "bytes +0-9/10",
    "items 0-9/10",
    "0-9/10",
    "bytes 0-9/9223372036854775808",
    "bytes 0-9/99999999999999999999999",
    "bytes 18446744073709551616-18446744073709551625/18446744073709551626",
]


@pytest.mark.parametrize("content_range", BAD_RANGES)
def test_a_range_has_one_form(nginx, backend, content_range):
    for way in (by_length, by_http2, by_chunks):
        response = way(nginx, "/raw", bytes(10), header_list("bad", content_range))
        assert_problem(nginx, backend, response, 400, "bytes FIRST-LAST/TOTAL")


@every_way
def test_a_range_needs_a_session(nginx, backend, way):
    response = way(nginx, "/raw", bytes(10), header_list(None, "bytes 0-9/10"))
    assert_problem(nginx, backend, response, 400, "Session-ID")


@pytest.mark.parametrize(
    "disposition, reason",
    [
        ("inline", "neither form-data nor attachment"),
        ('inline; filename="a"', "neither"),
        ("", "neither"),
        ("attachmentx; filename=a", "neither"),
        ('attachment; filename="a\x01b"', "control characters"),
        ("attachment; filename*=utf-8''a%0Ab", "control characters"),
        ('form-data; name="a"; name="b"', "two names"),
        ("attachment; filename=a; filename=b", "two file names"),
    ],
)
def test_a_disposition_that_is_none_is_refused(nginx, backend, disposition, reason):
    for session in (None, "bad"):
        response = by_length(nginx, "/raw", bytes(10), header_list(session, disposition=disposition))
        if response.status == 400 and not response.body.startswith(b"{"):
            continue  # core refuses such a header itself
        assert_problem(nginx, backend, response, 400, reason)


@every_way
def test_a_body_that_is_no_form_needs_a_disposition_and_the_directive(nginx, backend, way):
    for path, headers in (
        ("/raw", header_list(disposition=None)),
        ("/raw", header_list("bad", "bytes 0-9/10", None)),
        ("/raw-off", header_list()),
        ("/raw-off", header_list("bad", "bytes 0-9/10")),
    ):
        assert_problem(nginx, backend, way(nginx, path, bytes(10), headers), 415, "multipart/form-data")


def test_a_body_needs_a_type(nginx, backend):
    response = by_length(nginx, "/raw", b"x", header_list("bad", "bytes 0-0/1"), content_type="")
    assert_problem(nginx, backend, response, 400, "no Content-Type")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_other_methods_are_405(nginx, backend, method):
    for path in ("/raw", "/raw-off"):
        request = head(path, 1, headers=[*lines(header_list("bad", "bytes 0-0/1")), "Connection: close"], method=method)
        with Connection(nginx.port) as c:
            c.send(request.replace(b"multipart/form-data", b"application/x") + b"x")
            assert c.file.readline().split()[1] == b"405"
    assert (nginx.files(), backend.completes) == ([], [])


@pytest.mark.parametrize(
    "path, session",
    [("/raw-on-demand?where=there", "x"), ("/raw-on-demand?where=there", "-")],
)
def test_a_session_id_is_as_long_as_the_directories_need(nginx, backend, path, session):
    (nginx.directory / "there/states").mkdir(parents=True, exist_ok=True)
    for content_range in (None, "bytes 0-0/1"):
        response = by_length(nginx, path, b"x", header_list(session, content_range))
        assert_problem(nginx, backend, response, 400, "shorter than the directories")


@every_way
def test_a_file_over_the_limit_is_discarded_by_default(nginx, backend, way):
    for session in (None, "bad"):
        backend.reset()
        assert way(nginx, "/raw-limited", DATA, header_list(session)).status == 200
        assert backend.completes[0].form == [("<ngx_upload_module_dummy>", b"")]
        wait_for(lambda: not nginx.files(), "the file is removed")
        assert way(nginx, "/raw-limited", DATA[:1000], header_list(session)).status == 200
        (path,) = nginx.files()
        assert path.read_bytes() == DATA[:1000]
        path.unlink()


@every_way
def test_a_file_over_the_limit_is_413_when_it_shall_be_rejected(nginx, backend, way):
    for session in (None, "bad"):
        response = way(nginx, "/raw-reject", DATA, header_list(session))
        assert_problem(nginx, backend, response, 413, "1000 bytes", "upload_max_file_size")
    assert by_length(nginx, "/raw-reject", DATA[:1000], header_list()).status == 200


@pytest.mark.parametrize("way", [by_length, by_chunks])
@pytest.mark.parametrize("session", [None, "bad"])
def test_a_client_that_leaves_leaves_no_whole_file(nginx, backend, way, session):
    tag = session_id()
    headers = lines(header_list(session))
    length = len(DATA) if way == by_length else None
    sent = DATA[:50_000]
    if way == by_chunks:
        headers.append("Transfer-Encoding: chunked")
        sent = b"%x\r\n%s" % (len(DATA), sent)
    with Connection(nginx.port) as c:
        c.send_read(head("/raw?t=" + tag, length, headers=headers, content_type=TYPE) + sent)
        wait_for(nginx.files, "the file is there")
    assert int(nginx.logged(tag)[0]) in LEFT
    wait_for(lambda: not nginx.files(), "the file is removed")
    assert backend.completes == []


@pytest.mark.parametrize("session", [None, "bad"])
def test_a_file_is_removed_when_the_application_refuses_it(nginx, backend, session):
    backend.complete = Answer(422, {}, b"no")
    assert by_length(nginx, "/raw", DATA, header_list(session)).status == 422
    wait_for(lambda: not nginx.files(), "422 is in upload_cleanup")
    backend.reset()
    assert by_length(nginx, "/raw", DATA, header_list(session)).status == 200
    assert nginx.files()[0].read_bytes() == DATA
    assert backend.completes[0].header("Content-Disposition") == DISPOSITION
