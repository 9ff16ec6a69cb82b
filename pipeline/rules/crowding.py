"""Too many who stand close together: the largest group, by distances in body heights."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.tasks import Detect
from pipeline.rules.base import OnBoxes, References, TaskTypes
from pipeline.rules.limits import MoreThanFields
from pipeline.rules.measures import Column, ManualCount, ManualNumber, Measure, SummaryTable
from pipeline.rules.staff import StaffLeftOut

if TYPE_CHECKING:
    from pipeline.core.rules import Rule
    from pipeline.rules.context import RuleContext

_MEAN = Column("mean_group", "largest group, mean", decimals=2)
_MOST = Column("max_group", "max")


class CrowdingConfig(MoreThanFields, StaffLeftOut):
    """More than so many in one group; a group holds together by its members' distances."""

    type: Literal["crowding"] = "crowding"
    zone: str | None = Field(
        default=None,
        description="The name of one of the camera's zones; the whole picture when left out.",
    )
    more_than: int = Field(
        ge=1, description="An event starts when a group has more members than this."
    )
    within: float = Field(
        default=1.0,
        gt=0,
        le=10,
        description=(
            "Two whose feet are no farther apart than this, in body heights, are in one group: 1 "
            "is about 1.7 m. A group may be longer, as a chain is."
        ),
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="is in the largest group of two or more",
        alarm="is in the largest group while it is too large",
    )
    accepts: ClassVar[TaskTypes] = (Detect,)
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("mean", "mean", "people", _MEAN),
        Measure("maximum", "max", "people", _MOST),
    )
    table: ClassVar[SummaryTable | None] = SummaryTable("crowding", "crowding", (_MEAN, _MOST))
    manual: ClassVar[ManualCount | None] = ManualCount(
        "groups", "group", (ManualNumber(_MOST, ("max_group",), whole=True),)
    )

    def own_references(self) -> References:
        """The zone, if there is one."""
        return References(zones=() if self.zone is None else (self.zone,))

    def build(self, context: "RuleContext") -> "Rule":
        """A running rule; raises ConfigError where the zone is missing."""
        rule: Rule = self.at_work("Crowding", context)
        return rule
