"""Requests that append at an offset or to a path that will not do, and those that are refused or handed on."""

import os
import random
import shutil

import pytest

from appending import Upload, assert_problem, ways
from client import Connection, form, head, part, post
from harness import Answer, both_ways

DATA = random.Random(0).randbytes(700_000)


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
def test_what_was_refused_is_logged_with_its_reason(nginx, backend):
    upload = Upload(nginx, backend, Length=11)
    assert upload.append(DATA).status == 413
    assert "upload failed: the file is larger than 11 bytes" in nginx.errors()
