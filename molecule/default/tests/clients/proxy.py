"""A TCP proxy that cuts connections, as a bad network does."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from clients.listener import Listener, copy, end

if TYPE_CHECKING:
    from collections.abc import Iterable

_PIECE = 16384


class CuttingProxy(Listener):
    """Passes everything on to a server, and cuts a connection when a gap of bytes is used up.

    Bytes are counted from the client to the server, over all connections.
    """

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self._server = (host, port)
        self._lock = threading.Lock()
        self._gaps: list[int] = []
        self._before_hold: int | None = None
        self._go_on = threading.Event()
        self.holds = threading.Event()
        self.cuts = 0

    def cut_after(self, gaps: Iterable[int]) -> None:
        """Cut after each of these many further bytes, then never more; forget what was planned."""
        with self._lock:
            self._gaps = [*gaps]
            self.cuts = 0

    def hold_after(self, gap: int) -> None:
        """Pass so many further bytes, then nothing until `go_on`; `holds` is set meanwhile."""
        with self._lock:
            self._before_hold = gap
            self._go_on.clear()
            self.holds.clear()

    def go_on(self) -> None:
        """Pass what was held."""
        with self._lock:
            self._before_hold = None
            self._go_on.set()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(client)
            try:
                server = stack.enter_context(socket.create_connection(self._server))
            except OSError:  # it is being restarted: the client finds its connection closed
                return
            back = threading.Thread(target=copy, args=(server, client), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while data := client.recv(_PIECE):
                    self._wait_while_held(len(data))
                    passed = self._allowed(len(data))
                    server.sendall(data[:passed])
                    if passed < len(data):
                        break
            end(server)
            end(client)
            back.join()

    def _wait_while_held(self, size: int) -> None:
        with self._lock:
            if self._before_hold is None:
                return
            self._before_hold -= size
            if self._before_hold > 0:
                return
            self.holds.set()
        self._go_on.wait()

    def _allowed(self, size: int) -> int:
        with self._lock:
            if not self._gaps:
                return size
            if self._gaps[0] > size:
                self._gaps[0] -= size
                return size
            # One byte less at least, so that a cut is told apart from a pass.
            self.cuts += 1
            return min(self._gaps.pop(0), size - 1)
