"""The recipes of README.md, run as they are written there."""

import hashlib
import os
import re
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Person
from tests.processes import APP
from tests.stack import deployed, needs_nginx
from uploads.models import Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

README = (APP / "README.md").read_text()
RECIPES = [
    pytest.param(recipe, id=f"{section.partition(chr(10))[0].lower()}-{number}")
    for section in README.split("\n## ")
    for number, recipe in enumerate(re.findall(r"```sh\n(.*?)```", section, re.DOTALL))
    if "$SERVER" in recipe
]


def test_there_are_recipes_for_each_door() -> None:
    assert len(RECIPES) == 3


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_uploads_the_file(
    recipe: str, sockets: Path, owner: Person, stored: Callable[[], list[Path]], tmp_path: Path
) -> None:
    content = secrets.token_bytes(250_001)
    (tmp_path / "run.bam").write_bytes(content)
    with deployed(sockets) as stack:
        # The name is that of the site, and the address this test's.
        (tmp_path / ".curlrc").write_text(f"resolve = upload.test:{stack.port}:127.0.0.1\n")
        ended = subprocess.run(
            ["sh", "-eu", "-c", recipe],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "CURL_HOME": str(tmp_path),
                "SERVER": f"http://upload.test:{stack.port}",
                "TOKEN": owner.token,
                "CHUNK": "100000",
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended
    upload = Upload.objects.complete().get()
    assert (upload.name, upload.sha256) == ("run.bam", hashlib.sha256(content).hexdigest())
    assert [path.read_bytes() for path in stored()] == [content]
    assert upload.sha256 in ended.stdout
