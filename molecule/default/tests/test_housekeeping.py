"""An abandoned upload is ended by the timer's unit, and what a client sees then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Site

UNIT = "upload-app-housekeeping"
TUS = ("Tus-Resumable: 1.0.0", "Content-Type: application/offset+octet-stream")
PIECE = b"x" * 100_000


@pytest.fixture
def abandoned(site: Site, abandon: Callable[[str], None]) -> str:
    """The path of an upload that half of arrived, and nobody came back for."""
    head = site.head(*TUS, "Upload-Length: 200000", f"Content-Length: {len(PIECE)}", path="/files/")
    answer = site.exchange(head, PIECE)
    assert answer.status == 201, answer
    path = "/files/" + answer.headers["location"].rsplit("/", 1)[1]
    abandon(path)
    return path


def test_the_timer_runs_every_hour(host: Any) -> None:
    assert host.service(f"{UNIT}.timer").is_enabled
    assert host.service(f"{UNIT}.timer").is_running
    calendar = host.check_output(f"systemctl show -P TimersCalendar {UNIT}.timer")
    assert "OnCalendar=*-*-* *:00:00" in calendar


def test_an_abandoned_upload_is_shown_by_a_dry_run_and_ended_by_the_unit(
    host: Any, site: Site, abandoned: str
) -> None:
    upload = abandoned.rsplit("/", 1)[1]
    files = f"find /srv/upload/incoming -name '{upload}*'"
    plan = host.check_output("docker exec upload-app python manage.py expire_uploads --dry-run")
    assert f"would expire upload {upload} " in plan
    assert host.check_output(files)

    host.check_output(f"systemctl start {UNIT}.service")
    assert not host.check_output(files)
    assert site.request("HEAD", abandoned, "Tus-Resumable: 1.0.0").status == 410
    assert f"expired upload {upload} " in host.check_output(
        f"journalctl --unit {UNIT} --output cat"
    )
    assert host.check_output(f"systemctl show -P Result {UNIT}.service") == "success"


def test_the_sampling_measures_every_minute_and_the_journal_stays_quiet(host: Any) -> None:
    sampling = "upload-app-sampling"
    assert host.service(f"{sampling}.timer").is_enabled
    assert host.service(f"{sampling}.timer").is_running
    calendar = host.check_output(f"systemctl show -P TimersCalendar {sampling}.timer")
    assert "OnCalendar=*-*-* *:*:00" in calendar
    count = (
        "docker exec upload-app python manage.py shell -v 0 -c"
        " 'from monitoring.models import Sample; print(Sample.objects.count())'"
    )
    before = int(host.check_output(count))
    host.check_output(f"systemctl start {sampling}.service")
    assert int(host.check_output(count)) > before
    assert host.check_output(f"systemctl show -P Result {sampling}.service") == "success"
    assert not host.check_output(f"journalctl --quiet --unit {sampling}.service --output cat")
