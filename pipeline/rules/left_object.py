"""Things that stay although nobody is with them: bags, boxes, bicycles."""

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pipeline.core.config import Duration
from pipeline.rules.base import OnBoxes
from pipeline.rules.measures import Column, Measure, SummaryTable
from pipeline.rules.unattended import ThingFields

if TYPE_CHECKING:
    from pipeline.rules.at_work.left_object import LeftObject
    from pipeline.rules.context import RuleContext

_LEFT, _MOST = Column("left"), Column("max_left", "most at a time")


class LeftObjectConfig(ThingFields):
    """What was put down and stays for `longer_than` with nobody near: one happening for each.

    What was there when the rule began is part of the scene.
    """

    type: Literal["left_object"] = "left_object"
    longer_than: Duration = Field(
        gt=timedelta(0),
        description="An event starts when it has stood for this long with nobody near.",
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="was left", alarm="was left and was reported, until it is taken"
    )
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("left", "sum", "things", _LEFT),
        Measure("mean", "mean", "things"),
        Measure("maximum", "max", "things", _MOST),
    )
    table: ClassVar[SummaryTable | None] = SummaryTable(
        "left_objects", "left objects", (_LEFT, _MOST)
    )

    def build(self, context: "RuleContext") -> "LeftObject":
        """A running rule; raises ConfigError where the zone is missing."""
        rule: LeftObject = self.at_work("LeftObject", context)
        return rule
