"""Two requests for one file in two processes: workers, generations of nginx, and other programs."""

import fcntl
import os
import signal

import pytest

import http3
from appending import Upload
from harness import both_ways, wait_for
from takeover import (
    CASES,
    DATA,
    SENT,
    assert_locked,
    assert_taken,
    first,
    locked,
    ofd_lock,
    second,
    wishes,
    workers_with,
)


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


@pytest.mark.parametrize("way, wish, aio", [case for case in CASES if case[0] not in http3.WAYS])
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


@http3.needed
@both_ways
@wishes
def test_a_new_generation_takes_over_what_came_over_http3(own_nginx, backend, wish):
    """Both read from one UDP socket, so that the older request may never hear of it."""
    nginx = own_nginx()
    upload = Upload(nginx, backend)
    (old,) = nginx.workers()
    older = first(upload, "http3")
    nginx.send_signal(signal.SIGHUP)
    wait_for(lambda: set(nginx.workers()) - {old}, "a new worker")
    newer = second(upload, DATA[SENT:], wish=wish)
    assert newer.end().status == 200
    assert upload.is_complete(DATA, SENT)
    older.leave()


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
