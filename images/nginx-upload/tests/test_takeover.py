"""Two requests for one file: which of them has it, and what becomes of what the other one brought."""

import contextlib
import os

import pytest

import http3
from appending import WAYS, Upload
from client import Http2, post
from harness import LEFT, Answer, both_ways, wait_for
from takeover import (
    CASES,
    DATA,
    SENT,
    assert_locked,
    assert_taken,
    first,
    locked,
    second,
    ways,
    wishes,
    workers_with,
)


@pytest.mark.parametrize("way, wish, aio", CASES)
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


def http2(nginx):
    return Http2(nginx.http2_port)


@both_ways
@pytest.mark.parametrize("connect", [http2, pytest.param(http3.connect, marks=http3.needed)], ids=["http2", "http3"])
def test_two_streams_of_one_connection_may_want_the_same_file(nginx, backend, connect):
    upload = Upload(nginx, backend)
    with connect(nginx) as connection:
        older = connection.request("/append", len(DATA), "PATCH")
        connection.send(older, DATA[:SENT], end=False)
        wait_for(lambda: upload.size() > 0, "it is being written")
        upload.answer = {"Takeover": "now", "Offset": SENT}
        newer = connection.request("/append", len(DATA) - SENT, "PATCH")
        connection.send(newer, DATA[SENT:])
        assert connection.response(newer).status == 200
        assert_taken(connection.response(older))
    assert upload.is_complete(DATA, SENT)


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
        assert newer.over() in LEFT
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
    assert not newer.is_answered()
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
