"""The application for tests: over a real store, for whichever visitor a test wants."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from starlette.requests import HTTPConnection

from pipeline.core.clock import Clock, SystemClock
from pipeline.core.queues import Queues
from pipeline.testing import patience
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from pipeline.web.run import WebServer, open_state
from pipeline.web.state import WebState

ADMIN = Visitor.of_role("ada", Role.ADMIN)
CERTIFICATES = ssl.create_default_context()
"""For all clients: to read them again takes longer than most tests."""


@dataclass
class DoorsFor:
    """Everybody who comes is this visitor; tests change who that is."""

    who: Visitor | None = ADMIN

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Who it is: who the request names in a header, where it does, else `who`."""
        named = connection.headers.get("x-test-visitor")
        return Visitor.of_role(named, Role.VIEWER) if named else self.who


@dataclass
class NotedActions:
    """What was noted in the journal: (visitor, action, subject)."""

    notes: list[tuple[str, str, str]] = field(default_factory=list)

    def note(self, visitor: Visitor, action: str, subject: str, detail: str = "") -> None:
        """Keep it for the test."""
        self.notes.append((visitor.name, action, subject))


@dataclass
class Application:
    """A running application, and what is behind it."""

    url: str
    client: httpx.Client
    """With the API's address as its base: `client.get("/site")`."""
    state: WebState
    doors: DoorsFor
    journal: NotedActions


@contextmanager
def application(
    file: Path,
    *overrides: str,
    visitor: Visitor | None = ADMIN,
    clock: Clock | None = None,
    queues: Queues | None = None,
) -> Iterator[Application]:
    """The application of a deployment file on a free port of loopback, over real HTTP."""
    doors, journal = DoorsFor(visitor), NotedActions()
    state = open_state(file, overrides, clock or SystemClock(), doors, journal, queues)
    try:
        server = WebServer(state, "127.0.0.1:0")
        server.start()
        try:
            headers = {"X-Moonwatch": "1"}
            with httpx.Client(
                base_url=f"{server.address}/api/v1",
                timeout=patience(20),
                headers=headers,
                verify=CERTIFICATES,
            ) as client:
                yield Application(server.address, client, state, doors, journal)
        finally:
            server.stop()
    finally:
        state.store.close()
