"""The units that timers start run commands that the app has, as often as the site says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from kit import ROOT, evaluate, generate, render_on_site, site

DJANGO = {"clearsessions"}


def job(name: str, **variables: Any) -> dict[str, Any]:
    """Return one of the role's jobs on a site that sets `variables`."""
    seen = site("app", **variables)
    [found] = [job for job in evaluate(seen["__app_jobs"], seen) if job["name"] == name]
    return found


def render(name: str, kind: str, **variables: Any) -> str:
    """Render the unit of a job."""
    found = job(name, **variables)
    return render_on_site("app", f"job.{kind}.j2", __app_job=found, **variables)


def commands(unit: str) -> list[str]:
    return re.findall(
        r"^ExecStart=docker exec upload-app python manage.py (\w+)$", unit, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("name", "first"), [("housekeeping", "expire_uploads"), ("sampling", "record_sample")]
)
def test_a_job_runs_commands_that_the_app_has(name: str, first: str) -> None:
    found = commands(render(name, "service"))
    own = {path.stem for path in (ROOT / "app").glob("*/management/commands/*.py")}
    assert found[0] == first
    assert set(found) <= own | DJANGO


@pytest.mark.parametrize("name", ["housekeeping", "sampling"])
def test_a_job_reaches_nothing_but_the_engine(name: str) -> None:
    unit = render(name, "service").splitlines()
    for line in ("CapabilityBoundingSet=", "PrivateNetwork=true", "ProtectSystem=strict"):
        assert line in unit


def test_a_job_follows_the_name_of_the_site() -> None:
    unit = render("housekeeping", "service", upload_name="files")
    assert "ExecStart=docker exec files-app python manage.py expire_uploads" in unit
    assert "# By hand, to see what it would do: docker exec files-app python" in unit


def test_the_housekeeping_has_the_schedule_of_the_site() -> None:
    timer = render("housekeeping", "timer", app_housekeeping_schedule="*:0/15")
    assert "OnCalendar=*:0/15" in timer.splitlines()
    assert "OnCalendar=hourly" in render("housekeeping", "timer")


def test_the_sampling_runs_every_minute_and_says_so_nowhere() -> None:
    timer = render("sampling", "timer").splitlines()
    assert "OnCalendar=minutely" in timer
    assert "AccuracySec=1s" in timer
    # systemd tells of each start at the level info.
    assert "LogLevelMax=notice" in render("sampling", "service").splitlines()
    assert "LogLevelMax" not in render("housekeeping", "service")


def test_what_takes_the_service_down_knows_every_job() -> None:
    [play] = generate.load(ROOT / "playbooks" / "down.yml")
    seen = site("app")
    names = [job["name"] for job in evaluate(seen["__app_jobs"], seen)]
    assert play["vars"]["jobs"] == names
