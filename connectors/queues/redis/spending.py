"""What engines elsewhere have cost, counted by all workers together."""

from collections.abc import Sequence
from datetime import timedelta

from connectors.queues.redis.client.link import Link
from pipeline.core.spending import Allowance, BudgetSpent

# Beyond its end: the clocks of workers differ, and their hours begin a little apart.
_LONGER_MS = round(timedelta(hours=1).total_seconds() * 1000)


class RedisSpending:
    """Counts what engines have spent; see `pipeline.core.spending.Spending`."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def spend(self, who: str, amount: int, allowances: Sequence[Allowance]) -> Allowance | None:
        """Spend from all of these at once, or from none; returns the one that has too little."""
        longest_first = sorted(allowances, key=lambda one: one.ends_at, reverse=True)
        if not longest_first:
            return None
        told: list[str | int] = []
        for one in longest_first:
            length_ms = round((one.ends_at - one.begins_at) * 1000)
            told += [_name(who, one), one.most, length_ms + _LONGER_MS]
        short = int(self._link.script("spend", amount, *told))
        return longest_first[short - 1] if short else None

    def spent(self, who: str, allowances: Sequence[Allowance]) -> Sequence[BudgetSpent]:
        """How much of each of these was spent."""
        if not allowances:
            return []
        found = self._link.script("spent", *(_name(who, one) for one in allowances))
        return [
            BudgetSpent(one, int(used or 0)) for one, used in zip(allowances, found, strict=True)
        ]


def _name(who: str, allowance: Allowance) -> str:
    return f"{who}:{allowance.period}:{allowance.begins_at:.0f}"
