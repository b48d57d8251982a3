"""push.py against the deployed service: interrupted in every way, over bad proxies, and in bulk."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import resource
import secrets
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients.hop import Faults, Hop
from clients.proxy import CuttingProxy
from clients.push import (
    AUTH,
    DONE,
    MIB,
    REFUSED,
    SERVER,
    USAGE,
    Client,
    sha256,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Site

KILLS = 30

pytest_plugins = ["clients.fixtures"]
pytestmark = pytest.mark.usefixtures("tidy")


@pytest.fixture
def cutter(site: Site) -> Iterator[CuttingProxy]:
    """A way to the service that can be cut."""
    with CuttingProxy(site.host, site.port) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Callable[[int], Path]:
    """Make a file of a size: no MiB of it is like another."""

    def make(size: int, name: str = "run.bam") -> Path:
        path = tmp_path / name
        block = secrets.token_bytes(MIB)
        with path.open("wb") as file:
            for number in range(size // MIB):
                file.write(number.to_bytes(8) + block[8:])
            file.write(block[: size % MIB])
        return path

    return make


def described(site: Site, receipt: dict[str, Any]) -> dict[str, Any]:
    """Return what the service says of a file that push.py has a receipt of."""
    path = "/uploads/" + receipt["url"].split("/uploads/")[1].removesuffix("/download")
    return dict(json.loads(site.get(path).body))


def partial(client: Client, path: Path, *arguments: object) -> None:
    """Send some of a file, until a kill -9."""
    with client.start("--limit-rate", "8M", *arguments, path) as process:
        wait_for_bytes(client)
        process.kill()


def wait_for_bytes(client: Client) -> None:
    """Wait until an upload has been under way for a while, as its record shows."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for record in client.state.glob("*.json"):
            known = json.loads(record.read_bytes())
            if known["url"] or any(known["pieces"]):
                # The record is there as soon as the address is: some bytes may follow it.
                threading.Event().wait(0.5)
                return
    raise AssertionError("nothing was begun")


def test_the_receipt_of_a_resumable_upload_is_that_of_a_form(
    client: Client, site: Site, file: Callable[..., Path]
) -> None:
    path = file(3 * MIB + 1)
    lines = client(path).stdout.splitlines()
    assert lines[0] == "[Return status 200 Upload Complete]"
    assert [line.split(":")[0] for line in lines[1:]] == [
        "Name", "Size", "SHA-256", "Seconds", "MB/s", "URL",
    ]  # fmt: skip
    assert lines[3] == f"SHA-256: {sha256(path)}"
    assert not list(client.state.glob("*.json"))
    [receipt] = client.receipts(path)
    assert described(site, receipt)["sha256"] == receipt["sha256"] == sha256(path)


def test_a_form_is_sent_when_that_is_wanted(client: Client, file: Callable[..., Path]) -> None:
    path = file(MIB)
    client.env["PUSH_FORM"] = "1"
    assert client.receipts(path)[0]["sha256"] == sha256(path)


@pytest.mark.parametrize("jobs", [1, 4])
def test_thirty_kills_of_two_gibibytes_and_a_resume_lose_little_and_arrive_whole(
    client: Client, hop: Hop, file: Callable[..., Path], jobs: int
) -> None:
    path = file(2048 * MIB)
    client.through(hop.port)
    for _ in range(KILLS):
        with client.start("--limit-rate", "100M", "-j", jobs, path) as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(random.uniform(0.2, 1.0))  # noqa: S311
            process.kill()
    [receipt] = client.receipts("-j", jobs, path)
    assert receipt["sha256"] == sha256(path)
    # What was on the way is sent again, and nothing else.
    assert hop.received < path.stat().st_size + KILLS * 8 * MIB * jobs


