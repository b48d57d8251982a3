"""The clients that people use, each as a function of a job; nothing here knows what is right."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import requests
from tusclient import client as tusclient
from tusclient.exceptions import TusCommunicationError

if TYPE_CHECKING:
    from playwright.sync_api import Page

HERE = Path(__file__).resolve().parent
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = {**TUS, "Content-Type": "application/offset+octet-stream"}


@dataclass(frozen=True)
class Job:
    """One file to send: a new upload at `endpoint`, or the rest of the one at `url`.

    After `retries` failures the client gives up. When it knows the offset of an empty upload,
    somebody else sends the first `behind` bytes, so that it is wrong. `checksum` is the
    Upload-Checksum of its PATCH. The file goes in so many `parts` at once, if the client can.
    """

    file: str
    endpoint: str | None
    token: str
    url: str | None = None
    retries: int = 0
    behind: int = 0
    checksum: str = ""
    parts: int = 1

    @property
    def authorization(self) -> dict[str, str]:
        """The header with the token."""
        return {"Authorization": f"Bearer {self.token}"}

    def begin_behind_its_back(self, url: str) -> None:
        """Send the first bytes, as somebody else."""
        if self.behind:
            headers = {**self.authorization, **CHUNK, "Upload-Offset": "0"}
            with Path(self.file).open("rb") as file:
                requests.patch(url, file.read(self.behind), headers=headers, timeout=60)


@dataclass(frozen=True)
class Outcome:
    """Where the upload is, and the status that ended it: 0 is success, -1 no answer."""

    url: str
    status: int
    reason: str


class Driver(Protocol):
    """A client."""

    def __call__(self, job: Job) -> Outcome:
        """Send the file."""
        ...


class TusJsClient:
    """tus-js-client in node."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    def __call__(self, job: Job) -> Outcome:
        """Run node.js."""
        result = subprocess.run(
            ["node", HERE / "node.js"], input=json.dumps(asdict(job)), env=self._environment,
            capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
        return Outcome(**json.loads(result.stdout))


class Uppy:
    """Uppy in a browser, on a page that is open already."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def __call__(self, job: Job) -> Outcome:
        """Choose the file and let the page send it."""
        self._page.set_input_files("input", job.file)
        return Outcome(**self._page.evaluate("job => run(job)", asdict(job)))


class Tuspy:
    """tuspy, which trusts what REQUESTS_CA_BUNDLE names."""

    def __call__(self, job: Job) -> Outcome:
        """Send the file in one piece."""
        client = tusclient.TusClient(job.endpoint, headers=job.authorization)
        uploader: Any = None
        try:
            uploader = client.uploader(
                job.file, url=job.url, retries=job.retries, retry_delay=0,
                metadata={"filename": Path(job.file).name},
            )  # fmt: skip
            if uploader.url is None:
                uploader.set_url(uploader.create_url())
            job.begin_behind_its_back(uploader.url)
            if job.checksum:
                client.set_headers({"Upload-Checksum": job.checksum})
            uploader.upload()
        except TusCommunicationError as error:
            url = uploader.url if uploader else job.url
            return Outcome(url or "", error.status_code or -1, str(error))
        return Outcome(uploader.url, 0, "")


class Curl:
    """curl, asked for the offset and run again until all is there."""

    def __init__(self, ca_file: str, version: str) -> None:
        """Take the CA's file and the version of HTTP, as curl's options spell it."""
        self._ca_file = ca_file
        self._version = version

    def __call__(self, job: Job) -> Outcome:
        """Create the upload, and append to it as often as it takes."""
        url = job.url
        if url is None:
            size = Path(job.file).stat().st_size
            head, failure = self._run(job, "POST", job.endpoint, f"Upload-Length: {size}")
            if failure:
                return failure
            url = _header(head, "location")
        for retry in itertools.count():
            head, failure = self._run(job, "HEAD", url)
            if not failure:
                offset = _header(head, "upload-offset")
                if offset == _header(head, "upload-length"):
                    break
                if retry == 0:
                    job.begin_behind_its_back(url)
                _, failure = self._patch(job, url, int(offset))
            if failure and retry == job.retries:
                return failure
        return Outcome(url, 0, "")

    def _patch(self, job: Job, url: str, offset: int) -> tuple[str, Outcome | None]:
        headers = [f"Content-Type: {CHUNK['Content-Type']}", f"Upload-Offset: {offset}", "Expect:"]
        headers += [f"Upload-Checksum: {job.checksum}"] if job.checksum else []
        with Path(job.file).open("rb") as file:
            file.seek(offset)
            return self._run(job, "PATCH", url, *headers, body=file)

    def _run(
        self, job: Job, method: str, url: str, *headers: str, body: Any = None
    ) -> tuple[str, Outcome | None]:
        """Send a request; return the head of the answer, or what went wrong."""
        sent = [f"Authorization: Bearer {job.token}", "Tus-Resumable: 1.0.0", *headers]
        options = [option for header in sent for option in ("--header", header)]
        options += ["--head"] if method == "HEAD" else ["--request", method, "--output", "-"]
        options += ["--upload-file", "-"] if body else []
        result = subprocess.run(
            ["curl", "--silent", "--show-error", "--fail", "--cacert", self._ca_file,
             f"--http{self._version}", "--dump-header", "-", *options, url],
            stdin=body or subprocess.DEVNULL, capture_output=True, check=False, timeout=300,
        )  # fmt: skip
        reason = result.stderr.decode()
        head = result.stdout.decode("latin-1")
        assert not head or f"\nHTTP/{self._version} " in f"\n{head}", head
        if result.returncode == 0:
            return head, None
        found = re.search(r"returned error: ([0-9]{3})", reason)
        return "", Outcome(job.url or "", int(found[1]) if found else -1, reason)


def _header(head: str, name: str) -> str:
    found = re.search(rf"(?im)^{name}: *(.*?)\r?$", head)
    assert found, head
    return found[1]
