"""What goes wrong between ranges and in the middle of them: the state and the file agree whatever happens."""

import os
import pathlib
import random
import signal
import threading

import pytest

from client import Connection, Http2, head
from harness import Answer, both_ways, wait_for
from resumable import (
    TYPE,
    WAYS,
    Upload,
    by_http2,
    by_length,
    fields_of,
    header_list,
    lines,
    lowered,
    merge,
)

DATA = random.Random(1).randbytes(300_000)

FULL = pathlib.Path(os.environ["UPLOAD_TEST_FULL"])

pytestmark = both_ways

every_way = pytest.mark.parametrize("way", WAYS)


# the client


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


# the application


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


# nginx


@pytest.fixture
def mortal(own_nginx, aio):
    """An nginx whose workers may be killed."""
    nginx = own_nginx()
    nginx.expected_alert = "exited on signal 9"
    return nginx


def begin_range(nginx, upload, first, last, sent, path="/raw"):
    c = Connection(nginx.port)
    c.send_read(
        head(path, last - first + 1, headers=lines(upload.headers(first, last)), content_type=TYPE)
        + DATA[first : first + sent]
    )
    return c


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


# the disk


@pytest.fixture
def full(nginx):
    for path in FULL.iterdir():
        path.unlink()
    yield FULL
    for path in FULL.iterdir():
        path.unlink()


@every_way
def test_a_range_without_room_on_the_disk_is_507_before_it_is_sent(nginx, backend, way, full):
    upload = Upload(nginx, bytes(3_000_000), way, "/raw-full")
    response = upload.send(0, 2_000_000)
    assert response.status == 507
    assert "no space is left" in response.json()["detail"]
    assert upload.state.read_text() == ""
    response = upload.send(0, 300_000)
    assert (response.status, response.body) == (201, b"0-300000/3000000")
    assert upload.send(300_001, 2_000_000).status == 507
    assert upload.state.read_text() == "0-300000/3000000\n"
    if way is by_length:
        with Connection(nginx.port) as c:
            headers = lines(upload.headers(300_001, 2_999_999))
            c.send(head("/raw-full", 2_699_999, headers=headers, content_type=TYPE))
            assert c.response().status == 507
    assert backend.completes == []


@every_way
def test_a_disk_that_is_full_in_the_middle_of_a_range_is_507_and_the_range_does_not_count(nginx, backend, way, full):
    upload = Upload(nginx, bytes(3_000_000), way, "/raw-full-late")
    assert upload.send(0, 300_000).status == 201
    assert upload.send(300_001, 2_000_000).status == 507
    assert upload.state.read_text() == "0-300000/3000000\n"
    with (full / upload.session).open("r+b") as f:
        f.truncate(300_001)
    assert upload.send(300_001, 400_000).body == b"0-400000/3000000"
    assert backend.completes == []


def test_a_disk_that_is_full_leaves_no_whole_file(nginx, backend, full):
    for path in ("/raw-full", "/raw-full-late"):
        for session in (None, "whole"):
            response = by_length(nginx, path, bytes(2_000_000), header_list(session))
            assert response.status == 507
            assert "no space is left" in response.json()["detail"]
            wait_for(lambda: list(full.iterdir()) == [], "nothing is left")
    assert backend.completes == []


def test_a_state_that_finds_no_room_is_507_and_nothing_counts(nginx, backend, full):
    upload = Upload(nginx, DATA, path="/raw-full-state")
    state = full / f"{upload.session}.state"
    assert upload.send(0, 99_999).status == 201
    with (full / "filler").open("wb") as f:
        f.truncate(10 << 20)
        while True:
            try:
                os.pwrite(f.fileno(), bytes(4096), os.lseek(f.fileno(), 0, os.SEEK_CUR))
                os.lseek(f.fileno(), 4096, os.SEEK_CUR)
            except OSError:
                break
    response = upload.send(100_000, 199_999)
    assert response.status == 507
    assert "no space" in response.json()["detail"]
    assert state.read_text() == "0-99999/300000\n"
    (full / "filler").unlink()
    assert upload.send(200_000, 299_999).body == b"0-99999/300000,200000-299999/300000"
    assert upload.send(100_000, 199_999).status == 200
    assert upload.file.read_bytes() == DATA
    assert dict(backend.completes[0].form)["file.sha256"] == fields_of(DATA)["file.sha256"]
    assert list(full.iterdir()) == []


