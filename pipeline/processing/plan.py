"""What is judged of a camera, and by what: it decides who resumes and who begins anew."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.core.events import JsonValue
from pipeline.core.rules import Rule
from pipeline.core.tracks import Tracker
from pipeline.processing.health import ENDED_BY


@dataclass(frozen=True, slots=True)
class RulePlan:
    """One rule: how it is made, and what it is judged by."""

    make: Callable[[float], Rule]
    """Makes the rule from the picture's aspect (width ÷ height)."""
    terms: JsonValue = None
    """Everything that changes its verdicts, but for what changes its task's. A checkpoint of other
    terms is not resumed."""
    every_s: float = 0.0
    """How often its task is asked. Another pace is no reason to begin anew."""


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What is done with the answers of one task: tracked where there is a tracker, then judged."""

    task: str
    rules: Mapping[str, RulePlan]
    tracker: Callable[[float], Tracker] | None = None
    """Makes the tracker, from the picture's aspect."""
    terms: str = ""
    """A digest of everything that changes its answers or its tracks."""
    question: str = ""
    """What is asked, as results say it; an answer to another question is not judged."""


@dataclass(frozen=True, slots=True)
class LanePlan:
    """What is judged of one camera's answers from one engine."""

    engine: str
    tasks: tuple[TaskPlan, ...]
    fingerprint: str = ""
    """What checkpoints of the first layout were compared by, for the whole lane."""

    def rules(self) -> Iterator[tuple[TaskPlan, str, RulePlan]]:
        """Every rule with its task and name."""
        for task in self.tasks:
            for name, rule in task.rules.items():
                yield task, name, rule

    def terms(self) -> JsonValue:
        """The terms of all tasks and rules: two lanes with the same ones judge alike."""
        return {
            task.task: [task.terms, {name: rule.terms for name, rule in task.rules.items()}]
            for task in self.tasks
        }

    def paces(self) -> Mapping[str, float]:
        """How often each rule's task is asked."""
        return {name: rule.every_s for _, name, rule in self.rules()}


@dataclass(frozen=True, slots=True)
class CameraPlan:
    """Everything that is judged of one camera."""

    camera: str
    lanes: tuple[LanePlan, ...] = ()
    snapshots: frozenset[str] = frozenset()
    """Rules whose events get a picture."""
    is_recording: bool = False
    """It can be played again. After an edit it is judged from its beginning when it is started
    again, where a live camera goes on from where it is."""
    watched: frozenset[str] = field(default=frozenset(ENDED_BY))
    """The troubles somebody looks out for. An open one that nobody does any more is ended."""
