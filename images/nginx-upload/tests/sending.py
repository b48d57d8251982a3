"""What is sent: awkward content, one upload in every way that needs no certificate; and what a refusal looks like."""

import random
import re

import pytest

import http3
from client import BOUNDARY, Http2, chunked, exchange, head, post
from harness import wait_for


def assert_problem(nginx, backend, response, status, *words):
    assert response.status == status
    assert response.header("Content-Type") == "application/problem+json"
    problem = response.json()
    assert problem["status"] == status
    for word in words:
        assert word in problem["detail"]
    # the answer may be out a moment before the request is over
    wait_for(lambda: not nginx.files(), "nothing is left in the store")
    assert backend.completes == []


def by_length(nginx, path, body):
    return post(nginx.port, body, path=path)


def by_chunks(nginx, path, body):
    return exchange(nginx.port, head(path, headers=["Transfer-Encoding: chunked"]) + chunked(body, 4000))


def by_stream(connection, path, body, length):
    """Over HTTP/2 or HTTP/3."""
    stream = connection.request(path, length)
    connection.send(stream, body)
    return connection.response(stream)


def by_http2(nginx, path, body):
    with Http2(nginx.http2_port) as connection:
        return by_stream(connection, path, body, len(body))


def by_http2_without_length(nginx, path, body):
    with Http2(nginx.http2_port) as connection:
        return by_stream(connection, path, body, None)


def by_http3(nginx, path, body):
    with http3.connect(nginx) as connection:
        return by_stream(connection, path, body, len(body))


def by_http3_without_length(nginx, path, body):
    with http3.connect(nginx) as connection:
        return by_stream(connection, path, body, None)


ways = pytest.mark.parametrize(
    "send",
    [
        by_length,
        by_chunks,
        by_http2,
        by_http2_without_length,
        pytest.param(by_http3, marks=http3.needed),
        pytest.param(by_http3_without_length, marks=http3.needed),
    ],
)


def near_delimiters(seed, size):
    """Content in which a parser holds something back everywhere."""
    rand = random.Random(seed)
    delimiter = b"\r\n--" + BOUNDARY
    pieces = [delimiter[:n] for n in range(1, len(delimiter))]
    pieces += [delimiter + b"x", delimiter + b"-", delimiter + b" \ty", delimiter[1:], rand.randbytes(50), b"\0" * 99]
    data = b""
    while len(data) < size:
        data += rand.choice(pieces)
    # what has become a delimiter is made to be none
    data = re.sub(b"(\r?\n--" + BOUNDARY + b")(?=[ \t]*(\r|\n|--))", rb"\1z", data[:size])
    return data + b"."
