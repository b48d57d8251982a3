"""Complete: what nginx received is claimed and recorded, all or nothing."""

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from tests.conftest import Person
from tests.nginx import GRANT, MULTIPART, Nginx, multipart, received
from uploads.models import State, Upload

type Listing = Callable[[], list[Path]]


def test_a_file_is_recorded_and_moved_to_its_place(
    owner: Person, stored: Listing, incoming: Listing
) -> None:
    answer = owner.api.upload(received(b"sequence", "run.bam"))
    assert answer.status_code == 200
    upload = Upload.objects.get()
    digest = hashlib.sha256(b"sequence").hexdigest()
    assert answer.json() == {
        "detail": "Upload Complete",
        "uploads": [
            {
                "id": str(upload.id),
                "name": "run.bam",
                "size": 8,
                "sha256": digest,
                "url": f"https://upload.test/uploads/{upload.id}/download",
            }
        ],
    }
    assert (upload.owner, upload.state, upload.content_type) == (
        owner.user,
        State.COMPLETE,
        "application/octet-stream",
    )
    [path] = stored()
    assert path.parts[-2:] == (str(upload.id)[:2], str(upload.id))
    assert path.read_bytes() == b"sequence"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o2770
    assert incoming() == []


def test_the_token_that_sent_a_form_is_recorded(owner: Person) -> None:
    owner.api.upload(received(b"by token", "token.bam"))
    owner.browser.upload(received(b"by session", "session.bam"))
    assert Upload.objects.get(name="token.bam").token == owner.user.tokens.get()
    assert Upload.objects.get(name="session.bam").token is None


def test_the_file_is_renamed_and_not_copied(owner: Person, stored: Listing) -> None:
    fields = received(b"x")
    inode = Path(dict(fields)["file.path"]).stat().st_ino
    owner.api.upload(fields)
    assert [path.stat().st_ino for path in stored()] == [inode]


def test_several_files_keep_their_order_and_share_the_plain_fields(owner: Person) -> None:
    names = ["b.txt", "a.txt", "b.txt"]
    fields = [("sample", "S1")]
    for number, name in enumerate(names):
        fields += received(b"%d" % number, name)
    fields += [("sample", "S2"), ("note_1", "größer")]
    answer = owner.api.upload(fields)
    assert [entry["name"] for entry in answer.json()["uploads"]] == names
    assert [entry["sha256"] for entry in answer.json()["uploads"]] == [
        hashlib.sha256(b"%d" % number).hexdigest() for number in range(3)
    ]
    for upload in Upload.objects.all():
        assert upload.fields == {"sample": ["S1", "S2"], "note_1": ["größer"]}


