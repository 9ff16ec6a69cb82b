"""Whether a lease still is whose it was, asked within the transaction that depends on it."""

from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import OPENING
from pipeline.core.errors import OwnershipLostError
from pipeline.core.store import LeaseProof


def opening(connection: sa.Connection) -> int:
    return int(connection.get_execution_options()[OPENING])


def renewed(connection: sa.Connection, proof: LeaseProof, now: float | None = None) -> bool:
    """Whether the lease is still held, which is a sign of life as well."""
    if proof.opening != opening(connection):
        return False
    table = _schema.leases
    mine = (table.c.name == proof.name) & (table.c.token == proof.token)
    signs: dict[str, Any] = {"renewals": table.c.renewals + 1}
    if now is not None:
        signs["renewed_at"] = now
    held = table.update().where(mine & table.c.ended_at.is_(None)).values(**signs)
    return connection.execute(held).rowcount == 1


def prove(connection: sa.Connection, proof: LeaseProof | None) -> None:
    """Refuse what was written for a lease that is another's by now."""
    if proof is not None and not renewed(connection, proof):
        raise OwnershipLostError(proof.name)
