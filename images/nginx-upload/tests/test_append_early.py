"""What arrives while the file is still being opened in a thread, from a client that leaves meanwhile: it is kept."""

import random
import socket

import pytest

import http3
from appending import OTHER_BOOT, WAYS, Upload, rewrite
from client import post
from harness import wait_for

DATA = random.Random(5).randbytes(200_000)
KEPT = 1000

# the end of a QUIC connection, or a reset of its stream, takes with it what nginx has received and not read
ways = pytest.mark.parametrize("way", [way for way in WAYS if way not in http3.WAYS])

# within core's buffer and the window of a stream, and more than core's buffer
sizes = pytest.mark.parametrize("sent", [0, 1, 1000, 15_000, 60_000])


@pytest.fixture
def upload(own_nginx, disk, backend):
    """Its next request flushes the file first, which is held."""
    upload = Upload(own_nginx(environment=disk.environment), backend)
    assert upload.append(DATA[:KEPT]).status == 200
    rewrite(upload.checkpoint, *OTHER_BOOT)
    disk.hold("fdatasync", "/store/")
    return upload


def begin(upload, disk, way):
    request = upload.request(way, len(DATA) - KEPT, tag="early")
    wait_for(lambda: disk.is_held("fdatasync"), "the file is being opened")
    return request


def leave(upload, request, how):
    if how == "reset":
        request.reset()
    else:
        # not a close, which would be a reset if anything of nginx's was still to be read
        request.connection.socket.shutdown(socket.SHUT_WR)
    # and nginx knows
    assert post(upload.nginx.port, b"", path="/other").status == 200


def is_kept(upload, request, sent):
    assert request.over() in (400, 499)
    assert (upload.size(), upload.data()) == (KEPT + sent, DATA[: KEPT + sent])
    assert upload.append(DATA[KEPT + sent :]).status == 200
    assert upload.is_complete(DATA, KEPT + sent)


@ways
@sizes
def test_what_arrived_with_the_end_of_a_connection_is_kept(upload, disk, way, sent):
    request = begin(upload, disk, way)
    request.send(DATA[KEPT : KEPT + sent])
    leave(upload, request, "leave")
    disk.let_go("fdatasync")
    is_kept(upload, request, sent)
    request.leave()


@pytest.mark.parametrize("way", ["http2", "http2 without length"])
@sizes
def test_what_arrived_before_a_stream_was_reset_is_kept(upload, disk, way, sent):
    request = begin(upload, disk, way)
    request.send(DATA[KEPT : KEPT + sent])
    leave(upload, request, "reset")
    disk.let_go("fdatasync")
    is_kept(upload, request, sent)
    request.leave()


@ways
def test_a_whole_body_that_arrived_with_the_end_of_a_connection_is_kept(upload, disk, way):
    request = upload.request(way, 10_000, tag="early")
    wait_for(lambda: disk.is_held("fdatasync"), "the file is being opened")
    request.send(DATA[KEPT : KEPT + 10_000])
    if way == "chunked":
        request.connection.send(b"0\r\n\r\n")
    elif request.is_stream:
        request.connection.end(request.stream)
    leave(upload, request, "leave")
    disk.let_go("fdatasync")
    request.over()
    request.leave()
    assert upload.data() == DATA[: KEPT + 10_000]
    wait_for(lambda: not upload.is_locked(), "the file is free")
    assert upload.append(DATA[KEPT + 10_000 :]).status == 200
    assert upload.is_complete(DATA, KEPT + 10_000)


def test_more_than_the_content_length_of_a_stream_is_not_kept(upload, disk):
    request = upload.request("http2", 10, tag="early")
    wait_for(lambda: disk.is_held("fdatasync"), "the file is being opened")
    # past the library, which would not send that
    request.connection.socket.sendall(b"\0\0\x14\0\0" + request.stream.to_bytes(4) + b"x" * 20)
    leave(upload, request, "reset")
    disk.let_go("fdatasync")
    is_kept(upload, request, 0)
    request.leave()
