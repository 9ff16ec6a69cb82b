"""What all rules have in common: the fields an operator may give each, and what they refer to."""

import importlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from pipeline.core.config import Config, Duration
from pipeline.core.tasks import Task
from pipeline.rules.measures import ManualCount, Measure, SummaryTable
from pipeline.rules.schedule import Windows

if TYPE_CHECKING:
    from pipeline.core.events import Event
    from pipeline.core.rules import Rule
    from pipeline.rules.context import RuleContext
    from pipeline.rules.record import RuleRecord

TaskTypes = tuple[type[Task], ...]


@dataclass(frozen=True, slots=True)
class References:
    """Names of the lines and zones that a rule uses."""

    lines: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A line, and which way somebody went over it."""

    line: str
    direction: str
    """`in` or `out`."""


class RuleBase(Config):
    """Fields of every rule."""

    of: str = Field(description="Name of the camera's task whose answers are judged.")
    cooldown: Duration = Field(
        default=timedelta(0),
        description="After an event, stay silent for this long; what happens is still counted.",
    )
    schedule: Windows = Field(
        default=(),
        description=(
            "Days and hours, in the site's time zone, in which events are given; always when "
            "left out. Counting goes on outside of them."
        ),
    )
    snapshot: bool = Field(
        default=False, description="Keep the frame of each event as a picture beside the store."
    )

    accepts: ClassVar[TaskTypes] = ()
    """The kinds of task whose answers the rule can judge."""
    measures: ClassVar[tuple[Measure, ...]] = ()
    """What its minutes hold."""
    table: ClassVar[SummaryTable | None] = None
    """Where the summary shows it; None where it has nothing but events."""
    manual: ClassVar[ManualCount | None] = None
    """What a person counts to check it; None where `evaluate` has nothing to compare."""

    def references(self) -> References:
        """The lines and zones it names."""
        return References()

    def sum_up(self, record: "RuleRecord") -> Mapping[str, float | None] | None:
        """The numbers of its row of the summary by column; None for no row at all."""
        return {m.column.name: m.of(record.minutes) for m in self.measures if m.column is not None}

    def passage(self, event: "Event") -> Passage | None:
        """The crossing of a line that one of its events tells of, for `render`; None for others."""
        return None

    def problem_with(self, task: Task) -> str | None:
        """Why the rule cannot judge a task's answers, with the way out; None when it can."""
        if isinstance(task, self.accepts):
            return None
        wanted = " or ".join(kind.__name__.lower() for kind in self.accepts)
        asked = type(task).__name__.lower()
        return f"this rule needs a task of type {wanted}, and {task.id!r} is of type {asked}"

    @abstractmethod
    def build(self, context: "RuleContext") -> "Rule":
        """The rule at work; raises ConfigError where a line or zone is missing."""

    def at_work(self, class_name: str, context: "RuleContext") -> Any:
        """The rule of that name; its module, called as this config's, is imported now."""
        name = type(self).__module__.rpartition(".")[2]
        module = importlib.import_module(f"pipeline.rules.at_work.{name}")
        return getattr(module, class_name)(self, context)
