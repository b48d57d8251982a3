"""Files are flushed before the application is told, in a thread; nobody waits for that but their own upload."""

import signal

import pytest

from client import Connection, Http2, form, head, part, post
from harness import wait_for

BODY = form(part(b"first", "file", "a"), part(b"second", "file", "b"))


@pytest.fixture
def held(own_nginx, disk):
    """An nginx whose flushes last until they are let go."""
    disk.hold("fdatasync")
    return own_nginx(environment=disk.environment)


def is_flushing(nginx):
    """The first file is written, and nothing goes on."""
    return [path.stat().st_size for path in nginx.files()] == [5]


def test_an_upload_waits_for_its_flush_and_others_do_not(held, disk, backend):
    with Connection(held.port) as c, Http2(held.http2_port) as h2:
        c.send(head("/plain", len(BODY)) + BODY)
        wait_for(lambda: is_flushing(held), "the first file is being flushed")
        stream = h2.request("/plain", len(BODY))
        h2.send(stream, BODY)
        wait_for(lambda: len(held.files()) == 2, "another upload begins")
        assert post(held.port, BODY, path="/no-fsync").status == 200
        assert len(backend.completes) == 1
        disk.let_go("fdatasync")
        assert c.response().status == 200
        assert h2.response(stream).status == 200
    assert len(backend.completes) == 3
    assert sorted(path.read_bytes() for path in held.files()) == [b"first"] * 3 + [b"second"] * 3


@pytest.mark.parametrize("version", ["http/1", "http/2", "http/2 stream"])
def test_a_client_that_leaves_during_the_flush_leaves_nothing(held, disk, backend, version):
    with Http2(held.http2_port) as h2:
        if version == "http/1":
            with Connection(held.port) as c:
                c.send(head("/plain?t=left", len(BODY)) + BODY[:-10])
                wait_for(lambda: is_flushing(held), "the file is being flushed")
        elif version == "http/2":
            with Http2(held.http2_port) as other:
                other.send(other.request("/plain?t=left", len(BODY)), BODY[:-10], end=False)
                wait_for(lambda: is_flushing(held), "the file is being flushed")
        else:
            stream = h2.request("/plain?t=left", len(BODY))
            h2.send(stream, BODY)
            wait_for(lambda: is_flushing(held), "the file is being flushed")
            h2.h2.reset_stream(stream)
            h2.flush()
        # the worker has seen it go when it has served what came later
        assert post(held.port, BODY, path="/no-fsync").status == 200
        disk.let_go("fdatasync")
        assert held.logged("left")[0] in ("400", "499")
        wait_for(lambda: len(held.files()) == 2, "only the other upload is there")


def test_the_client_is_not_blamed_for_a_long_flush(held, disk, backend):
    held.parts["http"] += "client_body_timeout 200ms;"
    held.write_conf()
    (old,) = held.workers()
    held.send_signal(signal.SIGHUP)
    wait_for(lambda: held.workers() and old not in held.workers(), "a new worker")
    for version in ("http/1", "http/2"):
        with Connection(held.port) as c, Http2(held.http2_port) as h2:
            if version == "http/1":
                c.send(head("/plain", len(BODY)) + BODY[:-10])
            else:
                stream = h2.request("/plain", len(BODY))
                h2.send(stream, BODY[:-10], end=False)
            wait_for(lambda: is_flushing(held), "the file is being flushed")
            # a slow client of another request runs into the timeout meanwhile
            with Connection(held.port) as slow:
                slow.send(head("/no-fsync", len(BODY)) + BODY[:-10])
                assert slow.is_closed()
            disk.let_go("fdatasync")
            if version == "http/1":
                c.send(BODY[-10:])
                assert c.response().status == 200
            else:
                h2.send(stream, BODY[-10:])
                assert h2.response(stream).status == 200
        for path in held.files():
            path.unlink()
        disk.hold("fdatasync")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_nginx_stops_during_a_flush(held, disk, backend, number):
    with Connection(held.port) as c:
        c.send(head("/plain", len(BODY)) + BODY)
        wait_for(lambda: is_flushing(held), "the file is being flushed")
        held.send_signal(number)
        wait_for(
            lambda: "gracefully shutting down" in held.errors() or "exiting" in held.errors(), "the worker is told"
        )
        disk.let_go("fdatasync")
        if number == signal.SIGQUIT:
            assert c.response().status == 200
        held.process.wait(15)
    assert len(held.files()) == (2 if number == signal.SIGQUIT else 0)
