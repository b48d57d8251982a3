"""Requests that append their body to a file: what they bring, what they tell the application, what is refused."""

import itertools
import os
import pathlib
import random
import shutil
import signal

import pytest

from appending import WAYS, Upload, is_writing
from client import Connection, exchange, form, head, part, post
from harness import LEFT, Answer, both_ways, wait_for

DATA = random.Random(0).randbytes(700_000)
FULL = pathlib.Path(os.environ["UPLOAD_TEST_FULL"])

ways = pytest.mark.parametrize("way", WAYS)


def assert_problem(response, status, *words):
    assert (response.status, response.json()["status"]) == (status, status)
    for word in words:
        assert word in response.json()["detail"]


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
@pytest.mark.parametrize("offset", [0, 1, 999, 1001, 10**15])
def test_another_offset_than_the_size_is_409_and_changes_nothing(nginx, backend, way, offset):
    upload = Upload(nginx, backend)
    assert upload.append(DATA[:1000]).status == 200
    before = [(p.read_bytes(), p.stat().st_mtime_ns) for p in nginx.files()]
    upload.answer = {"Offset": offset}
    assert_problem(upload.append(DATA, way), 409, "1000 bytes", "another offset")
    assert [(p.read_bytes(), p.stat().st_mtime_ns) for p in nginx.files()] == before
    assert len(backend.completes) == 1
    # and the right one goes on
    upload.answer = {}
    assert upload.append(DATA[1000:], way).status == 200
    assert upload.is_complete(DATA, 1000)


@both_ways
def test_an_offset_in_a_file_that_is_not_there_is_409_and_creates_none(nginx, backend):
    upload = Upload(nginx, backend, Offset=5)
    assert_problem(upload.append(DATA), 409, "0 bytes")
    assert (nginx.files(), backend.completes) == ([], [])


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


BAD_PATHS = {
    "elsewhere": lambda store: "/etc/file",
    "relative": lambda store: "file",
    "empty": lambda store: "",
    "the store itself": str,
    "the store with a slash": lambda store: f"{store}/",
    "a directory by its slash": lambda store: f"{store}/directory/",
    "a neighbour": lambda store: f"{store}x/file",
    "above": lambda store: f"{store}/../file",
    "above later": lambda store: f"{store}/directory/../../file",
    "ends above": lambda store: f"{store}/..",
    "inside again": lambda store: f"{store}/directory/../file",
}


@both_ways
@pytest.mark.parametrize("where", BAD_PATHS)
def test_a_path_outside_of_the_store_is_502(nginx, backend, where):
    upload = Upload(nginx, backend, Path=BAD_PATHS[where](nginx.store))
    (nginx.store / "directory").mkdir(exist_ok=True)
    assert_problem(upload.append(DATA), 502, "X-Upload-Path", "upload_store")
    assert (nginx.files(), backend.completes) == ([], [])
    assert not (nginx.store.parent / "file").exists()
    (nginx.store / "directory").rmdir()


@both_ways
@pytest.mark.parametrize("name", ["Offset", "Length", "Max_Size"])
@pytest.mark.parametrize("value", ["", "-1", "1x", "0x10", "99999999999999999999"])
def test_numbers_that_are_none_are_502(nginx, backend, name, value):
    upload = Upload(nginx, backend, **{name: value})
    assert_problem(upload.append(DATA), 502, "X-Upload-" + name.replace("_", "-"))
    assert (nginx.files(), backend.completes) == ([], [])


@both_ways
def test_a_name_that_is_no_regular_file_is_500_and_left_alone(nginx, backend, tmp_path):
    upload = Upload(nginx, backend)
    target = tmp_path / "target"
    target.write_bytes(b"before")
    upload.path.symlink_to(target)
    upload.answer = {"Offset": 6}
    assert upload.append(DATA).status == 500
    upload.path.unlink()
    upload.path.symlink_to(tmp_path / "nothing")
    upload.answer = {"Offset": 0}
    assert upload.append(DATA).status == 500
    upload.path.unlink()
    upload.path.mkdir()
    assert upload.append(DATA).status == 500
    upload.path.rmdir()
    os.mkfifo(upload.path)
    assert upload.append(DATA).status == 500
    upload.path.unlink()
    assert upload.append(b"").status == 200
    upload.checkpoint.unlink()
    upload.checkpoint.symlink_to(target)
    assert upload.append(DATA).status == 500
    assert target.read_bytes() == b"before"
    assert not (tmp_path / "nothing").exists()


@both_ways
def test_a_directory_that_is_not_there_or_not_writable_is_503(nginx, backend):
    directory = nginx.store / "missing"
    upload = Upload(nginx, backend, directory=directory)
    assert_problem(upload.append(DATA), 503, "directory")
    directory.mkdir()
    directory.chmod(0o500)
    assert_problem(upload.append(DATA), 503, "directory")
    directory.chmod(0o700)
    assert nginx.files() == []
    assert upload.append(DATA).status == 200
    assert upload.is_complete(DATA, 0)
    shutil.rmtree(directory)


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
@ways
@pytest.mark.parametrize("answer", [Answer(401, {"WWW-Authenticate": "Bearer"}), Answer(404, {}, b"no"), Answer(507)])
def test_a_refusal_of_authorize_is_the_answer_and_creates_nothing(nginx, backend, way, answer):
    upload = Upload(nginx, backend)
    backend.authorize = Answer(answer.status, {**answer.headers, "X-Upload-Path": upload.path}, answer.body)
    response = upload.append(DATA, way)
    assert (response.status, response.body) == (answer.status, answer.body)
    assert response.header("WWW-Authenticate") == answer.headers.get("WWW-Authenticate")
    assert (nginx.files(), backend.completes) == ([], [])


@both_ways
def test_without_a_path_in_the_answer_the_request_is_a_form_or_refused_as_one(nginx, backend):
    body = form(part(DATA, "file", "a"))
    assert post(nginx.port, body, path="/append").status == 200
    (stored,) = nginx.files()
    assert stored.read_bytes() == DATA
    stored.unlink()
    for content_type, status in (("", 400), ("text/plain", 415), ("multipart/form-data", 400)):
        backend.reset()
        assert_problem(post(nginx.port, body, path="/append", content_type=content_type), status)
        assert len(backend.authorizes) == 1
        assert (nginx.files(), backend.completes) == ([], [])


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "GET", "DELETE"])
def test_other_methods_are_handed_on(nginx, backend, method):
    with Connection(nginx.port) as c:
        c.send(head("/append", method=method, length=0))
        # 501: the application here knows of no such method
        assert c.file.readline().split()[1] == {"GET": b"200", "HEAD": b"200"}.get(method, b"501")
    assert (backend.authorizes, nginx.files()) == ([], [])
    for seen in backend.completes:
        assert (seen.method, seen.path) == (method, "/append")


@both_ways
def test_what_was_appended_is_logged(nginx, backend):
    upload = Upload(nginx, backend)
    for end in (300_000, len(DATA)):
        size = end - upload.size()
        assert upload.append(DATA[upload.size() : end]).status == 200
        sha256 = dict(backend.completes[-1].form)["sha256"].decode()
        line = [line for line in nginx.errors().splitlines() if str(upload.path) in line and sha256 in line][-1]
        assert "[info]" in line and f": {size} bytes in " in line and f"size {end}, sha256 {sha256}" in line


@both_ways
def test_what_was_refused_is_logged_with_its_reason(nginx, backend):
    upload = Upload(nginx, backend, Length=11)
    assert upload.append(DATA).status == 413
    assert "upload failed: the file is larger than 11 bytes" in nginx.errors()


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
