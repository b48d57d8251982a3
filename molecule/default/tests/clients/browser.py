"""Chromium as a person uses the site with it; what the pages look like inside stands here alone."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Playwright, expect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import BrowserContext, Locator, Page

OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    # A test that waits for progress must not be put to sleep by a window that nobody sees.
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
)  # fmt: skip
SECONDS = 1000
COMPLETE = 300 * SECONDS


@dataclass
class Portal:
    """A page of the site in one browser, and what the browser complained of."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    @property
    def context(self) -> BrowserContext:
        """The browser."""
        return self.page.context

    def another_page(self) -> Portal:
        """Open a new tab, on nothing yet."""
        return watch(self.context.new_page(), self.url)

    def sign_in(self, name: str, password: str) -> None:
        """Sign in by the form, as a person does; the drop zone follows."""
        self.page.goto(f"{self.url}/accounts/login/?next=/upload")
        self.page.get_by_label("User name").fill(name)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(f"{self.url}/upload")

    def open(self, path: str = "/upload") -> None:
        """Go to a page."""
        self.page.goto(self.url + path)

    def choose(self, *files: Path) -> None:
        """Choose files, as by the dialog that a click on the zone opens."""
        self.page.set_input_files("#files", list(files))

    def row(self, name: str) -> Locator:
        """The row of a file."""
        return self.page.locator("#transfers li").filter(has_text=name)

    def state(self, name: str) -> str:
        """Which state a file's row is in."""
        return self.row(name).get_attribute("data-state") or ""

    def percent(self, name: str) -> int:
        """How much of a file its row says is sent."""
        found = re.match(r"\d+", self.row(name).locator(".percent").inner_text())
        return int(found[0]) if found else 0

    def press(self, name: str, action: str) -> None:
        """Press a button of a file's row."""
        self.row(name).get_by_role("button", name=f"{action} {name}").click()

    def wait_for(self, name: str, state: str, timeout: int = 30 * SECONDS) -> str:
        """Wait until a file's row is in a state; return what it says then."""
        expect(self.row(name)).to_have_attribute("data-state", state, timeout=timeout)
        return self.row(name).locator(".state").inner_text()

    def wait_for_percent(self, name: str, percent: int) -> int:
        """Wait until so much of a file is sent."""
        script = "([bar, least]) => bar.value >= least"
        bar = self.row(name).locator("progress").element_handle()
        self.page.wait_for_function(script, arg=[bar, percent], polling=20, timeout=COMPLETE)
        return self.percent(name)

    def wait_until_nothing_moves(self, name: str) -> None:
        """Wait until what was under way when the line was slowed down has been told."""
        bar, value = self.row(name).locator("progress"), -1.0
        while value != (value := bar.evaluate("bar => bar.value")):
            self.page.wait_for_timeout(SECONDS)

    def slow_down(self, bytes_per_second: int) -> None:
        """Give this page's uploads so much of the line; 0: all of it."""
        session: Any = self.context.new_cdp_session(self.page)
        session.send("Network.enable")
        session.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 0, "downloadThroughput": -1,
             "uploadThroughput": bytes_per_second or -1},
        )  # fmt: skip


def watch(page: Page, url: str) -> Portal:
    """Return a portal that remembers scripts that fail and policies that are violated."""
    portal = Portal(page, url)
    page.on("pageerror", lambda error: portal.complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            portal.complaints.append(message.text)
            if "Content Security Policy" in message.text
            else None
        ),
    )
    return portal


@contextmanager
def chromium(playwright: Playwright, profile: Path, url: str, **options: Any) -> Iterator[Portal]:
    """Run Chromium with a profile, which it leaves as it is at its end."""
    context = playwright.chromium.launch_persistent_context(
        profile, executable_path="/usr/bin/chromium", args=OPTIONS, headless=True,
        ignore_https_errors=True,  # the private CA is not the browser's
        **options,
    )  # fmt: skip
    try:
        yield watch(context.pages[0], url)
    finally:
        context.close()
