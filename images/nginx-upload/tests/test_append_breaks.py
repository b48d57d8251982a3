"""Requests that append to a file and break off: what arrived is kept, and the next one goes on from there."""

import errno
import random
import socket

import pytest

import http3
from appending import WAYS, Upload, is_writing, leave, of_tcp, ways
from client import Http2, post
from harness import LEFT, both_ways, wait_for

DATA = random.Random(1).randbytes(900_000)

numbers = random.Random(2)
CUTS = [0, 1, 16_383, 16_384, 16_385, *numbers.sample(range(2, len(DATA)), 7)]


@both_ways
@ways
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_what_nginx_had_read_when_a_client_left_is_kept_and_the_next_goes_on(nginx, backend, way, how):
    for i, sent in enumerate(CUTS):
        upload = Upload(nginx, backend, f"file{i}", Length=len(DATA))
        request = upload.request(way, len(DATA), tag=f"{how}-{sent}-{WAYS.index(way)}")
        wait_for(upload.is_locked, "the body is wanted")
        request.send_read(DATA[:sent])
        leave(request, how)
        assert request.over() in LEFT
        kept = upload.size()
        assert kept == sent or (way in http3.WAYS and kept < sent)
        assert upload.data() == DATA[:kept]
        assert upload.append(DATA[kept:], way).status == 200
        assert upload.is_complete(DATA, kept)
    assert len(backend.completes) == len(CUTS)


@both_ways
@of_tcp
def test_what_a_client_sent_just_before_it_left_is_kept(nginx, backend, way):
    for i, sent in enumerate(CUTS):
        upload = Upload(nginx, backend, f"file{i}", Length=len(DATA))
        request = upload.request(way, len(DATA), tag=f"sent-{sent}-{WAYS.index(way)}", headers=["Expect: 100-continue"])
        if request.is_stream:
            wait_for(upload.is_locked, "the body is wanted")
        else:
            assert request.connection.file.readline() == b"HTTP/1.1 100 Continue\r\n"
        request.send(DATA[:sent])
        # not a close, which would be a reset if anything of nginx's was still to be read
        request.connection.socket.shutdown(socket.SHUT_WR)
        assert request.over() in LEFT
        request.leave()
        assert (upload.size(), upload.data()) == (sent, DATA[:sent])


@both_ways
@ways
def test_a_client_may_come_back_before_nginx_knows_that_it_left(nginx, backend, way):
    upload = Upload(nginx, backend)
    for sent in CUTS:
        upload.path.unlink(missing_ok=True)
        upload.checkpoint.unlink(missing_ok=True)
        request = upload.request(way, len(DATA))
        request.send(DATA[:sent])
        request.leave()

        def takes_over():
            offset = upload.size()
            upload.answer = {"Offset": offset}
            response = upload.append(DATA[offset:])
            assert response.status in (200, 409, 423)
            return response.status == 200

        wait_for(takes_over, "the first request is over")
        assert upload.data() == DATA
        assert dict(backend.completes[-1].form)["size"] == str(len(DATA)).encode()


@both_ways
def test_an_http2_stream_that_is_reset_does_not_disturb_its_connection(nginx, backend):
    upload = Upload(nginx, backend)
    with Http2(nginx.http2_port) as h2:
        for sent in CUTS:
            before = upload.size()
            stream = h2.request("/append", len(DATA), "PATCH")
            h2.send(stream, DATA[:sent], end=False)
            h2.h2.reset_stream(stream)
            h2.flush()
            assert h2.response(h2.request("/other", method="GET", end=True)).status == 200
            wait_for(lambda: upload.append(b"").status == 200, "the lock is gone")
            assert before <= upload.size() <= before + sent
            assert upload.is_complete(upload.data(), upload.size())


