"""What is judged of a camera, and by which terms: these decide what resumes or begins anew."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.core.events import JsonValue
from pipeline.core.rules import Rule
from pipeline.core.tracks import Tracker
from pipeline.core.verifying import SecondLook
from pipeline.processing.clips import ClipPlan
from pipeline.processing.health import ENDED_BY


@dataclass(frozen=True, slots=True)
class RulePlan:
    """One rule: how it is created, and its terms."""

    make: Callable[[float], Rule]
    """Creates the rule from the picture's aspect (width ÷ height)."""
    terms: JsonValue = None
    """Everything that changes its verdicts, except what changes its task's. A checkpoint with other
    terms is not resumed."""
    every_s: float = 0.0
    """How often its task is asked. A change of pace alone does not make it begin anew."""


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What happens to the answers of one task: tracked if it has a tracker, then judged."""

    task: str
    rules: Mapping[str, RulePlan]
    tracker: Callable[[float], Tracker] | None = None
    """Creates the tracker from the picture's aspect."""
    label: str = ""
    """What it looks for."""
    together: str = ""
    """The same for tasks that share a tracker, and nothing for one that shares none."""
    terms: str = ""
    """A digest of everything that changes its answers or its tracks."""
    answered: str = ""
    """A digest of what changes its answers alone: tasks with the same one are answered alike,
    whatever they are called and however their boxes are followed."""
    question: str = ""
    """The question, as results name it; an answer to another question is not judged."""
    scene: str = ""
    """A digest of where the pictures come from: what is known of another scene does not hold."""
    stands: bool = False
    """Its answers may be about parts of the picture; what stands elsewhere is remembered."""
    followed: str = ""
    """All that its tracker is told, as text. Tracks that were stored may go on where this is
    another, if the terms are the same, but what will be shown need not be the same."""


@dataclass(frozen=True, slots=True)
class LanePlan:
    """What is judged of one camera's answers from one engine."""

    engine: str
    tasks: tuple[TaskPlan, ...]
    fingerprint: str = ""
    """The fingerprint of the whole lane in the first checkpoint layout."""

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
    clips: ClipPlan | None = None
    """Rules whose events get a clip; None where no rule asks for one."""
    is_recording: bool = False
    """It can be played again. When started after an edit it is judged from its beginning, while a
    live camera continues from where it is."""
    watched: frozenset[str] = field(default=frozenset(ENDED_BY))
    """The troubles that are watched for. An ongoing one that is no longer watched is ended."""
    was: tuple[str, ...] = ()
    """Its earlier names, under which something may be stored."""
    remembers: bool = False
    """What is judged is stored as well, so that it can be judged again."""
    verify: Mapping[str, SecondLook] = field(default_factory=dict)
    """What is asked about the events of rules that are looked at twice."""
    engines: frozenset[str] = frozenset()
    """All engines that the file uses: what waits for another one is not waited for."""
