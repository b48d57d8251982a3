"""Segments, as clients of the classic upload module send them, against the deployed service.

The protocol has no checksums, so none is refused; the SHA-256 of the whole is in the last answer.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import json
import random
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from clients.proxy import CuttingProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Answer, Site

pytestmark = pytest.mark.usefixtures("tidy")

CONTENT = secrets.token_bytes(1_000_003)
SIZE = 125_001
FIRSTS = [*range(0, len(CONTENT), SIZE)]
CUTS = 30


@pytest.fixture
def session(site: Site) -> Iterator[str]:
    """A session id; what the test leaves unfinished is deleted."""
    made = secrets.token_hex(8)
    yield made
    end(site, made)


@pytest.fixture
def stranger(site: Site, host: Any) -> Site:
    """The service for somebody else."""
    manage = "docker exec upload-app python manage.py"
    host.check_output(f"{manage} ensure_user sam")
    token = host.check_output(f"{manage} create_token --user sam --name {secrets.token_hex(4)}")
    return dataclasses.replace(site, token=token)


@pytest.fixture
def proxy(site: Site) -> Iterator[CuttingProxy]:
    """The way to the service; it cuts nothing unless it is told to."""
    with CuttingProxy(site.host, site.port) as running:
        yield running


@pytest.fixture
def path_of(host: Any) -> Callable[[str], str]:
    """Return the path of a session's upload: a function of its id."""

    def look(session: str) -> str:
        found = f"Upload.objects.receiving().get(metadata='{session}').pk"
        code = f"from uploads.models import Upload; print({found})"
        shell = f'docker exec upload-app python manage.py shell --no-imports -c "{code}"'
        return f"/segments/{host.check_output(shell)}"

    return look


def send(site: Site, session: str, first: int, total: int = len(CONTENT)) -> Answer:
    body = CONTENT[first : first + SIZE]
    head = site.head(
        f"X-Session-ID: {session}",
        f"X-Content-Range: bytes {first}-{first + len(body) - 1}/{total}",
        "Content-Type: application/octet-stream",
        'Content-Disposition: attachment; filename="run 7.bam"',
        f"Content-Length: {len(body)}",
        path="/segments/",
    )
    return site.exchange(head, body)


def end(site: Site, session: str) -> Answer:
    return site.request("DELETE", "/segments/", f"X-Session-ID: {session}")


def until_taken(site: Site, session: str, first: int) -> Answer:
    """Send a segment until it is there, whatever happens to connections meanwhile."""
    while True:
        try:
            answer = send(site, session, first)
        except (OSError, http.client.HTTPException):
            continue
        # Of two that could be the last, one may hear that the other still writes.
        if answer.status != 409:
            return answer


def assert_is_whole(host: Any, answer: Answer) -> None:
    assert answer.status == 200, answer
    [upload] = json.loads(answer.body)["uploads"]
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (upload["name"], upload["sha256"]) == ("run 7.bam", digest)
    stored = f"/srv/upload/files/{upload['id'][:2]}/{upload['id']}"
    assert host.check_output(f"sha256sum {stored}").split()[0] == digest


def test_segments_out_of_order_make_a_whole_file(host: Any, site: Site, session: str) -> None:
    backwards = [send(site, session, first) for first in reversed(FIRSTS)]
    assert [answer.status for answer in backwards] == [201] * (len(FIRSTS) - 1) + [200]
    last = f"{FIRSTS[-1]}-{len(CONTENT) - 1}/{len(CONTENT)}"
    assert backwards[0].body.decode() == last
    assert_is_whole(host, backwards[-1])


@pytest.mark.parametrize("connections", [1, 4])
def test_segments_make_a_whole_file_through_interruptions(
    host: Any, site: Site, session: str, proxy: CuttingProxy, connections: int
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # for whoever has to repeat it
    chance = random.Random(seed)  # noqa: S311 - no secret
    proxy.cut_after(chance.randrange(2000, SIZE) for _ in range(CUTS))
    way = dataclasses.replace(site, host="127.0.0.1", port=proxy.port)
    with ThreadPoolExecutor(connections) as pool:
        answers = [*pool.map(lambda first: until_taken(way, session, first), FIRSTS)]
    assert proxy.cuts == CUTS
    *others, last = sorted(answers, key=lambda answer: -answer.status)
    assert [answer.status for answer in others] == [201] * len(others)
    assert_is_whole(host, last)
    assert not host.check_output(f"find /srv/upload/incoming -name '{session}*'")


def test_segments_in_parallel_make_a_whole_file(host: Any, site: Site, session: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(lambda first: until_taken(site, session, first), FIRSTS)]
    *others, last = sorted(answers, key=lambda answer: -answer.status)
    assert [answer.status for answer in others] == [201] * len(others)
    assert_is_whole(host, last)


@pytest.mark.usefixtures("nothing_left")
def test_a_total_over_the_limit_is_413_with_the_limit(site: Site, session: str) -> None:
    answer = send(site, session, 0, 13 << 30)
    assert answer.status == 413
    assert answer.problem["max_size"] == 12 << 30


def test_another_total_is_409_and_the_right_one_goes_on(
    host: Any, site: Site, session: str
) -> None:
    send(site, session, 0)
    answer = send(site, session, SIZE, len(CONTENT) + 1)
    assert answer.status == 409
    assert answer.problem["length"] == len(CONTENT)
    for first in FIRSTS[1:]:
        answer = send(site, session, first)
    assert_is_whole(host, answer)


def test_an_expired_session_is_410_once_and_begins_anew(
    site: Site, session: str, path_of: Callable[[str], str], abandon: Callable[[str], None]
) -> None:
    send(site, session, 0)
    abandon(path_of(session))
    assert send(site, session, SIZE).status == 410
    again = send(site, session, SIZE)
    assert again.body.decode() == f"{SIZE}-{2 * SIZE - 1}/{len(CONTENT)}"


def test_a_deleted_session_is_gone_with_its_bytes_and_begins_anew(
    host: Any, site: Site, session: str
) -> None:
    send(site, session, 0)
    assert host.check_output(f"find /srv/upload/incoming -name {session}")
    assert end(site, session).status == 204
    assert not host.check_output(f"find /srv/upload/incoming -name '{session}*'")
    assert end(site, session).status == 404
    again = send(site, session, SIZE)
    assert again.body.decode() == f"{SIZE}-{2 * SIZE - 1}/{len(CONTENT)}"


def test_the_session_of_another_user_is_neither_joined_nor_ended(
    host: Any, site: Site, stranger: Site, session: str
) -> None:
    send(site, session, 0)
    assert end(stranger, session).status == 404
    theirs = send(stranger, session, SIZE)
    assert theirs.body.decode() == f"{SIZE}-{2 * SIZE - 1}/{len(CONTENT)}"
    for first in FIRSTS[1:]:
        answer = send(site, session, first)
    assert_is_whole(host, answer)
    assert end(stranger, session).status == 204
