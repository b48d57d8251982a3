"""Parts become a file, with a real nginx that hashes: in order, once, and after any crash."""

import hashlib
import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connections
from django.utils import timezone

from tests.conftest import Person
from tests.parts import final, lose_power, partial
from tests.processes import APP, environment, manage
from tests.stack import Reply, Stack, needs_nginx
from tests.tus import VERSION
from uploads import ending, joining, partials, storage
from uploads.joining import Step
from uploads.models import State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

type Listing = Callable[[], list[Path]]

MIB = 1024**2
# Larger than what nginx reads of requests and checkpoints, and aligned to nothing.
SIZES = (MIB + 1, 3 * MIB + 4097, 0, 2 * MIB)
SECONDS = 60


@pytest.fixture
def waiting(stack: Stack, owner: Person, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Upload]:
    """Return what makes an upload whose parts nobody joins yet, with SIZES."""
    monkeypatch.setattr(joining, "start", lambda: None)

    def make() -> Upload:
        urls = [_part(stack, body) for body in _contents()]
        answer = owner.api.send("POST", "/files/", headers=final(urls))
        assert answer.status_code == 201, answer.content
        return Upload.objects.get(pk=answer.headers["Location"].rpartition("/")[2])

    return make


def _contents() -> list[bytes]:
    return [bytes([65 + number]) * size for number, size in enumerate(SIZES)]


def _whole() -> bytes:
    return b"".join(_contents())


def _part(stack: Stack, body: bytes) -> str:
    reply = stack.send("POST", "/files/", body, partial(len(body)))
    assert reply.status == 201, reply.body
    return reply.headers["Location"]


def _join(stack: Stack, urls: Sequence[str]) -> Reply:
    return stack.send("POST", "/files/", headers=final(urls))


def _wait_until_complete(url: str) -> Upload:
    deadline = time.monotonic() + SECONDS
    while True:
        upload = Upload.objects.get(pk=url.rpartition("/")[2])
        if upload.state == State.COMPLETE:
            return upload
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _assert_whole(upload: Upload) -> None:
    upload.refresh_from_db()
    assert (upload.state, upload.size) == (State.COMPLETE, sum(SIZES))
    assert upload.sha256 == hashlib.sha256(_whole()).hexdigest()
    assert storage.path_of(upload.stored_path).read_bytes() == _whole()


def _read_by(stack: Stack) -> int:
    """Return the bytes that nginx has read from files, from memory or disk (rchar)."""
    assert stack.nginx is not None
    master = stack.nginx.pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    lines = [Path(f"/proc/{pid}/io").read_text().splitlines()[0] for pid in workers]
    return sum(int(line.removeprefix("rchar: ")) for line in lines)


def test_the_application_joins_the_parts_in_their_order(
    stack: Stack, stored: Listing, incoming: Listing
) -> None:
    contents = [secrets.token_bytes(size) for size in (300_001, 7, 0, 200_000)]
    urls = [_part(stack, body) for body in contents]
    order = (3, 1, 0, 2)
    reply = _join(stack, [urls[number] for number in order])
    assert (reply.status, reply.body) == (201, b"")
    assert not [name for name in reply.headers if name.startswith("X-Upload-")]
    assert reply.headers.get_all("Tus-Resumable") == ["1.0.0"]
    url = reply.headers["Location"]
    whole = b"".join(contents[number] for number in order)
    upload = _wait_until_complete(url)
    assert upload.sha256 == hashlib.sha256(whole).hexdigest()
    assert [path.read_bytes() for path in stored()] == [whole]
    state = stack.send("HEAD", url, headers=VERSION)
    assert (state.headers["Upload-Offset"], state.headers["Upload-Length"]) == ("500008", "500008")
    assert state.headers["Upload-Concat"].startswith(f"final;{urls[3]} {urls[1]} ")
    assert stack.send("PATCH", url, b"x", {**partial(1), "Upload-Offset": "0"}).status == 403
    # What is left ends with the process that joins.
    deadline = time.monotonic() + SECONDS
    while incoming():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_as_many_parts_as_a_header_has_room_for(stack: Stack) -> None:
    urls = [_part(stack, bytes([number])) for number in range(180)]
    reply = _join(stack, urls)
    assert reply.status == 201, reply.body
    state = stack.send("HEAD", reply.headers["Location"], headers=VERSION)
    assert state.headers["Upload-Concat"] == f"final;{' '.join(urls)}"
    upload = _wait_until_complete(reply.headers["Location"])
    assert storage.path_of(upload.stored_path).read_bytes() == bytes(range(180))


