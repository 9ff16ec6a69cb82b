"""Judges the results of one camera and engine: answers become tracks, tracks become verdicts."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from pipeline.core.answers import Answer, Boxes, Failed
from pipeline.core.events import Event, JsonValue
from pipeline.core.geometry import Box
from pipeline.core.jobs import Result
from pipeline.core.measures import Bucket
from pipeline.core.observations import ObservedFrame, snapped
from pipeline.core.rules import (
    NOTHING,
    CountsTracks,
    HearsOfTracks,
    Observation,
    TrackAnswer,
    TrackQuestion,
    Verdict,
)
from pipeline.core.tracks import Track
from pipeline.processing.following import Following, ShownTracks, resolved
from pipeline.processing.kept import LAYOUT, KeptLane, KeptTask
from pipeline.processing.plan import LanePlan, TaskPlan
from pipeline.processing.questions import track_answers
from pipeline.processing.standing import StandingMemory
from pipeline.rules.coverage import COVERAGE, Coverage
from pipeline.tracking.scene import SceneMemory

logger = logging.getLogger(__name__)

# Pictures whose aspects differ by less have the same shape: sizes are rounded to whole pixels.
_SAME_ASPECT = 0.02
_SCENE = "scene"
_UNTRACKED = ShownTracks((), (), tracked=False)

Followed = Mapping[str, ShownTracks]
"""What each task is shown of one picture."""

Watcher = Callable[[Observation, str, tuple[int, int]], None]
"""Called with every observation, its task's name and the frame's size: for recording tracks."""


class _TaskJudge:
    def __init__(self, plan: TaskPlan, aspect: float) -> None:
        self.scene = SceneMemory(aspect) if plan.tracker else None
        self.standing = StandingMemory() if plan.stands else None
        self.coverage = Coverage(max((rule.every_s for rule in plan.rules.values()), default=0.0))
        self.rules = {name: rule.make(aspect) for name, rule in plan.rules.items()}
        self.withheld: dict[str, int] = {}

    def observe(
        self,
        result: Result,
        answer: Answer,
        followed: ShownTracks | None,
        beside: Mapping[str, tuple[Track, ...]],
        *,
        carries: bool,
        learns: bool = True,
    ) -> Observation:
        # Boxes that are carried over say nothing of the detector.
        if (
            learns
            and self.scene is not None
            and isinstance(answer, Boxes)
            and followed is not None
            and not carries
        ):
            self.scene.see(result.captured_at, answer.boxes_xyxy, answer.scores, followed.tracks)
        answered = not isinstance(answer, Failed)
        coverage = self.coverage.see(result.run, result.captured_at, answered=answered)
        shown = followed or _UNTRACKED
        return Observation(
            camera=result.camera,
            run=result.run,
            seq=result.seq,
            at=result.captured_at,
            answer=answer,
            tracks=shown.tracks,
            others=shown.others,
            tracked=shown.tracked,
            coverage=coverage,
            beside=beside,
        )

    def judge(self, seen: Observation) -> list[Verdict]:
        verdicts = []
        for name, rule in self.rules.items():
            verdict = rule.judge(seen)
            if verdict is NOTHING:
                continue
            if verdict.withheld:
                self.withheld[name] = self.withheld.get(name, 0) + verdict.withheld
            verdicts.append(_covered(verdict, seen.coverage))
        return verdicts

    def hear(self, at: float, told: Sequence[TrackAnswer]) -> list[Verdict]:
        coverage = self.coverage.at(at)
        return [
            _covered(rule.hear(at, told), coverage)
            for rule in self.rules.values()
            if isinstance(rule, HearsOfTracks)
        ]

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

    def __init__(
        self,
        camera: str,
        plan: LanePlan,
        watcher: Watcher | None = None,
        *,
        again: bool = False,
    ) -> None:
        """One that judges `again` what was kept of results: the verdicts are the same.

        It does not round what is rounded, and learns nothing of the scene, which changes none.
        """
        self.plan = plan
        self._again = again
        self._camera = camera
        self._watcher = watcher
        self._last_at: float | None = None
        # Rules measure in picture heights, so they are created when a picture's shape is known.
        self._aspect: float | None = None
        self._tasks: dict[str, _TaskJudge] = {}
        self._followings: tuple[Following, ...] = ()
        self._given: Iterator[Followed] | None = None
        self._keep: Callable[[Followed], None] | None = None
        self._remembers = any(task.stands for task in plan.tasks)
        self._judged: Result | None = None
        self._shown: Mapping[str, ShownTracks] = {}

    def judge(self, result: Result) -> Verdict:
        """The verdict on the camera's next result."""
        # What is kept has as many decimals, and whoever judges it again must conclude the same.
        if not self._again:
            result = snapped(result)
        self._judged = result
        self._shown = {}
        verdicts: list[Verdict] = []
        if result.last:
            # Of an end that could not be read only its place is known.
            known = self._last_at if result.unjudgeable else result.captured_at
            if known is not None:
                verdicts += self._hear(known, result)
                verdicts += [of_run(one, result.run) for one in self._finish_all(known)]
                self._last_at = known
            return joined(verdicts)
        if result.unjudgeable:
            return Verdict()  # whoever remembers what stands notices the gap
        aspect = result.size_wh[0] / result.size_wh[1]
        if self._aspect is None:
            self._begin(aspect)
        elif self._last_at is not None and (
            result.captured_at < self._last_at or abs(aspect / self._aspect - 1.0) > _SAME_ASPECT
        ):
            verdicts += self._begin_again(result, aspect, self._last_at)
        self._last_at = result.captured_at
        verdicts += self._hear(result.captured_at, result)
        answers = {
            task.task: answer
            for task in self.plan.tasks
            # Without an answer, a rule's minutes show the gap.
            if (answer := result.answers.get(task.task)) is not None
            and not _is_of_another_question(result, task)
        }
        carried = self._complete(result, answers) if self._remembers else {}
        boxes = {task: answer for task, answer in answers.items() if isinstance(answer, Boxes)}
        followed = self._shown = self._follow(result.captured_at, boxes, carried)
        for name, answer in answers.items():
            judge = self._tasks[name]
            beside = {task: one.tracks for task, one in followed.items() if task != name}
            seen = judge.observe(
                result,
                answer,
                followed.get(name),
                beside,
                carries=name in carried and bool(carried[name]),
                learns=not self._again,
            )
            if self._watcher is not None:
                self._watcher(seen, name, result.size_wh)
            verdicts += [_about(verdict, name) for verdict in judge.judge(seen)]
        return joined(verdicts)

    def _follow(
        self, at: float, boxes: Mapping[str, Boxes], carried: Mapping[str, frozenset[Box]]
    ) -> Followed:
        """What each task is shown of a picture."""
        if self._given is not None:
            return next(self._given)
        followed: dict[str, ShownTracks] = {}
        for following in self._followings:
            followed |= following.see(at, boxes, carried)
        if self._keep is not None:
            self._keep(followed)
        return followed

    def follow(self, keep: Callable[[Followed], None] | None) -> None:
        """Follow with its own trackers, and have it kept what they show in each picture."""
        self._given, self._keep = None, keep

    def follow_again(self, given: Iterator[Followed]) -> None:
        """Take what the same trackers showed in the pictures that come now.

        Its own ones stay behind until they `catch_up`.
        """
        self._given, self._keep = given, None

    def tracks(self) -> Mapping[str, JsonValue]:
        """The states of the trackers by task, to `catch_up` with."""
        return {
            task: state
            for following in self._followings
            for task, state in following.states().items()
        }

    def catch_up(self, tracks: Mapping[str, JsonValue]) -> None:
        """Bring the trackers to where they were after the pictures that were followed before."""
        stored = resolved(tracks)
        for following in self._followings:
            following.restore({task.label: stored[task.task] for task in following.tasks})

    def _hear(self, at: float, result: Result) -> Iterator[Verdict]:
        """What follows from answers about tracks."""
        for task, told in track_answers(result.answers).items():
            judge = self._tasks.get(task)
            if judge is not None:
                for verdict in judge.hear(at, told):
                    yield _about(verdict, task)

    def _complete(self, result: Result, answers: dict[str, Answer]) -> Mapping[str, frozenset[Box]]:
        """Add what stands where nobody looked to the answers; returns those boxes by task."""
        carried: dict[str, frozenset[Box]] = {}
        for name, judge in self._tasks.items():
            if judge.standing is None:
                continue
            judge.standing.note(result)
            answer = answers.get(name)
            if isinstance(answer, Boxes):
                looked = result.looked if name in result.looking else None
                complete = judge.standing.see(answer, looked)
                answers[name] = complete.answer
                carried[name] = complete.carried
            elif answer is not None:
                judge.standing.failed()
        return carried

    @property
    def last_at(self) -> float | None:
        """When the last picture was captured that it knows of, UTC seconds."""
        return self._last_at

    @property
    def aspect(self) -> float | None:
        """The shape of the pictures that it judges; None before the first one."""
        return self._aspect

    @property
    def shown(self) -> Mapping[str, ShownTracks]:
        """What each task was shown of the last picture."""
        return self._shown

    def counted(self, task: str) -> Mapping[str, Mapping[int, int | None]]:
        """By rule of a task: what it has counted of the last picture, as `CountsTracks` tells."""
        judge, shown = self._tasks.get(task), self._shown.get(task)
        if judge is None or shown is None:
            return {}
        return {
            name: rule.counted(shown.tracks)
            for name, rule in judge.rules.items()
            if isinstance(rule, CountsTracks)
        }

    def observed(self) -> ObservedFrame | None:
        """The last result as it was judged, with the tracks of its boxes."""
        if self._judged is None:
            return None
        tracks: dict[str, tuple[int | None, ...]] = {}
        for task, shown in self._shown.items():
            answer = self._judged.answers[task]
            if isinstance(answer, Boxes):
                ids = {track.box: track.id for track in shown.tracks}
                tracks[task] = tuple([ids.get(box) for box in answer.boxes_xyxy])
        return ObservedFrame(self._judged, tracks)

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
        tasks: dict[str, dict[str, JsonValue]] = {}
        trackers = self.tracks()
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
            tasks[task.task] = {
                "terms": task.terms,
                "answered": task.answered,
                "tracker": trackers.get(task.task),
                "coverage": judge.coverage.state() if judge else None,
                "scene": _kept_scene(task, judge.scene if judge else None),
                "rules": rules,
            }
            if judge and judge.standing is not None:
                tasks[task.task] |= {"standing": judge.standing.state()}
        return {
            "version": LAYOUT,
            "last_at": self._last_at,
            "aspect": self._aspect,
            "tasks": {**tasks},
        }

    def resume(self, kept: KeptLane) -> frozenset[str]:
        """Resume every task and rule whose terms are unchanged; all others are fresh.

        Returns the names of the rules that resume. If a tracker begins anew so do its rules: they
        identify things by its track numbers.
        """
        self._last_at = kept.last_at
        if kept.aspect is not None:
            self._begin(kept.aspect)
        unchanged = {
            task.task: before
            for task in self.plan.tasks
            if (before := kept.tasks.get(task.task)) is not None and before.terms == task.terms
        }
        self._restore_known(unchanged)
        for following in self._followings:
            states = {
                task.label: unchanged[task.task].tracker
                for task in following.tasks
                if task.task in unchanged
            }
            if states and not self._restore_tracks(following, states):
                for task in following.tasks:
                    unchanged.pop(task.task, None)
        return frozenset(
            name
            for task in self.plan.tasks
            if (known := unchanged.get(task.task)) is not None
            for name, rule in task.rules.items()
            if name in known.rules
            and known.rules[name].terms == rule.terms
            and self._restore_rule(task, name, known.rules[name].state)
        )

    def inherit(self, rule: str, state: JsonValue, at: float, aspect: float) -> None:
        """Let a fresh rule inherit from an earlier one of the same name; see `Rule`."""
        if self._aspect is None:
            self._begin(aspect)
        for judge in self._tasks.values():
            if rule in judge.rules:
                judge.rules[rule].inherit(state, at)

    def _restore_known(self, kept: Mapping[str, KeptTask]) -> None:
        for task in self.plan.tasks:
            before, judge = kept.get(task.task), self._tasks.get(task.task)
            if before is None or judge is None:
                continue
            if before.coverage is not None:
                with suppress(ValueError):  # it is known again after a minute
                    judge.coverage.restore(before.coverage)
            if judge.scene is not None and scene_of(before.scene) == task.scene:
                with suppress(ValueError):  # it is learned anew
                    judge.scene.restore(before.scene)
            if judge.standing is not None and before.standing is not None:
                with suppress(ValueError):  # it is seen again within seconds
                    judge.standing.restore(before.standing)

    def _restore_tracks(self, following: Following, states: Mapping[str, JsonValue]) -> bool:
        try:
            following.restore(states)
        except ValueError as error:
            names = ", ".join(task.task for task in following.tasks)
            text = (
                "camera %s: the tracks of task %s begin anew, as the stored ones cannot be read: %s"
            )
            logger.warning(text, self._camera, names, error, extra={"camera": self._camera})
            for task in following.tasks:
                if (scene := self._tasks[task.task].scene) is not None:
                    scene.break_off()  # ids start over
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
        self._followings = tuple(_followings(self.plan, aspect))

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


