"""Who a request comes from."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from starlette.requests import HTTPConnection

from pipeline.web.access.permissions import PERMISSIONS, Permission, Role


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is known, with what he may do and which cameras he may see."""

    name: str
    """As in the audit log; unique."""
    permissions: frozenset[Permission]
    cameras: frozenset[str] | None = None
    """The cameras that may be seen; None for all, also those of the future."""
    role: Role | None = None
    """None for a token, which has permissions alone."""
    session: str | None = None
    """Identifies the session that the request belongs to, without opening it."""
    is_of_provider: bool = False
    """Whether he signed in at the provider of `web.oidc`, and has no password here."""

    @classmethod
    def of_role(cls, name: str, role: Role, cameras: Iterable[str] | None = None) -> "Visitor":
        """Somebody with all permissions of a role."""
        seen = None if cameras is None else frozenset(cameras)
        return cls(name, PERMISSIONS[role], seen, role)

    def may(self, permission: Permission) -> bool:
        """Whether he may do this at all."""
        return permission in self.permissions

    def sees(self, camera: str) -> bool:
        """Whether he may see a camera; what concerns no camera is for those who see all."""
        return self.cameras is None or camera in self.cameras

    def seen_of(self, cameras: Iterable[str]) -> list[str]:
        """Those of these cameras that he may see, in their order."""
        return [camera for camera in cameras if self.sees(camera)]


class Doors(Protocol):
    """Tells who a request or a WebSocket comes from."""

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """Who it is; None if that is not known. Raises StoreError."""
        ...
