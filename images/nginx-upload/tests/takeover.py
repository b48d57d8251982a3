"""What the tests of a takeover share: a request that has a file and is silent, and one that waits for the file."""

import contextlib
import fcntl
import os
import random
import struct

import pytest

import http3
from appending import WAYS, Request
from harness import wait_for

DATA = random.Random(4).randbytes(700_000)
SENT = 300_000

ways = pytest.mark.parametrize("way", WAYS)
wishes = pytest.mark.parametrize("wish", ["idle", "now"])

# whoever asks politely waits for three seconds
CASES = [
    *((way, "now", aio) for way in WAYS for aio in ("threads", "off")),
    ("length", "idle", "threads"),
    ("http2", "idle", "off"),
    *((way, "idle", "threads") for way in http3.WAYS),
]


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
