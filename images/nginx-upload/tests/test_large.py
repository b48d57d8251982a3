"""A body of more than 4 GiB, in constant memory."""

import hashlib
import os
import pathlib
import time

from client import Connection, form, head, part

SIZE = (4 << 30) + 12345
MEMORY = 64 << 20


def test_more_than_4_gib_are_stored_and_hashed_in_constant_memory(own_nginx, backend):
    nginx = own_nginx(http="client_body_buffer_size 1m;")
    store = pathlib.Path(os.environ["UPLOAD_TEST_LARGE"])
    before, after = (form(part(b"@", "file", "large.bin"))).split(b"@")
    block = bytes(1 << 20)
    digest = hashlib.sha256()
    started = time.monotonic()
    with Connection(nginx.port) as c:
        c.send(head("/large", len(before) + SIZE + len(after)) + before)
        left = SIZE
        while left:
            piece = block[: min(left, len(block))]
            c.send(piece)
            digest.update(piece)
            left -= len(piece)
        c.send(after)
        assert c.response().status == 200
    seconds = time.monotonic() - started
    fields = dict(backend.completes[0].form)
    path = pathlib.Path(fields["file.path"].decode())
    try:
        assert path.parent == store
        assert path.stat().st_size == SIZE
        assert fields["file.size"] == str(SIZE).encode()
        assert fields["file.sha256"] == digest.hexdigest().encode()
        assert nginx.rss() < MEMORY
    finally:
        path.unlink()
    print(
        f"\n{SIZE} bytes in {seconds:.1f} s: {SIZE / seconds / 1e6:.0f} MB/s, at most {nginx.rss() >> 20} MiB of memory"
    )
