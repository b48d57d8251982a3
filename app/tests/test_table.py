"""The table of uploads: order, search and pages; what is under way; and the same for programs."""

import base64
import re
from datetime import timedelta
from html import unescape

import pytest
from django.utils import timezone

from tests.conftest import Person
from tests.nginx import HOST, Nginx, received
from tests.tus import Tus, metadata
from uploads import partials, table_views
from uploads.models import Door, State, Upload

JSON = {"Accept": "application/json"}


def rows(page: str) -> list[str]:
    """Return the names in the table of files, in its order."""
    [table] = re.findall(r'<table class="rows files">(.*?)</table>', page, re.DOTALL) or [""]
    found = re.findall(r'<th scope="row" class="name"><a [^>]*>(.*?)</a>', table)
    return [unescape(name) for name in found]


def get(person: Person, query: str = "") -> str:
    """Return the page."""
    answer = person.browser.get(f"/uploads/{query}")
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture
def files(owner: Person, stranger: Person) -> None:
    """Make five files and one that failed; their times, sizes and digests have other orders."""
    now = timezone.now()
    made = [
        ("b.bam", owner, 30, "3", now - timedelta(days=5)),
        ("A.bam", owner, 10, "a", now - timedelta(days=1)),
        ("c%_.txt", owner, 20, "1", now - timedelta(days=3)),
        ("sams.bam", stranger, 5, "0", now - timedelta(days=2)),
    ]
    for name, person, size, digit, created in made:
        upload = Upload.objects.create(
            owner=person.user, name=name, size=size, sha256=digit * 64, protocol=Door.TUS
        )
        Upload.objects.filter(pk=upload.pk).update(created=created)
    Upload.objects.create(
        owner=owner.user, name="d.bam", length=1, state=State.FAILED, failure="part 1 is missing"
    )


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("", ["d.bam", "A.bam", "c%_.txt", "b.bam"]),
        ("name", ["d.bam", "A.bam", "b.bam", "c%_.txt"]),
        ("-name", ["d.bam", "c%_.txt", "b.bam", "A.bam"]),
        ("size", ["d.bam", "A.bam", "c%_.txt", "b.bam"]),
        ("-size", ["d.bam", "b.bam", "c%_.txt", "A.bam"]),
        ("sha256", ["d.bam", "c%_.txt", "b.bam", "A.bam"]),
        ("created", ["d.bam", "b.bam", "c%_.txt", "A.bam"]),
        ("state", ["A.bam", "c%_.txt", "b.bam", "d.bam"]),
        ("-state", ["d.bam", "A.bam", "c%_.txt", "b.bam"]),
        ("owner", ["d.bam", "A.bam", "c%_.txt", "b.bam"]),
        ("nothing", ["d.bam", "A.bam", "c%_.txt", "b.bam"]),
    ],
)
def test_each_column_sorts_both_ways(owner: Person, sort: str, names: list[str]) -> None:
    page = get(owner, f"?sort={sort}")
    assert rows(page) == names
    is_known = sort.removeprefix("-") in {"name", "size", "sha256", "created", "state"}
    key = sort.removeprefix("-") if is_known else "created"
    is_descending = sort.startswith("-") or not is_known
    direction = "descending" if is_descending else "ascending"
    [(found, url)] = re.findall(r'<th [^>]*aria-sort="(\w+)"[^>]*><a href="([^"]*)"', page)
    assert found == direction
    assert url == f"?sort={key}" if is_descending else url in {f"?sort=-{key}", "?"}


