"""Receiving goes on while a thread hashes and writes: bounded, and whoever ends when, the file is right or gone."""

import errno
import os
import pathlib
import random
import signal

import pytest

import http3
from client import Connection, Http2, chunked, exchange, form, head, part, post
from harness import DEADLINE, LEFT, both_ways, wait_for
from locations import LOCATIONS, PLAIN, RECEIVE, location
from sending import assert_problem, by_chunks, by_http2, by_length, near_delimiters

DATA = os.urandom(1 << 20) * 24
BODY = form(part(b"value", "field"), part(DATA, "file", "a.bin"))
# more than nginx and the windows hold; over HTTP/1 the kernel's buffers come on top of that
LITTLE = DATA[: 4 << 20]
LITTLE_BODY = form(part(b"value", "field"), part(LITTLE, "file", "a.bin"))

GET = b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n"

# NGX_HTTP_UPLOAD_BUFFERS of upload_buffer_size, and core's first one
BUFFERS = 4 * 512 * 1024 + 64 * 1024
# what nginx's QUIC keeps of a stream, and the window of an HTTP/2 stream before the module has its say
STREAM = 64 * 1024


@pytest.fixture
def held(own_nginx, disk):
    """An nginx that cannot write its first file for now."""
    disk.hold("pwritev", "/0000000001")
    return own_nginx(environment=disk.environment)


def is_written(nginx, data=DATA):
    (path,) = nginx.files()
    return path.read_bytes() == data


def assert_others_are_served(nginx, backend):
    """A small request, and an upload whose file is on a disk that is not stuck."""
    small = form(part(b"small", "file", "a"))
    assert exchange(nginx.port, GET.replace(b"1.1", b"1.0")).body == b"[]"
    before = len(backend.completes)
    assert post(nginx.port, small, path="/plain").status == 200
    with Http2(nginx.http2_port) as h2:
        stream = h2.request("/plain", len(small))
        h2.send(stream, small)
        assert h2.response(stream).status == 200
    assert len(backend.completes) == before + 2
    for path in nginx.files():
        if path.name != "0000000001":
            path.unlink()


def test_http1_is_held_back_when_the_disk_is_stuck(held, disk, backend):
    post(held.port, form(part(b"x", "field")), path="/plain")
    before = held.rss()
    with Connection(held.port) as c:
        request = head("/plain", len(BODY)) + BODY
        sent = c.send_until_blocked(request)
        assert disk.is_held("pwritev")
        assert sent < len(request)
        taken = sent - c.unread()
        assert 256 * 1024 < taken < BUFFERS
        assert held.rss() - before < 4 * BUFFERS
        assert_others_are_served(held, backend)
        assert sent - c.unread() == taken
        disk.let_go("pwritev")
        c.send(request[sent:])
        assert c.response().status == 200
    assert is_written(held)
    assert held.rss() - before < 4 * BUFFERS


@pytest.mark.parametrize("length", [len(LITTLE_BODY), None])
def test_the_window_of_http2_is_not_widened_when_the_disk_is_stuck(held, disk, backend, length):
    with Http2(held.http2_port) as h2:
        stream = h2.request("/plain", length)
        sent = h2.send_until_blocked(stream, LITTLE_BODY)
        assert disk.is_held("pwritev")
        assert h2.h2.local_flow_control_window(stream) == 0
        assert STREAM - 1 <= sent < BUFFERS + STREAM
        # another stream of the same connection, and other connections
        other = h2.request("/plain")
        h2.send(other, form(part(b"small", "file", "a")))
        assert h2.response(other).status == 200
        assert_others_are_served(held, backend)
        disk.let_go("pwritev")
        h2.send(stream, LITTLE_BODY[sent:])
        assert h2.response(stream).status == 200
    assert is_written(held, LITTLE)


