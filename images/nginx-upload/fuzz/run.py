#!/usr/bin/env python3
"""Run the fuzz targets in /fuzz, as many at once as there are cores, and print what each did.

usage: run.py [TARGET...]

SECONDS_EACH is the time of one target. What is new lands below /out: inputs in a folder for each
target, and in findings/ the inputs that broke one.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
BUILT = Path("/fuzz")
OUT = Path("/out")
FINDINGS = OUT / "findings"

# A parser that needs seconds, or much memory, for 4 KiB is a finding, too.
LIMITS = ["-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"]

# Freed memory that is kept to see its use: a body is freed and used, if ever, within one run.
SANITIZER = {"ASAN_OPTIONS": "quarantine_size_mb=16"}


@dataclass
class Result:
    """What libFuzzer says about one target."""

    target: str
    output: str
    broken: bool

    def stat(self, name: str) -> int:
        """Return one of libFuzzer's final statistics."""
        found = re.search(rf"^stat::{name}:\s+(\d+)", self.output, re.MULTILINE)
        return int(found[1]) if found else 0

    def coverage(self) -> int:
        """Return the number of edges that were reached."""
        return int((re.findall(r"\bcov: (\d+)", self.output) or [0])[-1])


def fuzz(target: str, seconds: int) -> Result:
    """Run one target on its corpus."""
    new = OUT / target
    new.mkdir(exist_ok=True)
    corpus = HERE / "corpus" / target
    run = subprocess.run(
        [
            BUILT / target,
            *LIMITS,
            f"-max_total_time={seconds}",
            f"-dict={HERE / target}.dict",
            f"-artifact_prefix={FINDINGS}/{target}-",
            "-print_final_stats=1",
            new,
            *([corpus] if corpus.is_dir() else []),
        ],
        check=False,
        env={**os.environ, **SANITIZER},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return Result(target, run.stdout, broken=run.returncode != 0)


def main() -> int:
    """Run the named targets, or all."""
    targets = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c"))
    names = sys.argv[1:] or targets
    unknown = [name for name in names if name not in targets]
    if unknown:
        print(f"error: no {', '.join(unknown)} among {', '.join(targets)}", file=sys.stderr)
        return 2
    seconds = int(os.environ.get("SECONDS_EACH") or 10)
    FINDINGS.mkdir(exist_ok=True)
    known = set(FINDINGS.iterdir())

    started = time.monotonic()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(lambda name: fuzz(name, seconds), names))

    broken = [result for result in results if result.broken]
    for result in broken:
        print(f"\n==> {result.target}\n{result.output[-8000:]}")
    for path in sorted(set(FINDINGS.iterdir()) - known):
        print(f"\n{path}, in base64:\n{base64.b64encode(path.read_bytes()).decode()}")
        print(f"To see it again: put it into fuzz/corpus/{path.name.partition('-')[0]}/")

    print("\ntarget           executions  per second  edges  new inputs   MiB")
    for result in results:
        print(
            f"{result.target:14} {result.stat('number_of_executed_units'):12}"
            f" {result.stat('average_exec_per_sec'):11} {result.coverage():6}"
            f" {result.stat('new_units_added'):11} {result.stat('peak_rss_mb'):5}"
            f"{'  BROKEN' if result.broken else ''}"
        )
    failed = f"{len(broken)} failed, " if broken else ""
    print(f"{failed}{len(results) - len(broken)} passed in {time.monotonic() - started:.2f}s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
