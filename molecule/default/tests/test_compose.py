"""compose.yaml with the deployed images, a limit of 8 MiB and a store of 16 MiB.

That is small enough to fill, so a full disk is tried here, against the whole stack.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import MULTIPART, ROOT, Site, form

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024**2
FILES = [
    "compose.yaml",
    "compose/jobs.sh",
    "compose/nginx.conf",
    "roles/nginx_upload/files/upload_locations.conf",
]
OVERRIDE = """
volumes:
  store:
    driver_opts: {type: none, o: bind, device: /mnt/small-store}
"""
ENVIRONMENT = """
UPLOAD_NGINX_IMAGE={nginx}
UPLOAD_APP_IMAGE={app}
UPLOAD_MAX_SIZE=8388608
UPLOAD_RESERVE_BYTES=0
UPLOAD_PORT=8081
"""


def ssh(host: Any, *arguments: str) -> list[str]:
    """Return the ssh command line that reaches the scenario's host."""
    variables = host.ansible.get_variables()
    return [
        "ssh", "-i", variables["ansible_ssh_private_key_file"],
        *variables["ansible_ssh_common_args"].split(), *arguments,
        f"root@{variables['ansible_host']}",
    ]  # fmt: skip


def write(host: Any, path: str, content: str) -> None:
    """Write a small file on the host."""
    command = f"mkdir -p {Path(path).parent} && cat > {path}"
    subprocess.run([*ssh(host), command], input=content, text=True, check=True)


@pytest.fixture(scope="module")
def compose(host: Any) -> Iterator[str]:
    """The running project, as the command that addresses it."""
    host.check_output("DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker-compose")
    for name in FILES:
        write(host, f"/opt/upload-trial/{name}", (ROOT / name).read_text())
    images = {
        name: host.check_output(f"docker inspect -f '{{{{.Config.Image}}}}' upload-{name}")
        for name in ("nginx", "app")
    }
    write(host, "/opt/upload-trial/.env", ENVIRONMENT.format(**images))
    write(host, "/opt/upload-trial/compose.override.yaml", OVERRIDE)
    host.check_output(
        "mkdir -p /mnt/small-store && mount -t tmpfs -o size=16m tmpfs /mnt/small-store"
        " && install -d -o 10470 -g 10470 -m 2770 /mnt/small-store /mnt/small-store/incoming"
        " /mnt/small-store/files /mnt/small-store/tmp"
    )
    command = "docker compose --project-directory /opt/upload-trial"
    try:
        started = host.run(f"{command} up -d --wait")
        assert started.rc == 0, started.stderr + host.run(f"{command} logs").stdout
        yield command
    finally:
        host.run(f"{command} down --volumes")
        host.run("umount /mnt/small-store; rm -rf /opt/upload-trial /mnt/small-store")