@http3.needed
@pytest.mark.parametrize("length", [len(LITTLE_BODY), None])
def test_http3_is_held_back_when_the_disk_is_stuck(held, disk, backend, length):
    with http3.connect(held) as connection:
        stream = connection.request("/plain", length)
        connection.begin(stream, LITTLE_BODY)
        connection.wait_for(lambda: disk.is_held("pwritev"))
        taken = connection.taken_until_blocked(stream)
        assert STREAM <= taken < BUFFERS + STREAM
        # another stream of the same connection, and other connections
        assert connection.get("/other").body == b"[]"
        assert_others_are_served(held, backend)
        assert connection.taken(stream) == taken
        disk.let_go("pwritev")
        assert connection.response(stream).status == 200
    assert is_written(held, LITTLE)


@pytest.mark.parametrize("version", ["http/1", "http/2"])
def test_a_slow_disk_is_not_the_client_s_fault(own_nginx, disk, backend, version):
    nginx = own_nginx(http="client_body_timeout 300ms;", environment=disk.environment)
    body = form(part(bytes(3000000), "file", "a.bin"))
    disk.hold("pwritev", "/0000000001")
    with Connection(nginx.port) as c, Http2(nginx.http2_port) as h2:
        if version == "http/1":
            c.send_until_blocked(head("/plain?t=disk", len(body)) + body[:2500000])
        else:
            stream = h2.request("/plain?t=disk", len(body))
            sent = h2.send_until_blocked(stream, body)
        wait_for(lambda: disk.is_held("pwritev"), "the disk is slow")
        # meanwhile a slow client of another request runs into the timeout, twice
        for _ in range(2):
            with Connection(nginx.port) as slow:
                slow.send(head("/plain", len(BODY)) + BODY[:1000])
                assert slow.is_closed()
        disk.let_go("pwritev")
        if version == "http/1":
            c.send(body[2500000:])
            assert c.response().status == 200
        else:
            h2.send(stream, body[sent:])
            assert h2.response(stream).status == 200
    assert [path.stat().st_size for path in nginx.files()] == [3000000]
    assert nginx.logged("disk")[0] == "200"


class Leaving:
    """A client that has sent some of an upload when it leaves, in one of several ways."""

    def __init__(self, nginx, way, path, sent):
        self.way = way
        if way == "http/1":
            self.client = Connection(nginx.port)
            sent = self.client.send_until_blocked(head(path, len(BODY)) + BODY[:sent])
        else:
            self.client = Http2(nginx.http2_port)
            self.stream = self.client.request(path, len(BODY))
            self.client.send_until_blocked(self.stream, BODY[:sent])

    def leave(self):
        if self.way == "http/2 stream":
            self.client.h2.reset_stream(self.stream)
            self.client.flush()
        else:
            self.client.close() if self.way == "http/1" else self.client.socket.close()

    def close(self):
        self.client.close() if self.way == "http/1" else self.client.socket.close()


LEAVING = ["http/1", "http/2", "http/2 stream"]


# more than nginx takes, so that it does not read; and less, so that it waits for more
@pytest.mark.parametrize("sent", [8 << 20, 60000], ids=["stalled", "reading"])
@pytest.mark.parametrize("way", LEAVING)
def test_a_client_leaves_while_the_thread_is_at_work(held, disk, backend, way, sent):
    client = Leaving(held, way, "/plain?t=left", sent)
    wait_for(lambda: disk.is_held("pwritev"), "the thread is at work")
    client.leave()
    # the worker has seen it go when it has served what came later, and waits for the thread nevertheless
    assert_others_are_served(held, backend)
    assert [path.name for path in held.files()] == ["0000000001"]
    disk.let_go("pwritev")
    assert held.logged("left")[0] in ("400", "499")
    wait_for(lambda: not held.files(), "the file is removed")
    client.close()
    assert len(backend.completes) == 2


