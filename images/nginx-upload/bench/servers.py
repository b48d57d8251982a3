"""The servers under comparison: each is started for one measurement; /proc tells its CPU time and memory."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NGINX = "/usr/sbin/nginx"
MODULE = Path("/usr/lib/nginx/modules/ngx_http_upload_module.so")

DISK = Path("/bench")  # the volume: stored files and temporary files are on one file system
STORE = DISK / "store"
TEMPORARY = DISK / "tmp"
RUN = Path("/tmp/run")  # noqa: S108 the container's own

HTTP_PORT, HTTPS_PORT, APP_PORT = 8080, 8443, 8000
DEADLINE = 15  # seconds that a server may take to start
TICKS = os.sysconf("SC_CLK_TCK")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What can be tried: every nginx with the module is configured from it."""

    module: Path
    http: dict[str, str]  # directives of the http block
    listen: str = ""  # parameters of the listen directives
    main: str = ""  # directives outside of the http block
    buffers: tuple[int, int] = (256 << 10, 3)  # of the bare program: bytes of one, and their number

    def has(self, directive: str) -> bool:
        """Tell whether the module was built with this directive."""
        return directive.encode() in self.module.read_bytes()


@dataclasses.dataclass
class Server:
    """One or more process trees that serve together."""

    commands: list[list[str]]
    ports: list[int]
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    forks: bool = True  # the work is done by children
    processes: list[subprocess.Popen[bytes]] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        log = RUN / "server.log"
        with log.open("wb") as output:
            for command in self.commands:
                self.processes.append(
                    subprocess.Popen(
                        command,
                        env={**os.environ, **self.environment},
                        stdout=output,
                        stderr=subprocess.STDOUT,
                    )
                )
        try:
            self.wait_for_all(log)
            yield self
        finally:
            for process in self.processes:
                process.terminate()
            for process in self.processes:
                process.wait()
            self.processes.clear()

    def wait_for_all(self, log: Path) -> None:
        """Wait until there are connections at every port, and children to serve them."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline and all(p.poll() is None for p in self.processes):
            masters = {process.pid for process in self.processes}
            if all(map(listens, self.ports)) and not (self.forks and masters & set(self.workers())):
                return
            time.sleep(0.01)
        raise RuntimeError(f"{self.commands} did not start: {log.read_text()}")

    def pids(self) -> list[int]:
        """Every process, children behind their parents."""
        found = [process.pid for process in self.processes]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                # a thread may have ended meanwhile
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    found += [int(child) for child in children.read_text().split()]
        return found

    def workers(self) -> list[int]:
        """Return the processes that have no children: not nginx's master, nor gunicorn's arbiter."""
        pids = self.pids()
        parents = {int(stat_fields(pid)[1]) for pid in pids}
        return [pid for pid in pids if pid not in parents]

    def cpu(self) -> float:
        """Return the seconds of all threads in user mode and in the kernel."""
        return sum(sum(map(int, stat_fields(pid)[11:15])) for pid in self.pids()) / TICKS

    def peak_memory(self) -> int:
        """Return the largest resident size that the workers had since their start, in bytes."""
        return sum(memory(pid, "VmHWM") for pid in self.workers())


def listens(port: int) -> bool:
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def stat_fields(pid: int) -> list[str]:
    """Return what /proc/PID/stat says after the name: the state, the parent, and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def memory(pid: int, field: str) -> int:
    """Return a size from /proc/PID/status in bytes."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{field}:\s+(\d+) kB$", text, re.MULTILINE)
    if not found:
        raise RuntimeError(f"/proc/{pid}/status has no {field}")
    return int(found.group(1)) << 10


def private_memory(pid: int) -> int:
    """Return what would be free if the process ended, in bytes."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(n) for n in re.findall(r"^Private_\w+:\s+(\d+) kB$", text, re.MULTILINE)) << 10


# Where each kind of upload goes. All of them end in STORE.

WEBDAV = """
        location /dav/ {
            alias @store@/;
            dav_methods PUT;
        }
"""

FORM = """
        location = /form {
            upload_store @store@;
            upload_pass /done;
            upload_fsync off;
            upload_set_form_field path $upload_tmp_path;
            upload_aggregate_form_field size $upload_file_size;
            @more@
        }

        location = /done { internal; return 200 "@digest@"; }
"""

# The authorize step of the raw body, played by nginx itself: the path, and that it is a new file of the body's length.
APPEND = """
        location = /append {
            upload_store @store@;
            upload_append on;
            upload_authorize /authorize;
            upload_pass /done;
            upload_fsync off;
            upload_aggregate_form_field size $upload_file_size;
            @more@
        }

        location = /authorize {
            internal;
            proxy_pass http://127.0.0.1:@http_port@/grant;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Length $content_length;
        }

        location = /grant {
            add_header X-Upload-Path @store@/append-$request_id;
            add_header X-Upload-Offset 0;
            add_header X-Upload-Length $http_x_length;
            return 204;
        }

        location = /done { internal; return 200 "@digest@"; }
"""

