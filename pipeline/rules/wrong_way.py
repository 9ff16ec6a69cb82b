"""Who goes against the direction: the wrong way over a line, or against an arrow in a zone."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.core.tasks import Detect
from pipeline.rules.base import OnBoxes, Passage, References, TaskTypes
from pipeline.rules.measures import Column, ManualCount, ManualNumber, Measure, SummaryTable
from pipeline.rules.staff import StaffLeftOut, Treatment

if TYPE_CHECKING:
    from pipeline.core.events import Event
    from pipeline.core.rules import Rule
    from pipeline.rules.context import RuleContext

_WRONG, _RIGHT = Column("wrong"), Column("right")


class WrongWayConfig(StaffLeftOut):
    """Who goes the wrong way, an event each; write `line` and `wrong`, or `zone` and `along`."""

    type: Literal["wrong_way"] = "wrong_way"
    line: str | None = Field(
        default=None, description="The name of the line that nobody should cross the wrong way."
    )
    wrong: Literal["in", "out"] | None = Field(
        default=None,
        description=(
            "The wrong way over the line: looking from its `from` to its `to`, right is `in`."
        ),
    )
    zone: str | None = Field(
        default=None, description="The name of the zone in which there is a right direction."
    )
    along: str | None = Field(
        default=None,
        description="The name of a line that is the arrow of it: from its `from` to its `to`.",
    )
    distance: float = Field(
        default=1.5,
        ge=0.5,
        le=50,
        description=(
            "How far somebody must go against the arrow in the zone, in body heights: 1.5 is about "
            "2.5 m."
        ),
    )
    margin: float = Field(
        default=0.01,
        gt=0,
        le=0.25,
        description="How far past the line a person must get, as for `line_crossing`.",
    )

    on_boxes: ClassVar[OnBoxes] = OnBoxes(
        counted="has gone one way or the other", alarm="has gone the wrong way, for ten seconds"
    )
    accepts: ClassVar[TaskTypes] = (Detect,)
    treatment: ClassVar[Treatment] = "unreported"
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("wrong", "sum", "people", _WRONG),
        Measure("right", "sum", "people", _RIGHT),
    )
    table: ClassVar[SummaryTable | None] = SummaryTable("ways", "wrong way", (_WRONG, _RIGHT))
    manual: ClassVar[ManualCount | None] = ManualCount(
        "ways", "way", (ManualNumber(_WRONG, ("wrong",), whole=True),)
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.line is None) == (self.zone is None):
            raise ValueError(
                "a wrong way is over a line, with `line: NAME` and `wrong: in` or `out`, or in a "
                "zone, with `zone: NAME` and `along: LINE`; write one of them"
            )
        if self.line is not None and self.wrong is None:
            raise ValueError("with a line it needs `wrong: in` or `wrong: out`")
        if self.zone is not None and self.along is None:
            raise ValueError("with a zone it needs `along`, the name of a line that is its arrow")
        unused = self.along if self.zone is None else self.wrong
        if unused is not None:
            name = "along" if self.zone is None else "wrong"
            raise ValueError(f"`{name}` has no meaning here; leave it out")
        return self

    def own_references(self) -> References:
        """The line, or the zone and its arrow."""
        lines = tuple(name for name in (self.line, self.along) if name is not None)
        return References(lines=lines, zones=() if self.zone is None else (self.zone,))

    def passage(self, event: "Event") -> Passage | None:
        """The crossing of the line, where there is one."""
        if event.type != self.type or self.line is None:
            return None
        return Passage(self.line, str(event.data.get("direction")), "wrong way")

    def build(self, context: "RuleContext") -> "Rule":
        """A running rule; raises ConfigError where a shape is missing or a line has no length."""
        for name in self.own_references().lines:
            context.crossable(name)
        rule: Rule = self.at_work("WrongWay", context)
        return rule
