"""What may be done in the application, and what of it each role may."""

from enum import StrEnum
from typing import Final


class Permission(StrEnum):
    """What a route needs."""

    LOOK = "look"
    """See events, numbers, health and what the file says of cameras."""
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
    EDIT = "edit"
    """Change lines, zones, masks and rules."""
    ADMINISTER = "administer"
    """Users, tokens and the audit log."""


class Role(StrEnum):
    """Who somebody is; each may all that those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_VIEWER: Final = frozenset({Permission.LOOK, Permission.MEDIA, Permission.ASK})
_OPERATOR: Final = _VIEWER | {
    Permission.REVIEW,
    Permission.DELIVER,
    Permission.ARM,
    Permission.EDIT,
}
PERMISSIONS: Final = {
    Role.VIEWER: _VIEWER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: frozenset(Permission),
}
"""What each role may do."""
