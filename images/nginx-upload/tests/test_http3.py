"""Uploads over HTTP/3."""

import asyncio
import datetime as dt
import ssl

import pytest
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from client import BOUNDARY, Response, form, part
from harness import DEADLINE, Answer, free_port, wait_for
from locations import LOCATIONS

DATA = bytes(range(256)) * 8000
BODY = form(part(b"value", "field"), part(b"first", "file", "first.bin"), part(DATA, "file", "a.bin"))


class Client(QuicConnectionProtocol):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.http = H3Connection(self._quic)
        self.answers = {}

    def quic_event_received(self, event):
        if isinstance(event, ConnectionTerminated):
            for future, _ in self.answers.values():
                if not future.done():
                    future.set_exception(ConnectionError("closed"))
        elif isinstance(event, StreamReset) and event.stream_id in self.answers:
            future, _ = self.answers[event.stream_id]
            if not future.done():
                future.set_exception(ConnectionError("reset"))
        for happened in self.http.handle_event(event):
            if happened.stream_id not in self.answers:
                continue
            future, response = self.answers[happened.stream_id]
            if isinstance(happened, HeadersReceived):
                response.headers = [(key.decode(), value.decode()) for key, value in happened.headers]
                response.status = int(dict(response.headers)[":status"])
            elif isinstance(happened, DataReceived):
                response.body += happened.data
            if happened.stream_ended and not future.done():
                future.set_result(response)

    def begin(self, path, body, length, end=True):
        stream = self._quic.get_next_available_stream_id()
        self.answers[stream] = (asyncio.get_running_loop().create_future(), Response(0, [], b""))
        headers = [
            (b":method", b"POST"),
            (b":path", path.encode()),
            (b":scheme", b"https"),
            (b":authority", b"localhost"),
            (b"content-type", b"multipart/form-data; boundary=" + BOUNDARY),
        ]
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        self.http.send_headers(stream, headers)
        self.http.send_data(stream, body, end_stream=end)
        self.transmit()
        return stream

    async def response(self, stream):
        return await asyncio.wait_for(self.answers[stream][0], DEADLINE)


@pytest.fixture
def http3(own_nginx, tmp_path):
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
    (tmp_path / "key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (tmp_path / "certificate").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    port = free_port()
    nginx = own_nginx(
        LOCATIONS
        + f"listen 127.0.0.1:{port} quic; ssl_certificate {tmp_path}/certificate; ssl_certificate_key {tmp_path}/key;"
    )

    def run(client):
        async def connected():
            configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
            async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Client) as connection:
                return await client(connection)

        return asyncio.run(connected())

    nginx.http3 = run
    return nginx


@pytest.mark.parametrize("path", ["/upload", "/plain", "/threads"])
@pytest.mark.parametrize("length", [len(BODY), None])
def test_a_whole_upload(http3, backend, path, length):
    async def upload(connection):
        return await connection.response(connection.begin(path, BODY, length))

    assert http3.http3(upload).status == 200
    assert [file.read_bytes() for file in http3.files()] == [b"first", DATA]
    assert dict(backend.completes[0].form)["file.size"] == str(len(DATA)).encode()


@pytest.mark.parametrize(
    "path, body, status",
    [
        ("/plain", BODY[:-10], 400),
        ("/plain", BODY[:10], 400),
        ("/small-file-reject", BODY, 413),
        ("/small-body", BODY, 413),
        ("/full", BODY, 507),
        ("/missing", BODY, 503),
        ("/down", BODY, 502),
        ("/denied", BODY, 403),
        ("/upload", BODY, 401),
    ],
)
def test_refusals_leave_nothing_and_the_connection_goes_on(http3, backend, path, body, status):
    backend.authorize = Answer(401, {}, b"who?")

    async def upload(connection):
        refused = await connection.response(connection.begin(path, body, None))
        return refused, await connection.response(connection.begin("/plain", BODY, len(BODY)))

    refused, accepted = http3.http3(upload)
    assert (refused.status, accepted.status) == (status, 200)
    wait_for(
        lambda: [file.stat().st_size for file in http3.files()] == [5, len(DATA)], "only the second upload is there"
    )


def test_a_client_that_leaves_leaves_nothing(http3, backend):
    async def leave(connection):
        stream = connection.begin("/plain?t=left", BODY[:1000000], len(BODY), end=False)
        while not http3.files():
            await asyncio.sleep(0.01)
        connection._quic.reset_stream(stream, 0x10C)
        connection.transmit()
        while "?t=left|" not in http3.access_log.read_text():
            await asyncio.sleep(0.01)

    http3.http3(lambda connection: asyncio.wait_for(leave(connection), DEADLINE))
    wait_for(lambda: not http3.files(), "nothing is left")
    assert backend.completes == []
