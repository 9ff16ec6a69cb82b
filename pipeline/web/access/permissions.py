"""What may be done in the application, and what of it each role may."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from pipeline.core.people import Role, TokenScope

__all__ = ["GUEST", "PERMISSIONS", "SCOPES", "Permission", "Role", "TokenScope", "permissions_of"]


class Permission(StrEnum):
    """What a route needs."""

    ACCOUNT = "account"
    """Change one's own password and end one's own sessions: for persons, and never for programs."""
    LOOK = "look"
    """See events and what the file says of cameras."""
    MEASURE = "measure"
    """See numbers, and how cameras, engines and sinks are."""
    MEDIA = "media"
    """See pictures and clips, of now and of the past."""
    ASK = "ask"
    """Ask a model about a picture."""
    REVIEW = "review"
    """Acknowledge events, and say what was right and wrong."""
    DELIVER = "deliver"
    """Send undelivered events again, or drop them."""
    ARM = "arm"
    """Arm and disarm."""
    SHARE = "share"
    """Make links by which others see a picture or clip without signing in: for persons alone."""
    EDIT = "edit"
    """Change lines, zones, masks and rules."""
    ADMINISTER = "administer"
    """Users, tokens and the audit log."""


GUEST: Final = frozenset({Permission.LOOK, Permission.MEASURE, Permission.MEDIA})
"""What somebody may who came by a link: nothing that costs or changes anything."""
_VIEWER: Final = GUEST | {Permission.ASK, Permission.ACCOUNT}
_OPERATOR: Final = _VIEWER | {
    Permission.REVIEW,
    Permission.DELIVER,
    Permission.ARM,
    Permission.SHARE,
    Permission.EDIT,
}
PERMISSIONS: Final = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Permission),
}
"""What each role may do."""
SCOPES: Final = {
    TokenScope.READ_EVENTS: frozenset({Permission.LOOK}),
    TokenScope.READ_MEDIA: frozenset({Permission.MEDIA}),
    TokenScope.READ_METRICS: frozenset({Permission.MEASURE}),
    TokenScope.WRITE_ACK: frozenset({Permission.REVIEW}),
    TokenScope.ADMIN: frozenset(Permission) - {Permission.ACCOUNT, Permission.SHARE},
}
"""What each scope of a token opens."""


def permissions_of(scopes: Iterable[TokenScope]) -> frozenset[Permission]:
    """What a token with these scopes may do."""
    return frozenset().union(*(SCOPES[scope] for scope in scopes))
