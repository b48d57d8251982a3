"""The page of one upload, and what its people do there: rename, delete, copy commands."""

import subprocess
from pathlib import Path

import pytest
from django.utils.html import escape

from accounts.models import ApiToken, Scope, new_token
from tests.conftest import Person
from tests.nginx import HOST, Nginx, received
from tests.tus import Tus
from uploads import partials
from uploads.models import Kind, State, Upload, UploadEvent

PAGE = {"Accept": "text/html"}
ODD = """-it's "<b>odd<b>" $(id) `id` !x & März.bam"""


def post(person: Person, path: str, **fields: str) -> tuple[int, str, str]:
    """Send the form of a page; return status, where it leads, and what it says."""
    browser = person.browser.client()
    page = browser.get("/upload", secure=True)
    assert page.status_code == 200
    token = browser.cookies["csrftoken"].value
    answer = browser.post(path, {**fields, "csrfmiddlewaretoken": token}, secure=True)
    return answer.status_code, answer.headers.get("Location", ""), answer.content.decode()


@pytest.fixture
def upload(owner: Person) -> Upload:
    """Return a file of the owner's whose name is hard to handle."""
    fields = [*received(b"sequence", ODD, type="text/plain"), ("sample", "<i>S1</i>")]
    assert owner.api.upload(fields).status_code == 200
    return Upload.objects.get()


def test_people_get_a_page_and_programs_the_description(owner: Person, upload: Upload) -> None:
    address = upload.get_absolute_url()
    page = owner.browser.get(address)
    assert page.headers["Content-Type"].startswith("text/html")
    assert owner.api.get(address).json()["sha256"] == upload.sha256
    for answer in (page, owner.api.get(address)):
        assert "Accept" in answer.headers["Vary"]


def test_the_page_has_what_is_known_of_a_file(
    owner: Person, colleague: Person, upload: Upload
) -> None:
    for person in (owner, colleague):
        page = person.browser.get(upload.get_absolute_url()).content.decode()
        for text in (upload.sha256, escape(ODD), "olivia", "8 bytes", "text/plain", "HTML form"):
            assert text in page
        assert "&lt;i&gt;S1&lt;/i&gt;" in page
        assert "<b>odd" not in page
        assert "<i>S1" not in page


def test_to_a_stranger_nothing_of_it_is_there(
    stranger: Person, nobody: Nginx, upload: Upload
) -> None:
    address = upload.get_absolute_url()
    for path in (address, f"{address}/rename", f"{address}/delete"):
        assert stranger.browser.get(path).status_code == 404
        assert nobody.get(path, **PAGE).status_code == 303
    for path in (f"{address}/rename", f"{address}/delete", f"{address}/share"):
        assert post(stranger, path, name="mine", lifetime="1h")[0] == 404
    upload.refresh_from_db()
    assert (upload.name, upload.state) == (ODD, State.COMPLETE)
    assert upload.share_links.count() == 0


def test_a_token_that_only_uploads_gets_no_page_and_so_no_share_link(owner: Person) -> None:
    text = new_token()
    ApiToken.objects.add(owner.user, "sequencer", text, scope=Scope.UPLOAD)
    client = Nginx(headers={"Authorization": f"Bearer {text}"})
    assert Tus(client).create(b"x", Upload_Length="1").status_code == 201
    address = Upload.objects.get().get_absolute_url()
    assert client.get(address).status_code == 200
    assert client.get(address, **PAGE).status_code == 403
    ApiToken.objects.filter(name="sequencer").update(scope=Scope.READ)
    assert client.get(address, **PAGE).status_code == 200


def command(person: Person, upload: Upload, word: str) -> str:
    """Return a command as a copy button of the page holds it."""
    context = person.browser.client().get(upload.get_absolute_url(), secure=True).context
    text: str = context[word]
    page = person.browser.get(upload.get_absolute_url()).content.decode()
    assert f'data-copy="{escape(text)}"' in page
    return text


@pytest.mark.parametrize(
    "name", [ODD, "-", "-c", "run.bam", " a  b", "*x", "it's", "$HOME", "#1", "~", "ü\u00a0n"]
)
def test_the_command_that_checks_a_file_does_so_whatever_it_is_called(
    owner: Person, tmp_path: Path, name: str
) -> None:
    owner.api.upload(received(b"sequence", f"x{name}"))
    upload = Upload.objects.get()
    name = name.strip()
    Upload.objects.update(name=name)
    file = tmp_path / name
    check = command(owner, upload, "check")
    for content, is_right in ((b"sequence", True), (b"another", False)):
        file.write_bytes(content)
        done = subprocess.run(
            ["sh", "-c", check], cwd=tmp_path, stdin=subprocess.DEVNULL, check=False
        )
        assert (done.returncode == 0) is is_right


