"""Where push.py finds its libraries when the Python that starts it has none."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Push

USAGE = 2


@pytest.fixture
def bare(push: Push) -> Push:
    """Start push.py with a Python that has its standard library only, and an empty PATH."""
    push.python = [sys.executable, "-I", "-S"]
    (push.home / "bin").mkdir()
    push.env["PATH"] = str(push.home / "bin")
    return push


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_the_deployments_venv_is_used(bare: Push) -> None:
    program(bare.home / ".venv" / "bin" / "python", f'exec {sys.executable} "$@"')
    assert "no such file" in bare("nowhere.bam").sentence


def test_uv_is_used_when_there_is_no_venv(bare: Push) -> None:
    program(bare.home / "bin" / "uv", f'shift 3; exec {sys.executable} "$@"')
    assert "no such file" in bare("nowhere.bam").sentence


def test_uv_is_used_when_the_venv_has_no_libraries_either(bare: Push) -> None:
    program(bare.home / ".venv" / "bin" / "python", f'exec {sys.executable} -I -S "$@"')
    program(bare.home / "bin" / "uv", f'shift 3; exec {sys.executable} "$@"')
    assert "no such file" in bare("nowhere.bam").sentence


def test_nothing_is_started_in_a_loop(bare: Push) -> None:
    program(bare.home / ".venv" / "bin" / "python", f'exec {sys.executable} -I -S "$@"')
    program(bare.home / "bin" / "uv", f'shift 3; exec {sys.executable} -I -S "$@"')
    outcome = bare("nowhere.bam")
    assert outcome.code == USAGE
    assert "pip install requests requests-toolbelt" in outcome.sentence


def test_without_any_of_them_the_sentence_says_what_to_install(bare: Push) -> None:
    outcome = bare("nowhere.bam")
    assert outcome.code == USAGE
    assert "install uv" in outcome.sentence
