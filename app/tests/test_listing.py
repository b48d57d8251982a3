"""The list of uploads for programs: whose, which, and page by page."""

from tests.conftest import Person
from tests.nginx import Nginx, received
from uploads import table_views
from uploads.models import Upload

JSON = {"Accept": "application/json"}


def listed(person: Nginx, query: str = "") -> list[str]:
    """Return the names on a page of the list."""
    answer = person.get(f"/uploads/{query}", **JSON)
    assert answer.status_code == 200
    return [upload["name"] for upload in answer.json()["uploads"]]


def test_a_program_gets_its_own_uploads_as_receipts_with_their_time(
    owner: Person, stranger: Person
) -> None:
    receipt = owner.api.upload(received(b"reads", "a.bam")).json()["uploads"][0]
    stranger.api.upload(received(b"other", "b.bam"))
    [upload] = owner.api.get("/uploads/", **JSON).json()["uploads"]
    assert upload.pop("created") == Upload.objects.get(name="a.bam").created.isoformat()
    assert upload == receipt


def test_uploads_are_found_by_name_and_by_digest(owner: Person) -> None:
    for content, name in ((b"1", "a.bam"), (b"2", "a.bam"), (b"2", "b.bam")):
        owner.api.upload(received(content, name))
    digest = Upload.objects.filter(name="b.bam").get().sha256
    assert listed(owner.api) == ["b.bam", "a.bam", "a.bam"]
    assert listed(owner.api, "?name=a.bam") == ["a.bam", "a.bam"]
    assert listed(owner.api, f"?sha256={digest}") == ["b.bam", "a.bam"]
    assert listed(owner.api, f"?sha256={digest}&name=a.bam") == ["a.bam"]
    assert listed(owner.api, "?name=nothing") == []


def test_the_list_goes_on_at_the_next_page(owner: Person) -> None:
    Upload.objects.bulk_create(
        Upload(owner=owner.user, name=f"{number}", sha256="0" * 64)
        for number in range(table_views.PAGE_SIZE + 1)
    )
    first = owner.api.get("/uploads/?name=", **JSON).json()
    assert len(first["uploads"]) == table_views.PAGE_SIZE
    second = owner.api.get(first["next"], **JSON).json()
    assert (len(second["uploads"]), second["next"]) == (1, None)


def test_a_cache_tells_the_list_from_the_page(owner: Person) -> None:
    for headers in (JSON, {"Accept": "text/html"}):
        assert "Accept" in owner.api.get("/uploads/", **headers).headers["Vary"]


def test_nobody_else_gets_the_list(nobody: Nginx) -> None:
    assert nobody.get("/uploads/", **JSON).status_code == 401