@pytest.mark.parametrize(("jobs", "kills"), [(1, KILLS), (4, 8)])
def test_servers_that_are_killed_and_started_again_are_waited_for(
    client: Client, host: Any, file: Callable[..., Path], jobs: int, kills: int
) -> None:
    # Enough for 2.4 seconds between two kills: what nginx has goes on while the application is
    # away. Thirty of them take 2 GiB.
    path = file(kills * 70 * MIB)
    with client.start("--json", "--limit-rate", "30M", "-j", jobs, path) as process:
        for kill in range(kills):
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(random.uniform(0.2, 1.0))  # noqa: S311
            name = ("nginx", "app", "nginx")[kill % 3]
            host.check_output(f"docker kill upload-{name} && docker start upload-{name}")
        out, err = process.communicate(timeout=600)
    assert process.returncode == DONE, err.decode()
    assert json.loads(out)["sha256"] == sha256(path)
    assert b"trying again in" in err


@pytest.mark.parametrize("jobs", [1, 4])
def test_twenty_cuts_are_mended_within_one_run(
    client: Client, cutter: CuttingProxy, file: Callable[..., Path], jobs: int
) -> None:
    path = file(200 * MIB)
    client.through(cutter.port, client.env["PUSH_SCHEMA"])
    cutter.cut_after(random.choices(range(20_000, 9 * MIB), k=20))  # noqa: S311
    outcome = client("-j", jobs, path)
    assert sha256(path) in outcome.stdout
    assert cutter.cuts == 20
    assert "trying again in" in outcome.stderr


def test_a_proxy_that_takes_small_bodies_only_gets_small_ones(
    client: Client, hop: Hop, file: Callable[..., Path]
) -> None:
    path = file(60 * MIB)
    hop.faults.largest = 10_000_000
    outcome = client.through(hop.port)(path)
    assert sha256(path) in outcome.stdout
    assert "are refused: sending" in outcome.stderr


@pytest.mark.parametrize(
    ("size", "faults"),
    [
        (30 * MIB, {"cut_after": 4 * MIB}),
        (30 * MIB, {"cut_after": 4 * MIB, "buffers": True}),
        (6 * MIB, {"cut_after": 600_000, "buffers": True}),
    ],
    ids=["", "buffered", "buffered and early"],
)
def test_a_proxy_that_cuts_long_requests_gets_shorter_ones(
    client: Client, hop: Hop, file: Callable[..., Path], size: int, faults: dict[str, Any]
) -> None:
    path = file(size)
    hop.faults = Faults(**faults)
    outcome = client.through(hop.port)(path)
    assert sha256(path) in outcome.stdout
    assert "are cut after" in outcome.stderr


@pytest.mark.parametrize(
    "status",
    ["502 Bad Gateway", "503 Service Unavailable\r\nRetry-After: 1", "429 Slow\r\nRetry-After: 1",
     "423 Locked", "504 Gateway Timeout", "408 Request Timeout"],
)  # fmt: skip
def test_what_may_be_over_soon_is_tried_again(
    client: Client, hop: Hop, file: Callable[..., Path], status: str
) -> None:
    path = file(5 * MIB)
    hop.faults.answers = [status] * 2
    started = time.monotonic()
    outcome = client.through(hop.port)(path)
    assert sha256(path) in outcome.stdout
    assert outcome.stderr.count("trying again in") == 2
    assert time.monotonic() - started > 2 * ("Retry-After" in status)


@pytest.mark.parametrize(
    ("status", "code"),
    [("400 Bad Request", REFUSED), ("403 Forbidden", AUTH), ("507 Insufficient Storage", REFUSED),
     ("401 Unauthorized", AUTH)],
)  # fmt: skip
def test_what_cannot_get_better_is_not_tried_again(
    client: Client, hop: Hop, file: Callable[..., Path], status: str, code: int
) -> None:
    hop.faults.answers = [status]
    outcome = client.through(hop.port)(file(5 * MIB), code=code)
    assert "trying again" not in outcome.stderr
    assert sum(line.startswith("PATCH") for line in hop.requests) == 1


def test_a_file_that_does_not_fit_is_refused_with_the_numbers_before_its_first_byte(
    client: Client, hop: Hop, tmp_path: Path
) -> None:
    path = tmp_path / "huge.img"
    path.touch()
    os.truncate(path, 15 << 40)
    outcome = client.through(hop.port)(path, code=REFUSED)
    assert re.fullmatch(
        r"push\.py: .*huge\.img .*16\.5 TB \(16492674416640 bytes\).*\n", outcome.stderr
    )
    assert hop.received == 0


