"""A real nginx with the module, and a real application behind it, for the tests."""

import contextlib
import dataclasses
import functools
import http.server
import os
import pathlib
import re
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time

import pytest

import certificate

NGINX = ["/usr/sbin/nginx"]
NGINX_AS_ROOT = "/usr/sbin/nginx-as-root"
MODULE = "/usr/lib/nginx/modules/ngx_http_upload_module.so"

# without what pytest adds: the name of the test, which may be longer than Linux allows in an environment
ENVIRONMENT = dict(os.environ)

# its version, and the options of its configure
NGINX_BUILD = subprocess.run([*NGINX, "-V"], check=True, capture_output=True, text=True).stderr

HAS_HTTP3 = "--with-http_v3_module" in NGINX_BUILD

# what watches nginx's memory in this run: "sanitizers" that it is built with, "valgrind" that it runs in, or nothing
WATCHER = os.environ.get("UPLOAD_TEST_WATCHER", "")

# what nginx logs as the status when a client has left: none, when it is the end of a whole HTTP/3 connection
LEFT = (0, 400, 499)

# seconds that a test waits for a condition before it fails
DEADLINE = {"": 15, "sanitizers": 60, "valgrind": 120}[WATCHER]

# seconds in which nginx takes nothing from a client before it is said to be blocked
BLOCKED = DEADLINE / 50

if WATCHER == "valgrind":
    NGINX = [
        "valgrind",
        "--quiet",
        "--trace-children=yes",
        "--fair-sched=yes",
        "--num-callers=40",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
        "--error-exitcode=99",
        f"--suppressions={pathlib.Path(__file__).parent}/suppressions/valgrind",
        *NGINX,
    ]

# a test that runs in an nginx with threads, and in one without
both_ways = pytest.mark.parametrize("aio", ["threads", "off"])

of_nginx_alone = pytest.mark.skipif(bool(WATCHER), reason=f"it is about time or memory, which {WATCHER} takes more of")


def wait_for(condition, what):
    """Returns the first true value of condition(), or fails with a sentence."""
    deadline = time.monotonic() + DEADLINE
    pause = 0.0005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {DEADLINE} seconds: {what}")
        time.sleep(pause)
        pause = min(2 * pause, 0.02)


@functools.cache
def library(name):
    """A source of the tests, compiled so that it can be preloaded into nginx."""
    source = pathlib.Path(__file__).parent / f"{name}.c"
    library = pathlib.Path(tempfile.mkdtemp()) / f"{name}.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", library, source, "-ldl"], check=True
    )
    return str(library)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@dataclasses.dataclass
class Answer:
    status: int
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""


@dataclasses.dataclass
class Seen:
    """One request as the application received it."""

    method: str
    path: str
    headers: list
    body: bytes

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def form(self):
        return parse_form(self.header("Content-Type"), self.body)


def parse_form(content_type, body):
    """The fields of a generated form as (name, value); any byte out of place is an error."""
    boundary = re.fullmatch(r'multipart/form-data; *boundary="?([^"]+)"?', content_type).group(1).encode("latin-1")
    delimiter = b"\r\n--" + boundary
    parts = (b"\r\n" + body).split(delimiter)
    assert parts[0] == b"", body
    assert parts[-1] == b"--\r\n", body
    fields = []
    for part in parts[1:-1]:
        match = re.fullmatch(
            rb'\r\nContent-Disposition: form-data; name="((?:[^"\\]|\\.)*)"\r\n\r\n(.*)', part, re.DOTALL
        )
        assert match, part
        fields.append((re.sub(rb"\\(.)", rb"\1", match.group(1)).decode(), match.group(2)))
    return fields


