"""A queue: how long it is, how long people wait until they are served, and who gives up."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.config import Duration
from pipeline.core.tasks import Detect
from pipeline.rules.base import OnBoxes, References, TaskTypes
from pipeline.rules.measures import Column, ManualCount, ManualNumber, Measure, SummaryTable
from pipeline.rules.staff import StaffLeftOut

if TYPE_CHECKING:
    from pipeline.core.rules import Rule
    from pipeline.rules.context import RuleContext
    from pipeline.rules.record import RuleRecord

WAITS_S = (0, 15, 30, 60, 90, 120, 180, 240, 300, 420, 600, 900, 1800)
"""Waits are counted between these, so that a median can be told over any time."""
_MEAN = Column("mean", "length", decimals=2)
_MOST = Column("max")
_SERVED, _ABANDONED = Column("served"), Column("abandoned")
_CENSORED = Column("censored")
_WAIT = Column("mean_wait_s", "mean wait", decimals=1, suffix=" s")
_MEDIAN = Column("median_wait_s", "median wait", decimals=0, suffix=" s")
_P90 = Column("p90_wait_s", "90 % wait at most", decimals=0, suffix=" s")


def wait_measure(wait_s: float) -> str:
    """The measure that counts a wait of so many seconds."""
    above = next((most for most in WAITS_S[1:] if wait_s < most), None)
    return f"wait_over_{WAITS_S[-1]}_s" if above is None else f"wait_under_{above}_s"


def wait_quantile(counts: Sequence[float], share: float) -> float | None:
    """How long a share of waits lasted at most, which are counted as WAITS_S says.

    Within one of these spans in proportion; the last one has no end, so it is its beginning.
    """
    wanted = sum(counts) * share
    if not wanted:
        return None
    below = 0.0
    for (least, most), count in zip(pairwise(WAITS_S), counts, strict=False):
        if below + count >= wanted:
            return least + (most - least) * (wanted - below) / count
        below += count
    return float(WAITS_S[-1])


_WAITS = tuple(wait_measure(least) for least in WAITS_S)


class QueueRuleConfig(StaffLeftOut):
    """People who wait in one zone until they are served in another, or give up."""

    type: Literal["queue"] = "queue"
    zone: str = Field(description="The name of the zone in which people queue.")
    served: str = Field(
        description="The name of the zone in which they are served, such as the place at the till."
    )
    more_than: int | None = Field(
        default=None, ge=0, description="An event starts when more than this are waiting."
    )
    for_: Duration = Field(
        default=timedelta(0),
        alias="for",
        description="The queue must be longer than `more_than` for this long.",
    )
    longer_than: Duration | None = Field(
        default=None, description="An event starts when somebody has been waiting for this long."
    )
    gap: Duration = Field(
        default=timedelta(seconds=5),
        description=(
            "Who leaves the queue and comes back within this time never left, and who reaches the "
            "`served` zone within it was served."
        ),
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="waits; or has waited and is being served",
        alarm="has waited for `longer_than`; or waits while the queue is too long",
    )
    accepts: ClassVar[TaskTypes] = (Detect,)
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("mean", "mean", "people", _MEAN),
        Measure("maximum", "max", "people", _MOST),
        Measure("joined", "sum", "people"),
        Measure("served", "sum", "people", _SERVED),
        Measure("abandoned", "sum", "people", _ABANDONED),
        Measure("censored", "sum", "people", _CENSORED),
        Measure("wait_s", "sum", "seconds"),
        Measure("abandoned_s", "sum", "seconds"),
        *(Measure(name, "sum", "people") for name in _WAITS),
    )
    table: ClassVar[SummaryTable | None] = SummaryTable(
        "queue", "queues", (_MEAN, _MOST, _SERVED, _ABANDONED, _CENSORED, _WAIT, _MEDIAN, _P90)
    )
    manual: ClassVar[ManualCount | None] = ManualCount(
        "queues",
        "queue",
        (
            ManualNumber(_SERVED, ("served",), whole=True),
            ManualNumber(_ABANDONED, ("abandoned",), whole=True),
        ),
    )

    @model_validator(mode="after")
    def _two_zones(self) -> Self:
        if self.zone == self.served:
            raise ValueError(
                f"zone and served are both {self.zone!r}; draw a zone of its own for those who "
                "are being served"
            )
        if self.for_ and self.more_than is None:
            raise ValueError("`for` is how long the queue must be too long; it needs a more_than")
        return self

    def own_references(self) -> References:
        """Both zones."""
        return References(zones=(self.zone, self.served))

    def sum_up(self, record: "RuleRecord") -> Mapping[str, float | None] | None:
        """The sums and levels; of the waits of those who were served the mean, median and p90."""
        known = {measure.name: measure.of(record.minutes) for measure in self.measures}
        served, wait_s = known["served"], known["wait_s"]
        shown = {m.column.name: known[m.name] for m in self.measures if m.column is not None}
        shown[_WAIT.name] = wait_s / served if served and wait_s is not None else None
        waits = [known[name] or 0 for name in _WAITS]
        shown[_MEDIAN.name] = wait_quantile(waits, 0.5)
        shown[_P90.name] = wait_quantile(waits, 0.9)
        return shown

    def build(self, context: "RuleContext") -> "Rule":
        """A running rule; raises ConfigError where a zone is missing."""
        rule: Rule = self.at_work("QueueRule", context)
        return rule
