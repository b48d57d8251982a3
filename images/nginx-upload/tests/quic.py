"""HTTP/3 from the client's side, as client.py has HTTP/2; http3.connect() makes a connection where there is HTTP/3."""

import select
import socket
import ssl
import time

from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    PingAcknowledged,
    StopSendingReceived,
    StreamReset,
)

from client import BOUNDARY, Response, request_fields
from harness import BLOCKED, DEADLINE


class Http3:
    """One connection with as many streams as the test wants; nothing happens on it but while the test waits for it."""

    def __init__(self, port):
        self.address = ("127.0.0.1", port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(self.address)
        self.quic = QuicConnection(
            configuration=QuicConfiguration(
                alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, idle_timeout=4.0 * DEADLINE
            )
        )
        self.http = H3Connection(self.quic)
        self.events = []
        self.quic.connect(self.address, time.monotonic())
        self.flush()
        self.wait_for(lambda: self.happened(HandshakeCompleted))

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        """Says so to nginx, which ends what is open."""
        self.quic.close(ErrorCode.H3_NO_ERROR)
        self.flush()
        self.socket.close()

    def flush(self):
        for data, _ in self.quic.datagrams_to_send(time.monotonic()):
            self.socket.send(data)

    def receive(self, seconds=DEADLINE):
        """What nginx has sent, or what the library wants to be done at this time."""
        timer = self.quic.get_timer()
        if timer is None:
            raise ConnectionError("connection closed")
        pause = max(0, min(seconds, timer - time.monotonic()))
        if select.select([self.socket], [], [], pause)[0]:
            self.quic.receive_datagram(self.socket.recv(65536), self.address, time.monotonic())
        elif time.monotonic() >= timer:
            self.quic.handle_timer(time.monotonic())
        while event := self.quic.next_event():
            self.events.append(event)
            self.events += self.http.handle_event(event)
        self.flush()

    def wait_for(self, condition):
        deadline = time.monotonic() + DEADLINE
        while not condition():
            if self.happened(ConnectionTerminated):
                raise ConnectionError("connection closed")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {DEADLINE} seconds")
            self.receive(0.1)

    def happened(self, kind, stream=None):
        return any(isinstance(e, kind) and (stream is None or e.stream_id == stream) for e in self.events)

    def request(
        self, path="/upload", length=None, method="POST", boundary=BOUNDARY, end=False, headers=(), content_type=None
    ):
        fields = request_fields(path, length, method, "https", boundary, headers, content_type)
        stream = self.quic.get_next_available_stream_id()
        self.http.send_headers(
            stream, [(name.encode(), str(value).encode("latin-1")) for name, value in fields], end_stream=end
        )
        self.flush()
        return stream

    def begin(self, stream, data, end=True):
        """Sends as much as nginx and the network take at once; the rest goes when the test waits for something."""
        if not self.is_refused(stream):
            self.http.send_data(stream, data, end_stream=end)
            self.flush()

    def send(self, stream, data, end=True):
        """Sends until nginx has all of it, which it acknowledges; stops when nginx has answered already."""
        self.begin(stream, data, end)
        self.wait_for(lambda: self.is_taken(stream) or self.is_refused(stream))

    def end(self, stream):
        self.begin(stream, b"", end=True)

    def taken(self, stream):
        """Bytes of a stream that nginx has acknowledged."""
        return self.quic._streams[stream].sender._buffer_start

    def taken_until_blocked(self, stream):
        """The same when nginx takes no more."""
        taken = -1
        while taken != self.taken(stream):
            taken = self.taken(stream)
            blocked = time.monotonic() + BLOCKED
            while time.monotonic() < blocked:
                self.receive(blocked - time.monotonic())
        return taken

    def is_taken(self, stream):
        # a stream that is over on both sides is forgotten
        state = self.quic._streams.get(stream)
        return state is None or state.sender._buffer_start == state.sender._buffer_stop

    def is_refused(self, stream):
        return self.ended(stream) or self.happened(StopSendingReceived, stream)

    def ended(self, stream):
        return self.happened(StreamReset, stream) or self.is_complete(stream)

    def is_complete(self, stream):
        return any(getattr(event, "stream_ended", False) and event.stream_id == stream for event in self.events)

    def is_answered(self, stream, seconds=0):
        """Whether the answer is there, or comes within so many seconds."""
        deadline = time.monotonic() + seconds
        self.receive(0)
        while not self.ended(stream) and time.monotonic() < deadline:
            self.receive(deadline - time.monotonic())
        return self.ended(stream)

    def ping(self):
        """Waits for an answer to what can only be answered after what was sent before."""
        number = len(self.events)
        self.quic.send_ping(number)
        self.flush()
        self.wait_for(lambda: any(isinstance(e, PingAcknowledged) and e.uid == number for e in self.events))

    def reset(self, stream):
        self.quic.reset_stream(stream, ErrorCode.H3_REQUEST_CANCELLED)
        self.flush()

    def response(self, stream):
        self.wait_for(lambda: self.ended(stream))
        if not self.is_complete(stream):
            raise ConnectionError("stream reset without an answer")
        headers, body = [], b""
        for event in self.events:
            # QUIC's own events have data, too
            if hasattr(event, "stream_ended") and event.stream_id == stream:
                headers += getattr(event, "headers", [])
                body += getattr(event, "data", b"")
        headers = [(name.decode(), value.decode("latin-1")) for name, value in headers]
        return Response(int(dict(headers)[":status"]), headers, body)

    def get(self, path):
        return self.response(self.request(path, method="GET", end=True))
