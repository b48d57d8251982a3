"""Parts are joined without a second copy of their bytes where the file system shares blocks.

app/reflink.sh brings an XFS in a loop device along; elsewhere there is nothing to see here.
"""

import fcntl
import hashlib
import os
import secrets
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.conftest import Person
from tests.parts import final, partial
from tests.stack import Stack, needs_nginx
from uploads import joining, partials, storage
from uploads.joining import Step
from uploads.models import State, Upload

STORE = os.environ.get("UPLOAD_TEST_XFS", "")

pytestmark = [
    pytest.mark.django_db(transaction=True),
    needs_nginx,
    pytest.mark.skipif(
        not STORE, reason=os.environ.get("UPLOAD_TEST_NO_XFS", "needs XFS: app/reflink.sh has it")
    ),
]

MIB = 1024**2
PARTS = 4
SIZE = 8 * MIB
# Extents and their tree; XFS also keeps some of what was freed for itself for a while.
METADATA = MIB
FIEMAP = 0xC020660B
FIEMAP_SYNC, FIEMAP_SHARED = 1, 0x2000
HEAD, EXTENT = struct.Struct("=QQIIII"), struct.Struct("=QQQ16xI12x")


@pytest.fixture(autouse=True)
def store(settings: Settings, tmp_path: Path) -> Path:
    """Return the directory with this test's own incoming and files directories, on XFS."""
    path = Path(STORE, tmp_path.name)
    settings.UPLOAD_INCOMING_DIR = path / "incoming"
    settings.UPLOAD_FILES_DIR = path / "files"
    settings.UPLOAD_INCOMING_DIR.mkdir(parents=True)
    settings.UPLOAD_FILES_DIR.mkdir()
    return path


type Waiting = Callable[[bytes, int], Upload]


@pytest.fixture
def waiting(stack: Stack, owner: Person, monkeypatch: pytest.MonkeyPatch) -> Waiting:
    """Return what makes an upload in parts of one size, which nobody joins yet."""
    monkeypatch.setattr(joining, "start", lambda: None)

    def make(content: bytes, size: int) -> Upload:
        urls = []
        for begin in range(0, len(content), size):
            body = content[begin : begin + size]
            reply = stack.send("POST", "/files/", body, partial(len(body)))
            assert reply.status == 201, reply.body
            urls.append(reply.headers["Location"])
        answer = owner.api.send("POST", "/files/", headers=final(urls))
        assert answer.status_code == 201, answer.content
        return Upload.objects.get(pk=answer.headers["Location"].rpartition("/")[2])

    return make


def _blocks(path: Path, begin: int, end: int) -> dict[int, int]:
    """Return where each shared block of a stretch of a file lies on the disk, by its place."""
    buffer = bytearray(HEAD.pack(begin, end - begin, FIEMAP_SYNC, 0, 512, 0) + bytes(512 * 56))
    with path.open("rb") as file:
        fcntl.ioctl(file, FIEMAP, buffer)
    mapped = HEAD.unpack_from(buffer)[3]
    blocks = {}
    for number in range(mapped):
        found = EXTENT.unpack_from(buffer, HEAD.size + number * EXTENT.size)
        logical, physical, length, flags = found
        if flags & FIEMAP_SHARED:
            for offset in range(0, length, 4096):
                if begin <= logical + offset < end:
                    blocks[logical + offset - begin] = physical + offset
    return blocks


def _free(store: Path) -> int:
    os.sync()
    found = os.statvfs(store)
    return found.f_bfree * found.f_frsize


def _assert_whole(upload: Upload, content: bytes) -> None:
    upload.refresh_from_db()
    assert (upload.state, upload.size) == (State.COMPLETE, len(content))
    assert upload.sha256 == hashlib.sha256(content).hexdigest()
    assert storage.path_of(upload.stored_path).read_bytes() == content


def test_parts_that_begin_at_a_block_are_shared_and_take_no_room_twice(
    waiting: Waiting, store: Path
) -> None:
    content = secrets.token_bytes(PARTS * SIZE)
    upload = waiting(content, SIZE)
    parts = list(upload.parts.order_by("position"))
    whole = partials.path_of(upload.id)
    before = _free(store)
    number = 1
    for step in joining.steps(upload):
        if step is Step.COPIED:
            theirs = _blocks(partials.path_of(parts[number].id), 0, SIZE)
            assert len(theirs) == SIZE // 4096
            assert _blocks(whole, number * SIZE, (number + 1) * SIZE) == theirs
            number += 1
        assert _free(store) > before - METADATA
    assert number == PARTS
    _assert_whole(upload, content)


def test_parts_that_begin_within_a_block_are_copied(waiting: Waiting, store: Path) -> None:
    content = secrets.token_bytes(PARTS * SIZE + 4)
    upload = waiting(content, SIZE + 1)
    before = _free(store)
    taken = [before - _free(store) for step in joining.steps(upload) if step is Step.COPIED]
    assert len(taken) == PARTS - 1
    assert min(taken) > SIZE - METADATA
    _assert_whole(upload, content)
