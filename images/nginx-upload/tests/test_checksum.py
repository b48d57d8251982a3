"""The digest that a client has announced for one body: another body is refused and leaves the file as it was."""

import os
import random
import signal

import pytest

from appending import WAYS, Upload, digests, is_writing
from client import form, part, post
from harness import LEFT, Answer, both_ways, wait_for

DATA = random.Random(3).randbytes(700_000)
KINDS = ["md5", "sha1", "sha256", "sha512", "crc32"]

ways = pytest.mark.parametrize("way", WAYS)
kinds = pytest.mark.parametrize("kind", KINDS)


def checksum(data, kind="sha256"):
    return f"{kind} {digests(data)[kind]}"


def append(upload, data, announced, way="length", kind="sha256", **kwargs):
    upload.answer = {"Checksum": checksum(announced, kind)}
    return upload.append(data, way, **kwargs)


@both_ways
@kinds
@ways
@pytest.mark.parametrize("path", ["/append", "/append-sha256"])
def test_a_body_with_its_checksum_is_appended_and_another_is_460_and_leaves_all_as_it_was(
    nginx, backend, kind, way, path
):
    upload = Upload(nginx, backend)
    offset = 0
    for end in (1, 300_000, 300_000, len(DATA)):
        body = DATA[offset:end]
        before = (upload.data(), len(backend.completes))
        response = append(upload, body, body + b"x", way, kind, path=path)
        assert (response.status, response.json()["status"]) == (460, 460)
        assert "checksum" in response.json()["detail"]
        assert (upload.data(), len(backend.completes)) == before
        assert append(upload, body, body, way, kind, path=path).status == 200
        form = dict(backend.completes[-1].form)
        assert (form["offset"], form["size"]) == (b"%d" % offset, b"%d" % end)
        assert form["sha256"].decode() == digests(DATA[:end])["sha256"]
        assert upload.data() == DATA[:end]
        offset = end
    upload.answer = {}
    assert upload.append(b"").status == 200
    assert upload.is_complete(DATA, len(DATA))


@both_ways
@ways
def test_what_came_of_a_body_that_broke_off_is_kept_whatever_its_checksum(nginx, backend, way):
    upload = Upload(nginx, backend, Checksum=checksum(b"of nothing that is sent"))
    request = upload.request(way, len(DATA), tag=f"checksum-{WAYS.index(way)}")
    request.send(DATA[:400_000])
    is_writing(upload, 400_000)
    request.leave()
    assert request.over() in LEFT
    kept = upload.size()
    assert kept > 380_000
    # the digest of the next body begins with it
    assert append(upload, DATA[kept:], DATA[kept:], way).status == 200
    assert upload.is_complete(DATA, kept)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_ends_before_the_body_does_keeps_what_came(own_nginx, backend, number):
    nginx = own_nginx()
    nginx.expected_alert = "exited on signal 9"
    upload = Upload(nginx, backend)
    assert append(upload, DATA[:1000], DATA[:1000]).status == 200
    upload.answer = {"Checksum": checksum(b"of nothing that is sent")}
    request = upload.request(length=len(DATA) - 1000)
    request.send(DATA[1000:500_000])
    is_writing(upload, 500_000)
    (worker,) = nginx.workers()
    os.kill(worker, number)
    wait_for(lambda: nginx.workers() and worker not in nginx.workers(), "a new worker")
    request.leave()
    kept = upload.size()
    assert upload.data() == DATA[:kept]
    assert append(upload, DATA[kept:], DATA[kept:]).status == 200
    assert upload.is_complete(DATA, kept)


@both_ways
def test_a_refused_body_that_began_a_file_leaves_an_empty_one(nginx, backend):
    upload = Upload(nginx, backend, Length=len(DATA))
    upload.answer["Checksum"] = checksum(b"another")
    assert upload.append(DATA).status == 460
    assert upload.data() == b""
    upload.answer["Checksum"] = checksum(DATA)
    assert upload.append(DATA).status == 200
    assert upload.is_complete(DATA, 0)


@both_ways
def test_a_worker_that_ends_while_it_takes_a_refused_body_back_has_it_back(own_nginx, disk, backend):
    nginx = own_nginx(environment=disk.environment)
    upload = Upload(nginx, backend)
    assert append(upload, DATA[:1000], DATA[:1000]).status == 200
    disk.hold("fdatasync", "/store/")
    upload.answer = {"Checksum": checksum(b"another")}
    request = upload.request(length=len(DATA) - 1000)
    request.send(DATA[1000:])
    wait_for(lambda: disk.is_held("fdatasync"), "it is being taken back")
    nginx.send_signal(signal.SIGTERM)
    disk.let_go("fdatasync")
    nginx.process.wait(15)
    request.leave()
    assert upload.data() == DATA[:1000]
    nginx.start()
    assert append(upload, DATA[1000:], DATA[1000:]).status == 200
    assert upload.is_complete(DATA, 1000)


MALFORMED = {
    "empty": "",
    "no digest": "sha256",
    "unknown": "sha3 " + "0" * 64,
    "the length of another": "md5 " + "0" * 40,
    "too long": "crc32 " + "0" * 9,
    "no hexadecimal": "crc32 0000000g",
    "two spaces": "crc32  0000000",
    "more": checksum(b"") + " x",
    "base64": "md5 1B2M2Y8AsgTpgAmY7PhCfg==",
}


@both_ways
@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
def test_a_checksum_that_is_none_is_502_and_nothing_is_created(nginx, backend, value):
    upload = Upload(nginx, backend, Checksum=value)
    response = upload.append(DATA)
    assert (response.status, response.json()["status"]) == (502, 502)
    assert "X-Upload-Checksum" in response.json()["detail"]
    assert (nginx.files(), backend.completes) == ([], [])


def test_a_form_has_no_checksum(nginx, backend):
    backend.authorize = Answer(204, {"X-Upload-Checksum": checksum(b"another")})
    assert post(nginx.port, form(part(DATA, "file", "a")), path="/append").status == 200
    (stored,) = nginx.files()
    assert stored.read_bytes() == DATA
