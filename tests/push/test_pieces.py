"""Pieces of one file over several connections: how far the sending may be ahead of the SHA-256."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PIECE = 4 << 20  # as the system lets go of 2 MiB at once
COUNT = 8


@pytest.fixture
def file(module: Any, tmp_path: Path) -> Iterator[Any]:
    """A file that is sent, all of it in the system's memory."""
    path = tmp_path / "run.bam"
    with path.open("wb") as opened:
        opened.write(os.urandom(COUNT * PIECE))
        os.fsync(opened.fileno())  # what is not on the disk yet stays in memory anyway
    with module.LocalFile(path) as local:
        yield local


@pytest.fixture
def pieces(module: Any, file: Any) -> Callable[[int], Any]:
    """Cut the file into pieces: a function of how many may be handed out and not hashed."""

    def cut(ahead: int) -> Any:
        stretches = [module.Stretch(n * PIECE, (n + 1) * PIECE) for n in range(COUNT)]
        return module.Pieces(file, stretches, ahead)

    return cut


def taken_in_a_thread(pieces: Any) -> tuple[threading.Thread, list[Any]]:
    """Take the next piece in a thread, and return where it will be."""
    taken: list[Any] = []
    thread = threading.Thread(target=lambda: taken.append(pieces.take()), daemon=True)
    thread.start()
    return thread, taken


def test_a_connection_that_is_too_far_ahead_waits_for_the_hash(
    pieces: Callable[[int], Any],
) -> None:
    some = pieces(2)
    hashing = some.to_hash()
    assert [some.take(), some.take()] == [0, 1]
    thread, taken = taken_in_a_thread(some)
    assert next(hashing).start == 0
    thread.join(0.2)
    assert taken == []
    assert next(hashing).start == PIECE  # the first one is hashed
    thread.join(10)
    assert taken == [2]


def test_the_hash_waits_until_a_piece_is_handed_out(
    module: Any, pieces: Callable[[int], Any]
) -> None:
    some = pieces(COUNT)
    hashed: list[int] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            hashed.extend(stretch.start for stretch in some.to_hash())
        except module.StoppedError as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    some.take()
    thread.join(0.2)
    assert thread.is_alive()
    some.stop()
    thread.join(10)
    assert len(failures) == 1
    assert some.take() is None


def test_every_piece_is_handed_out_once_and_hashed_in_order(pieces: Callable[[int], Any]) -> None:
    some = pieces(3)
    sent: list[int] = []
    senders = [
        threading.Thread(target=lambda: sent.extend(iter(some.take, None)), daemon=True)
        for _ in range(3)
    ]
    for sender in senders:
        sender.start()
    assert [stretch.start for stretch in some.to_hash()] == [n * PIECE for n in range(COUNT)]
    for sender in senders:
        sender.join(10)
    assert sorted(sent) == list(range(COUNT))


@pytest.mark.parametrize("large", [True, False])
def test_what_is_sent_and_hashed_of_a_large_file_leaves_the_memory(
    module: Any,
    pieces: Callable[[int], Any],
    file: Any,
    monkeypatch: pytest.MonkeyPatch,
    large: bool,
) -> None:
    if os.major(file.path.stat().st_dev) == 0:
        pytest.skip("the file has no disk below it")
    monkeypatch.setattr(module, "LARGE_FILE", file.size + (not large))
    some = pieces(COUNT)
    assert in_memory(file.path) == file.size
    assert [some.take() for _ in range(COUNT)] == list(range(COUNT))
    for number, _ in zip(range(COUNT // 2), some.to_hash()):
        some.over(number)
    kept = in_memory(file.path)
    # The last one of the half is hashed when the next one is asked for, which nobody did.
    assert kept == file.size - large * (COUNT // 2 - 1) * PIECE


def in_memory(path: Path) -> int:
    """Return how many bytes of a file the system has in its memory."""
    command = ["fincore", "--bytes", "--noheadings", "--output", "RES", str(path)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
