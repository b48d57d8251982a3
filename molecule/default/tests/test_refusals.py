"""Bad input on the deployed site: a clear status, a problem document, nothing on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import MULTIPART, form

if TYPE_CHECKING:
    from conftest import Site

pytestmark = pytest.mark.usefixtures("nothing_left")
GIB = 1024**3


def test_no_token_is_401_before_the_body(site: Site) -> None:
    head = site.head(f"Content-Type: {MULTIPART}", f"Content-Length: {GIB}", token="")
    answer = site.exchange(head)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.problem["detail"]


def test_a_wrong_token_is_401_and_is_not_echoed(site: Site) -> None:
    wrong = "dnu_" + "x" * 43
    head = site.head(f"Content-Type: {MULTIPART}", f"Content-Length: {GIB}", token=wrong)
    answer = site.exchange(head)
    assert answer.status == 401
    assert wrong.encode() not in answer.body


def test_push_without_a_token_says_so_in_one_sentence(
    site: Site, push: Any, tmp_path: Path
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"x" * 1000)
    empty = tmp_path / "empty.conf"
    empty.write_text(f"[default]\nhost = {site.host}\nca_file = {site.ca_file}\n")
    result = push(path, PUSH_CONFIG=str(empty))
    assert result.returncode == 4
    assert len(result.stderr.strip().splitlines()) == 1
    assert "token" in result.stderr


def test_nobody_waits_for_100_continue_when_the_answer_is_no(site: Site) -> None:
    head = site.head(
        f"Content-Type: {MULTIPART}", f"Content-Length: {GIB}", "Expect: 100-continue", token=""
    )
    with site.connect() as connection:
        connection.sendall(head)
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_a_declared_length_over_the_limit_is_413_with_numbers(site: Site) -> None:
    size = 13 * GIB
    answer = site.exchange(site.head(f"Content-Type: {MULTIPART}", f"Content-Length: {size}"))
    assert answer.status == 413
    assert answer.problem["max_size"] == 12 * GIB


def test_push_names_the_limit_when_a_file_is_too_large(push: Any, tmp_path: Path) -> None:
    path = tmp_path / "huge.bin"
    with path.open("wb") as sparse:
        sparse.truncate(13 * GIB)
    result = push(path)
    assert result.returncode == 5
    assert len(result.stderr.strip().splitlines()) == 1
    assert "12" in result.stderr


def test_push_says_when_it_does_not_trust_the_certificate(
    site: Site, push: Any, tmp_path: Path
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"x")
    config = tmp_path / "push.conf"
    config.write_text(f"[default]\nhost = {site.host}\n")
    result = push(path, PUSH_CONFIG=str(config))
    assert result.returncode == 2
    assert "ca" in result.stderr.lower()


def test_a_client_that_goes_away_in_the_middle_leaves_nothing(site: Site) -> None:
    body = form("cut.bin", os.urandom(300_000))
    head = site.head(f"Content-Type: {MULTIPART}", f"Content-Length: {len(body) + 1000}")
    with site.connect() as connection:
        connection.sendall(head + body[:200_000])


def test_a_body_that_is_cut_off_is_400(site: Site) -> None:
    body = form("cut.bin", b"x" * 5000)[:4000]
    answer = site.post(body)
    assert answer.status == 400
    assert answer.problem["detail"]


def test_a_body_without_its_final_boundary_is_400(site: Site) -> None:
    answer = site.post(form("open.bin", b"x" * 5000, close=False))
    assert answer.status == 400
    assert "boundary" in answer.problem["detail"]


def test_a_form_without_a_file_is_400(site: Site) -> None:
    field = b'Content-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    answer = site.post(b"--frontier\r\n" + field + b"--frontier--\r\n")
    assert answer.status == 400
    assert "file" in answer.problem["detail"]


def test_a_body_that_is_no_form_is_415(site: Site) -> None:
    answer = site.exchange(site.head("Content-Type: application/json", "Content-Length: 2"), b"{}")
    assert answer.status == 415
    assert "multipart/form-data" in answer.problem["detail"]


def test_a_name_of_four_thousand_characters_is_400(site: Site) -> None:
    answer = site.post(form("n" * 4096, b"content"))
    assert answer.status == 400
    assert "255" in answer.problem["detail"]


@pytest.mark.parametrize(
    "path",
    ["/complete/", "/internal/authorize", "/protected/aa/bb", "//complete/", "/x/../complete/",
     "/complete/%2e%2e/internal/authorize", "/internal%2fauthorize"],
)  # fmt: skip
def test_the_hand_off_cannot_be_reached_from_outside(site: Site, path: str) -> None:
    forged = form("file", b"x").replace(b'name="file"; filename="file"', b'name="file.path"')
    head = site.head(
        f"Content-Type: {MULTIPART}", f"Content-Length: {len(forged)}",
        "X-Upload-Grant: forged", "X-Upload-Shape: form", "X-Upload-Method: POST", path=path,
    )  # fmt: skip
    answer = site.exchange(head, forged)
    assert answer.status in (400, 403, 404)
    assert "x-upload-grant" not in answer.headers
    reached = site.get(path, "X-Upload-Shape: form", "X-Upload-Method: POST")
    assert reached.status in (400, 404, 405)
    assert "x-upload-grant" not in reached.headers
