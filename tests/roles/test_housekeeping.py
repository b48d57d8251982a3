"""The units that end abandoned uploads run commands that the app has, as often as the site says."""

from __future__ import annotations

import re

from kit import ROOT, render_on_site

DJANGO = {"clearsessions"}
RUN = re.compile(r"^ExecStart=docker exec upload-app python manage.py (\w+)$", re.MULTILINE)


def commands(unit: str) -> list[str]:
    return re.findall(
        r"^ExecStart=docker exec upload-app python manage.py (\w+)$", unit, re.MULTILINE
    )


def test_the_housekeeping_runs_commands_that_the_app_has() -> None:
    found = commands(render_on_site("app", "housekeeping.service.j2"))
    own = {path.stem for path in (ROOT / "app").glob("*/management/commands/*.py")}
    assert found[0] == "expire_uploads"
    assert set(found) <= own | DJANGO


def test_the_housekeeping_reaches_nothing_but_the_engine() -> None:
    unit = render_on_site("app", "housekeeping.service.j2").splitlines()
    for line in ("CapabilityBoundingSet=", "PrivateNetwork=true", "ProtectSystem=strict"):
        assert line in unit


def test_the_housekeeping_follows_the_name_of_the_site() -> None:
    unit = render_on_site("app", "housekeeping.service.j2", upload_name="files")
    assert "ExecStart=docker exec files-app python manage.py expire_uploads" in unit


def test_the_timer_has_the_schedule_of_the_site() -> None:
    timer = render_on_site("app", "housekeeping.timer.j2", app_housekeeping_schedule="*:0/15")
    assert "OnCalendar=*:0/15" in timer.splitlines()
    assert "OnCalendar=hourly" in render_on_site("app", "housekeeping.timer.j2")
