"""Every limit: its status, the sentence that names the directive to raise, and nothing left on disk."""

import errno
import time

import pytest

from client import Connection, Http2, exchange, form, head, part, post
from harness import both_ways, of_nginx_alone, wait_for
from locations import LOCATIONS, PLAIN, location
from sending import assert_problem, by_http2, by_http3, by_length, ways

pytestmark = both_ways

DATA = b"0123456789" * 3000
BODY = form(part(b"value", "field"), part(b"first", "file", "first.bin"), part(DATA, "file", "a.bin"))


@ways
def test_a_long_part_header_is_refused_with_the_directive_to_raise(nginx, backend, send):
    body = form(part(DATA, "file", "first.bin"), part(b"x", "f" * 200), part(DATA, "file", "x"))
    assert_problem(nginx, backend, send(nginx, "/small-header", body), 400, "128 bytes", "upload_max_part_header_len")


# the default is that of the classic module
@pytest.mark.parametrize("path, limit", [("/small-header", 128), ("/plain", 512)])
def test_a_part_header_may_be_as_long_as_the_limit(nginx, backend, path, limit):
    name = "f" * (limit - len('Content-Disposition: form-data; name=""'))
    assert post(nginx.port, form(part(b"x", name)), path=path).status == 200
    assert backend.completes[0].form == [(name, b"x")]
    backend.reset()
    assert_problem(nginx, backend, post(nginx.port, form(part(b"x", name + "f")), path=path), 400, str(limit))


@ways
def test_a_body_over_client_max_body_size_is_413(nginx, backend, send):
    response = send(nginx, "/small-body", BODY)
    if send in (by_length, by_http2, by_http3):
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


@pytest.mark.parametrize("path, limit", [("/small-form", 2000), ("/plain", 100 * 1024)])
def test_the_form_may_be_as_long_as_its_limit(nginx, backend, path, limit):
    frame = len(form(part(b"", "a")))
    body = form(part(b"x" * (limit - frame), "a"))
    assert post(nginx.port, body, path=path).status == 200
    assert len(backend.completes[0].body) == limit
    backend.reset()
    assert post(nginx.port, form(part(b"x" * (limit + 1 - frame), "a")), path=path).status == 200
    assert backend.completes[0].form == [("<ngx_upload_module_dummy>", b"")]


@ways
def test_a_form_of_too_many_parts_is_413(nginx, backend, send):
    body = form(part(b"first", "file", "a"), *[part(b"", "dropped/field")] * 9, part(b"last", "file", "b"))
    assert_problem(nginx, backend, send(nginx, "/few-parts", body), 413, "more than 10 parts", "upload_max_parts")
    body = form(part(b"first", "file", "a"), *[part(b"", "dropped/field")] * 9)
    assert send(nginx, "/few-parts", body).status == 200


@ways
def test_a_form_of_too_many_fields_is_413(nginx, backend, send):
    fields = [part(b"x", "field")] * 3
    body = form(part(b"first", "file", "a"), *fields, part(b"x", "one-more"))
    assert_problem(nginx, backend, send(nginx, "/few-fields", body), 413, "more than 3 fields", "upload_max_fields")
    # what upload_pass_form_field does not name does not count
    body = form(part(b"first", "file", "a"), *fields, *[part(b"x", "dropped/field")] * 5)
    assert send(nginx, "/few-fields", body).status == 200
    assert [name for name, value in backend.completes[0].form][-3:] == ["field"] * 3


def test_the_defaults_hold_a_million_parts_back(nginx, backend):
    files = form(*[part(b"", "dropped/field")] * 10001)
    assert_problem(nginx, backend, post(nginx.port, files, path="/plain"), 413, "10000 parts", "upload_max_parts")
    fields = form(*[part(b"", "f")] * 1001)
    assert_problem(nginx, backend, post(nginx.port, fields, path="/plain"), 413, "1000 fields", "upload_max_fields")


def test_zero_is_no_limit(nginx, backend):
    body = form(*[part(b"", "f")] * 10001)
    assert post(nginx.port, body, path="/no-limits").status == 200
    assert len(backend.completes[0].form) == 10001


