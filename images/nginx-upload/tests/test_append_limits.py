"""Requests that append more than the application or the disk allows: they are refused, before the body if possible."""

import os
import pathlib
import random

import pytest

from appending import Upload, assert_problem, ways
from harness import both_ways

DATA = random.Random(0).randbytes(700_000)
FULL = pathlib.Path(os.environ["UPLOAD_TEST_FULL"])


@both_ways
@ways
@pytest.mark.parametrize("limit", ["Length", "Max_Size"])
def test_a_body_over_the_limit_is_413_and_nothing_of_it_is_appended(nginx, backend, way, limit):
    upload = Upload(nginx, backend, **{limit: len(DATA) - 1})
    assert upload.append(DATA[:1000]).status == 200
    assert_problem(upload.append(DATA[1000:], way), 413, f"larger than {len(DATA) - 1} bytes")
    assert upload.data() == DATA[:1000]
    assert len(backend.completes) == 1
    # nothing is wrong with the digest, and the limit itself is not too much
    assert upload.append(DATA[1000:-1], way).status == 200
    assert upload.is_complete(DATA[:-1], 1000)
    assert_problem(upload.append(b"x", way), 413)
    assert upload.append(b"", way).status == 200
    assert upload.is_complete(DATA[:-1], len(DATA) - 1)


@ways
def test_upload_max_file_size_is_the_limit_of_the_whole_file(nginx, backend, way):
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:600], way, path="/append-limited").status == 200
    assert_problem(
        upload.append(DATA[600:1001], way, path="/append-limited"), 413, "1000 bytes", "upload_max_file_size"
    )
    assert upload.data() == DATA[:600]
    assert upload.append(DATA[600:1000], way, path="/append-limited").status == 200
    assert upload.is_complete(DATA[:1000], 600)


@both_ways
@ways
def test_the_smallest_limit_counts(nginx, backend, way):
    upload = Upload(nginx, backend, Length=10, Max_Size=20)
    assert_problem(upload.append(b"x" * 11, way), 413, "10 bytes")
    upload.answer = {"Length": 20, "Max_Size": 10}
    assert_problem(upload.append(b"x" * 11, way), 413, "10 bytes")
    assert upload.size() == 0
    assert upload.append(b"x" * 10, way).status == 200


@both_ways
@ways
def test_a_file_of_length_0_is_complete_with_an_empty_body_only(nginx, backend, way):
    upload = Upload(nginx, backend, Length=0)
    assert_problem(upload.append(b"x", way), 413, "larger than 0 bytes")
    assert upload.size() == 0
    assert upload.append(b"", way).status == 200
    assert upload.is_complete(b"", 0)


def refused_before_the_body(upload, length, path="/append"):
    """The status for a client that waits to be asked for its body; it is not asked."""
    request = upload.request(length=length, path=path, headers=["Expect: 100-continue"])
    response = request.response()
    assert response.interim == []
    assert response.header("Connection") == "close"
    request.leave()
    return response.status


@both_ways
def test_nobody_is_asked_for_a_body_that_is_not_wanted(nginx, backend):
    upload = Upload(nginx, backend, Length=1000)
    assert refused_before_the_body(upload, 1001) == 413
    assert refused_before_the_body(upload, 2**63 - 1) == 413
    assert nginx.files() == []
    assert upload.append(b"x" * 100).status == 200
    for length in (901, 2**63 - 1):
        assert refused_before_the_body(upload, length) == 413
    upload.answer = {"Offset": 99}
    assert refused_before_the_body(upload, 10) == 409
    upload.answer = {"Path": "/elsewhere"}
    assert refused_before_the_body(upload, 10) == 502
    upload.answer = {}
    first = upload.request(length=900, headers=["Expect: 100-continue"])
    assert first.connection.file.readline() == b"HTTP/1.1 100 Continue\r\n"
    assert refused_before_the_body(upload, 10) == 423
    first.leave()
    assert upload.data() == b"x" * 100


@pytest.fixture
def full():
    yield FULL
    for path in FULL.iterdir():
        path.unlink()


@both_ways
@ways
def test_a_disk_that_is_too_small_for_the_length_is_507_before_the_body(nginx, backend, full, way):
    upload = Upload(nginx, backend, directory=full, Length=2_000_000)
    assert refused_before_the_body(upload, 1000, path="/append-full") == 507
    assert_problem(upload.append(DATA, way, path="/append-full"), 507, "no space is left")
    assert (upload.size(), backend.completes) == (0, [])
    upload.answer = {"Length": 900_000}
    assert upload.append(DATA, way, path="/append-full").status == 200
    assert upload.is_complete(DATA, 0)


@both_ways
@ways
def test_what_fits_on_the_disk_is_kept_and_the_rest_is_507(nginx, backend, full, way):
    upload = Upload(nginx, backend, directory=full, Length=900_000)
    ballast = full / "ballast"
    ballast.write_bytes(bytes(500_000))
    assert upload.append(DATA[:1000], way, path="/append-full-unreserved").status == 200
    assert_problem(upload.append(DATA[1000:], way, path="/append-full-unreserved"), 507, "no space is left")
    offset = upload.size()
    assert 500_000 < offset < 600_000
    assert upload.data() == DATA[:offset]
    assert len(backend.completes) == 1
    ballast.unlink()
    assert upload.append(DATA[offset:], way, path="/append-full-unreserved").status == 200
    assert upload.is_complete(DATA, offset)
