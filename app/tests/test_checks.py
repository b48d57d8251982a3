"""System checks: what would fail only at the first upload is said at deployment."""

import os
from pathlib import Path

import pytest
from django.core.checks import CheckMessage
from pytest_django import Settings

from config.environment import Environment
from tests.processes import manage
from uploads.checks import (
    check_directories,
    check_limits,
    check_origins,
    check_static_files,
    check_variables,
)


def _ids(messages: list[CheckMessage]) -> list[str | None]:
    assert all(message.hint for message in messages)
    return [message.id for message in messages]


def test_a_store_that_is_in_order_passes() -> None:
    assert check_directories(None) == check_limits(None) == []


def test_a_missing_directory_is_an_error(settings: Settings, tmp_path: Path) -> None:
    settings.UPLOAD_INCOMING_DIR = tmp_path / "missing"
    settings.UPLOAD_FILES_DIR = tmp_path / "file"
    settings.UPLOAD_FILES_DIR.touch()
    assert _ids(check_directories(None)) == ["uploads.E001", "uploads.E001"]
    assert check_limits(None) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_directory_that_cannot_be_written_is_an_error(settings: Settings) -> None:
    settings.UPLOAD_FILES_DIR.chmod(0o500)
    assert _ids(check_directories(None)) == ["uploads.E002"]


def test_two_file_systems_are_an_error(settings: Settings) -> None:
    settings.UPLOAD_FILES_DIR = Path("/dev/shm")
    assert _ids(check_directories(None)) == ["uploads.E003"]


def test_limits_that_contradict_the_disk_are_found(settings: Settings) -> None:
    settings.UPLOAD_MAX_SIZE = 10**17
    assert _ids(check_limits(None)) == ["uploads.W001"]
    settings.UPLOAD_RESERVE_BYTES = 10**17
    assert _ids(check_limits(None)) == ["uploads.E004"]


def test_a_misspelt_variable_is_a_warning(settings: Settings) -> None:
    settings.ENVIRONMENT = Environment({"UPLOAD_MAXSIZE": "1"})
    assert _ids(check_variables(None)) == ["uploads.W002"]


def test_static_files_that_were_not_collected_are_an_error(
    settings: Settings, tmp_path: Path
) -> None:
    assert check_static_files(None) == []
    settings.STATIC_ROOT = tmp_path / "static"
    assert _ids(check_static_files(None)) == ["uploads.E005"]


@pytest.mark.django_db
def test_a_deployment_passes_every_check_of_django_and_ours() -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


@pytest.mark.django_db
def test_trying_it_without_https_is_pointed_out() -> None:
    done = manage("check", "--deploy", UPLOAD_INSECURE_HTTP="true")
    assert done.returncode == 0
    for name in ("SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE"):
        assert name in done.stderr


@pytest.mark.parametrize("origin", ["https://portal.test", "http://localhost:8080", "*"])
def test_an_origin_as_browsers_send_it_is_in_order(settings: Settings, origin: str) -> None:
    settings.UPLOAD_CORS_ORIGINS = [origin]
    assert check_origins(None) == []


@pytest.mark.parametrize(
    "origin",
    ["https://portal.test/", "https://Portal.test", "portal.test", "https://*.portal.test", "null"],
)
def test_an_origin_that_no_page_of_a_site_has_is_an_error(settings: Settings, origin: str) -> None:
    settings.UPLOAD_CORS_ORIGINS = ["https://good.test", origin]
    [message] = check_origins(None)
    assert _ids([message]) == ["uploads.E006"]
    assert origin in message.msg
