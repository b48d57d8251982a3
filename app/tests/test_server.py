"""The server as it is deployed: gunicorn on a unix socket, a process of its own."""

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Person
from tests.nginx import GRANT, MULTIPART, multipart, received
from tests.processes import APP, environment, gunicorn
from uploads.models import Upload

MIB = 1024**2

pytestmark = pytest.mark.django_db(transaction=True)


def _healthcheck(path: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "config.healthcheck"],
        cwd=APP,
        env=environment(UPLOAD_APP_SOCKET=str(path), **changes),
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_upload_goes_from_authorize_to_download(
    owner: Person, sockets: Path, stored: Callable[[], list[Path]]
) -> None:
    bearer = {"Authorization": f"Bearer {owner.token}"}
    with gunicorn(sockets) as server:
        asked = {**bearer, "X-Upload-Shape": "form", "X-Upload-Method": "POST"}
        allowed, body = server.request(
            "GET", "/internal/authorize", headers={**asked, "X-Upload-Request-Length": "9"}
        )
        assert (allowed.status, body) == (204, b"")
        headers = {GRANT: allowed.headers[GRANT], "Content-Type": MULTIPART}
        form = multipart(received(b"sequence", "run.bam"))
        answer, body = server.request("POST", "/complete/", form, headers)
        assert answer.status == 200
        [upload] = json.loads(body)["uploads"]
        assert upload["url"].startswith("https://upload.test/uploads/")
        path = upload["url"].removeprefix("https://upload.test")
        found, _ = server.request("GET", path, headers=bearer)
        assert found.headers["X-Accel-Redirect"].endswith(upload["id"])
        # The header's other spelling, which a gateway might take for the same one, is dropped.
        asked = {**bearer, "X_Upload_Shape": "form", "X_Upload_Method": "POST"}
        assert server.request("GET", "/internal/authorize", headers=asked)[0].status == 404
    assert [path.read_bytes() for path in stored()] == [b"sequence"]
    assert Upload.objects.get().owner == owner.user


def test_uploads_that_end_at_the_same_time_are_all_recorded(
    owner: Person, sockets: Path, stored: Callable[[], list[Path]]
) -> None:
    grant = owner.api.authorize().headers[GRANT]
    forms = [multipart(received(b"%d" % number)) for number in range(60)]
    headers = {GRANT: grant, "Content-Type": MULTIPART}
    with gunicorn(sockets) as server, ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda form: server.request("POST", "/complete/", form, headers), forms)
        assert {answer.status for answer, _ in answers} == {200}
    assert len(stored()) == Upload.objects.count() == 60


def test_a_database_that_was_never_migrated_is_not_healthy(sockets: Path) -> None:
    empty = f"sqlite:///{sockets}/new.sqlite3"
    with gunicorn(sockets, UPLOAD_DATABASE_URL=empty) as server:
        assert server.request("GET", "/healthz")[0].status == 503


def test_the_socket_is_for_the_service_and_its_group_only(sockets: Path) -> None:
    with gunicorn(sockets) as server:
        assert stat.S_IMODE(server.path.stat().st_mode) == 0o770
        assert list(sockets.iterdir()) == [server.path]
    assert list(sockets.iterdir()) == []


def test_the_health_check_asks_what_serves(sockets: Path) -> None:
    with gunicorn(sockets) as server:
        done = _healthcheck(server.path)
        assert (done.returncode, done.stderr) == (0, "")
        answer, body = server.request("GET", "/healthz", headers={"X-Forwarded-Proto": "http"})
        assert (answer.status, json.loads(body)) == (200, {"status": "ok", "database": "up"})
    done = _healthcheck(sockets / "app.sock")
    assert done.returncode == 1
    assert str(sockets) in done.stderr


def test_a_server_without_its_database_is_not_healthy(sockets: Path) -> None:
    away = "postgresql:///upload?host=/nonexistent"
    with gunicorn(sockets, UPLOAD_DATABASE_URL=away) as server:
        done = _healthcheck(server.path)
    assert done.returncode == 1
    assert "503" in done.stderr


def test_the_processes_stay_small(owner: Person, sockets: Path) -> None:
    bearer = {"Authorization": f"Bearer {owner.token}"}
    with gunicorn(sockets, UPLOAD_APP_WORKERS="2") as server:
        for _ in range(50):
            answer, _ = server.request("GET", "/uploads/", headers=bearer)
            assert answer.status == 200
        assert len(server.processes()) == 3
        assert server.memory() < 200 * MIB


def test_a_wrong_setting_stops_the_server_and_is_named(sockets: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--config", "python:config.gunicorn_conf"],
        cwd=APP,
        env=environment(UPLOAD_APP_SOCKET=str(sockets / "s"), UPLOAD_SECRET_KEY=None),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "UPLOAD_SECRET_KEY is not set" in done.stderr
    assert list(sockets.iterdir()) == []
