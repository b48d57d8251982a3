"""Requests that append to a file and break off: what arrived is kept, and the next one goes on from there."""

import errno
import os
import random
import re
import signal
import socket
import zlib

import pytest

import http3
from appending import WAYS, Upload, is_writing
from client import Http2, post
from harness import LEFT, both_ways, wait_for

DATA = random.Random(1).randbytes(900_000)

ways = pytest.mark.parametrize("way", WAYS)
# the end of a QUIC connection takes with it what nginx has received and its modules have not read
of_tcp = pytest.mark.parametrize("way", [way for way in WAYS if way not in http3.WAYS])
endings = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])

numbers = random.Random(2)
CUTS = [0, 1, 16_383, 16_384, 16_385, *numbers.sample(range(2, len(DATA)), 7)]


def leave(request, how):
    request.reset() if how == "reset" else request.leave()


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


def rewrite(checkpoint, pattern, replacement):
    """Changes both slots of a checkpoint, and keeps them valid."""
    slots = []
    data = checkpoint.read_bytes()
    for start in (0, 4096):
        text = re.sub(pattern, replacement, data[start : start + 4096].rstrip(b"\0"))
        text = re.sub(rb"crc32 [0-9a-f]{8}\n\Z", b"", text)
        slots.append((text + b"crc32 %08x\n" % zlib.crc32(text) if text else b"").ljust(4096, b"\0"))
    checkpoint.write_bytes(b"".join(slots))


OTHER_BOOT = (rb"boot \S+", b"boot 00000000-0000-0000-0000-000000000000")


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


class Model:
    """One upload, what may be done to it, and the bytes that it should have."""

    def __init__(self, nginx, backend, seed):
        self.nginx, self.backend, self.seed, self.tag = nginx, backend, seed, 0
        self.choose = random.Random(seed)
        self.upload = Upload(nginx, backend, f"file{seed}")
        self.data = b""

    def append(self, data, **answer):
        self.upload.answer = answer
        return self.upload.append(data, self.choose.choice(WAYS)).status

    def whole(self, data):
        size = len(self.data + data)
        answer = self.choose.choice([{}, {"Length": size}, {"Length": size + 1}, {"Max-Size": size}])
        assert self.append(data, **answer) == 200
        assert self.upload.is_complete(self.data + data, len(self.data))
        self.data += data

    def at_another_offset(self, data):
        assert self.append(data, Offset=self.choose.choice([len(self.data) + 1, len(self.data) // 2 - 1])) in (409, 502)

    def too_long(self, data):
        length = len(self.data + data)
        assert self.append(data + bytes(self.choose.choice([1, 20_000])), Length=length) == 413

    def a_second_one(self, data):
        request = self.begin(data, len(data) + 1)
        wait_for(self.upload.is_locked, "the lock is taken")
        assert self.append(b"") == 423
        request.send(b"x")
        assert request.end().status == 200
        request.leave()
        assert self.upload.is_complete(self.data + data + b"x", len(self.data))
        self.data += data + b"x"

    def begin(self, data, length):
        self.upload.answer = {}
        self.tag += 1
        asked = len(self.backend.authorizes)
        request = self.upload.request(self.choose.choice(WAYS), length, tag=f"model-{self.seed}-{self.tag}")
        request.send(data)
        wait_for(lambda: len(self.backend.authorizes) > asked, "authorize is asked")
        return request

    def left(self, data):
        request = self.begin(data, len(data) + 1)
        leave(request, self.choose.choice(["leave", "reset"]))
        assert request.over() in LEFT
        # an HTTP/3 connection that is open keeps a worker from its end, with or without a stream
        request.leave()
        self.is_part_of(data)

    def killed(self, data):
        request = self.begin(data, len(data) + 1)
        (worker,) = self.nginx.workers()
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: worker not in self.nginx.workers() and self.nginx.workers(), "a new worker")
        request.leave()
        self.is_part_of(data)

    def reloaded(self, data):
        workers = self.nginx.workers()
        self.nginx.send_signal(signal.SIGHUP)
        wait_for(lambda: set(self.nginx.workers()).isdisjoint(workers), "new workers only")

    def is_part_of(self, data):
        now = self.upload.data()
        assert now.startswith(self.data) and (self.data + data).startswith(now)
        self.data = now

    def step(self):
        actions = [self.whole, self.at_another_offset, self.too_long, self.a_second_one, self.left, self.killed]
        action = self.choose.choice([self.whole, self.left, self.reloaded, *actions])
        action(self.choose.randbytes(self.choose.choice([0, 1, 100, 5000, 16_384, 70_000, 300_000])))
        assert self.upload.data() == self.data


@both_ways
@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_the_bytes_and_the_digests_are_right(own_nginx, backend, seed):
    nginx = own_nginx()
    nginx.expected_alert = "exited on signal 9"
    model = Model(nginx, backend, seed)
    for _ in range(40):
        model.step()
    model.whole(b"the end")
