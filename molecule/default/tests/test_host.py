"""What stands on the host after the deployment."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Site

SERVICE_ID = 10470


@pytest.mark.parametrize("name", ["upload-nginx", "upload-app"])
def test_each_container_is_healthy_confined_and_starts_with_the_host(host: Any, name: str) -> None:
    container = json.loads(host.check_output(f"docker inspect {name}"))[0]
    assert container["State"]["Health"]["Status"] == "healthy"
    assert container["Config"]["User"] == f"{SERVICE_ID}:{SERVICE_ID}"
    assert container["HostConfig"]["ReadonlyRootfs"] is True
    assert container["HostConfig"]["Privileged"] is False
    assert container["HostConfig"]["CapDrop"] == ["ALL"]
    assert container["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def test_the_engine_starts_with_the_host(host: Any) -> None:
    assert host.service("docker").is_enabled
    assert host.service("docker").is_running


def test_only_nginx_listens_and_the_app_has_no_network(host: Any) -> None:
    for port in (80, 443):
        assert host.socket(f"tcp://0.0.0.0:{port}").is_listening
    addresses = host.check_output("ss -Hltn | awk '{print $4}'").split()
    outside = {address.rsplit(":", 1)[1] for address in addresses if "127.0.0.1" not in address}
    assert outside == {"22", "80", "443"}
    assert host.check_output("docker inspect -f '{{.HostConfig.NetworkMode}}' upload-app") == "none"


def test_the_health_check_is_not_reachable_from_outside(host: Any) -> None:
    assert host.socket("tcp://127.0.0.1:8089").is_listening
    assert not host.socket("tcp://0.0.0.0:8089").is_listening


def test_no_log_has_the_address_of_a_share(host: Any, site: Site) -> None:
    secret = secrets.token_hex(16)
    for path in (f"/shared/{secret}", f"//shared/{secret}/download?x", f"http://h/shared/{secret}"):
        answer = site.exchange(site.head("Connection: close", path=path, method="GET", token=""))
        assert answer.status == 404
    for name in ("upload-nginx", "upload-app"):
        log = host.check_output(f"docker logs --since 1m {name} 2>&1")
        assert "/shared/-" in log
        assert secret not in log


@pytest.mark.parametrize("directory", ["incoming", "files", "tmp"])
def test_the_store_belongs_to_the_service_and_to_nobody_else(host: Any, directory: str) -> None:
    found = host.file(f"/srv/upload/{directory}")
    assert (found.uid, found.gid, found.mode) == (SERVICE_ID, SERVICE_ID, 0o2770)


def test_nothing_of_the_service_is_open_to_the_world(host: Any) -> None:
    reachable = host.check_output(
        "find /srv/upload /var/lib/upload /etc/upload -maxdepth 0 -perm /o=rwx"
    )
    assert not reachable
    assert not host.check_output("find /srv/upload -perm /o=rwx ! -type l")


def test_secrets_are_read_by_the_service_alone(host: Any) -> None:
    key = host.file("/etc/upload/secrets/secret_key")
    assert (key.uid, key.gid, key.mode) == (0, SERVICE_ID, 0o440)
    assert len(key.content) >= 50
    certificate_key = host.file("/etc/upload/tls/server.key")
    assert (certificate_key.uid, certificate_key.gid, certificate_key.mode) == (
        0,
        SERVICE_ID,
        0o640,
    )


@pytest.mark.parametrize("name", ["upload-nginx", "upload-app"])
def test_the_bundle_that_builds_trust_is_in_no_image(host: Any, name: str) -> None:
    marker = host.check_output("head -n 1 /etc/ssl/site-ca-bundle.pem")
    assert marker.startswith("# ")
    image = host.check_output(f"docker inspect -f '{{{{.Image}}}}' {name}")
    search = f"docker save {image} | tar -xO --wildcards '*' | grep -aqF"
    assert host.run(f"{search} usr/bin/bash").rc == 0
    assert host.run(f"{search} '{marker}'").rc == 1


def test_compilers_stay_behind(host: Any) -> None:
    assert host.run("docker exec upload-nginx sh -c 'command -v gcc || command -v make'").rc != 0
    assert host.run("docker exec upload-app sh -c 'command -v gcc || command -v uv'").rc != 0
