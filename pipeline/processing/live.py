"""Tells those who watch a camera what was made of each of its frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.geometry import bottom_centre
from pipeline.core.jobs import VISITOR, Result
from pipeline.core.live import Answered, BoxState, JudgedView, LiveBoard, SeenThing
from pipeline.core.rules import Verdict
from pipeline.processing.judge import Judge

K = TypeVar("K")
V = TypeVar("V")
# Rules whose single events are a number that goes up, and nothing that is wrong.
_COUNTING: Final = frozenset({"line_crossing"})
# How long something that happened in one moment is shown, in capture time.
_SHOWN_S = 10.0
# Things that were counted are remembered, as long as they can still be in the picture.
_MOST_REMEMBERED = 500
_LONGEST_SAID = 200


@dataclass(slots=True)
class _Marks:
    """What rules have made of the things of one camera and engine."""

    open: dict[str, tuple[str, str, int | None]] = field(default_factory=dict)
    """Happenings that go on, by id: the rule, the task and the track."""
    counted: dict[tuple[str, int], None] = field(default_factory=dict)
    alarmed: dict[tuple[str, int], float] = field(default_factory=dict)
    """When something happened to a thing in one moment, UTC seconds."""

    def note(self, verdict: Verdict, tasks: Mapping[str, str]) -> None:
        """Take what rules concluded; `tasks` has the task of each rule."""
        for event in verdict.events:
            task = tasks.get(event.rule)
            if task is None:
                continue
            track = event.subject.track if event.subject is not None else None
            if event.phase == "start":
                _remember(self.open, event.id, (event.rule, task, track))
            elif event.phase == "end":
                self.open.pop(event.id, None)
            elif event.phase == "single" and track is not None:
                if event.type in _COUNTING:
                    _remember(self.counted, (task, track), None)
                else:
                    _remember(self.alarmed, (task, track), event.at)

    def state(self, task: str, track: int | None, at: float) -> BoxState:
        """What a thing is shown as."""
        if track is None:
            return "idle"
        if any(one[1:] == (task, track) for one in self.open.values()):
            return "alarm"
        alarmed_at = self.alarmed.get((task, track))
        if alarmed_at is not None and at - alarmed_at <= _SHOWN_S:
            return "alarm"
        return "counted" if (task, track) in self.counted else "idle"


class LiveTelling:
    """Called with every judged frame. Used by the thread that judges."""

    def __init__(self, board: LiveBoard | None) -> None:
        self._board = board
        self._marks: dict[tuple[str, str], tuple[Judge, _Marks]] = {}

    def judged(self, judge: Judge, result: Result, verdict: Verdict) -> None:
        """Tell what was made of a frame, if somebody watches; else remember only what happened."""
        if self._board is None:
            return
        if verdict.events:
            self._marks_of(judge, result).note(
                verdict, {name: task.task for task, name, _ in judge.plan.rules()}
            )
        if not result.last and not result.unjudgeable and self._board.watched(result.camera):
            self._board.tell(self._view(judge, result))

    def answered(self, about: str, result: Result) -> bool:
        """Pass on the answer to a visitor's question; False if the question was another's."""
        if self._board is None or not about.startswith(VISITOR):
            return False
        self._board.reply(about.removeprefix(VISITOR), result)
        return True

    def _marks_of(self, judge: Judge, result: Result) -> _Marks:
        key = (result.camera, result.engine)
        of, marks = self._marks.get(key, (None, _Marks()))
        if of is not judge:  # its tracks and happenings begin anew, or were taken over
            marks = _Marks()
            self._marks[key] = judge, marks
        return marks

    def _view(self, judge: Judge, result: Result) -> JudgedView:
        marks = self._marks_of(judge, result)
        seen = judge.observed()
        things: list[SeenThing] = []
        points: list[tuple[float, float]] = []
        said: dict[str, str] = {}
        answers = seen.result.answers if seen is not None else {}
        for plan in judge.plan.tasks:
            answer = answers.get(plan.task)
            if isinstance(answer, Boxes):
                things += _things(judge, plan.task, plan.label or "", answer, marks, result)
            elif isinstance(answer, Points):
                points += answer.points_xy
            elif answer is not None and (words := _words(answer)) is not None:
                said[plan.task] = words
        return JudgedView(
            camera=result.camera,
            run=result.run,
            seq=result.seq,
            captured_at=result.captured_at,
            engine=result.engine,
            answered=_answered(answers),
            things=tuple(things),
            points=tuple(points),
            said=said,
            alarms=tuple(sorted({rule for rule, _, _ in marks.open.values()})),
        )


def _things(
    judge: Judge, task: str, label: str, answer: Boxes, marks: _Marks, result: Result
) -> list[SeenThing]:
    shown = judge.shown.get(task)
    tracks = {track.box: track for track in shown.tracks} if shown is not None else {}
    found: list[SeenThing] = []
    for box, score in zip(answer.boxes_xyxy, answer.scores, strict=True):
        track = tracks.get(box)
        feet = track.steps[-1].feet if track is not None else None
        found.append(
            SeenThing(
                label=track.label if track is not None else label,
                track=track.id if track is not None else None,
                score=score,
                box=box,
                feet=feet.place if feet is not None else bottom_centre(box),
                state=marks.state(task, track.id if track else None, result.captured_at),
            )
        )
    return found


def _answered(answers: Mapping[str, Answer]) -> Answered:
    if not answers:
        return "false"
    return "failed" if any(isinstance(one, Failed) for one in answers.values()) else "true"


def _words(answer: Answer) -> str | None:
    match answer:
        case Text():
            return answer.text[:_LONGEST_SAID]
        case Number():
            return str(answer.value) + ("+" if answer.saturated else "")
        case _:
            return None


def _remember(kept: dict[K, V], key: K, value: V) -> None:
    """Keep something, and forget what is oldest where there is too much."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > _MOST_REMEMBERED:
        del kept[next(iter(kept))]
