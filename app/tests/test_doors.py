"""One storage, many doors: an upload goes on in another protocol than the one that began it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Person
from tests.rufh import PARTIAL, Rufh
from tests.stack import Stack, needs_nginx
from tests.stack_tus import offset
from tests.tus import Tus
from uploads.models import State, Upload

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

type Listing = Callable[[], list[Path]]

CONTENT = b"sequence"


def _begin_rufh(person: Person, body: bytes = b"", **headers: str) -> str:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = person.api.send("POST", "/files/run.bam", body, {"Upload-Complete": "?0", **sent})
    assert answer.status_code == 201, answer.content
    return answer.headers["Location"]


def _append_rufh(person: Person, url: str, offset: int, body: bytes, complete: str) -> "Answer":
    sent = {**PARTIAL, "Upload-Offset": str(offset), "Upload-Complete": complete}
    return person.api.send("PATCH", url, body, sent)


def test_tus_finishes_what_rufh_began(owner: Person, stored: Listing) -> None:
    tus = Tus(owner.api)
    url = _begin_rufh(owner, b"sequ", Upload_Length="8")
    answer = tus.head(url)
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (200, "4")
    assert answer.headers["Upload-Length"] == "8"
    answer = tus.patch(url, 4, b"ence")
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "8")
    assert Upload.objects.get().state == State.COMPLETE
    assert [path.read_bytes() for path in stored()] == [CONTENT]


def test_tus_declares_the_length_that_rufh_did_not(owner: Person, stored: Listing) -> None:
    tus = Tus(owner.api)
    url = _begin_rufh(owner, b"sequ")
    assert tus.head(url).headers["Upload-Defer-Length"] == "1"
    assert tus.patch(url, 4, b"ence", Upload_Length="8").status_code == 204
    assert [path.read_bytes() for path in stored()] == [CONTENT]


def test_tus_finishes_what_a_put_left(owner: Person, stored: Listing) -> None:
    owner.api.send("PUT", "/files/run.bam", CONTENT, cut=4)
    url = Upload.objects.get().get_resource_url()
    assert Tus(owner.api).head(url).headers["Upload-Offset"] == "4"
    assert Tus(owner.api).patch(url, 4, b"ence").status_code == 204
    assert [path.read_bytes() for path in stored()] == [CONTENT]


def test_rufh_finishes_what_tus_began_when_it_says_so(owner: Person, stored: Listing) -> None:
    tus = Tus(owner.api)
    url = tus.begin(8)
    tus.patch(url, 0, b"sequ")
    answer = _append_rufh(owner, url, 4, b"ence", "?0")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (204, "?0")
    answer = owner.api.send("HEAD", url)
    assert (answer.headers["Upload-Complete"], answer.headers["Upload-Offset"]) == ("?0", "8")
    answer = _append_rufh(owner, url, 8, b"", "?1")
    assert (answer.status_code, answer.headers["Upload-Complete"]) == (201, "?1")
    assert [path.read_bytes() for path in stored()] == [CONTENT]


@needs_nginx
@pytest.mark.django_db(transaction=True)
def test_who_asks_by_tus_gets_a_file_of_all_bytes_that_rufh_left_open(
    stack: Stack, owner: Person, stored: Listing
) -> None:
    url = Rufh(stack, owner.token).create(CONTENT, Upload_Length="8").headers["Location"]
    assert stored() == []
    assert offset(stack, url) == 8
    assert [path.read_bytes() for path in stored()] == [CONTENT]
