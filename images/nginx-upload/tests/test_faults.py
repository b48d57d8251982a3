"""What the classic upload module does wrong, and this one has to be shown not to do: one test for each fault.

Faults whose test stands where its subject is:

    plain fields never reach the application
        test_form::test_files_and_fields_keep_the_client_s_order
    file names are lost, altered or overridden
        test_form::test_names_are_read_as_browsers_and_the_standards_write_them
    content with LF--boundary is cut short
        test_splits::test_what_is_not_a_delimiter_is_content
    a truncated body is answered 200
        test_refusals::test_a_body_without_its_end_is_refused
    a full disk is answered 200
        test_storage::test_a_full_disk_is_507, test_limits, test_pipeline
    variables read elsewhere kill the worker
        test_variables::test_they_are_empty_without_an_upload
    a reload aborts HTTP/2 uploads
        test_storage::test_a_reload_lets_uploads_finish, test_pipeline
    no or empty boundary: closed without an answer
        test_refusals::test_requests_that_are_no_upload_are_refused
    the form's bytes are counted twice
        test_limits::test_the_form_may_be_as_long_as_its_limit
    upload_add_header once for every part
        test_variables::test_upload_add_header_is_there_once_whatever_happens
    level directories must exist
        test_storage::test_hashed_directories_are_made_at_the_start
    a chunked body is 400
        test_framing::test_every_framing_of_the_body_gives_the_same_file
    ranges, state files, sessions
        test_resumable
    the event loop waits for the disk
        test_pipeline::test_http1_is_held_back_when_the_disk_is_stuck
"""

import itertools

import pytest

import http3
from client import Connection, Http2, exchange, form, head, part, post
from harness import both_ways, wait_for
from locations import LOCATIONS, RECEIVE, location
from sending import ways

pytestmark = both_ways

DATA = bytes(range(256)) * 4000
BODY = form(part(b"value", "field"), part(b"first", "file", "first.bin"), part(DATA, "file", "a.bin"))


