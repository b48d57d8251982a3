"""The report in Markdown, from what the sections found."""

from __future__ import annotations

from statistics import median
from typing import Any

from kinds import AFTERWARDS, TITLES

GIB = 1 << 30
MIB = 1 << 20

Results = dict[str, Any]
Runs = dict[str, list[dict[str, float]]]

LISTENERS = {"plain": "Plain HTTP", "tls": "TLS 1.3"}


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines] + [""]


def speed(runs: list[dict[str, float]]) -> float:
    """MB/s."""
    return median(run["bytes"] / run["seconds"] / 1e6 for run in runs)


def cpu(runs: list[dict[str, float]]) -> float:
    """Server's CPU seconds per GiB."""
    return median(run["cpu"] / run["bytes"] * GIB for run in runs)


def ratio(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> float:
    """Return the median of how many times faster we were in the same round."""
    return median((a["bytes"] / a["seconds"]) / (b["bytes"] / b["seconds"]) for a, b in zip(ours, theirs, strict=False))


def size(count: float) -> str:
    return f"{count / GIB:g} GiB" if count >= GIB else f"{count / MIB:g} MiB"


def machine(results: Results) -> list[str]:
    facts = results["machine"]
    return [
        f"{facts['cores']} cores ({facts['cpu']}), {facts['memory']} GiB of memory, Linux {facts['kernel']};",
        f"{facts['nginx']}, one worker; {facts['curl']}. Client and server share the cores.",
        "",
        "The module runs with " + ", ".join(f"`{s}`" for s in facts["settings"]) + ".",
        "",
    ]


def throughput(results: Results) -> list[str]:
    lines: list[str] = []
    for group in results["throughput"]:
        clients = group["clients"]
        of = f"{clients} clients, {size(group['size'] / clients)} each"
        one = f"1 client, {size(group['size'])}"
        lines += [f"### {LISTENERS[group['listener']]}, {one if clients == 1 else of}", ""]
        runs: Runs = group["runs"]
        base = runs.get("webdav")
        rows = []
        for name, title in TITLES.items():
            if name not in runs:
                continue
            several = runs[name]
            part = f" ({size(several[0]['bytes'])})" if several[0]["bytes"] != group["size"] else ""
            rows.append(
                [
                    title + part,
                    f"{speed(several):.0f}",
                    f"{ratio(several, base):.2f}" if base else "",
                    f"{cpu(several):.2f}",
                    f"{max(run['memory'] for run in several) / MIB:.1f}",
                ]
            )
        header = ["", "MB/s", "to WebDAV", "CPU s per GiB", "peak MiB"]
        lines += table(header, rows)
        lines += multiples(runs)
    return lines


def multiples(runs: Runs) -> list[str]:
    """Say how many times faster than other tus servers the kit was in the same round."""
    found = [
        f"{ratio(runs['tus'], runs[peer]):.1f} times as fast as {peer}"
        for peer in ("tus-server", "tuspyserver")
        if {"tus", peer} <= runs.keys()
    ]
    return [f"The kit's tus was {' and '.join(found)}, which do not hash.", ""] if found else []


def transports(results: Results) -> list[str]:
    lines: list[str] = []
    for group in results["transports"]:
        rows = []
        for name, protocols in group["runs"].items():
            base = protocols.get("HTTP/1.1")
            for protocol, runs in protocols.items():
                sent = runs[0]["bytes"]
                part = f" ({size(sent)})" if sent != group["size"] else ""
                rows.append(
                    [
                        f"{TITLES[name]}, {protocol}{part}",
                        f"{speed(runs):.0f}",
                        f"{ratio(runs, base):.2f}" if base else "",
                        f"{cpu(runs):.2f}",
                        f"{median(run['busy'] for run in runs):.0%}",
                    ]
                )
        trip = f"{group['round_trip']} ms round trip"
        lines += [f"### {trip}, 1 client, {size(group['size'])}", ""]
        header = ["", "MB/s", "to HTTP/1.1", "CPU s per GiB", "curl busy"]
        lines += table(header, rows)
    return lines


def loop(results: Results) -> list[str]:
    rows = [
        [
            {"idle": "idle"}.get(name) or f"4 x {TITLES[name]}",
            *(f"{median(run[key] for run in runs):.1f}" for key in ("p50", "p99")),
            f"{max(run['max'] for run in runs):.1f}",
            f"{median(run['late_p99'] for run in runs):.1f}",
        ]
        for name, runs in results["loop"].items()
    ]
    return table(["milliseconds", "p50", "p99", "max", "asked late, p99"], rows)


def memory(results: Results) -> list[str]:
    rows = [
        [f"{TITLES[name]}, {protocol}", f"{one['slow'] / 1024:.1f}", f"{one['full_speed'] / MIB:.2f}"]
        for name, found in results["memory"].items()
        for protocol, one in found.items()
    ]
    return table(["", "slow, KiB each", "full speed, MiB"], rows)


def answers(results: Results) -> list[str]:
    rows = [
        [
            TITLES[name],
            f"{median(found['small']):.1f}",
            f"{median(found['large']):.1f}",
            f"{median(found['large']) - median(found['small']):.1f}",
        ]
        for name, found in results["answers"].items()
    ]
    large = size(results["options"]["large"])
    return table(["milliseconds", "1 MiB", large, "more"], rows)


def finishing(results: Results) -> list[str]:
    found = results["finishing"]
    large = size(results["options"]["large"])
    middle = {(part, name): median(run[name] for run in runs) for part, runs in found.items() for name in runs[0]}
    rows = [
        [f"{large} in 40 pieces: a piece, last byte to answer", f"{middle['pieces', 'median']:.1f} ms"],
        ["the slowest of the 39", f"{middle['pieces', 'slowest']:.1f} ms"],
        ["the last piece, which completes the file", f"{middle['pieces', 'last']:.1f} ms"],
        [f"{large} in 4 parts: joining is answered after", f"{middle['parts', 'answer']:.1f} ms"],
        ["the SHA-256 of the whole stands after", f"{middle['parts', 'digest']:.1f} s"],
    ]
    return table(["", "median of the rounds"], rows)


class Goals:
    """What was aimed at, and what became of it."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.rows: list[list[str]] = []

    def add(self, what: str, found: float, limit: float, *, least: bool, unit: str = "") -> None:
        met = found >= limit if least else found <= limit
        bound = f"{'≥' if least else '≤'} {limit:g}{unit}"
        self.rows.append([what, f"{found:.2f}{unit}", bound, "yes" if met else "**no**"])

    def lines(self) -> list[str]:
        for group in self.results.get("throughput", []):
            for shape in ("form", "append"):
                self.of_group(group, shape)
        for group in self.results.get("transports", []):
            for name, protocols in group["runs"].items():
                if name != "webdav" and {"HTTP/1.1", "HTTP/2"} <= protocols.keys():
                    self.add(
                        f"{TITLES[name]}, HTTP/2 to HTTP/1.1 at {group['round_trip']} ms",
                        ratio(protocols["HTTP/2"], protocols["HTTP/1.1"]),
                        0.9,
                        least=True,
                    )
        self.of_one_worker()
        return table(["", "found", "goal", "met"], self.rows)

    def of_group(self, group: Results, shape: str) -> None:
        runs: Runs = group["runs"]
        hashed = f"{shape}-sha256"
        where = f"{LISTENERS[group['listener']]} x{group['clients']}"
        if {shape, "webdav"} <= runs.keys():
            found = ratio(runs[shape], runs["webdav"])
            self.add(f"{where}: {shape} to WebDAV", found, 0.95, least=True)
        if shape == "append" and {"tus-unflushed", "receive-sha256"} <= runs.keys():
            found = ratio(runs["tus-unflushed"], runs["receive-sha256"])
            self.add(f"{where}: tus to the bare program, SHA-256", found, 0.9, least=True)
        if {hashed, "receive-sha256"} <= runs.keys():
            found = ratio(runs[hashed], runs["receive-sha256"])
            self.add(f"{where}: {hashed} to the bare program", found, 0.9, least=True)
        if group["listener"] == "tls" and {hashed, AFTERWARDS} <= runs.keys():
            found = median(a["seconds"] / b["seconds"] for a, b in zip(runs[hashed], runs[AFTERWARDS], strict=False))
            self.add(f"{where}: {hashed}, time to PUT + sha256sum", found, 0.85, least=False)
        hash_cost = self.hash_cost()
        if hash_cost is not None and {hashed, "webdav"} <= runs.keys():
            found = cpu(runs[hashed]) / (cpu(runs["webdav"]) + hash_cost)
            self.add(f"{where}: {hashed}, CPU to WebDAV + hash", found, 1.15, least=False)

    def hash_cost(self) -> float | None:
        """Return the CPU seconds per GiB that SHA-256 adds to the bare program with one client."""
        for group in self.results["throughput"]:
            runs: Runs = group["runs"]
            if {"receive", "receive-sha256"} <= runs.keys():
                return cpu(runs["receive-sha256"]) - cpu(runs["receive"])
        return None

    def of_one_worker(self) -> None:
        for name, runs in self.results.get("loop", {}).items():
            if name not in {"idle", "webdav"}:
                p99 = median(run["p99"] for run in runs)
                what = f"p99 of a small GET beside 4 x {TITLES[name]}"
                self.add(what, p99, 25, least=False, unit=" ms")
        for name, found in self.results.get("memory", {}).items():
            if name != "webdav":
                one = found["HTTP/1.1"]
                slow, fast = one["slow"] / 1024, one["full_speed"] / MIB
                self.add(f"{TITLES[name]}: slow upload", slow, 64, least=False, unit=" KiB")
                self.add(f"{TITLES[name]}: at full speed", fast, 2.5, least=False, unit=" MiB")
        for name, found in self.results.get("answers", {}).items():
            if not name.endswith("fsync"):
                more = median(found["large"]) - median(found["small"])
                what = f"{TITLES[name]}: last byte to answer, large file"
                self.add(what, more, 50, least=False, unit=" ms more")
        if found := self.results.get("finishing"):
            more = median(run["last"] - run["median"] for run in found["pieces"])
            self.add("tus: the last of 40 pieces to another", more, 100, least=False, unit=" ms more")
            answer = median(run["answer"] for run in found["parts"])
            self.add("tus: joining 4 parts", answer, 1000, least=False, unit=" ms")


INTRODUCTIONS = {
    "throughput": """## Throughput

One file is uploaded with each kind in turn, again and again. MB/s is the median of the rounds; "to WebDAV" the median
of the ratios to nginx's own `PUT` (`dav_methods`) in the same round, which neither parses nor hashes; CPU is the
user and system time of all server processes and threads; memory is the largest resident size of the workers, shared
libraries included. Nothing is flushed to the disk unless a line says so. The bare program receives in one thread, and
hashes and writes in a second one.
""",
    "transports": """## HTTP/2 and HTTP/3

curl over TLS 1.3, with the kit's receive windows. "curl busy" is its CPU time in parts of one core: near 100 % the
client is the limit. The long line is a network device that holds each packet for 25 ms in either direction.
""",
    "loop": """## The event loop

A small GET every 5 ms on a kept-alive connection, sent on time even while earlier ones wait, beside four uploads at
full speed on the same worker. The client runs at the highest priority; the last column says how late it asked.
""",
    "memory": """## Memory

Private memory of the worker: for each of 1,000 uploads at once that have sent 100 KiB and send 4 KiB every second,
above 1,000 connections that have sent the beginning of a head; and by how much it grows during one at full speed,
over HTTP/2 with TLS, and with the receive window of `client_body_buffer_size`. The goals are those of HTTP/1.1.
""",
    "answers": """## From the last byte to the answer

Milliseconds from the client's last write to the answer, with what the socket buffers still hold.
""",
    "finishing": """## The end of a tus upload

Through the whole kit, every piece flushed to the disk before its answer, with its checkpoint.
""",
}
SECTIONS = {
    "throughput": throughput,
    "transports": transports,
    "loop": loop,
    "memory": memory,
    "answers": answers,
    "finishing": finishing,
}


def render(results: Results) -> str:
    """Return what was found as Markdown; docs/performance.md is made of it."""
    lines = ["# Performance", "", "Made with:", "", "```", results["command"], "```", ""]
    lines += machine(results)
    lines += ["## Goals", "", *Goals(results).lines()]
    for name, section in SECTIONS.items():
        if results.get(name):
            lines += [INTRODUCTIONS[name], *section(results)]
    return "\n".join(lines).rstrip() + "\n"
