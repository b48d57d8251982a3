"""Clients that people use, against the deployed service: whole, cut fifty times, and refused."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import secrets
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from clients.browser import OPTIONS
from clients.drivers import HERE, Curl, Driver, Job, Outcome, TusJsClient, Tuspy, Uppy
from clients.proxy import CuttingProxy
from conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Site
    from playwright.sync_api import Page, Playwright

MIB = 1024**2
CUTS = 50
# Below it a cut would hit mostly handshakes and the heads of requests.
LEAST = 16384
INCOMING = "find /srv/upload/incoming -type f | sort"
# Another origin, which the site allows; no such host is needed.
PORTAL = "https://portal.test/"
PAGE = "<!doctype html><title>Uppy</title><input type=file><script>{script}</script>"
# The proxy is on this machine.
NEARBY = "--disable-features=LocalNetworkAccessChecks"


@pytest.fixture(scope="module")
def proxy(site: Site) -> Iterator[CuttingProxy]:
    """The way to the service; it cuts nothing unless it is told to."""
    with CuttingProxy(site.host, site.port) as running:
        yield running


@pytest.fixture(scope="module")
def endpoint(proxy: CuttingProxy) -> str:
    """Where uploads are created, through the proxy."""
    return f"https://127.0.0.1:{proxy.port}/files/"


@pytest.fixture(scope="module")
def chromium(
    playwright: Playwright, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Page]]:
    """Open a page with Uppy on another origin, in Chromium: a function of further options."""
    bundle = tmp_path_factory.mktemp("uppy") / "uppy.js"
    subprocess.run(
        [HERE / "node_modules/.bin/esbuild", HERE / "uppy.js", "--bundle", "--log-level=warning",
         f"--outfile={bundle}"],
        check=True,
    )  # fmt: skip
    content = PAGE.format(script=bundle.read_text().replace("</script", "<\\/script"))
    with ExitStack() as stack:

        def launch(*options: str) -> Page:
            browser = playwright.chromium.launch_persistent_context(
                tmp_path_factory.mktemp("profile"),
                executable_path="/usr/bin/chromium", args=[*OPTIONS, NEARBY, *options],
                headless=True, ignore_https_errors=True,  # the private CA is not the browser's
            )  # fmt: skip
            stack.callback(browser.close)
            opened = browser.pages[0]
            opened.route(
                PORTAL, lambda route: route.fulfill(body=content, content_type="text/html")
            )
            opened.goto(PORTAL)
            # A browser that asks the test about every request sends bodies another way.
            opened.unroute_all()
            return opened

        yield launch


@pytest.fixture(scope="module")
def page(chromium: Callable[..., Page]) -> Page:
    """Uppy in Chromium as it is."""
    return chromium()


@pytest.fixture(scope="module")
def http1_page(chromium: Callable[..., Page]) -> Page:
    """Uppy in Chromium over HTTP/1.1.

    Over HTTP/2 Chromium forgets a request when the connection that it shares ends a moment after
    it was made: docs/protocols.md.
    """
    return chromium("--disable-http2")


@pytest.fixture(params=["tus-js-client", "uppy", "tuspy", "curl", "curl, HTTP/2"])
def client(request: pytest.FixtureRequest, site: Site, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """Each client, one after the other."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", site.ca_file)
    if request.param.startswith("uppy"):
        name = "http1_page" if request.param.endswith("HTTP/1.1") else "page"
        return Uppy(request.getfixturevalue(name))
    if request.param == "tus-js-client":
        return TusJsClient({**os.environ, "NODE_EXTRA_CA_CERTS": site.ca_file})
    if request.param == "tuspy":
        return Tuspy()
    return Curl(site.ca_file, "2" if request.param.endswith("HTTP/2") else "1.1")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Some MiB that are like no others."""
    path = tmp_path / "run 7.bam"
    path.write_bytes(secrets.token_bytes(4 * MIB + 17))
    return path


@pytest.fixture
def job(file: Path, endpoint: str, site: Site) -> Callable[..., Job]:
    """A job of that file: a function of what is special about it."""

    def make(**changes: Any) -> Job:
        known = {"file": str(file), "endpoint": endpoint, "token": site.token}
        return Job(**{**known, **changes})

    return make


@pytest.fixture
def begin(site: Site, file: Path, endpoint: str) -> Iterator[Callable[[int], str]]:
    """Begin an upload of that file: a function of how many bytes are there, to its address.

    What the test leaves unfinished is deleted.
    """
    paths = []

    def create(length: int) -> str:
        head = site.head(
            "Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream",
            f"Upload-Length: {file.stat().st_size}", f"Content-Length: {length}", path="/files/",
        )  # fmt: skip
        answer = site.exchange(head, file.read_bytes()[:length])
        assert answer.status == 201, answer
        paths.append(path_of(answer.headers["location"]))
        return endpoint.removesuffix("/files/") + paths[-1]

    yield create
    for path in paths:
        site.request("DELETE", path, "Tus-Resumable: 1.0.0")


@pytest.fixture
def begun(begin: Callable[[int], str]) -> str:
    """The address of an upload of that file whose first MiB is there."""
    return begin(MIB)


@pytest.fixture(scope="module")
def stranger(host: Any) -> str:
    """The token of somebody else."""
    manage = "docker exec upload-app python manage.py"
    host.check_output(f"{manage} ensure_user sam")
    return str(host.check_output(f"{manage} create_token --user sam --name {secrets.token_hex(4)}"))


def path_of(url: str) -> str:
    return "/files/" + url.rsplit("/", 1)[1]


def offset(site: Site, url: str) -> int:
    answer = site.request("HEAD", path_of(url), "Tus-Resumable: 1.0.0")
    assert answer.status == 200, answer
    return int(answer.headers["upload-offset"])


def checksum(content: bytes) -> str:
    """Return an Upload-Checksum."""
    return f"sha256 {base64.b64encode(hashlib.sha256(content).digest()).decode()}"


def assert_was_joined(host: Any, outcome: Outcome, parts: int) -> None:
    """Check that an upload came in that many parts."""
    upload = outcome.url.rsplit("/", 1)[1]
    code = (
        "from uploads.models import Upload;"
        f"print(Upload.objects.filter(joined_to='{upload}').count())"
    )
    shell = f'docker exec upload-app python manage.py shell --no-imports -c "{code}"'
    assert host.check_output(shell) == str(parts)


@pytest.fixture
def cuts(proxy: CuttingProxy, file: Path) -> Callable[[], int]:
    """Let the proxy cut at random offsets of that file; returns how often it did."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # for whoever has to repeat it
    most = 2 * (file.stat().st_size // CUTS) - LEAST
    chance = random.Random(seed)  # noqa: S311 - no secret
    proxy.cut_after(chance.randrange(LEAST, most) for _ in range(CUTS))
    return lambda: proxy.cuts


@pytest.fixture
def assert_is_whole(host: Any, site: Site, file: Path) -> Callable[[Outcome], None]:
    """Check that an upload ended well, and that disk and record have what was sent."""

    def check(outcome: Outcome) -> None:
        assert outcome.status == 0, outcome
        upload = outcome.url.rsplit("/", 1)[1]
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        record = json.loads(site.get(f"/uploads/{upload}").body)
        deadline = time.monotonic() + 30
        while record["state"] == "verifying" and time.monotonic() < deadline:
            record = json.loads(site.get(f"/uploads/{upload}").body)
        assert (record["state"], record["sha256"]) == ("complete", digest)
        stored = f"/srv/upload/files/{upload[:2]}/{upload}"
        assert host.check_output(f"sha256sum {stored}").split()[0] == digest
        assert not host.check_output(f"find /srv/upload/incoming -name '{upload}*'")

    return check


def test_a_file_arrives_whole(
    client: Driver, job: Callable[..., Job], assert_is_whole: Callable[[Outcome], None]
) -> None:
    assert_is_whole(client(job()))


def test_a_file_arrives_whole_through_fifty_interruptions(
    host: Any,
    client: Driver,
    job: Callable[..., Job],
    cuts: Callable[[], int],
    assert_is_whole: Callable[[Outcome], None],
) -> None:
    before = host.check_output(INCOMING)
    outcome = client(job(retries=2 * CUTS))
    assert cuts() == CUTS
    assert_is_whole(outcome)
    # It went on with one upload, and did not begin another.
    assert host.check_output(INCOMING) == before


@pytest.mark.parametrize("client", ["tus-js-client", "uppy"], indirect=True)
def test_parallel_parts_make_a_whole_file(
    host: Any,
    client: Driver,
    job: Callable[..., Job],
    assert_is_whole: Callable[[Outcome], None],
) -> None:
    before = host.check_output(INCOMING)
    outcome = client(job(parts=3))
    assert_is_whole(outcome)
    assert_was_joined(host, outcome, parts=3)
    assert host.check_output(INCOMING) == before


@pytest.mark.parametrize("client", ["tus-js-client", "uppy, HTTP/1.1"], indirect=True)
def test_parallel_parts_make_a_whole_file_through_interruptions(
    host: Any,
    client: Driver,
    job: Callable[..., Job],
    proxy: CuttingProxy,
    assert_is_whole: Callable[[Outcome], None],
) -> None:
    # All of them before the last part ends: these clients do not repeat the request that joins.
    proxy.cut_after([10 * LEAST] * 12)
    outcome = client(job(parts=3, retries=2 * CUTS))
    assert proxy.cuts == 12
    assert_is_whole(outcome)
    assert_was_joined(host, outcome, parts=3)


def test_an_upload_that_another_process_began_is_finished(
    client: Driver, job: Callable[..., Job], begun: str, assert_is_whole: Callable[[Outcome], None]
) -> None:
    outcome = client(job(url=begun))
    assert path_of(outcome.url) == path_of(begun)
    assert_is_whole(outcome)


def test_a_wrong_offset_is_409_and_the_right_one_goes_on(
    site: Site,
    client: Driver,
    job: Callable[..., Job],
    begin: Callable[[int], str],
    assert_is_whole: Callable[[Outcome], None],
) -> None:
    url = begin(0)
    outcome = client(job(url=url, behind=1000))
    assert outcome.status == 409, outcome
    assert offset(site, url) == 1000
    assert_is_whole(client(job(url=url)))
    assert_is_whole(client(job(url=begin(0), behind=1000, retries=3)))


def test_a_wrong_checksum_is_460_and_nothing_is_appended(
    site: Site, client: Driver, job: Callable[..., Job], begun: str
) -> None:
    outcome = client(job(url=begun, checksum=checksum(b"other bytes")))
    assert outcome.status == 460, outcome
    assert offset(site, begun) == MIB


def test_a_right_checksum_is_accepted(
    client: Driver,
    job: Callable[..., Job],
    file: Path,
    begun: str,
    assert_is_whole: Callable[[Outcome], None],
) -> None:
    assert_is_whole(client(job(url=begun, checksum=checksum(file.read_bytes()[MIB:]))))


def test_the_recipe_for_curl_works_as_it_is_written(
    site: Site,
    endpoint: str,
    file: Path,
    proxy: CuttingProxy,
    assert_is_whole: Callable[[Outcome], None],
) -> None:
    section = (ROOT / "docs/clients.md").read_text().split("\n## curl\n")[1].split("\n## ")[0]
    [recipe] = re.findall(r"(?s)```sh\n(.*?)```", section)
    proxy.cut_after([MIB, MIB])
    said = {"SERVER": endpoint.removesuffix("/files/"), "TOKEN": site.token, "FILE": str(file)}
    result = subprocess.run(
        ["sh", "-c", recipe], env={**os.environ, **said, "CURL_CA_BUNDLE": site.ca_file},
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert proxy.cuts == 2
    assert_is_whole(Outcome(result.stdout.strip(), 0, result.stderr))


def test_a_file_over_the_limit_is_413(
    client: Driver, job: Callable[..., Job], tmp_path: Path
) -> None:
    large = tmp_path / "large.bin"
    with large.open("wb") as out:
        out.truncate(13 * 1024 * MIB)
    outcome = client(job(file=str(large)))
    assert outcome.status == 413, outcome


def test_an_expired_upload_is_410(
    client: Driver, job: Callable[..., Job], begun: str, abandon: Callable[[str], None]
) -> None:
    abandon(path_of(begun))
    assert client(job(url=begun, endpoint=None)).status == 410


def test_a_deleted_upload_is_410(
    site: Site, client: Driver, job: Callable[..., Job], begun: str
) -> None:
    assert site.request("DELETE", path_of(begun), "Tus-Resumable: 1.0.0").status == 204
    assert client(job(url=begun, endpoint=None)).status == 410


def test_the_upload_of_another_user_is_404(
    site: Site, client: Driver, job: Callable[..., Job], begun: str, stranger: str
) -> None:
    assert client(job(url=begun, endpoint=None, token=stranger)).status == 404
    assert offset(site, begun) == MIB


@pytest.fixture
def held(
    proxy: CuttingProxy, site: Site, job: Callable[..., Job]
) -> Iterator[Callable[[Callable[[], None]], Outcome]]:
    """Stop an upload in its middle, do something, and let it go on: a function of that."""

    def through(interrupt: Callable[[], None]) -> Outcome:
        proxy.hold_after(2 * MIB)
        sending = pool.submit(Curl(site.ca_file, "1.1"), job(retries=100_000))
        assert proxy.holds.wait(60)
        interrupt()
        proxy.go_on()
        return sending.result(180)

    with ThreadPoolExecutor(1) as pool:
        yield through
        proxy.go_on()


@pytest.mark.parametrize("container", ["upload-nginx", "upload-app"])
def test_an_upload_goes_on_after_a_restart_of_a_container(
    host: Any,
    held: Callable[..., Outcome],
    assert_is_whole: Callable[[Outcome], None],
    container: str,
) -> None:
    before = host.check_output(INCOMING)

    def restart() -> None:
        host.check_output(f"docker restart --time 1 {container}")

    assert_is_whole(held(restart))
    assert host.check_output(INCOMING) == before


def test_an_upload_goes_on_after_the_host_was_killed_and_has_booted(
    host: Any, held: Callable[..., Outcome], assert_is_whole: Callable[[Outcome], None]
) -> None:
    def starts() -> list[str]:
        containers = "docker inspect --format '{{.State.StartedAt}}' upload-nginx upload-app"
        started = f"cut -d' ' -f22 /proc/1/stat; {containers}"
        return list(host.check_output(started).splitlines())

    def reboot() -> None:
        name = host.backend.get_pytest_id().rsplit("/", 1)[1]
        # Shut down in order, it would wait for this upload until nginx_upload_stop_timeout.
        subprocess.run(["docker", "restart", "-t", "0", name], check=True, capture_output=True)

    files, before = host.check_output(INCOMING), starts()
    assert_is_whole(held(reboot))
    assert host.check_output(INCOMING) == files
    assert all(now != then for now, then in zip(starts(), before, strict=True))
