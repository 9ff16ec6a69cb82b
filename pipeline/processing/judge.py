"""Judges the results of one camera and engine: answers become tracks, tracks become verdicts."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from pipeline.core.answers import Answer, Boxes, Failed
from pipeline.core.events import Event, JsonValue
from pipeline.core.jobs import Result
from pipeline.core.measures import Bucket
from pipeline.core.rules import Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.processing.kept import LAYOUT, KeptLane, KeptTask
from pipeline.processing.plan import LanePlan, TaskPlan
from pipeline.rules.coverage import COVERAGE, Coverage
from pipeline.tracking.scene import SceneMemory

logger = logging.getLogger(__name__)

# Pictures whose aspects differ by less have the same shape: sizes are rounded to whole pixels.
_SAME_ASPECT = 0.02
_SCENE = "scene"

Watcher = Callable[[Observation, str, tuple[int, int]], None]
"""Called with every observation, its task's name and the frame's size: for recording tracks."""


class _TaskJudge:
    def __init__(self, plan: TaskPlan, aspect: float) -> None:
        self.tracker = plan.tracker(aspect) if plan.tracker else None
        self.scene = SceneMemory(aspect) if plan.tracker else None
        self.coverage = Coverage(max((rule.every_s for rule in plan.rules.values()), default=0.0))
        self.rules = {name: rule.make(aspect) for name, rule in plan.rules.items()}
        self.withheld: dict[str, int] = {}

    def observe(self, result: Result, answer: Answer) -> Observation:
        tracks: tuple[Track, ...] = ()
        if self.tracker is not None and isinstance(answer, Boxes):
            tracks = self.tracker.update(result.captured_at, answer.boxes_xyxy, answer.scores)
            if self.scene is not None:
                self.scene.see(result.captured_at, answer.boxes_xyxy, answer.scores, tracks)
        answered = not isinstance(answer, Failed)
        coverage = self.coverage.see(result.run, result.captured_at, answered=answered)
        return Observation(
            camera=result.camera,
            run=result.run,
            seq=result.seq,
            at=result.captured_at,
            answer=answer,
            tracks=tracks,
            coverage=coverage,
        )

    def judge(self, seen: Observation) -> list[Verdict]:
        verdicts = {name: rule.judge(seen) for name, rule in self.rules.items()}
        for name, verdict in verdicts.items():
            if verdict.withheld:
                self.withheld[name] = self.withheld.get(name, 0) + verdict.withheld
        return [_covered(verdict, seen.coverage) for verdict in verdicts.values()]

    def finish(self, at: float) -> list[Verdict]:
        coverage = self.coverage.at(at)
        return [_covered(rule.finish(at), coverage) for rule in self.rules.values()]


def _covered(verdict: Verdict, coverage: float) -> Verdict:
    """The verdict whose events say how much of the last minute they stand on."""
    if not verdict.events:
        return verdict
    share = round(coverage, 3)
    events = tuple(replace(event, data={**event.data, COVERAGE: share}) for event in verdict.events)
    return replace(verdict, events=events)


class Judge:
    """All tasks of one camera and engine. Results must come in order."""

    def __init__(self, camera: str, plan: LanePlan, watcher: Watcher | None = None) -> None:
        self.plan = plan
        self._camera = camera
        self._watcher = watcher
        self._last_at: float | None = None
        # Rules measure in picture heights, so they are created when a picture's shape is known.
        self._aspect: float | None = None
        self._tasks: dict[str, _TaskJudge] = {}

    def judge(self, result: Result) -> Verdict:
        """The verdict on the camera's next result."""
        verdicts: list[Verdict] = []
        if result.last:
            # Of an end that could not be read only its place is known.
            known = self._last_at if result.unjudgeable else result.captured_at
            if known is not None:
                verdicts += self._finish_all(known)
                self._last_at = known
            return joined(verdicts)
        if result.unjudgeable:
            return Verdict()
        aspect = result.size_wh[0] / result.size_wh[1]
        if self._aspect is None:
            self._begin(aspect)
        elif self._last_at is not None and (
            result.captured_at < self._last_at or abs(aspect / self._aspect - 1.0) > _SAME_ASPECT
        ):
            verdicts += self._begin_again(result, aspect, self._last_at)
        self._last_at = result.captured_at
        for task in self.plan.tasks:
            answer = result.answers.get(task.task)
            if answer is None or _is_of_another_question(result, task):
                continue  # without an answer, a rule's minutes show the gap
            judge = self._tasks[task.task]
            seen = judge.observe(result, answer)
            if self._watcher is not None:
                self._watcher(seen, task.task, result.size_wh)
            verdicts += judge.judge(seen)
        return joined(verdicts)

    def unfinished(self) -> list[Bucket]:
        """What is known so far of minutes that are not over, to be stored with the state."""
        return [
            bucket
            for judge in self._tasks.values()
            for rule in judge.rules.values()
            for bucket in rule.unfinished()
        ]

    def take_withheld(self) -> Mapping[str, int]:
        """Happenings, by rule, that were not reported since this was asked last."""
        taken: dict[str, int] = {}
        for judge in self._tasks.values():
            taken |= judge.withheld
            judge.withheld = {}
        return taken

    def is_outdated(self, result: Result) -> bool:
        """Whether some of its answers are to a question that has been edited since."""
        return any(_is_of_another_question(result, task) for task in self.plan.tasks)

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart, with the terms of each part."""
        tasks: dict[str, JsonValue] = {}
        for task in self.plan.tasks:
            judge = self._tasks.get(task.task)
            rules: dict[str, JsonValue] = {
                name: {
                    "terms": rule.terms,
                    "every_s": rule.every_s,
                    "state": judge.rules[name].state() if judge else None,
                }
                for name, rule in task.rules.items()
            }
            tracker = judge.tracker.state() if judge and judge.tracker else None
            tasks[task.task] = {
                "terms": task.terms,
                "tracker": tracker,
                "coverage": judge.coverage.state() if judge else None,
                "scene": _kept_scene(task, judge.scene if judge else None),
                "rules": rules,
            }
        return {
            "version": LAYOUT,
            "last_at": self._last_at,
            "aspect": self._aspect,
            "tasks": tasks,
        }

    def resume(self, kept: KeptLane) -> frozenset[str]:
        """Resume every task and rule whose terms are unchanged; all others are fresh.

        Returns the names of the rules that resume. If a tracker begins anew so do its rules: they
        identify things by its track numbers.
        """
        self._last_at = kept.last_at
        if kept.aspect is not None:
            self._begin(kept.aspect)
        return frozenset(
            name
            for task in self.plan.tasks
            if (before := kept.tasks.get(task.task)) is not None
            and before.terms == task.terms
            and self._restore_tracker(task, before)
            for name, rule in task.rules.items()
            if name in before.rules
            and before.rules[name].terms == rule.terms
            and self._restore_rule(task, name, before.rules[name].state)
        )

    def inherit(self, rule: str, state: JsonValue, at: float, aspect: float) -> None:
        """Let a fresh rule inherit from an earlier one of the same name; see `Rule`."""
        if self._aspect is None:
            self._begin(aspect)
        for judge in self._tasks.values():
            if rule in judge.rules:
                judge.rules[rule].inherit(state, at)

    def _restore_tracker(self, task: TaskPlan, kept: KeptTask) -> bool:
        judge = self._tasks.get(task.task)
        if judge is not None and kept.coverage is not None:
            with suppress(ValueError):  # it is known again after a minute
                judge.coverage.restore(kept.coverage)
        if judge is None or judge.tracker is None:
            return True
        if judge.scene is not None and scene_of(kept.scene) == task.scene:
            with suppress(ValueError):  # it is learned anew
                judge.scene.restore(kept.scene)
        try:
            judge.tracker.restore(kept.tracker)
        except ValueError as error:
            text = (
                "camera %s: the tracks of task %s begin anew, as the stored ones cannot be read: %s"
            )
            logger.warning(text, self._camera, task.task, error, extra={"camera": self._camera})
            if judge.scene is not None:
                judge.scene.break_off()  # ids start over
            return False
        return True

    def _restore_rule(self, task: TaskPlan, name: str, state: JsonValue) -> bool:
        judge = self._tasks.get(task.task)
        if judge is None:
            return True
        try:
            judge.rules[name].restore(state)
        except ValueError:
            return False  # reported when it is finished, which fails as well
        return True

    def _begin(self, aspect: float) -> None:
        self._aspect = aspect
        self._tasks = {task.task: _TaskJudge(task, aspect) for task in self.plan.tasks}

    def _begin_again(self, result: Result, aspect: float, last_at: float) -> list[Verdict]:
        """The clock was set back, another recording began, or the picture's shape changed.

        No track or condition continues across that. A live camera's totals and open minutes do; a
        recording that is played again counts from its beginning.
        """
        verdicts = self._finish_all(last_at)
        before = self._tasks
        was_alike = self._aspect is not None and abs(aspect / self._aspect - 1.0) <= _SAME_ASPECT
        self._begin(aspect)
        if result.live:
            for task, judge in self._tasks.items():
                known = before[task].scene
                if known is not None and was_alike:
                    known.break_off()
                    judge.scene = known
                for name, rule in judge.rules.items():
                    rule.inherit(before[task].rules[name].state(), result.captured_at)
        return verdicts

    def _finish_all(self, at: float) -> list[Verdict]:
        return [verdict for judge in self._tasks.values() for verdict in judge.finish(at)]


def _kept_scene(task: TaskPlan, scene: SceneMemory | None) -> JsonValue:
    """What is known of the scene, and of which it is known."""
    state = scene.state() if scene is not None else None
    return {**state, _SCENE: task.scene} if isinstance(state, dict) else None


def scene_of(state: JsonValue) -> JsonValue:
    """The scene that a stored memory is about, as the plan of its task named it."""
    return state.get(_SCENE) if isinstance(state, dict) else None


def _is_of_another_question(result: Result, task: TaskPlan) -> bool:
    """Whether it was asked before the task was edited; unknown in results of older releases."""
    asked = result.asked.get(task.task, "")
    return bool(asked) and bool(task.question) and asked != task.question


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """Several verdicts as one, in order."""
    events: list[Event] = []
    buckets: list[Bucket] = []
    for verdict in verdicts:
        events += verdict.events
        buckets += verdict.buckets
    return Verdict(tuple(events), tuple(buckets))