PROXY = """
        location = /upload { proxy_pass http://unix:@run@/app.sock:/upload; }
"""

DIGEST = "upload_aggregate_form_field sha256 $upload_file_sha256;"

NGINX_CONF = """
@load@
@main@
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 8192;
pid @run@/nginx.pid;
error_log stderr warn;

events { worker_connections 4096; }

http {
    access_log off;
    client_body_temp_path @temporary@;
    proxy_temp_path @run@/proxy;
    fastcgi_temp_path @run@/fastcgi;
    uwsgi_temp_path @run@/uwsgi;
    scgi_temp_path @run@/scgi;
    client_max_body_size 0;
    client_body_timeout 300s;
    proxy_read_timeout 300s;
    keepalive_requests 1000000;
    proxy_http_version 1.1;
    @http@

    server {
        listen @http_port@ backlog=1024 @listen@;
        listen @https_port@ ssl backlog=1024 @listen@;
        listen @https_port@ quic reuseport;
        http2 on;
        ssl_certificate @run@/certificate.pem;
        ssl_certificate_key @run@/key.pem;
        ssl_protocols TLSv1.3;

        location = /probe { return 204; }
        @locations@
    }
}
"""


def nginx(locations: str, http: dict[str, str], settings: Settings | None = None) -> Server:
    """Return nginx with these locations; with the module, if there are settings for it."""
    conf = NGINX_CONF
    for name, value in {
        "locations": locations,
        "http": "\n    ".join(f"{name} {value};" for name, value in http.items()),
        "load": f"load_module {settings.module};" if settings else "",
        "main": settings.main if settings else "",
        "listen": settings.listen if settings else "",
        "store": str(STORE),
        "temporary": str(TEMPORARY),
        "run": str(RUN),
        "http_port": str(HTTP_PORT),
        "https_port": str(HTTPS_PORT),
    }.items():
        conf = conf.replace(f"@{name}@", value)
    path = RUN / "nginx.conf"
    path.write_text(conf)
    return Server([[NGINX, "-p", str(RUN), "-c", str(path)]], [HTTP_PORT, HTTPS_PORT])


def webdav(_settings: Settings) -> Server:
    return nginx(WEBDAV, {"client_body_buffer_size": "1m"})


def windowed_webdav(settings: Settings) -> Server:
    """WebDAV with the kit's windows, for HTTP/2 and HTTP/3."""
    windows = {k: v for k, v in settings.http.items() if not k.startswith("upload_")}
    return nginx(WEBDAV, windows, dataclasses.replace(settings))


def with_module(location: str, *, digest: bool, fsync: bool) -> Callable[[Settings], Server]:
    def start(settings: Settings) -> Server:
        text = location.replace("@more@", DIGEST if digest else "")
        text = text.replace("@digest@", "$upload_file_sha256" if digest else "")
        if fsync:
            text = text.replace("upload_fsync off", "upload_fsync on")
        return nginx(text, settings.http, settings)

    return start


def gunicorn(*options: str, ports: list[int]) -> Server:
    command = ["gunicorn", "--chdir", str(Path(__file__).parent), "--workers", "2"]
    command += ["--worker-class", "gthread", "--threads", "4", "--timeout", "300", *options]
    environment = {"BENCH_STORE": str(STORE), "BENCH_TEMPORARY": str(TEMPORARY)}
    return Server([[*command, "django_peer:application"]], ports, environment)


def django(*, tls: bool) -> Server:
    address = f"127.0.0.1:{HTTPS_PORT if tls else HTTP_PORT}"
    options = ["--bind", address]
    if tls:
        options += ["--certfile", str(RUN / "certificate.pem"), "--keyfile", str(RUN / "key.pem")]
    return gunicorn(*options, ports=[HTTPS_PORT if tls else HTTP_PORT])


def django_behind_nginx(_settings: Settings) -> Server:
    app = gunicorn("--bind", f"unix:{RUN}/app.sock", "--bind", f"127.0.0.1:{APP_PORT}", ports=[])
    front = nginx(PROXY, {})
    return Server(app.commands + front.commands, [APP_PORT, HTTP_PORT, HTTPS_PORT], app.environment)


def bare(*options: str) -> Callable[[Settings], Server]:
    def start(settings: Settings) -> Server:
        size, count = settings.buffers
        command = ["bench-receive", *options, "-b", str(size), "-r", str(count)]
        return Server([[*command, str(HTTP_PORT), str(STORE)]], [HTTP_PORT], forks=False)

    return start
