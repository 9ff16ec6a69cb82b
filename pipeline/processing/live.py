"""Tells those who watch a camera what was made of each of its frames."""

from collections.abc import Mapping

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.geometry import bottom_centre
from pipeline.core.jobs import VISITOR, Result
from pipeline.core.live import Answered, JudgedView, LiveBoard, SeenThing
from pipeline.core.rules import Verdict
from pipeline.processing.box_states import BoxStates
from pipeline.processing.judge import Judge

_LONGEST_SAID = 200


class LiveTelling:
    """Called with every judged frame. Used by the thread that judges."""

    def __init__(self, board: LiveBoard | None) -> None:
        self._board = board
        self._states: dict[tuple[str, str], tuple[Judge, BoxStates]] = {}

    def judged(self, judge: Judge, result: Result, verdict: Verdict) -> None:
        """Tell what was made of a frame, if somebody watches; else remember only what happened."""
        if self._board is None:
            return
        if verdict.events:
            self._states_of(judge, result).note(
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

    def _states_of(self, judge: Judge, result: Result) -> BoxStates:
        key = (result.camera, result.engine)
        of, states = self._states.get(key, (None, BoxStates()))
        if of is not judge:  # its tracks and happenings begin anew, or were taken over
            states = BoxStates()
            self._states[key] = judge, states
        return states

    def _view(self, judge: Judge, result: Result) -> JudgedView:
        states = self._states_of(judge, result)
        seen = judge.observed()
        things: list[SeenThing] = []
        points: list[tuple[float, float]] = []
        said: dict[str, str] = {}
        answers = seen.result.answers if seen is not None else {}
        for plan in judge.plan.tasks:
            answer = answers.get(plan.task)
            if isinstance(answer, Boxes):
                things += _things(judge, plan.task, plan.label or "", answer, states, result)
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
            alarms=states.alarms(),
        )


def _things(
    judge: Judge, task: str, label: str, answer: Boxes, states: BoxStates, result: Result
) -> list[SeenThing]:
    shown = judge.shown.get(task)
    tracks = {track.box: track for track in shown.tracks} if shown is not None else {}
    state = states.of(task, judge.counted(task), result.captured_at)
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
                state="idle" if track is None else state(track.id),
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
