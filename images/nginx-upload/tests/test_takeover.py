"""Two requests for one file: which of them has it, and what becomes of what the other one brought."""

import contextlib
import fcntl
import os
import random
import select
import signal
import struct

import pytest

from appending import WAYS, Request, Upload
from client import Http2, post
from harness import Answer, both_ways, wait_for

DATA = random.Random(4).randbytes(700_000)
SENT = 300_000

ways = pytest.mark.parametrize("way", WAYS)
wishes = pytest.mark.parametrize("wish", ["idle", "now"])

# whoever asks politely waits for three seconds
cases = pytest.mark.parametrize(
    "way, wish, aio",
    [
        *((way, "now", aio) for way in WAYS for aio in ("threads", "off")),
        ("length", "idle", "threads"),
        ("http2", "idle", "off"),
    ],
)


def assert_taken(response):
    assert (response.status, response.json()["status"]) == (409, 409)
    assert response.json()["detail"] == "another request has taken this upload over"


def assert_locked(response):
    assert (response.status, response.json()["status"]) == (423, 423)
    assert "another request is writing" in response.json()["detail"]


class Waiting(Request):
    """A whole request whose answer the test does not wait for yet."""

    def __init__(self, upload, data, way="length", **kwargs):
        super().__init__(upload.nginx, way, len(data), **kwargs)
        # as much as fits before somebody reads
        self.send(data[:50_000])
        self.rest = data[50_000:]

    def is_answered(self, seconds=0):
        return bool(select.select([self.connection.socket], [], [], seconds)[0])

    def end(self):
        self.send(self.rest)
        response = super().end()
        self.leave()
        return response


def first(upload, way="length", sent=SENT, **kwargs):
    """A request that has the file, and whose client is silent now."""
    upload.answer = {}
    request = upload.request(way, len(DATA), **kwargs)
    wait_for(upload.is_locked, "the first request has the file")
    request.send_read(DATA[:sent])
    return request


def second(upload, data, way="length", wish="now", offset=SENT, **kwargs):
    upload.answer = {"Takeover": wish, "Offset": offset}
    request = Waiting(upload, data, way, **kwargs)
    wait_for(lambda: upload.is_asked_for(wish), "the second request waits")
    return request


@cases
def test_a_request_takes_over_from_one_whose_client_is_silent(nginx, backend, way, wish):
    upload = Upload(nginx, backend)
    older = first(upload, way)
    newer = second(upload, DATA[SENT:], WAYS[::-1][WAYS.index(way)], wish)
    assert newer.end().status == 200
    assert upload.is_complete(DATA, SENT)
    assert_taken(older.response())
    older.leave()
    assert not upload.is_asked_for() and not upload.is_locked()


@both_ways
@ways
def test_what_the_older_one_brought_counts_and_another_offset_is_409(nginx, backend, way):
    upload = Upload(nginx, backend)
    older = first(upload, way)
    response = second(upload, DATA[100_000:], offset=100_000).end()
    assert (response.status, len(backend.completes)) == (409, 0)
    assert f"{SENT} bytes" in response.json()["detail"]
    assert_taken(older.response())
    older.leave()
    assert upload.data() == DATA[:SENT]
    upload.answer = {}
    assert upload.append(DATA[SENT:], way).status == 200
    assert upload.is_complete(DATA, SENT)


def test_what_the_older_one_brought_is_on_the_disk_with_its_digests(own_nginx, disk, backend):
    disk.count_reads("/store/")
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    older = first(upload)
    disk.hold("fdatasync", "/store/")
    newer = second(upload, DATA[SENT:])
    wait_for(lambda: disk.is_held("fdatasync"), "what the older one brought is flushed")
    assert upload.is_asked_for()
    disk.let_go("fdatasync")
    assert newer.end().status == 200
    assert upload.is_complete(DATA, SENT)
    assert disk.bytes_read() == 0
    assert_taken(older.response())


@both_ways
def test_one_whose_client_sends_goes_on_and_whoever_waited_is_423(nginx, backend):
    uploads, older, newer = {}, {}, {}
    for way in WAYS:
        uploads[way] = Upload(nginx, backend, way.replace(" ", "-"))
        older[way] = first(uploads[way], way)
        newer[way] = second(uploads[way], DATA[SENT:], wish="idle")
    sent = SENT
    while not all(request.is_answered(0.1) for request in newer.values()):
        for request in older.values():
            request.send(DATA[sent : sent + 1000])
        sent += 1000
    for way, upload in uploads.items():
        assert_locked(newer[way].response())
        newer[way].leave()
        assert not upload.is_asked_for()
        older[way].send(DATA[sent:])
        assert older[way].end().status == 200
        older[way].leave()
        assert upload.is_complete(DATA, 0)


