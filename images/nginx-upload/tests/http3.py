"""What a test of HTTP/3 needs: a connection where there can be one, and the certificate that QUIC and TLS want."""

import asyncio
import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness import DEADLINE, NGINX_BUILD

IS_BUILT_IN = "--with-http_v3_module" in NGINX_BUILD


def run(port, client):
    """Runs a coroutine function with a connection, or skips the test where nginx or Debian has no HTTP/3."""
    if not IS_BUILT_IN:
        pytest.skip("this nginx has no HTTP/3")
    quic = pytest.importorskip("quic", reason="this Debian has no python3-aioquic")
    return asyncio.run(quic.connected(port, client))


async def wait_for(condition):
    async def come_true():
        while not condition():
            await asyncio.sleep(0.005)

    await asyncio.wait_for(come_true(), DEADLINE)


def make_certificate(directory):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (directory / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (directory / "certificate").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return directory