def _followings(plan: LanePlan, aspect: float) -> Iterator[Following]:
    """Tasks that share a tracker, and those that have one of their own."""
    shared: dict[str, list[TaskPlan]] = {}
    for task in plan.tasks:
        if task.tracker is not None:
            # The names of groups are those of tasks, so that no lone task has one.
            shared.setdefault(task.together or task.task, []).append(task)
    for tasks in shared.values():
        if tasks[0].tracker is not None:
            yield Following(tasks, tasks[0].tracker(aspect))


def _is_of_another_question(result: Result, task: TaskPlan) -> bool:
    """Whether it was asked before the task was edited; unknown in results of older releases."""
    if task.task in result.looking and not task.stands:
        return True  # it may be about a part of the picture
    asked = result.asked.get(task.task, "")
    return bool(asked) and bool(task.question) and asked != task.question


def of_run(verdict: Verdict, run: str) -> Verdict:
    """The verdict of a rule's end, whose events come with no picture, with the run they are of."""
    if not run or all(event.run is not None for event in verdict.events):
        return verdict
    events = (e if e.run is not None else replace(e, run=run) for e in verdict.events)
    return replace(verdict, events=tuple(events))


def _about(verdict: Verdict, task: str) -> Verdict:
    """The verdict whose questions say to which task their tracks belong."""
    if not verdict.questions:
        return verdict
    questions = tuple(replace(question, task=task) for question in verdict.questions)
    return replace(verdict, questions=questions)


def joined(verdicts: Sequence[Verdict]) -> Verdict:
    """Several verdicts as one, in order."""
    if not verdicts:
        return NOTHING
    events: list[Event] = []
    buckets: list[Bucket] = []
    questions: list[TrackQuestion] = []
    waiting: list[Event] = []
    for verdict in verdicts:
        events += verdict.events
        buckets += verdict.buckets
        questions += verdict.questions
        waiting += verdict.waiting
    return Verdict(
        tuple(events), tuple(buckets), questions=tuple(questions), waiting=tuple(waiting)
    )