@http3.needed
@pytest.mark.parametrize("how", ["leave", "reset"])
def test_an_http3_client_leaves_while_the_thread_is_at_work(held, disk, backend, how):
    with http3.connect(held) as connection:
        stream = connection.request("/plain?t=left", len(LITTLE_BODY))
        connection.begin(stream, LITTLE_BODY[:-10], end=False)
        connection.wait_for(lambda: disk.is_held("pwritev"))
        if how == "reset":
            connection.reset(stream)
            assert connection.get("/other").body == b"[]"
            disk.let_go("pwritev")
            connection.wait_for(lambda: "?t=left|" in held.access_log.read_text())
    assert_others_are_served(held, backend)
    disk.let_go("pwritev")
    assert int(held.logged("left")[0]) in LEFT
    wait_for(lambda: not held.files(), "the file is removed")
    assert len(backend.completes) == 2


@pytest.mark.parametrize("way", LEAVING[:2])
def test_core_terminates_the_request_while_the_thread_is_at_work(own_nginx, disk, backend, way):
    disk.hold("pwritev")
    nginx = own_nginx(main="worker_shutdown_timeout 200ms;", environment=disk.environment)
    client = Leaving(nginx, way, "/plain?t=terminated", 8 << 20)
    wait_for(lambda: disk.is_held("pwritev"), "the thread is at work")
    with Connection(nginx.port) as other:
        # core closes all at a time, and this one it can
        other.send_read(head("/plain", 1000))
        nginx.send_signal(signal.SIGHUP)
        assert other.is_closed()
    assert len(nginx.files()) == 1
    disk.let_go("pwritev")
    wait_for(lambda: len(nginx.workers()) == 1, "the old worker ends")
    wait_for(lambda: not nginx.files(), "the file is removed")
    client.close()
    assert backend.completes == []


@pytest.mark.parametrize("way", LEAVING[:2])
def test_a_reload_while_the_thread_is_at_work_lets_the_upload_finish(held, disk, backend, way):
    (old,) = held.workers()
    with Connection(held.port) as c, Http2(held.http2_port) as h2:
        if way == "http/1":
            data, request = DATA, head("/plain", len(BODY)) + BODY
            sent = c.send_until_blocked(request)
        else:
            data = LITTLE
            stream = h2.request("/plain", len(LITTLE_BODY))
            sent = h2.send_until_blocked(stream, LITTLE_BODY)
        wait_for(lambda: disk.is_held("pwritev"), "the thread is at work")
        held.send_signal(signal.SIGHUP)
        wait_for(lambda: set(held.workers()) - {old}, "a new worker")
        assert_others_are_served(held, backend)
        assert old in held.workers()
        disk.let_go("pwritev")
        if way == "http/1":
            c.send(request[sent:])
            assert c.response().status == 200
        else:
            h2.send(stream, LITTLE_BODY[sent:])
            assert h2.response(stream).status == 200
    assert is_written(held, data)
    wait_for(lambda: old not in held.workers(), "the old worker ends")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_nginx_is_stopped_at_once_while_the_thread_is_at_work(held, disk, backend, number):
    clients = [Leaving(held, way, "/plain", 8 << 20) for way in LEAVING[:2]]
    wait_for(lambda: disk.is_held("pwritev"), "the thread is at work")
    wait_for(lambda: len(held.files()) == 2, "two uploads are under way")
    held.send_signal(number)
    wait_for(lambda: "exiting" in held.errors(), "the worker is told")
    disk.let_go("pwritev")
    held.process.wait(DEADLINE)
    assert held.files() == []
    for client in clients:
        client.close()


def test_a_worker_is_killed_while_the_thread_is_at_work(held, disk, backend):
    held.expected_alert = "exited on signal 9"
    (old,) = held.workers()
    client = Leaving(held, "http/1", "/plain", 8 << 20)
    wait_for(lambda: disk.is_held("pwritev"), "the thread is at work")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: held.workers() not in ([], [old]), "the master starts another worker")
    disk.let_go("pwritev")
    client.close()
    # nobody is left who could remove that: the application was not told, and nothing of it is taken for an upload
    assert [path.name for path in held.files()] == ["0000000001"]
    held.files()[0].unlink()
    assert post(held.port, BODY, path="/plain").status == 200
    assert is_written(held)