@pytest.mark.usefixtures("files")
def test_staff_sorts_by_owner(colleague: Person) -> None:
    assert rows(get(colleague, "?sort=-owner"))[:2] == ["d.bam", "sams.bam"]
    assert rows(get(colleague, "?sort=owner"))[-1] == "sams.bam"


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("search", "names"),
    [
        ("BAM", ["d.bam", "A.bam", "b.bam"]),
        ("%25_", ["c%_.txt"]),
        ("AAAAAAA", ["A.bam"]),
        ("aaaaaaaa" * 8, ["A.bam"]),
        ("3333", ["b.bam"]),
        ("olivia", []),
        ("sams", []),
        ("%3Cb%3E", []),
    ],
)
def test_people_search_by_name_and_by_the_beginning_of_a_digest(
    owner: Person, search: str, names: list[str]
) -> None:
    page = get(owner, f"?q={search}")
    assert rows(page) == names
    assert ("Nothing is called so" in page) is (not names)
    assert "<b>" not in page


@pytest.mark.usefixtures("files")
def test_staff_searches_by_owner_as_well(colleague: Person) -> None:
    assert rows(get(colleague, "?q=SAM")) == ["sams.bam"]
    assert len(rows(get(colleague, "?q=olivia"))) == 4


def test_links_keep_the_search_and_the_order(owner: Person) -> None:
    Upload.objects.bulk_create(
        Upload(owner=owner.user, name=f"a&b {number:03}", sha256="0" * 64)
        for number in range(2 * table_views.PAGE_SIZE + 1)
    )
    page = get(owner, "?q=a%26b&sort=name&page=2")
    assert rows(page)[0] == f"a&b {table_views.PAGE_SIZE:03}"
    links = {name: unescape(url) for url, name in re.findall(r'href="([^"]*)" rel="(\w+)"', page)}
    assert links == {"prev": "?q=a%26b&sort=name", "next": "?q=a%26b&sort=name&page=3"}
    assert 'name="sort" value="name"' in page
    assert 'value="a&amp;b"' in page
    assert 'href="?q=a%26b&amp;sort=size"' in page
    [delete] = set(re.findall(r'/delete(\?[^"]*)"', page))
    assert unescape(delete) == "?next=%3Fq%3Da%2526b%26sort%3Dname%26page%3D2"
    [back] = set(re.findall(r'<a href="([^"]*)">Keep it', get_delete(owner, delete)))
    assert unescape(back) == "/uploads/?q=a%26b&sort=name&page=2"


def get_delete(person: Person, query: str) -> str:
    """Return the question before an upload is deleted."""
    upload = Upload.objects.filter(owner=person.user)[0]
    path = f"{upload.get_absolute_url()}/delete{unescape(query)}"
    return person.browser.get(path).content.decode()


def test_the_table_is_one_that_a_screen_reader_can_tell(owner: Person) -> None:
    owner.api.upload(received(b"x", "run.bam"))
    page = get(owner)
    assert not re.search(r"<th(?![^>]*scope=)[ >]", page)
    assert re.search(r'<label for="q">.*?<input id="q"', page, re.DOTALL)
    assert re.search(r'data-copy="[0-9a-f]{64}" aria-label="Copy the SHA-256 of run.bam"', page)
    assert 'aria-live="polite"' in page


# What is under way.


def begin(person: Person, name: str, body: bytes = b"", **headers: str) -> Upload:
    """Begin an upload of eight bytes."""
    url = Tus(person.api).begin(8, Upload_Metadata=metadata(filename=name), **headers)
    if body:
        assert Tus(person.api).patch(url, 0, body).status_code == 204
    return Upload.objects.get(pk=url.rsplit("/", 1)[1])


def test_people_see_how_far_their_own_uploads_are(
    owner: Person, colleague: Person, stranger: Person
) -> None:
    upload = begin(owner, "<b>half.bam", b"sequ")
    page = get(owner)
    assert "&lt;b&gt;half.bam" in page
    assert '<progress max="8" value="4"' in page
    assert "50&nbsp;%" in page
    assert "4 bytes of 8 bytes" in page
    assert "tus 1.0" in page
    assert "from any device" in page
    assert f"/uploads/{upload.id}/delete" in page
    assert rows(page) == []
    for other in (colleague, stranger):
        assert "half.bam" not in get(other)


