"""/files/ over HTTP/1.1, HTTP/2 and HTTP/3, with curl and TLS: uploads that are cut, and go on."""

import json
import secrets
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.rufh import PARTIAL
from tests.stack import HOST, Stack, needs_nginx
from tests.stack_tus import CHUNK, NAME, TUS, wait_until
from uploads import partials
from uploads.models import State, Upload

pytestmark = [pytest.mark.django_db(transaction=True), needs_nginx]

type Listing = Callable[[], list[Path]]

CONTENT = secrets.token_bytes(3_000_000)
SENT = 1_000_000


@dataclass(frozen=True)
class Curl:
    """Sends requests in one version of HTTP, and in no other."""

    stack: Stack
    option: str
    version: str

    def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> tuple[int, dict[str, list[str]]]:
        """Send a request; return the status and the headers of the answer."""
        command = self._command(method, url, headers, has_body=body is not None)
        answer = subprocess.run(command, input=body, capture_output=True, check=True, timeout=60)
        status, version, fields = answer.stdout.decode().split(" ", 2)
        assert version == self.version
        return int(status), json.loads(fields)

    def send_and_die(self, url: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send a part of a body, and end when some of it has arrived."""
        path = partials.path_of(Upload.objects.get().id)
        command = self._command("PATCH", url, headers, has_body=True)
        with subprocess.Popen(command, stdin=subprocess.PIPE) as curl:
            assert curl.stdin is not None
            curl.stdin.write(body)
            curl.stdin.flush()
            wait_until(lambda: path.stat().st_size > 0)
            curl.kill()

    def _command(
        self, method: str, url: str, headers: Mapping[str, str], *, has_body: bool
    ) -> list[str]:
        sent = [f"{name}: {value}" for name, value in {**self.stack.headers, **headers}.items()]
        return [
            *("curl", "--silent", "--show-error", self.option, "--output", "/dev/null"),
            *("--resolve", f"{HOST}:{self.stack.tls_port}:127.0.0.1"),
            *("--cacert", str(self.stack.directory / "tls.crt")),
            *("--write-out", "%{http_code} %{http_version} %{header_json}"),
            *(argument for header in sent for argument in ("--header", header)),
            *(["--head"] if method == "HEAD" else ["--request", method]),
            # A dot: what has come is sent while more of it may come.
            *(["--upload-file", "."] if has_body else []),
            f"https://{HOST}:{self.stack.tls_port}{url}",
        ]


@pytest.fixture(params=[("--http1.1", "1.1"), ("--http2", "2"), ("--http3-only", "3")])
def curl(stack: Stack, request: pytest.FixtureRequest) -> Curl:
    """Return the owner's client in each version."""
    return Curl(stack, *request.param)


def _address(fields: Mapping[str, list[str]]) -> str:
    (location,) = fields["location"]
    # The port included, so that a client finds its way back.
    origin, _, path = location.partition("/files/")
    assert origin.startswith(f"https://{HOST}")
    return f"/files/{path}"


def test_a_tus_upload_that_is_cut_goes_on(curl: Curl, stored: Listing) -> None:
    length = {"Upload-Length": str(len(CONTENT))}
    status, fields = curl.send("POST", "/files/", {**TUS, **NAME, **length})
    assert status == 201
    url = _address(fields)
    curl.send_and_die(url, {**CHUNK, "Upload-Offset": "0"}, CONTENT[:SENT])
    status, fields = curl.send("HEAD", url, TUS)
    (offset,) = map(int, fields["upload-offset"])
    assert (status, fields["tus-resumable"]) == (200, ["1.0.0"])
    assert 0 < offset <= SENT
    headers = {**CHUNK, "Upload-Offset": str(offset)}
    status, fields = curl.send("PATCH", url, headers, CONTENT[offset:])
    assert (status, fields["upload-offset"]) == (204, [str(len(CONTENT))])
    assert [path.read_bytes() for path in stored()] == [CONTENT]


def test_an_ietf_upload_that_is_cut_goes_on(curl: Curl, stored: Listing) -> None:
    length = {"Upload-Length": str(len(CONTENT))}
    status, fields = curl.send("POST", "/files/run.bam", {"Upload-Complete": "?0", **length})
    assert (status, fields["upload-complete"]) == (201, ["?0"])
    url = _address(fields)
    headers = {**PARTIAL, "Upload-Complete": "?1"}
    curl.send_and_die(url, {**headers, "Upload-Offset": "0"}, CONTENT[:SENT])
    status, fields = curl.send("HEAD", url, {})
    (offset,) = map(int, fields["upload-offset"])
    assert (status, fields["upload-complete"]) == (204, ["?0"])
    assert 0 < offset <= SENT
    wrong = {**headers, "Upload-Offset": str(offset + 1)}
    status, fields = curl.send("PATCH", url, wrong, CONTENT[offset:])
    assert (status, fields["upload-complete"]) == (409, ["?0"])
    assert fields["upload-offset"] == [str(offset)]
    status, fields = curl.send(
        "PATCH", url, {**headers, "Upload-Offset": str(offset)}, CONTENT[offset:]
    )
    assert (status, fields["upload-complete"]) == (201, ["?1"])
    assert [path.read_bytes() for path in stored()] == [CONTENT]
    assert Upload.objects.get().state == State.COMPLETE
