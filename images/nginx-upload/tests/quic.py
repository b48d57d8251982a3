"""An HTTP/3 client whose streams are decided by the test; http3.run() asks for it: Debian 12 lacks its library."""

import asyncio
import ssl

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, StreamReset

from client import BOUNDARY, Response
from harness import DEADLINE


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

    def taken(self, stream):
        """Bytes that the server has acknowledged."""
        return self._quic._streams[stream].sender._buffer_start

    def reset(self, stream):
        self._quic.reset_stream(stream, 0x10C)
        self.transmit()

    async def get(self, path):
        stream = self._quic.get_next_available_stream_id()
        self.answers[stream] = (asyncio.get_running_loop().create_future(), Response(0, [], b""))
        fields = {b":method": b"GET", b":path": path.encode(), b":scheme": b"https", b":authority": b"localhost"}
        self.http.send_headers(stream, list(fields.items()), end_stream=True)
        self.transmit()
        return await self.response(stream)


async def connected(port, client):
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", port, configuration=configuration, create_protocol=Client) as connection:
        return await client(connection)
