"""Audits in a database: what was drawn, what a person said about it, and what was found."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import AHEAD_S, Database, storable
from pipeline.core.audits import Audit, AuditFigure, AuditFigures, AuditVerdict
from pipeline.core.clock import Clock
from pipeline.core.errors import StoreError


class SqlAudits:
    """Keeps audits; see `pipeline.core.audits.Audits`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def keep_audit(self, audit: Audit) -> None:
        """Keep an audit, or replace the one with the same id."""
        row = {
            "id": audit.id,
            "camera": audit.camera,
            "rule": audit.rule,
            "since": audit.since,
            "until": audit.until,
            "drawn_at": audit.drawn_at,
            "judged_at": audit.judged_at,
            "said_by": storable(audit.by),
            "plan": None if audit.plan is None else json.dumps(audit.plan),
            "verdicts": json.dumps(dict(audit.verdicts)),
            "figures": json.dumps(asdict(audit.figures)),
            "kept_at": self._clock.now(),
        }
        with self._database.write("keep an audit") as connection:
            self._database.upsert(connection, _schema.audits, [row])

    def say_verdict(self, audit_id: str, clip: str, verdict: AuditVerdict) -> bool:
        """Keep what was counted in one clip of an open audit, in place of what was said of it."""
        table = _schema.audits
        is_open = (table.c.id == audit_id) & table.c.judged_at.is_(None)
        with self._database.write("keep a verdict") as connection:
            row = connection.execute(sa.select(table.c.verdicts).where(is_open)).one_or_none()
            if row is None:
                return False
            said = verdict if verdict is None or isinstance(verdict, int) else dict(verdict)
            verdicts = json.dumps({**json.loads(row.verdicts), clip: said})
            kept = {"verdicts": verdicts, "kept_at": self._clock.now()}
            connection.execute(table.update().where(is_open).values(**kept))
        return True

    def drop_open_audit(self, audit_id: str) -> bool:
        """Forget an audit that was never judged."""
        table = _schema.audits
        is_open = (table.c.id == audit_id) & table.c.judged_at.is_(None)
        with self._database.write("forget an open audit") as connection:
            return connection.execute(sa.delete(table).where(is_open)).rowcount > 0

    def audit(self, audit_id: str) -> Audit | None:
        """One audit, open or judged."""
        found = self._all(_schema.audits.c.id == audit_id)
        return found[0] if found else None

    def audits(self, camera: str | None = None, rule: str | None = None) -> Sequence[Audit]:
        """All audits, the one that was drawn last first."""
        table = _schema.audits
        return self._all(
            *([table.c.camera == camera] if camera is not None else []),
            *([table.c.rule == rule] if rule is not None else []),
        )

    def last_judged(self, camera: str, rule: str) -> Audit | None:
        """The audit of a rule that was judged last."""
        judged = [one for one in self.audits(camera, rule) if one.judged_at is not None]
        # What a clock that was ahead has dated is not the last one for years.
        latest = self._clock.now() + AHEAD_S
        return max(
            judged,
            key=lambda one: ((one.judged_at or 0.0) <= latest, one.judged_at or 0.0),
            default=None,
        )

    def _all(self, *conditions: sa.ColumnElement[bool]) -> list[Audit]:
        table = _schema.audits
        wanted = sa.select(table).where(*conditions)
        with self._database.read("read audits") as connection:
            # A store of an earlier release that is only read has no such table.
            if not sa.inspect(connection).has_table(table.name):
                return []
            rows = connection.execute(wanted.order_by(table.c.drawn_at.desc(), table.c.id)).all()
        return [self._audit(row) for row in rows]

    def _audit(self, row: sa.Row[Any]) -> Audit:
        try:
            figures = json.loads(row.figures)
            return Audit(
                id=row.id,
                camera=row.camera,
                rule=row.rule,
                since=row.since,
                until=row.until,
                drawn_at=row.drawn_at,
                plan=None if row.plan is None else json.loads(row.plan),
                verdicts=json.loads(row.verdicts),
                judged_at=row.judged_at,
                by=row.said_by,
                figures=_figures(figures),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"the store {self._database.place}: audit {row.id} is damaged ({error}); "
                "restore the store from a backup, or delete this audit"
            ) from error


def _figure(kept: Any) -> AuditFigure | None:
    return None if kept is None else AuditFigure(kept["value"], kept["low"], kept["high"])


def _figures(kept: Any) -> AuditFigures:
    return AuditFigures(
        precision=_figure(kept["precision"]),
        recall=_figure(kept["recall"]),
        accuracy=_figure(kept["accuracy"]),
        counted=kept["counted"],
        true=_figure(kept["true"]),
        judged=kept["judged"],
        # Earlier releases judged directions together.
        directions={name: _figures(one) for name, one in kept.get("directions", {}).items()},
    )


def prune_audits(connection: sa.Connection, before: float) -> None:
    """Forget open audits, and what was drawn and said in others; their figures stay."""
    table = _schema.audits
    old = table.c.kept_at < before
    connection.execute(sa.delete(table).where(old, table.c.judged_at.is_(None)))
    emptied = table.update().where(old, table.c.plan.is_not(None))
    connection.execute(emptied.values(plan=None, verdicts="{}"))
