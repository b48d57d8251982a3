"""TLS as a client sees it."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Site


def handshake(site: Site, context: ssl.SSLContext, name: str) -> ssl.SSLSocket:
    raw = socket.create_connection((site.host, site.port), timeout=20)
    return context.wrap_socket(raw, server_hostname=name)


@pytest.mark.parametrize("name", ["upload.test", "localhost"])
def test_the_certificate_is_valid_for_the_sites_names(site: Site, name: str) -> None:
    with handshake(site, ssl.create_default_context(cafile=site.ca_file), name) as connection:
        assert connection.version() == "TLSv1.3"


def test_the_certificate_is_valid_for_the_hosts_address(site: Site) -> None:
    with handshake(site, ssl.create_default_context(cafile=site.ca_file), site.host) as connection:
        assert connection.getpeercert()["notAfter"]


def test_a_client_without_the_ca_does_not_trust_the_site(site: Site) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(site, ssl.create_default_context(cadata=""), "upload.test")


def test_tls_1_1_is_refused(site: Site) -> None:
    context = ssl.create_default_context(cafile=site.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(site, context, "upload.test")


def test_browsers_get_http_2(site: Site) -> None:
    context = ssl.create_default_context(cafile=site.ca_file)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with handshake(site, context, "upload.test") as connection:
        assert connection.selected_alpn_protocol() == "h2"


def test_plain_http_is_sent_to_https_with_its_method(site: Site) -> None:
    plain = type(site)(site.host, 80, site.token)
    answer = plain.exchange(plain.head("Content-Length: 1000000000000"))
    assert answer.status == 308
    assert answer.headers["location"] == f"https://{site.host}/upload"
