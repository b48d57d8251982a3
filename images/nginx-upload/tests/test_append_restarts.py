"""Workers and hosts that end in the middle of an append, or between two: the file and its checkpoint agree again."""

import errno
import os
import random
import re
import signal

import pytest

from appending import OTHER_BOOT, WAYS, Upload, is_writing, of_tcp, rewrite
from harness import both_ways, wait_for

DATA = random.Random(1).randbytes(900_000)

endings = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@both_ways
@pytest.mark.parametrize("way, number", [(way, (signal.SIGTERM, signal.SIGINT)[i % 2]) for i, way in enumerate(WAYS)])
def test_a_worker_that_is_told_to_end_at_once_keeps_what_arrived(own_nginx, disk, backend, way, number):
    disk.count_reads("/store/")
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:1000]).status == 200
    request = upload.request(way, len(DATA) - 1000)
    request.send(DATA[1000:600_000])
    is_writing(upload, 600_000)
    nginx.stop(number)
    request.leave()
    kept = upload.size()
    assert upload.data() == DATA[:kept]
    nginx.start()
    assert upload.append(DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)
    # the checkpoint went as far as the file
    assert disk.bytes_read() == 0


@endings
def test_a_worker_that_ends_while_a_thread_writes_keeps_all_in_its_order(own_nginx, disk, backend, number):
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    disk.hold("pwritev", "/store/")
    request = upload.request(length=len(DATA))
    request.send(DATA[:100_000])
    wait_for(lambda: disk.is_held("pwritev"), "a thread writes")
    request.send_read(DATA[100_000:400_000])
    nginx.send_signal(number)
    wait_for(lambda: "exiting" in nginx.errors(), "the worker is told")
    disk.let_go("pwritev")
    nginx.process.wait(15)
    request.leave()
    kept = upload.size()
    assert kept >= 100_000
    assert upload.data() == DATA[:kept]
    nginx.start()
    assert upload.append(DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)


def test_bytes_behind_those_that_could_not_be_written_are_never_written(own_nginx, disk, backend):
    """The worker is told to end before it hears of the failure, and has some bytes more that the disk would take."""
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:1000]).status == 200
    disk.hold("pwritev", "/store/")
    disk.fail_write(errno.EIO, 1000 + 8000)
    request = upload.request(length=len(DATA) - 1000)
    request.send(DATA[1000:13_000])
    wait_for(lambda: disk.is_held("pwritev"), "a thread writes")
    request.send_read(DATA[13_000:14_000])
    nginx.send_signal(signal.SIGTERM)
    wait_for(lambda: "exiting" in nginx.errors(), "the worker is told")
    disk.let_go("pwritev")
    nginx.process.wait(15)
    request.leave()
    assert (upload.size(), upload.data()) == (1000, DATA[:1000])


@both_ways
def test_only_the_gap_is_read_after_a_worker_was_killed(own_nginx, disk, backend):
    disk.count_reads("/store/")
    nginx = own_nginx(environment=disk.environment)
    nginx.expected_alert = "exited on signal 9"
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:300_000]).status == 200
    kept = 300_000
    for end in (500_000, 800_000):
        request = upload.request("length", len(DATA) - kept)
        request.send(DATA[kept:end])
        is_writing(upload, end)
        (worker,) = nginx.workers()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda worker=worker: nginx.workers() and worker not in nginx.workers(), "a new worker")
        request.leave()
        kept = upload.size()
        assert upload.data() == DATA[:kept]
    assert disk.bytes_read() == 0 or kept > 500_000
    # the second request has healed the first gap, but was killed before it could say so
    read = disk.bytes_read()
    assert upload.append(DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)
    assert disk.bytes_read() == read + kept - 300_000
    assert upload.append(b"").status == 200
    assert disk.bytes_read() == read + kept - 300_000


@both_ways
@of_tcp
def test_a_reload_does_not_disturb_a_request(own_nginx, backend, way):
    nginx = own_nginx()
    upload = Upload(nginx, backend)
    (old,) = nginx.workers()
    request = upload.request(way, len(DATA))
    request.send(DATA[:400_000])
    is_writing(upload, 400_000)
    nginx.send_signal(signal.SIGHUP)
    wait_for(lambda: set(nginx.workers()) - {old}, "a new worker")
    # which respects the lock of the old one
    assert upload.append(DATA).status == 423
    request.send(DATA[400_000:])
    assert request.end().status == 200
    request.leave()
    assert upload.is_complete(DATA, 0)
    assert upload.append(DATA[:1000]).status == 200
    wait_for(lambda: old not in nginx.workers(), "the old worker ends")


@both_ways
def test_after_a_reboot_only_what_was_flushed_counts(nginx, backend):
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:500_000]).status == 200
    rewrite(upload.checkpoint, *OTHER_BOOT)
    with upload.path.open("ab") as file:
        file.write(bytes(100_000))
    response = upload.append(DATA[500_000:])
    assert (response.status, upload.data()) == (409, DATA[:500_000])
    assert "500000 bytes" in response.json()["detail"]
    assert upload.append(DATA[500_000:]).status == 200
    assert upload.is_complete(DATA, 500_000)


@both_ways
def test_the_first_request_after_a_reboot_may_be_killed(own_nginx, backend):
    nginx = own_nginx()
    nginx.expected_alert = "exited on signal 9"
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:300_000]).status == 200
    rewrite(upload.checkpoint, *OTHER_BOOT)
    request = upload.request(length=len(DATA) - 300_000)
    request.send(DATA[300_000:800_000])
    is_writing(upload, 800_000)
    (worker,) = nginx.workers()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: nginx.workers() and worker not in nginx.workers(), "a new worker")
    request.leave()
    kept = upload.size()
    assert upload.append(DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)


@both_ways
def test_a_file_that_became_shorter_is_read_again_even_if_the_next_request_is_killed(own_nginx, backend):
    nginx = own_nginx()
    nginx.expected_alert = "exited on signal 9"
    upload = Upload(nginx, backend)
    assert upload.append(bytes(500_000)).status == 200
    os.truncate(upload.path, 0)
    request = upload.request(length=len(DATA))
    request.send(DATA[:800_000])
    is_writing(upload, 800_000)
    (worker,) = nginx.workers()
    os.kill(worker, signal.SIGKILL)
    wait_for(lambda: nginx.workers() and worker not in nginx.workers(), "a new worker")
    request.leave()
    kept = upload.size()
    assert upload.append(DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)


@both_ways
@pytest.mark.parametrize("slot", [0, 1])
def test_a_checkpoint_that_is_half_written_is_the_one_before(own_nginx, disk, backend, slot):
    disk.count_reads("/store/")
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    for end in (300_000, 500_000, 700_000)[: 2 + slot]:
        assert upload.append(DATA[upload.size() : end]).status == 200
    size = upload.size()
    sequences = re.findall(rb"sequence (\d+)", upload.checkpoint.read_bytes())
    newest = max(range(2), key=lambda i: int(sequences[i]))
    with upload.checkpoint.open("r+b") as file:
        file.seek(newest * 4096 + 100)
        file.write(b"torn")
    assert upload.append(DATA[size:]).status == 200
    assert upload.is_complete(DATA, size)
    assert disk.bytes_read() == 200_000
