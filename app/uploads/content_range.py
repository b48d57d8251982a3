"""Content-Range in requests: which bytes of the whole a body is."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from config.problems import Problem

# 18 digits stay below 2**63, as everywhere.
_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """Bytes `first` to `last`, which is included, of `total`."""

    first: int
    last: int
    total: int

    @property
    def size(self) -> int:
        """The bytes of the body."""
        return self.last - self.first + 1


def read(text: str | None) -> ContentRange | None:
    """Return a header's range, None without one. Problem 400: it is malformed."""
    if text is None:
        return None
    found = _RANGE.fullmatch(text)
    if found is not None:
        result = ContentRange(*(int(number) for number in found.groups()))
        if result.first <= result.last < result.total:
            return result
    raise Problem(
        HTTPStatus.BAD_REQUEST,
        "malformed-header",
        "Error in request headers",
        "Error in request headers: Content-Range is 'bytes FIRST-LAST/TOTAL', and LAST is less"
        " than TOTAL.",
    )
