"""Where there is HTTP/3: Debian 12 has neither an nginx that speaks it nor the library of its client, in quic.py."""

import importlib.util

import pytest

from harness import HAS_HTTP3

IS_HERE = HAS_HTTP3 and importlib.util.find_spec("aioquic") is not None

# the ways to send a body with it, for the lists of ways
WAYS = ["http3", "http3 without length"] if IS_HERE else []

needed = pytest.mark.skipif(not IS_HERE, reason="this nginx, or this Debian's Python, has no HTTP/3")


def connect(nginx):
    """A connection to an nginx of the tests."""
    return pytest.importorskip("quic").Http3(nginx.https_port)
