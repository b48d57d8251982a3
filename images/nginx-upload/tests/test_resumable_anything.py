"""Ranges, cuts and ranges at the same time, of any place and in any order."""

import random
import threading

import pytest

from harness import both_ways
from resumable import WAYS, Upload, fields_of, merge

pytestmark = both_ways


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
