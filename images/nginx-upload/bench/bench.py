"""The benchmark of the module, in a container of its own: see ../bench.sh."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import answers
import finishing
import kinds
import kit
import loop
import memory
import report
import throughput
import transports
from kinds import GIB, KINDS, Kind, say
from servers import MODULE, NGINX, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

KIT = Path("/kit")
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_size(text: str) -> int:
    match = re.fullmatch(r"(\d+)([kmg]?)(?:ib?)?", text.lower())
    if not match:
        raise argparse.ArgumentTypeError(f"{text} is no size: write 4g, 512m or bytes")
    return int(match.group(1)) * UNITS[match.group(2)]


def words(text: str) -> list[str]:
    return text.split(",")


def numbers(text: str) -> list[int]:
    return [int(word) for word in words(text)]


def parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="images/nginx-upload/bench.sh", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="2 rounds of 1 GiB: to see that it works")
    add("--only", type=words, default=list(report.SECTIONS), help="sections, of %(default)s")
    add("--kinds", type=words, help=f"of {[kind.name for kind in KINDS]}")
    add("--listeners", type=words, default=["plain", "tls"])
    add("--clients", type=numbers, default=[1, 4])
    add("--protocols", type=words, default=list(transports.PROTOCOLS))
    add("--round-trips", type=numbers, default=list(transports.LINES), help="milliseconds")
    add("--rounds", type=int, help="5")
    add("--size", type=parse_size, help="of all clients' files together in a round: 4g")
    add("--large", type=parse_size, help="the large file of the section answers: 9g")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="directive of http {}")
    add("--main", default="", help="directives outside of http {}")
    add("--listen", default="", help="parameters of listen, as rcvbuf=1m")
    add("--buffers", default="256k,3", help="of the bare program: bytes of one, number")
    add("--module", type=Path, default=MODULE, help="another build of it")
    add("--markdown", type=Path, help="write the report there too")
    add("--json", type=Path, help="write everything that was found there")
    add("--load", type=Path, help="measure nothing: report what --json wrote")
    return parser.parse_args(argv)


def settings_of(arguments: argparse.Namespace) -> Settings:
    http = kit.tuning(KIT)
    http.update(pair.split("=", 1) for pair in arguments.set)
    size, count = words(arguments.buffers)
    return Settings(
        module=arguments.module,
        http=http,
        listen=arguments.listen,
        main=arguments.main,
        buffers=(parse_size(size), int(count)),
    )


def selected_kinds(arguments: argparse.Namespace, settings: Settings) -> list[Kind]:
    wanted = arguments.kinds or [kind.name for kind in KINDS]
    unknown = set(wanted) - {kind.name for kind in KINDS}
    if unknown:
        raise RuntimeError(f"no kind {unknown}: there are {[kind.name for kind in KINDS]}")
    found = []
    for kind in KINDS:
        if kind.name in wanted and kind.directive and not settings.has(kind.directive):
            say(f"without {kind.name}: the module has no {kind.directive}")
        elif kind.name in wanted:
            found.append(kind)
    return found


def machine(settings: Settings) -> dict[str, Any]:
    """Describe where the figures come from, without names."""
    cpu = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    version = subprocess.run([NGINX, "-v"], capture_output=True, text=True, check=True).stderr
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cores": os.cpu_count(),
        "cpu": cpu.group(1) if cpu else platform.machine(),
        "memory": round(pages / GIB),
        "kernel": re.match(r"\d+\.\d+", platform.release()).group(),  # type: ignore[union-attr]
        "nginx": version.split(": ")[1].strip(),
        "curl": transports.curl_version(),
        "settings": [f"{name} {value}" for name, value in settings.http.items()]
        + [text for text in (settings.main, settings.listen) if text],
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    settings = settings_of(arguments)
    selected = selected_kinds(arguments, settings)
    rounds = arguments.rounds or (2 if arguments.quick else 5)
    few = min(rounds, 3)
    size = arguments.size or (GIB if arguments.quick else 4 * GIB)
    large = arguments.large or (2 * GIB if arguments.quick else 9 * GIB)
    kinds.prepare(max(size, large, loop.SIZE))
    results: dict[str, Any] = {
        "command": "make bench-module",
        "options": {"rounds": rounds, "size": size, "large": large, "argv": sys.argv[1:]},
        "machine": machine(settings),
    }
    sections: dict[str, Callable[[], Any]] = {
        "throughput": lambda: throughput.run(
            selected,
            settings,
            listeners=arguments.listeners,
            clients=arguments.clients,
            rounds=rounds,
            size=size,
        ),
        "transports": lambda: transports.run(
            selected,
            settings,
            round_trips=arguments.round_trips,
            protocols=arguments.protocols,
            rounds=few,
        ),
        "loop": lambda: loop.run(selected, settings, rounds=few),
        "memory": lambda: memory.run(selected, settings),
        "answers": lambda: answers.run(selected, settings, rounds=few, large=large),
        "finishing": lambda: finishing.run(settings, rounds=few, large=large),
    }
    unknown = set(arguments.only) - sections.keys()
    if unknown:
        raise RuntimeError(f"no section {unknown}: there are {list(sections)}")
    for name in arguments.only:
        started = time.monotonic()
        results[name] = sections[name]()
        say(f"== {name}: {time.monotonic() - started:.0f} seconds")
    return results


def main() -> int:
    arguments = parse_arguments(sys.argv[1:])
    try:
        results = json.loads(arguments.load.read_text()) if arguments.load else measure(arguments)
    except (RuntimeError, OSError, subprocess.SubprocessError) as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    text = report.render(results)
    if arguments.markdown:
        arguments.markdown.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
