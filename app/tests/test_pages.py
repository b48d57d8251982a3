"""Pages: what anonymous people, users and staff see."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as deployed
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from tests.conftest import Person
from tests.nginx import Nginx, received
from uploads import sharing
from uploads.models import Upload
from uploads.templatetags.sizes import grouped, human_size

PAGE = {"Accept": "text/html"}


def _fill(person: Person, count: int) -> None:
    Upload.objects.bulk_create(
        Upload(owner=person.user, name=f"{person.user}-{number}", size=number, sha256="0" * 64)
        for number in range(count)
    )


def test_the_front_page_leads_to_the_upload_page(nobody: Nginx) -> None:
    answer = nobody.get("/", **PAGE)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/upload")


@pytest.mark.parametrize("path", ["/upload", "/uploads/"])
def test_nobody_is_sent_to_the_login_page(nobody: Nginx, path: str) -> None:
    answer = nobody.get(path, **PAGE)
    assert answer.status_code == 303
    assert answer.headers["Location"].startswith("/accounts/login/?next=")
    assert nobody.get(path).status_code == 401


def test_a_person_signs_in_and_out(owner: Person) -> None:
    owner.user.set_password("seven little ducklings")
    owner.user.save()
    browser = Nginx(headers=PAGE).client()
    address = "/accounts/login/?next=/uploads/"
    page = browser.get(address, secure=True)
    assert 'type="password"' in page.content.decode()
    cookie = browser.cookies["csrftoken"]
    assert cookie["secure"]
    assert cookie["httponly"]
    form = {"username": "olivia", "password": "wrong", "csrfmiddlewaretoken": cookie.value}
    headers = {"Origin": "https://upload.test"}
    wrong = browser.post(address, form, secure=True, headers=headers)
    assert "correct username and password" in wrong.content.decode()
    form["password"] = "seven little ducklings"
    answer = browser.post(address, form, secure=True, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/uploads/")
    assert browser.cookies["sessionid"]["secure"]
    assert browser.cookies["sessionid"]["samesite"] == "Lax"
    assert browser.get("/uploads/", secure=True).status_code == 200
    form = {"csrfmiddlewaretoken": browser.cookies["csrftoken"].value}
    assert browser.post("/accounts/logout/", form, secure=True, headers=headers).status_code == 302
    assert browser.get("/uploads/", secure=True).status_code == 303


def test_a_form_without_its_token_is_refused_in_plain_words(owner: Person) -> None:
    answer = owner.browser.client().post(
        "/accounts/logout/", secure=True, headers={"Origin": "https://upload.test"}
    )
    assert answer.status_code == 403
    assert "form has expired" in answer.content.decode()
    assert owner.browser.get("/uploads/").status_code == 200


def test_the_drop_zone_is_a_form_that_needs_no_script(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_MAX_SIZE = 50 * 1024**3
    page = owner.browser.get("/upload").content.decode()
    form = re.search(r"<form id=\"upload\"[^>]*>", page)
    assert form
    assert 'action="/upload"' in form[0]
    assert 'enctype="multipart/form-data"' in form[0]
    assert re.search(r"<input[^>]*type=\"file\"[^>]*multiple", page)
    assert "Up to 50.0 GiB" in page
    assert 'href="/"' in page


def test_nothing_on_a_page_is_inline_and_every_file_exists(
    owner: Person, colleague: Person
) -> None:
    owner.browser.upload(received(b"x"))
    pages = [Nginx(headers=PAGE).get("/accounts/login/")]
    upload = Upload.objects.get()
    address = upload.get_absolute_url()
    link = sharing.create(upload, owner.user, timezone.now() + timedelta(hours=1))
    shared = sharing.path_of(link)
    paths = ["/upload", "/uploads/", "/nowhere", address, f"{address}/rename", f"{address}/delete"]
    paths += ["/accounts/", "/accounts/password/", "/admin/status"]
    pages += [colleague.browser.get(path) for path in (*paths, shared, "/shared/nothing")]
    for answer in pages:
        page = answer.content.decode()
        assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*\ssrc=)", page)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        found = re.findall(r'(?:href|src)="/static/([^"]+)"', page)
        assert found
        for name in found:
            assert re.search(r"\.[0-9a-f]{12}\.", name)
            assert (Path(deployed.STATIC_ROOT) / name).is_file()


def test_an_upload_that_misses_nginx_says_so(owner: Person) -> None:
    answer = owner.api.client().post("/upload", secure=True)
    assert answer.status_code == 405
    assert "nginx" in answer.json()["detail"]


def test_people_see_their_own_uploads_and_staff_sees_all(
    owner: Person, colleague: Person, stranger: Person
) -> None:
    _fill(owner, 2)
    _fill(stranger, 1)
    page = owner.browser.get("/uploads/").content.decode()
    assert "olivia-1" in page
    assert "sam-0" not in page
    page = colleague.browser.get("/uploads/").content.decode()
    assert "olivia-1" in page
    assert "sam-0" in page
    assert "carl" not in page.split("<tbody>")[1]


def test_a_name_is_shown_and_not_run(owner: Person) -> None:
    owner.browser.upload(received(b"x", "<script>alert(1)<.html"))
    page = owner.browser.get("/uploads/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;.html" in page


@pytest.mark.parametrize("count", [1, 10_000])
def test_the_table_needs_as_many_queries_for_one_as_for_many(
    owner: Person,
    colleague: Person,
    django_assert_num_queries: DjangoAssertNumQueries,
    count: int,
) -> None:
    _fill(owner, count)
    for person in (owner, colleague):
        # Session, user, count, rows, what is being verified, and what is under way.
        with django_assert_num_queries(6):
            assert person.browser.get("/uploads/").status_code == 200


def test_the_table_has_pages_and_forgives_a_wrong_number(owner: Person) -> None:
    _fill(owner, 51)
    assert "Page 1 of 2" in owner.browser.get("/uploads/").content.decode()
    second = owner.browser.get("/uploads/?page=2").content.decode()
    assert second.count("/download") == 1
    for number in ("9", "0", "x"):
        assert owner.browser.get(f"/uploads/?page={number}").status_code == 200


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (9663676416, "9.0 GiB"),
        (5 * 1024**6, "5120.0 PiB"),
    ],
)
def test_sizes_are_shown_in_the_unit_that_fits(size: int, shown: str) -> None:
    assert human_size(size) == shown


def test_digits_are_grouped() -> None:
    assert grouped(9663676416) == "9\u202f663\u202f676\u202f416"
