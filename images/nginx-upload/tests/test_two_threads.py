"""What is large enough is written by one thread while another one hashes it: the digest is that of what is written."""

import os
import pathlib
import random
import signal

import pytest

from appending import Upload, assert_problem, leave
from client import post
from harness import LEFT, wait_for
from locations import APPEND, LOCATIONS, location

DATA = random.Random(8).randbytes(700_000)
FULL = pathlib.Path(os.environ["UPLOAD_TEST_FULL"])


def send_in_one_batch(disk, upload, data, **kwargs):
    """Nearly all of it is read while the disk is stuck with its beginning, and is work for two threads afterwards."""
    disk.hold("pwritev", str(upload.path))
    request = upload.request(length=len(data), **kwargs)
    request.send(data[:100_000])
    wait_for(lambda: disk.is_held("pwritev"), "a thread writes the beginning")
    request.send_read(data[100_000:])
    disk.let_go("pwritev")
    return request


@pytest.fixture
def full():
    yield FULL
    for path in FULL.iterdir():
        path.unlink()


def test_a_disk_that_is_full_in_the_middle_leaves_the_digest_of_what_is_written(own_nginx, disk, backend, full):
    upload = Upload(own_nginx(environment=disk.environment), backend, directory=full)
    ballast = full / "ballast"
    ballast.write_bytes(bytes(500_000))
    request = send_in_one_batch(disk, upload, DATA, path="/append-full-unreserved")
    assert_problem(request.response(), 507, "no space is left")
    request.leave()
    offset = upload.size()
    assert 400_000 < offset < 600_000
    assert upload.data() == DATA[:offset]
    ballast.unlink()
    disk.count_reads(str(full))
    assert upload.append(DATA[offset:], path="/append-full-unreserved").status == 200
    assert upload.is_complete(DATA, offset)
    assert disk.bytes_read() == 0


@pytest.fixture
def flushing(own_nginx, disk, backend):
    """An upload whose two threads are done but for its last step, which waits for the disk; and its request."""
    upload = Upload(own_nginx(environment=disk.environment), backend)
    disk.count_reads("/store/")
    disk.hold("fdatasync", str(upload.path))
    request = send_in_one_batch(disk, upload, DATA, tag="flushing")
    wait_for(lambda: disk.is_held("fdatasync"), "the file is flushed")
    yield upload, request
    request.leave()


def test_the_file_is_flushed_after_both_threads_and_others_are_served_meanwhile(flushing, disk, backend):
    upload, request = flushing
    assert upload.data() == DATA
    assert post(upload.nginx.port, b"", path="/other").status == 200
    assert backend.completes == []
    disk.let_go("fdatasync")
    assert request.response().status == 200
    assert upload.is_complete(DATA, 0)


@pytest.mark.parametrize("how", ["leave", "reset"])
def test_a_client_that_leaves_when_one_thread_is_done_loses_nothing(flushing, disk, backend, how):
    upload, request = flushing
    leave(request, how)
    assert post(upload.nginx.port, b"", path="/other").status == 200
    assert upload.is_locked()
    disk.let_go("fdatasync")
    assert request.over() in {200, *LEFT}
    assert upload.append(b"").status == 200
    assert upload.is_complete(DATA, len(DATA))
    assert disk.bytes_read() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_ends_when_one_thread_is_done_loses_nothing(flushing, disk, backend, number):
    upload, request = flushing
    nginx = upload.nginx
    nginx.send_signal(number)
    wait_for(lambda: "exiting" in nginx.errors(), "the worker is told")
    disk.let_go("fdatasync")
    nginx.process.wait(15)
    request.leave()
    assert upload.data() == DATA
    nginx.start()
    assert upload.append(b"").status == 200
    assert upload.is_complete(DATA, len(DATA))
    assert disk.bytes_read() == 0


def test_where_no_second_thread_is_to_be_had_the_event_loop_hashes(own_nginx, backend):
    nginx = own_nginx(
        LOCATIONS + location("= /one-thread", "aio threads=one;" + APPEND),
        main="thread_pool one threads=1 max_queue=0;",
    )
    nginx.expected_alert = 'thread pool "one" queue overflow'
    upload = Upload(nginx, backend)
    assert upload.append(DATA * 20, path="/one-thread").status == 200
    assert upload.is_complete(DATA * 20, 0)
    assert nginx.expected_alert in nginx.errors()
