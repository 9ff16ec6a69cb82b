"""What one camera and engine saw, judged again by a plan: part by part, the newest part first.

A waypoint holds the whole state of the judge that was at work then. What the plan has in common
with it resumes, exactly as after a restart; a rule that is new or was edited begins anew, and is
shown some of what came before, which does not count, so that it knows who is there.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from pipeline.core.errors import StoreError
from pipeline.core.events import Event, JsonValue
from pipeline.core.jobs import Result
from pipeline.core.measures import BUCKET_S, Bucket, minute_of
from pipeline.core.observations import (
    ObservationBlock,
    ObservationHistory,
    ObservedFrame,
    Waypoint,
    frames_of,
)
from pipeline.core.rules import Verdict
from pipeline.core.store import Span
from pipeline.insight.followed_looks import FollowedParts, PackedLooks, RunUpParts, digest_of
from pipeline.processing.judge import Judge
from pipeline.processing.kept import KeptLane, KeptTask, read_lane
from pipeline.processing.plan import LanePlan, TaskPlan
from pipeline.processing.questions import with_tasks

RUN_UP_S = 1800.0
"""How much a rule that begins anew is shown at least before what counts."""
_LARGEST_PART_S = 8 * 3600.0
_LONGEST_RUN_UP_S = 8 * 3600.0
"""How much it is shown at most to find out when something began that goes on."""
_SETTLED_S = 5.0
"""Trackers and rules are sure of what is there a little later."""
_AFTER_S = 180.0
"""So long after a moment rules may still conclude something of the time before it."""
MOST_FOLLOWED = 24_000_000
"""Bytes of what trackers showed that are held at most until it is judged again."""
_LOOK_EVERY = 64
"""Frames between two looks whether to stop."""


@dataclass(slots=True)
class Judged:
    """What rules concluded of a time, by rule."""

    minutes: dict[str, dict[int, Bucket]] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=dict)
    resumed: dict[str, bool] = field(default_factory=dict)
    """Whether a rule went on from what was stored of it, so that it concludes exactly the same."""
    notes: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)
    """The tasks of the plan whose answers are known."""
    recorded: set[str] = field(default_factory=set)
    """The tasks that were answered, whatever they asked, as they were called then."""
    taken: dict[str, list[Span]] = field(default_factory=dict)
    """The times in which a rule is as it is stored, and was not judged again."""
    seen: set[int] = field(default_factory=set)
    """The minutes of which something was seen."""
    last_at: float | None = None
    """When the last picture was captured."""
    has_ended: bool = False
    """Whether it is a recording that was judged to its end."""
    cut_off: dict[str, dict[str, float]] = field(default_factory=dict)
    """Happenings that may have begun earlier, by rule: since when was looked for each of them."""

    def see(self, frames: Sequence[ObservedFrame]) -> None:
        """Add what was seen."""
        results = [frame.result for frame in frames]
        self.seen |= {minute_of(one.captured_at) for one in results if not one.unjudgeable}
        self.last_at = max((one.captured_at for one in results), default=self.last_at)
        self.has_ended |= any(one.last for one in results)

    def add(self, verdict: Verdict) -> None:
        """Add what one more frame leads to."""
        for event in verdict.events:
            self.events.setdefault(event.rule, []).append(event)
        for bucket in verdict.buckets:
            self.minutes.setdefault(bucket.rule, {})[bucket.minute] = bucket

    def add_older(self, older: "Judged") -> None:
        """Add what is earlier; of a minute that both know, the later one knows more."""
        for rule, minutes in older.minutes.items():
            mine = self.minutes.setdefault(rule, {})
            for minute, bucket in minutes.items():
                mine.setdefault(minute, bucket)
        for rule, events in older.events.items():
            self.events[rule] = [*events, *self.events.get(rule, ())]
        for rule, resumed in older.resumed.items():
            self.resumed[rule] = resumed and self.resumed.get(rule, True)
        self.notes = [*older.notes, *self.notes]
        self.answered |= older.answered
        self.recorded |= older.recorded
        for rule, spans in older.taken.items():
            self.taken[rule] = [*spans, *self.taken.get(rule, ())]
        self.seen |= older.seen
        known = [at for at in (self.last_at, older.last_at) if at is not None]
        self.last_at = max(known, default=None)
        self.has_ended |= older.has_ended
        for rule, cut_off in older.cut_off.items():
            self.cut_off[rule] = {**cut_off, **self.cut_off.get(rule, {})}

    def taken_from(self, since: float) -> "Judged":
        """Take out, and return, what is of `since` or later."""
        taken = Judged(
            resumed=dict(self.resumed),
            notes=self.notes,
            answered=set(self.answered),
            recorded=set(self.recorded),
            taken=dict(self.taken),
            seen={minute for minute in self.seen if minute >= since},
            last_at=self.last_at,
            has_ended=self.has_ended,
            cut_off=dict(self.cut_off),
        )
        self.notes, self.seen = [], self.seen - taken.seen
        for rule, minutes in self.minutes.items():
            late = {minute: bucket for minute, bucket in minutes.items() if minute >= since}
            taken.minutes[rule] = late
            for minute in late:
                del minutes[minute]
        for rule, events in self.events.items():
            taken.events[rule] = [event for event in events if event.at >= since]
            self.events[rule] = [event for event in events if event.at < since]
        return taken


@dataclass(frozen=True, slots=True)
class _Part:
    """What was seen from one waypoint to the next."""

    since: float
    start: Waypoint | None
    """None where something was kept from before the first waypoint."""
    end: Waypoint | None
    """None where it goes on to the newest frame."""

    @property
    def until(self) -> float:
        """Later than all that was seen in it."""
        if self.end is None:
            return float("inf")
        if self.start is None or self.end.at > self.start.at:
            return self.end.at
        return self.within  # the clock was set back

    @property
    def within(self) -> float:
        """When the hour ends that it begins in: there is a waypoint in every hour."""
        if self.start is None:
            return self.since
        return (self.start.at // 3600.0 + 1.0) * 3600.0


@dataclass(frozen=True, slots=True)
class JudgedStretch:
    """Parts that are judged in one go, by their places: `run_up` to `begin` do not count."""

    run_up: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class CutTime:
    """A time in parts, by the order of judging, and the stretches of it, newest first."""

    parts: Sequence[_Part]
    until: float
    stretches: Sequence[JudgedStretch]
    is_stored: bool
    """All that would be concluded is as it is stored, so that there is nothing to judge."""


class _Begun:
    """What began, by rules that begin anew, so soon that it may have been going on before."""

    def __init__(self, memories: Mapping[str, float], *, keeps_ended: bool) -> None:
        """What has ended is over, unless it is kept."""
        self._memories = memories
        self._keeps_ended = keeps_ended
        self._started: dict[str, Event] = {}
        self._rules: set[str] | None = None
        self._since: float | None = None

    def enter(self, resumed: Mapping[str, bool]) -> None:
        """Only rules that have not resumed by now have begun anew."""
        new = {name for name, is_same in resumed.items() if not is_same}
        self._rules = new if self._rules is None else self._rules & new

    def see(self, frames: Sequence[ObservedFrame]) -> None:
        """Note when the first picture was captured that they were shown."""
        if frames and self._since is None:
            self._since = min(frame.result.captured_at for frame in frames)

    def add(self, events: Sequence[Event]) -> None:
        """Add what happened."""
        for event in events:
            if event.phase == "start":
                self._started[event.id] = event
            elif event.phase == "end" and not self._keeps_ended:
                self._started.pop(event.id, None)

    def cut_off(self) -> dict[str, dict[str, float]]:
        """By rule, those that may have begun before anything was shown, and when that began."""
        found: dict[str, dict[str, float]] = {}
        for id_, event in self._started.items():
            told_s = self._memories.get(event.rule, 0.0) + _SETTLED_S
            is_anew = self._rules is not None and event.rule in self._rules
            if self._since is not None and is_anew and event.at <= self._since + told_s:
                found.setdefault(event.rule, {})[id_] = self._since
        return found


class SimulationStopped(Exception):  # noqa: N818 - it is no error
    """Whoever asked wants no more of it."""


class LaneSimulation:
    """Judges again what one camera and engine saw, by the tasks of a plan that it answers."""

    def __init__(
        self,
        history: ObservationHistory,
        camera: str,
        engine: str,
        tasks: Sequence[TaskPlan],
        *,
        named: str | None = None,
        in_order: bool = False,
        every_rule: bool = False,
        always: Collection[str] = (),
        memories: Mapping[str, float] | None = None,
        room: int = MOST_FOLLOWED,
        followed: FollowedParts | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """`camera` is the name under which it is kept, `named` that in the plan.

        `in_order` judges from the beginning to the end, as it was judged, where a rule begins anew.
        Rules that would go on from what is stored of them conclude what is stored: they are not
        judged again unless it is to be `every_rule`, or they are of those that `always` are, as not
        all that they concluded is stored. `memories` are how many seconds each rule may take to
        tell what has begun, such as its `longer_than`. `room` is how many bytes are held at
        most of what trackers showed, so that nothing need be followed twice; what was `followed` is
        held beyond that, for the next simulation as well. `look` is called now and then, and may
        raise SimulationStopped.
        """
        self._history = history
        self._camera, self._engine = camera, engine
        self._named = named or camera
        self._tasks = tuple(tasks)
        self._in_order = in_order
        self._every_rule = every_rule
        self._always = frozenset(always)
        # What is asked seldom is known later still.
        self._memories = {
            name: (memories or {}).get(name, 0.0) + 2 * rule.every_s
            for task in tasks
            for name, rule in task.rules.items()
        }
        self._run_ups, self._followed = RunUpParts(room), followed
        self._look = look

    def cut(self, span: Span, first: float, last: float, *, as_edited: bool = False) -> CutTime:
        """What is judged in one go each, newest first, down to `span.since`.

        `first` and `last` are when the first and the last minute that is kept begin. It is cut
        `as_edited` for a rule that begins anew, whatever the rules are.
        """
        since = first if span.since is None else max(first, span.since)
        until = last + BUCKET_S if span.until is None else min(last + BUCKET_S, span.until)
        parts = self._cut(first, until)
        stretches: list[JudgedStretch] = []
        is_stored = not (self._every_rule or self._always or as_edited)
        end = len(parts)
        size_s = 3600.0
        # Where a clock was set back, what was judged earlier may have happened later.
        while end > 0 and (end == len(parts) or any(one.until > since for one in parts[:end])):
            begin = end - 1
            run_up = begin
            if as_edited or not self._resumes(parts[begin]):
                is_stored = False
                if self._in_order:
                    begin = run_up = 0
                else:
                    newest = parts[end].since if end < len(parts) else until
                    while begin > 0 and since < parts[begin].since > newest - size_s:
                        begin -= 1
                    run_up = self._run_up(parts, begin, self._run_up_s())
                    size_s = min(2 * size_s, _LARGEST_PART_S)
            stretches.append(JudgedStretch(run_up, begin, end))
            end = begin
        return CutTime(parts, until, stretches, is_stored)

    def parts(self, span: Span, first: float, last: float) -> Iterator[tuple[float, Judged]]:
        """What was concluded from a moment on, down to `span.since`, newest first."""
        cut = self.cut(span, first, last)
        for stretch in cut.stretches:
            yield self.judged(cut, stretch)

    def judged(self, cut: CutTime, stretch: JudgedStretch) -> tuple[float, Judged]:
        """What was concluded in a stretch, and since when all is known that will be.

        It depends on nothing that other stretches led to.
        """
        parts, until = cut.parts, cut.until
        run_up, begin, end = stretch.run_up, stretch.begin, stretch.end
        tasks, taken = self._differing(parts[begin:end])
        while True:
            found = self._judged(
                tasks,
                parts[run_up:end],
                begin - run_up,
                until + _AFTER_S,
                may_begin_earlier=self._may_begin_earlier(parts, begin, run_up),
            )
            if found is not None:
                break
            # Something was going on already: when did it begin?
            shown_s = parts[begin].since - parts[run_up].since
            run_up = min(run_up - 1, self._run_up(parts, begin, 2 * shown_s))
        begun, judged = found
        whole = Span(begun, parts[end].since if end < len(parts) else None)
        judged.taken = {name: [whole] for name in taken}
        judged.resumed |= dict.fromkeys(taken, True)
        earlier = max((part.until for part in parts[:begin]), default=begun)
        return (begun if earlier == parts[begin].since else max(begun, earlier)), judged

    def follow(self, cut: CutTime, stretch: JudgedStretch) -> None:
        """Have what trackers show in a stretch held, for whatever rules it is judged by.

        Nothing is judged. Rules of one task, or of tasks that share a tracker, are what an edit is
        about; for each of these it is followed by itself.
        """
        if self._followed is None:
            return
        together: dict[str, list[TaskPlan]] = {}
        for task in needed(self._tasks):
            together.setdefault(task.together or f"task {task.task}", []).append(task)
        for number in reversed(range(stretch.run_up, stretch.end)):
            part = cut.parts[number]
            for tasks in together.values():
                bare = tuple(replace(task, rules={}) for task in tasks)
                judge, asked, _ = self._entered(bare, part, None)
                key = self._followed_key(judge, part, asked)
                if key is None or self._followed.holds(key):
                    continue
                frames, _, digest = self._frames(part, cut.until + _AFTER_S, [])
                with self._following(judge, part, asked, digest, counts=False):
                    for _ in self._verdicts(judge, frames, asked):
                        pass

    def _run_up_s(self) -> float:
        """What rules are shown at least: also what takes them long to tell is told then."""
        return max(RUN_UP_S, 2 * max(self._memories.values(), default=0.0))

    def _run_up(self, parts: Sequence[_Part], begin: int, run_up_s: float) -> int:
        run_up = begin
        while run_up > 0 and parts[begin].since - parts[run_up].since < run_up_s:
            run_up -= 1
        return run_up

    def _may_begin_earlier(self, parts: Sequence[_Part], begin: int, run_up: int) -> bool:
        if not 0 < run_up < begin:
            return False
        longest_s = max(_LONGEST_RUN_UP_S, self._run_up_s())
        return parts[begin].since - parts[run_up].since < longest_s

    def _cut(self, first: float, until: float) -> list[_Part]:
        waypoints = [
            waypoint
            for waypoint in self._history.waypoints(
                self._camera, self._engine, Span(None, until + _AFTER_S)
            )
            if waypoint.at >= first
        ]
        parts: list[_Part] = []
        if not waypoints or minute_of(waypoints[0].at) > first:
            parts.append(_Part(first, None, waypoints[0] if waypoints else None))
        # Where a clock was set back, an earlier time is judged later.
        began: dict[str, int] = {}
        for number, waypoint in enumerate(waypoints):
            began.setdefault(waypoint.run, number)
        waypoints.sort(key=lambda waypoint: (began[waypoint.run], waypoint.ordinal))
        ends = [*waypoints[1:], None]
        parts += [_Part(start.at, start, end) for start, end in zip(waypoints, ends, strict=True)]
        return parts

    def _resumes(self, part: _Part) -> bool:
        """Whether every rule of the plan that is answered goes on from what is stored."""
        kept = _read(part.start)
        if kept is None:
            return False
        known = _answered_as(self._tasks, kept)
        return all(
            (stored := kept.tasks.get(known[task.task])) is not None
            and stored.terms == task.terms
            and all(
                name in stored.rules and stored.rules[name].terms == rule.terms
                for name, rule in task.rules.items()
            )
            for task in self._tasks
            if task.task in known
        )

    def _differing(self, parts: Sequence[_Part]) -> tuple[tuple[TaskPlan, ...], set[str]]:
        """The tasks with the rules that are to be judged, and the rules that are as stored."""
        rules = {name for task in self._tasks for name in task.rules}
        if self._every_rule:
            return self._tasks, set()
        same = rules - self._always
        for part in parts:
            kept = _read(part.start)
            if kept is None:
                return self._tasks, set()
            same &= {
                name
                for task in self._tasks
                if (stored := kept.tasks.get(task.task)) is not None and stored.terms == task.terms
                for name, rule in task.rules.items()
                if name in stored.rules and stored.rules[name].terms == rule.terms
            }
        differing = [
            replace(task, rules={n: rule for n, rule in task.rules.items() if n not in same})
            for task in self._tasks
        ]
        return needed(differing), same

    def _judged(
        self,
        tasks: tuple[TaskPlan, ...],
        parts: Sequence[_Part],
        run_up: int,
        until: float,
        *,
        may_begin_earlier: bool,
    ) -> tuple[float, Judged] | None:
        """Judge some parts in a row; the first ones count only as a run-up.

        None where that was too short to tell when something began that goes on, and it
        `may_begin_earlier`.
        """
        judged = Judged()
        judge: Judge | None = None
        asked: Mapping[str, str] = {}
        began_within = False
        # Of what has no run-up the earliest events may be those of something older.
        anew = _Begun(self._memories, keeps_ended=run_up == 0)
        for number, part in enumerate(parts):
            judge, asked, resumed = self._entered(tasks, part, judge)
            counts = number >= run_up
            if number <= run_up:
                anew.enter(resumed)
            if number == run_up > 0:
                judged.cut_off = anew.cut_off()
                if judged.cut_off and may_begin_earlier:
                    return None
            if counts:
                self._enter(judged, part, asked, resumed)
            frames, earlier, digest = self._frames(part, until, judged.notes)
            anew.see(frames)
            if counts:
                judged.see(frames)
            if number == run_up:
                began_within = earlier
            with self._following(judge, part, asked, digest, counts=counts):
                for verdict in self._verdicts(judge, frames, asked):
                    anew.add(verdict.events)
                    if counts:
                        judged.add(verdict)
        if run_up == 0 and not self._in_order:
            judged.cut_off = anew.cut_off()
        if judge is not None:
            judged.add(Verdict((), tuple(judge.unfinished())))
        # Of a minute that began before the first frame, the rest is still to come.
        since = parts[run_up].since
        return (since if began_within else float(minute_of(since))), judged

    @contextmanager
    def _following(
        self,
        judge: Judge,
        part: _Part,
        asked: Mapping[str, str],
        frames: bytes,
        *,
        counts: bool,
    ) -> Iterator[None]:
        """While a part is judged, take what its trackers showed when it was followed before."""
        key = self._followed_key(judge, part, asked)
        known = self._known(key, frames, counts=counts) if key is not None else None
        if known is not None:
            judge.follow_again(known.looks())
            yield
            judge.catch_up(json.loads(known.tracks))
            judge.follow(None)
        elif key is not None and (self._followed is not None or not counts):
            shared = 0 if self._followed is None else self._followed.room
            begun = PackedLooks(frames, max(shared, 0 if counts else self._run_ups.room))
            judge.follow(begun.add)
            yield
            judge.follow(None)
            begun.tracks = json.dumps(judge.tracks())
            is_held = self._followed is not None and self._followed.add(key, begun)
            if not (is_held or counts):
                self._run_ups.add(key, begun)
        else:
            yield

    def _known(self, key: Hashable, frames: bytes, *, counts: bool) -> PackedLooks | None:
        held = None if self._followed is None else self._followed.of(key, frames)
        return held or self._run_ups.of(key, frames, is_last=counts)

    def _followed_key(self, judge: Judge, part: _Part, asked: Mapping[str, str]) -> Hashable | None:
        """What trackers show in a part depends on this and its frames; None if on what was before.

        Plans of two files have the same trackers where all that is told to them is the same.
        """
        kept = _read(part.start)
        if part.start is None or kept is None:
            return None
        if (judge.last_at, judge.aspect) != (kept.last_at, kept.aspect):
            return None
        began: list[JsonValue] = [kept.last_at, kept.aspect]
        tasks: list[Hashable] = []
        for task in judge.plan.tasks:
            stored = kept.tasks.get(asked[task.task])
            if stored is None or stored.terms != task.terms:
                return None
            began += [stored.tracker, stored.standing]
            names = (task.task, asked[task.task], task.label, task.together)
            tasks.append((*names, task.terms, task.followed, task.question, task.stands))
        state = hashlib.blake2b(json.dumps(began).encode(), digest_size=16).digest()
        start = (part.start.run, part.start.ordinal, part.start.at)
        return self._camera, self._engine, start, state, tuple(tasks)

    def _enter(
        self,
        judged: Judged,
        part: _Part,
        asked: Mapping[str, str],
        resumed: Mapping[str, bool],
    ) -> None:
        """Note what is known of a part that counts."""
        for name, is_same in resumed.items():
            judged.resumed[name] = is_same and judged.resumed.get(name, True)
        judged.answered |= asked.keys()
        kept = _read(part.start)
        if kept is not None:
            judged.answered |= _answered_as(self._tasks, kept).keys()
            judged.recorded |= kept.tasks.keys()

    def _verdicts(
        self, judge: Judge, frames: Sequence[ObservedFrame], asked: Mapping[str, str]
    ) -> Iterator[Verdict]:
        """What follows from each frame that leads to anything."""
        if not judge.plan.tasks:
            return  # all of it is as it is stored
        renames = self._named != self._camera or any(
            task != source for task, source in asked.items()
        )
        for number, frame in enumerate(frames):
            if number % _LOOK_EVERY == 0:
                self._look()
            result = self._as_planned(frame, asked) if renames else frame.result
            verdict = judge.judge(result)
            if verdict.events or verdict.buckets:
                yield verdict

    def _entered(
        self, tasks: tuple[TaskPlan, ...], part: _Part, before: Judge | None
    ) -> tuple[Judge, Mapping[str, str], Mapping[str, bool]]:
        """The judge of a part, the task whose answers each task takes, and which rules resume."""
        kept = _read(part.start)
        if kept is None:
            kept = KeptLane()
            asked = {task.task: task.task for task in tasks}
        else:
            asked = _answered_as(tasks, kept)
        plan = LanePlan(self._engine, tuple(task for task in tasks if task.task in asked))
        mine = KeptLane()
        if before is not None:
            # Written and read, as a stored one is.
            mine = read_lane(json.loads(json.dumps(before.state())), before.plan)
        merged, resumed, inherited = _continued(plan, asked, kept, mine)
        last_at = kept.last_at if kept.last_at is not None else mine.last_at
        aspect = kept.aspect if kept.aspect is not None else mine.aspect
        if before is not None and before.plan.tasks == plan.tasks and _same(merged, mine.tasks):
            return before, asked, resumed
        judge = Judge(self._named, plan, again=True)
        restored = judge.resume(KeptLane(last_at, aspect, merged))
        for name, own in inherited:
            if last_at is not None and aspect is not None:
                judge.inherit(name, own.rules[name].state, last_at, aspect)
        return judge, asked, {name: same and name in restored for name, same in resumed.items()}

    def _frames(
        self, part: _Part, until: float, notes: list[str]
    ) -> tuple[list[ObservedFrame], bool, bytes]:
        """What was seen in a part, in the order of judging, whether its minute began before, and
        a digest of it.
        """
        start, end = part.start, part.end
        span = Span(part.since, min(until, max(part.until + 1e-3, part.within)))
        by_run: dict[str, list[ObservedFrame]] = {}
        earlier, contents = False, hashlib.blake2b(digest_size=16)
        for block in self._history.observations(self._camera, self._engine, span):
            self._look()
            contents.update(block.content)
            for frame in self._opened(block, notes):
                result = frame.result
                if start is not None and result.run == start.run:
                    if result.ordinal < start.ordinal:
                        earlier = True
                        continue
                elif start is not None and result.captured_at < start.at:
                    earlier = True
                    continue
                if end is not None and (
                    result.ordinal >= end.ordinal
                    if result.run == end.run
                    else result.captured_at >= part.until
                ):
                    continue
                by_run.setdefault(result.run, []).append(frame)
        ordered: list[ObservedFrame] = []
        for frames in by_run.values():
            # Where a clock was set back, the minutes are not in the order of judging.
            ordered += sorted(frames, key=lambda frame: frame.result.ordinal)
        return ordered, earlier, digest_of(contents.digest(), ordered)

    def _opened(self, block: ObservationBlock, notes: list[str]) -> list[ObservedFrame]:
        """The frames of a block; nothing of one that is damaged, and a note."""
        try:
            return frames_of(block)
        except StoreError as error:
            if str(error) not in notes:
                notes.append(str(error))
            return []

    def _as_planned(self, frame: ObservedFrame, asked: Mapping[str, str]) -> Result:
        """The result with its answers under the names of the plan."""
        result = frame.result
        answers = {
            task: result.answers[source]
            for task, source in asked.items()
            if source in result.answers
        }
        return replace(
            result,
            camera=self._named,
            answers={**answers, **with_tasks(result.answers, asked)},
            asked={task: result.asked.get(source, "") for task, source in asked.items()},
            looking=tuple(task for task, source in asked.items() if source in result.looking),
        )


def needed(tasks: Sequence[TaskPlan]) -> tuple[TaskPlan, ...]:
    """The tasks that have rules, and those that share a tracker with one that has."""
    together = {task.together for task in tasks if task.together and task.rules}
    return tuple(task for task in tasks if task.rules or task.together in together)


def _continued(
    plan: LanePlan, asked: Mapping[str, str], kept: KeptLane, mine: KeptLane
) -> tuple[dict[str, KeptTask], dict[str, bool], list[tuple[str, KeptTask]]]:
    """What a part begins with: what was stored, as far as the plan has it, and what was before.

    With it, which rules go on from what was stored, and those that inherit from before.
    """
    tasks: dict[str, KeptTask] = {}
    resumed: dict[str, bool] = {}
    inherited: list[tuple[str, KeptTask]] = []
    for task in plan.tasks:
        stored, own = kept.tasks.get(asked[task.task]), mine.tasks.get(task.task)
        if stored is None or stored.terms != task.terms:
            resumed |= dict.fromkeys(task.rules, False)
            if own is not None:
                tasks[task.task] = replace(own, scene=None)
            continue
        goes_on = own is not None and own.tracker == stored.tracker
        rules = {}
        for name, rule in task.rules.items():
            known = stored.rules.get(name)
            resumed[name] = known is not None and known.terms == rule.terms
            if known is not None and resumed[name]:
                rules[name] = known
            elif own is not None and name in own.rules:
                if goes_on:
                    rules[name] = own.rules[name]
                else:
                    inherited.append((name, own))
        tasks[task.task] = replace(stored, rules=rules, scene=None)
    return tasks, resumed, inherited


def _read(waypoint: Waypoint | None) -> KeptLane | None:
    """What a waypoint holds; None where it is of another release, or damaged."""
    if waypoint is None:
        return None
    try:
        return read_lane(waypoint.state, None)
    except ValueError:
        return None


def _answered_as(tasks: Sequence[TaskPlan], kept: KeptLane) -> dict[str, str]:
    """For every task that was answered, under whatever name: the name of the one that was."""
    found: dict[str, str] = {}
    for task in tasks:
        own = kept.tasks.get(task.task)
        if own is not None and (own.answered == task.answered or own.terms == task.terms):
            found[task.task] = task.task
            continue
        same = [name for name, one in kept.tasks.items() if one.answered == task.answered]
        if same and task.answered:
            found[task.task] = same[0]
    return found


def _same(tasks: Mapping[str, KeptTask], mine: Mapping[str, KeptTask]) -> bool:
    """Whether a judge is where the stored one was, but for what it knows of the scene."""
    return tasks.keys() == mine.keys() and all(
        (task.tracker, task.coverage, task.standing) == (own.tracker, own.coverage, own.standing)
        and {n: rule.state for n, rule in task.rules.items()}
        == {n: rule.state for n, rule in own.rules.items()}
        for name, task in tasks.items()
        for own in (mine[name],)
    )