@every_way
def test_a_state_directory_that_cannot_be_written_is_503_and_nothing_counts(nginx, backend, way):
    upload = Upload(nginx, DATA, way)
    upload.put(0, 99_999)
    fresh = Upload(nginx, DATA, way)
    upload.state.parent.chmod(0o500)
    try:
        for one, first, last in ((upload, 100_000, 199_999), (upload, 100_000, 299_999), (fresh, 0, 299_999)):
            response = one.send(first, last)
            assert response.status in (500, 503)
            assert response.json()["detail"]
        upload.check_partial()
        assert fresh.state_files() == []
    finally:
        upload.state.parent.chmod(0o700)
    assert backend.completes == []
    upload.put(100_000, 199_999)
    upload.finish(200_000, 299_999, backend)
    fresh.finish(0, 299_999, backend)


def test_a_store_that_cannot_be_written_is_503(nginx, backend):
    upload = Upload(nginx, DATA)
    nginx.store.chmod(0o500)
    try:
        for headers in (upload.headers(0, 99), header_list(upload.session), header_list()):
            response = by_length(nginx, "/raw", DATA[:100], headers)
            assert response.status == 503
            assert "nginx may write" in response.json()["detail"]
    finally:
        nginx.store.chmod(0o700)
    assert upload.state_files() == []
    upload.put(0, 99)
    upload.finish(100, 299_999, backend)


def test_a_file_that_no_disk_can_hold_is_refused(nginx, backend):
    top = (1 << 63) - 1
    upload = Upload(nginx, b"x")
    response = upload.send(top - 2, top - 1, body=b"xy", total=top)
    assert response.status == 507
    assert "larger than the file system" in response.json()["detail"]
    response = upload.send(0, 1, body=b"xy", total=top)
    assert (response.status, response.body) == (201, f"0-1/{top}".encode())


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_what_is_no_file_is_left_alone(nginx, backend, kind):
    upload = Upload(nginx, DATA)
    other = nginx.directory / f"other-{upload.session}"
    if kind == "directory":
        upload.file.mkdir()
    else:
        other.write_text("precious")
        upload.file.symlink_to(other)
    for headers in (upload.headers(0, 99), header_list(upload.session)):
        response = by_length(nginx, "/raw", bytes(100), headers)
        assert response.status in (500, 503)
    if kind == "directory":
        upload.file.rmdir()
    else:
        assert other.read_text() == "precious"
        assert upload.file.is_symlink()
        upload.file.unlink()
    assert upload.state_files() == []


@pytest.mark.parametrize("call", ["fdatasync", "pwritev"])
def test_ranges_of_other_sessions_do_not_wait_for_a_slow_disk(own_nginx, backend, disk, aio, call):
    if aio == "off":
        pytest.skip("without threads everybody waits")
    nginx = own_nginx(environment=disk.environment)
    slow, fast = Upload(nginx, DATA), Upload(nginx, DATA)
    disk.hold(call, slow.session)
    with begin_range(nginx, slow, 0, 99_999, 100_000) as c:
        wait_for(lambda: disk.is_held(call), "the disk is slow")
        fast.put(0, 99_999)
        fast.finish(100_000, 299_999, backend)
        assert not slow.state.exists() or slow.state.read_text() == ""
        disk.let_go(call)
        assert c.response().status == 201
    slow.ranges = [(0, 99_999)]
    slow.check_partial()


@pytest.mark.parametrize("version", ["http/1", "http/2 stream"])
@pytest.mark.parametrize("call", ["fdatasync", "pwritev"])
def test_a_client_that_leaves_while_the_disk_works_leaves_state_and_file_in_agreement(
    own_nginx, backend, disk, aio, call, version
):
    if aio == "off":
        pytest.skip("without threads nginx does not see the client leave")
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, DATA[:150_000])
    upload.put(0, 99_999)
    disk.hold(call, upload.session)
    with Http2(nginx.http2_port) as h2:
        if version == "http/1":
            with begin_range(nginx, upload, 100_000, 149_999, 50_000, "/raw?t=left"):
                wait_for(lambda: disk.is_held(call), "the disk is slow")
        else:
            headers = lowered(upload.headers(100_000, 149_999))
            stream = h2.request("/raw?t=left", 50_000, headers=headers, content_type=TYPE)
            h2.send(stream, DATA[100_000:150_000])
            wait_for(lambda: disk.is_held(call), "the disk is slow")
            h2.h2.reset_stream(stream)
            h2.flush()
        other = Upload(nginx, DATA)
        other.put(0, 9)
        assert upload.state.read_text() == "0-99999/150000\n"
        disk.let_go(call)
        nginx.logged("left")
    backend.reset()
    if upload.state_files():
        # it was cut before all of it had been read
        upload.check_partial()
        upload.finish(100_000, 149_999, backend)
    else:
        # it was complete, and the application may have been asked, but nobody waited for the answer: 499
        upload.wait_gone()
        upload.ranges = []
        upload.put(100_000, 149_999)
        upload.finish(0, 99_999, backend)


