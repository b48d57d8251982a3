"""A variable's default, its type and its meaning are the same wherever they are written down."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from kit import (
    ROLE_NAMES,
    ROOT,
    defaults,
    entry_point,
    evaluate,
    generate,
    options,
    site,
    site_roles,
)

TYPES = {"str": str, "path": str, "int": int, "bool": bool, "list": list, "dict": dict}
VARIABLES = [(role, name) for role in ROLE_NAMES for name in defaults(role)]


def as_text(value: Any) -> str:
    """Return a value so that true differs from 1, and an expression stays as it is written."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_defaults_and_argument_specs_name_the_same_variables_in_the_same_order(role: str) -> None:
    assert list(defaults(role)) == list(options(role))


@pytest.mark.parametrize(("role", "name"), VARIABLES)
def test_the_default_in_the_argument_specs_is_the_default(role: str, name: str) -> None:
    assert as_text(options(role)[name].get("default")) == as_text(defaults(role)[name])


@pytest.mark.parametrize(("role", "name"), VARIABLES)
def test_every_default_is_of_its_type_and_among_its_choices(role: str, name: str) -> None:
    option, default = options(role)[name], defaults(role)[name]
    assert isinstance(default, TYPES[option["type"]])
    assert isinstance(default, bool) == (option["type"] == "bool")
    assert default in option.get("choices", [default])


@pytest.mark.parametrize(("role", "name"), VARIABLES)
def test_every_variable_has_a_description_that_is_a_sentence(role: str, name: str) -> None:
    for sentence in generate.paragraphs(options(role)[name].get("description", "")):
        assert re.fullmatch(r"\S.*[.]", sentence)


@pytest.mark.parametrize(("role", "name"), VARIABLES)
def test_every_public_variable_begins_with_the_name_of_its_role(role: str, name: str) -> None:
    assert name.startswith(f"{role}_")


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_every_default_stands_below_a_comment_of_its_own_or_of_its_group(role: str) -> None:
    text = (ROOT / "roles" / role / "defaults" / "main.yml").read_text(encoding="utf-8")
    _, values = text.split("\n---\n", 1)
    bare = [group for group in values.split("\n\n") if not group.lstrip("\n").startswith("# ")]
    assert not bare


@pytest.mark.parametrize("role", ROLE_NAMES)
def test_the_example_of_a_role_sets_variables_that_the_role_has(role: str) -> None:
    plays = generate.LOADER.load(entry_point(role)["examples"])
    used = {name for play in plays for entry in play["roles"] for name in entry.get("vars", {})}
    assert role in {entry["role"] for play in plays for entry in play["roles"]}
    assert used <= {name for known in ROLE_NAMES for name in options(known)}


@pytest.mark.parametrize("entry", site_roles(), ids=lambda entry: entry["role"])
def test_site_yml_sets_variables_that_the_role_has(entry: dict[str, Any]) -> None:
    assert set(entry.get("vars", {})) <= set(options(entry["role"]))


@pytest.mark.parametrize("role", sorted({entry["role"] for entry in site_roles()}))
def test_every_value_that_a_role_gets_in_site_yml_is_of_its_type(role: str) -> None:
    seen = site(role, app_admin_password="a password", app_admin_token="a token")
    values = {name: evaluate(seen[name], seen) for name in options(role)}
    found = ArgumentSpecValidator(options(role)).validate(values)
    assert found.error_messages == []
