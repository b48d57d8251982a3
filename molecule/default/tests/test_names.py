"""File names arrive as people wrote them, and never become a path."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from conftest import form

if TYPE_CHECKING:
    from conftest import Site


@pytest.mark.parametrize(
    ("sent", "recorded"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\\\scans\\\\a.dcm", "a.dcm"),
        ("%22quoted%22.txt", '"quoted".txt'),
        ("semi;colon.txt", "semi;colon.txt"),
        ("Größe – 日本語.txt", "Größe – 日本語.txt"),
        ("x" * 250 + ".txt", "x" * 250 + ".txt"),
    ],
)
def test_a_name_is_recorded_as_it_was_meant(site: Site, sent: str, recorded: str) -> None:
    answer = site.post(form(sent, b"content of the file"))
    assert answer.status == 200, answer
    (upload,) = json.loads(answer.body)["uploads"]
    assert upload["name"] == recorded
    assert site.get("/uploads/" + upload["id"] + "/download").body == b"content of the file"
