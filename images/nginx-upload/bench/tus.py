"""Servers of tus under comparison: the kit as it is deployed, the reference server, and one of PyPI."""

from __future__ import annotations

import base64
import functools
import http.client
import json
import os
import secrets
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import servers
from servers import DEADLINE, HTTP_PORT, HTTPS_PORT, RUN, STORE, Server

if TYPE_CHECKING:
    from servers import Settings

APP = Path("/app")
PYTHON = "/opt/venv/bin/python"
COMPOSE = Path("/compose/nginx.conf")
LOCATIONS = Path("/kit/files/upload_locations.conf")
PEERS = Path(__file__).parent / "peers"

VERSION = {"Tus-Resumable": "1.0.0"}
NAME = {"Upload-Metadata": f"filename {base64.b64encode(b'f.bin').decode()}"}


class Kit(Server):
    """nginx with the kit's locations before the application, which both have answered once."""

    def wait_for_all(self, log: Path) -> None:
        super().wait_for_all(log)
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            if request("GET", "/healthz", {})[0] == http.HTTPStatus.OK:
                return
            time.sleep(0.01)
        raise RuntimeError(f"the application did not start: {log.read_text()}")


def request(method: str, path: str, headers: dict[str, str]) -> tuple[int, http.client.HTTPMessage]:
    """Send a request without a body; return the status and the headers of the answer."""
    client = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=300)
    client.request(method, path, headers={"Host": "localhost", "Content-Length": "0", **headers})
    answer = client.getresponse()
    answer.read()
    client.close()
    return answer.status, answer.headers


def create(headers: dict[str, str], **more: str) -> str:
    """Create an upload and return the path of its address; `more` are headers, with _ for -."""
    fields = {name.replace("_", "-"): value for name, value in more.items()}
    status, answer = request("POST", "/files/", {**VERSION, **NAME, **headers, **fields})
    if status != http.HTTPStatus.CREATED:
        raise RuntimeError(f"no upload was created: {status}\n{(RUN / 'server.log').read_text()}")
    location = answer["Location"]
    return "/" + location.split("/", 3)[3] if "://" in location else location


def digest(path: str) -> str:
    """Return the SHA-256 that the kit recorded of an upload; empty while it has none."""
    client = http.client.HTTPConnection("127.0.0.1", HTTP_PORT, timeout=300)
    client.request("GET", f"/uploads/{path.rpartition('/')[2]}", headers={"Host": "localhost", **authorization()})
    found = json.load(client.getresponse()).get("sha256", "")
    client.close()
    return str(found)


def chunk(headers: dict[str, str], offset: int) -> list[str]:
    """Return the options of bench-send for a PATCH at this offset."""
    fields = {
        **VERSION,
        **headers,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": str(offset),
    }
    return ["-m", "PATCH", *(part for name, value in fields.items() for part in ("-H", f"{name}: {value}"))]


@functools.cache
def environment() -> dict[str, str]:
    """Return the settings of the application, whose records are made once."""
    values = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PYTHONPATH": str(APP),
        "UPLOAD_SECRET_KEY": secrets.token_urlsafe(50),
        "UPLOAD_ALLOWED_HOSTS": "localhost",
        "UPLOAD_DATABASE_URL": f"sqlite:///{RUN}/records.sqlite3",
        "UPLOAD_INSECURE_HTTP": "true",
        "UPLOAD_INCOMING_DIR": str(STORE / "incoming"),
        "UPLOAD_FILES_DIR": str(STORE / "files"),
        "UPLOAD_APP_SOCKET": str(RUN / "app.sock"),
        "UPLOAD_NGINX_SOCKET": str(RUN / "nginx.sock"),
        "UPLOAD_STATIC_DIR": str(RUN / "static"),
    }
    (RUN / "records.sqlite3").unlink(missing_ok=True)
    manage(values, "migrate", "--verbosity", "0")
    manage(values, "ensure_user", "bench")
    return values


@functools.cache
def authorization() -> dict[str, str]:
    """Return the header with a token for the kit."""
    token = manage(environment(), "create_token", "--user", "bench", "--name", "bench").strip()
    return {"Authorization": f"Bearer {token}"}


def manage(values: dict[str, str], *arguments: str) -> str:
    command = [PYTHON, str(APP / "manage.py"), *arguments]
    done = subprocess.run(command, env={**os.environ, **values}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"manage.py {arguments[0]} failed: {done.stderr}")
    return done.stdout


def kit(settings: Settings, *, fsync: bool = True) -> Server:
    """Return nginx with one worker and the configuration of compose.yaml, and gunicorn with two."""
    for directory in (STORE / "incoming", STORE / "files", STORE / "tmp"):
        directory.mkdir(exist_ok=True)
    (RUN / "nginx.sock").unlink(missing_ok=True)
    (RUN / "upload_locations.conf").write_text(moved(LOCATIONS.read_text()))
    tls = f"""listen {HTTPS_PORT} ssl;
        ssl_certificate {RUN}/certificate.pem;
        ssl_certificate_key {RUN}/key.pem;
        ssl_protocols TLSv1.3;
        listen {HTTP_PORT} """
    text = moved(COMPOSE.read_text())
    for old, new in {
        " /tmp/": f" {RUN}/",
        "modules/ngx_http_upload_module.so": str(settings.module),
        "worker_processes auto;": f"worker_processes 1;\nuser root;\ndaemon off;\n{settings.main}",
        "/etc/upload/nginx/": f"{RUN}/",
        "listen 8080 ": tls,
        "upload_fsync on;": f"upload_fsync {'on' if fsync else 'off'};",
    }.items():
        if old not in text:
            raise RuntimeError(f"{COMPOSE} has no {old!r}")
        text = text.replace(old, new)
    path = RUN / "kit.conf"
    path.write_text(text)
    commands = [
        ["/opt/venv/bin/gunicorn", "--config", "python:config.gunicorn_conf"],
        [servers.NGINX, "-p", str(RUN), "-c", str(path)],
    ]
    return Kit(commands, [HTTP_PORT, HTTPS_PORT], environment())


def moved(text: str) -> str:
    return text.replace("/srv/upload", str(STORE)).replace("/run/upload", str(RUN))


def reference(_settings: Settings) -> Server:
    return Server([["node", str(PEERS / "server.mjs"), str(HTTP_PORT), str(STORE)]], [HTTP_PORT], forks=False)


def of_pypi(_settings: Settings) -> Server:
    command = ["/opt/tuspyserver/bin/python", str(PEERS / "server.py"), str(HTTP_PORT), str(STORE)]
    return Server([command], [HTTP_PORT], forks=False)
