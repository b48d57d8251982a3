"""What tools/generate writes is what it would write today."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from kit import ROLE_NAMES, ROOT, entry_point, generate, options

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("path", generate.outputs(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_generated_file_is_not_stale(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == generate.outputs()[path], "run `make generate`"


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_a_readme_shows_every_variable_and_an_example(role: str) -> None:
    text = generate.readme(role)
    assert [name for name in options(role) if text.count(f"| `{name}` |") != 1] == []
    assert f"```yaml\n{entry_point(role)['examples']}```\n" in text


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of what the tool reads and writes."""
    for part in ("roles", "tools", "compose"):
        shutil.copytree(ROOT / part, tmp_path / part)
    return tmp_path


def run(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, checkout / "tools" / "generate", *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )


def test_check_names_the_stale_file_exits_with_1_and_writes_nothing(checkout: Path) -> None:
    run(checkout)
    readme = checkout / "roles" / "tls" / "README.md"
    readme.write_text("another text\n")
    done = run(checkout, "--check")
    assert done.returncode == 1
    assert done.stderr == "roles/tls/README.md is stale: run `make generate`\n"
    assert readme.read_text() == "another text\n"


def test_generate_makes_a_changed_default_known_in_the_readme(checkout: Path) -> None:
    for name in ("defaults/main.yml", "meta/argument_specs.yml"):
        path = checkout / "roles" / "upload" / name
        path.write_text(path.read_text().replace("100g", "3t"))
    assert run(checkout).returncode == 0
    assert "| `3t` |" in (checkout / "roles" / "upload" / "README.md").read_text()
    assert run(checkout, "--check").returncode == 0