def test_what_is_over_is_not_under_way(owner: Person) -> None:
    for state in (State.COMPLETE, State.EXPIRED, State.DELETED):
        upload = begin(owner, f"{state}.bam")
        changes = {"state": state, "sha256": "0" * 64}
        Upload.objects.filter(pk=upload.pk).update(**changes)
    overdue = begin(owner, "overdue.bam")
    Upload.objects.filter(pk=overdue.pk).update(expires=timezone.now())
    assert "under way" not in get(owner)
    assert owner.api.get("/uploads/?state=receiving", **JSON).json()["uploads"] == []


def test_a_program_on_another_device_finds_what_it_can_go_on_with(
    owner: Person, colleague: Person, stranger: Person
) -> None:
    said = metadata(filename="run.bam", size="8", lastModified="1764126000000", filetype="a/b")
    binary = base64.b64encode(b"\xff\xfe").decode()
    url = Tus(owner.api).begin(8, Upload_Metadata=f"{said},raw {binary},is_confidential")
    Tus(owner.api).patch(url, 0, b"seq")
    upload = Upload.objects.get()
    assert upload.expires is not None
    assert owner.browser.get("/uploads/?state=receiving", **JSON).json() == {
        "uploads": [
            {
                "id": str(upload.id),
                "name": "run.bam",
                "protocol": "tus",
                "offset": 3,
                "length": 8,
                "created": upload.created.isoformat(),
                "expires": upload.expires.isoformat(),
                "url": f"https://{HOST}/files/{upload.id}",
                "metadata": {
                    "filename": "run.bam",
                    "size": "8",
                    "lastModified": "1764126000000",
                    "filetype": "a/b",
                    "is_confidential": "",
                },
            }
        ],
        "next": None,
    }
    for other in (colleague, stranger):
        assert other.api.get("/uploads/?state=receiving", **JSON).json()["uploads"] == []


def test_other_protocols_are_listed_without_metadata(owner: Person) -> None:
    owner.api.send("PUT", "/files/run.bam", b"sequence", cut=5)
    [found] = owner.api.get("/uploads/?state=receiving", **JSON).json()["uploads"]
    assert (found["protocol"], found["offset"], found["metadata"]) == ("put", 5, {})


def test_a_part_is_shown_to_people_and_not_offered_to_programs(owner: Person) -> None:
    begin(owner, "part.bam", Upload_Concat="partial")
    assert "a part of a file" in get(owner)
    assert owner.api.get("/uploads/?state=receiving", **JSON).json()["uploads"] == []


def test_the_list_of_what_is_under_way_goes_on_at_the_next_page(owner: Person) -> None:
    Upload.objects.bulk_create(
        Upload(
            owner=owner.user,
            name="run.bam",
            state=State.RECEIVING,
            protocol=Door.TUS,
            expires=timezone.now() + timedelta(days=1),
        )
        for _ in range(table_views.PAGE_SIZE + 1)
    )
    first = owner.api.get("/uploads/?state=receiving&name=run.bam", **JSON).json()
    assert len(first["uploads"]) == table_views.PAGE_SIZE
    second = owner.api.get(first["next"], **JSON).json()
    assert (len(second["uploads"]), second["next"]) == (1, None)


def test_a_list_that_there_is_not_is_refused(owner: Person, nobody: Nginx) -> None:
    answer = owner.api.get("/uploads/?state=deleted", **JSON)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:upload:state")
    assert "receiving" in answer.json()["detail"]
    assert nobody.get("/uploads/?state=receiving", **JSON).status_code == 401


def test_an_upload_that_ends_meanwhile_does_not_break_the_page(owner: Person) -> None:
    upload = begin(owner, "half.bam", b"sequ")
    partials.remove(partials.path_of(upload.id))
    assert '<progress max="8" value="0"' in get(owner)
