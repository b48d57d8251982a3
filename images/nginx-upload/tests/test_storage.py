"""Where files are created, when they are removed, and what happens when the disk does not play along."""

import os
import pathlib
import random
import signal
import tempfile

import pytest

from client import Connection, Http2, form, head, part, post
from harness import Answer, Nginx, both_ways, of_nginx_alone, wait_for
from locations import COMPLETE, LEVELS, LOCATIONS, PLAIN, location

pytestmark = both_ways

DATA = b"0123456789abcdef" * 100000
BODY = form(part(b"first", "file", "first.bin"), part(DATA, "file", "a.bin"))

FULL = pathlib.Path(os.environ["UPLOAD_TEST_FULL"])


@pytest.fixture(params=["http/1", "http/2"])
def send(request, nginx):
    def send(path, body=BODY):
        if request.param == "http/1":
            return post(nginx.port, body, path=path)
        with Http2(nginx.http2_port) as h2:
            stream = h2.request(path, len(body))
            h2.send(stream, body)
            return h2.response(stream)

    return send


def test_a_full_disk_is_507(nginx, backend, send):
    response = send("/full", form(part(b"first", "file", "first.bin"), part(DATA, "file", "a.bin")))
    assert (response.status, response.json()["status"]) == (507, 507)
    assert "no space is left" in response.json()["detail"]
    assert nginx.files(FULL) == []
    assert backend.completes == []
    assert "No space left on device" in nginx.errors()
    # and it goes on when there is space
    assert send("/full", form(part(b"x" * 100000, "file", "a"))).status == 200
    (path,) = nginx.files(FULL)
    path.unlink()


def test_a_store_that_cannot_be_written_is_503(nginx, backend, send):
    response = send("/missing")
    assert (response.status, response.json()["status"]) == (503, 503)
    assert "upload_store" in response.json()["detail"]
    os.chmod(nginx.store, 0o500)
    try:
        assert send("/plain").status == 503
    finally:
        os.chmod(nginx.store, 0o700)
    assert (nginx.files(), backend.completes) == ([], [])
    assert "Permission denied" in nginx.errors() and "No such file or directory" in nginx.errors()
    assert send("/plain").status == 200


def test_a_store_on_a_read_only_file_system_is_503(own_nginx, backend):
    nginx = own_nginx(
        LOCATIONS
        + location("= /read-only", PLAIN.replace("@store@", os.environ["UPLOAD_TEST_READONLY"]))
        + location("= /read-only/levels", PLAIN.replace("@store@", os.environ["UPLOAD_TEST_READONLY"] + "/$arg_in 1"))
    )
    with Http2(nginx.http2_port) as h2:
        for path in ("/read-only", "/read-only/levels?in=", "/read-only/levels?in=new"):
            stream = h2.request(path, len(BODY))
            h2.send(stream, BODY)
            for response in (post(nginx.port, BODY, path=path), h2.response(stream)):
                assert (response.status, response.json()["status"]) == (503, 503)
                assert "nginx may write to it" in response.json()["detail"]
    assert "Read-only file system" in nginx.errors()
    assert backend.completes == []
    # other stores are not concerned
    assert post(nginx.port, BODY, path="/plain").status == 200


def test_files_are_numbered_and_step_over_names_that_exist(own_nginx, backend):
    nginx = own_nginx()
    post(nginx.port, form(part(b"x", "file", "a")), path="/plain")
    assert [path.name for path in nginx.files()] == ["0000000001"]
    (nginx.store / "0000000002").write_text("taken")
    (nginx.store / "0000123459").write_text("taken too")
    post(nginx.port, form(part(b"new", "file", "a")), path="/plain")
    assert [path.name for path in nginx.files()] == ["0000000001", "0000000002", "0000123459", "0000246916"]
    assert (nginx.store / "0000000002").read_text() == "taken"
    assert (nginx.store / "0000246916").read_bytes() == b"new"


def test_hashed_directories_are_made_at_the_start(own_nginx, backend):
    nginx = own_nginx()
    levels = nginx.directory / "levels"
    assert len(list(levels.iterdir())) == 10 and len(list(levels.glob("*/*"))) == 1000
    assert (levels / "3/21").is_dir()
    assert post(nginx.port, form(part(b"x", "file", "a")), path="/levels").status == 200
    assert nginx.files(levels) == [levels / "1/00/0000000001"]
    assert dict(backend.completes[0].form)["file.path"] == str(levels / "1/00/0000000001").encode()


