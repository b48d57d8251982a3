"""What the tests of the roles share: tools/generate as a module, and a site as site.yml sees it."""

from __future__ import annotations

import functools
import importlib.machinery
import importlib.util
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = ROOT / "playbooks"


def _load_generator() -> Any:
    """Import tools/generate, whose name has no suffix: it reads and renders for the tests too."""
    loader = importlib.machinery.SourceFileLoader("generate", str(ROOT / "tools" / "generate"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("generate", loader))
    loader.exec_module(module)
    return module


generate = _load_generator()
ROLE_NAMES: list[str] = generate.role_names()


@functools.cache
def defaults(role: str) -> dict[str, Any]:
    return generate.load(ROOT / "roles" / role / "defaults" / "main.yml")


@functools.cache
def entry_point(role: str) -> dict[str, Any]:
    """Return what a role's argument specs say about its only entry point."""
    specs = generate.load(ROOT / "roles" / role / "meta" / "argument_specs.yml")
    return specs["argument_specs"]["main"]


def options(role: str) -> dict[str, dict[str, Any]]:
    return entry_point(role)["options"]


@functools.cache
def site_roles() -> list[dict[str, Any]]:
    """Return the role entries of site.yml and of what it imports, in order."""
    plays = generate.load(PLAYBOOKS / "site.yml")
    imported = [
        play
        for entry in plays
        if "ansible.builtin.import_playbook" in entry
        for play in generate.load(PLAYBOOKS / entry["ansible.builtin.import_playbook"])
    ]
    return [role for play in [*imported, *plays] for role in play.get("roles", [])]


def site(role: str, **variables: Any) -> dict[str, Any]:
    """Return the variables that a role sees in site.yml on a site that sets `variables`."""
    seen: dict[str, Any] = {
        "ansible_facts": {"fqdn": "host.test"},
        "playbook_dir": str(PLAYBOOKS),
        "inventory_dir": "/inventory",
        "inventory_hostname": "host",
        "build_refs": {"nginx-upload": "nginx-upload:1", "upload-app": "upload-app:2"},
        "docker_engine_build_cli": "docker",
        "database_url": "sqlite:////var/lib/app/db.sqlite3",
        "database_mounts": [],
    }
    for name in ROLE_NAMES:
        seen |= generate.role_variables(name)
    entry = next(entry for entry in site_roles() if entry["role"] == role)
    return seen | variables | entry.get("vars", {})


def evaluate(expression: Any, variables: dict[str, Any]) -> Any:
    """Evaluate an expression of the kit as Ansible does."""
    return generate.Templar(generate.LOADER, variables).template(expression)


def render_on_site(role: str, template: str, **variables: Any) -> str:
    """Render a role's template as site.yml would on a site that sets `variables`."""
    path = ROOT / "roles" / role / "templates" / template
    return generate.render(path, site(role, **variables))


def block(text: str, opening: str) -> str:
    """Return the first block of an nginx configuration that begins with `opening`."""
    lines = text.split("\n")
    first = next(n for n, line in enumerate(lines) if line.strip().startswith(opening))
    indentation = lines[first][: -len(lines[first].lstrip())]
    last = lines.index(f"{indentation}}}", first)
    return "\n".join(lines[first : last + 1])
