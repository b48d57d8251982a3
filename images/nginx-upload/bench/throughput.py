"""How fast, at what cost: all kinds side by side, in turn, so that a slow moment of the machine hits all of them."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import kinds
from kinds import AFTERWARDS, Kind, Run, say

if TYPE_CHECKING:
    from servers import Settings

LISTENERS = {"plain": False, "tls": True}


def takes_part(kind: Kind, listener: str, clients: int) -> bool:
    return not (kind.plain_only and LISTENERS[listener]) and not (kind.one_client and clients > 1)


def run(
    selected: list[Kind],
    settings: Settings,
    *,
    listeners: list[str],
    clients: list[int],
    rounds: int,
    size: int,
) -> list[dict[str, Any]]:
    """Return for each listener and number of clients what each kind's runs found."""
    found = []
    for listener in listeners:
        for number in clients:
            group = [kind for kind in selected if takes_part(kind, listener, number)]
            runs: dict[str, list[Run]] = {}
            if number == clients[0]:
                for kind in group:
                    kinds.verify(kind, settings, tls=LISTENERS[listener])
            for turn in range(rounds):
                # whoever comes after another is not always the same one
                first = turn % len(group)
                for kind in group[first:] + group[:first]:
                    if kind.slow and turn >= kinds.SLOW_ROUNDS:
                        continue
                    measured = kinds.measure(
                        kind,
                        settings,
                        min(size, kinds.SLOW_SIZE) if kind.slow else size,
                        tls=LISTENERS[listener],
                        clients=number,
                    )
                    for name, one in zip([kind.name, AFTERWARDS], measured, strict=False):
                        runs.setdefault(name, []).append(one)
                        say(
                            f"{listener} x{number} round {turn + 1}/{rounds} {name}: "
                            f"{one.speed:.0f} MB/s, {one.cpu_per_gib:.2f} s/GiB, "
                            f"{one.memory / kinds.MIB:.1f} MiB"
                        )
            found.append(
                {
                    "listener": listener,
                    "clients": number,
                    "size": size,
                    "runs": {name: [dataclasses.asdict(one) for one in several] for name, several in runs.items()},
                }
            )
    return found
