"""The $upload_* variables can be read anywhere, and tell of the latest file after the redirect too."""

import hashlib

from client import Connection, exchange, form, head, part, post
from harness import both_ways

pytestmark = both_ways


def test_they_are_empty_without_an_upload(nginx, backend):
    with Connection(nginx.port) as c:
        c.send(b"GET /other?t=other HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert c.response().body == b"[]"
    assert nginx.logged("other") == ["200"] + [""] * 9


def test_the_access_log_has_the_last_file(nginx, backend):
    post(
        nginx.port,
        form(part(b"1", "f", "one"), part(b"two", "g", "two", "text/plain"), part(b"x", "field")),
        path="/plain?t=last",
    )
    sha256 = hashlib.sha256(b"two").hexdigest()
    assert nginx.logged("last") == [
        "200",
        "g",
        "two",
        "2",
        "text/plain",
        str(nginx.files()[1]),
        "3",
        sha256,
        sha256.upper(),
        "",
    ]


def test_the_reason_of_a_refusal_is_in_the_access_log(nginx, backend):
    post(nginx.port, form(part(b"x" * 2000, "f", "one")), path="/small-file-reject?t=reason")
    assert nginx.logged("reason")[9] == "the file is larger than 1000 bytes (upload_max_file_size)"


def test_discarded_files_count(nginx, backend):
    post(nginx.port, form(part(b"x" * 2000, "f", "one"), part(b"2", "f", "two")), path="/small-file?t=count")
    assert nginx.logged("count")[2:4] == ["two", "2"]


def test_a_file_that_is_not_complete_has_no_size(nginx, backend):
    body = form(part(b"x", "f", "one"))
    post(nginx.port, body[: body.index(b"\r\n\r\nx") + 5], path="/plain?t=cut")
    status, field, name, number, kind, path, *rest = nginx.logged("cut")
    assert (status, field, name, number, kind) == ("400", "f", "one", "1", "")
    assert path.startswith(str(nginx.store)) and rest[:3] == ["", "", ""]


def test_upload_add_header_is_there_once_whatever_happens(nginx, backend):
    files = [part(b"x", "file", "a")] * 3
    for request, status in (
        (head("/headers", len(form(*files))) + form(*files), 200),
        (head("/headers", 5) + b"wrong", 400),
        (head("/headers", 0, content_type="text/plain"), 415),
        (head("/headers", 0, method="OPTIONS"), 200),
    ):
        response = exchange(nginx.port, request)
        assert response.status == status
        assert response.headers_named("X-One") == [request.split()[0].decode()]
        assert response.headers_named("X-None") == []