@both_ways
@pytest.mark.parametrize(
    "number, status", [(errno.EIO, 500), (errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EFBIG, 507)]
)
def test_a_write_fails_in_the_middle(own_nginx, disk, backend, number, status):
    nginx = own_nginx(environment=disk.environment)
    disk.fail_write(number, 3 << 20)
    body = form(part(b"first", "file", "b"), part(DATA[: 8 << 20], "file", "a.bin"))
    for send in (by_length, by_chunks, by_http2):
        response = send(nginx, "/plain", body)
        assert_problem(nginx, backend, response, status)
        assert ("no space" in response.json()["detail"]) == (number in (errno.ENOSPC, errno.EDQUOT))
    assert os.strerror(number) in nginx.errors()
    disk.heal()
    assert post(nginx.port, body, path="/plain").status == 200


@both_ways
def test_writes_are_interrupted_and_short(own_nginx, disk, backend):
    nginx = own_nginx(environment=disk.environment)
    disk.write_in_pieces()
    data = near_delimiters(5, 200000)
    body = form(part(data, "file", "a"), part(data[::-1], "file", "b"))
    assert post(nginx.port, body, path="/plain").status == 200
    assert by_chunks(nginx, "/plain", body).status == 200
    assert [path.read_bytes() for path in nginx.files()] == [data, data[::-1]] * 2
    assert [value for name, value in backend.completes[0].form if name == "file.size"] == [b"%d" % len(data)] * 2


@both_ways
def test_clients_leave_at_fifty_places(nginx, backend):
    rand = random.Random(50)
    body = form(*[part(rand.randbytes(size), "file", "a") for size in (5, 300, 70000, 1500000, 9)])
    offsets = [rand.randrange(len(body)) for _ in range(40)] + [rand.randrange(3000) for _ in range(10)]
    for i, offset in enumerate(offsets):
        if i % 2:
            with Connection(nginx.port) as c:
                c.send(head(f"/plain?t=left-{i}", len(body)) + body[:offset])
        else:
            with Http2(nginx.http2_port) as h2:
                stream = h2.request(f"/plain?t=left-{i}", rand.choice([None, len(body)]))
                h2.send(stream, body[:offset], end=False)
    for i in range(50):
        assert nginx.logged(f"left-{i}")[0] in ("400", "499")
    wait_for(lambda: not nginx.files(), "nothing is left")
    assert backend.completes == []


BUFFER_SIZES = [(upload, core) for upload in ("128", "1k", "4k", "512k") for core in ("1k", "16k", "1m")]


@both_ways
def test_buffers_of_every_size(own_nginx, backend):
    nginx = own_nginx(
        LOCATIONS
        + "".join(
            location(f"= /{upload}-{core}", f"upload_buffer_size {upload}; client_body_buffer_size {core};" + PLAIN)
            for upload, core in BUFFER_SIZES
        )
    )
    files = [near_delimiters(6, 150000), b"", near_delimiters(8, 3000), b"end"]
    body = form(part(b"value", "field"), *[part(data, "file", "a") for data in files])
    for upload, core in BUFFER_SIZES:
        path = f"/{upload}-{core}"
        assert post(nginx.port, body, path=path).status == 200
        request = head(path, headers=["Transfer-Encoding: chunked"]) + chunked(body, 1234)
        assert exchange(nginx.port, request).status == 200
        with Http2(nginx.http2_port) as h2:
            stream = h2.request(path)
            h2.send(stream, body, size=5000)
            assert h2.response(stream).status == 200
        assert [file.read_bytes() for file in nginx.files()] == files * 3, path
        for file in nginx.files():
            file.unlink()


