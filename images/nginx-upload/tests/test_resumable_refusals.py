"""Ranges that do not go with the ones before, with their body or with a limit: refused, and nothing changes."""

import pytest

from harness import both_ways
from resumable import DATA, WAYS, Upload, every_way

pytestmark = [both_ways, pytest.mark.usefixtures("without_errors")]


@every_way
def test_another_total_is_refused_and_changes_nothing(nginx, backend, way):
    upload = Upload(nginx, DATA, way)
    upload.put(0, 999)
    upload.put(5000, 9999)
    for total in (len(DATA) - 1, len(DATA) + 1, 1000):
        response = upload.send(0, 999, body=bytes(1000), total=total)
        assert response.status == 409
        assert "total size differs" in response.json()["detail"]
        upload.check_partial()
    assert backend.completes == []
    upload.put(1000, 4999)
    upload.finish(10_000, 200_000, backend)


CORRUPT = [
    "",
    "nonsense",
    "0-99/200001",
    "0-99/200001\n100-/200001\n",
    "99-0/200001\n",
    "0-200001/200001\n",
    "0-99/200001\n200-299/200002\n",
    "0-99/200001\n\0",
    "0-99999999999999999999999/200001\n",
]


@pytest.mark.parametrize("text", CORRUPT[1:])
def test_a_state_that_cannot_be_read_is_left_alone(nginx, backend, text):
    upload = Upload(nginx, DATA)
    upload.put(0, 99)
    upload.state.write_text(text)
    for first, last in ((100, 199), (0, 200_000)):
        response = upload.send(first, last, body=bytes(last - first + 1))
        assert response.status == 409
        assert "state" in response.json()["detail"] or "total" in response.json()["detail"]
        assert upload.state.read_text() == text
        assert upload.file.read_bytes() == DATA[:100]
    assert backend.completes == []


def test_a_state_with_carriage_returns_or_unsorted_lines_is_read_or_refused_but_never_believed(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 99)
    upload.put(200, 299)
    upload.state.write_text("200-299/200001\n0-99/200001\n50-60/200001\n")
    upload.put(100, 100)


def test_a_state_may_be_larger_than_a_kilobyte(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 199_999)
    upload.ranges = [(i, i) for i in range(0, 199_000, 199)]
    upload.state.write_text("".join(f"{a}-{b}/200001\n" for a, b in upload.ranges))
    upload.put(199_990, 199_999)
    upload.put(0, 199_500)
    assert upload.ranges == [(0, 199_500), (199_990, 199_999)]
    upload.put(199_501, 199_995)
    upload.finish(200_000, 200_000, backend)


@every_way
def test_a_total_over_the_limit_is_413_before_anything_is_there(nginx, backend, way):
    upload = Upload(nginx, DATA[:1001], way, "/raw-limited")
    response = upload.send(0, 0)
    assert response.status == 413
    assert "1000 bytes (upload_max_file_size)" in response.json()["detail"]
    assert (nginx.files(), upload.state_files()) == ([], [])
    upload = Upload(nginx, DATA[:1000], way, "/raw-limited")
    upload.put(0, 0)
    upload.finish(1, 999, backend)


@pytest.mark.parametrize("length", [1, 99, 101, 1000])
def test_a_length_other_than_that_of_the_range_is_416_before_anything_is_there(nginx, backend, length):
    for way in (WAYS[0], WAYS[2]):
        upload = Upload(nginx, DATA, way)
        response = upload.send(100, 199, body=bytes(length))
        assert response.status == 416
        assert f"{length} bytes and its range 100" in response.json()["detail"]
        assert (nginx.files(), upload.state_files(), backend.completes) == ([], [], [])


@pytest.mark.parametrize("length", [0, 1, 99, 101, 100_000])
def test_a_body_without_a_length_that_is_not_its_range_is_416_and_does_not_count(nginx, backend, length):
    for way in (WAYS[1], WAYS[3]):
        upload = Upload(nginx, DATA, way)
        assert upload.send(100, 199, body=bytes(length)).status == 416
        upload.put(300, 399)
        upload.put(200, 299)
        assert upload.send(100, 199, body=DATA[100 : 100 + length]).status == 416
        upload.check_partial()
        upload.put(0, 199)
        upload.finish(400, 200_000, backend)
