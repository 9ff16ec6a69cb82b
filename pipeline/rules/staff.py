"""Who belongs to the house: those who come from, or go through, where only staff goes.

What staff does is counted like what everybody does, and once more in figures of its own: nothing
that was counted changes its meaning.
"""

from typing import Self

from pydantic import Field, model_validator

from pipeline.core.config import Config
from pipeline.rules.base import References, RuleBase


class StaffConfig(Config):
    """How staff is told from others: by a zone, by a line, or by both."""

    zone: str | None = Field(
        default=None,
        description=(
            "The name of a zone where only staff goes, such as behind the counter: whoever begins "
            "there or passes through it is staff, also for what he did before."
        ),
    )
    line: str | None = Field(
        default=None,
        description="The name of a line that only staff crosses, such as a door to the back.",
    )

    @model_validator(mode="after")
    def _any(self) -> Self:
        if self.zone is None and self.line is None:
            raise ValueError("name a `zone` or a `line` where only staff goes")
        return self


class StaffFields(RuleBase):
    """The field of rules that tell staff from others."""

    staff: StaffConfig | None = Field(
        default=None,
        description=(
            "Where only staff goes, such as {zone: counter}. What staff does is then also counted "
            "in figures of its own; what counts everybody stays as it is."
        ),
    )

    def with_staff(self, own: References) -> References:
        """What the rule itself uses, and what staff is told by."""
        zone, line = (None, None) if self.staff is None else (self.staff.zone, self.staff.line)
        return References(
            lines=(*own.lines, *([] if line is None else [line])),
            zones=(*own.zones, *([] if zone is None else [zone])),
            tasks=own.tasks,
        )