def test_a_network_that_stays_away_ends_with_a_code_of_its_own_and_is_resumed_later(
    client: Client, hop: Hop, file: Callable[..., Path]
) -> None:
    path = file(8 * MIB)
    hop.faults.answers = ["502 Bad Gateway"] * 1000
    client.env["PUSH_RETRY_FOR"] = "2"
    client.through(hop.port)(path, code=SERVER)
    hop.faults.answers = []
    hop.requests.clear()
    assert client.receipts(path)[0]["sha256"] == sha256(path)
    assert not any(line.startswith("POST") for line in hop.requests)


def test_a_stalled_connection_is_given_up_and_another_one_goes_on(
    client: Client, hop: Hop, file: Callable[..., Path]
) -> None:
    path = file(64 * MIB)
    hop.faults.stalls = 1
    outcome = client.through(hop.port)("--timeout", "2", path)
    assert sha256(path) in outcome.stdout
    assert "took no bytes for 2 seconds" in outcome.stderr


def test_a_slow_proxy_is_waited_for(client: Client, hop: Hop, file: Callable[..., Path]) -> None:
    path = file(2 * MIB)
    hop.faults.pause = 0.1
    outcome = client.through(hop.port)("--timeout", "2", path)
    assert sha256(path) in outcome.stdout
    assert "trying again" not in outcome.stderr


@pytest.mark.parametrize("change", ["longer", "other bytes", "other bytes of the same time"])
def test_a_file_that_changed_since_is_told_and_not_spliced(
    client: Client, site: Site, file: Callable[..., Path], change: str
) -> None:
    path = file(80 * MIB)
    before = path.stat().st_mtime_ns
    partial_with_digest(client, path)
    [record] = client.state.glob("*.json")
    old = json.loads(record.read_bytes())["url"]
    with path.open("r+b") as opened:
        opened.seek(0, os.SEEK_END if change == "longer" else os.SEEK_SET)
        opened.write(b"other")
    if change == "other bytes of the same time":
        os.utime(path, ns=(before, before))
    outcome = client(path)
    assert sha256(path) in outcome.stdout
    assert "changed" in outcome.stderr
    assert "it is sent from its beginning" in outcome.stderr
    assert site.request("HEAD", old, "Tus-Resumable: 1.0.0").status in {404, 410}


def partial_with_digest(client: Client, path: Path) -> None:
    """Send some of a file, until Ctrl-C, upon which what was hashed is recorded."""
    with client.start("--limit-rate", "20M", path) as process:
        wait_for_bytes(client)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert b"interrupted: run the same command again" in err


def test_a_second_run_at_the_same_time_is_told(client: Client, file: Callable[..., Path]) -> None:
    path = file(64 * MIB)
    with client.start("--limit-rate", "8M", path) as process:
        wait_for_bytes(client)
        assert "is being sent by another push.py" in client(path, code=USAGE).stderr
        process.kill()


def test_without_a_place_for_its_state_it_says_so_and_sends(
    client: Client, file: Callable[..., Path]
) -> None:
    client.env["PUSH_STATE_DIR"] = "/proc/nowhere"
    path = file(MIB)
    outcome = client(path)
    assert sha256(path) in outcome.stdout
    assert "a later run will not be able to go on" in outcome.stderr


def test_an_upload_that_the_server_has_no_more_is_sent_anew(
    client: Client, site: Site, file: Callable[..., Path]
) -> None:
    path = file(40 * MIB)
    partial(client, path)
    [record] = client.state.glob("*.json")
    url = json.loads(record.read_bytes())["url"]
    assert site.request("DELETE", url, "Tus-Resumable: 1.0.0").status == 204
    outcome = client(path)
    assert sha256(path) in outcome.stdout
    assert "has no upload of" in outcome.stderr


