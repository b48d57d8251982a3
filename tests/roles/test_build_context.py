"""An image is built again when what goes into it changes, and only then.

The module build_context runs as Ansible runs it: a process of its own, with its arguments on stdin.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from kit import ROOT, defaults

if TYPE_CHECKING:
    from pathlib import Path

MODULE = ROOT / "roles" / "build" / "library" / "build_context.py"
FILES = {"Dockerfile": "FROM scratch\n", "a/first.txt": "1", "a/second.txt": "2", "b.sh": "#!"}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    return folder


def run(src: Path, dest: Path, *, check: bool = False) -> dict[str, Any]:
    """Run the module with the role's own list of names to leave out, and return what it answers."""
    arguments = {
        "src": str(src),
        "dest": str(dest),
        "exclude": list(defaults("build")["build_exclude"]),
        "_ansible_check_mode": check,
    }
    done = subprocess.run(
        [sys.executable, MODULE],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    return write(tmp_path / "context", FILES)


def digest(context: Path) -> str:
    return run(context, context.parent / f"{context.name}.tar")["sha256"]


def members(archive: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(archive) as tar:
        return tar.getmembers()


def test_the_digest_is_that_of_the_archive(context: Path, tmp_path: Path) -> None:
    archive = tmp_path / "cache" / "context.tar"
    answer = run(context, archive)
    assert answer["sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()


def test_the_archive_holds_every_file_in_order(context: Path, tmp_path: Path) -> None:
    run(context, tmp_path / "context.tar")
    assert [member.name for member in members(tmp_path / "context.tar")] == [
        "Dockerfile",
        "b.sh",
        "a/first.txt",
        "a/second.txt",
    ]


def test_the_same_files_written_in_another_order_have_the_same_digest(
    context: Path, tmp_path: Path
) -> None:
    other = write(tmp_path / "other", dict(reversed(FILES.items())))
    assert digest(other) == digest(context)


def test_a_touched_file_does_not_change_the_digest(context: Path) -> None:
    before = digest(context)
    os.utime(context / "b.sh", (1, 1))
    assert digest(context) == before


def test_the_archive_holds_neither_an_owner_nor_a_time(context: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        os.chown(context / "b.sh", 1234, 1234)
    run(context, tmp_path / "context.tar")
    assert {
        (m.uid, m.gid, m.uname, m.gname, m.mtime) for m in members(tmp_path / "context.tar")
    } == {(0, 0, "", "", 0)}


def test_a_checkout_with_another_umask_has_the_same_digest(context: Path) -> None:
    before = digest(context)
    (context / "b.sh").chmod(0o600)
    assert digest(context) == before


def test_a_changed_byte_changes_the_digest(context: Path) -> None:
    before = digest(context)
    (context / "a" / "second.txt").write_text("3")
    assert digest(context) != before


def test_a_renamed_file_changes_the_digest(context: Path) -> None:
    before = digest(context)
    (context / "b.sh").rename(context / "c.sh")
    assert digest(context) != before


def test_a_file_that_becomes_a_program_changes_the_digest(context: Path) -> None:
    before = digest(context)
    (context / "b.sh").chmod(0o755)
    assert digest(context) != before


def test_a_link_that_points_elsewhere_changes_the_digest(context: Path) -> None:
    (context / "link").symlink_to("b.sh")
    before = digest(context)
    (context / "link").unlink()
    (context / "link").symlink_to("Dockerfile")
    assert digest(context) != before


@pytest.mark.parametrize(
    "name", ["tests/test_it.py", ".venv/bin/python", "a/__pycache__/it.cpython-313.pyc", "a/it.pyc"]
)
def test_what_the_image_does_not_need_does_not_change_the_digest(context: Path, name: str) -> None:
    before = digest(context)
    write(context, {name: "anything"})
    assert digest(context) == before


def test_an_archive_that_is_there_already_is_not_written_again(
    context: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "context.tar"
    assert run(context, archive)["changed"] is True
    os.utime(archive, (1, 1))
    assert run(context, archive)["changed"] is False
    assert archive.stat().st_mtime == 1


def test_check_mode_says_what_would_change_and_writes_nothing(
    context: Path, tmp_path: Path
) -> None:
    answer = run(context, tmp_path / "cache" / "context.tar", check=True)
    assert answer["changed"] is True
    assert answer["sha256"] == digest(context)
    assert not (tmp_path / "cache").exists()


def test_a_folder_without_a_dockerfile_is_refused_in_one_sentence(tmp_path: Path) -> None:
    answer = run(tmp_path, tmp_path / "context.tar")
    assert answer["failed"] is True
    assert answer["msg"] == (
        f"{tmp_path} has no Dockerfile: set build_context to the folder that holds it"
    )
    assert not (tmp_path / "context.tar").exists()
