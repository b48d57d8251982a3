"""A client that sends a file in parts, as tus-js-client does in parallel, and has them joined."""

import re
import zlib
from collections.abc import Sequence
from pathlib import Path

from tests.tus import NAME, TYPE, VERSION

OTHER_BOOT = b"0e8d9b2c-0000-4000-8000-000000000000"


def partial(length: int) -> dict[str, str]:
    """Return the headers of a part that comes with its creation."""
    return {**VERSION, **TYPE, "Upload-Concat": "partial", "Upload-Length": str(length)}


def final(urls: Sequence[str], **changes: str) -> dict[str, str]:
    """Return the headers of a file of parts."""
    own = {name.replace("_", "-"): value for name, value in changes.items()}
    return {**VERSION, **NAME, "Upload-Concat": f"final;{' '.join(urls)}", **own}


def lose_power(path: Path) -> None:
    """Leave of a partial file what a power loss does: zeros after what its checkpoint covers."""
    place = path.with_name(f"{path.name}.checkpoint")
    if not place.exists():
        return
    slots = place.read_bytes()
    covered = {0: 0}
    written = b""
    for slot in (slots[:4096], slots[4096:]):
        text = slot.partition(b"\0")[0][: -len("crc32 00000000\n")]
        if text:
            numbers = re.findall(rb"^(?:sequence|offset) ([0-9]+)$", text, re.MULTILINE)
            covered[int(numbers[0])] = int(numbers[1])
            text = re.sub(rb"^boot .*$", b"boot " + OTHER_BOOT, text, flags=re.MULTILINE)
            text += b"crc32 %08x\n" % zlib.crc32(text)
        written += text.ljust(4096, b"\0")
    place.write_bytes(written)
    if path.exists():
        with path.open("r+b") as file:
            size = file.seek(0, 2)
            offset = min(size, covered[max(covered)])
            file.seek(offset)
            file.write(bytes(size - offset))
