"""Connections within bounds: how many, how long they may be silent, how large their headers are."""

import asyncio
import logging
import socket
from collections import OrderedDict
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

# A request's line and headers altogether.
MOST_HEADER_BYTES = 32 * 1024
HEADERS_S = 10.0
"""From connecting, or from the first byte of a later request, to the end of its headers."""
KEEP_ALIVE_S = 30.0
READING_S = 30.0
"""How long a client may leave what it is sent unread."""
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 2\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
)
_FULL_BODY = (
    b'{"error":{"message":"the server has too many connections; try again later",'
    b'"type":"server_error","param":null,"code":"overloaded"}}'
)


class ConnectionBounds:
    """What the connections of one server share."""

    def __init__(self, most: int, headers_s: float = HEADERS_S) -> None:
        self.most = most
        self.headers_s = headers_s
        self.idle: OrderedDict[GuardedProtocol, None] = OrderedDict()
        """Connections without a request, the one that has been longest first."""

    def protocol(self) -> type["GuardedProtocol"]:
        """What speaks HTTP with each client, within these bounds."""
        return type("BoundedProtocol", (GuardedProtocol,), {"bounds": self})


class GuardedProtocol(H11Protocol):
    """HTTP/1.1 with deadlines. Where there are too many connections, the one that has been idle
    for longest makes room for the newest; if none is idle, the newest is refused.
    """

    bounds: ConnectionBounds

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headers_due: asyncio.TimerHandle | None = None
        self._reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a client in, or refuse it."""
        super().connection_made(transport)
        # asyncio does it only where a socket says that it is TCP, which ours does not; without it
        # the body of each answer waits 40 ms for the client to acknowledge the headers.
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bounds = self.bounds
        if len(self.connections) > bounds.most:
            if not bounds.idle:
                transport.write(_FULL % (len(_FULL_BODY), _FULL_BODY))
                transport.close()
                return
            oldest, _ = bounds.idle.popitem(last=False)
            oldest.transport.abort()
        bounds.idle[self] = None
        self._headers_due = self.loop.call_later(bounds.headers_s, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.bounds.idle.pop(self, None)
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read; the headers of a request have a deadline as a whole."""
        if self._headers_due is None and self in self.bounds.idle:
            self._headers_due = self.loop.call_later(self.bounds.headers_s, self.transport.abort)
        super().data_received(data)

    def handle_events(self) -> None:
        """Note when a request begins."""
        super().handle_events()
        # Before the first request there is no cycle.
        if getattr(self.cycle, "response_complete", True) is False:
            self.bounds.idle.pop(self, None)
            if self._headers_due is not None:
                self._headers_due.cancel()
                self._headers_due = None

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection on to what speaks WebSocket, which has deadlines of its own."""
        self.bounds.idle.pop(self, None)
        self._cancel_timers()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        if not self.transport.is_closing():
            self.bounds.idle[self] = None
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Give a client up that does not read what it is sent."""
        super().pause_writing()
        self._reading_due = self.loop.call_later(READING_S, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads on."""
        if self._reading_due is not None:
            self._reading_due.cancel()
            self._reading_due = None
        super().resume_writing()

    def _cancel_timers(self) -> None:
        for timer in (self._headers_due, self._reading_due):
            if timer is not None:
                timer.cancel()
        self._headers_due = self._reading_due = None
