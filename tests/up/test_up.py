"""`make up`, `./push.py FILE` and `make down` on this machine's own engine, as in the README."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
IMAGES = ("upload-base", "nginx-upload", "upload-app")
EMPTY_ARCHIVE = bytes(10240)
DIRECTORIES = [Path(p) for p in ("/srv/upload-trial", "/var/lib/upload-trial", "/etc/upload-trial")]


def make(*arguments: str) -> str:
    """Run make against this test's own inventory and return what it printed."""
    result = subprocess.run(
        ["make", *arguments, "INVENTORY=tests/up/inventory"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    return result.stdout


def changed(output: str) -> int:
    """Return the number of changes that Ansible reports."""
    found = re.search(r"localhost +: .* changed=(\d+)", output)
    assert found
    return int(found[1])


def docker(*arguments: str, content: bytes = b"") -> str:
    """Run docker and return what it printed."""
    done = subprocess.run(["docker", *arguments], input=content, capture_output=True, check=True)
    return done.stdout.decode().strip()


def images() -> set[str]:
    """Return the references of the images that have a name of the kit's."""
    listed = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
    return {image for image in listed if image.partition(":")[0] in IMAGES}


@pytest.fixture(scope="module")
def others() -> Iterator[set[str]]:
    """Images of the names that the kit uses, which this deployment does not make."""
    names = {f"{name}:of-another-site" for name in IMAGES}
    for name in names:
        docker("import", "--change", "LABEL for=tests/up", "-", name, content=EMPTY_ARCHIVE)
    yield names
    docker("image", "rm", *names)


@pytest.fixture(scope="module")
def first(others: set[str]) -> Iterator[str]:  # noqa: ARG001 - they are there before
    """What the first `make up` printed."""
    make("down", "PURGE=1")
    try:
        yield make("up")
    finally:
        make("down", "PURGE=1")


def push(path: Path) -> subprocess.CompletedProcess[str]:
    """Run ./push.py FILE with the configuration that the deployment wrote and nothing else."""
    return subprocess.run(
        [ROOT / "push.py", path],
        env={**os.environ, "PUSH_CONFIG": str(HERE / "secrets/push.conf")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_ends_with_the_page_the_account_and_the_command(first: str) -> None:
    assert "https://localhost:18443/upload" in first
    password = re.search(r"(/\S+/admin_password)", first)
    assert password
    assert Path(password[1]).stat().st_mode & 0o777 == 0o600
    assert "./push.py FILE" in first


def test_no_secret_is_printed(first: str) -> None:
    for path in (HERE / "secrets").rglob("admin_*"):
        assert path.read_text().strip() not in first


def test_a_second_run_changes_nothing(first: str) -> None:
    assert changed(first) > 0
    assert changed(make("up")) == 0


@pytest.mark.usefixtures("first")
def test_push_needs_no_flags_and_a_file_survives_make_down(tmp_path: Path) -> None:
    path = tmp_path / "run 7.bin"
    path.write_bytes(secrets.token_bytes(64 * 1024 * 1024))
    result = push(path)
    assert result.returncode == 0, result.stderr
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in result.stdout

    make("down")
    assert push(path).returncode == 6
    make("up")
    (stored,) = [p for p in (DIRECTORIES[0] / "files").rglob("*") if p.is_file()]
    assert hashlib.sha256(stored.read_bytes()).hexdigest() == digest


@pytest.mark.usefixtures("first")
def test_a_purge_leaves_nothing() -> None:
    make("down", "PURGE=1")
    assert not [path for path in DIRECTORIES if path.exists()]
    assert not list((HERE / "secrets").glob("*"))
    assert not docker("ps", "--all", "--quiet", "--filter", "name=upload-trial")


@pytest.fixture
def unbuilt() -> Iterator[str]:
    """The application's image, which this deployment must build: one that is here is put aside."""
    make("up")
    name = docker("inspect", "--format", "{{.Config.Image}}", "upload-trial-app")
    make("down", "PURGE=1")
    aside = "upload-app:set-aside"
    was_there = name in images()
    if was_there:
        docker("tag", name, aside)
        docker("image", "rm", name)
    yield name
    if was_there:
        docker("tag", aside, name)
        docker("image", "rm", aside)


@pytest.mark.usefixtures("first")
def test_a_purge_takes_the_images_that_this_deployment_made_and_no_others(
    others: set[str], unbuilt: str
) -> None:
    before = images()
    assert others <= before
    make("up")
    made = images() - before
    assert unbuilt in made
    assert set((DIRECTORIES[2] / "images").read_text().split()) == made
    make("down", "PURGE=1")
    assert images() == before
