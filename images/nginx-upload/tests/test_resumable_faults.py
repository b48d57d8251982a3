"""A client, the application or nginx fails between ranges or in the middle of one: the state and the file agree."""

import os
import random
import signal
import threading

import pytest

from client import Connection, Http2, head
from harness import Answer, both_ways, wait_for
from resumable import (
    TYPE,
    Upload,
    begin_range,
    by_http2,
    by_length,
    every_way,
    header_list,
    lines,
    lowered,
)

DATA = random.Random(1).randbytes(300_000)

pytestmark = both_ways


@every_way
@pytest.mark.parametrize("path", ["/raw", "/raw-keep"])
def test_a_client_that_leaves_in_a_range_can_go_on(nginx, backend, way, path):
    """Whether 400 and 499 are in upload_cleanup or not."""
    for seed in range(3):
        rng = random.Random(seed)
        upload = Upload(nginx, DATA, way, path)
        first, last = 100_000, 199_999
        upload.put(0, 50_000)
        for sent in (0, 1, rng.randrange(100_000), rng.randrange(100_000), 99_999):
            with upload.cut(first, last, sent):
                pass
            upload.check_partial()
        upload.put(first, last)
        with upload.cut(50_001, 60_000, rng.randrange(9000)):
            pass
        upload.put(50_001, 99_999)
        with upload.cut(200_000, 299_999, rng.randrange(100_000)):
            pass
        upload.check_partial()
        upload.finish(200_000, 299_999, backend)
        assert len(backend.completes) == seed + 1


@every_way
def test_a_range_that_is_cut_and_comes_with_other_bytes_is_what_came_last(nginx, backend, way):
    upload = Upload(nginx, DATA, way)
    upload.put(0, 99_999)
    with upload.cut(50_000, 149_999, 70_000, body=bytes(100_000)):
        pass
    upload.put(20_000, 149_999)
    with upload.cut(0, 299_999, 200_000):
        pass
    upload.finish(150_000, 299_999, backend)


def test_an_http2_stream_that_is_reset_counts_for_nothing(nginx, backend):
    upload = Upload(nginx, DATA, by_http2)
    upload.put(0, 99)
    with Http2(nginx.http2_port) as h2:
        for sent in (0, 100, 70_000, 199_900):
            headers = lowered(upload.headers(100, 200_000))
            stream = h2.request("/raw", 199_901, headers=headers, content_type=TYPE)
            h2.send(stream, DATA[100 : 100 + sent], end=False)
            h2.h2.reset_stream(stream)
            h2.flush()
        headers = lowered(upload.headers(100, 200_000))
        stream = h2.request("/raw", 199_901, headers=headers, content_type=TYPE)
        h2.send(stream, DATA[100:200_001])
        assert h2.response(stream).status == 201
    upload.ranges = [(0, 200_000)]
    upload.check_partial()
    upload.finish(200_001, 299_999, backend)


def test_a_client_that_is_too_slow_loses_its_range_only(nginx, backend):
    upload = Upload(nginx, DATA, path="/raw-slow")
    upload.put(100, 199)
    with Connection(nginx.port) as c:
        c.send(head("/raw-slow", 100, headers=lines(upload.headers(0, 99)), content_type=TYPE) + DATA[:50])
        assert c.is_closed() or c.response().status == 408
    upload.check_partial()
    upload.put(0, 99)
    upload.finish(200, 299_999, backend)


@pytest.mark.parametrize("status", [400, 409, 422, 500, 503, 599])
def test_a_file_that_the_application_refuses_is_gone_with_its_state(nginx, backend, status):
    upload = Upload(nginx, DATA)
    for _ in range(2):
        upload.ranges = []
        upload.put(100_000, 199_999)
        upload.put(0, 99_999)
        backend.complete = Answer(status, {}, b"no")
        response = upload.send(200_000, 299_999)
        assert response.status == status
        assert (nginx.files(), upload.state_files()) == ([], [])
    backend.reset()
    upload.ranges = []
    upload.put(100_000, 299_999)
    upload.finish(0, 99_999, backend)


def test_a_file_that_is_refused_stays_without_upload_cleanup(nginx, backend):
    upload = Upload(nginx, DATA, path="/raw-keep")
    backend.complete = Answer(500, {}, b"no")
    assert upload.send(0, 299_999).status == 500
    assert upload.file.read_bytes() == DATA
    assert upload.state_files() == []