def test_a_write_that_fails_does_not_count(own_nginx, backend, disk, aio):
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, DATA)
    upload.put(0, 99_999)
    disk.fail_write(5, 150_000)
    response = upload.send(100_000, 199_999)
    assert response.status == 500
    assert "cannot be written" in response.json()["detail"]
    upload.check_partial()
    disk.heal()
    disk.write_in_pieces()
    upload.put(100_000, 199_999)
    disk.heal()
    upload.finish(200_000, 299_999, backend)


# everything at once


class Model:
    """What a file must be after all that happened to it: some bytes nobody can know before it is complete."""

    def __init__(self, upload, rng):
        self.upload = upload
        self.rng = rng
        self.known = bytearray(upload.total)
        self.unsure = bytearray(upload.total)

    def pick(self):
        total = self.upload.total
        if self.upload.ranges and self.rng.random() < 0.5:
            # what is missing, as a client that resumes would do
            first = self.upload.ranges[0][1] + 1 if self.upload.ranges[0][0] == 0 else 0
            first = min(first, total - 1)
        else:
            first = self.rng.randrange(total)
        return first, min(total - 1, first + self.rng.randrange(max(1, total // self.rng.choice([1, 2, 8]))))

    def content(self, first, last):
        if self.rng.random() < 0.7:
            return self.upload.data[first : last + 1]
        return self.rng.randbytes(last - first + 1)

    def written(self, first, last, body):
        self.known[first : last + 1] = body
        self.unsure[first : last + 1] = bytes(len(body))
        self.upload.ranges = merge([*self.upload.ranges, (first, last)])

    def perhaps_written(self, first, last):
        self.unsure[first : last + 1] = b"\1" * (last - first + 1)

    def is_complete(self):
        return self.upload.ranges == [(0, self.upload.total - 1)]

    def check(self):
        upload = self.upload
        content = upload.file.read_bytes()
        for first, last in upload.ranges:
            for i in range(first, last + 1):
                assert self.unsure[i] or content[i] == self.known[i], i
        if not self.is_complete():
            assert upload.state.read_text() == "".join(f"{a}-{b}/{upload.total}\n" for a, b in upload.ranges)


def settle(model, sent, responses, backend):
    """Takes in the answers to ranges that were sent at the same time."""
    upload = model.upload
    for (first, last, body), response in zip(sent, responses, strict=True):
        assert response.status in (200, 201, 409), response
        if response.status != 409 or len(sent) > 1:
            model.written(first, last, body)
    if len(sent) > 1:
        # who came last is not known where they overlap
        for i in range(upload.total):
            if sum(first <= i <= last for first, last, _ in sent) > 1:
                model.unsure[i] = 1


def random_session(nginx, backend, rng, path):
    upload = Upload(nginx, rng.randbytes(rng.choice([1, 2, 100, 3000, 40_000])), path=path)
    model = Model(upload, rng)
    backend.reset()
    while not backend.completes:
        upload.way = rng.choice(WAYS)
        first, last = model.pick()
        body = model.content(first, last)
        action = rng.random()
        if action < 0.2:
            with upload.cut(first, last, rng.randrange(len(body)), body=body):
                pass
            model.perhaps_written(first, last)
        elif action < 0.4:
            sent = [(first, last, body)]
            first, last = model.pick()
            sent.append((first, last, model.content(first, last)))
            responses = [None, None]

            def send(i, sent=sent, responses=responses):
                responses[i] = upload.send(sent[i][0], sent[i][1], body=sent[i][2])

            threads = [threading.Thread(target=send, args=(i,)) for i in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            statuses = sorted(response.status for response in responses)
            if 200 in statuses:
                # the other one was before it, or too late, or the beginning of the next file of that name
                return statuses
            settle(model, sent, responses, backend)
            model.check()
        else:
            response = upload.send(first, last, body=body)
            settle(model, [(first, last, body)], [response], backend)
            assert response.status == (200 if model.is_complete() else 201)
            model.check()
    assert upload.state_files() == []
    content = upload.file.read_bytes()
    form = dict(backend.completes[0].form)
    assert {**form, **fields_of(content)} == form
    return None


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_digest_is_that_of_the_file_and_the_state_is_true(nginx, backend, seed):
    rng = random.Random(seed)
    for _ in range(8):
        random_session(nginx, backend, rng, rng.choice(["/raw", "/raw-fast", "/raw-small-buffer"]))
