"""What differs with PostgreSQL: where the records are, and how the app reaches them."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from conftest import form

if TYPE_CHECKING:
    from conftest import Site


def query(host: Any, statement: str) -> str:
    """Return what PostgreSQL answers on the host."""
    return str(host.check_output(f'runuser -u postgres -- psql upload -tAc "{statement}"'))


def test_an_upload_is_a_row_in_postgresql(host: Any, site: Site) -> None:
    content = os.urandom(100_000)
    answer = site.post(form("row.bin", content))
    assert answer.status == 200, answer
    (upload,) = json.loads(answer.body)["uploads"]
    rows = query(host, "SELECT id, size, sha256 FROM uploads_upload").splitlines()
    assert f"{upload['id']}|100000|{hashlib.sha256(content).hexdigest()}" in rows


def test_the_socket_proves_who_the_app_is_so_no_password_exists(host: Any) -> None:
    assert query(host, "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL") == "0"
    environment = host.check_output("docker inspect -f '{{.Config.Env}}' upload-app")
    assert "postgresql://upload@/upload?host=/var/run/postgresql" in environment


def test_postgresql_listens_to_this_host_alone(host: Any) -> None:
    addresses = host.check_output("ss -Hltn 'sport = :5432' | awk '{print $4}'").split()
    assert addresses
    assert all(address in ("127.0.0.1:5432", "[::1]:5432") for address in addresses)


def test_no_sqlite_file_is_left_behind(host: Any) -> None:
    assert not host.file("/var/lib/upload/db/db.sqlite3").exists


def test_the_app_comes_back_when_postgresql_restarts(host: Any, site: Site) -> None:
    host.check_output("systemctl restart postgresql")
    content = b"after the restart"
    answers = [site.post(form("again.bin", content)) for _ in range(2)]
    assert answers[-1].status == 200, answers
