#!/usr/bin/env python3
"""Look for mistakes in the module with clang-tidy and cppcheck, as nginx's build compiles it.

The build left what it ran for each file in /analyse/commands.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
MODULE = Path("/src/module")
COMMANDS = Path("/analyse/commands")
DATABASE = Path("/tmp/compile_commands.json")  # noqa: S108 - the container's own

CORES = len(os.sched_getaffinity(0))
CPPCHECK = [
    "cppcheck",
    f"-j{CORES}",
    f"--project={DATABASE}",
    f"--file-filter={MODULE}/*",
    "--enable=warning,style,performance,portability",
    "--library=posix,gnu",
    "--inline-suppr",
    f"--suppressions-list={HERE / 'cppcheck.txt'}",
    "--check-level=exhaustive",
    "--error-exitcode=1",
    "--quiet",
]


def run(command: list[str]) -> tuple[bool, str]:
    """Return whether a tool found nothing, and what it said."""
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    return done.returncode == 0, done.stdout


def main() -> int:
    """Run both tools on every file of the module."""
    started = time.monotonic()
    entries = [json.loads(path.read_text().rstrip(",\n")) for path in COMMANDS.iterdir()]
    entries = [entry for entry in entries if Path(entry["file"]).parent == MODULE]
    DATABASE.write_text(json.dumps(entries))

    tidy = ["clang-tidy", "--quiet", "-p", str(DATABASE.parent)]
    commands = [[*tidy, path] for path in sorted(entry["file"] for entry in entries)]
    with ThreadPoolExecutor(CORES) as pool:
        results = [*pool.map(run, commands), run(CPPCHECK)]

    failed = [output for clean, output in results if not clean]
    print("\n".join(failed))
    print(f"clang-tidy on {len(entries)} files, cppcheck on all of them")
    words = f"{len(failed)} failed, " if failed else ""
    print(f"{words}{len(results) - len(failed)} passed in {time.monotonic() - started:.2f}s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