def test_a_client_that_is_kept_waiting_is_not_silent(own_nginx, disk, backend):
    """By upload_limit_rate, and by a disk."""
    nginx = own_nginx(environment=disk.environment)
    held = Upload(nginx, backend, "held")
    disk.hold("pwritev", "/store/held")
    older = held.request("length", 5_000_000)
    older.connection.send_until_blocked(bytes(5_000_000))
    wait_for(lambda: disk.is_held("pwritev"), "a thread writes")
    waiting = [second(held, b"", wish=wish, offset=0) for wish in ("idle", "now")]
    flushed = Upload(nginx, backend, "flushed")
    disk.hold("fdatasync", "/store/flushed")
    left = flushed.request("length", len(DATA), path="/append-slow")
    left.send(DATA[:SENT])
    wait_for(flushed.is_locked, "the slow one has its file")
    waiting.append(second(flushed, b"", wish="now", offset=0))
    limited = Upload(nginx, backend, "limited")
    slow = limited.request("length", len(DATA), path="/append-slow")
    slow.send(DATA[:SENT])
    wait_for(limited.is_locked, "the other slow one has its file")
    waiting.append(second(limited, b"", wish="idle", offset=0))
    for request in waiting:
        assert_locked(request.end())
    disk.let_go("pwritev")
    # the one that was told to go had to write first
    with contextlib.suppress(ConnectionError):
        assert_taken(older.response())
    wait_for(lambda: not held.is_locked(), "the file is left")
    # the time that flushing took is no reason to close before the client has read the answer
    disk.let_go("fdatasync")
    assert_taken(left.response())
    for _ in range(5):
        left.connection.send_read(b"x")
    left.leave()
    assert limited.is_locked()
    # a limit of its own does not keep it from an end, or from saying so
    newer = second(limited, b"", wish="now", offset=0)
    assert newer.end().status == 409
    assert_taken(slow.response())
    slow.leave()
    assert 0 < limited.size() < SENT
    assert limited.data() == DATA[: limited.size()]


@both_ways
def test_two_streams_of_one_connection_may_want_the_same_file(nginx, backend):
    upload = Upload(nginx, backend)
    with Http2(nginx.http2_port) as h2:
        older = h2.request("/append", len(DATA), "PATCH")
        h2.send(older, DATA[:SENT], end=False)
        wait_for(lambda: upload.size() > 0, "it is being written")
        upload.answer = {"Takeover": "now", "Offset": SENT}
        newer = h2.request("/append", len(DATA) - SENT, "PATCH")
        h2.send(newer, DATA[SENT:])
        assert h2.response(newer).status == 200
        assert_taken(h2.response(older))
    assert upload.is_complete(DATA, SENT)


def ofd_lock(file, kind, command=fcntl.F_OFD_SETLK):
    """A lock of the whole file, or what is in its way."""
    lock = struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)
    return struct.unpack("hhqqi4x", fcntl.fcntl(file, command, lock))[0]


@contextlib.contextmanager
def locked(upload):
    """By this program."""
    with upload.path.open("r+b") as file:
        ofd_lock(file, fcntl.F_WRLCK)
        yield


