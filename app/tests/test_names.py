"""File names: what clients send is shown and saved again, and is never a path."""

import pytest

from tests.conftest import Person
from tests.nginx import received
from uploads.models import Upload


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("run.bam", "run.bam"),
        ("/etc/passwd", "passwd"),
        ("../../x", "x"),
        ("C:\\data\\run 1.bam", "run 1.bam"),
        ('say "hi".txt', 'say "hi".txt'),
        ("Ergebnisse März.tar.zst", "Ergebnisse März.tar.zst"),
        ("結果🎉.csv", "結果🎉.csv"),
        ("%2e%2e%2f", "%2e%2e%2f"),
        ("<script>.html", "<script>.html"),
        (" padded ", "padded"),
        ("..hidden", "..hidden"),
        ("n" * 255, "n" * 255),
        ("/long" * 800 + "/x", "x"),
    ],
)
def test_a_name_is_kept_without_path_parts(owner: Person, sent: str, kept: str) -> None:
    answer = owner.api.upload(received(b"x", sent))
    assert answer.status_code == 200
    assert answer.json()["uploads"][0]["name"] == Upload.objects.get().name == kept


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("dir/", "empty"),
        (".", "empty"),
        ("..", "empty"),
        ("x/..", "empty"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7fb", "control"),
        ("a\u2028b", "control"),
        ("n" * 256, "256 bytes"),
        ("ü" * 128, "256 bytes"),
        ("n" * 4096, "4096 bytes"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_with_the_reason(
    owner: Person, sent: str, reason: str
) -> None:
    answer = owner.api.upload(received(b"x", sent))
    assert answer.status_code == 400
    assert answer.json()["type"] == "urn:upload:bad-name"
    assert reason in answer.json()["detail"]
    assert "rename the file" in answer.json()["detail"]
    assert Upload.objects.count() == 0
