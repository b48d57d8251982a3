"""Every page in a browser: axe-core finds nothing serious, in light, in dark, on a phone."""

from __future__ import annotations

import json
import secrets
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from clients.browser import Portal, chromium
from clients.drivers import HERE
from conftest import PASSWORD
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Site
    from playwright.sync_api import Playwright

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {
        "color_scheme": "light",
        "viewport": {"width": 360, "height": 740},
        "has_touch": True,
    },
}
PAGES = (
    "/upload", "/uploads/", "/uploads/?q=nothing-is-called-so", "{file}", "{unfinished}",
    "{file}/rename", "{file}/delete", "{shared}", "/shared/gone", "/accounts/",
    "/accounts/password/", "/nowhere", "/admin/status", "/admin/", "/admin/uploads/upload/",
    "/admin/accounts/user/", "/admin/accounts/apitoken/",
)  # fmt: skip
AXE = (HERE / "node_modules/axe-core/axe.min.js").read_text()
FIND = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
    .filter(({impact}) => ['serious', 'critical'].includes(impact))
    .map(({id, nodes}) => id + ': ' + nodes.map(({html}) => html).join(' '))"""


@pytest.fixture(scope="module")
def staff(account: Callable[..., str]) -> str:
    """Somebody who may see everything."""
    return account("carl", is_staff=True)


@pytest.fixture(scope="module")
def browsers(
    playwright: Playwright, site: Site, staff: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Portal]]:
    """A browser for each look, signed in."""
    with ExitStack() as started:
        portals = {
            look: started.enter_context(
                chromium(playwright, tmp_path_factory.mktemp(look), site.url, **options)
            )
            for look, options in LOOKS.items()
        }
        for portal in portals.values():
            portal.sign_in(staff, PASSWORD)
        yield portals


@pytest.fixture(scope="module")
def addresses(
    browsers: dict[str, Portal], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The pages of a file, of one that is not finished, and of a share link."""
    portal = browsers["light"]
    path = (
        tmp_path_factory.mktemp("files")
        / "a file with a name that is so long that a phone has to break it.bam"
    )
    path.write_bytes(secrets.token_bytes(1000))
    portal.choose(path)
    portal.wait_for(path.name, "done")
    file = portal.row(path.name).get_by_role("link").get_attribute("href") or ""
    portal.open(file)
    portal.page.get_by_role("button", name="Share").click()
    shared = portal.page.locator(".share code").inner_text()
    unfinished = portal.page.evaluate(
        "async () => (await fetch('/files/', {method: 'POST', headers: {'Tus-Resumable': '1.0.0',"
        " 'Upload-Length': '1000', 'Upload-Metadata': 'filename ' + btoa('half.bam')}}))"
        ".headers.get('Location')"
    )
    return {
        "file": file,
        "unfinished": urlsplit(unfinished).path.replace("/files/", "/uploads/"),
        "shared": urlsplit(shared).path,
    }


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(
    browsers: dict[str, Portal], addresses: dict[str, str], path: str, look: str
) -> None:
    portal = browsers[look]
    portal.open(path.format(**addresses))
    portal.page.evaluate(AXE)
    assert portal.page.evaluate(FIND) == []


@pytest.mark.parametrize("path", [path for path in PAGES if not path.startswith("/admin")])
def test_nothing_is_wider_than_a_phone(
    browsers: dict[str, Portal], addresses: dict[str, str], path: str
) -> None:
    portal = browsers["phone"]
    portal.open(path.format(**addresses))
    assert (
        portal.page.evaluate("document.documentElement.scrollWidth")
        <= LOOKS["phone"]["viewport"]["width"]
    )


@pytest.mark.parametrize("look", LOOKS)
def test_the_answer_with_a_new_token_is_sound(browsers: dict[str, Portal], look: str) -> None:
    portal = browsers[look]
    portal.open("/accounts/")
    portal.page.get_by_label("Name", exact=True).fill(f"on the {look} page")
    portal.page.get_by_role("button", name="Make a token").click()
    expect(portal.page.get_by_text("Copy its text now")).to_be_visible()
    portal.page.evaluate(AXE)
    assert portal.page.evaluate(FIND) == []


def test_the_sign_in_page_is_sound(playwright: Playwright, site: Site, tmp_path: Path) -> None:
    for look, options in LOOKS.items():
        with chromium(playwright, tmp_path / look, site.url, **options) as portal:
            portal.open("/accounts/login/")
            portal.page.evaluate(AXE)
            assert portal.page.evaluate(FIND) == []


def test_rows_of_every_state_are_sound(browsers: dict[str, Portal], tmp_path: Path) -> None:
    portal = browsers["dark"]
    portal.open()
    portal.slow_down(1024**2)
    paths = [tmp_path / name for name in ("sent.bam", "paused.bam", "large.bam")]
    for path in paths:
        with path.open("wb") as out:
            out.truncate(13 * 1024**3 if path.stem == "large" else 8 * 1024**2)
    portal.choose(*paths)
    portal.wait_for_percent("paused.bam", 1)
    portal.press("paused.bam", "Pause")
    portal.wait_for("large.bam", "refused")
    portal.page.evaluate(AXE)
    assert portal.page.evaluate(FIND) == []
    for name in ("sent.bam", "paused.bam"):
        portal.press(name, "Cancel")
    portal.slow_down(0)


def test_the_keyboard_alone_suffices(browsers: dict[str, Portal], tmp_path: Path) -> None:
    portal = browsers["light"]
    path = tmp_path / "typed.bam"
    path.write_bytes(b"x" * 1000)
    portal.open()
    _tab_to(portal, "files")
    with portal.page.expect_file_chooser() as chooser:
        portal.page.keyboard.press("Enter")
    chooser.value.set_files(path)
    portal.wait_for(path.name, "done")
    portal.row(path.name).get_by_role("button", name="Hide").focus()
    portal.page.keyboard.press("Enter")
    expect(portal.row(path.name)).to_have_count(0)


def _tab_to(portal: Portal, element: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(30):
        portal.page.keyboard.press("Tab")
        if portal.page.evaluate("document.activeElement.id") == element:
            return
    raise AssertionError(json.dumps({"not reached by Tab": element}))


def test_who_wants_no_motion_gets_none(
    playwright: Playwright, site: Site, staff: str, tmp_path: Path
) -> None:
    for motion, expected in (("reduce", "0s"), ("no-preference", "0.15s")):
        with chromium(playwright, tmp_path / motion, site.url, reduced_motion=motion) as portal:
            portal.sign_in(staff, PASSWORD)
            script = (
                "getComputedStyle(document.querySelector('.zone')).transitionDuration.split(',')[0]"
            )
            assert portal.page.evaluate(script) == expected
