"""HTTP/1.1, HTTP/2 and HTTP/3 with one client, curl, without and with a long line between client and server."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kinds
import servers
from kinds import APPEND_SHA256, FORM_SHA256, SOURCE, WEBDAV, Kind, say
from servers import HTTPS_PORT, Server, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROTOCOLS = {"HTTP/1.1": "--http1.1", "HTTP/2": "--http2", "HTTP/3": "--http3-only"}
VERSIONS = {"HTTP/1.1": "1.1", "HTTP/2": "2", "HTTP/3": "3"}

BOUNDARY = "bench7754266"
DEVICE = "bench0"
HERE, THERE = "10.9.0.1", "10.9.0.2"  # of the long line; both are this machine, see delay.c

MIB = kinds.MIB
# round trip in milliseconds: how much is sent over it
LINES = {0: 512 * MIB, 50: 256 * MIB}
HTTP3_PART = 8  # HTTP/3 is given that part of it only: with small windows it takes minutes


@contextlib.contextmanager
def line(round_trip: int) -> Iterator[str]:
    """Give the address at which this machine is reached over a line with this round trip."""
    if not round_trip:
        yield "127.0.0.1"
        return
    with subprocess.Popen(["bench-delay", DEVICE, str(round_trip / 2)]) as delay:
        try:
            while not Path(f"/sys/class/net/{DEVICE}").exists():
                if delay.poll() is not None:
                    raise RuntimeError("the long line needs /dev/net/tun and NET_ADMIN")
                time.sleep(0.01)
            subprocess.run(["ip", "address", "add", f"{HERE}/30", "dev", DEVICE], check=True)
            command = f"ip link set {DEVICE} up mtu 1500 txqueuelen 100000"
            subprocess.run(command.split(), check=True)
            yield THERE
        finally:
            delay.terminate()


def connect_time(address: str) -> float:
    """Return the milliseconds that a connection takes: one round trip."""
    started = time.monotonic()
    with socket.create_connection((address, HTTPS_PORT)):
        return (time.monotonic() - started) * 1000


def part_head() -> bytes:
    """Return what comes before the file in a form."""
    disposition = 'Content-Disposition: form-data; name="file"; filename="f.bin"'
    return f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode()


def write_body(path: Path, size: int, *, form: bool) -> None:
    """Write the body that curl sends: the beginning of the source, in a form or as it is."""
    with path.open("wb") as target, SOURCE.open("rb") as source:
        if form:
            target.write(part_head())
        for _ in range(size // MIB):
            target.write(source.read(MIB))
        if form:
            target.write(f"\r\n--{BOUNDARY}--\r\n".encode())


def upload(kind: Kind, protocol: str, address: str, body: Path, size: int) -> dict[str, float]:
    """Upload with curl; return the seconds, and the part of them that curl itself was busy."""
    command = ["curl", "--silent", "--show-error", "--insecure", "--output", "/dev/null"]
    command += [PROTOCOLS[protocol], "--write-out", "%{json}", "--header", "Expect:"]
    command += ["--upload-file", str(body)]
    if kind.form:
        command += ["--request", "POST"]
        command += ["--header", f"Content-Type: multipart/form-data; boundary={BOUNDARY}"]
    path = kind.path.replace("@", "0")
    before = kinds.children_cpu()
    done = json.loads(subprocess.check_output([*command, f"https://{address}:{HTTPS_PORT}{path}"], timeout=300))
    busy = (kinds.children_cpu() - before) / done["time_total"]
    if done["http_code"] not in {200, 201, 204} or done["http_version"] != VERSIONS[protocol]:
        log = (servers.RUN / "server.log").read_text()
        raise RuntimeError(f"{kind.name} over {protocol}: {done['http_code']}\n{log}")
    sizes = [stored.stat().st_size for stored in kinds.stored()]
    if sizes != [size]:
        raise RuntimeError(f"{kind.name} over {protocol} stored {sizes}, not {size} bytes")
    return {"seconds": done["time_total"], "bytes": size, "busy": busy}


def start(kind: Kind) -> Callable[[Settings], Server]:
    return servers.windowed_webdav if kind is WEBDAV else kind.server


def run(
    selected: list[Kind],
    settings: Settings,
    *,
    round_trips: list[int],
    protocols: list[str],
    rounds: int,
) -> list[dict[str, Any]]:
    """Return for each line what each kind's runs found over each protocol."""
    group = [kind for kind in (WEBDAV, FORM_SHA256, APPEND_SHA256) if kind in selected]
    found = []
    for round_trip in round_trips:
        size = LINES[round_trip]
        runs: dict[str, dict[str, list[dict[str, float]]]] = {}
        connect = 0.0
        bodies = {}
        for form in (False, True):
            for part in (size, size // HTTP3_PART):
                bodies[form, part] = SOURCE.with_name(f"body-{form}-{part}")
                write_body(bodies[form, part], part, form=form)
        with line(round_trip) as address:
            for turn in range(rounds):
                for kind in group:
                    for protocol in protocols:
                        part = size // HTTP3_PART if protocol == "HTTP/3" else size
                        body = bodies[kind.form, part]
                        with kinds.cleared():
                            kinds.warm(part)
                            with start(kind)(settings).running() as server:
                                connect = connect_time(address)
                                before = server.cpu()
                                one = upload(kind, protocol, address, body, part)
                                one["cpu"] = server.cpu() - before
                        runs.setdefault(kind.name, {}).setdefault(protocol, []).append(one)
                        say(
                            f"{round_trip} ms round {turn + 1}/{rounds} {kind.name} {protocol}: "
                            f"{part / one['seconds'] / 1e6:.0f} MB/s, curl {one['busy']:.0%} busy"
                        )
        for path in bodies.values():
            path.unlink()
        found.append({"round_trip": round_trip, "connect": round(connect, 1), "size": size, "runs": runs})
    return found


def curl_version() -> str:
    text = subprocess.check_output([shutil.which("curl") or "curl", "--version"], text=True)
    return " ".join(text.split()[:2])