class Backend:
    """The application: answers authorize and complete as told, and remembers what it was asked."""

    def __init__(self):
        self.lock = threading.Lock()
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # or every answer takes 40 milliseconds

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                seen = Seen(self.command, self.path, self.headers.items(), body)
                kind = "authorize" if self.path.startswith("/internal/authorize") else "complete"
                with backend.lock:
                    getattr(backend, kind + "s").append(seen)
                    answer = getattr(backend, kind)
                if callable(answer):
                    answer = answer(seen)
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    for one in value if isinstance(value, list) else [value]:
                        self.send_header(key, one)
                if answer.status != 204:
                    self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = do_PUT = do_HEAD = answer

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.reset()

    def reset(self):
        with self.lock:
            self.authorize = Answer(204, {"X-Upload-Grant": "granted"})
            self.complete = Answer(200, {"Content-Type": "application/json"}, b'{"detail": "Upload Complete"}')
            self.authorizes = []
            self.completes = []

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Disk:
    """The disk as nginx sees it through disk.c, which is preloaded: a test holds it, or makes it fail."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.environment = {"LD_PRELOAD": library("disk"), "UPLOAD_TEST_DISK": str(directory)}

    def hold(self, call, where=""):
        """Calls for files whose path has where in it wait, until they are let go."""
        (self.directory / f"hold-{call}").write_text(where)

    def is_held(self, call):
        return (self.directory / f"held-{call}").exists()

    def let_go(self, call):
        (self.directory / f"hold-{call}").unlink(missing_ok=True)
        (self.directory / f"held-{call}").unlink(missing_ok=True)

    def fail_write(self, number, offset):
        """Writing beyond an offset is an error."""
        (self.directory / "fail").write_text(f"{number} {offset}")

    def write_in_pieces(self):
        """Every write is interrupted, or writes less than it was given."""
        (self.directory / "short").touch()

    def count_reads(self, where):
        (self.directory / "count-read").write_text(where)
        (self.directory / "read").touch()

    def bytes_read(self):
        """What was read back of files with where in their path, but for checkpoints."""
        return sum(int(line) for line in (self.directory / "read").read_text().splitlines())

    def heal(self):
        for path in self.directory.iterdir():
            path.unlink()


class Nginx:
    """One nginx, of one worker unless told otherwise, in a directory of its own."""

    def __init__(
        self,
        directory,
        backend_port,
        locations,
        main="",
        http="",
        events="worker_connections 256;",
        aio="threads",
        workers=1,
        environment=None,
        as_root=False,
    ):
        self.environment = {**ENVIRONMENT, **(environment or {})}
        if WATCHER == "valgrind":
            self.environment["LD_PRELOAD"] = f"{library('lock')} {self.environment.get('LD_PRELOAD', '')}"
        self.executable = [NGINX_AS_ROOT] if as_root else NGINX
        self.expected_alert = "(none)"  # part of a line that the test provokes in the error log
        self.directory = pathlib.Path(directory)
        self.store = self.directory / "store"
        self.store.mkdir(parents=True)
        (self.directory / "tmp").mkdir()
        # the last one also for UDP
        self.port, self.http2_port, self.https_port = free_port(), free_port(), free_port()
        self.values = {
            "module": MODULE,
            "directory": self.directory,
            "store": self.store,
            "backend_address": f"127.0.0.1:{backend_port}",
            "full": os.environ["UPLOAD_TEST_FULL"],
            "large": os.environ["UPLOAD_TEST_LARGE"],
            "down": f"http://127.0.0.1:{free_port()}",
            "port": self.port,
            "http2_port": self.http2_port,
            "https_port": self.https_port,
            "certificate": certificate.directory(),
        }
        self.parts = {
            "main": main,
            "http": http,
            "events": events,
            "aio": aio,
            "workers": str(workers),
            "locations": locations,
            "quic": "listen 127.0.0.1:@https_port@ quic reuseport;" if HAS_HTTP3 else "",
        }
        self.conf = self.directory / "nginx.conf"
        self.error_log = self.directory / "error.log"
        self.access_log = self.directory / "access.log"
        self.write_conf()
        self.process = None

    def write_conf(self):
        text = TEMPLATE
        for key, value in self.parts.items():
            text = text.replace(f"@{key}@", value)
        for key, value in self.values.items():
            text = text.replace(f"@{key}@", str(value))
        self.conf.write_text(text)

    def command(self, *args):
        return [*self.executable, "-p", str(self.directory), "-c", str(self.conf), *args]

    def test_conf(self):
        return subprocess.run(self.command("-t"), check=False, capture_output=True, text=True, env=ENVIRONMENT)

    def start(self):
        # what a watcher reports, too
        with open(self.directory / "stderr.log", "ab") as stderr:
            self.process = subprocess.Popen(self.command(), stderr=stderr, env=self.environment)
        wait_for(self.is_listening, "nginx listens")
        wait_for(self.workers, "nginx has a worker")
        return self

    def is_listening(self):
        if self.process.poll() is not None:
            raise AssertionError("nginx did not start: " + self.stderr())
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def workers(self):
        path = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(DEADLINE)

    def files(self, store=None):
        """Everything in the store that is not a directory."""
        return sorted(path for path in (store or self.store).rglob("*") if not path.is_dir())

    def stderr(self):
        return (self.directory / "stderr.log").read_text()

    def errors(self):
        return self.error_log.read_text()

    def logged(self, tag):
        """The access log's fields of the request that had ?t=tag, once it is over."""

        def line():
            return [line for line in self.access_log.read_text().splitlines() if f"?t={tag}|" in line]

        return wait_for(line, f"the request {tag} is logged")[0].split("|")[1:]

    def rss(self):
        """The largest resident size that the worker had since its start."""
        return self.memory("VmHWM")

    def memory(self, field):
        """A size in bytes from what the kernel says of the worker (proc_pid_status(5))."""
        text = pathlib.Path(f"/proc/{self.workers()[0]}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", text).group(1)) * 1024

    @contextlib.contextmanager
    def running(self):
        try:
            yield self.start()
        finally:
            self.stop()


TEMPLATE = """
load_module @module@;
daemon off;
worker_processes @workers@;
pid @directory@/nginx.pid;
error_log @directory@/error.log info;
@main@
events { @events@ }
http {
    client_body_temp_path @directory@/tmp/body;
    proxy_temp_path @directory@/tmp/proxy;
    fastcgi_temp_path @directory@/tmp/fastcgi;
    uwsgi_temp_path @directory@/tmp/uwsgi;
    scgi_temp_path @directory@/tmp/scgi;
    log_format upload '$request_uri|$status|$upload_field_name|$upload_file_name|$upload_file_number'
                      '|$upload_content_type|$upload_tmp_path|$upload_file_size|$upload_file_sha256|$upload_file_sha256_uc|$upload_error';
    access_log @directory@/access.log upload;
    upstream app { server @backend_address@; keepalive 4; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    lingering_timeout 1s;
    aio @aio@;
    @http@
    server {
        listen 127.0.0.1:@port@ backlog=1024;
        listen 127.0.0.1:@http2_port@ http2;
        listen 127.0.0.1:@https_port@ ssl http2;
        @quic@
        # TLS 1.3 is on by itself since nginx 1.23.4 only
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate @certificate@/certificate;
        ssl_certificate_key @certificate@/key;
        client_max_body_size 0;
        error_page 400 408 413 415 500 502 503 504 507 @problem;
        @locations@
    }
}
"""
