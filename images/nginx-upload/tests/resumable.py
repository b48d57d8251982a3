"""The client of the segment protocol, the locations it talks to, and what it expects of them."""

import contextlib
import hashlib
import itertools
import random
import uuid
import zlib

import pytest

import http3
from client import Connection, Http2, chunked, exchange, head
from harness import LEFT, wait_for

TYPE = "application/octet-stream"
DISPOSITION = 'attachment; filename="movie.bin"'

DATA = random.Random(1).randbytes(200_001)
PIECES = 8

DIGESTS = ("md5", "sha1", "sha256", "sha512")


def session_id():
    return uuid.uuid4().hex


def fields_of(data, *, name="", filename="movie.bin", content_type=TYPE):
    """What the application is told of a file, without its path and range."""
    return {
        "file.field": name.encode(),
        "file.name": filename.encode(),
        "file.type": content_type.encode(),
        "file.size": str(len(data)).encode(),
        "file.sha256": hashlib.sha256(data).hexdigest().encode(),
        "file.crc32": b"%08x" % zlib.crc32(data),
        **{"file." + kind: hashlib.new(kind, data).hexdigest().encode() for kind in DIGESTS if kind != "sha256"},
        "file.number": b"1",
    }


def header_list(session=None, content_range=None, disposition=DISPOSITION, more=()):
    """The headers of a raw upload as (name, value); what is None is not sent."""
    given = [("Session-ID", session), ("Content-Range", content_range), ("Content-Disposition", disposition), *more]
    return [(name, value) for name, value in given if value is not None]


def lines(headers):
    return [f"{name}: {value}" for name, value in headers]


def lowered(headers):
    return [(name.lower(), value) for name, value in headers]


def by_length(nginx, path, body, headers, content_type=TYPE):
    return exchange(nginx.port, head(path, len(body), headers=lines(headers), content_type=content_type) + body)


def by_chunks(nginx, path, body, headers, content_type=TYPE):
    text = head(path, headers=[*lines(headers), "Transfer-Encoding: chunked"], content_type=content_type)
    return exchange(nginx.port, text + chunked(body, 4000))


def by_stream(connection, path, body, headers, content_type, length=True):
    """Over HTTP/2 or HTTP/3."""
    stream = connection.request(
        path,
        len(body) if length else None,
        headers=lowered(headers),
        content_type=content_type,
        end=not body,
    )
    if body:
        connection.send(stream, body)
    return connection.response(stream)


def by_http2(nginx, path, body, headers, content_type=TYPE):
    with Http2(nginx.http2_port) as connection:
        return by_stream(connection, path, body, headers, content_type)


def by_http2_without_length(nginx, path, body, headers, content_type=TYPE):
    with Http2(nginx.http2_port) as connection:
        return by_stream(connection, path, body, headers, content_type, length=False)


def by_http3(nginx, path, body, headers, content_type=TYPE):
    with http3.connect(nginx) as connection:
        return by_stream(connection, path, body, headers, content_type)


def by_http3_without_length(nginx, path, body, headers, content_type=TYPE):
    with http3.connect(nginx) as connection:
        return by_stream(connection, path, body, headers, content_type, length=False)


WAYS = [by_length, by_chunks, by_http2, by_http2_without_length]
WAYS += [by_http3, by_http3_without_length] if http3.IS_HERE else []

every_way = pytest.mark.parametrize("way", WAYS)


