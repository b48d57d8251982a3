"""From the last byte to the answer: what a large file still costs when the client has sent all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kinds
from kinds import Kind, say

if TYPE_CHECKING:
    from servers import Settings

KINDS = ["form-sha256", "form-sha256-fsync", "append-sha256"]
SMALL = kinds.MIB


def run(selected: list[Kind], settings: Settings, *, rounds: int, large: int) -> dict[str, dict[str, list[float]]]:
    """Return for each kind the milliseconds of small and of large files."""
    found: dict[str, dict[str, list[float]]] = {}
    group = [kind for kind in selected if kind.name in KINDS]
    for turn in range(rounds):
        for kind in group:
            for label, size in (("small", SMALL), ("large", large)):
                (run,) = kinds.measure(kind, settings, size, tls=False, clients=1)
                milliseconds = run.answer_seconds * 1000
                found.setdefault(kind.name, {}).setdefault(label, []).append(milliseconds)
                say(f"answer round {turn + 1}/{rounds} {kind.name} {label}: {milliseconds:.1f} ms")
    return found
