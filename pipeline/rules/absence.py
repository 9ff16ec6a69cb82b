"""Nobody where somebody should be: an empty till, a desk that is left, a machine alone."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.config import Duration
from pipeline.core.tasks import Count, Detect, Task
from pipeline.core.tasks import Point as PointTask
from pipeline.rules.base import OnBoxes, References, TaskTypes
from pipeline.rules.measures import Column, ManualCount, ManualNumber, Measure, SummaryTable
from pipeline.rules.staff import StaffConfig, StaffLeftOut, Treatment

if TYPE_CHECKING:
    from pipeline.core.rules import Rule
    from pipeline.rules.context import RuleContext
    from pipeline.rules.record import RuleRecord

_TIMES = Column("absences")
_SHARE = Column("empty_share", "empty", decimals=1, suffix=" %")
_LONGEST = Column("longest_s", "longest", decimals=1, suffix=" s")


class AbsenceConfig(StaffLeftOut):
    """Nobody in a zone for `for`. Time in which nothing is known is not absence: it ends one."""

    type: Literal["absence"] = "absence"
    zone: str | None = Field(
        default=None,
        description="The name of one of the camera's zones; the whole picture when left out.",
    )
    for_: Duration = Field(
        alias="for",
        description=(
            "Nobody must be there for this long before an event starts. With a `schedule`, it "
            "begins at its hours."
        ),
    )
    gap: Duration = Field(
        default=timedelta(0),
        description="Somebody who is there for less than this does not end it.",
    )

    staff: StaffConfig | None = Field(
        default=None,
        description=(
            "Who must be there, by a zone, a line or a question, as for `line_crossing`: others "
            "do not count. By default anybody does."
        ),
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(counted="is in the zone, so that it is not empty")
    accepts: ClassVar[TaskTypes] = (Detect, PointTask, Count)
    treatment: ClassVar[Treatment] = "wanted"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("absences", "sum", "absences", _TIMES),
        Measure("empty", "mean", "share of the time"),
    )
    table: ClassVar[SummaryTable | None] = SummaryTable(
        "absence", "absence", (_TIMES, _SHARE, _LONGEST)
    )
    manual: ClassVar[ManualCount | None] = ManualCount(
        "posts", "post", (ManualNumber(_TIMES, ("absences",), whole=True),)
    )

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if not self.for_:
            raise ValueError(
                "an absence must last: with `for: 0s` every moment in which a detector misses "
                "somebody would be one; write for example `for: 2m`"
            )
        return self

    def own_references(self) -> References:
        """The zone, if there is one."""
        return References(zones=() if self.zone is None else (self.zone,))

    def problem_with(self, task: Task) -> str | None:
        """As for every rule; with a zone, the task must also give positions."""
        if self.zone is not None and isinstance(task, Count):
            return (
                f"{task.id!r} counts without positions, so it cannot tell who is in zone "
                f"{self.zone!r}; use a detect or point task"
            )
        return super().problem_with(task)

    def sum_up(self, record: "RuleRecord") -> Mapping[str, float | None] | None:
        """How often it was reported, the share of the known time that was empty, the longest."""
        times, share = (measure.of(record.minutes) for measure in self.measures)
        lasted = (event.data.get("seconds") for event in record.events("end"))
        longest = max((float(s) for s in lasted if isinstance(s, int | float)), default=None)
        if times == 0 and longest is None:
            longest = 0.0
        return {
            _TIMES.name: times,
            _SHARE.name: None if share is None else round(100 * share, 3),
            _LONGEST.name: longest,
        }

    def build(self, context: "RuleContext") -> "Rule":
        """A running rule; raises ConfigError where the zone is missing."""
        rule: Rule = self.at_work("Absence", context)
        return rule
