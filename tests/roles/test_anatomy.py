"""Every role has the same parts, so that whoever knows one knows them all."""

from __future__ import annotations

import pytest
from kit import ROLE_NAMES, ROOT, entry_point, generate

PARTS = [
    "README.md",
    "defaults/main.yml",
    "meta/argument_specs.yml",
    "meta/main.yml",
    "tasks/main.yml",
]
OPENINGS = ("# ", '"""', "<!-- ", "{# ")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_role_has_the_parts_that_the_others_have(role: str, part: str) -> None:
    assert (ROOT / "roles" / role / part).is_file(), f"roles/{role}/{part} is missing"


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_file_of_a_role_begins_by_saying_what_it_is_for(role: str) -> None:
    files = (p for p in (ROOT / "roles" / role).rglob("*") if p.is_file() and p.suffix != ".pyc")
    silent = [p for p in files if not p.read_text(encoding="utf-8").startswith(OPENINGS)]
    assert not silent


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_a_role_is_described_in_the_same_words_everywhere(role: str) -> None:
    info = generate.load(ROOT / "roles" / role / "meta" / "main.yml")["galaxy_info"]
    assert info["description"] == entry_point(role)["short_description"]


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_a_role_depends_on_no_other_role(role: str) -> None:
    assert generate.load(ROOT / "roles" / role / "meta" / "main.yml")["dependencies"] == []
