"""Everybody is the admin: only for a port that this machine alone can reach."""

import logging

from starlette.requests import HTTPConnection

from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor

logger = logging.getLogger(__name__)


class Alone:
    """Doors that are open."""

    def visitor(self, connection: HTTPConnection) -> Visitor | None:
        """The admin, whoever it is."""
        return Visitor.of_role("admin", Role.ADMIN)


class LogJournal:
    """Says who did what in the log."""

    def note(self, visitor: Visitor, action: str, subject: str, detail: str = "") -> None:
        """Say it."""
        logger.info("%s: %s %s %s", visitor.name, action, subject, detail)
