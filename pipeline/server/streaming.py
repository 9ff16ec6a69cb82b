"""Answers that are sent while they are made: server-sent events.

Clients that go away, and clients that stop reading, end what is done for them.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

KEEP_ALIVE_S = 15.0
"""Proxies close connections on which nothing is sent for a minute, some sooner."""
SEND_S = 60.0
"""How long a client may take to read one event before it is given up."""
KEEP_ALIVE = ": still working\n\n"
DONE = "data: [DONE]\n\n"


def event(data: Mapping[str, Any], name: str | None = None) -> str:
    """Return one event, on one line of data.

    In ASCII: Python's text has more ends of lines than HTTP, and many clients split by those.
    """
    text = json.dumps(data, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n" if name else f"data: {text}\n\n"


class EventStream(Response):
    """Events as they come; `events` is closed when its client is gone."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[str], headers: Mapping[str, str]) -> None:
        super().__init__(
            headers={**headers, "cache-control": "no-cache", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until they end or the client goes."""
        writer = asyncio.create_task(self._write(send))
        watcher = asyncio.create_task(gone(receive))
        try:
            await asyncio.wait({writer, watcher}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writer, watcher):
                task.cancel()
            await asyncio.wait({writer, watcher})
        error = None if writer.cancelled() else writer.exception()
        # A client that does not read has gone for all we know.
        if error is not None and not isinstance(error, TimeoutError):
            raise error

    async def _write(self, send: Send) -> None:
        events = self._events
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for text in events:
                async with asyncio.timeout(SEND_S):
                    await send(
                        {
                            "type": "http.response.body",
                            "body": text.encode("utf-8", "replace"),
                            "more_body": True,
                        }
                    )
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            with suppress(AttributeError):
                await events.aclose()  # type: ignore[attr-defined]


async def gone(receive: Receive) -> None:
    """Return when the client has closed the connection; the body has to be read before."""
    while (await receive())["type"] != "http.disconnect":
        pass
