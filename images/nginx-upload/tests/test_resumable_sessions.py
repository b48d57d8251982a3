"""Session ids that come again, and what belongs to the state of one: its files, where they are, who may read them."""

import random
import threading

import pytest

from client import Connection, head
from harness import Answer, both_ways, wait_for
from resumable import DATA, TYPE, WAYS, Upload, by_length, fields_of, header_list, lines

pytestmark = [both_ways, pytest.mark.usefixtures("without_errors")]


@pytest.mark.parametrize("moved", [False, True], ids=["still there", "moved away"])
@pytest.mark.parametrize("size", [4, 50_000, len(DATA), 250_000])
def test_a_finished_session_id_can_be_used_again(nginx, backend, moved, size):
    first = Upload(nginx, DATA)
    first.put(0, 99_999)
    first.finish(100_000, 200_000, backend)
    if moved:
        first.file.rename(nginx.directory / "moved")
    second = Upload(nginx, random.Random(3).randbytes(size), session=first.session)
    second.put(size // 2, size - 1)
    assert second.file.stat().st_size == size
    second.finish(0, size // 2 - 1, backend)


def test_a_session_id_is_taken_until_the_application_has_answered(nginx, backend):
    answered = threading.Event()
    backend.complete = lambda seen: answered.wait(15) and Answer(200, {}, b"done")
    upload = Upload(nginx, DATA[:100])
    text = head("/raw", 100, headers=lines(upload.headers(0, 99)), content_type=TYPE)
    try:
        with Connection(nginx.port) as c:
            c.send(text + DATA[:100])
            wait_for(lambda: backend.completes, "the application is asked")
            for headers in (upload.headers(0, 0), upload.headers(0, 0, total=1), header_list(upload.session)):
                response = by_length(nginx, "/raw", b"x", headers)
                assert response.status == 409
                assert "another request" in response.json()["detail"]
            assert upload.file.read_bytes() == DATA[:100]
            answered.set()
            assert c.response().body == b"done"
    finally:
        answered.set()
    assert upload.file.read_bytes() == DATA[:100]
    backend.reset()
    upload.finish(0, 99, backend)


def test_a_session_without_a_range_is_a_whole_file(nginx, backend):
    for way in WAYS:
        upload = Upload(nginx, DATA, way)
        for size in (len(DATA), 10):
            assert way(nginx, "/raw", DATA[:size], header_list(upload.session)).status == 200
            assert upload.file.read_bytes() == DATA[:size]
            form = dict(backend.completes[-1].form)
            assert {**form, **fields_of(DATA[:size])} == form
            assert form["file.path"] == str(upload.file).encode()
            assert upload.state_files() == []


def test_a_whole_file_takes_the_place_of_ranges_and_ranges_that_of_a_whole_file(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(100, 200_000)
    assert by_length(nginx, "/raw", b"whole", header_list(upload.session)).status == 200
    assert upload.file.read_bytes() == b"whole"
    assert upload.state_files() == []
    upload.ranges = []
    upload.put(100, 199)
    assert upload.file.read_bytes() == bytes(100) + DATA[100:200]
    upload.put(200, 200_000)
    upload.finish(0, 99, backend)


def test_a_whole_file_waits_for_nobody(nginx, backend):
    upload = Upload(nginx, DATA)
    with Connection(nginx.port) as c:
        text = head("/raw", 100_000, headers=lines(upload.headers(0, 99_999)), content_type=TYPE)
        c.send_read(text + DATA[:50_000])
        upload.wait_written(1)
        assert by_length(nginx, "/raw", b"whole", header_list(upload.session)).status == 409
        c.send(DATA[50_000:100_000])
        assert c.response().status == 201
    upload.ranges = [(0, 99_999)]
    upload.check_partial()
    with Connection(nginx.port) as c:
        c.send_read(
            head("/raw", 100_000, headers=lines(header_list(upload.session)), content_type=TYPE) + bytes(50_000)
        )
        wait_for(lambda: upload.state_files() == [], "the whole file begins")
        assert upload.send(100_000, 200_000).status == 409
    upload.ranges = []
    upload.wait_gone()
    upload.put(100_000, 200_000)
    upload.finish(0, 99_999, backend)


def test_a_state_without_its_file_counts_for_nothing(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 99_999)
    upload.file.unlink()
    upload.ranges = []
    upload.put(100_000, 149_999)
    with upload.file.open("r+b") as f:
        f.truncate(120_000)
    upload.ranges = []
    upload.put(150_000, 200_000)
    upload.finish(0, 149_999, backend)


def test_a_lost_checkpoint_costs_a_reading_and_nothing_else(nginx, backend):
    upload = Upload(nginx, DATA)
    upload.put(0, 49_999)
    checkpoint = upload.state.with_suffix(".checkpoint")
    checkpoint.unlink()
    upload.put(50_000, 99_999)
    checkpoint.write_bytes(b"upload-checkpoint 1\nsequence 8\noffset 100\n" + bytes(9000))
    upload.put(100_000, 149_999)
    checkpoint.write_bytes(checkpoint.read_bytes()[::-1])
    upload.finish(150_000, 200_000, backend)


def test_the_access_rights_are_those_of_the_store(nginx, backend):
    for location, mode in (("/raw-access", 0o664), ("/raw", 0o600)):
        upload = Upload(nginx, DATA, path=location)
        upload.put(0, 99_999)
        files = [upload.file, *upload.state_files()]
        assert len(files) == 3
        assert [file.stat().st_mode & 0o7777 for file in files] == [mode] * 3


def test_both_stores_may_have_levels(nginx, backend):
    upload = Upload(nginx, DATA[:100], path="/raw-levels", session="film-7")
    assert upload.send(50, 99).status == 201
    levels = nginx.directory / "hashed-states"
    assert (nginx.store / "hashed/7/film-7").read_bytes() == bytes(50) + DATA[50:100]
    assert (levels / "e/at/film-7.state").read_text() == "50-99/100\n"
    assert upload.send(0, 49).status == 200
    assert nginx.files() == [nginx.store / "hashed/7/film-7"]
    assert nginx.files(levels) == []
    assert dict(backend.completes[0].form)["file.path"] == str(nginx.store / "hashed/7/film-7").encode()


def test_a_session_of_one_letter_has_a_directory_of_that_letter(nginx, backend):
    for session in ("7", "x", "_", "-", "Z"):
        upload = Upload(nginx, DATA[:100], path="/raw-levels", session=session)
        assert upload.send(0, 99).status == 200
        assert (nginx.store / "hashed" / session / session).read_bytes() == DATA[:100]


def test_stores_with_variables_are_those_of_the_request(nginx, backend):
    (nginx.directory / "there/states").mkdir(parents=True, exist_ok=True)
    upload = Upload(nginx, DATA[:100], path="/raw-on-demand?where=there", session="film-42")
    assert upload.send(50, 99).status == 201
    assert (nginx.directory / "there/states/e/film-42.state").read_text() == "50-99/100\n"
    assert upload.send(0, 49).status == 200
    assert (nginx.directory / "there/42/film-42").read_bytes() == DATA[:100]
    nginx.expected.append("nowhere")
    upload.path = "/raw-on-demand?where=nowhere"
    response = upload.send(0, 49)
    assert response.status == 503
    assert "upload_store" in response.json()["detail"]
