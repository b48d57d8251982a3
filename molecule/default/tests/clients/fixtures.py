"""What the tests of push.py share; they name it as `pytest_plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from clients.hop import Hop
from clients.push import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Site


@pytest.fixture
def client(site: Site, tmp_path: Path) -> Iterator[Client]:
    """push.py as a user has it, in a home of its own; what it leaves unfinished is deleted."""
    made = Client(site, tmp_path / "state")
    made.env["HOME"] = str(tmp_path / "home")
    made.env.pop("XDG_CONFIG_HOME", None)
    yield made
    made.give_up(site)


@pytest.fixture
def hop(site: Site) -> Iterator[Hop]:
    """A proxy that has no faults yet."""
    with Hop(site) as running:
        yield running