def pieces(total, count):
    """The ranges of a file in so many pieces of about the same size."""
    ends = [total * i // count for i in range(count + 1)]
    return [(first, last - 1) for first, last in itertools.pairwise(ends)]


def overlapping(total):
    step = total // PIECES
    return [(max(0, first - step // 3), last) for first, last in pieces(total, PIECES)]


def repeated(total):
    ranges = pieces(total, PIECES)
    return [r for r in ranges[:-1] for _ in range(2)] + ranges[-1:]


# the ranges of DATA, as they may come
ORDERS = {
    "in order": pieces(len(DATA), PIECES),
    "in reverse": pieces(len(DATA), PIECES)[::-1],
    "shuffled": random.Random(2).sample(pieces(len(DATA), PIECES), PIECES),
    "odd ones first": pieces(len(DATA), PIECES)[1::2] + pieces(len(DATA), PIECES)[::2],
    "overlapping": overlapping(len(DATA)),
    "overlapping in reverse": overlapping(len(DATA))[::-1],
    "repeated": repeated(len(DATA)),
    "the end first": [(len(DATA) - 1, len(DATA) - 1), (0, len(DATA) - 2)],
    "within others": [(0, 99_999), (10, 20), (150_000, 180_000), (100_001, 190_000), (190_001, 200_000), (50, 100_001)],
}


def merge(ranges):
    """Sorted, with those that overlap or touch as one."""
    merged = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def range_list(ranges, total, size=256):
    """The ranges as a 201 lists them: as many as fit."""
    text = ""
    for first, last in ranges:
        longer = text + ("," if text else "") + f"{first}-{last}/{total}"
        if len(longer) > size:
            break
        text = longer
    return text


class Upload:
    """One upload in ranges, and what the server should know of it."""

    def __init__(self, nginx, data, way=by_length, path="/raw", session=None, room=256):
        self.nginx = nginx
        self.data = data
        self.way = way
        self.path = path
        self.session = session or session_id()
        self.room = room
        self.ranges = []

    @property
    def total(self):
        return len(self.data)

    @property
    def file(self):
        return self.nginx.store / self.session

    @property
    def state(self):
        return self.nginx.directory / "states" / f"{self.session}.state"

    def state_files(self):
        """The state and all that lies beside it."""
        return sorted(self.state.parent.glob(f"{self.session}*"))

    def headers(self, first, last, total=None, **more):
        return header_list(self.session, f"bytes {first}-{last}/{total or self.total}", **more)

    def send(self, first, last, body=None, total=None, path=None, **more):
        if body is None:
            body = self.data[first : last + 1]
        return self.way(self.nginx, path or self.path, body, self.headers(first, last, total, **more))

    def put(self, first, last, **more):
        """Sends a range, which must not be the last that is missing."""
        response = self.send(first, last, **more)
        assert response.status == 201, response
        self.ranges = merge([*self.ranges, (first, last)])
        assert self.ranges != [(0, self.total - 1)]
        self.check_partial()
        text = range_list(self.ranges, self.total, self.room)
        assert (response.header("Range"), response.body) == (text, text.encode())
        return response

    def finish(self, first, last, backend, **more):
        """Sends the last range that is missing."""
        before = len(backend.completes)
        response = self.send(first, last, **more)
        assert response.status == 200, response
        assert response.body == backend.complete.body
        assert len(backend.completes) == before + 1
        self.check_complete(backend.completes[-1], f"bytes {first}-{last}/{self.total}")
        return response

    def check_partial(self):
        assert self.state.read_text() == "".join(f"{a}-{b}/{self.total}\n" for a, b in self.ranges)
        content = self.file.read_bytes()
        for first, last in self.ranges:
            assert content[first : last + 1] == self.data[first : last + 1]

    def check_complete(self, seen, content_range):
        assert self.file.read_bytes() == self.data
        assert self.state_files() == []
        expected = {
            **fields_of(self.data),
            "file.path": str(self.file).encode(),
            "file.range": content_range.encode(),
        }
        assert dict(seen.form) == expected

    @contextlib.contextmanager
    def cut(self, first, last, sent, tag=None, body=None):
        """A client that leaves after so many bytes of a range."""
        body = self.data[first : last + 1] if body is None else body
        tag = tag or session_id()
        path = f"{self.path}?t={tag}"
        if self.way not in (by_length, by_chunks):
            is_http3 = self.way in (by_http3, by_http3_without_length)
            with http3.connect(self.nginx) if is_http3 else Http2(self.nginx.http2_port) as connection:
                length = len(body) if self.way in (by_http2, by_http3) else None
                stream = connection.request(path, length, headers=lowered(self.headers(first, last)), content_type=TYPE)
                connection.send(stream, body[:sent], end=False)
                yield
        else:
            with Connection(self.nginx.port) as c:
                if self.way == by_length:
                    text = head(path, len(body), headers=lines(self.headers(first, last)), content_type=TYPE)
                    c.send_read(text + body[:sent])
                else:
                    headers = [*lines(self.headers(first, last)), "Transfer-Encoding: chunked"]
                    text = chunked(body[:sent]).removesuffix(b"0\r\n\r\n")
                    c.send_read(head(path, headers=headers, content_type=TYPE) + text)
                yield
        assert int(self.nginx.logged(tag)[0]) in LEFT

    def is_written(self, size):
        return self.file.exists() and self.file.stat().st_size >= size

    def wait_gone(self):
        wait_for(lambda: not self.file.exists(), "the file is removed")

    def wait_written(self, size):
        wait_for(lambda: self.is_written(size), f"{size} bytes are on the disk")


def begin_range(nginx, upload, first, last, sent, path="/raw"):
    c = Connection(nginx.port)
    c.send_read(
        head(path, last - first + 1, headers=lines(upload.headers(first, last)), content_type=TYPE)
        + upload.data[first : first + sent]
    )
    return c
