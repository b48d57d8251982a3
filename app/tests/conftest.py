"""The three people of every test, the store in a directory of its own, and a real database."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.db import connections
from django.test import Client
from pytest_django import Settings

from accounts.models import ApiToken, User, new_token
from tests.nginx import Nginx
from tests.stack import Stack, deployed


@dataclass
class Person:
    """Somebody with an account, a token and a browser that is signed in."""

    user: User
    token: str
    api: Nginx
    browser: Nginx


def pytest_report_header() -> str:
    """Say which database the tests run against."""
    return f"database: {connections['default'].vendor}"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep SQLite in a file, as in production, so that other processes can open it."""
    if connections["default"].vendor == "sqlite":
        path = tmp_path_factory.mktemp("database") / "test.sqlite3"
        connections["default"].settings_dict["TEST"]["NAME"] = str(path)


@pytest.fixture(autouse=True)
def store(settings: Settings, tmp_path: Path) -> Path:
    """Return the directory with this test's own incoming and files directories."""
    settings.UPLOAD_INCOMING_DIR = tmp_path / "incoming"
    settings.UPLOAD_FILES_DIR = tmp_path / "files"
    settings.UPLOAD_INCOMING_DIR.mkdir()
    settings.UPLOAD_FILES_DIR.mkdir()
    return tmp_path


@pytest.fixture
def sockets() -> Iterator[Path]:
    """Return a short path: a unix socket's may have 107 bytes, and tmp_path is long."""
    path = Path(tempfile.mkdtemp(prefix="s"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def stored(store: Path) -> Callable[[], list[Path]]:
    """Return what lists the finished files."""
    return lambda: sorted(path for path in (store / "files").rglob("*") if path.is_file())


@pytest.fixture
def incoming(store: Path) -> Callable[[], list[Path]]:
    """Return what lists the files that are still nginx's."""
    return lambda: sorted((store / "incoming").iterdir())


def _person(name: str, *, is_staff: bool = False) -> Person:
    user = User.objects.create_user(name, is_staff=is_staff)
    token = new_token()
    ApiToken.objects.add(user, "laptop", token)
    client = Client()
    client.force_login(user)
    cookies = {key: morsel.value for key, morsel in client.cookies.items()}
    return Person(
        user=user,
        token=token,
        api=Nginx(headers={"Authorization": f"Bearer {token}"}),
        browser=Nginx(
            headers={"Accept": "text/html", "Origin": "https://upload.test"}, cookies=cookies
        ),
    )


@pytest.fixture
def owner(db: None) -> Person:  # noqa: ARG001 - brings the database up
    """Whoever uploads."""
    return _person("olivia")


@pytest.fixture
def colleague(db: None) -> Person:  # noqa: ARG001
    """Staff, who may see everybody's uploads."""
    return _person("carl", is_staff=True)


@pytest.fixture
def stranger(db: None) -> Person:  # noqa: ARG001
    """Somebody else, who may not."""
    return _person("sam")


@pytest.fixture
def nobody(db: None) -> Nginx:  # noqa: ARG001
    """Return a client without an account."""
    return Nginx()


@pytest.fixture
def kit(sockets: Path, db: None, settings: Settings) -> Iterator[Stack]:  # noqa: ARG001
    """Return the running kit, which this process asks for digests, too; tests are transactional."""
    settings.UPLOAD_NGINX_SOCKET = sockets / "nginx.sock"
    with deployed(sockets, UPLOAD_CORS_ORIGINS="https://portal.test") as running:
        yield running


@pytest.fixture
def stack(kit: Stack, owner: Person) -> Stack:
    """Return the running kit, with the owner as its client."""
    kit.headers = {"Authorization": f"Bearer {owner.token}"}
    return kit