@pytest.mark.parametrize("size", [1, 100, 16384])
def test_http2_without_a_content_length_does_not_kill_the_worker(nginx, backend, size):
    """In frames of any size, whole, cut and left; the fixture asserts that the worker is the same afterwards."""
    body = form(part(b"value", "field"), part(DATA[:3000], "file", "a.bin")) if size == 1 else BODY
    data = DATA[:3000] if size == 1 else DATA
    with Http2(nginx.http2_port) as h2:
        for end in (10, 150, len(body) // 2):
            stream = h2.request("/plain")
            h2.send(stream, body[:end], size=size)
            assert h2.response(stream).status == 400
            stream = h2.request("/plain")
            h2.send(stream, body[:end], end=False, size=size)
            h2.h2.reset_stream(stream)
            h2.flush()
        # the end as a frame of its own, without data
        stream = h2.request("/plain")
        h2.send(stream, body, end=False, size=size)
        h2.h2.end_stream(stream)
        h2.flush()
        assert h2.response(stream).status == 200
    assert nginx.files()[-1].read_bytes() == data


@http3.needed
@pytest.mark.parametrize("known", [True, False])
def test_an_http3_body_in_many_frames_is_not_dropped(nginx, backend, known):
    body = form(part(b"first", "file", "first.bin"), part(DATA[:300000], "file", "a.bin"))
    with http3.connect(nginx) as connection:
        stream = connection.request("/plain", len(body) if known else None)
        start = 0
        for size in itertools.cycle([1, 2, 3, 100, 1000, 5000, 70000]):
            connection.begin(stream, body[start : start + size], end=start + size >= len(body))
            start += size
            if start >= len(body):
                break
        assert connection.response(stream).status == 200
    assert [path.read_bytes() for path in nginx.files()] == [b"first", DATA[:300000]]


def test_upload_pass_of_variables_with_an_inherited_store_works(own_nginx, backend):
    nginx = own_nginx(
        LOCATIONS
        + RECEIVE
        + location("= /inherits", "set $to /complete/inherited; upload_pass $to;")
        + location("/nested/", "upload_pass $arg_to; if ($arg_a) { upload_pass_args on; }")
    )
    body = form(part(b"data", "file", "a"))
    assert post(nginx.port, body, path="/inherits").status == 200
    assert post(nginx.port, body, path="/nested/?to=/complete/").status == 200
    assert post(nginx.port, body, path="/nested/?to=@complete&a=1").status == 200
    # variables that name nothing are no crash either
    for path in ("/nested/", "/nested/?to=nowhere"):
        response = post(nginx.port, body, path=path)
        assert (response.status, response.json()["detail"]) == (500, "upload_pass names no location")
    assert [path.read_bytes() for path in nginx.files()] == [b"data"] * 3


def test_a_store_of_variables_that_is_inherited_works(own_nginx, backend):
    nginx = own_nginx(
        LOCATIONS
        + RECEIVE.replace("@store@", "@store@/$arg_where")
        + location("= /inherits", "set $to /complete/; upload_pass $to;")
    )
    (nginx.store / "there").mkdir()
    assert post(nginx.port, form(part(b"data", "file", "a")), path="/inherits?where=there").status == 200
    assert [path.parent.name for path in nginx.files()] == ["there"]


def test_variables_in_the_log_of_any_request_do_not_kill_the_worker(nginx, backend):
    """The log format has them all: of a location without uploads, of requests that fail, of what is no request."""
    for request in (
        b"GET /other?t=get HTTP/1.0\r\n\r\n",
        b"GET /plain?t=method HTTP/1.0\r\n\r\n",
        b"POST /plain?t=none HTTP/1.0\r\n\r\n",
        b"GET /missing?t=missing HTTP/1.0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET /complete/?t=internal HTTP/1.0\r\n\r\n",
    ):
        exchange(nginx.port, request)
    assert nginx.logged("get")[0] == "200" and nginx.logged("missing")[1:8] == [""] * 7


ERRORS = [
    # path, body, status
    ("/plain", BODY[: BODY.index(b"; name")], 400),
    ("/plain", BODY[: BODY.index(b"first\r\n") + 2], 400),
    ("/plain", BODY[:-4], 400),
    ("/plain", b"no delimiter at all\r\n" * 1000, 400),
    ("/plain", BODY.replace(b"form-data", b"nonsense"), 400),
    ("/small-header", form(part(b"x", "f" * 200)), 400),
    ("/small-file-reject", BODY, 413),
    ("/small-form", form(*[part(b"x", "file", "a")] * 10), 413),
    ("/few-parts", form(*[part(b"x", "field")] * 11), 413),
    ("/missing", BODY, 503),
]


def test_600_bad_posts_in_a_row_do_not_use_up_256_connections(nginx, backend):
    for i in range(600):
        path, body, status = ERRORS[i % len(ERRORS)]
        assert post(nginx.port, body, path=path).status == status
    assert post(nginx.port, form(part(b"x", "a")), path="/plain").status == 200
    assert nginx.files() == []


def test_600_bad_streams_do_not_use_up_256_connections(nginx, backend):
    for _ in range(10):
        with Http2(nginx.http2_port) as h2:
            for path, body, status in ERRORS * 6:
                stream = h2.request(path)
                h2.send(stream, body[:40000])
                assert h2.response(stream).status in (status, 400)
    assert post(nginx.port, form(part(b"x", "a")), path="/plain").status == 200
    wait_for(lambda: not nginx.files(), "nothing is left")


@pytest.mark.parametrize("path, body, status", [error for error in ERRORS if len(error[1]) < 3000])
def test_an_error_has_the_same_status_whether_or_not_the_body_comes_with_the_header(nginx, backend, path, body, status):
    with Connection(nginx.port) as c:
        c.send_read(head(path, len(body)))
        c.send(body)
        apart = c.response()
    together = exchange(nginx.port, head(path, len(body)) + body)
    assert (apart.status, apart.json()) == (together.status, together.json())
    assert apart.status == status


@ways
def test_a_body_that_ends_with_a_delimiter_that_is_not_final_is_accepted_everywhere(nginx, backend, send):
    body = form(part(b"value", "field"), part(b"data", "file", "a.bin"), final=False)
    body += b"--" + body[2 : body.index(b"\r\n")] + b"\r\n"
    assert send(nginx, "/plain", body).status == 200
    assert nginx.files()[0].read_bytes() == b"data"