@pytest.fixture(scope="module")
def trial(host: Any, compose: str) -> Iterator[Site]:
    """The project's service through an SSH tunnel: it listens on the loopback address alone."""
    manage = f"{compose} exec -T app python manage.py"
    host.check_output(f"{manage} ensure_user anna")
    token = host.check_output(f"{manage} create_token --user anna --name trial")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tunnel = subprocess.Popen(
        ssh(host, "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:8081")
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            assert tunnel.poll() is None
    yield Site("127.0.0.1", port, token)
    tunnel.terminate()
    tunnel.wait()


def files(host: Any) -> list[str]:
    """Names of the files in the small store."""
    return str(host.check_output("find /mnt/small-store -type f")).split()


@pytest.fixture(autouse=True)
def nothing_stays(host: Any, trial: Site) -> Iterator[None]:
    """Fail when a test leaves a file behind or when the service does not answer any more."""
    before = files(host)
    yield
    deadline = time.monotonic() + 15
    while (after := files(host)) != before and time.monotonic() < deadline:
        pass
    assert after == before
    assert trial.get("/healthz").status == 200


def chunked(body: bytes) -> bytes:
    """Return the body in chunks of 64 KiB, its length unknown to the server until its end."""
    pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
    return b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


@pytest.mark.usefixtures("compose")
def test_it_listens_on_the_loopback_address_only(host: Any) -> None:
    assert host.socket("tcp://127.0.0.1:8081").is_listening
    assert not host.socket("tcp://0.0.0.0:8081").is_listening


def test_what_timers_do_elsewhere_is_done(host: Any, compose: str) -> None:
    count = "from monitoring.models import Sample; print(Sample.objects.count())"
    shell = f"{compose} exec -T app python manage.py shell --no-imports -c '{count}'"
    deadline = time.monotonic() + 30
    while (samples := int(host.check_output(shell))) == 0 and time.monotonic() < deadline:
        pass
    assert samples
    assert "Traceback" not in host.run(f"{compose} logs jobs").stdout
    started = time.monotonic()
    host.check_output(f"{compose} stop jobs")
    assert time.monotonic() - started < 8  # it does not wait to be killed
    container = f"$({compose} ps --all --quiet jobs)"
    stopped = f"docker inspect --format '{{{{.State.ExitCode}}}}' {container}"
    assert host.check_output(stopped) == "0"
    host.check_output(f"{compose} start jobs")


def test_a_file_arrives_whole(host: Any, trial: Site) -> None:
    content = os.urandom(5 * MIB)
    answer = trial.post(form("a.bin", content))
    assert answer.status == 200, answer
    (upload,) = json.loads(answer.body)["uploads"]
    assert upload["sha256"] == hashlib.sha256(content).hexdigest()
    (stored,) = [path for path in files(host) if "/files/" in path]
    assert host.check_output(f"sha256sum {stored}").split()[0] == upload["sha256"]
    host.check_output(f"rm {stored}")


def test_a_length_over_the_limit_is_413_with_numbers(trial: Site) -> None:
    answer = trial.exchange(trial.head(f"Content-Type: {MULTIPART}", f"Content-Length: {20 * MIB}"))
    assert answer.status == 413
    assert answer.problem["max_size"] == 8 * MIB


def test_a_body_over_the_limit_is_413_when_its_length_was_not_declared(trial: Site) -> None:
    head = trial.head(f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked")
    answer = trial.exchange(head, chunked(form("a.bin", b"x" * (9 * MIB))))
    assert answer.status == 413
    assert str(8 * MIB) in answer.problem["detail"]


@pytest.fixture
def little_room(host: Any) -> Iterator[None]:
    """Four MiB are left in the store."""
    host.check_output("fallocate -l 12M /mnt/small-store/tmp/filler")
    yield
    host.check_output("rm -f /mnt/small-store/tmp/filler /mnt/small-store/tmp/rest")


@pytest.mark.usefixtures("little_room")
def test_a_file_that_does_not_fit_is_507_before_its_first_byte(trial: Site) -> None:
    size = 6 * MIB
    answer = trial.exchange(trial.head(f"Content-Type: {MULTIPART}", f"Content-Length: {size}"))
    assert answer.status == 507
    assert answer.problem["size"] == size
    assert answer.problem["free"] <= 4 * MIB


def send_while_the_disk_fills(host: Any, trial: Site, head: bytes, body: bytes) -> bytes:
    """Fill the disk when the body has begun, send the rest, and return the answer."""
    with trial.connect() as connection:
        connection.sendall(head + body[: MIB // 2])
        host.check_output(
            "timeout 20 sh -c"
            " 'until find /mnt/small-store/incoming -type f | grep -q .; do :; done'"
        )
        host.run("cat /dev/zero > /mnt/small-store/tmp/rest")
        with contextlib.suppress(ConnectionError):
            connection.sendall(body[MIB // 2 :])
        reply = b""
        while more := connection.recv(65536):
            reply += more
            if reply.rstrip().endswith(b"}"):
                break
    return reply


@pytest.mark.usefixtures("little_room")
def test_a_disk_that_fills_up_in_the_middle_is_507(host: Any, trial: Site) -> None:
    head = trial.head(f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked")
    body = chunked(form("a.bin", b"x" * (3 * MIB)))
    reply = send_while_the_disk_fills(host, trial, head, body)
    assert reply.startswith(b"HTTP/1.1 507")
    problem = json.loads(reply.split(b"\r\n\r\n", 1)[1])
    assert problem["status"] == 507
    assert "disk" in problem["detail"] or "space" in problem["detail"]


@pytest.mark.usefixtures("little_room")
def test_an_upload_of_known_length_has_its_room_on_a_full_disk(host: Any, trial: Site) -> None:
    body = form("a.bin", b"x" * (3 * MIB))
    head = trial.head(f"Content-Type: {MULTIPART}", f"Content-Length: {len(body)}")
    reply = send_while_the_disk_fills(host, trial, head, body)
    host.check_output("rm -f /mnt/small-store/files/*/*")
    assert reply.startswith(b"HTTP/1.1 200")


def test_the_app_being_away_is_a_502_problem(host: Any, trial: Site, compose: str) -> None:
    host.check_output(f"{compose} stop app")
    try:
        answer = trial.post(form("a.bin", b"content"))
    finally:
        host.check_output(f"{compose} start app")
        host.check_output(f"{compose} up -d --wait")
    assert answer.status in (502, 504)
    assert answer.problem["detail"]
