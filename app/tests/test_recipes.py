"""The commands of docs/protocols.md, as they stand there, against the running kit."""

import hashlib
import os
import re
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Person
from tests.stack import HOST, Stack, needs_nginx
from tests.stack_tus import wait_for_writer
from uploads.models import Door, State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

DOCUMENT = Path("/etc/upload/protocols.md")

type Run = Callable[..., str]


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """Return what the file of the recipes has."""
    content = secrets.token_bytes(3_000_000)
    (tmp_path / "big.img").write_bytes(content)
    return content


@pytest.fixture
def run(stack: Stack, owner: Person, tmp_path: Path) -> Run:
    """Return what runs recipes by their headings, in one shell, and returns what they print."""
    (tmp_path / ".curlrc").write_text(f'resolve = "{HOST}:{stack.port}:127.0.0.1"\n')
    environment = {
        **os.environ,
        "CURL_HOME": str(tmp_path),
        "URL": f"http://{HOST}:{stack.port}",
        "TOKEN": owner.token,
    }

    def run_them(*headings: str) -> str:
        script = "".join(_recipe(heading) for heading in headings)
        done = subprocess.run(
            ["sh", "-euc", script],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    return run_them


def _recipe(heading: str) -> str:
    sections = re.split(r"^##+ ", DOCUMENT.read_text(), flags=re.MULTILINE)
    [section] = [text for text in sections if text.startswith(f"{heading}\n")]
    [recipe] = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(recipe)


def _one(content: bytes, door: Door) -> Upload:
    upload = Upload.objects.get()
    assert (upload.state, upload.protocol, upload.name) == (State.COMPLETE, door, "big.img")
    assert upload.sha256 == hashlib.sha256(content).hexdigest()
    return upload


@pytest.mark.parametrize("recipe", ["Send a file", "Have the server verify it"])
def test_a_plain_put(run: Run, content: bytes, recipe: str) -> None:
    printed = run(recipe)
    assert str(_one(content, Door.PUT).id) in printed


def test_a_put_that_was_cut(run: Run, stack: Stack, content: bytes) -> None:
    with stack.begin("PUT", "/files/big.img", len(content), {}) as connection:
        connection.sendall(content[:1_234_567])
        wait_for_writer()
    printed = run("Go on after a cut")
    assert str(_one(content, Door.PUT).id) in printed


def test_a_put_of_what_a_program_writes(run: Run, content: bytes) -> None:
    run("Send what a program writes")
    upload = Upload.objects.get()
    assert (upload.state, upload.name) == (State.COMPLETE, "big.tar")
    assert upload.size > len(content)


def test_an_ietf_upload(run: Run, content: bytes) -> None:
    printed = run("Create an upload", "Send the rest, whatever is there")
    assert f"/files/{_one(content, Door.RUFH).id}\n" in printed


def test_an_ietf_upload_that_is_cancelled(run: Run, content: bytes) -> None:
    assert content
    run("Create an upload", "Cancel it")
    assert Upload.objects.get().state == State.DELETED


def test_every_recipe_of_the_document_is_run_here() -> None:
    here = Path(__file__).read_text()
    sections = re.split(r"^##+ ", DOCUMENT.read_text(), flags=re.MULTILINE)
    headings = [text.partition("\n")[0] for text in sections if "```sh" in text]
    assert [heading for heading in headings if f'"{heading}"' not in here] == []
