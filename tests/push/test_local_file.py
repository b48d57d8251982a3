"""The file itself: missing, of another kind, or changed by somebody else while it is sent."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Callable

import pytest

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from conftest import Push
    from upload_server import Exchange, Server

    Serve = Callable[..., Server]

LOCAL_FILE = 3
LARGE = 64 << 20


def test_a_missing_file_is_told(push: Push) -> None:
    outcome = push("nowhere.bam")
    assert outcome.code == LOCAL_FILE
    assert "nowhere.bam cannot be read: no such file or directory" in outcome.sentence


def test_a_directory_without_files_is_told(push: Push) -> None:
    (push.home / "empty" / "below").mkdir(parents=True)
    outcome = push("empty")
    assert outcome.code == LOCAL_FILE
    assert "empty is a directory without files" in outcome.sentence


def test_a_pattern_that_matches_nothing_is_told(push: Push) -> None:
    outcome = push("*.bam")
    assert outcome.code == LOCAL_FILE
    assert "Nothing matches *.bam" in outcome.sentence


def test_a_pipe_is_refused_and_not_waited_for(push: Push) -> None:
    os.mkfifo(push.home / "pipe")
    outcome = push("pipe")
    assert outcome.code == LOCAL_FILE
    assert "pipe is not a regular file" in outcome.sentence


def test_a_file_that_cannot_be_opened_is_told(push: Push) -> None:
    (push.home / "loop").symlink_to("loop")
    outcome = push("loop")
    assert outcome.code == LOCAL_FILE
    assert "loop cannot be read: too many levels of symbolic links" in outcome.sentence


def grow(file: Path) -> None:
    with file.open("ab") as end:
        end.write(b"more")


def shrink(file: Path) -> None:
    os.truncate(file, LARGE // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def overwrite(file: Path) -> None:
    with file.open("r+b") as start:
        start.write(b"other")
    os.utime(file, ns=(0, 0))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (grow, f"from {LARGE} bytes to {LARGE + 4} bytes"),
        (shrink, f"from {LARGE} bytes to {LARGE // 2} bytes"),
        (empty, f"from {LARGE} bytes to 0 bytes"),
        (overwrite, "in place"),
    ],
)
def test_a_file_that_changes_while_it_is_sent_is_told_and_never_sent_to_its_end(
    push: Push,
    serve: Serve,
    either: ssl.SSLContext | None,
    change: Callable[[Path], None],
    told: str,
) -> None:
    file = push.file(size=LARGE)

    def script(exchange: Exchange) -> None:
        exchange.go_ahead()
        exchange.take(1 << 20)
        change(file)
        assert exchange.bytes_until_the_end() < exchange.length - (1 << 20)

    outcome = push(file, to=serve(script, either))
    assert outcome.code == LOCAL_FILE
    assert f"changed while it was being sent ({told})" in outcome.sentence
    assert "run again" in outcome.sentence
