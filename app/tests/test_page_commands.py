"""The commands that pages offer, run as they stand against the running kit."""

import os
import re
import secrets
import subprocess
from datetime import timedelta
from html import unescape
from pathlib import Path

import pytest
from django.utils import timezone

from tests.conftest import Person
from tests.stack import HOST, Stack, needs_nginx
from tests.stack_tus import create
from tests.test_file_page import ODD
from tests.tus import metadata
from uploads import sharing
from uploads.models import Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

CONTENT = secrets.token_bytes(300_000)


@pytest.fixture
def upload(stack: Stack) -> Upload:
    """Return a file whose name is hard to handle."""
    named = {"Upload-Metadata": metadata(filename=ODD)}
    assert create(stack, len(CONTENT), CONTENT, **named).status == 201
    return Upload.objects.get()


def run(stack: Stack, directory: Path, command: str, **variables: str) -> bool:
    """Run a command of a page in a directory; the kit's port is not the usual one."""
    (directory / ".curlrc").write_text(f'connect-to = "{HOST}:80:127.0.0.1:{stack.port}"\nsilent\n')
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), **variables}
    done = subprocess.run(["sh", "-c", command], cwd=directory, env=environment, check=False)
    return done.returncode == 0


def commands(stack: Stack, path: str, **headers: str) -> list[str]:
    """Return what the copy buttons of a page hold."""
    page = stack.send("GET", path, headers={"Accept": "text/html", **headers})
    assert page.status == 200
    return [unescape(text) for text in re.findall(r'data-copy="([^"]*)"', page.body.decode())]


def test_a_file_is_fetched_gone_on_with_and_checked(
    stack: Stack, upload: Upload, owner: Person, tmp_path: Path
) -> None:
    _, check, curl, push = commands(stack, upload.get_absolute_url())
    assert push.endswith(f"--host {HOST} --schema http {upload.id}")
    assert not run(stack, tmp_path, curl, TOKEN="dnu_wrong")
    (tmp_path / ODD).write_bytes(CONTENT[:100_000])
    assert not run(stack, tmp_path, check)
    assert run(stack, tmp_path, curl, TOKEN=owner.token)
    assert (tmp_path / ODD).read_bytes() == CONTENT
    assert run(stack, tmp_path, check)


def test_a_shared_file_is_fetched_gone_on_with_and_checked(
    stack: Stack, upload: Upload, owner: Person, tmp_path: Path
) -> None:
    link = sharing.create(upload, owner.user, timezone.now() + timedelta(hours=1))
    path = sharing.path_of(link)
    _, curl, check = commands(stack, path, Authorization="")
    (tmp_path / ODD).write_bytes(CONTENT[:100_000])
    assert run(stack, tmp_path, curl)
    assert run(stack, tmp_path, check)
    Upload.objects.update(name="plain.bam")
    assert run(stack, tmp_path, f"curl --fail -OJ http://{HOST}{path}")
    assert (tmp_path / "plain.bam").read_bytes() == CONTENT
