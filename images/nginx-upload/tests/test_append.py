"""Requests that append their body to a file: what they bring, what they tell the application, and who may write."""

import itertools
import os
import random
import signal

import pytest

from appending import WAYS, Upload, assert_problem, is_writing, ways
from client import exchange, form, head, part
from harness import LEFT, Answer, both_ways, wait_for

DATA = random.Random(0).randbytes(700_000)


@both_ways
@ways
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_file_grows_with_each_request_of_any_method(nginx, backend, way, method):
    upload = Upload(nginx, backend)
    offset = 0
    for end in (1, 1000, 300_000, len(DATA)):
        response = upload.append(DATA[offset:end], way, method=method)
        assert (response.status, response.body) == (200, b'{"detail": "Upload Complete"}')
        assert upload.is_complete(DATA[:end], offset)
        assert backend.authorizes[-1].header("X-Upload-Method") == method
        offset = end
    assert nginx.files() == [upload.path, upload.checkpoint]


@ways
@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary=x"])
def test_any_content_type_or_none_will_do(nginx, backend, way, content_type):
    upload = Upload(nginx, backend)
    body = form(part(b"not parsed", "file", "a"), boundary=b"x")
    assert upload.append(body, way, content_type=content_type).status == 200
    assert upload.is_complete(body, 0)
    assert dict(backend.completes[0].form)["type"] == content_type.encode()


@pytest.fixture
def counting(own_nginx, disk):
    """An nginx that counts what it reads back of its files."""
    disk.count_reads("/store/")
    return own_nginx(environment=disk.environment)


@both_ways
def test_a_file_in_forty_pieces_through_restarts_is_read_never_and_has_its_digests(counting, disk, backend):
    numbers = random.Random(40)
    data = numbers.randbytes(4_000_000)
    upload = Upload(counting, backend, Length=len(data))
    cuts = [0, *sorted(numbers.sample(range(1, len(data)), 39)), len(data)]
    for i, (start, end) in enumerate(itertools.pairwise(cuts)):
        assert upload.append(data[start:end], numbers.choice(WAYS)).status == 200
        assert upload.is_complete(data[:end], start)
        if i in (10, 20, 30):
            counting.stop(numbers.choice([signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]))
            counting.start()
    assert len(backend.completes) == 40
    assert disk.bytes_read() == 0


def test_the_count_of_what_is_read_back_counts(counting, disk, backend):
    upload = Upload(counting, backend)
    assert upload.append(DATA, path="/append-sha256").status == 200
    assert disk.bytes_read() == 0
    # other digests than those of the checkpoint need all of it
    assert upload.append(DATA).status == 200
    assert upload.is_complete(DATA + DATA, len(DATA))
    assert disk.bytes_read() == len(DATA)
    # and fewer do not
    assert upload.append(DATA, path="/append-sha256").status == 200
    assert upload.append(b"", path="/append").status == 200
    assert upload.is_complete(DATA * 3, len(DATA) * 3)
    assert disk.bytes_read() == len(DATA)


@both_ways
@ways
def test_several_requests_share_a_connection(nginx, backend, way):
    upload = Upload(nginx, backend)
    request = upload.request(way, 100_000)
    for i in range(5):
        if i and request.is_stream:
            length = None if way.endswith("without length") else 100_000
            request.stream = request.connection.request("/append", length, "PUT")
        elif i:
            framing = {"length": 100_000} if way == "length" else {"headers": ["Transfer-Encoding: chunked"]}
            request.connection.send(head("/append", method="PUT", **framing))
        request.send(DATA[i * 100_000 : (i + 1) * 100_000])
        assert request.end().status == 200
        assert upload.is_complete(DATA[: (i + 1) * 100_000], i * 100_000)
    request.leave()


@both_ways
@ways
def test_a_second_writer_is_423_at_once_and_the_first_goes_on(nginx, backend, way):
    upload = Upload(nginx, backend)
    first = upload.request(way, len(DATA))
    first.send(DATA[:300_000])
    is_writing(upload, 300_000)
    for second in WAYS:
        for offset in (0, upload.size()):
            upload.answer = {"Offset": offset}
            assert_problem(upload.append(b"x" * 1000, second), 423, "another request is writing")
    first.send(DATA[300_000:])
    assert first.end().status == 200
    first.leave()
    assert upload.is_complete(DATA, 0)
    upload.answer = {}
    assert upload.append(b"x").status == 200


@both_ways
def test_the_lock_is_held_while_the_application_works(nginx, backend):
    upload = Upload(nginx, backend)
    done = []
    backend.complete = lambda seen: wait_for(lambda: done, "the end of the test") and Answer(200)
    request = upload.request(length=len(DATA))
    request.send(DATA)
    wait_for(lambda: backend.completes, "the application is asked")
    assert upload.append(DATA).status == 423
    done.append(True)
    assert request.end().status == 200
    request.leave()
    assert upload.append(b"x").status == 200


