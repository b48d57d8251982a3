"""Uploads over HTTP/3."""

import pytest

import http3
from client import form, part
from harness import Answer, both_ways, wait_for

DATA = bytes(range(256)) * 8000
BODY = form(part(b"value", "field"), part(b"first", "file", "first.bin"), part(DATA, "file", "a.bin"))


@pytest.fixture
def nginx3(secure_nginx):
    return secure_nginx()


@both_ways
@pytest.mark.parametrize("path", ["/upload", "/plain"])
@pytest.mark.parametrize("length", [len(BODY), None])
def test_a_whole_upload(nginx3, backend, path, length):
    async def upload(connection):
        return await connection.response(connection.begin(path, BODY, length))

    assert nginx3.http3(upload).status == 200
    assert [file.read_bytes() for file in nginx3.files()] == [b"first", DATA]
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
def test_refusals_leave_nothing_and_the_connection_goes_on(nginx3, backend, path, body, status):
    backend.authorize = Answer(401, {}, b"who?")

    async def upload(connection):
        refused = await connection.response(connection.begin(path, body, None))
        return refused, await connection.response(connection.begin("/plain", BODY, len(BODY)))

    refused, accepted = nginx3.http3(upload)
    assert (refused.status, accepted.status) == (status, 200)
    wait_for(
        lambda: [file.stat().st_size for file in nginx3.files()] == [5, len(DATA)], "only the second upload is there"
    )


def test_a_client_that_leaves_leaves_nothing(nginx3, backend):
    async def leave(connection):
        stream = connection.begin("/plain?t=left", BODY[:1000000], len(BODY), end=False)
        await http3.wait_for(nginx3.files)
        connection.reset(stream)
        await http3.wait_for(lambda: "?t=left|" in nginx3.access_log.read_text())

    nginx3.http3(leave)
    wait_for(lambda: not nginx3.files(), "nothing is left")
    assert backend.completes == []
