"""Segments, as clients of the classic upload module send them, against the deployed service."""

from __future__ import annotations

import hashlib
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Answer, Site

CONTENT = secrets.token_bytes(1_000_003)
SIZE = 125_001


def send(site: Site, session: str, first: int) -> Answer:
    body = CONTENT[first : first + SIZE]
    head = site.head(
        f"X-Session-ID: {session}",
        f"X-Content-Range: bytes {first}-{first + len(body) - 1}/{len(CONTENT)}",
        "Content-Type: application/octet-stream",
        'Content-Disposition: attachment; filename="run 7.bam"',
        f"Content-Length: {len(body)}",
        path="/segments/",
    )
    return site.exchange(head, body)


def assert_is_whole(host: Any, answer: Answer) -> None:
    assert answer.status == 200, answer
    [upload] = json.loads(answer.body)["uploads"]
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert (upload["name"], upload["sha256"]) == ("run 7.bam", digest)
    stored = f"/srv/upload/files/{upload['id'][:2]}/{upload['id']}"
    assert host.check_output(f"sha256sum {stored}").split()[0] == digest


def test_segments_out_of_order_make_a_whole_file(host: Any, site: Site) -> None:
    session = secrets.token_hex(8)
    firsts = [*range(0, len(CONTENT), SIZE)]
    backwards = [send(site, session, first) for first in reversed(firsts)]
    assert [answer.status for answer in backwards] == [201] * (len(firsts) - 1) + [200]
    last = f"{firsts[-1]}-{len(CONTENT) - 1}/{len(CONTENT)}"
    assert backwards[0].body.decode() == last
    assert_is_whole(host, backwards[-1])


def test_segments_in_parallel_make_a_whole_file(host: Any, site: Site) -> None:
    session = secrets.token_hex(8)

    def until_taken(first: int) -> Answer:
        answer = send(site, session, first)
        # Of two that could be the last, one may hear that the other still writes.
        while answer.status == 409:
            answer = send(site, session, first)
        return answer

    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(until_taken, range(0, len(CONTENT), SIZE))]
    *others, last = sorted(answers, key=lambda answer: -answer.status)
    assert [answer.status for answer in others] == [201] * len(others)
    assert_is_whole(host, last)
