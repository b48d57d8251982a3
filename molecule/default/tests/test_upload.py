"""The main job from outside: a 9 GiB file arrives whole and is recorded, and smaller ones too."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import MULTIPART, form

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Site

GIB = 1024**3
MIB = 1024**2


@pytest.fixture(scope="module")
def nine_gib(host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file of 9 GiB in which no two blocks are alike; removed afterwards, as what it became."""
    path = tmp_path_factory.mktemp("push") / "nine gib.bin"
    block = secrets.token_bytes(MIB)
    with path.open("wb") as out:
        for number in range(9 * 1024):
            out.write(number.to_bytes(8, "big") + block[8:])
    yield path
    path.unlink()
    host.check_output("find /srv/upload -type f -size +1G -delete")


def sha256_of(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def memory(host: Any, program: str, source: str, key: str) -> int:
    """Sum of one figure of /proc over the service's processes of a program in bytes."""
    pids = host.check_output(f"pgrep -u 10470 -x {program}")
    assert len(pids.split()) >= 2
    files = " ".join(f"/proc/{pid}/{source}" for pid in pids.split())
    figures = host.check_output(f"awk '/^{key}:/ {{ print $2 }}' {files}").split()
    return sum(int(figure) * 1024 for figure in figures)


def forget_peaks(host: Any) -> None:
    """Let nginx's peaks be those of what comes, not of the tests before (proc(5), clear_refs)."""
    host.check_output(
        "for pid in $(pgrep -u 10470 -x nginx); do echo 5 > /proc/$pid/clear_refs; done"
    )


def stored_path(host: Any, uuid: str) -> str:
    return str(host.check_output(f"find /srv/upload/files -type f -name {uuid}"))


def test_nine_gib_arrive_with_the_right_sha256_in_bounded_memory(
    host: Any, push: Any, nine_gib: Path, record_property: Any
) -> None:
    forget_peaks(host)
    before = memory(host, "nginx", "status", "VmRSS")
    result = push(nine_gib)
    assert result.returncode == 0, result.stderr
    assert "[Return status 200 Upload Complete]" in result.stdout
    assert "[9663 of 9663 MB]" in result.stderr

    receipt = dict(line.split(":", 1) for line in result.stdout.splitlines() if ":" in line)
    uuid = receipt["URL"].strip().split("/")[-2]
    stored = stored_path(host, uuid)
    assert host.file(stored).size == 9 * GIB
    digest = sha256_of(nine_gib)
    assert receipt["SHA-256"].strip() == digest
    assert host.check_output(f"sha256sum {stored}").split()[0] == digest

    # How far the resident sizes rose at most; what Django holds, shared pages counted once.
    nginx = memory(host, "nginx", "status", "VmHWM") - before
    django = memory(host, "gunicorn", "smaps_rollup", "Pss")
    record_property("nginx more MiB", nginx // MIB)
    record_property("django MiB", django // MIB)
    seconds = receipt["Seconds"].strip()
    print(f"9 GiB: {seconds} s, nginx {nginx // MIB} MiB more, Django {django // MIB} MiB")
    assert nginx < 16 * MIB
    assert 0 < django < 200 * MIB


def test_the_stored_file_is_closed_to_others_and_nothing_of_it_stays_in_incoming(
    host: Any, push: Any, tmp_path: Path
) -> None:
    path = tmp_path / "small.bin"
    path.write_bytes(secrets.token_bytes(3 * MIB))
    # What other tests have cut off waits there until it expires.
    before = host.check_output("find /srv/upload/incoming -type f").split()
    result = push(path)
    assert result.returncode == 0, result.stderr
    uuid = result.stdout.split("/uploads/")[1].split("/")[0]
    stored = host.file(stored_path(host, uuid))
    assert (stored.uid, stored.gid, stored.mode) == (10470, 10470, 0o640)
    after = host.check_output("find /srv/upload/incoming -type f").split()
    assert set(after) <= set(before)


def test_a_download_is_what_was_uploaded_with_its_name_and_digest(
    site: Site, push: Any, tmp_path: Path
) -> None:
    path = tmp_path / 'Ergebnis "März" 2026.csv'
    content = secrets.token_bytes(MIB + 17)
    path.write_bytes(content)
    result = push(path)
    assert result.returncode == 0, result.stderr
    download = "/uploads/" + result.stdout.split("/uploads/")[1].split()[0]

    answer = site.get(download)
    assert answer.status == 200
    assert answer.body == content
    assert (
        "filename*=utf-8''Ergebnis%20%22M%C3%A4rz%22%202026.csv"
        in answer.headers["content-disposition"]
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["repr-digest"].startswith("sha-256=:")

    part = site.get(download, "Range: bytes=1048576-")
    assert part.status == 206
    assert part.body == content[MIB:]


def test_the_table_shows_name_size_and_sha256_as_sha256sum_prints_it(
    site: Site, push: Any, tmp_path: Path
) -> None:
    path = tmp_path / "table.bin"
    path.write_bytes(secrets.token_bytes(12345))
    assert push(path).returncode == 0
    page = site.get("/uploads/", "Accept: text/html").body.decode()
    assert "table.bin" in page
    assert sha256_of(path) in page
    assert "12345" in page.replace(",", "").replace("\u202f", "").replace("&nbsp;", "")


def test_a_stranger_cannot_download(site: Site, push: Any, tmp_path: Path) -> None:
    path = tmp_path / "private.bin"
    path.write_bytes(b"private")
    result = push(path)
    download = "/uploads/" + result.stdout.split("/uploads/")[1].split()[0]
    stranger = type(site)(site.host, site.port, "", site.ca_file)
    answer = stranger.get(download)
    assert answer.status in (401, 404)
    assert b"private" not in answer.body


def test_a_chunked_body_of_unknown_length_is_stored(site: Site) -> None:
    body = form("chunked.bin", b"x" * 100_000)
    chunks = b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece)
        for piece in (body[at : at + 7001] for at in range(0, len(body), 7001))
    )
    head = site.head(f"Content-Type: {MULTIPART}", "Transfer-Encoding: chunked")
    answer = site.exchange(head, chunks + b"0\r\n\r\n")
    assert answer.status == 200
    (upload,) = json.loads(answer.body)["uploads"]
    assert upload["size"] == 100_000
    assert upload["sha256"] == hashlib.sha256(b"x" * 100_000).hexdigest()


def test_an_upload_goes_on_through_a_reload_of_nginx(site: Site, host: Any) -> None:
    content = os.urandom(4 * MIB)
    body = form("reload.bin", content)
    length = f"Content-Length: {len(body)}"
    with site.connect() as connection:
        connection.sendall(site.head(f"Content-Type: {MULTIPART}", length) + body[:MIB])
        host.check_output(
            "timeout 20 sh -c 'until find /srv/upload/incoming -type f | grep -q .; do :; done'"
        )
        host.check_output("docker kill --signal=HUP upload-nginx")
        host.check_output(
            "timeout 20 sh -c 'until pgrep -u 10470 -f shutting >/dev/null; do :; done'"
        )
        connection.sendall(body[MIB:])
        reply = connection.recv(65536)
        while b"sha256" not in reply:
            more = connection.recv(65536)
            assert more, reply
            reply += more
    assert hashlib.sha256(content).hexdigest().encode() in reply
    host.check_output("timeout 20 sh -c 'while pgrep -u 10470 -f shutting >/dev/null; do :; done'")


def test_a_file_can_be_uploaded_over_http_2(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "two.bin"
    path.write_bytes(secrets.token_bytes(5 * MIB))
    result = subprocess.run(
        ["curl", "--http2", "--silent", "--show-error", "--fail-with-body",
         "--cacert", site.ca_file, "--header", "@-", "--form", f"file=@{path}",
         "--write-out", "\n%{http_version}", f"https://{site.host}/upload"],
        input=f"Authorization: Bearer {site.token}", capture_output=True, text=True, check=True,
    )  # fmt: skip
    answer, version = result.stdout.rsplit("\n", 1)
    assert version == "2"
    assert json.loads(answer)["uploads"][0]["sha256"] == sha256_of(path)
