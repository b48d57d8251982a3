"""HTTP from the client's side, down to the single bytes."""

import contextlib
import dataclasses
import json
import pathlib
import select
import socket
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hyperframe.frame

from harness import BLOCKED, DEADLINE, wait_for

BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"


@dataclasses.dataclass
class Response:
    status: int
    headers: list
    body: bytes
    interim: list = dataclasses.field(default_factory=list)

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def headers_named(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self):
        return json.loads(self.body)


def part(data, name=None, filename=None, content_type=None, disposition=None, eol=b"\r\n"):
    """One multipart part, without the delimiters around it."""
    if disposition is None:
        disposition = b"form-data"
        if name is not None:
            disposition += b'; name="' + name.encode() + b'"'
        if filename is not None:
            disposition += b'; filename="' + filename.encode() + b'"'
    head = b"Content-Disposition: " + disposition + eol
    if content_type:
        head += b"Content-Type: " + content_type.encode() + eol
    return head + eol + data


def form(*parts, boundary=BOUNDARY, eol=b"\r\n", final=True):
    body = b"".join(b"--" + boundary + eol + p + eol for p in parts)
    return body + (b"--" + boundary + b"--" + eol if final else b"")


def head(path="/upload", length=None, headers=(), method="POST", version="1.1", boundary=BOUNDARY, content_type=None):
    if content_type is None:
        content_type = "multipart/form-data; boundary=" + boundary.decode("latin-1")
    lines = [f"{method} {path} HTTP/{version}", "Host: localhost"]
    if content_type:
        lines.append("Content-Type: " + content_type)
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += headers
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def chunked(data, size=None):
    pieces = [data[i : i + size] for i in range(0, len(data), size)] if size else [data]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces if p) + b"0\r\n\r\n"


class Connection:
    """One HTTP/1 connection whose every write is decided by the test."""

    def __init__(self, port):
        self.port = port
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def send_read(self, data):
        """Sends, and waits until nginx has taken the bytes, so that they are a read of their own."""
        self.socket.sendall(data)
        wait_for(self.is_read, "nginx reads what was sent")

    def send_until_blocked(self, data):
        """Sends as long as anybody takes it, and says how much."""
        sent = 0
        self.socket.settimeout(BLOCKED)
        try:
            while sent < len(data):
                sent += self.socket.send(data[sent : sent + 1000000])
        except TimeoutError:
            pass
        self.socket.settimeout(DEADLINE)
        return sent

    def is_read(self):
        return self.unread() == 0

    def unread(self):
        """Bytes that were sent and that nginx has not taken yet."""
        local = f"0100007F:{self.port:04X}"
        remote = f"0100007F:{self.socket.getsockname()[1]:04X}"
        unread = 0
        for line in pathlib.Path("/proc/net/tcp").read_text().splitlines():
            fields = line.split()
            sending, _, receiving = fields[4].partition(":")
            if (fields[1], fields[2]) == (local, remote):
                unread += int(receiving, 16)
            elif (fields[2], fields[1]) == (local, remote):
                unread += int(sending, 16)
        return unread

    def response(self):
        interim = []
        while True:
            line = self.file.readline()
            if not line:
                raise ConnectionError("closed without an answer")
            status = int(line.split()[1])
            headers = []
            while True:
                line = self.file.readline().rstrip(b"\r\n")
                if not line:
                    break
                key, value = line.decode("latin-1").split(":", 1)
                headers.append((key, value.strip()))
            if status != 100:
                break
            interim.append(status)
        response = Response(status, headers, b"", interim)
        if response.header("Content-Length") is not None:
            response.body = self.file.read(int(response.header("Content-Length")))
        elif response.header("Transfer-Encoding") == "chunked":
            while size := int(self.file.readline(), 16):
                response.body += self.file.read(size)
                self.file.readline()
            self.file.readline()
        elif status not in (204, 304):
            response.body = self.file.read()
        return response

    def is_closed(self):
        """Waits for nginx to close, and says whether it did."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True


def exchange(port, data):
    """One request on a connection of its own."""
    with Connection(port) as c:
        c.send(data)
        return c.response()


def post(port, body, path="/upload", **kwargs):
    return exchange(port, head(path, len(body), **kwargs) + body)


def request_fields(path, length, method, scheme, boundary, headers, content_type):
    """The header of a request in HTTP/2 and HTTP/3."""
    if content_type is None:
        content_type = "multipart/form-data; boundary=" + boundary.decode()
    return [
        (":method", method),
        (":path", path),
        (":scheme", scheme),
        (":authority", "localhost"),
        *([("content-type", content_type)] if content_type else []),
        *headers,
        *([("content-length", str(length))] if length is not None else []),
    ]


class Http2:
    """One HTTP/2 connection with as many streams as the test wants."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        # the library closes the connection at a GOAWAY, but streams that are open may finish
        self.h2._frame_dispatch_table[hyperframe.frame.GoAwayFrame] = lambda frame: ([], [])
        self.h2.initiate_connection()
        self.flush()
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self.socket.close()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def request(
        self, path="/upload", length=None, method="POST", boundary=BOUNDARY, end=False, headers=(), content_type=None
    ):
        fields = request_fields(path, length, method, "http", boundary, headers, content_type)
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, fields, end_stream=end)
        self.flush()
        return stream

    def receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("connection closed")
        self.events += self.h2.receive_data(data)
        self.flush()

    def ended(self, stream):
        return any(
            isinstance(e, (h2.events.StreamEnded, h2.events.StreamReset)) and e.stream_id == stream for e in self.events
        )

    def send(self, stream, data, end=True, size=16384):
        """Sends within flow control; stops when the server has answered already."""
        while data:
            while (window := self.h2.local_flow_control_window(stream)) == 0:
                if self.ended(stream):
                    return
                self.receive()
            piece, data = data[: min(window, size)], data[min(window, size) :]
            try:
                self.h2.send_data(stream, piece, end_stream=end and not data)
            except h2.exceptions.StreamClosedError:
                return
            self.flush()

    def end(self, stream):
        # it may be answered already
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self.h2.end_stream(stream)
        self.flush()

    def reset(self, stream):
        self.h2.reset_stream(stream)
        self.flush()

    def ping(self):
        """Waits for an answer to what can only be answered after what was sent before."""
        pings = self.acknowledged()
        self.h2.ping(b"received")
        self.flush()
        while self.acknowledged() == pings:
            self.receive()

    def acknowledged(self):
        return sum(isinstance(event, h2.events.PingAckReceived) for event in self.events)

    def is_answered(self, stream, seconds=0):
        """Whether the answer is there, or comes within so many seconds."""
        deadline = time.monotonic() + seconds
        while not self.ended(stream) and select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
            self.receive()
        return self.ended(stream)

    def send_window(self, stream, data):
        """Sends as much as fits the window, without waiting for more of it, and says how much."""
        sent = min(len(data), self.h2.local_flow_control_window(stream))
        self.send(stream, data[:sent], end=False)
        return sent

    def send_until_blocked(self, stream, data):
        """Sends as long as the window is widened, and says how much."""
        sent = self.send_window(stream, data)
        while select.select([self.socket], [], [], BLOCKED)[0]:
            self.receive()
            sent += self.send_window(stream, data[sent:])
        return sent

    def response(self, stream):
        while not self.ended(stream):
            self.receive()
        headers, body = [], b""
        for event in self.events:
            if getattr(event, "stream_id", None) != stream:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                headers = event.headers
            elif isinstance(event, h2.events.DataReceived):
                body += event.data
        if not headers:
            raise ConnectionError("stream reset without an answer")
        return Response(int(dict(headers)[":status"]), list(headers), body)