@both_ways
@pytest.mark.parametrize("size", [1, 500, 3000, 20000, 300000])
def test_the_next_request_comes_in_the_same_packet(own_nginx, disk, aio, backend, size):
    nginx = own_nginx(environment=disk.environment)
    data, more = near_delimiters(9, size), near_delimiters(10, size)
    first, second = form(part(data, "file", "a")), form(part(more, "file", "b"))
    if aio == "threads":
        disk.hold("pwritev", "/0000000001")
    with Connection(nginx.port) as c:
        c.send(
            head("/plain", len(first)) + first
            + head("/plain", headers=["Transfer-Encoding: chunked"]) + chunked(second, 777)
            + GET
            + head("/plain", len(first)) + first
        )  # fmt: skip
        if aio == "threads":
            wait_for(lambda: disk.is_held("pwritev"), "the thread is at work")
            assert backend.completes == []
            disk.let_go("pwritev")
        assert [c.response().status for _ in range(4)] == [200] * 4
    assert [path.read_bytes() for path in nginx.files()] == [data, more, data]


def test_many_uploads_at_a_time_with_one_thread(own_nginx, backend):
    nginx = own_nginx(
        LOCATIONS + location("= /one-thread", "aio threads=one;" + PLAIN),
        main="thread_pool one threads=1;",
    )
    data = [near_delimiters(i, 150000) for i in range(8)]
    bodies = [form(part(one, "file", "a")) for one in data]
    with Http2(nginx.http2_port) as h2:
        streams = [h2.request("/one-thread", len(body)) for body in bodies]
        for start in range(0, 200000, 30000):
            for stream, body in zip(streams, bodies, strict=True):
                if body[start:]:
                    h2.send(stream, body[start : start + 30000], end=start + 30000 >= len(body))
        assert [h2.response(stream).status for stream in streams] == [200] * 8
    assert sorted(path.read_bytes() for path in nginx.files()) == sorted(data)


def test_a_thread_pool_that_is_full_does_the_work_in_the_event_loop(own_nginx, disk, backend):
    nginx = own_nginx(
        LOCATIONS + location("= /one-thread", "aio threads=one;" + PLAIN),
        main="thread_pool one threads=1 max_queue=0;",
        environment=disk.environment,
    )
    nginx.expected_alert = 'thread pool "one" queue overflow'
    disk.hold("pwritev", "/0000000001")
    body = form(part(bytes(100000), "file", "a"))
    with Connection(nginx.port) as c:
        c.send(head("/one-thread", len(body)) + body)
        assert post(nginx.port, body, path="/one-thread").status == 200
        disk.let_go("pwritev")
        assert c.response().status == 200
    assert [path.stat().st_size for path in nginx.files()] == [100000] * 2


def test_where_the_thread_pool_is_missing_the_event_loop_does_the_work(own_nginx, backend):
    nginx = own_nginx(
        LOCATIONS + location("= /pool", "aio threads=$arg_pool;" + RECEIVE + "upload_pass /complete/;"),
        main="thread_pool one threads=1;",
    )
    body = form(part(b"data", "file", "a"))
    for pool in ("one", "none"):
        assert post(nginx.port, body, path=f"/pool?pool={pool}").status == 200
    assert 'thread pool "none" not found' in nginx.errors()
    assert [path.read_bytes() for path in nginx.files()] == [b"data"] * 2


def test_no_descriptor_or_thread_is_left(nginx, backend):
    (worker,) = nginx.workers()

    def count():
        return len(os.listdir(f"/proc/{worker}/fd")), len(os.listdir(f"/proc/{worker}/task"))

    post(nginx.port, BODY, path="/plain")
    stable = count()
    for _ in range(20):
        with Connection(nginx.port) as c:
            c.send(head("/plain", len(BODY)) + BODY[:2000000])
        assert post(nginx.port, BODY[:300000], path="/plain").status == 400
    wait_for(lambda: count()[0] <= stable[0] + 5, "descriptors are closed")
    assert count()[1] == stable[1]
    assert pathlib.Path(f"/proc/{worker}").exists()
