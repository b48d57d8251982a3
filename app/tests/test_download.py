"""Downloads and descriptions: the owner and staff get them, to others they are not there."""

import base64
import hashlib
import uuid
from dataclasses import dataclass

import pytest

from config.problems import CONTENT_TYPE
from tests.conftest import Person
from tests.nginx import Nginx, received
from uploads.models import Upload


@dataclass
class Addresses:
    """The two addresses of an upload."""

    detail: str
    download: str


@pytest.fixture
def addresses(owner: Person) -> Addresses:
    """Upload a file of the owner's."""
    fields = [*received(b"sequence", "Läufe (1).bam", type="text/html"), ("sample", "S1")]
    assert owner.api.upload(fields).status_code == 200
    detail = f"/uploads/{Upload.objects.get().id}"
    return Addresses(detail, f"{detail}/download")


def test_the_owner_gets_the_file_from_nginx(owner: Person, addresses: Addresses) -> None:
    for client in (owner.api, owner.browser):
        answer = client.get(addresses.download)
        assert answer.status_code == 200
        assert answer.content == b""
        upload_id = str(Upload.objects.get().id)
        headers = answer.headers
        assert headers["X-Accel-Redirect"] == f"/protected/{upload_id[:2]}/{upload_id}"
        assert headers["Content-Disposition"] == (
            "attachment; filename*=utf-8''L%C3%A4ufe%20%281%29.bam"
        )
        digest = base64.b64encode(hashlib.sha256(b"sequence").digest()).decode()
        assert headers["Repr-Digest"] == f"sha-256=:{digest}:"
        assert headers["Content-Type"] == "text/html"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "private" in headers["Cache-Control"]


@pytest.mark.parametrize(
    ("name", "disposition"),
    [
        ("run.bam", 'attachment; filename="run.bam"'),
        ('a "b" \\;c', 'attachment; filename=";c"'),
        ('say "hi"; x=1', 'attachment; filename="say \\"hi\\"; x=1"'),
    ],
)
def test_a_name_cannot_break_out_of_its_header(owner: Person, name: str, disposition: str) -> None:
    url = owner.api.upload(received(b"x", name, type="")).json()["uploads"][0]["url"]
    answer = owner.api.get(url.removeprefix("https://upload.test"))
    assert answer.headers["Content-Disposition"] == disposition
    assert answer.headers["Content-Type"] == "application/octet-stream"


def test_staff_gets_everybodys(colleague: Person, addresses: Addresses) -> None:
    assert colleague.api.get(addresses.download).status_code == 200
    assert colleague.browser.get(addresses.detail).status_code == 200


def test_to_a_stranger_it_is_not_there(stranger: Person, addresses: Addresses) -> None:
    for path in (addresses.download, addresses.detail):
        answer = stranger.api.get(path)
        assert answer.status_code == 404
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert "X-Accel-Redirect" not in answer.headers
        other = stranger.api.get(path.replace(path.split("/")[2], str(uuid.uuid4())))
        assert other.content == answer.content


def test_nobody_is_asked_to_sign_in(nobody: Nginx, addresses: Addresses) -> None:
    assert nobody.get(addresses.download).status_code == 401
    page = nobody.get(addresses.download, Accept="text/html")
    assert page.status_code == 303
    assert page.headers["Location"].startswith("/accounts/login/?next=%2Fuploads%2F")


def test_the_description_has_what_a_client_needs_to_verify(
    owner: Person, addresses: Addresses
) -> None:
    found = owner.api.get(addresses.detail).json()
    upload = Upload.objects.get()
    assert found == {
        "id": str(upload.id),
        "name": "Läufe (1).bam",
        "size": 8,
        "sha256": hashlib.sha256(b"sequence").hexdigest(),
        "url": f"https://upload.test{addresses.download}",
        "state": "complete",
        "content_type": "text/html",
        "fields": {"sample": ["S1"]},
        "created": upload.created.isoformat(),
    }


def test_downloads_are_only_read(owner: Person, addresses: Addresses) -> None:
    headers = {"Origin": "https://upload.test"}
    for path in (addresses.download, addresses.detail):
        assert owner.api.client().delete(path, secure=True, headers=headers).status_code in {
            403,
            405,
        }
    assert Upload.objects.count() == 1
