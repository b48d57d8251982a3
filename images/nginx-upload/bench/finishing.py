"""How long the end of a tus upload takes: the last of many pieces, and parts that are joined."""

from __future__ import annotations

import contextlib
import hashlib
import http
import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

import kinds
import tus
from kinds import SOURCE, TUS, say
from servers import HTTP_PORT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import Settings

PIECES = 40
PARTS = 4
POLL_SECONDS = 0.05


def run(settings: Settings, *, rounds: int, large: int) -> dict[str, list[dict[str, Any]]]:
    """Return what each round found of pieces and of parts, in milliseconds and seconds."""
    found: dict[str, list[dict[str, Any]]] = {"pieces": [], "parts": []}
    for turn in range(rounds):
        with served(settings, large):
            found["pieces"].append(send_pieces(large))
        with served(settings, large):
            found["parts"].append(join_parts(large))
        pieces, parts = found["pieces"][-1], found["parts"][-1]
        say(f"pieces round {turn + 1}/{rounds}: {pieces['median']:.1f} ms, the last {pieces['last']:.1f} ms")
        say(f"parts round {turn + 1}/{rounds}: {parts['answer']:.1f} ms, SHA-256 after {parts['digest']:.1f} s")
    return found


@contextlib.contextmanager
def served(settings: Settings, size: int) -> Iterator[None]:
    with kinds.cleared():
        kinds.warm(size)
        with TUS.start(settings, tls=False).running():
            yield


def send_pieces(size: int) -> dict[str, float]:
    """Upload in pieces; return the milliseconds from the last byte of each to its answer."""
    piece = -(-size // PIECES)
    path = tus.create(tus.authorization(), Upload_Length=str(size))
    offsets = range(0, size, piece)
    milliseconds = [patch(path, offset, min(piece, size - offset)) * 1000 for offset in offsets]
    *others, last = milliseconds
    return {"median": sorted(others)[len(others) // 2], "slowest": max(others), "last": last}


def join_parts(size: int) -> dict[str, float]:
    """Upload parts and join them; return the milliseconds of the answer, and the seconds to the digest."""
    length = size // PARTS
    paths = []
    for _ in range(PARTS):
        paths.append(tus.create(tus.authorization(), Upload_Length=str(length), Upload_Concat="partial"))
        patch(paths[-1], 0, length)
    started = time.monotonic()
    path = tus.create(tus.authorization(), Upload_Concat=f"final;{' '.join(paths)}")
    answered = time.monotonic()
    while not (found := tus.digest(path)):
        time.sleep(POLL_SECONDS)
    stood = time.monotonic()
    (stored,) = kinds.stored()
    with stored.open("rb") as f:
        if hashlib.file_digest(f, "sha256").hexdigest() != found:
            raise RuntimeError("the joined file has another digest than was recorded")
    return {"answer": (answered - started) * 1000, "digest": stood - started}


def patch(path: str, offset: int, size: int) -> float:
    """Append to an upload; return the seconds from the last byte to the answer."""
    command = ["bench-send", *tus.chunk(tus.authorization(), offset), str(HTTP_PORT), path, str(size), str(SOURCE)]
    (upload,) = json.loads(subprocess.check_output(command))["uploads"]
    if upload["status"] != http.HTTPStatus.NO_CONTENT:
        raise RuntimeError(f"a piece was refused: {upload}")
    return float(upload["answer_seconds"])