def open_files(worker, upload):
    """How often a worker has the file, or its checkpoint."""
    count = 0
    for fd in os.listdir(f"/proc/{worker}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(f"/proc/{worker}/fd/{fd}") in (str(upload.path), str(upload.checkpoint))
    return count


def workers_with(nginx, upload):
    return [worker for worker in nginx.workers() if open_files(worker, upload)]


def in_two_workers(nginx, upload, wish="now", data=None):
    """A request that has the file in one worker, and one that waits for it in the other."""

    def begin():
        request = first(upload)
        (one,) = workers_with(nginx, upload)
        other = second(upload, DATA[SENT:] if data is None else data, wish=wish)
        if workers_with(nginx, upload) != [one]:
            return request, other, one
        other.leave()
        request.leave()
        wait_for(lambda: not upload.is_locked(), "both are over")
        upload.path.unlink()
        upload.checkpoint.unlink()
        return None

    return wait_for(begin, "two workers take one connection each")


@both_ways
@wishes
def test_workers_take_over_from_each_other(own_nginx, backend, wish):
    nginx = own_nginx(workers=2)
    upload = Upload(nginx, backend)
    older, newer, _ = in_two_workers(nginx, upload, wish)
    assert newer.end().status == 200
    assert upload.is_complete(DATA, SENT)
    assert_taken(older.response())
    older.leave()


@cases
def test_a_new_generation_takes_over_from_the_old_one_which_ends_then(own_nginx, backend, way, wish):
    nginx = own_nginx()
    upload = Upload(nginx, backend)
    (old,) = nginx.workers()
    older = first(upload, way)
    nginx.send_signal(signal.SIGHUP)
    wait_for(lambda: set(nginx.workers()) - {old}, "a new worker")
    newer = second(upload, DATA[SENT:], wish=wish)
    assert newer.end().status == 200
    assert upload.is_complete(DATA, SENT)
    assert_taken(older.response())
    older.leave()
    wait_for(lambda: old not in nginx.workers(), "the old worker ends")


@both_ways
@wishes
def test_a_worker_that_is_to_end_serves_whoever_waits_first(own_nginx, backend, wish):
    nginx = own_nginx()
    upload = Upload(nginx, backend)
    (old,) = nginx.workers()
    assert upload.append(DATA[:SENT]).status == 200
    with locked(upload):
        newer = second(upload, DATA[SENT:], wish=wish)
        nginx.send_signal(signal.SIGHUP)
        wait_for(lambda: "gracefully shutting down" in nginx.errors(), "the old worker is told")
        wait_for(lambda: set(nginx.workers()) - {old}, "a new worker")
    assert newer.end().status == 200
    assert upload.is_complete(DATA, SENT)
    wait_for(lambda: old not in nginx.workers(), "the old worker ends")


@both_ways
def test_a_worker_that_stands_still_keeps_the_file_and_goes_on(own_nginx, backend):
    nginx = own_nginx(workers=2)
    upload = Upload(nginx, backend)
    older, polite, worker = in_two_workers(nginx, upload, "idle")
    os.kill(worker, signal.SIGSTOP)
    try:
        before = (upload.data(), upload.path.stat().st_mtime_ns, upload.checkpoint.stat().st_mtime_ns)
        insists = second(upload, DATA[SENT:], wish="now")
        assert_locked(polite.response())
        assert_locked(insists.response())
        polite.leave()
        insists.leave()
        assert (upload.data(), upload.path.stat().st_mtime_ns, upload.checkpoint.stat().st_mtime_ns) == before
    finally:
        os.kill(worker, signal.SIGCONT)
    older.send(DATA[SENT:])
    assert older.end().status == 200
    older.leave()
    assert upload.is_complete(DATA, 0)


@both_ways
@wishes
def test_a_worker_that_is_killed_leaves_the_file_to_whoever_waits(own_nginx, backend, wish):
    nginx = own_nginx(workers=2)
    nginx.expected_alert = "exited on signal 9"
    upload = Upload(nginx, backend)
    older, newer, worker = in_two_workers(nginx, upload, wish, data=b"")
    os.kill(worker, signal.SIGKILL)
    # at the offset that the file has, unless that is what the dead one had not written yet
    assert newer.end().status in (200, 409)
    older.leave()
    kept = upload.size()
    assert upload.data() == DATA[:kept]
    upload.answer = {}
    assert upload.append(DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)


@both_ways
@wishes
@ways
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_a_client_that_leaves_while_it_waits_leaves_nothing_behind(nginx, backend, aio, way, wish, how):
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:SENT]).status == 200
    with locked(upload):
        newer = second(upload, DATA[SENT:], way, wish, tag=f"waits-{aio}-{wish}-{how}-{WAYS.index(way)}")
        getattr(newer, how)()
        assert newer.over() == 499
        # it is logged a moment before it is over
        wait_for(lambda: not workers_with(nginx, upload), "the files are closed")
        assert not upload.is_asked_for()
    upload.answer = {}
    assert upload.append(DATA[SENT:]).status == 200
    assert upload.is_complete(DATA, SENT)


@both_ways
def test_nobody_is_asked_for_a_body_before_the_file_is_free(nginx, backend):
    upload = Upload(nginx, backend)
    older = first(upload)
    upload.answer = {"Takeover": "now", "Offset": SENT}
    newer = upload.request(length=len(DATA) - SENT, headers=["Expect: 100-continue"])
    wait_for(upload.is_asked_for, "it waits")
    assert not select.select([newer.connection.socket], [], [], 0)[0]
    assert_taken(older.response())
    assert newer.connection.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert newer.connection.file.readline() == b"\r\n"
    newer.send(DATA[SENT:])
    assert newer.response().status == 200
    assert upload.is_complete(DATA, SENT)
    older.leave()
    newer.leave()


@both_ways
@wishes
def test_one_whose_body_is_complete_is_not_disturbed(nginx, backend, wish):
    upload = Upload(nginx, backend)
    waiting = []
    backend.complete = lambda seen: wait_for(lambda: waiting, "another one waits") and Answer(200)
    older = upload.request(length=SENT)
    older.send(DATA[:SENT])
    wait_for(lambda: backend.completes, "the application is asked")
    newer = second(upload, DATA[SENT:], wish=wish)
    waiting.append(True)
    assert older.end().status == 200
    older.leave()
    assert newer.end().status == 200
    assert upload.is_complete(DATA, SENT)


