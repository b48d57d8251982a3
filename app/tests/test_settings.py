"""Settings: read strictly from the environment, and closed when something is missing."""

from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.environment import Environment, database
from tests.processes import manage


def test_a_value_or_a_file_with_it_but_not_both(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("  from the file\n")
    assert Environment({"UPLOAD_X": " direct "}).text("UPLOAD_X") == "direct"
    assert Environment({"UPLOAD_X_FILE": str(path)}).text("UPLOAD_X") == "from the file"
    with pytest.raises(ImproperlyConfigured, match="remove one"):
        Environment({"UPLOAD_X": "a", "UPLOAD_X_FILE": str(path)}).text("UPLOAD_X")


def test_a_file_that_cannot_be_read_is_an_error_and_not_a_default(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "missing", tmp_path, empty, binary):
        with pytest.raises(ImproperlyConfigured, match="UPLOAD_X_FILE"):
            Environment({"UPLOAD_X_FILE": str(path)}).text("UPLOAD_X", "default")


def test_what_is_missing_or_empty_is_the_default_or_an_error() -> None:
    for values in ({}, {"UPLOAD_X": ""}, {"UPLOAD_X": "  "}):
        assert Environment(values).text("UPLOAD_X", "default") == "default"
        with pytest.raises(ImproperlyConfigured, match="UPLOAD_X is not set"):
            Environment(values).text("UPLOAD_X")


@pytest.mark.parametrize("value", ["-1", "1.5", "1_000", "10GB", "0x10", "٣", "11", "true"])
def test_a_number_is_digits_within_its_bounds(value: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="from 0 to 10"):
        Environment({"UPLOAD_X": value}).integer("UPLOAD_X", 1, maximum=10)


def test_a_truth_value_is_one_of_few_words() -> None:
    for value, expected in {
        "true": True,
        "YES": True,
        "1": True,
        "False": False,
        "0": False,
    }.items():
        assert Environment({"UPLOAD_X": value}).boolean("UPLOAD_X", default=False) is expected
    assert Environment({}).boolean("UPLOAD_X", default=True) is True
    for value in ("on please", "2", "tru"):
        with pytest.raises(ImproperlyConfigured, match="true or false"):
            Environment({"UPLOAD_X": value}).boolean("UPLOAD_X", default=False)


def test_lists_and_paths_are_strict_too() -> None:
    assert Environment({"UPLOAD_X": "a, b,,c "}).words("UPLOAD_X") == ["a", "b", "c"]
    with pytest.raises(ImproperlyConfigured, match="commas"):
        Environment({"UPLOAD_X": ","}).words("UPLOAD_X")
    with pytest.raises(ImproperlyConfigured, match="absolute"):
        Environment({"UPLOAD_X": "files"}).path("UPLOAD_X", "/srv")


def test_a_short_secret_is_refused_without_showing_it() -> None:
    with pytest.raises(ImproperlyConfigured, match="7 characters") as error:
        Environment({"UPLOAD_X": "hunter2"}).secret("UPLOAD_X", 50)
    assert "hunter2" not in str(error.value)


def test_a_misspelt_variable_is_found() -> None:
    environment = Environment({"UPLOAD_MAXSIZE": "1", "UPLOAD_MAX_SIZE_FILE": "", "HOME": "/"})
    environment.integer("UPLOAD_MAX_SIZE", 0)
    assert environment.unknown() == ["UPLOAD_MAXSIZE"]


def test_sqlite_is_durable_and_patient() -> None:
    found: dict[str, Any] = database("sqlite:////var/lib/app/db.sqlite3", 8)
    assert found["NAME"] == "/var/lib/app/db.sqlite3"
    assert found["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "synchronous=FULL" in found["OPTIONS"]["init_command"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://us%40er:p%2Fw@db.test:5433/upload?sslmode=verify-full",
            ("us@er", "p/w", "db.test", "5433", "upload", "verify-full"),
        ),
        (
            "postgresql:///upload?host=/run/postgresql",
            ("", "", "/run/postgresql", "", "upload", None),
        ),
        (
            "postgres://app@%2Frun%2Fpostgresql/upload",
            ("app", "", "/run/postgresql", "", "upload", None),
        ),
    ],
)
def test_postgresql_is_reached_by_name_or_socket(
    url: str, expected: tuple[str | None, ...]
) -> None:
    found: dict[str, Any] = database(url, 8)
    names = ("USER", "PASSWORD", "HOST", "PORT", "NAME")
    assert (*(found[name] for name in names), found["OPTIONS"].get("sslmode")) == expected
    assert found["OPTIONS"]["pool"]["max_size"] == 8


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@host/name",
        "sqlite://db.sqlite3",
        "sqlite:///relative",
        "postgresql://u:hunter2@host:port/name",
        "postgresql://u:hunter2@host/",
        "postgresql://u:hunter2@[host/name",
        "hunter2",
    ],
)
def test_a_malformed_database_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="UPLOAD_DATABASE_URL") as error:
        database(url, 8)
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["UPLOAD_SECRET_KEY", "UPLOAD_ALLOWED_HOSTS", "UPLOAD_DATABASE_URL"]
)
def test_what_has_no_default_stops_the_start_with_one_line(name: str) -> None:
    for command in ("check", "migrate", "ensure_user"):
        done = manage(command, **{name: None})
        assert done.returncode == 78
        assert done.stdout == ""
        [line] = done.stderr.splitlines()
        assert f"{name} is not set" in line


def test_debugging_cannot_be_switched_on() -> None:
    code = "from django.conf import settings; print(settings.DEBUG)"
    changes = {"DEBUG": "true", "DJANGO_DEBUG": "1", "UPLOAD_DEBUG": "1"}
    assert manage("shell", "--verbosity=0", "--command", code, **changes).stdout == "False\n"