@pytest.mark.parametrize("action", ["soft", "reject"])
def test_a_file_grows_too_large_while_the_disk_is_at_work_on_it(own_nginx, aio, disk, backend, action):
    nginx = own_nginx(
        LOCATIONS
        + location(
            "= /limited",
            f"upload_max_file_size 100k; upload_max_file_size_action {action};" + PLAIN,
        ),
        environment=disk.environment,
    )
    body = form(
        part(b"first", "file", "1"),
        part(b"second" * 50000, "file", "2"),
        part(b"value", "field"),
        part(b"third" * 10000, "file", "3"),
    )
    with Connection(nginx.port) as c:
        if aio == "threads":
            disk.hold("pwritev", "/0000000002")
        c.send(head("/limited", len(body)) + body[:90000])
        if aio == "threads":
            wait_for(lambda: disk.is_held("pwritev"), "the second file is being written")
            c.send_read(body[90000:120000])
            disk.let_go("pwritev")
            c.send(body[120000:])
        else:
            c.send(body[90000:])
        response = c.response()
    if action == "reject":
        assert_problem(nginx, backend, response, 413, "102400 bytes", "upload_max_file_size")
        return
    assert response.status == 200
    assert [path.read_bytes() for path in nginx.files()] == [b"first", b"third" * 10000]
    names = [value for name, value in backend.completes[0].form if name in ("file.name", "field")]
    assert names == [b"1", b"value", b"3"]


@pytest.mark.parametrize("version", ["http/1", "http/2"])
def test_a_slow_client_is_cut_off_and_leaves_nothing(own_nginx, backend, version):
    nginx = own_nginx(http="client_body_timeout 300ms;")
    # HTTP/1: core closes the connection without an answer
    if version == "http/1":
        with Connection(nginx.port) as c:
            c.send(head("/plain?t=slow", len(BODY)) + BODY[:20000])
            wait_for(nginx.files, "a file")
            assert c.is_closed()
    else:
        with Http2(nginx.http2_port) as h2:
            stream = h2.request("/plain?t=slow", len(BODY))
            h2.send(stream, BODY[:20000], end=False)
            with pytest.raises(ConnectionError):
                h2.response(stream)
            # the connection goes on
            stream = h2.request("/plain", len(BODY))
            h2.send(stream, BODY)
            assert h2.response(stream).status == 200
        for path in [path for path in nginx.files() if path.name != "0000000001"]:
            path.unlink()
    assert nginx.logged("slow")[0] == "408"
    wait_for(lambda: not nginx.files(), "the file is removed")
    assert len(backend.completes) == (version == "http/2")


@of_nginx_alone
def test_upload_limit_rate_is_an_average_and_others_do_not_wait(nginx, backend):
    # No benchmark: the seconds are the feature. Whole seconds count, so that four of them can be little more than two;
    # the upper bound only tells a limit from a stop.
    body = form(part(bytes(400000), "file", "a.bin"))
    started = time.monotonic()
    with Connection(nginx.port) as c, Http2(nginx.http2_port) as h2:
        c.send(head("/limited-rate", len(body)) + body)
        stream = h2.request("/limited-rate", len(body))
        h2.send(stream, body[:60000], end=False)
        assert exchange(nginx.port, b"GET /other HTTP/1.0\r\n\r\n").status == 200
        assert time.monotonic() - started < 1
        assert c.response().status == 200
        assert 2 <= time.monotonic() - started < 6
        h2.send(stream, body[60000:])
        assert h2.response(stream).status == 200
        assert 2 <= time.monotonic() - started < 6
    assert [path.stat().st_size for path in nginx.files()] == [400000] * 2


def test_a_client_that_leaves_while_the_rate_is_limited_leaves_nothing(nginx, backend):
    body = form(part(bytes(400000), "file", "a.bin"))
    with Connection(nginx.port) as c, Http2(nginx.http2_port) as h2:
        c.send(head("/limited-rate?t=gone", len(body)) + body[:150000])
        stream = h2.request("/limited-rate?t=reset", len(body))
        h2.send(stream, body[:60000], end=False)
        wait_for(lambda: len(nginx.files()) == 2, "two uploads are under way")
        h2.h2.reset_stream(stream)
        h2.flush()
    for tag in ("gone", "reset"):
        assert nginx.logged(tag)[0] in ("400", "499")
    wait_for(lambda: not nginx.files(), "nothing is left")
    assert backend.completes == []


@ways
def test_a_disk_that_gets_full_is_507(own_nginx, disk, backend, send):
    nginx = own_nginx(environment=disk.environment)
    disk.fail_write(errno.ENOSPC, 20000)
    assert_problem(nginx, backend, send(nginx, "/plain", BODY), 507, "no space is left")
    assert "No space left on device" in nginx.errors()