@pytest.mark.parametrize("size", [0, 1, 8 * MIB, 20 * MIB + 5])
def test_standard_input_arrives_whole_through_cuts(
    client: Client, cutter: CuttingProxy, size: int
) -> None:
    content = secrets.token_bytes(size)
    client.through(cutter.port, client.env["PUSH_SCHEMA"])
    cutter.cut_after(random.choices(range(20_000, 5 * MIB), k=4))  # noqa: S311
    [receipt] = client.receipts("--name", "all.tar", "-", stdin=content)
    assert receipt["sha256"] == hashlib.sha256(content).hexdigest()
    assert (receipt["name"], receipt["size"]) == ("all.tar", size)


def test_standard_input_gets_through_a_proxy_that_buffers_and_cuts(
    client: Client, hop: Hop
) -> None:
    content = secrets.token_bytes(10 * MIB)
    hop.faults.cut_after = 3 * MIB
    hop.faults.buffers = True
    client.through(hop.port)
    outcome = client("-", stdin=content)
    assert hashlib.sha256(content).hexdigest() in outcome.stdout
    assert "are cut after" in outcome.stderr


def test_directories_patterns_and_files_arrive_with_a_checksum_file(
    client: Client, site: Site, file: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "results" / "deep").mkdir(parents=True)
    names = ["results/a.txt", "results/deep/b.txt", "c.bam", "d.bam", "back\\slash.txt"]
    paths = [file(1000 + number, name) for number, name in enumerate(names)]
    sums = tmp_path / "SHA256SUMS"
    receipts = client.receipts(
        "-j", 3, "--checksum-file", sums,
        tmp_path / "results", tmp_path / "?.bam", paths[4], paths[2],
    )  # fmt: skip
    assert sorted(r["sha256"] for r in receipts) == sorted(map(sha256, paths))
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", sums], check=True)
    [deep] = [r for r in receipts if r["name"] == "b.txt"]
    assert described(site, deep)["fields"] == {"relativePath": ["results/deep/b.txt"]}


def test_one_bad_file_of_several_does_not_hold_the_others_up(
    client: Client, hop: Hop, file: Callable[..., Path]
) -> None:
    hop.faults.largest = 1
    paths = [file(3 * MIB, "large"), file(0, "empty")]
    outcome = client.through(hop.port)("--json", *paths, code=REFUSED)
    first, second = map(json.loads, outcome.stdout.splitlines())
    assert (first["exit_code"], second["size"]) == (REFUSED, 0)
    assert f"push.py: {paths[0]}: " in outcome.stderr


@pytest.mark.parametrize("jobs", [1, 4])
def test_the_rate_is_kept_by_all_connections_together(
    client: Client, file: Callable[..., Path], jobs: int
) -> None:
    [receipt] = client.receipts("--limit-rate", "40M", "-j", jobs, file(96 * MIB))
    assert receipt["mb_per_second"] < 44


def test_nine_gibibytes_over_four_connections_take_less_than_sixty_mebibytes(
    client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "huge.img"
    path.touch()
    os.truncate(path, 9 << 30)
    peak = 0
    with client.start("--json", "-j", 4, path) as process:
        # The system's own maximum counts the process that it was forked from, too.
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            peak = int(found[1]) if found else peak
            threading.Event().wait(0.1)
        out, err = process.communicate()
    assert process.returncode == DONE, err
    assert json.loads(out)["size"] == 9 << 30
    assert 20 * 1024 < peak < 60 * 1024


@pytest.mark.parametrize("jobs", [1, 4])
def test_the_disk_is_read_once(client: Client, file: Callable[[int], Path], jobs: int) -> None:
    """Several connections read a file, and its SHA-256 near them, from memory."""
    path = file(1 << 30)
    if os.major(path.stat().st_dev) == 0:
        pytest.skip("the file is in memory, or what its file system reads is not counted")
    with path.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock
    client.receipts("-j", jobs, path)
    blocks = resource.getrusage(resource.RUSAGE_CHILDREN).ru_inblock - before
    assert 0.95 < blocks * 512 / path.stat().st_size < 1.1
