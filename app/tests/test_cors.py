"""Pages of other origins: none may upload here, unless the site says so."""

import pytest
from pytest_django import Settings

from tests.conftest import Person
from tests.nginx import Nginx
from tests.tus import Tus

PORTAL = "https://portal.test"
ASKED = {
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "tus-resumable,upload-offset",
}


def _script(person: Person, origin: str = PORTAL) -> Tus:
    return Tus(Nginx(headers={**person.api.headers, "Origin": origin}))


def _names(value: str) -> set[str]:
    return {name.strip() for name in value.split(",")}


def test_no_origin_is_allowed_by_default(owner: Person, nobody: Nginx) -> None:
    answer = nobody.send("OPTIONS", "/files/", headers={**ASKED, "Origin": PORTAL})
    assert answer.status_code == 204
    answers = [answer, _script(owner).create(Upload_Length="8")]
    for headers in (answer.headers for answer in answers):
        assert not [name for name in headers if name.startswith("Access-Control-")]


def test_a_script_of_an_allowed_origin_may_send_and_read_what_tus_needs(
    owner: Person, nobody: Nginx, settings: Settings
) -> None:
    settings.UPLOAD_CORS_ORIGINS = ["https://other.test", PORTAL]
    headers = nobody.send("OPTIONS", "/files/x", headers={**ASKED, "Origin": PORTAL}).headers
    assert headers["Access-Control-Allow-Origin"] == PORTAL
    assert {"POST", "PATCH", "HEAD", "DELETE"} <= _names(headers["Access-Control-Allow-Methods"])
    assert {"Authorization", "Content-Type", "Tus-Resumable", "Upload-Offset"} <= _names(
        headers["Access-Control-Allow-Headers"]
    )
    assert "Access-Control-Allow-Credentials" not in headers
    script = _script(owner)
    url = script.begin(8)
    answers = [script.patch(url, 0, b"1234"), script.patch(url, 0, b"1"), script.head("/files/x")]
    assert [answer.status_code for answer in answers] == [204, 409, 404]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == PORTAL
        assert "Origin" in _names(answer.headers["Vary"])
        assert {"Location", "Upload-Offset", "Upload-Token", "Tus-Resumable"} <= _names(
            answer.headers["Access-Control-Expose-Headers"]
        )


def test_a_script_may_speak_the_other_protocols_too(
    owner: Person, nobody: Nginx, settings: Settings
) -> None:
    settings.UPLOAD_CORS_ORIGINS = [PORTAL]
    asked = nobody.send("OPTIONS", "/files/x", headers={**ASKED, "Origin": PORTAL})
    assert {"Upload-Complete", "Upload-Draft-Interop-Version", "Content-Range"} <= _names(
        asked.headers["Access-Control-Allow-Headers"]
    )
    assert {"Upload-Limit", "Tus-Version"} <= set(asked.headers)
    headers = {"Upload-Complete": "?0", "Origin": PORTAL}
    answer = owner.api.send("POST", "/files/", headers=headers)
    assert {"Location", "Upload-Complete", "Upload-Limit", "Repr-Digest"} <= _names(
        answer.headers["Access-Control-Expose-Headers"]
    )


@pytest.mark.parametrize("origin", ["https://evil.test", "http://portal.test", "null", ""])
def test_another_origin_is_told_nothing(owner: Person, settings: Settings, origin: str) -> None:
    settings.UPLOAD_CORS_ORIGINS = [PORTAL]
    answer = _script(owner, origin).create(Upload_Length="8")
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in _names(answer.headers["Vary"])


def test_a_star_allows_every_origin(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_CORS_ORIGINS = ["*"]
    answer = _script(owner, "https://any.test").create(Upload_Length="8")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_pages_are_for_nobody_elses_scripts(owner: Person, settings: Settings) -> None:
    settings.UPLOAD_CORS_ORIGINS = ["*"]
    answer = owner.api.get("/uploads/", Origin=PORTAL)
    assert "Access-Control-Allow-Origin" not in answer.headers
