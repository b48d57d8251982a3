"""The portal in a browser, over TLS: send a file, be interrupted, and see its SHA-256."""

from __future__ import annotations

import hashlib
import itertools
import re
import secrets
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients.browser import COMPLETE, Portal, chromium
from conftest import PASSWORD
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Site
    from playwright.sync_api import Playwright

MIB = 1024**2
GIB = 1024**3
# For pkill, and of this nginx alone: its master is the container's first process.
NGINX_WORKERS = "--parent $(docker inspect -f '{{.State.Pid}}' upload-nginx)"
SHA256 = re.compile(r"SHA-256 ([0-9a-f]{64})")


@pytest.fixture
def browse(
    playwright: Playwright, site: Site, tmp_path: Path, pia: str
) -> Iterator[Callable[..., Portal]]:
    """Start a browser of its own, signed in; its complaints fail the test at the end."""
    started: list[Portal] = []
    with ExitStack() as browsers:

        def start(name: str = pia, **options: Any) -> Portal:
            profile = tmp_path / f"profile-{len(started)}"
            portal = browsers.enter_context(chromium(playwright, profile, site.url, **options))
            portal.sign_in(name, PASSWORD)
            started.append(portal)
            return portal

        yield start
        assert [portal.complaints for portal in started] == [[] for _ in started]


