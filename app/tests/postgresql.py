"""Run a command beside a PostgreSQL of its own: `python -m tests.postgresql pytest`.

The server listens on a unix socket only, takes its user's word for who it is (peer), and is gone
with its data when the command ends.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found:
        return found
    # Debian keeps the server's programs of each version out of PATH.
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not installed:
        raise SystemExit(f"{name} is not installed: install PostgreSQL's server.")
    return str(installed[-1])


def main(command: list[str]) -> int:
    """Start the server, run `command` with UPLOAD_DATABASE_URL set, and return its exit code."""
    with tempfile.TemporaryDirectory(prefix="pg") as work:
        data, sockets = Path(work, "data"), Path(work, "run")
        sockets.mkdir()
        user = pwd.getpwuid(os.geteuid()).pw_name
        subprocess.run(
            [
                *(_tool("initdb"), "--no-sync", "--auth=peer", "--encoding=UTF8"),
                *("--locale=C.UTF-8", f"--username={user}", f"--pgdata={data}"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        control = [_tool("pg_ctl"), f"--pgdata={data}", "--silent", "--wait"]
        options = f"-c listen_addresses='' -c unix_socket_directories='{sockets}' -c fsync=off"
        log = Path(work, "log")
        started = subprocess.run(
            [*control, f"--options={options}", f"--log={log}", "start"], check=False
        )
        if started.returncode != 0:
            sys.stderr.write(log.read_text())
            return started.returncode
        try:
            url = f"postgresql:///postgres?host={sockets}"
            return subprocess.run(
                command, check=False, env={**os.environ, "UPLOAD_DATABASE_URL": url}
            ).returncode
        finally:
            subprocess.run([*control, "--mode=immediate", "stop"], check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
