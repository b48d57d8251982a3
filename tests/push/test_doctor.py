"""The doctor's grade for a server's TLS, from servers that take what they should not."""

from __future__ import annotations

import datetime as dt
import json
import ssl
from typing import TYPE_CHECKING, Any, Callable

import pytest
import trustme
from conftest import context_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Push
    from upload_server import Exchange, Server

    Serve = Callable[..., Server]

USAGE = 2
NOW = dt.datetime.now(dt.timezone.utc)


def nobody(exchange: Exchange) -> None:
    exchange.problem("401 Unauthorized", "No.")


@pytest.fixture
def examine(push: Push, serve: Serve, ca_file: Path) -> Callable[..., dict[str, str]]:
    """Have the doctor look at a server, and return what it finds about the connection."""

    def look(tls: ssl.SSLContext, *, hsts: bool = True, **env: str) -> dict[str, str]:
        server = serve(nobody, tls)
        server.hsts = hsts
        known = {"PUSH_HOST": "localhost", "PUSH_PORT": str(server.port), "PUSH_TRICKLE": "0"}
        outcome = push("doctor", "--json", **{**known, "PUSH_CA_FILE": str(ca_file), **env})
        document = json.loads(outcome.out)
        found: dict[str, str] = document["checks"][1]
        assert found["check"] == "connection"
        return {**found, "code": document["exit_code"]}

    return look


Examine = Callable[..., "dict[str, str]"]


def test_a_modern_server_has_an_a(examine: Examine, tls: ssl.SSLContext) -> None:
    found = examine(tls)
    assert found["state"] == "ok"
    assert found["found"].startswith("TLS grade A: TLS 1.2, 1.3, EC key of 256 bits, the chain is")
    assert found["remedy"] == ""


def test_a_server_without_hsts_has_a_b(examine: Examine, tls: ssl.SSLContext) -> None:
    found = examine(tls, hsts=False)
    assert found["state"] == "warn"
    assert found["found"].startswith("TLS grade B: no HSTS; TLS 1.2, 1.3, ")
    assert "Strict-Transport-Security" in found["remedy"]


def test_a_server_without_tls_1_3_has_a_b(examine: Examine, authority: trustme.CA) -> None:
    context = context_for(authority.issue_cert("localhost"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    found = examine(context)
    assert found["found"].startswith("TLS grade B: TLS 1.3 is not taken; TLS 1.2, EC key")


@pytest.mark.parametrize(
    ("version", "start"),
    [
        (ssl.TLSVersion.TLSv1_1, "TLS grade C: TLS 1.1 is taken; TLS 1.1, 1.2, 1.3, "),
        (ssl.TLSVersion.TLSv1, "TLS grade D: TLS 1.0 is taken; TLS 1.1 is taken; TLS 1.0, 1.1, "),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
def test_a_server_that_takes_an_old_version_has_a_c_or_a_d(
    examine: Examine, authority: trustme.CA, version: ssl.TLSVersion, start: str
) -> None:
    context = context_for(authority.issue_cert("localhost"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = version
    found = examine(context)
    assert found["found"].startswith(start)
    assert f"turn TLS 1.{'1' if version == ssl.TLSVersion.TLSv1_1 else '0'} off" in found["remedy"]


def test_a_certificate_that_ends_soon_has_a_c(examine: Examine, authority: trustme.CA) -> None:
    soon = NOW + dt.timedelta(days=9, hours=1)
    found = examine(context_for(authority.issue_cert("localhost", not_after=soon)))
    assert found["found"].startswith("TLS grade C: the certificate ends soon; TLS 1.2, 1.3, ")
    assert found["found"].endswith("is good for 9 days")


@pytest.mark.parametrize("kind", ["other authority", "other name", "expired"])
def test_a_certificate_that_is_not_trusted_is_an_f(
    examine: Examine, authority: trustme.CA, kind: str
) -> None:
    issuer = trustme.CA() if kind == "other authority" else authority
    name = "elsewhere.test" if kind == "other name" else "localhost"
    end = NOW - dt.timedelta(days=1) if kind == "expired" else None
    found = examine(context_for(issuer.issue_cert(name, not_after=end)))
    assert found["state"] == "fail"
    assert found["found"].startswith("TLS grade F: The certificate of ")
    assert found["code"] == USAGE


def test_an_rsa_key_is_measured(examine: Examine, authority: trustme.CA) -> None:
    leaf = authority.issue_cert("localhost", key_type=trustme.KeyType.RSA)
    assert "RSA key of 2048 bits" in examine(context_for(leaf))["found"]


def certificate(key: Any) -> bytes:
    """Return a certificate of a key, in DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1))
        .sign(key, algorithm)
    )
    return made.public_bytes(Encoding.DER)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (rsa.generate_private_key(65537, 2048), ("RSA", 2048)),
        (rsa.generate_private_key(65537, 3072), ("RSA", 3072)),
        (ec.generate_private_key(ec.SECP384R1()), ("EC", 384)),
        (ec.generate_private_key(ec.SECP521R1()), ("EC", 521)),
        (ed25519.Ed25519PrivateKey.generate(), ("a modern", 0)),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_the_key_of_a_certificate_is_read(module: Any, key: Any, expected: tuple[str, int]) -> None:
    assert module.key_of(certificate(key)) == expected


# Python's own ciphers refuse such a key, so that a server cannot show it to the doctor.
@pytest.mark.parametrize(("key", "bits"), [("RSA", 1024), ("EC", 192)])
def test_a_weak_key_is_an_e(module: Any, key: str, bits: int) -> None:
    takes = {"1.0": False, "1.1": None, "1.2": True, "1.3": True}
    [flaw] = module.Tls(takes, key, bits, days=90, hsts=True).flaws()
    assert (flaw.grade, flaw.text) == ("E", "the key is weak")
