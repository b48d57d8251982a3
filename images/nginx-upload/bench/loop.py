"""The event loop: how long a small page takes while four uploads keep the one worker busy."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import Any

import kinds
import servers
from kinds import APPEND_SHA256, FORM_SHA256, WEBDAV, Kind, say
from servers import HTTP_PORT, Settings

CLIENTS = 4
INTERVAL = 5  # milliseconds between two requests
SECONDS = 2
SIZE = 6 * kinds.GIB  # of all uploads: they must outlast the requests


def probe() -> dict[str, float]:
    """Ask every INTERVAL, before all others on this machine: a late question would be no measurement."""
    command = ["nice", "-n", "-20", "bench-probe"]
    command += [str(HTTP_PORT), "/probe", str(INTERVAL), str(SECONDS)]
    found: dict[str, float] = json.loads(subprocess.check_output(command))
    return found


def under_load(kind: Kind, settings: Settings) -> dict[str, float]:
    with kinds.cleared():
        kinds.warm(SIZE)
        with kind.start(settings, tls=False).running():
            failed: list[BaseException] = []

            def load() -> None:
                try:
                    kinds.send(kind, SIZE // CLIENTS, tls=False, clients=CLIENTS)
                except BaseException as e:  # noqa: BLE001 raised below, in the main thread
                    failed.append(e)

            thread = threading.Thread(target=load)
            thread.start()
            time.sleep(0.3)
            found = probe()
            outlasted = thread.is_alive()
            thread.join()
            if failed:
                raise failed[0]
            if not outlasted:
                raise RuntimeError("the uploads ended before the requests: raise SIZE in loop.py")
            return found


def run(selected: list[Kind], settings: Settings, *, rounds: int) -> dict[str, Any]:
    """Return the percentiles of each round: of an idle server, and of each kind of upload."""
    found: dict[str, Any] = {}
    group = [kind for kind in (WEBDAV, FORM_SHA256, APPEND_SHA256) if kind in selected]
    for turn in range(rounds):
        with servers.webdav(settings).running():
            found.setdefault("idle", []).append(probe())
        for kind in group:
            found.setdefault(kind.name, []).append(under_load(kind, settings))
        for name, several in found.items():
            one = several[-1]
            say(f"event loop round {turn + 1}/{rounds} {name}: {json.dumps(one)}")
    return found
