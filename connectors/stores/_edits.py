"""Edits of rules, beside what they count; see `pipeline.core.edits`."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database, storable
from pipeline.core.edits import EditKind, RuleEdit


def keep_edits(
    connection: sa.Connection, database: Database, edits: Sequence[RuleEdit], now: float
) -> None:
    """Keep these; one that is written again is one."""
    rows: list[dict[str, Any]] = [
        {
            "camera": one.camera,
            "rule": one.rule,
            "at": one.at,
            "kind": one.kind,
            "changed": storable(one.changed),
            "kept_at": now,
        }
        for one in edits
    ]
    database.upsert(connection, _schema.edits, rows)


def edit_of(row: sa.Row[Any]) -> RuleEdit:
    """A row as an edit; a kind of a later release is an edit as well."""
    kinds: dict[str, EditKind] = {"added": "added", "removed": "removed"}
    kind = kinds.get(row.kind, "edited")
    return RuleEdit(row.camera, row.rule, row.at, kind, row.changed)