@both_ways
@ways
def test_the_lock_is_gone_when_the_answer_is_there(nginx, backend, way):
    upload = Upload(nginx, backend)
    for i in range(200):
        assert upload.append(DATA[i * 3000 : (i + 1) * 3000], way, path="/append-no-fsync").status == 200
    assert upload.is_complete(DATA[:600_000], 597_000)


@both_ways
@ways
def test_an_empty_body_appends_nothing_and_is_an_answer_with_the_digests(nginx, backend, way):
    upload = Upload(nginx, backend)
    assert upload.append(b"", way).status == 200
    assert upload.is_complete(b"", 0)
    assert upload.append(DATA, way).status == 200
    assert upload.append(b"", way).status == 200
    assert upload.is_complete(DATA, len(DATA))


def test_a_request_without_a_body_is_an_empty_one(nginx, backend):
    upload = Upload(nginx, backend)
    for method in ("POST", "PUT", "PATCH"):
        assert exchange(nginx.port, head("/append", method=method, content_type="")).status == 200
        assert upload.is_complete(b"", 0)


@both_ways
def test_the_application_may_take_the_file_away_before_it_answers(nginx, backend, tmp_path):
    upload = Upload(nginx, backend, Length=len(DATA))

    def rename(seen):
        os.rename(upload.path, tmp_path / "claimed")
        upload.checkpoint.unlink()
        return Answer(201)

    backend.complete = rename
    assert upload.append(DATA).status == 201
    assert (tmp_path / "claimed").read_bytes() == DATA
    assert nginx.files() == []

    def remove(seen):
        upload.path.unlink()
        upload.checkpoint.unlink()
        return Answer(422)

    backend.complete = remove
    assert upload.append(DATA).status == 422
    assert nginx.files() == []
    # the name is free for another file
    backend.complete = Answer(200)
    assert upload.append(DATA[:1000]).status == 200
    assert upload.is_complete(DATA[:1000], 0)


@pytest.mark.parametrize("status", [302, 400, 409, 500, 507, 599])
def test_upload_cleanup_is_not_for_files_that_grow(nginx, backend, status):
    upload = Upload(nginx, backend)
    backend.complete = Answer(status, {}, b"from the application")
    response = upload.append(DATA[:1000])
    assert (response.status, response.body) == (status, b"from the application")
    backend.complete = Answer(200)
    assert upload.append(DATA[1000:]).status == 200
    assert upload.is_complete(DATA, 1000)


def test_upload_store_access_is_for_the_file_and_its_checkpoint(own_nginx, backend):
    old = os.umask(0o077)
    try:
        nginx = own_nginx()
    finally:
        os.umask(old)
    for path, mode in (("/append-access", 0o640), ("/append", 0o600)):
        upload = Upload(nginx, backend, path[1:])
        assert upload.append(DATA, path=path).status == 200
        assert [p.stat().st_mode & 0o7777 for p in (upload.path, upload.checkpoint)] == [mode, mode]


@both_ways
def test_what_was_appended_is_logged(nginx, backend):
    upload = Upload(nginx, backend)
    for end in (300_000, len(DATA)):
        size = end - upload.size()
        assert upload.append(DATA[upload.size() : end]).status == 200
        sha256 = dict(backend.completes[-1].form)["sha256"].decode()
        line = [line for line in nginx.errors().splitlines() if str(upload.path) in line and sha256 in line][-1]
        assert "[info]" in line and f": {size} bytes in " in line and f"size {end}, sha256 {sha256}" in line


def open_files(nginx):
    (worker,) = nginx.workers()
    return len(os.listdir(f"/proc/{worker}/fd"))


@both_ways
def test_no_descriptor_is_left_open_and_no_lock(nginx, backend):
    upload = Upload(nginx, backend)
    upload.append(b"")
    stable = open_files(nginx)
    for i in range(10):
        for way in WAYS:
            upload.answer = {}
            assert upload.append(DATA[:100], way).status == 200
            upload.answer = {"Offset": 1}
            assert upload.append(DATA, way).status == 409
            upload.answer = {"Length": upload.size() + 1}
            assert upload.append(DATA, way).status == 413
            upload.answer = {"Path": nginx.store / "missing" / "file", "Offset": 0}
            assert upload.append(DATA, way).status == 503
            upload.answer = {"Path": "elsewhere"}
            assert upload.append(DATA, way).status == 502
            upload.answer = {}
            request = upload.request(way, 1000, tag=f"descriptors-{i}-{WAYS.index(way)}")
            request.send(b"x" * 100)
            request.leave()
            assert request.over() in LEFT
    wait_for(lambda: open_files(nginx) <= stable + 5, "descriptors are closed")
