"""Ranges of a file at the same time: the last one completes it, and only when no other may still write."""

import random
import threading

import pytest

from client import Connection, Http2, head
from harness import both_ways
from resumable import DATA, TYPE, Upload, every_way, lines, pieces

pytestmark = [both_ways, pytest.mark.usefixtures("without_errors")]


def in_parallel(jobs):
    """Calls all at the same time and returns what they return."""
    results = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(i):
        start.wait()
        results[i] = jobs[i]()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.fixture(params=[1, 3], ids=["one worker", "three workers"])
def workers(request, nginx, own_nginx, aio):
    """Locks are between processes as well as between threads of one."""
    return nginx if request.param == 1 else own_nginx(workers=request.param)


@every_way
def test_ranges_may_come_in_parallel(workers, backend, way):
    for seed in range(4):
        backend.reset()
        upload = Upload(workers, DATA, way)
        ranges = random.Random(seed).sample(pieces(len(DATA), 12), 12)
        responses = in_parallel([lambda r=r, u=upload: u.send(*r) for r in ranges])
        assert sorted(response.status for response in responses) == [200] + [201] * 11
        final = [r for r, response in zip(ranges, responses, strict=True) if response.status == 200]
        assert len(backend.completes) == 1
        upload.check_complete(backend.completes[0], f"bytes {final[0][0]}-{final[0][1]}/{len(DATA)}")


def test_the_same_range_in_parallel_is_one(workers, backend):
    upload = Upload(workers, DATA)
    responses = in_parallel([lambda: upload.send(0, 100_000) for _ in range(6)])
    assert [response.status for response in responses] == [201] * 6
    upload.ranges = [(0, 100_000)]
    upload.check_partial()
    upload.finish(100_001, 200_000, backend)


def test_a_range_completes_nothing_while_another_request_may_still_write(nginx, backend):
    upload = Upload(nginx, DATA)
    with Connection(nginx.port) as slow:
        text = head("/raw", 100_000, headers=lines(upload.headers(0, 99_999)), content_type=TYPE)
        slow.send_read(text + DATA[:50_000])
        upload.wait_written(1)
        upload.put(0, 99_999)
        response = upload.send(100_000, 200_000)
        assert response.status == 409
        assert "another request" in response.json()["detail"]
        assert backend.completes == []
        upload.ranges = [(0, 200_000)]
        upload.check_partial()
        slow.send(DATA[50_000:100_000])
        assert slow.response().status == 200
    upload.check_complete(backend.completes[0], "bytes 0-99999/200001")


def test_everything_can_be_there_without_being_complete_and_any_range_completes_it(nginx, backend):
    upload = Upload(nginx, DATA)
    with upload.cut(0, 99_999, 50_000):
        upload.put(0, 99_999)
        assert upload.send(100_000, 200_000).status == 409
    assert backend.completes == []
    upload.finish(7, 7, backend)


def test_one_http2_connection_carries_many_ranges_at_once(nginx, backend):
    upload = Upload(nginx, DATA)
    ranges = pieces(len(DATA), 5)
    with Http2(nginx.http2_port) as h2:
        streams = []
        for first, last in ranges:
            headers = [(name.lower(), value) for name, value in upload.headers(first, last)]
            streams.append(h2.request("/raw", last - first + 1, headers=headers, content_type=TYPE))
        for step in range(4):
            for stream, (first, last) in zip(streams, ranges, strict=True):
                a, b = pieces(last - first + 1, 4)[step]
                h2.send(stream, DATA[first + a : first + b + 1], end=step == 3)
        statuses = sorted(h2.response(stream).status for stream in streams)
    assert statuses == [201] * 4 + [200] or statuses == [200] + [201] * 4
    assert upload.file.read_bytes() == DATA
    assert len(backend.completes) == 1