def test_a_thousand_files_are_one_form(
    owner: Person, stored: Listing, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    fields = [field for number in range(1000) for field in received(b"x", f"{number}.txt")]
    grant = owner.api.authorize().headers[GRANT]
    # User, token, savepoint and its release, and the rows, each with two lines of history, in as
    # many batches as SQLite needs.
    with django_assert_max_num_queries(64):
        answer = owner.api.complete(fields, grant)
    assert answer.status_code == 200
    assert len(stored()) == Upload.objects.count() == 1000
    one_more = [field for _ in range(1001) for field in received(b"x")]
    assert owner.api.complete(one_more, grant).json()["type"] == "urn:upload:too-many-files"


def test_an_empty_file_is_a_file(owner: Person, stored: Listing) -> None:
    assert owner.api.upload(received(b"")).status_code == 200
    assert [path.stat().st_size for path in stored()] == [0]


def test_a_browser_is_sent_to_the_table_and_told(owner: Person) -> None:
    answer = owner.browser.upload(received(b"x", "run.bam"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/uploads/")
    cookies = {**owner.browser.cookies, "messages": answer.cookies["messages"].value}
    page = Nginx(headers=owner.browser.headers, cookies=cookies).get("/uploads/").content.decode()
    assert "Upload complete: run.bam" in page


def test_a_form_without_file_says_what_to_do(owner: Person) -> None:
    answer = owner.api.upload([("sample", "S1")])
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:upload:no-file"
    assert "curl -F" in answer.json()["detail"]


# Each of these paths holds the five bytes that the form declares, or is not there at all.
@pytest.mark.parametrize(
    "kind",
    [
        "outside",
        "dots",
        "below",
        "relative",
        "the directory",
        "its parent",
        "symlink",
        "fifo",
        "directory",
        "missing",
        "nul",
        "empty",
    ],
)
def test_a_path_that_is_no_received_file_is_refused(
    owner: Person, store: Path, stored: Listing, kind: str
) -> None:
    incoming = store / "incoming"
    outside = store / "secret"
    outside.write_bytes(b"12345")
    (incoming / "sub").mkdir()
    (incoming / "sub" / "file").write_bytes(b"12345")
    (incoming / "link").symlink_to(outside)
    os.mkfifo(incoming / "fifo")
    paths = {
        "outside": str(outside),
        "dots": f"{incoming}/../secret",
        "below": f"{incoming}/sub/file",
        "relative": os.path.relpath(outside),
        "the directory": str(incoming),
        "its parent": f"{incoming}/..",
        "symlink": f"{incoming}/link",
        "fifo": f"{incoming}/fifo",
        "directory": f"{incoming}/sub",
        "missing": f"{incoming}/0000",
        "nul": f"{incoming}/a\0b",
        "empty": "",
    }
    good = received(b"67890")
    bad = received(b"12345", path=paths[kind])
    answer = owner.api.upload([*good, *bad])
    assert answer.status_code == 400
    assert Upload.objects.count() == 0
    assert stored() == []
    assert Path(dict(good)["file.path"]).read_bytes() == b"67890"
    assert outside.read_bytes() == b"12345"
    assert (incoming / "link").is_symlink()


@pytest.mark.parametrize(
    "change",
    [
        {"size": "4"},
        {"size": "6"},
        {"size": "-5"},
        {"size": "0x5"},
        {"size": ""},
        {"size": "9" * 30},
        {"sha256": "0" * 63},
        {"sha256": "0" * 65},
        {"sha256": "G" * 64},
        {"sha256": "A" * 64},
        {"sha256": ""},
    ],
)
def test_numbers_that_do_not_fit_the_file_are_refused(
    owner: Person, stored: Listing, incoming: Listing, change: dict[str, str]
) -> None:
    answer = owner.api.upload(received(b"12345", **change))
    assert answer.status_code == 400
    assert Upload.objects.count() == 0
    assert stored() == []
    assert len(incoming()) == 1


def test_fields_of_unequal_number_are_refused(owner: Person, incoming: Listing) -> None:
    answer = owner.api.upload([*received(b"x"), *received(b"y")[:-1]])
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:upload:malformed-hand-off"
    assert len(incoming()) == 2


def test_one_path_for_two_files_is_refused(owner: Person, incoming: Listing) -> None:
    fields = received(b"x")
    assert owner.api.upload([*fields, *fields]).status_code == 400
    assert len(incoming()) == 1


def test_a_file_over_the_granted_limit_is_refused(
    owner: Person, settings: Settings, stored: Listing
) -> None:
    settings.UPLOAD_MAX_SIZE = 4
    answer = owner.api.upload(received(b"12345"))
    assert answer.status_code == 413
    assert (answer.json()["size"], answer.json()["max_size"]) == (5, 4)
    assert stored() == []


def test_a_nul_in_a_plain_field_is_refused(owner: Person) -> None:
    answer = owner.api.upload([*received(b"x"), ("note", "a\0b")])
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
        ("application/vnd.ms-excel", "application/vnd.ms-excel"),
        ("", ""),
        ("nonsense", ""),
        ("text/plain\t", ""),
        ("text/" + "x" * 255, ""),
        ("tëxt/plain", ""),
    ],
)
def test_a_content_type_is_kept_only_when_it_is_one(owner: Person, sent: str, kept: str) -> None:
    assert owner.api.upload(received(b"x", type=sent)).status_code == 200
    assert Upload.objects.get().content_type == kept


def test_a_body_that_is_no_form_is_refused(owner: Person) -> None:
    grant = owner.api.authorize().headers[GRANT]
    for content_type in ("application/json", "multipart/form-data", "multipart/form-data; x=y"):
        answer = owner.api.client().post(
            "/complete/",
            data=b"{}",
            content_type=content_type,
            secure=True,
            headers={GRANT: grant},
        )
        assert answer.status_code == 400


def test_the_bytes_of_a_file_part_are_never_taken(owner: Person) -> None:
    grant = owner.api.authorize().headers[GRANT]
    body = multipart(received(b"x")).replace(b'name="file.path"', b'name="file.path"; filename="x"')
    answer = owner.api.client().post(
        "/complete/",
        data=body,
        content_type=MULTIPART,
        secure=True,
        headers={GRANT: grant},
    )
    assert answer.status_code == 400


def test_complete_is_posted(owner: Person) -> None:
    assert owner.api.get("/complete/").status_code == 405
