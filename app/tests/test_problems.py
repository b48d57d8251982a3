"""Refusals by Django itself: documents for programs, pages for people, headers for both."""

import pytest
from pytest_django import Settings

from config.problems import CONTENT_TYPE
from tests.conftest import Person
from tests.nginx import Nginx


def test_a_missing_page_is_a_document_or_a_page(nobody: Nginx) -> None:
    answer = nobody.get("/nowhere")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert set(answer.json()) == {"type", "title", "status", "detail"}
    page = nobody.get("/nowhere", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.status_code == 404
    assert "<h1>Nothing here</h1>" in page.content.decode()
    assert "Accept" in page.headers["Vary"]


def test_a_wrong_host_is_a_bad_request(nobody: Nginx) -> None:
    answer = nobody.get("/upload", Host="evil.test")
    assert answer.status_code == 400
    assert answer.json()["status"] == 400


def test_a_crash_tells_nothing_of_its_reason(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_INCOMING_DIR = settings.UPLOAD_INCOMING_DIR / "gone"
    answer = owner.api.authorize()
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    assert "gone" not in answer.content.decode()
    page = owner.browser.get("/upload")
    assert page.status_code == 500
    assert "<h1>Something broke on the server</h1>" in page.content.decode()
    assert "gone" not in page.content.decode()


@pytest.mark.parametrize("path", ["/accounts/login/", "/nowhere", "/healthz"])
def test_every_answer_has_the_security_headers(nobody: Nginx, path: str) -> None:
    headers = nobody.get(path).headers
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Strict-Transport-Security"] == "max-age=2592000"
    assert "Content-Security-Policy" in headers
    assert "Cache-Control" in headers


def test_plain_http_is_sent_to_https(nobody: Nginx) -> None:
    answer = nobody.client().get("/upload")
    assert (answer.status_code, answer.headers["Location"]) == (301, "https://upload.test/upload")
