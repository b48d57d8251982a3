"""What the tests of appending share: the application's side of an upload, and a request that goes as far as told."""

import hashlib
import pathlib
import re
import select
import socket
import struct
import zlib

import pytest

import http3
from client import Connection, Http2, head
from harness import Answer, wait_for

STREAMS = ["http2", "http2 without length", *http3.WAYS]
WAYS = ["length", "chunked", *STREAMS]

ways = pytest.mark.parametrize("way", WAYS)
# the end of a QUIC connection takes with it what nginx has received and its modules have not read
of_tcp = pytest.mark.parametrize("way", [way for way in WAYS if way not in http3.WAYS])

OFFSET_STREAM = "application/offset+octet-stream"


def digests(data):
    return {
        "md5": hashlib.md5(data, usedforsecurity=False).hexdigest(),
        "sha1": hashlib.sha1(data, usedforsecurity=False).hexdigest(),
        "sha256": hashlib.sha256(data).hexdigest(),
        "sha512": hashlib.sha512(data).hexdigest(),
        "crc32": f"{zlib.crc32(data):08x}",
    }


def has_lock(path, kind=""):
    if not path.exists():
        return False
    inode = path.stat().st_ino
    return any(f":{inode} " in line and kind in line for line in pathlib.Path("/proc/locks").read_text().splitlines())


class Upload:
    """One file as the application sees it: it says where the bytes go, and takes the size on disk for the offset."""

    def __init__(self, nginx, backend, name="file", directory=None, **answer):
        self.nginx, self.backend = nginx, backend
        self.path = (directory or nginx.store) / name
        self.checkpoint = self.path.with_name(name + ".checkpoint")
        self.answer = answer
        backend.authorize = self.authorize

    def authorize(self, seen):
        headers = {"X-Upload-Path": self.path, "X-Upload-Offset": self.size()}
        headers.update({"X-Upload-" + key.replace("_", "-"): value for key, value in self.answer.items()})
        return Answer(204, headers)

    def size(self):
        return self.path.stat().st_size if self.path.exists() else 0

    def is_locked(self):
        """Whether a request has it, found out without asking for the lock."""
        return has_lock(self.path)

    def is_asked_for(self, wish=None):
        """Whether a request waits for another one to leave it."""
        return has_lock(self.checkpoint, {"idle": " READ ", "now": " WRITE ", None: ""}[wish])

    def data(self):
        return self.path.read_bytes() if self.path.exists() else b""

    def request(self, way="length", length=None, **kwargs):
        request = Request(self.nginx, way, length, **kwargs)
        request.target = self
        return request

    def append(self, data, way="length", **kwargs):
        """A whole request, and its answer."""
        request = self.request(way, len(data), **kwargs)
        request.send(data)
        response = request.end()
        request.leave()
        return response

    def is_complete(self, data, offset):
        """The application was told of exactly that, and it stands in the file."""
        seen = self.backend.completes[-1]
        fields = dict(seen.form)
        fields.pop("type")
        assert seen.method == "POST"
        assert {name: value.decode() for name, value in fields.items()} == {
            "path": str(self.path),
            "offset": str(offset),
            "size": str(len(data)),
            **digests(data),
        }
        return self.data() == data


class Request:
    """One request in one of the WAYS, whose every step is decided by the test."""

    def __init__(
        self, nginx, way, length, path="/append", method="PATCH", content_type=OFFSET_STREAM, tag=None, headers=()
    ):
        self.nginx, self.way, self.tag = nginx, way, tag
        self.target = None
        if tag:
            path += "?t=" + tag
        if self.is_stream:
            self.connection = http3.connect(nginx) if way in http3.WAYS else Http2(nginx.http2_port)
            self.stream = self.connection.request(
                path, None if way.endswith(" without length") else length, method, content_type=content_type
            )
        else:
            self.connection = Connection(nginx.port)
            if way == "chunked":
                headers = [*headers, "Transfer-Encoding: chunked"]
            self.connection.send(
                head(path, length if way == "length" else None, headers, method, content_type=content_type)
            )

    @property
    def is_stream(self):
        """Of HTTP/2 or HTTP/3."""
        return self.way in STREAMS

    def send(self, data):
        if self.is_stream:
            self.connection.send(self.stream, data, end=False)
        elif self.way == "chunked":
            # several chunks in one go, and one that is split
            for piece in (data[:1000], data[1000:1001], data[1001:]):
                if piece:
                    self.connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        else:
            self.connection.send(data)

    def send_read(self, data):
        """Sends, and waits until nginx has read it."""
        self.send(data)
        if self.is_stream:
            self.connection.ping()
        else:
            wait_for(self.connection.is_read, "nginx reads what was sent")

    def end(self):
        """The rest of the request; returns the answer."""
        if self.is_stream:
            self.connection.end(self.stream)
        elif self.way == "chunked":
            self.connection.send(b"0\r\n\r\n")
        return self.response()

    def is_answered(self, seconds=0):
        if self.is_stream:
            return self.connection.is_answered(self.stream, seconds)
        return bool(select.select([self.connection.socket], [], [], seconds)[0])

    def response(self):
        return self.connection.response(self.stream) if self.is_stream else self.connection.response()

    def leave(self):
        self.connection.close()

    def reset(self):
        """Of the stream, or of TCP."""
        if self.is_stream:
            self.connection.reset(self.stream)
        else:
            self.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def over(self):
        """The status that nginx logged once it was done with the request, and with the file of its upload."""
        status = int(self.nginx.logged(self.tag)[0])
        if self.target:
            # what is left of a request that nobody answers is written a moment after it is logged
            wait_for(lambda: not self.target.is_locked(), "the file is let go")
        return status


def is_writing(upload, size):
    """Waits until nearly all of that is in the file: the last bytes may wait for more."""
    wait_for(lambda: upload.size() > size - 20000, "what was sent is written")


def assert_problem(response, status, *words):
    assert (response.status, response.json()["status"]) == (status, status)
    for word in words:
        assert word in response.json()["detail"]


def leave(request, how):
    request.reset() if how == "reset" else request.leave()


def rewrite(checkpoint, pattern, replacement):
    """Changes both slots of a checkpoint, and keeps them valid."""
    slots = []
    data = checkpoint.read_bytes()
    for start in (0, 4096):
        text = re.sub(pattern, replacement, data[start : start + 4096].rstrip(b"\0"))
        text = re.sub(rb"crc32 [0-9a-f]{8}\n\Z", b"", text)
        slots.append((text + b"crc32 %08x\n" % zlib.crc32(text) if text else b"").ljust(4096, b"\0"))
    checkpoint.write_bytes(b"".join(slots))


OTHER_BOOT = (rb"boot \S+", b"boot 00000000-0000-0000-0000-000000000000")
