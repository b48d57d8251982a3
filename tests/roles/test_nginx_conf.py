"""nginx.conf says what the variables say, rendered by Ansible's own templar."""

from __future__ import annotations

import re
from typing import Any

import pytest
from kit import ROOT, block, render_on_site

LIMIT = 12 * 1024**3
OVERHEAD = 1024**2
LOCATIONS = (ROOT / "roles/nginx_upload/files/upload_locations.conf").read_text(encoding="utf-8")


def conf(**variables: Any) -> str:
    return render_on_site("nginx_upload", "nginx.conf.j2", **variables)


def with_ipv6(addresses: list[str]) -> dict[str, Any]:
    return {"fqdn": "host.test", "all_ipv6_addresses": addresses}


def test_no_limit_is_no_limit_for_bodies_and_for_files() -> None:
    text = conf(upload_max_size="0")
    assert "    client_max_body_size 0;\n" in text
    assert "    upload_max_file_size 0;\n" in text
    assert '"413 /upload" "the body is larger than the server takes";' in text


def test_a_body_may_be_larger_than_a_file_by_what_a_form_needs() -> None:
    text = conf(upload_max_size="12g")
    assert f"    client_max_body_size {LIMIT + OVERHEAD};\n" in text
    assert f"    upload_max_file_size {LIMIT};\n" in text


def test_a_refusal_names_the_limit_and_what_raises_it() -> None:
    text = conf(upload_max_size="12g")
    assert (
        block(text, 'map "$status $uri" $upload_problem_members').count(f'"max_size":{LIMIT},') == 2
    )
    assert (
        f'"413 /upload" "the body is larger than the limit of {LIMIT} bytes for one file;'
        ' ask the administrator to raise upload_max_size";'
    ) in block(text, 'map "$status $uri" $upload_problem_default')


def test_every_refusal_has_a_detail() -> None:
    details = block(conf(), 'map "$status $uri" $upload_problem_default')
    assert '"~^400 "' in details
    assert 'default "nginx refused' in details
    assert '""' not in details


def test_the_redirect_names_a_port_that_browsers_do_not_know() -> None:
    text = conf(upload_https_port=8443, upload_http_port=8080)
    assert "        listen 8080 reuseport;\n" in text
    assert "        listen 8443 ssl reuseport;\n" in text
    assert "        return 308 https://$host:8443$request_uri;\n" in text


def test_the_redirect_leaves_out_the_port_that_browsers_know() -> None:
    text = conf()
    assert "        listen 80 reuseport;\n" in text
    assert "        listen 443 ssl reuseport;\n" in text
    assert "        return 308 https://$host$request_uri;\n" in text


def test_http_port_0_leaves_out_the_redirect() -> None:
    text = conf(upload_http_port=0)
    assert "return 308" not in text
    assert "        listen 443 ssl reuseport;\n" in text


def test_a_host_with_ipv6_is_listened_on_with_both() -> None:
    text = conf(ansible_facts=with_ipv6(["2001:db8::7"]))
    for listener in ("80 reuseport", "[::]:80 reuseport", "443 ssl reuseport"):
        assert f"        listen {listener};\n" in text
    assert "        listen [::]:443 ssl reuseport;\n" in text


def test_a_host_without_ipv6_has_no_listener_that_would_fail_there() -> None:
    assert "[::]" not in conf(ansible_facts=with_ipv6([]))
    assert "[::]" not in conf()


def test_an_address_to_listen_on_is_the_only_one() -> None:
    text = conf(nginx_upload_listen_address="192.0.2.7", ansible_facts=with_ipv6(["2001:db8::7"]))
    listeners = [line.strip() for line in text.split("\n") if "listen " in line]
    assert listeners == [
        "listen 192.0.2.7:80 reuseport;",
        "listen 192.0.2.7:443 ssl reuseport;",
        "listen unix:/run/upload/nginx.sock;",
        "listen 127.0.0.1:8089;",
    ]


def test_extra_config_stands_in_the_server_that_takes_uploads() -> None:
    text = conf(nginx_upload_extra_config="allow 192.0.2.0/24;\ndeny all;\n", upload_http_port=0)
    assert "\n\n        allow 192.0.2.0/24;\n        deny all;\n\n" in block(text, "server {")


def test_without_extra_config_there_is_no_gap() -> None:
    assert "\n\n\n" not in conf()


def test_the_certificate_is_the_one_in_the_directory_of_the_configuration() -> None:
    text = conf(upload_config="/etc/elsewhere")
    assert "ssl_certificate /etc/elsewhere/tls/server.crt;" in text
    assert "ssl_certificate_key /etc/elsewhere/tls/server.key;" in text
    assert "include /etc/elsewhere/nginx/upload_locations.conf;" in text


def test_fsync_is_on_unless_the_site_switches_it_off() -> None:
    assert "    upload_fsync on;\n" in conf()
    assert "    upload_fsync off;\n" in conf(nginx_upload_fsync=False)


def test_without_tls_the_http_port_takes_uploads_and_nothing_needs_a_certificate() -> None:
    text = conf(__nginx_upload_tls=False, upload_http_port=8080)
    server = block(text, "server {")
    assert "        listen 8080 reuseport;\n" in server
    assert "upload_locations.conf;" in server
    assert "ssl" not in text
    assert "return 308" not in text


def test_a_location_with_error_pages_of_its_own_leaves_none_of_the_servers_out() -> None:
    lines = re.findall(r"^( *)error_page ([0-9 ]+)(=? ?@\w+);", LOCATIONS, re.MULTILINE)
    server = {status for indent, statuses, _ in lines if not indent for status in statuses.split()}
    own = {status for indent, statuses, _ in lines if indent for status in statuses.split()}
    assert own == server


def test_every_refusal_that_nginx_words_has_a_title() -> None:
    [statuses] = re.findall(r"^error_page ([0-9 ]+)@problem;", LOCATIONS, re.MULTILINE)
    titles = block(conf(), "map $status $upload_problem_title")
    named = set(re.findall(r"^ +([0-9]{3}) ", titles, re.MULTILINE))
    assert set(statuses.split()) - named == {"500"}


def test_chunks_keep_every_digest_that_their_clients_may_ask_for() -> None:
    location = block(conf(), "location = /append-chunk")
    for name in ("md5", "sha1", "sha256", "sha512"):
        assert f"upload_aggregate_form_field {name} $upload_file_{name};" in location
        assert f'"{name}":"$upload_file_{name}"' in block(conf(), "location = /digests")


@pytest.mark.parametrize(
    ("request_line", "logged"),
    [
        ("GET /shared/s3cret HTTP/1.1", "GET /shared/- HTTP/1.1"),
        ("GET /shared/s3cret/download HTTP/2.0", "GET /shared/-/download HTTP/2.0"),
        ("HEAD //shared//s3cret?a=/shared/b HTTP/1.1", "HEAD //shared//-?a=/shared/b HTTP/1.1"),
        ("GET https://host:8443/shared/s3cret HTTP/1.1", "GET https://host:8443/shared/- HTTP/1.1"),
        ("GET /uploads/?name=/shared/s3cret HTTP/1.1", None),
        ("GET /sharedsecret/x HTTP/1.1", None),
    ],
)
def test_the_access_log_has_no_address_of_a_share(request_line: str, logged: str | None) -> None:
    shown = block(conf(), "map $request $upload_logged_request")
    [(pattern, replacement)] = re.findall(r'"~([^"]+)"\s+"([^"]+)";', shown)
    found = re.match(pattern.replace("(?<", "(?P<"), request_line)
    assert (found and re.sub(r"\$(\w+)", lambda m: found[m[1]], replacement)) == logged