def test_each_part_but_the_first_is_read_once(
    stack: Stack, waiting: Callable[[], Upload], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "STEP_BYTES", MIB)
    upload = waiting()
    before = _read_by(stack)
    assert joining.run().joined == 1
    read = _read_by(stack) - before
    _assert_whole(upload)
    # The rest are checkpoints and sockets.
    assert 0 <= read - sum(SIZES[1:]) < MIB // 2


def test_never_more_than_one_part_is_there_twice(
    waiting: Callable[[], Upload], incoming: Listing
) -> None:
    upload = waiting()
    for _ in joining.steps(upload):
        taken = sum(path.stat().st_size for path in incoming() if len(path.name) == 36)
        assert taken <= sum(SIZES) + max(SIZES[1:])
    _assert_whole(upload)


_KILLED = """
import os, signal, sys
import django
django.setup()
from uploads import joining
from uploads.models import Upload
joining.STEP_BYTES = 1024**2
for count, upload_id in enumerate(sys.argv[1:]):
    child = os.fork()
    if not child:
        for number, _ in enumerate(joining.steps(Upload.objects.get(pk=upload_id))):
            if number == count:
                os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("is_power_lost", [False, True])
def test_whatever_is_killed_goes_on_where_it_was(
    stack: Stack, waiting: Callable[[], Upload], incoming: Listing, *, is_power_lost: bool
) -> None:
    steps = len([Step.ADOPTED, Step.HASHED, *(Step.FREED,) * 4, *(Step.COPIED, Step.HASHED) * 6])
    uploads = [waiting() for _ in range(steps + 1)]
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, *(str(upload.id) for upload in uploads)],
        cwd=APP,
        env=environment(UPLOAD_NGINX_SOCKET=str(stack.directory / "nginx.sock")),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    assert done.stdout.split() == ["-9"] * (steps + 1)
    # The last one was killed after it was complete.
    assert Upload.objects.verifying().count() == steps
    if is_power_lost:
        for path in incoming():
            lose_power(path)
    result = manage("join_uploads", UPLOAD_NGINX_SOCKET=str(stack.directory / "nginx.sock"))
    assert (result.returncode, result.stdout.splitlines()) == (
        0,
        [f"{steps} joined, 0 failed, 0 put off, 0 skipped"],
    ), result.stderr
    for upload in uploads:
        _assert_whole(upload)
    assert [path.name for path in incoming()] in ([], [f"{uploads[-1].id}.joining"])


def test_a_crash_between_rename_and_record_is_made_good(waiting: Callable[[], Upload]) -> None:
    upload = waiting()
    for step in joining.steps(upload):
        if step is Step.FREED and partials.size(partials.path_of(upload.id)) == sum(SIZES):
            break
    with storage.claimed([(partials.path_of(upload.id), upload.stored_path)]):
        pass
    assert joining.run().joined == 1
    _assert_whole(upload)


def test_two_runs_do_no_harm(stack: Stack, waiting: Callable[[], Upload]) -> None:
    uploads = [waiting() for _ in range(4)]
    socket = str(stack.directory / "nginx.sock")
    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(manage, "join_uploads", UPLOAD_NGINX_SOCKET=socket) for _ in range(3)]
        results = [run.result() for run in runs]
    assert [result.returncode for result in results] == [0, 0, 0], results
    assert sum(int(result.stdout.split()[0]) for result in results) == 4
    for upload in uploads:
        _assert_whole(upload)


def test_a_second_run_leaves_an_upload_to_the_first(waiting: Callable[[], Upload]) -> None:
    upload = waiting()
    first = joining.steps(upload)
    assert next(first) is Step.ADOPTED
    assert joining.run() == joining.Done(skipped=1)
    assert list(first)[-1] is Step.COMPLETE
    _assert_whole(upload)


def test_an_upload_is_deleted_while_its_parts_are_joined(
    stack: Stack,
    waiting: Callable[[], Upload],
    incoming: Listing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # So small that the file is in use nearly all the time.
    monkeypatch.setattr(joining, "STEP_BYTES", 512)
    upload = waiting()

    def run() -> joining.Done:
        try:
            return joining.run()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        path = partials.path_of(upload.id)
        while (partials.size(path) or 0) <= SIZES[0]:
            assert not running.done()
        assert stack.send("DELETE", upload.get_resource_url(), headers=VERSION).status == 204
        assert running.result(SECONDS) == joining.Done(skipped=1)
    assert incoming() == []
    assert Upload.objects.get(pk=upload.pk).state == State.DELETED


@pytest.mark.parametrize("at", list(Step)[:-1])
def test_an_upload_that_is_deleted_between_two_steps_leaves_nothing(
    stack: Stack, waiting: Callable[[], Upload], incoming: Listing, at: Step
) -> None:
    upload = waiting()
    run = joining.steps(upload)
    while next(run) is not at:
        pass
    assert stack.send("DELETE", upload.get_resource_url(), headers=VERSION).status == 204
    run.close()
    assert joining.run() == joining.Done()
    assert incoming() == []


def test_without_nginx_it_is_put_off_with_a_reason(
    stack: Stack, waiting: Callable[[], Upload]
) -> None:
    upload = waiting()
    stack.stop_nginx()
    socket = str(stack.directory / "nginx.sock")
    result = manage("join_uploads", UPLOAD_NGINX_SOCKET=socket)
    assert result.returncode == 1
    assert f"upload {upload.id} is not joined yet" in result.stderr
    assert result.stdout.splitlines() == ["0 joined, 0 failed, 1 put off, 0 skipped"]
    assert Upload.objects.get(pk=upload.pk).state == State.VERIFYING
    stack.start_nginx()
    assert joining.run().joined == 1
    _assert_whole(upload)


@pytest.mark.parametrize("position", [0, 1, 3])
@pytest.mark.parametrize("is_short", [False, True])
def test_a_lost_part_fails_the_upload_and_says_which(
    stack: Stack,
    waiting: Callable[[], Upload],
    incoming: Listing,
    position: int,
    *,
    is_short: bool,
) -> None:
    upload = waiting()
    path = partials.path_of(upload.parts.get(position=position).id)
    if is_short:
        os.truncate(path, 1000)
    else:
        path.unlink()
    assert joining.run() == joining.Done(failed=1)
    for address in (upload.get_absolute_url(), upload.get_download_url()):
        reply = stack.send("GET", address)
        assert (reply.status, json.loads(reply.body)["type"]) == (410, "urn:upload:failed")
        assert f"part {position + 1}" in reply.body.decode()
    assert f"part {position + 1}" in stack.send("GET", "/uploads/").body.decode()
    url = upload.get_resource_url()
    assert stack.send("HEAD", url, headers=VERSION).status == 410
    assert json.loads(_join(stack, [url]).body)["status"] == 409
    # What is left stays for a while, and then goes.
    assert incoming()
    past = timezone.now() - timedelta(days=1)
    assert not ending.expire(upload)
    Upload.objects.filter(pk=upload.pk).update(expires=past)
    for file in incoming():
        os.utime(file, (past.timestamp(), past.timestamp()))
    assert ending.expire(upload)
    assert (incoming(), Upload.objects.get(pk=upload.pk).state) == ([], State.EXPIRED)


def test_a_failed_upload_is_deleted(
    stack: Stack, waiting: Callable[[], Upload], incoming: Listing
) -> None:
    upload = waiting()
    partials.path_of(upload.parts.get(position=1).id).unlink()
    assert joining.run() == joining.Done(failed=1)
    assert stack.send("DELETE", upload.get_resource_url(), headers=VERSION).status == 204
    assert incoming() == []