@both_ways
@wishes
@pytest.mark.parametrize("offset", [0, SENT])
def test_a_file_that_is_finished_meanwhile_is_not_begun_again(nginx, backend, tmp_path, wish, offset):
    upload = Upload(nginx, backend)
    waiting = []

    def claim(seen):
        wait_for(lambda: waiting, "another one waits")
        os.rename(upload.path, tmp_path / "claimed")
        upload.checkpoint.unlink()
        return Answer(201)

    backend.complete = claim
    older = upload.request(length=SENT)
    older.send(DATA[:SENT])
    wait_for(lambda: backend.completes, "the application is asked")
    newer = second(upload, DATA[offset:], wish=wish, offset=offset)
    waiting.append(True)
    assert older.end().status == 201
    older.leave()
    assert newer.response().status == 423
    newer.leave()
    assert nginx.files() == []
    assert (tmp_path / "claimed").read_bytes() == DATA[:SENT]


@both_ways
def test_of_several_that_wait_one_is_next_and_the_others_have_a_wrong_offset(nginx, backend):
    upload = Upload(nginx, backend)
    older = first(upload)
    # small enough to be there before the next one has asked
    newer = [second(upload, DATA[SENT : SENT + 40_000]) for _ in range(4)]
    assert_taken(older.response())
    older.leave()
    assert sorted(request.end().status for request in newer) == [200, 409, 409, 409]
    assert upload.data() == DATA[: SENT + 40_000]


@both_ways
def test_those_who_ask_politely_do_not_hide_one_who_insists(nginx, backend):
    upload = Upload(nginx, backend)
    older = first(upload)
    polite = second(upload, b"", wish="idle", offset=len(DATA))
    insists = second(upload, DATA[SENT:], wish="now")
    assert insists.end().status == 200
    assert_taken(older.response())
    # whichever of them was next
    assert polite.end().status in (200, 409)
    assert upload.data() == DATA
    older.leave()


@both_ways
@pytest.mark.parametrize("value", ["", "maybe", "IDLE", "now,idle", "0", "1"])
def test_another_wish_is_502(nginx, backend, value):
    upload = Upload(nginx, backend, Takeover=value)
    response = upload.append(DATA)
    assert (response.status, response.json()["status"]) == (502, 502)
    assert "X-Upload-Takeover" in response.json()["detail"]
    assert (nginx.files(), backend.completes) == ([], [])


@both_ways
@wishes
@ways
def test_nobody_waits_where_nobody_has_the_file(nginx, backend, way, wish):
    upload = Upload(nginx, backend, Takeover=wish)
    for end in (SENT, len(DATA)):
        offset = upload.size()
        assert upload.append(DATA[offset:end], way).status == 200
        assert upload.is_complete(DATA[:end], offset)


@both_ways
@pytest.mark.parametrize("kind", [fcntl.F_RDLCK, fcntl.F_WRLCK])
def test_other_programs_ask_in_the_same_way(nginx, backend, kind):
    upload = Upload(nginx, backend)
    older = first(upload)
    with upload.checkpoint.open("r+b") as checkpoint:
        ofd_lock(checkpoint, kind)
        assert_taken(older.response())
        with locked(upload):
            assert upload.append(b"").status == 423
    older.leave()
    assert upload.data() == DATA[:SENT]


@both_ways
@wishes
def test_other_programs_are_asked_in_the_same_way(nginx, backend, wish):
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:SENT]).status == 200
    with locked(upload), upload.checkpoint.open("r+b") as checkpoint:
        newer = second(upload, DATA[SENT:], wish=wish)
        found = ofd_lock(checkpoint, fcntl.F_WRLCK, fcntl.F_OFD_GETLK)
        assert found == {"idle": fcntl.F_RDLCK, "now": fcntl.F_WRLCK}[wish]
    assert newer.end().status == 200
    assert upload.is_complete(DATA, SENT)


def test_others_are_served_while_one_waits(own_nginx, backend):
    nginx = own_nginx(aio="off")
    upload = Upload(nginx, backend)
    older = first(upload)
    newer = second(upload, DATA[SENT:], wish="idle")
    served = 0
    while not newer.is_answered() and upload.is_asked_for():
        assert post(nginx.port, b"", path="/other").status == 200
        served += 1
    assert served > 10
    assert newer.end().status == 200
    assert_taken(older.response())
    older.leave()