@both_ways
@ways
def test_a_client_that_stalls_is_408_and_what_came_is_kept(nginx, backend, way):
    upload = Upload(nginx, backend)
    for i, sent in enumerate((0, 100, 500_000)):
        before = upload.size()
        request = upload.request(way, len(DATA), path="/append-impatient", tag=f"stalled-{i}-{WAYS.index(way)}")
        request.send(DATA[:sent])
        # nginx says so in its log only, and closes
        with pytest.raises(ConnectionError):
            request.response()
        assert request.over() == 408
        request.leave()
        assert upload.size() == before + sent
        assert upload.append(b"", way).status == 200
        assert upload.is_complete(upload.data(), upload.size())
    assert upload.data() == DATA[:100] + DATA[:500_000]


@both_ways
def test_chunks_that_are_none_are_400_and_what_came_before_is_kept(nginx, backend):
    upload = Upload(nginx, backend)
    request = upload.request("chunked")
    request.send(DATA)
    is_writing(upload, len(DATA))
    request.connection.send_read(b"4\r\nlast\r\n")
    request.connection.send(b"zz\r\n")
    assert request.response().status == 400
    request.leave()
    assert upload.data() == DATA + b"last"
    assert upload.append(b"").status == 200
    assert upload.is_complete(DATA + b"last", len(DATA) + 4)


@both_ways
@ways
def test_a_body_too_long_after_a_break_goes_back_to_where_its_own_request_began(nginx, backend, way):
    upload = Upload(nginx, backend, Length=len(DATA))
    request = upload.request(way, len(DATA), tag=f"break-{WAYS.index(way)}")
    request.send(DATA[:500_000])
    is_writing(upload, 500_000)
    request.leave()
    request.over()
    kept = upload.size()
    assert upload.append(bytes(len(DATA) - kept + 1), way).status == 413
    assert upload.data() == DATA[:kept]
    assert upload.append(DATA[kept:], way).status == 200
    assert upload.is_complete(DATA, kept)


def test_others_are_served_while_a_client_that_left_is_flushed(own_nginx, disk, backend):
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    request = upload.request(length=len(DATA), tag="left")
    request.send(DATA[:300_000])
    is_writing(upload, 300_000)
    disk.hold("fdatasync", "/store/")
    request.leave()
    wait_for(lambda: disk.is_held("fdatasync"), "what arrived is being flushed")
    assert upload.append(DATA).status == 423
    assert post(nginx.port, b"", path="/other").status == 200
    disk.let_go("fdatasync")
    assert request.over() in LEFT
    kept = upload.size()
    assert upload.append(DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)


@pytest.mark.parametrize("way", ["http2", "http2 without length"])
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_an_http2_client_that_leaves_while_a_thread_writes_loses_nothing_written(own_nginx, disk, backend, way, how):
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    disk.hold("pwritev", "/store/")
    request = upload.request(way, len(DATA), tag="left")
    request.connection.send(request.stream, DATA[:60_000], end=False)
    wait_for(lambda: disk.is_held("pwritev"), "a thread writes")
    leave(request, how)
    assert post(nginx.port, b"", path="/other").status == 200
    disk.let_go("pwritev")
    assert request.over() in LEFT
    kept = upload.size()
    assert upload.data() == DATA[:kept]
    assert upload.append(DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)


@both_ways
def test_a_write_that_fails_is_500_and_what_was_written_is_kept(own_nginx, disk, backend):
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:1000]).status == 200
    disk.fail_write(errno.EIO, 200_000)
    request = upload.request(length=len(DATA) - 1000, tag="failed")
    for start in range(1000, len(DATA), 100_000):
        request.send(DATA[start : start + 100_000])
    response = request.response()
    assert response.status == 500
    assert "written" in response.json()["detail"]
    request.leave()
    kept = upload.size()
    assert upload.data() == DATA[:kept]
    disk.heal()
    assert upload.append(DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)


@both_ways
@ways
def test_writes_in_odd_pieces_make_no_difference(own_nginx, disk, backend, way):
    disk.write_in_pieces()
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    for start, end in ((0, 100), (100, 100_000), (100_000, len(DATA))):
        assert upload.append(DATA[start:end], way).status == 200
        assert upload.is_complete(DATA[:end], start)
