"""Uploads that come in chunks, each a file of its own that nginx received, in order.

A chunk is copied into the upload's partial file inside the kernel, and nginx then makes its bytes
count: it hashes just them, flushes them and writes the checkpoint. So the digests of the whole
stand with the last chunk, and nothing is read again when the client sends its own to compare.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from config.problems import Problem
from uploads import handoff, partials, service, states, storage
from uploads.handoff import ReceivedChunk
from uploads.models import Upload
from uploads.partials import Takeover
from uploads.refusals import Incomplete, OffsetConflict
from uploads.service import Append, Status

ALGORITHMS: Final = ("md5", "sha1", "sha256", "sha512")
# Four digests of a byte take longer than one, and the chunk may come from a slow disk.
_BYTES_PER_SECOND: Final = 20_000_000


class ChecksumMismatch(Problem):
    """The client's digest is not that of what is here."""

    def __init__(self, algorithm: str) -> None:
        """Take the name of the digest."""
        super().__init__(
            HTTPStatus.BAD_REQUEST,
            "checksum",
            "The checksum does not match",
            f"{algorithm} checksum does not match. Compute it of the whole file; if it is right,"
            " begin a new upload.",
        )


def absorb(permit: Append, chunk: ReceivedChunk) -> Status:
    """Bring a chunk to its place. Problem: `OffsetConflict`, 423 when another one is at it, or 507.

    The chunk's own file is gone then; after a failure it is nginx's to remove.
    """
    upload, path = permit.upload, permit.path
    end = permit.offset + chunk.size
    seconds = service.DIGEST_SECONDS + chunk.size / _BYTES_PER_SECOND
    if not partials.is_current(path):
        # What is written before nginx has opened the file since the machine started, it cuts off.
        handoff.ask_for_digests(path, permit.offset, upload.length, seconds)
    with partials.held(path, Takeover.IDLE):
        found = partials.offset(path, durable=False)
        if found != permit.offset:
            raise OffsetConflict(found, permit.offset)
        storage.copy(chunk, path, permit.offset)
    body, _ = handoff.ask_for_digests(path, end, upload.length, seconds)
    chunk.path.unlink(missing_ok=True)
    service.report(upload, body.size)
    return Status(upload, body.size)


def finish(upload: Upload, checksums: Mapping[str, str]) -> Status:
    """Complete an upload whose digests are the client's, by their names.

    Problem: `Gone`, `AlreadyComplete`, `Incomplete`, `ChecksumMismatch`, 423 or 503.
    """
    states.require_open(upload)
    service.recover(upload)
    path = partials.locate(upload)
    offset, length = partials.offset(path, durable=False), upload.length or 0
    if offset != length:
        raise Incomplete(offset, length)
    body, digests = handoff.ask_for_digests(path, length, length, service.DIGEST_SECONDS)
    for algorithm, digest in checksums.items():
        if digests[algorithm] != digest.lower():
            raise ChecksumMismatch(algorithm)
    with partials.held(path, Takeover.IDLE):
        return service.received(upload, body, is_final=True)
