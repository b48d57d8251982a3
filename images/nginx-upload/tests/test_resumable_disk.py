"""A disk that is full, slow, broken or not ours in the middle of a range: the state and the file agree."""

import os
import pathlib
import random

import pytest

from client import Connection, Http2, head
from harness import both_ways, wait_for
from resumable import (
    TYPE,
    Upload,
    begin_range,
    by_length,
    every_way,
    fields_of,
    header_list,
    lines,
    lowered,
)

DATA = random.Random(1).randbytes(300_000)
FULL = pathlib.Path(os.environ["UPLOAD_TEST_FULL"])

pytestmark = both_ways


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
