"""A number that stays over or under a limit for too long; used by `occupancy` and `count`."""

from datetime import timedelta
from typing import ClassVar, Self

from pydantic import Field, model_validator

from pipeline.core.config import Duration
from pipeline.rules.base import RuleBase
from pipeline.rules.measures import Column, Measure, SummaryTable

MEAN = Column("mean", decimals=2)
MOST = Column("max")
LEVEL = (
    Measure("mean", "mean", "objects", MEAN),
    Measure("maximum", "max", "objects", MOST),
)


class MoreThanFields(RuleBase):
    """Fields of rules for which a number can be too large for too long."""

    more_than: int | None = Field(
        default=None, ge=0, description="An event starts when there are more than this."
    )
    for_: Duration = Field(
        default=timedelta(0),
        alias="for",
        description="It must last this long before an event starts.",
    )
    gap: Duration = Field(default=timedelta(0), description="Shorter interruptions do not end it.")
    update_every: Duration = Field(
        default=timedelta(seconds=10),
        description="While it lasts, a new extreme is reported at most this often.",
    )

    measures: ClassVar[tuple[Measure, ...]] = LEVEL

    @property
    def has_limit(self) -> bool:
        """Whether there are events at all, or only minutes."""
        return self.more_than is not None

    def limit(self) -> tuple[str, int | None]:
        """The name of the field that holds the limit, and the limit."""
        return "more_than", self.more_than

    def breaks_limit(self, number: int, at_least: bool) -> bool | None:
        """Whether a number is beyond the limit; None where `at_least` leaves that open."""
        if self.more_than is None:
            return False
        return True if number > self.more_than else None if at_least else False


class LimitFields(MoreThanFields):
    """Fields of rules that compare a number with a limit on either side."""

    fewer_than: int | None = Field(
        default=None, ge=1, description="An event starts when there are fewer than this."
    )

    table: ClassVar[SummaryTable | None] = SummaryTable("occupancy", "occupancy", (MEAN, MOST))

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if self.more_than is not None and self.fewer_than is not None:
            raise ValueError("a rule takes more_than or fewer_than, not both; write two rules")
        if not self.has_limit and (self.for_ or self.gap or self.cooldown):
            raise ValueError("for, gap and cooldown need a more_than or fewer_than")
        return self

    @property
    def has_limit(self) -> bool:
        """Whether there are events at all, or only minutes."""
        return self.more_than is not None or self.fewer_than is not None

    def limit(self) -> tuple[str, int | None]:
        """The name of the field that holds the limit, and the limit."""
        return super().limit() if self.fewer_than is None else ("fewer_than", self.fewer_than)

    def breaks_limit(self, number: int, at_least: bool) -> bool | None:
        """Whether a number is beyond the limit; None where `at_least` leaves that open."""
        if self.fewer_than is not None:
            return False if number >= self.fewer_than else None if at_least else True
        if self.more_than is None:
            return False
        return True if number > self.more_than else None if at_least else False
