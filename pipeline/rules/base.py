"""What all rules have in common: their shared fields, and the lines and zones they refer to."""

import importlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from pipeline.core.config import Config, Duration, Fraction
from pipeline.core.tasks import Ask, Task
from pipeline.rules.measures import ManualCount, Measure, SummaryTable
from pipeline.rules.schedule import When, Windows
from pipeline.rules.verify import VerifyConfig

if TYPE_CHECKING:
    from pipeline.core.events import Event
    from pipeline.core.rules import Observation, Rule
    from pipeline.rules.context import RuleContext
    from pipeline.rules.record import RuleRecord

TaskTypes = tuple[type[Task], ...]


@dataclass(frozen=True, slots=True)
class References:
    """The names of the lines and zones a rule uses, and of tasks it looks at beside its own."""

    lines: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A line, and the direction in which it was crossed."""

    line: str
    direction: str
    """`in` or `out`."""
    mark: str | None = None
    """What is written beside who crossed, by a rule that picks some; None where it counts all."""


@dataclass(frozen=True, slots=True)
class OnBoxes:
    """What boxes of its task look like on a live picture, in words; empty for what it never makes
    of one. A rule without either is not about boxes.
    """

    counted: str = ""
    """Which are in its number. Its rule at work tells their ids, by `CountsTracks`."""
    alarm: str = ""
    """Which of its happenings are about."""


class RuleBase(Config):
    """The fields that every rule has."""

    of: str = Field(description="The name of the camera's task whose answers this rule judges.")
    cooldown: Duration = Field(
        default=timedelta(0),
        description="After an event, report none for this long; counting continues.",
    )
    schedule: Windows = Field(
        default=(),
        description=(
            "Days and hours, in the site's time zone, in which events are reported, or `open` for "
            "the site's opening hours; always when left out. Counting continues outside them."
        ),
    )
    when: When = Field(
        default="always",
        description=(
            "`armed` or `disarmed`: events are reported only while the camera is, see "
            "`site.armed` and `moonwatch arm`; counting continues."
        ),
    )
    min_coverage: Fraction | None = Field(
        default=None,
        description=(
            "Report an event only where answered frames cover at least this share of the last "
            "minute, such as 0.5; counting continues. No minimum when left out."
        ),
    )
    snapshot: bool = Field(
        default=False, description="Save the frame of each event as a picture next to the store."
    )
    verify: VerifyConfig | None = Field(
        default=None,
        description=(
            "Another engine is asked about each happening before it is reported. Counting goes on."
        ),
    )
    clip: bool = Field(
        default=False,
        description=(
            "Save the camera's video around each event, with what came before it, as the camera's "
            "`clips` say."
        ),
    )

    on_boxes: ClassVar[OnBoxes]
    """What boxes look like because of it."""
    accepts: ClassVar[TaskTypes] = ()
    """The kinds of task whose answers the rule can judge."""
    measures: ClassVar[tuple[Measure, ...]] = ()
    """What its minute buckets hold."""
    table: ClassVar[SummaryTable | None] = None
    """The summary table that shows it; None for a rule that only has events."""
    further: ClassVar[tuple[SummaryTable, ...]] = ()
    """More tables of the summary, for rules that know numbers of theirs that `table` lacks."""
    manual: ClassVar[ManualCount | None] = None
    """What a manual count of it consists of; None where `evaluate` has nothing to compare."""
    has_map: ClassVar[bool] = False
    """Whether its minutes hold a heat map, as `heat_of` reads it."""

    def references(self) -> References:
        """The lines and zones it uses."""
        return References()

    def questions(self, rule: str) -> Mapping[str, Ask]:
        """What it asks beside its task, under the name of its field, as engines see it."""
        return {} if self.verify is None else {"verify": self.verify.task(rule)}

    def waits_s(self) -> float:
        """How long its events may wait for an answer before it reports them, in seconds."""
        return 0.0

    def is_covered(self, seen: "Observation") -> bool:
        """Whether enough frames were answered to report what happens now."""
        return self.min_coverage is None or seen.coverage >= self.min_coverage

    def recorded(self) -> tuple[Measure, ...]:
        """Its measures, without those of what it is not told to do."""
        return self.measures

    def sum_up(self, record: "RuleRecord") -> Mapping[str, float | None] | None:
        """The numbers of its row in the summary, by column; None for no row at all."""
        return {m.column.name: m.of(record.minutes) for m in self.recorded() if m.column}

    def passage(self, event: "Event") -> Passage | None:
        """The line crossing that one of its events reports, for `render`; None for other events."""
        return None

    def called_in(self) -> str | None:
        """What its events call a crossing to the right-hand side of its line; None for others."""
        return None

    def problem_with(self, task: Task) -> str | None:
        """Why the rule cannot judge a task's answers and what to do about it; None when it can."""
        if isinstance(task, self.accepts):
            return None
        wanted = " or ".join(kind.__name__.lower() for kind in self.accepts)
        asked = type(task).__name__.lower()
        return f"this rule needs a task of type {wanted}, but {task.id!r} is of type {asked}"

    @abstractmethod
    def build(self, context: "RuleContext") -> "Rule":
        """A running rule; raises ConfigError where a line or zone is missing."""

    def at_work(self, class_name: str, context: "RuleContext") -> Any:
        """The rule of that name; its module, called as this config's, is imported now."""
        name = type(self).__module__.rpartition(".")[2]
        module = importlib.import_module(f"pipeline.rules.at_work.{name}")
        return getattr(module, class_name)(self, context)
