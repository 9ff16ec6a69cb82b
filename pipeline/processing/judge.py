"""Judges the results of one camera and engine: answers become tracks, tracks become verdicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.core.answers import Answer, Boxes
from pipeline.core.events import Event, JsonValue
from pipeline.core.jobs import Result
from pipeline.core.measures import Bucket
from pipeline.core.rules import Observation, Rule, Verdict
from pipeline.core.tracks import Track, Tracker


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """What is done with the answers of one task: tracked where there is a tracker, then judged."""

    task: str
    rules: Mapping[str, Callable[[float], Rule]]
    """Makes each rule, by its name, from the picture's aspect (width ÷ height)."""
    tracker: Callable[[float], Tracker] | None = None
    """Makes the tracker, from the picture's aspect."""


@dataclass(frozen=True, slots=True)
class CameraPlan:
    """Everything that is judged of one camera's answers from one engine."""

    camera: str
    engine: str
    fingerprint: str
    """Changes with anything that could change a verdict; a checkpoint of another one is void."""
    tasks: tuple[TaskPlan, ...]
    snapshots: frozenset[str] = frozenset()
    """Rules whose events get a picture."""


Watcher = Callable[[Observation, str, tuple[int, int]], None]
"""Is shown every observation, its task's name and the frame's size: for recording tracks."""


class _TaskJudge:
    def __init__(self, plan: TaskPlan, aspect: float) -> None:
        self._tracker = plan.tracker(aspect) if plan.tracker else None
        self.rules = {name: make(aspect) for name, make in plan.rules.items()}

    def observe(self, result: Result, answer: Answer) -> Observation:
        tracks: tuple[Track, ...] = ()
        if self._tracker is not None and isinstance(answer, Boxes):
            tracks = self._tracker.update(result.captured_at, answer.boxes_xyxy, answer.scores)
        return Observation(
            camera=result.camera,
            run=result.run,
            seq=result.seq,
            at=result.captured_at,
            answer=answer,
            tracks=tracks,
        )

    def judge(self, seen: Observation) -> list[Verdict]:
        return [rule.judge(seen) for rule in self.rules.values()]

    def finish(self, at: float) -> list[Verdict]:
        return [rule.finish(at) for rule in self.rules.values()]

    def state(self) -> JsonValue:
        return {
            "tracker": self._tracker.state() if self._tracker else None,
            "rules": {name: rule.state() for name, rule in self.rules.items()},
        }

    def restore(self, state: JsonValue) -> None:
        if not isinstance(state, dict):
            raise TypeError(f"a task's state is a mapping, not {type(state).__name__}")
        if self._tracker is not None:
            self._tracker.restore(state["tracker"])
        rules = state["rules"]
        if not isinstance(rules, dict):
            raise TypeError(f"the rules' states are a mapping, not {type(rules).__name__}")
        for name, rule in self.rules.items():
            rule.restore(rules[name])


class Judge:
    """All tasks of one camera and engine. Results must come in order."""

    def __init__(self, plan: CameraPlan, watcher: Watcher | None = None) -> None:
        self.plan = plan
        self._watcher = watcher
        self._last_at: float | None = None
        # Rules measure in picture heights, so they are made when a picture's shape is known.
        self._aspect: float | None = None
        self._tasks: dict[str, _TaskJudge] = {}

    def judge(self, result: Result) -> Verdict:
        """What follows from one more result of the camera."""
        verdicts: list[Verdict] = []
        if self._last_at is not None and result.captured_at < self._last_at:
            # A new run whose time lies before what was judged: nothing of the old one holds on.
            verdicts += self._finish_all(self._last_at)
            self._aspect = None
        self._last_at = result.captured_at
        if result.last:
            verdicts += self._finish_all(result.captured_at)
            return joined(verdicts)
        if self._aspect is None:
            self._begin(result.size_wh[0] / result.size_wh[1])
        for task_id, judge in self._tasks.items():
            answer = result.answers.get(task_id)
            if answer is None:
                continue
            seen = judge.observe(result, answer)
            if self._watcher is not None:
                self._watcher(seen, task_id, result.size_wh)
            verdicts += judge.judge(seen)
        return joined(verdicts)

    def unfinished(self) -> list[Bucket]:
        """What is known so far of minutes that are not over, to be kept with the state."""
        return [
            bucket
            for judge in self._tasks.values()
            for rule in judge.rules.values()
            for bucket in rule.unfinished()
        ]

    def state(self) -> JsonValue:
        """Everything needed to go on after a restart."""
        return {
            "fingerprint": self.plan.fingerprint,
            "last_at": self._last_at,
            "aspect": self._aspect,
            "tasks": {name: judge.state() for name, judge in self._tasks.items()},
        }

    def restore(self, state: JsonValue) -> bool:
        """Go on from a `state()`; False, and nothing done, when it belongs to another plan."""
        if not isinstance(state, dict) or state.get("fingerprint") != self.plan.fingerprint:
            return False
        last_at, aspect, tasks = state["last_at"], state["aspect"], state["tasks"]
        if not isinstance(tasks, dict):
            return False
        self._last_at = float(last_at) if isinstance(last_at, int | float) else None
        if isinstance(aspect, int | float):
            self._begin(float(aspect))
            for name, judge in self._tasks.items():
                judge.restore(tasks[name])
        return True

    def _begin(self, aspect: float) -> None:
        self._aspect = aspect
        self._tasks = {task.task: _TaskJudge(task, aspect) for task in self.plan.tasks}

    def _finish_all(self, at: float) -> list[Verdict]:
        return [verdict for judge in self._tasks.values() for verdict in judge.finish(at)]


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """Several verdicts as one, in their order."""
    events: list[Event] = []
    buckets: list[Bucket] = []
    for verdict in verdicts:
        events += verdict.events
        buckets += verdict.buckets
    return Verdict(tuple(events), tuple(buckets))
