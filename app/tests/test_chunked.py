"""/chunked/ serves clients of django-chunked-upload and drf-chunked-upload, behind a real nginx.

What those clients do is in the packages' READMEs; what they get, in their views.
"""

import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from accounts.models import ApiToken
from tests.conftest import Person
from tests.multipart import form
from tests.nginx import writing
from tests.stack import Reply, Stack, deployed, needs_nginx
from uploads import partials
from uploads.models import Door, State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

type Listing = Callable[[], list[Path]]

CONTENT = secrets.token_bytes(300_001)
MIB = 1024**2


@dataclass
class Client:
    """Sends what both packages' clients send, for one person."""

    kit: Stack
    person: Person

    def send(self, method: str, url: str, body: bytes = b"", /, **headers: str) -> Reply:
        sent = {"Authorization": f"Bearer {self.person.token}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.kit.send(method, url, body, sent)

    def chunk(
        self,
        first: int,
        chunk: bytes,
        total: int,
        *,
        method: str = "POST",
        url: str = "/chunked/",
        **fields: str,
    ) -> Reply:
        sent = form(chunk, **fields)
        span = f"bytes {first}-{first + len(chunk) - 1}/{total}"
        return self.send(method, url, sent.body, **sent.headers, Content_Range=span)

    def end(self, url: str = "/chunked/", **fields: str) -> Reply:
        kind = "application/x-www-form-urlencoded"
        return self.send("POST", url, urlencode(fields).encode(), Content_Type=kind)

    def begin(self, chunk: bytes, total: int) -> dict[str, Any]:
        return _json(self.chunk(0, chunk, total))


@pytest.fixture
def client(kit: Stack, owner: Person) -> Client:
    """Return the owner's client."""
    return Client(kit, owner)


def _json(reply: Reply, status: int = 200) -> dict[str, Any]:
    assert reply.status == status, reply.body
    members: dict[str, Any] = json.loads(reply.body)
    return members


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _files(store: Path, most: int = 0) -> list[str]:
    """List what is left of uploads; nginx removes a refused chunk just after its answer."""
    while len(found := _incoming(store)) > most:
        pass
    return found


def _incoming(store: Path) -> list[str]:
    return sorted(path.name for path in (store / "incoming").iterdir())


def test_a_client_of_django_chunked_upload_gets_through(
    client: Client, stored: Listing, store: Path
) -> None:
    answer = client.begin(CONTENT[:100_000], len(CONTENT))
    assert (answer["offset"], answer["status"]) == (100_000, 1)
    assert answer["expires"]
    upload_id = answer["upload_id"]
    assert len(upload_id) == 32
    for first in (100_000, 200_000):
        chunk = CONTENT[first : first + 100_000 + first // 200_000]
        answer = _json(client.chunk(first, chunk, len(CONTENT), upload_id=upload_id))
        assert (answer["upload_id"], answer["offset"]) == (upload_id, first + len(chunk))
    assert Upload.objects.get().state == State.RECEIVING
    answer = _json(client.end(upload_id=upload_id, md5=_md5(CONTENT)))
    assert (answer["status"], answer["sha256"]) == (2, hashlib.sha256(CONTENT).hexdigest())
    upload = Upload.objects.get()
    assert (upload.state, upload.protocol, upload.name) == (State.COMPLETE, Door.CHUNKED, "run.bam")
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    assert _files(store) == []


def test_a_client_of_drf_chunked_upload_gets_through(
    client: Client, stored: Listing, store: Path
) -> None:
    first = client.chunk(0, CONTENT[:7], len(CONTENT), method="PUT", filename="sample 1.bam")
    answer = _json(first)
    url = answer["url"]
    assert url == f"http://upload.test/chunked/{answer['id']}"
    answer = _json(client.chunk(7, CONTENT[7:], len(CONTENT), method="PUT", url=url))
    assert (answer["url"], answer["offset"]) == (url, len(CONTENT))
    state = _json(client.send("GET", url))
    assert (state["status"], state["offset"], state["completed_at"]) == (1, len(CONTENT), None)
    answer = _json(client.end(url, md5=_md5(CONTENT)))
    assert (answer["status"], answer["filename"]) == (2, "sample 1.bam")
    assert answer["completed_at"]
    assert _json(client.send("GET", url))["status"] == 2
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    assert _files(store) == []


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_the_end_may_be_any_form_and_any_digest(client: Client, algorithm: str) -> None:
    digest = {algorithm: hashlib.new(algorithm, CONTENT).hexdigest()}
    upload_id = client.begin(CONTENT, len(CONTENT))["upload_id"]
    sent = form(upload_id=upload_id, **digest)
    assert _json(client.send("POST", "/chunked/", sent.body, **sent.headers))["status"] == 2
    url = client.begin(CONTENT, len(CONTENT))["url"]
    sent = form(**digest)
    assert _json(client.send("POST", url, sent.body, **sent.headers))["status"] == 2
    url = client.begin(CONTENT, len(CONTENT))["url"]
    body = json.dumps(digest).encode()
    assert _json(client.send("POST", url, body, Content_Type="application/json"))["status"] == 2


def test_a_small_file_needs_no_range(client: Client) -> None:
    sent = form(b"small")
    answer = _json(client.send("POST", "/chunked/", sent.body, **sent.headers))
    assert answer["offset"] == 5
    assert _json(client.end(upload_id=answer["upload_id"], md5=_md5(b"small")))["status"] == 2


def test_a_whole_file_with_its_digest_is_one_request(
    client: Client, stored: Listing, store: Path
) -> None:
    sent = form(CONTENT, md5=_md5(CONTENT), sample="A 7")
    answer = _json(client.send("POST", "/chunked/", sent.body, **sent.headers))
    assert answer["status"] == 2
    assert Upload.objects.get().fields == {"sample": ["A 7"]}
    sent = form(CONTENT, md5=_md5(b"another"))
    problem = _json(client.send("POST", "/chunked/", sent.body, **sent.headers), 400)
    assert "md5 checksum does not match" in problem["detail"]
    assert len(stored()) == 1
    assert _files(store) == []


def test_a_wrong_checksum_is_400_and_the_right_one_may_follow(client: Client) -> None:
    upload_id = client.begin(CONTENT, len(CONTENT))["upload_id"]
    for wrong in (_md5(b"another"), "no digest"):
        problem = _json(client.end(upload_id=upload_id, md5=wrong), 400)
        assert "md5 checksum does not match" in problem["detail"]
    both = {"md5": _md5(CONTENT), "sha256": "0" * 64}
    assert client.end(upload_id=upload_id, **both).status == 400
    assert Upload.objects.get().state == State.RECEIVING
    assert _json(client.end(upload_id=upload_id, md5=_md5(CONTENT).upper()))["status"] == 2


def test_an_end_too_early_is_400(client: Client) -> None:
    upload_id = client.begin(CONTENT[:10], len(CONTENT))["upload_id"]
    problem = _json(client.end(upload_id=upload_id, md5=_md5(CONTENT[:10])), 400)
    assert (problem["size"], problem["length"]) == (10, len(CONTENT))


def test_an_end_without_digest_or_id_is_400(client: Client) -> None:
    answer = client.begin(CONTENT, len(CONTENT))
    assert client.end(upload_id=answer["upload_id"]).status == 400
    assert client.end(md5=_md5(CONTENT)).status == 400
    assert client.end(answer["url"]).status == 400
    sent = form(nothing="at all")
    assert client.send("POST", "/chunked/", sent.body, **sent.headers).status == 400
    for body in (b"[]", b"{"):
        sent_as = "application/json"
        assert client.send("POST", answer["url"], body, Content_Type=sent_as).status == 400


def test_a_chunk_at_another_offset_is_400_and_tells_the_right_one(
    client: Client, store: Path
) -> None:
    answer = client.begin(CONTENT[:10], len(CONTENT))
    for first in (0, 9, 11):
        by_id = client.chunk(first, b"x" * 5, len(CONTENT), upload_id=answer["upload_id"])
        by_url = client.chunk(first, b"x" * 5, len(CONTENT), method="PUT", url=answer["url"])
        for reply in (by_id, by_url):
            problem = _json(reply, 400)
            assert (problem["title"], problem["offset"]) == ("Offsets do not match", 10)
    assert _json(client.chunk(5, b"x", 10), 400)["offset"] == 0
    assert _files(store, 2) == [answer["id"], f"{answer['id']}.checkpoint"]
    assert (store / "incoming" / answer["id"]).read_bytes() == CONTENT[:10]


def test_a_chunk_of_another_size_than_its_range_is_400(client: Client, store: Path) -> None:
    for size in (4, 6, 2 * MIB):
        sent = form(b"x" * size)
        span = {"Content_Range": "bytes 0-4/10"}
        reply = client.send("POST", "/chunked/", sent.body, **sent.headers, **span)
        assert "File size doesn't match headers" in _json(reply, 400)["detail"]
    assert not Upload.objects.exists()
    assert _files(store) == []


def test_the_total_never_changes_and_nothing_goes_beyond_it(client: Client) -> None:
    answer = client.begin(CONTENT[:10], 20)
    for method, url, fields in (
        ("POST", "/chunked/", {"upload_id": answer["upload_id"]}),
        ("PUT", answer["url"], {}),
    ):
        assert client.chunk(10, b"x", 30, method=method, url=url, **fields).status == 400
        assert client.chunk(10, b"x", 11, method=method, url=url, **fields).status == 400
    assert client.send("GET", answer["url"]).status == 200


@pytest.mark.parametrize("span", ["bytes 5-4/10", "bytes 0-4/4", "bytes 0-4/*", "chunks 0-4/5"])
def test_a_malformed_range_is_400(client: Client, span: str) -> None:
    sent = form(b"12345")
    reply = client.send("POST", "/chunked/", sent.body, **sent.headers, Content_Range=span)
    assert _json(reply, 400)["title"] == "Error in request headers"


def test_a_put_needs_a_range(client: Client) -> None:
    sent = form(b"12345")
    url = client.begin(b"12345", 10)["url"]
    for target in ("/chunked/", url):
        assert client.send("PUT", target, sent.body, **sent.headers).status == 400


def test_a_finished_upload_takes_no_more(client: Client) -> None:
    answer = client.begin(CONTENT, len(CONTENT))
    client.end(answer["url"], md5=_md5(CONTENT))
    for reply in (
        client.end(answer["url"], md5=_md5(CONTENT)),
        client.chunk(0, CONTENT, len(CONTENT), upload_id=answer["upload_id"]),
        client.chunk(0, CONTENT, len(CONTENT), method="PUT", url=answer["url"]),
    ):
        assert "already been marked as" in _json(reply, 400)["detail"]


def test_an_upload_is_its_owners_alone(
    client: Client, kit: Stack, colleague: Person, stranger: Person, store: Path
) -> None:
    answer = client.begin(CONTENT[:10], len(CONTENT))
    url, upload_id, rest = answer["url"], answer["upload_id"], CONTENT[10:]
    for person in (colleague, stranger):
        other = Client(kit, person)
        for reply in (
            other.send("GET", url),
            other.send("DELETE", url),
            other.chunk(10, rest, len(CONTENT), method="PUT", url=url),
            other.chunk(10, rest, len(CONTENT), upload_id=upload_id),
            other.end(url, md5=_md5(CONTENT)),
            other.end(upload_id=upload_id, md5=_md5(CONTENT)),
            other.send("GET", "/chunked/00000000-0000-4000-8000-000000000000"),
            other.send("GET", "/chunked/nothing"),
        ):
            assert _json(reply, 404)["type"] == "urn:upload:not-found"
    sent = form(b"12345")
    assert kit.send("POST", "/chunked/", sent.body, sent.headers).status == 401
    assert _files(store, 2) == [answer["id"], f"{answer['id']}.checkpoint"]


def test_an_unfinished_upload_is_not_below_files(client: Client) -> None:
    answer = client.begin(CONTENT, len(CONTENT))
    path = f"/files/{answer['id']}"
    assert client.send("HEAD", path, Tus_Resumable="1.0.0").status == 404
    client.end(answer["url"], md5=_md5(CONTENT))
    assert client.send("HEAD", path, Tus_Resumable="1.0.0").status == 200


def test_an_expired_upload_is_410(client: Client) -> None:
    answer = client.begin(CONTENT[:10], len(CONTENT))
    Upload.objects.update(expires=timezone.now() - timedelta(seconds=1))
    for reply in (
        client.chunk(10, b"x", len(CONTENT), upload_id=answer["upload_id"]),
        client.chunk(10, b"x", len(CONTENT), method="PUT", url=answer["url"]),
        client.end(answer["url"], md5=_md5(CONTENT)),
        client.send("GET", answer["url"]),
    ):
        assert reply.status == 410


def test_each_chunk_puts_the_expiry_off(client: Client) -> None:
    answer = client.begin(CONTENT[:10], len(CONTENT))
    soon = timezone.now() + timedelta(hours=1)
    Upload.objects.update(expires=soon)
    client.chunk(10, b"x", len(CONTENT), upload_id=answer["upload_id"])
    expires = Upload.objects.get().expires
    assert expires is not None
    assert expires > soon + timedelta(days=1)


def test_a_deleted_upload_leaves_nothing(client: Client, store: Path) -> None:
    url = client.begin(CONTENT[:10], len(CONTENT))["url"]
    assert client.send("DELETE", url).status == 204
    assert client.send("DELETE", url).status == 410
    assert _files(store) == []


def test_a_token_that_ran_out_goes_on_with_its_own_upload(
    client: Client, kit: Stack, owner: Person, store: Path
) -> None:
    elsewhere = client.begin(CONTENT[:10], len(CONTENT))
    Upload.objects.update(token=None)
    reply = client.chunk(0, CONTENT[:10], len(CONTENT))
    capability = reply.headers["Upload-Token"]
    answer = _json(reply)
    ApiToken.objects.update(expires=timezone.now() - timedelta(days=1))
    upload_id, url = answer["upload_id"], answer["url"]
    assert (
        _json(client.chunk(10, CONTENT[10:20], len(CONTENT), upload_id=upload_id))["offset"] == 20
    )
    assert _json(client.chunk(20, CONTENT[20:30], len(CONTENT), method="PUT", url=url))
    assert client.chunk(10, b"x", len(CONTENT), upload_id=elsewhere["upload_id"]).status == 404
    assert client.chunk(0, b"x", 1).status == 401
    ApiToken.objects.update(revoked=timezone.now())
    assert client.chunk(30, CONTENT[30:], len(CONTENT), upload_id=upload_id).status == 401
    ApiToken.objects.update(revoked=None)
    owner.token = capability
    assert _json(client.chunk(30, CONTENT[30:], len(CONTENT), method="PUT", url=url))
    assert _json(client.send("GET", url))["offset"] == len(CONTENT)
    assert kit.port
    assert len(_files(store, 4)) == 4


def test_a_total_over_the_maximum_is_413_with_numbers(
    sockets: Path, owner: Person, store: Path
) -> None:
    with deployed(sockets, UPLOAD_MAX_SIZE="1000") as kit:
        client = Client(kit, owner)
        problem = _json(client.chunk(0, b"x" * 10, 1001), 413)
        assert (problem["size"], problem["max_size"]) == (1001, 1000)
        assert client.chunk(0, b"x" * 10, 1000).status == 200
    assert len(_files(store, 2)) == 2


def test_a_quota_is_checked_with_the_first_chunk(client: Client, owner: Person) -> None:
    owner.user.quota = 1000
    owner.user.save()
    problem = _json(client.chunk(0, b"x" * 10, 1001), 507)
    assert (problem["size"], problem["quota"], problem["used"]) == (1001, 1000, 0)
    answer = client.begin(b"x" * 10, 1000)
    assert _json(client.chunk(0, b"x" * 10, 1000), 507)["used"] == 1000
    reply = client.chunk(10, b"x" * 990, 1000, upload_id=answer["upload_id"])
    assert _json(reply)["offset"] == 1000
    sent = form(upload_id=answer["upload_id"], md5=_md5(b"x" * 1000))
    assert _json(client.send("POST", "/chunked/", sent.body, **sent.headers))["status"] == 2


def test_the_room_for_the_whole_is_kept_from_the_first_chunk_on(client: Client) -> None:
    client.begin(CONTENT[:10], 8 * MIB)
    assert partials.allocated(partials.path_of(Upload.objects.get().id)) >= 8 * MIB
    problem = _json(client.chunk(0, b"x" * 10, 10**17), 507)
    assert problem["size"] == 10**17 > problem["free"]


def test_what_ends_an_upload_is_small(client: Client, store: Path) -> None:
    url = client.begin(CONTENT[:10], len(CONTENT))["url"]
    kind = "application/x-www-form-urlencoded"
    assert client.send("POST", url, b"x" * MIB, Content_Type=kind).status == 413
    sent = form(b"x" * MIB)
    assert client.send("POST", url, sent.body, **sent.headers).status == 413
    sent = form(b"x")
    assert client.send("POST", url, sent.body, **sent.headers).status == 400
    assert client.send("PUT", url, b"x", Content_Type=kind).status == 400
    assert len(_files(store, 2)) == 2


def test_a_chunk_waits_for_nobody_who_goes_on_writing(client: Client, store: Path) -> None:
    answer = client.begin(CONTENT[:10], len(CONTENT))
    with writing(store / "incoming" / answer["id"]):
        reply = client.chunk(10, b"x", len(CONTENT), upload_id=answer["upload_id"])
    assert reply.status == 423
    assert len(_files(store, 2)) == 2


def test_a_chunk_that_is_cut_leaves_nothing(client: Client, kit: Stack, store: Path) -> None:
    answer = client.begin(CONTENT[:10], len(CONTENT))
    sent = form(CONTENT[10:], upload_id=answer["upload_id"])
    head = {
        **sent.headers,
        "Authorization": f"Bearer {client.person.token}",
        "Content-Range": f"bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}",
    }
    with kit.begin("POST", "/chunked/", len(sent.body), head) as connection:
        connection.sendall(sent.body[:100_000])
        while len(_incoming(store)) < 3:
            pass
    assert len(_files(store, 2)) == 2
    reply = client.chunk(10, CONTENT[10:], len(CONTENT), upload_id=answer["upload_id"])
    assert _json(reply)["offset"] == len(CONTENT)


def test_what_was_copied_before_a_restart_of_the_machine_is_not_trusted(
    client: Client, store: Path
) -> None:
    answer = client.begin(CONTENT[:10], 30)
    path = store / "incoming" / answer["id"]
    checkpoint = path.with_name(f"{path.name}.checkpoint")
    _of_another_boot(checkpoint)
    with path.open("ab") as file:
        file.write(b"\0" * 5)
    assert _json(client.send("GET", answer["url"]))["offset"] == 10
    reply = client.chunk(10, CONTENT[10:30], 30, upload_id=answer["upload_id"])
    assert _json(reply)["offset"] == 30
    digest = hashlib.sha512(CONTENT[:30]).hexdigest()
    assert _json(client.end(answer["url"], sha512=digest))["status"] == 2


def test_nothing_is_read_again_at_the_end(client: Client, store: Path) -> None:
    answer = client.begin(CONTENT, len(CONTENT))
    path = store / "incoming" / answer["id"]
    # Other bytes of the same length: whoever read them would see it.
    descriptor = os.open(path, os.O_WRONLY)
    os.pwrite(descriptor, b"\0" * 1000, 0)
    os.close(descriptor)
    assert _json(client.end(answer["url"], md5=_md5(CONTENT)))["status"] == 2


def test_methods_that_mean_nothing_are_405(client: Client) -> None:
    url = client.begin(CONTENT, len(CONTENT))["url"]
    assert client.send("GET", "/chunked/").status == 405
    sent = form(b"12345")
    assert client.send("PATCH", url, sent.body, **sent.headers).status == 405
    assert client.send("OPTIONS", url).status == 405


def _of_another_boot(checkpoint: Path) -> None:
    """Rewrite a checkpoint as if the machine had started anew since."""
    slots = bytearray(checkpoint.read_bytes())
    for start in range(0, len(slots), 4096):
        text = bytes(slots[start : start + 4096]).partition(b"\0")[0]
        lines = text.split(b"\n")[:-2]
        lines[3] = b"boot 00000000-0000-4000-8000-000000000000"
        body = b"\n".join(lines) + b"\n"
        slot = (body + b"crc32 %08x\n" % zlib.crc32(body)).ljust(4096, b"\0")
        slots[start : start + 4096] = slot
    checkpoint.write_bytes(bytes(slots))