@of_nginx_alone
def test_hashed_directories_belong_to_the_user_of_the_workers(backend, aio):
    # places where they and this test get to; what is theirs there goes with the container
    top = pathlib.Path(tempfile.mkdtemp())
    nginx = Nginx(
        top / "nginx",
        backend.port,
        COMPLETE.replace("$upload_grant", "none") + LEVELS,
        main="user nobody nogroup;",
        aio=aio,
        as_root=True,
    )
    levels = nginx.directory / "levels"
    levels.mkdir()
    for path in (top, nginx.directory, levels):
        path.chmod(0o755)
    with nginx.running():
        assert post(nginx.port, form(part(b"x", "file", "a")), path="/levels").status == 200
    for path in (levels, levels / "1", levels / "1/00", levels / "1/00/0000000001", levels / "3/21"):
        assert path.owner() == "nobody"


def test_hashed_directories_of_a_path_with_variables_are_made_when_needed(own_nginx, backend):
    nginx = own_nginx()
    top = nginx.directory / "there"
    top.mkdir()
    top.chmod(0o2750)
    assert post(nginx.port, form(part(b"x", "file", "a")), path="/levels-on-demand?where=there").status == 200
    assert nginx.files(top) == [top / "01/0/0000000001"]
    assert (top / "01").stat().st_mode & 0o7777 == (top / "01/0").stat().st_mode & 0o7777 == 0o2750
    assert post(nginx.port, form(part(b"x", "file", "a")), path="/levels-on-demand?where=nowhere").status == 503


