"""Appends, refusals, breaks, kills and reloads in any order."""

import os
import random
import signal

import pytest

from appending import WAYS, Upload, leave
from harness import LEFT, both_ways, wait_for


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