def test_the_commands_keep_the_token_out_of_the_list_of_processes(
    owner: Person, upload: Upload
) -> None:
    curl = command(owner, upload, "curl")
    assert curl.startswith("printf ")
    assert "$TOKEN" in curl.split("|", maxsplit=1)[0]
    assert "TOKEN" not in curl.split("|", maxsplit=1)[1].replace("$(id)", "")
    assert command(owner, upload, "push") == f"./push.py get --host {HOST} {upload.id}"


# Another name.


@pytest.mark.parametrize("who", ["owner", "colleague"])
def test_a_file_is_renamed_and_stays_where_it_is(
    request: pytest.FixtureRequest, owner: Person, upload: Upload, who: str
) -> None:
    person: Person = request.getfixturevalue(who)
    address = upload.get_absolute_url()
    assert escape(ODD) in person.browser.get(f"{address}/rename").content.decode()
    status, target, _ = post(person, f"{address}/rename", name=" /tmp/new <name>.bam ")
    assert (status, target) == (303, address)
    answer = owner.api.get(upload.get_download_url())
    assert 'filename="new <name>.bam"' in answer.headers["Content-Disposition"]
    assert answer.headers["X-Accel-Redirect"] == f"/protected/{upload.stored_path}"
    event = UploadEvent.objects.get(kind=Kind.RENAMED)
    assert (event.user, event.detail) == (person.user, f"{ODD} → new <name>.bam")
    page = owner.browser.get(address).content.decode()
    assert escape(event.detail) in page


@pytest.mark.parametrize("name", ["", " ", "..", "a\nb", "ü" * 128])
def test_a_name_that_is_none_is_told_and_stays_in_the_form(
    owner: Person, upload: Upload, name: str
) -> None:
    status, _, page = post(owner, f"{upload.get_absolute_url()}/rename", name=name)
    assert status == 400
    assert "This name cannot be used, it" in page
    assert escape(name) in page
    upload.refresh_from_db()
    assert upload.name == ODD


def test_the_same_name_is_no_event(owner: Person, upload: Upload) -> None:
    assert post(owner, f"{upload.get_absolute_url()}/rename", name=ODD)[0] == 303
    assert not UploadEvent.objects.filter(kind=Kind.RENAMED).exists()


# The end.


@pytest.mark.parametrize("who", ["owner", "colleague"])
def test_a_file_is_deleted_after_a_question(
    request: pytest.FixtureRequest, owner: Person, upload: Upload, store: Path, who: str
) -> None:
    person: Person = request.getfixturevalue(who)
    address = upload.get_absolute_url()
    back = "?q=odd&page=2"
    page = person.browser.get(f"{address}/delete?next=%3Fq%3Dodd%26page%3D2").content.decode()
    assert escape(back) in page
    assert (store / "files" / upload.stored_path).exists()
    status, target, _ = post(person, f"{address}/delete", next=back)
    assert (status, target) == (303, f"/uploads/{back}")
    assert not (store / "files" / upload.stored_path).exists()
    gone = owner.browser.get(address)
    assert gone.status_code == 410
    assert "Deleted" in gone.content.decode()
    assert person.user.username in gone.content.decode()
    assert owner.api.get(address).status_code == 410
    assert owner.browser.get(f"{address}/delete").status_code == 410


@pytest.mark.parametrize("next_", ["https://evil.test/", "//evil.test", "/admin/", "javascript:1"])
def test_a_form_leads_to_no_other_place(owner: Person, upload: Upload, next_: str) -> None:
    status, target, _ = post(owner, f"{upload.get_absolute_url()}/delete", next=next_)
    assert (status, target) == (303, "/uploads/")


def test_a_form_of_another_site_changes_nothing(owner: Person, upload: Upload) -> None:
    for action in ("rename", "delete", "share"):
        answer = owner.browser.client().post(
            f"{upload.get_absolute_url()}/{action}",
            {"name": "theirs", "lifetime": "1h"},
            secure=True,
            headers={"Origin": "https://evil.test"},
        )
        assert answer.status_code == 403
    upload.refresh_from_db()
    assert (upload.name, upload.state) == (ODD, State.COMPLETE)


# What is under way.


def test_an_unfinished_upload_has_a_page_and_is_cancelled_there(owner: Person) -> None:
    Tus(owner.api).patch(Tus(owner.api).begin(8), 0, b"se")
    upload = Upload.objects.get()
    address = upload.get_absolute_url()
    page = owner.browser.get(address).content.decode()
    assert '<progress max="8" value="2"' in page
    assert "25&nbsp;%" in page
    assert "/download" not in page
    assert "Cancel this upload?" in owner.browser.get(f"{address}/delete").content.decode()
    assert post(owner, f"{address}/delete")[0] == 303
    upload.refresh_from_db()
    assert upload.state == State.DELETED
    assert not partials.path_of(upload.id).exists()


def test_what_failed_says_why(owner: Person) -> None:
    upload = Upload.objects.create(
        owner=owner.user, name="x", state=State.FAILED, failure="part 2 is missing", length=5
    )
    assert "part 2 is missing" in owner.browser.get(upload.get_absolute_url()).content.decode()