def test_who_has_the_refusal_may_begin_again_at_once(nginx, backend):
    """The end of the old request must not remove the new file, however long it takes."""
    upload = Upload(nginx, DATA[:100])
    backend.complete = Answer(500, {}, bytes(20_000_000))
    with Connection(nginx.port) as c:
        c.send(head("/raw?t=refused", 100, headers=lines(upload.headers(0, 99)), content_type=TYPE) + DATA[:100])
        assert c.file.readline().split()[1] == b"500"
        backend.reset()
        upload.put(0, 9)
    nginx.logged("refused")
    upload.check_partial()
    upload.finish(10, 99, backend)


def test_the_end_of_a_request_leaves_a_file_that_took_the_place_of_its_own(nginx, backend):
    """The application moves the file away, and a new upload begins before the application has answered."""
    upload = Upload(nginx, DATA[:100])
    began = threading.Event()

    def move(seen):
        upload.file.rename(nginx.directory / "moved")
        moved.set()
        began.wait(15)
        return Answer(500, {}, b"no")

    moved = threading.Event()
    backend.complete = move
    with Connection(nginx.port) as c:
        c.send(head("/raw?t=moved", 100, headers=lines(upload.headers(0, 99)), content_type=TYPE) + DATA[:100])
        wait_for(moved.is_set, "the application has moved the file")
        upload.put(0, 9)
        began.set()
        assert c.response().status == 500
    upload.check_partial()
    backend.reset()
    upload.finish(10, 99, backend)
    assert (nginx.directory / "moved").read_bytes() == DATA[:100]


def test_a_client_that_leaves_while_the_application_works_is_cleaned_up(nginx, backend):
    gone = threading.Event()
    backend.complete = lambda seen: gone.wait(15) and Answer(200)
    upload = Upload(nginx, DATA)
    upload.put(0, 99_999)
    with Connection(nginx.port) as c:
        headers = lines(upload.headers(100_000, 299_999))
        c.send(head("/raw", 200_000, headers=headers, content_type=TYPE) + DATA[100_000:])
        wait_for(lambda: backend.completes, "the application is asked")
        assert upload.file.read_bytes() == DATA
    upload.wait_gone()
    gone.set()
    backend.reset()
    upload.ranges = []
    upload.put(0, 99_999)
    upload.finish(100_000, 299_999, backend)


@pytest.fixture
def mortal(own_nginx, aio):
    """An nginx whose workers may be killed."""
    nginx = own_nginx()
    nginx.expected_alert = "exited on signal 9"
    return nginx


def kill(nginx):
    (old,) = nginx.workers()
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: [pid for pid in nginx.workers() if pid != old] and old not in nginx.workers(), "a new worker")


def test_a_worker_that_is_killed_loses_the_range_it_was_in_only(mortal, backend):
    upload = Upload(mortal, DATA)
    upload.put(0, 99_999)
    kill(mortal)
    upload.put(200_000, 249_999)
    with begin_range(mortal, upload, 100_000, 199_999, 80_000):
        upload.wait_written(110_000)
        kill(mortal)
    upload.check_partial()
    with begin_range(mortal, upload, 0, 99_999, 50_000):
        kill(mortal)
    upload.put(100_000, 199_999)
    kill(mortal)
    upload.finish(250_000, 299_999, backend)


def test_a_restart_loses_nothing(own_nginx, backend, aio):
    nginx = own_nginx()
    upload = Upload(nginx, DATA)
    upload.put(100_000, 199_999)
    for number in (signal.SIGTERM, signal.SIGQUIT):
        nginx.stop(number)
        upload.check_partial()
        nginx.start()
    upload.put(0, 99_999)
    with begin_range(nginx, upload, 200_000, 299_999, 50_000):
        nginx.stop(signal.SIGTERM)
    upload.check_partial()
    nginx.start()
    upload.finish(200_000, 299_999, backend)


def test_a_reload_lets_a_range_finish(own_nginx, backend, aio):
    nginx = own_nginx()
    upload = Upload(nginx, DATA)
    (old,) = nginx.workers()
    with begin_range(nginx, upload, 0, 99_999, 50_000) as c:
        nginx.send_signal(signal.SIGHUP)
        wait_for(lambda: any(pid != old for pid in nginx.workers()), "a new worker")
        # the new worker and the old one respect each other
        upload.put(200_000, 299_999)
        assert by_length(nginx, "/raw", b"x", header_list(upload.session)).status == 409
        c.send(DATA[50_000:100_000])
        assert c.response().status == 201
    upload.ranges = [(0, 99_999), (200_000, 299_999)]
    upload.check_partial()
    upload.finish(100_000, 199_999, backend)
    wait_for(lambda: old not in nginx.workers(), "the old worker ends")