@pytest.fixture
def portal(browse: Callable[..., Portal]) -> Portal:
    """The page with the drop zone."""
    return browse()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Make a file in which no two blocks are alike: a function of its size."""
    folder = tmp_path / "files"
    folder.mkdir()
    numbers = itertools.count()

    def make(size: int) -> Path:
        path = folder / f"run {next(numbers)} of {secrets.token_hex(4)}.bam"
        block = secrets.token_bytes(MIB)
        with path.open("wb") as out:
            for number in range(size // MIB):
                out.write(number.to_bytes(8, "big") + block[8:])
            out.write(block[: size % MIB])
        return path

    yield make
    shutil.rmtree(folder)


def sha256(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def begin(portal: Portal, path: Path, percent: int, speed: int = 100 * MIB) -> None:
    """Send a file at so many bytes a second, until so much of it is sent."""
    portal.slow_down(speed)
    portal.choose(path)
    portal.wait_for_percent(path.name, percent)


def require_complete(portal: Portal, path: Path) -> None:
    """Wait until a file is complete, and compare the SHA-256 that the page shows."""
    text = portal.wait_for(path.name, "done", COMPLETE)
    found = SHA256.search(text)
    assert found, text
    assert found[1] == sha256(path)


def test_two_gib_survive_a_killed_worker(
    host: Any, portal: Portal, file: Callable[[int], Path]
) -> None:
    path = file(2 * GIB)
    begin(portal, path, 10, 200 * MIB)
    assert re.match(r"\d+ % – Upload files", portal.page.title())
    assert re.search(r" of 2\.0 GiB, .* MiB/s, \d+ s left", portal.row(path.name).inner_text())
    host.check_output(f"pkill -KILL {NGINX_WORKERS}")
    assert portal.percent(path.name) < 100
    portal.slow_down(0)
    require_complete(portal, path)
    assert portal.page.title() == "Upload files"


def test_a_file_is_dropped(portal: Portal) -> None:
    name = f"{secrets.token_hex(4)}.txt"
    transfer = portal.page.evaluate_handle(
        "name => { const data = new DataTransfer();"
        " data.items.add(new File(['dropped'], name)); return data }",
        name,
    )
    for event in ("dragover", "drop"):
        portal.page.dispatch_event(".zone", event, {"dataTransfer": transfer})
    text = portal.wait_for(name, "done")
    assert hashlib.sha256(b"dropped").hexdigest() in text


def test_a_folder_is_sent_with_its_files(portal: Portal, file: Callable[[int], Path]) -> None:
    paths = [file(MIB), file(2 * MIB)]
    portal.page.set_input_files("#folder", paths[0].parent)
    for path in paths:
        assert portal.row(path.name).locator(".name").inner_text() == f"files/{path.name}"
        require_complete(portal, path)


@pytest.mark.parametrize("where", ["in a new tab", "on another device"])
def test_at_forty_percent_the_page_is_closed_and_it_goes_on(
    browse: Callable[..., Portal], file: Callable[[int], Path], where: str
) -> None:
    path = file(512 * MIB)
    first = browse()
    begin(first, path, 40)
    if where == "in a new tab":
        second = first.another_page()
        first.page.close()
        second.open()
    else:
        first.page.close()
        second = browse()
    assert "Choose the same file again" in second.wait_for(path.name, "unfinished")
    assert second.percent(path.name) >= 30
    with second.page.expect_request(lambda request: request.method == "PATCH") as sent:
        second.choose(path)
    assert int(sent.value.headers["upload-offset"]) >= 0.3 * path.stat().st_size
    require_complete(second, path)
    assert second.page.locator("#transfers li").count() == 1


# Chromium keeps a small file itself, and would send it again; the other one it would ask for.
@pytest.mark.parametrize("size", [MIB, 16 * MIB])
def test_a_file_that_is_complete_when_the_page_is_left_is_over(
    browse: Callable[..., Portal], file: Callable[[int], Path], size: int
) -> None:
    path = file(size)
    first = browse()
    first.page.clock.install()
    first.open()
    # What the page writes down a moment later it never does.
    first.page.clock.pause_at(first.page.evaluate("Date.now()") / 1000 + 60)
    first.choose(path)
    require_complete(first, path)
    second = first.another_page()
    first.page.close()
    second.open()
    second.page.wait_for_load_state("networkidle")
    expect(second.row(path.name)).to_have_count(0)


def test_a_browser_that_was_ended_asks_for_the_file_again(
    playwright: Playwright, site: Site, pia: str, file: Callable[[int], Path], tmp_path: Path
) -> None:
    path = file(512 * MIB)
    with chromium(playwright, tmp_path / "profile", site.url) as portal:
        portal.sign_in(pia, PASSWORD)
        begin(portal, path, 40)
    with chromium(playwright, tmp_path / "profile", site.url) as portal:
        portal.open()
        portal.wait_for(path.name, "unfinished")
        with portal.page.expect_request(lambda request: request.method == "PATCH") as sent:
            portal.choose(path)
        assert int(sent.value.headers["upload-offset"]) >= 0.3 * path.stat().st_size
        require_complete(portal, path)


def test_another_file_of_that_name_does_not_continue_it(
    browse: Callable[..., Portal], file: Callable[[int], Path]
) -> None:
    path = file(512 * MIB)
    first = browse()
    begin(first, path, 10)
    first.page.close()
    path.write_bytes(b"something else")
    second = browse()
    second.wait_for(path.name, "unfinished")
    second.choose(path)
    expect(second.row(path.name)).to_have_count(2)
    states = [row.get_attribute("data-state") for row in second.row(path.name).all()]
    assert states[0] == "unfinished"
    expect(second.row(path.name).nth(1)).to_have_attribute("data-state", "done")
    second.row(path.name).first.get_by_role("button", name="Cancel").click()
    expect(second.row(path.name)).to_have_count(1)
    third = browse()
    expect(third.row(path.name)).to_have_count(0)


def test_pause_stops_it_and_resume_goes_on(portal: Portal, file: Callable[[int], Path]) -> None:
    path = file(512 * MIB)
    begin(portal, path, 20)
    portal.press(path.name, "Pause")
    assert portal.wait_for(path.name, "paused").startswith("Paused at ")
    offsets = [offset_of(portal, path.name) for _ in range(5)]
    assert 0 < offsets[0] < path.stat().st_size
    assert len(set(offsets[1:])) == 1
    with portal.page.expect_request(lambda request: request.method == "PATCH") as sent:
        portal.press(path.name, "Resume")
    assert int(sent.value.headers["upload-offset"]) == offsets[-1]
    require_complete(portal, path)


def offset_of(portal: Portal, name: str) -> int:
    """Return how many bytes the server says it has."""
    uploads = portal.page.evaluate(
        "async () => (await (await fetch('/uploads/?state=receiving',"
        " {headers: {Accept: 'application/json'}})).json()).uploads"
    )
    [offset] = [upload["offset"] for upload in uploads if upload["name"] == name]
    return int(offset)


def test_cancel_leaves_nothing(host: Any, portal: Portal, file: Callable[[int], Path]) -> None:
    files = "find /srv/upload -type f | sort"
    before = host.check_output(files)
    path = file(512 * MIB)
    begin(portal, path, 10)
    with portal.page.expect_response(lambda answer: answer.request.method == "DELETE") as ended:
        portal.press(path.name, "Cancel")
    assert ended.value.status == 204
    expect(portal.row(path.name)).to_have_count(0)
    assert host.check_output(files) == before


def test_a_network_that_is_gone_comes_back(portal: Portal, file: Callable[[int], Path]) -> None:
    path = file(512 * MIB)
    begin(portal, path, 10)
    portal.context.set_offline(offline=True)
    expect(portal.row(path.name).locator(".state")).to_contain_text("You are offline")
    portal.context.set_offline(offline=False)
    require_complete(portal, path)


def test_a_connection_that_brings_nothing_is_given_up_for_another(
    host: Any, portal: Portal, file: Callable[[int], Path]
) -> None:
    path = file(128 * MIB)
    portal.page.clock.install()
    portal.open()
    begin(portal, path, 10, 50 * MIB)
    host.check_output(f"pkill -STOP {NGINX_WORKERS}")
    try:
        portal.wait_until_nothing_moves(path.name)
        portal.page.clock.run_for(10_000)
        assert "Nothing has moved for" in portal.row(path.name).inner_text()
        with portal.page.expect_request(lambda request: request.method == "PATCH"):
            portal.page.clock.run_for(60_000)
            host.check_output(f"pkill -CONT {NGINX_WORKERS}")
    finally:
        host.run(f"pkill -CONT {NGINX_WORKERS}")
    require_complete(portal, path)


def test_leaving_in_the_middle_asks_first(portal: Portal, file: Callable[[int], Path]) -> None:
    path = file(256 * MIB)
    portal.slow_down(50 * MIB)
    # Chromium asks only for who has done something on the page.
    portal.page.locator(".zone").hover()
    portal.page.keyboard.press("Shift")
    portal.choose(path)
    portal.wait_for_percent(path.name, 10)
    asked = []
    portal.page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
    portal.page.close(run_before_unload=True)
    portal.wait_for_percent(path.name, 20)
    assert asked == ["beforeunload"]
    portal.slow_down(0)
    require_complete(portal, path)


def test_a_file_over_the_limit_is_refused_with_numbers(portal: Portal, tmp_path: Path) -> None:
    path = tmp_path / "large.img"
    with path.open("wb") as out:
        out.truncate(13 * GIB)
    portal.choose(path)
    text = portal.wait_for(path.name, "refused")
    assert "it has 13.0 GiB, at most 12.0 GiB are allowed" in text


def test_a_full_disk_is_told_with_numbers(
    host: Any, portal: Portal, file: Callable[[int], Path]
) -> None:
    path = file(2 * GIB)
    # A GiB is never given away, so one is left for uploads.
    blocks = host.check_output("stat --file-system --format '%a %S' /srv/upload").split()
    filler = int(blocks[0]) * int(blocks[1]) - 2 * GIB
    host.check_output(f"fallocate --length {filler} /srv/upload/tmp/filler")
    try:
        portal.choose(path)
        text = portal.wait_for(path.name, "failed")
    finally:
        host.check_output("rm /srv/upload/tmp/filler")
    assert re.search(r"it has 2\.0 GiB, .* are free on the server\. Delete files", text)
    portal.press(path.name, "Retry")
    require_complete(portal, path)


def test_who_is_signed_out_is_told_where_to_sign_in(
    portal: Portal, file: Callable[[int], Path]
) -> None:
    path = file(MIB)
    portal.context.clear_cookies()
    portal.choose(path)
    text = portal.wait_for(path.name, "failed")
    assert text.startswith("You are signed out.")
    link = portal.row(path.name).get_by_role("link")
    assert (link.get_attribute("href") or "").startswith("/accounts/login/")


def test_a_file_that_is_being_sent_elsewhere_is_told_so(
    browse: Callable[..., Portal], file: Callable[[int], Path]
) -> None:
    path = file(512 * MIB)
    first = browse()
    begin(first, path, 1, 4 * MIB)
    second = browse()
    second.wait_for(path.name, "unfinished")
    second.choose(path)
    assert "from somewhere else" in second.wait_for(path.name, "failed", COMPLETE)
    second.page.close()
    first.slow_down(0)
    require_complete(first, path)


def test_somebody_elses_file_is_not_there(
    browse: Callable[..., Portal], account: Callable[..., str], file: Callable[[int], Path]
) -> None:
    path = file(MIB)
    portal = browse()
    portal.choose(path)
    require_complete(portal, path)
    address = portal.row(path.name).get_by_role("link").get_attribute("href") or ""
    stranger = browse(account("sam"))
    answer = stranger.page.goto(stranger.url + address)
    assert answer is not None
    assert answer.status == 404
    stranger.open("/uploads/")
    assert path.name not in stranger.page.content()
    own = portal.page.goto(portal.url + address)
    assert own is not None
    assert own.status == 200
    assert sha256(path) in portal.page.content()


def test_without_javascript_the_form_does_it(
    browse: Callable[..., Portal], file: Callable[[int], Path]
) -> None:
    path = file(3 * MIB)
    portal = browse(java_script_enabled=False)
    portal.choose(path)
    portal.page.get_by_role("button", name="Upload").click()
    portal.page.wait_for_url("**/uploads/**")
    assert path.name in portal.page.content()
    assert sha256(path)[:8] in portal.page.content()
