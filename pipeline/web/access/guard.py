"""What a route needs of who asks, said where the route is written.

`Annotated[Visitor, needs(Permission.LOOK)]` is a parameter of each route; a route without one is
refused when the application is made, unless it is among those that anybody may reach.
"""

from typing import Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from pipeline.web.access.permissions import Permission
from pipeline.web.access.visitor import Visitor
from pipeline.web.problems import WebError
from pipeline.web.state import state_of


class PermissionNeeded:
    """A dependency of FastAPI: the visitor, if he may do what is needed."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, connection: HTTPConnection) -> Visitor:
        """Who asks; raises WebError 401 or 403."""
        visitor = state_of(connection).doors.visitor(connection)
        if visitor is None:
            raise WebError(401, "sign in first")
        if not visitor.may(self.permission):
            raise WebError(403, f"{visitor.name} may not do this: it takes {self.permission}")
        return visitor


def needs(permission: Permission) -> Any:
    """What a route's parameter `visitor` is annotated with."""
    return Depends(PermissionNeeded(permission))


def must_see(visitor: Visitor, camera: str) -> None:
    """Raise WebError 404 where a visitor may not see a camera: he does not learn that it exists."""
    if not visitor.sees(camera):
        raise WebError(404, f"there is no camera {camera!r}")