def test_access_rights_do_not_depend_on_the_umask(own_nginx, backend):
    old = os.umask(0o077)
    try:
        nginx = own_nginx()
    finally:
        os.umask(old)
    for path, mode in (("/access", 0o664), ("/plain", 0o600), ("/upload", 0o640)):
        post(nginx.port, form(part(b"x", "file", "a")), path=path)
        assert nginx.files()[-1].stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize(
    "path, status, kept",
    [
        ("/plain", 200, True),
        ("/plain", 302, True),
        ("/plain", 400, False),
        ("/plain", 599, False),
        ("/keep", 400, True),
        ("/keep", 500, False),
        ("/keep", 504, True),
        ("/keep", 507, False),
    ],
)
def test_upload_cleanup_goes_by_the_final_status(nginx, backend, path, status, kept):
    backend.complete = Answer(status, {"Location": "/"})
    with Connection(nginx.port) as c:
        c.send(head(path, len(BODY)) + BODY)
        assert c.response().status == status
        # the answer to the next request: the first one is over, and was cleaned up after
        c.send(b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert c.response().status == 200
    assert len(nginx.files()) == (2 if kept else 0)


def test_a_file_that_the_application_claimed_by_a_rename_stays(nginx, backend, tmp_path):
    def claim(seen):
        for name, value in seen.form:
            if name == "file.path" and value.endswith(first):
                os.rename(value.decode(), tmp_path / "claimed")
        return Answer(500)

    post(nginx.port, form(part(b"x", "file", "a")), path="/plain")
    (path,) = nginx.files()
    path.unlink()
    first = b"%010d" % (int(path.name) + 1)
    backend.complete = claim
    assert post(nginx.port, BODY, path="/plain").status == 500
    wait_for(lambda: not nginx.files(), "the other file is removed")
    assert (tmp_path / "claimed").read_bytes() == b"first"
    assert "cannot be removed" not in nginx.errors()


@pytest.mark.parametrize("path", ["/plain", "/no-fsync"])
def test_a_finished_file_is_logged(nginx, backend, path):
    assert post(nginx.port, form(part(DATA, "file", "a.bin")), path=path).status == 200
    fields = dict(backend.completes[0].form)
    line = next(
        line for line in nginx.errors().splitlines() if f'"{fields["file.path"].decode()}"' in line and "MB/s" in line
    )
    assert f"{len(DATA)} bytes" in line and fields["file.sha256"].decode() in line and "[info]" in line


@pytest.mark.parametrize("version", ["http/1", "http/2"])
@pytest.mark.parametrize("sent", [0, 200, 700, *random.Random(1).sample(range(len(BODY)), 8)])
def test_a_client_that_leaves_in_the_middle_leaves_nothing(nginx, backend, version, sent):
    tag = f"left-{version}-{sent}"
    if version == "http/1":
        with Connection(nginx.port) as c:
            c.send_read(head("/plain?t=" + tag, len(BODY)) + BODY[:sent])
    else:
        with Http2(nginx.http2_port) as h2:
            h2.send(h2.request("/plain?t=" + tag, len(BODY)), BODY[:sent], end=False)
    assert nginx.logged(tag)[0] in ("400", "499")
    wait_for(lambda: not nginx.files(), "the files are removed")
    assert backend.completes == []


def test_an_http2_stream_that_is_reset_leaves_nothing_and_the_connection_goes_on(nginx, backend):
    with Http2(nginx.http2_port) as h2:
        for sent in (0, 200, 700, 70000, 900000):
            stream = h2.request("/plain", len(BODY))
            h2.send(stream, BODY[:sent], end=False)
            h2.h2.reset_stream(stream)
            h2.flush()
        stream = h2.request("/plain", len(BODY))
        h2.send(stream, BODY)
        assert h2.response(stream).status == 200
    wait_for(lambda: len(nginx.files()) == 2, "only the last upload is there")


def test_a_client_that_leaves_while_the_application_works_is_cleaned_up(nginx, backend):
    gone = []
    backend.complete = lambda seen: wait_for(lambda: gone, "the client leaves") and Answer(200)
    with Connection(nginx.port) as c:
        c.send(head("/plain", len(BODY)) + BODY)
        wait_for(lambda: backend.completes, "the application is asked")
        assert len(nginx.files()) == 2
    wait_for(lambda: not nginx.files(), "499 is in upload_cleanup")
    gone.append(True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_is_stopped_at_once_leaves_nothing(own_nginx, backend, number):
    nginx = own_nginx()
    with Connection(nginx.port) as c, Http2(nginx.http2_port) as h2:
        c.send(head("/plain", len(BODY)) + BODY[:900000])
        h2.send(h2.request("/plain", len(BODY)), BODY[:900000], end=False)
        wait_for(lambda: len(nginx.files()) == 4, "two uploads are under way")
        nginx.stop(number)
    assert nginx.files() == []


def test_a_worker_that_runs_into_its_shutdown_timeout_leaves_nothing(own_nginx, backend):
    nginx = own_nginx(main="worker_shutdown_timeout 300ms;")
    with Connection(nginx.port) as c:
        c.send(head("/plain", len(BODY)) + BODY[:900000])
        wait_for(lambda: len(nginx.files()) == 2, "an upload is under way")
        nginx.stop(signal.SIGQUIT)
    assert nginx.files() == []


def test_a_reload_lets_uploads_finish(own_nginx, backend):
    nginx = own_nginx()
    (old,) = nginx.workers()
    with Connection(nginx.port) as c, Http2(nginx.http2_port) as h2:
        c.send(head("/plain", len(BODY)) + BODY[:800000])
        stream = h2.request("/plain", len(BODY))
        h2.send(stream, BODY[:800000], end=False)
        wait_for(lambda: len(nginx.files()) == 4, "two uploads are under way")
        nginx.send_signal(signal.SIGHUP)
        wait_for(lambda: any(pid != old for pid in nginx.workers()), "a new worker")
        assert post(nginx.port, form(part(b"x", "file", "a")), path="/plain").status == 200
        c.send(BODY[800000:])
        assert c.response().status == 200
        h2.send(stream, BODY[800000:])
        assert h2.response(stream).status == 200
    wait_for(lambda: old not in nginx.workers(), "the old worker ends")
    assert [path.stat().st_size for path in nginx.files()] in (
        [5, 5, len(DATA), len(DATA), 1],
        [5, len(DATA), 5, len(DATA), 1],
    )


def test_a_reload_in_the_middle_of_a_fast_upload_lets_it_finish(own_nginx, backend):
    """The old worker must not take a moment between two reads for the end of its work."""
    nginx = own_nginx(http="client_body_buffer_size 1m;")
    before, after = form(part(b"@", "file", "a.bin")).split(b"@")
    block, blocks = bytes(1 << 20), 300
    old = nginx.workers()
    with Connection(nginx.port) as c:
        c.send(head("/no-fsync", len(before) + blocks * len(block) + len(after)) + before)
        for i in range(blocks):
            if i == 100:
                nginx.send_signal(signal.SIGHUP)
            c.send(block)
        wait_for(lambda: set(nginx.workers()) - set(old), "a new worker")
        c.send(after)
        assert c.response().status == 200
    assert [path.stat().st_size for path in nginx.files()] == [blocks * len(block)]
    for path in nginx.files():
        path.unlink()


def open_files(nginx):
    (worker,) = nginx.workers()
    return len(os.listdir(f"/proc/{worker}/fd"))


def test_no_descriptor_is_left_open(nginx, backend):
    post(nginx.port, BODY, path="/plain")
    wait_for(lambda: open_files(nginx), "descriptors")
    stable = open_files(nginx)
    for _ in range(20):
        assert post(nginx.port, BODY[:-100], path="/plain").status == 400
        assert post(nginx.port, BODY, path="/small-file-reject").status == 413
        assert post(nginx.port, BODY, path="/small-file").status == 200
        assert post(nginx.port, BODY, path="/plain").status == 200
    wait_for(lambda: open_files(nginx) <= stable + 5, "descriptors are closed")
