"""What engines elsewhere have cost, where the queue is the process's own."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from connectors.stores import _schema
from connectors.stores._database import Database
from pipeline.core.spending import Allowance, BudgetSpent


class SqlSpending:
    """Counts what engines have spent; see `pipeline.core.spending.Spending`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def spend(self, who: str, amount: int, allowances: Sequence[Allowance]) -> Allowance | None:
        """Spend from all of these at once, or from none; returns the one that has too little."""
        # A power cut may forget the last few of them.
        with self._database.write("count what an engine costs", durably=False) as connection:
            used = _used(connection, who, allowances)
            short = [one for one in allowances if used[one] + amount > one.most]
            if short:
                return max(short, key=lambda one: one.ends_at)
            rows = [
                {
                    "who": who,
                    "period": one.period,
                    "begins_at": one.begins_at,
                    "used": used[one] + amount,
                }
                for one in allowances
            ]
            self._database.upsert(connection, _schema.spending, rows)
            return None

    def spent(self, who: str, allowances: Sequence[Allowance]) -> Sequence[BudgetSpent]:
        """How much of each of these was spent."""
        with self._database.read("see what an engine cost") as connection:
            used = _used(connection, who, allowances)
        return [BudgetSpent(one, used[one]) for one in allowances]


def _used(
    connection: sa.Connection, who: str, allowances: Sequence[Allowance]
) -> Mapping[Allowance, int]:
    table = _schema.spending
    rows = connection.execute(sa.select(table).where(table.c.who == who)).all()
    kept = {(row.period, row.begins_at): row.used for row in rows}
    return {one: kept.get((one.period, one.begins_at), 0) for one in allowances}
