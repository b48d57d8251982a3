"""Uploads over HTTP/3: what is not the same over every transport."""

import pytest

import http3
from client import form, part
from harness import LEFT, Answer, both_ways, wait_for

pytestmark = http3.needed

DATA = bytes(range(256)) * 8000
BODY = form(part(b"value", "field"), part(b"first", "file", "first.bin"), part(DATA, "file", "a.bin"))


@both_ways
@pytest.mark.parametrize("path", ["/upload", "/plain"])
@pytest.mark.parametrize("length", [len(BODY), None])
def test_a_whole_upload(nginx, backend, path, length):
    with http3.connect(nginx) as connection:
        stream = connection.request(path, length)
        connection.send(stream, BODY)
        assert connection.response(stream).status == 200
    assert [file.read_bytes() for file in nginx.files()] == [b"first", DATA]
    assert dict(backend.completes[0].form)["file.size"] == str(len(DATA)).encode()


@pytest.mark.parametrize(
    "path, body, status",
    [
        ("/plain", BODY[:-10], 400),
        ("/plain", BODY[:10], 400),
        ("/small-file-reject", BODY, 413),
        ("/small-body", BODY, 413),
        ("/full", BODY, 507),
        ("/missing", BODY, 503),
        ("/down", BODY, 502),
        ("/denied", BODY, 403),
        ("/upload", BODY, 401),
    ],
)
def test_refusals_leave_nothing_and_the_connection_goes_on(nginx, backend, path, body, status):
    backend.authorize = Answer(401, {}, b"who?")
    with http3.connect(nginx) as connection:
        refused = connection.request(path)
        connection.send(refused, body)
        assert connection.response(refused).status == status
        accepted = connection.request("/plain", len(BODY))
        connection.send(accepted, BODY)
        assert connection.response(accepted).status == 200
    wait_for(
        lambda: [file.stat().st_size for file in nginx.files()] == [5, len(DATA)], "only the second upload is there"
    )


@pytest.mark.parametrize("how", ["leave", "reset"])
def test_a_client_that_leaves_leaves_nothing(nginx, backend, how):
    with http3.connect(nginx) as connection:
        stream = connection.request(f"/plain?t={how}", len(BODY))
        connection.send(stream, BODY[:1000000], end=False)
        wait_for(nginx.files, "a file")
        if how == "reset":
            connection.reset(stream)
            assert connection.get("/other").status == 200
    assert int(nginx.logged(how)[0]) in LEFT
    wait_for(lambda: not nginx.files(), "nothing is left")
    assert backend.completes == []
