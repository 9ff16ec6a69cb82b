"""What all routes share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from connectors.stores.files import FileMediaStore
from connectors.stores.sql import SqlStore
from pipeline.core.clock import Clock
from pipeline.deployment.model import Deployment
from pipeline.insight.followed_looks import FollowedParts
from pipeline.insight.simulation_workers import SimulationWorkers
from pipeline.web.access.entrance import Entrance
from pipeline.web.access.oidc import OidcEntrance
from pipeline.web.access.visitor import Doors, Visitor
from pipeline.web.deployment_view import DeploymentView
from pipeline.web.heavy import HeavyQuestions
from pipeline.web.live.wall import LiveWall
from pipeline.web.pushing.desk import PushDesk

MOST_FOLLOWED = 64_000_000
"""Bytes of what trackers showed that are held at most between two edits that are tried: by the
application, of short times, and by the processes that judge long ones."""


class Journal(Protocol):
    """Keeps who did what."""

    def note(self, visitor: Visitor, action: str, subject: str, detail: str = "") -> None:
        """Keep that somebody did something, such as ("looked at a clip", "door 4711").

        What begins with "looked at" is kept once a minute; all else each time. Raises StoreError.
        """
        ...


@dataclass(frozen=True, slots=True)
class WebState:
    """What all routes share."""

    file: DeploymentView
    store: SqlStore
    """Opened to write what belongs to the application: it writes nothing of the pipeline's."""
    media: FileMediaStore
    clock: Clock
    doors: Doors
    journal: Journal
    entrance: Entrance
    """Where people sign in and out; its doors are `doors`, unless a test has others."""
    live: LiveWall | None = None
    heavy: HeavyQuestions = field(default_factory=HeavyQuestions)
    """Whose turn it is to be answered what takes long."""
    oidc: OidcEntrance | None = None
    """Where people come in whom the provider of `web.oidc` knows, if there is one."""
    followed: FollowedParts = field(default_factory=lambda: FollowedParts(MOST_FOLLOWED))
    """What trackers showed in what edits were tried on, for the next edit."""
    judges: SimulationWorkers | None = None
    """Processes that judge what edits are tried on; without them it is done in this one."""
    push: PushDesk | None = None
    """Tells browsers of events."""
    said_beside: list[Callable[[], Sequence[str]]] = field(default_factory=list)
    """Who else says what is wrong with the application itself."""

    def troubles(self) -> list[str]:
        """What is wrong with the application itself, as sentences: what it does beside answering
        goes on, but not as it should.
        """
        said = [one for each in self.said_beside for one in each()]
        if self.live is not None:
            said += self.live.unforeseen
        if self.push is not None and self.push.unforeseen is not None:
            said.append(self.push.unforeseen)
        return [f"the application: {one}" for one in said]

    @property
    def deployment(self) -> Deployment:
        """What the file says now."""
        return self.file.deployment


def state_of(connection: HTTPConnection) -> WebState:
    """What the routes share, from any request or WebSocket."""
    state: WebState = connection.app.state.web
    return state


State = Annotated[WebState, Depends(state_of)]
"""A parameter of routes."""
