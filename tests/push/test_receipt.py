"""A good upload: what arrives, and what the person sees of it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest
from conftest import Outcome, receive
from upload_server import UPLOAD_URL, Exchange

if TYPE_CHECKING:
    import ssl

    from conftest import Push
    from upload_server import Part, Server

    Serve = Callable[..., Server]

MB = 10**6
ZEROES = {  # two GiB of them
    "size": 2 << 30,
    "sha256": "a7c744c13cc101ed66c29f672f92455547889cc586ce6d44fe76ae824958ea51",
}


def test_the_file_arrives_whole_in_the_part_named_file(
    push: Push, serve: Serve, either: ssl.SSLContext | None
) -> None:
    content = os.urandom(3 * MB + 17)
    parts: list[Part] = []

    def script(exchange: Exchange) -> None:
        assert exchange.line == "POST /upload HTTP/1.1"
        exchange.go_ahead()
        parts.append(exchange.form())
        exchange.stored(parts[0])

    outcome = push(push.file(content=content), to=serve(script, either))
    assert outcome.code == 0, outcome.err
    assert parts[0].field == "file"
    assert parts[0].name == "run.bam"
    assert parts[0].sha256 == hashlib.sha256(content).hexdigest()


def test_the_receipt_is_on_stdout_and_begins_with_the_status_line(push: Push, serve: Serve) -> None:
    content = b"reads" * 1000
    outcome = push(push.file(content=content), to=serve(receive))
    status, name, size, digest, seconds, speed, url = outcome.out.splitlines()
    assert status == "[Return status 200 Upload Complete]"
    assert name == "Name:    run.bam"
    assert size == "Size:    5000 bytes (5.0 kB)"
    assert digest == "SHA-256: " + hashlib.sha256(content).hexdigest()
    assert re.fullmatch(r"Seconds: \d+\.\d\d", seconds)
    assert re.fullmatch(r"MB/s:    \d+\.\d", speed)
    assert url == f"URL:     {UPLOAD_URL}"
    assert outcome.err == "[0 of 0 MB]\n"


def test_quiet_prints_nothing_when_all_is_well(push: Push, serve: Serve) -> None:
    assert push("--quiet", push.file(size=MB), to=serve(receive)) == Outcome(0, "", "")


def test_away_from_a_terminal_progress_is_one_line_for_every_ten_percent(
    push: Push, serve: Serve
) -> None:
    outcome = push(push.file(size=100 * MB), to=serve(receive))
    assert len(outcome.progress) == 10
    assert outcome.progress[-1] == "[100 of 100 MB]"
    assert "\r" not in outcome.err


@pytest.fixture
def plain(push: Push) -> Push:
    """push.py where rich is not installed."""
    (push.home / "rich.py").write_text("raise ImportError\n")
    return push


def test_on_a_terminal_progress_stays_on_one_line(plain: Push, serve: Serve) -> None:
    outcome = plain.on_a_terminal(plain.file(size=100 * MB), to=serve(receive))
    assert outcome.err.endswith("\r[100 of 100 MB]\r\n")
    assert outcome.err.count("\n") == 1
    assert outcome.out.startswith("[Return status 200 Upload Complete]\n")


def test_on_a_terminal_the_line_has_the_rate_and_the_time_left(plain: Push, serve: Serve) -> None:
    file = plain.file(size=30 * MB)
    shown = plain.on_a_terminal("--limit-rate", "10M", file, to=serve(receive)).err
    found = re.findall(r"\r\[(\d+) of 30 MB\] (\d+\.\d) MB/s, 0:0(\d) left", shown)
    assert_tells_the_truth(found)
    # What a longer line left behind is wiped out.
    assert re.search(r"\r +(\r\[30 of 30 MB\])+\r\n$", shown)


def assert_tells_the_truth(found: list[tuple[str, str, str]]) -> None:
    """Check MB, MB/s and seconds of lines about 30 MB at 10 MB/s."""
    assert found
    for done, rate, left in found:
        assert 8 < float(rate) < 12
        assert abs(int(left) - (30 - int(done)) / 10) < 1.5


def test_where_rich_is_installed_the_line_has_a_bar_as_well(push: Push, serve: Serve) -> None:
    pytest.importorskip("rich")
    file = push.file(size=30 * MB)
    env = {"TERM": "xterm-256color"}
    outcome = push.on_a_terminal("--limit-rate", "10M", file, to=serve(receive), env=env)
    lines = re.sub(r"\x1b\[[0-9;]*[mK]", "", outcome.err).split("\r")
    assert "\x1b[?25l" not in outcome.err, "a kill would leave the cursor hidden"
    assert lines[-1] == "\n"
    assert re.fullmatch(r"\[30 of 30 MB\] ━{60,}", lines[-2].rstrip())
    assert all(len(line) < 80 for line in lines)
    rates = [
        re.fullmatch(r"\[(\d+) of 30 MB\] [━╸╺]+(?: (.+) MB/s, 0:0(.) left)", x) for x in lines
    ]
    assert_tells_the_truth([found.groups() for found in rates if found])


def test_a_terminal_without_colours_has_the_plain_line(push: Push, serve: Serve) -> None:
    file = push.file(size=30 * MB)
    outcome = push.on_a_terminal(file, to=serve(receive), env={"TERM": "dumb"})
    assert outcome.err.endswith("\r[30 of 30 MB]\r\n")


@pytest.mark.parametrize(
    "name",
    [
        'sample "A".fastq.gz',
        "Probe Müller 東京 🧬.bam",
        " two  spaces .txt",
        "50%22 done.txt",
        "back\\slash; semi=colon.txt",
    ],
)
def test_a_file_name_arrives_as_browsers_send_it(push: Push, serve: Serve, name: str) -> None:
    raw = []

    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        head = exchange.stream.peek(4096)
        raw.append(re.search(rb'filename="([^"\r\n]*)"\r\n', head))
        exchange.stored(exchange.form(), name=name)

    outcome = push(push.file(name, content=b"x"), to=serve(script))
    assert outcome.code == 0, outcome.err
    assert raw[0]
    assert raw[0][1].decode() == name.replace('"', "%22")
    assert f"Name:    {' '.join(name.split())}\n" in outcome.out


def test_only_the_base_name_is_sent(push: Push, serve: Serve) -> None:
    (push.home / "deep").mkdir()
    outcome = push(push.file("deep/run.bam").relative_to(push.home), to=serve(receive))
    assert "Name:    run.bam\n" in outcome.out


def test_a_name_that_is_not_utf_8_is_sent_with_replacement_characters(
    push: Push, serve: Serve
) -> None:
    path = os.path.join(os.fsencode(push.home), b"caf\xe9.txt")  # noqa: PTH118 - bytes
    with open(path, "wb") as file:  # noqa: PTH123 - bytes
        file.write(b"x")
    outcome = push(os.fsdecode(path), to=serve(receive))
    assert "Name:    caf\ufffd.txt\n" in outcome.out


def test_an_empty_file_is_a_file(push: Push, serve: Serve, either: Any) -> None:
    outcome = push(push.file(), to=serve(receive, either))
    assert outcome.code == 0, outcome.err
    assert "Size:    0 bytes (0 bytes)\n" in outcome.out
    assert "SHA-256: " + hashlib.sha256().hexdigest() in outcome.out


def test_two_gigabytes_take_no_more_memory_than_a_small_file(
    push: Push, serve: Serve, tls: ssl.SSLContext, ca_file: Path
) -> None:
    peaks: list[int] = []
    processes: list[Any] = []

    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.take(exchange.length)
        # The client waits for the answer: all of its life that counts is behind it.
        status = Path(f"/proc/{processes[0].pid}/status").read_text()
        peaks.extend(int(kib) for kib in re.findall(r"VmHWM:\s+(\d+) kB", status))
        exchange.answer("200 OK", {"uploads": [{**ZEROES, "name": "run.bam", "url": "u"}]})

    server = serve(script, tls)
    file = push.file(size=2 << 30)
    processes.append(push.start("--ca-file", ca_file, file, to=server))
    with processes[0] as process:
        out, err = process.communicate(timeout=50)
    assert process.returncode == 0, err
    assert "Size:    2147483648 bytes (2.1 GB)\n" in out
    assert peaks[0] < 60 * 1024


def test_more_than_four_gigabytes_are_announced_with_their_exact_length(
    push: Push, serve: Serve
) -> None:
    lengths = []

    def script(exchange: Exchange) -> None:
        lengths.append(exchange.length)
        exchange.problem("413 Content Too Large", "too large", max_size=1)

    push(push.file(size=5 << 30), to=serve(script))
    assert 0 < lengths[0] - (5 << 30) < 400
