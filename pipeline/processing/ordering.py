"""Puts the results of one camera and engine back in order.

Workers answer in parallel, so results arrive in any order, twice after a crash, or, for a live
camera, not at all. A file's missing result is waited for; a live camera's is skipped.

A result is missing if later frames were answered and it still has not come. Dropped later frames
prove nothing: a slow engine works on an old frame while newer ones are dropped.

A new run of a live camera means that its old run has ended, for example because another sampler
took over. After a short wait for what is missing of the old run, the new one is judged, whatever
may still come of the old one.
"""

from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import pairwise

from pipeline.core.answers import Failed
from pipeline.core.jobs import Result
from pipeline.core.queues import Delivered

# Runs remembered as over, so that their stragglers count as late and do not start a new run.
_ENDED_RUNS = 16
# A run that was taken for over goes on after all if, for this many patiences, nothing comes of the
# one after it: a single message cannot silence a camera.
_SILENT_PATIENCES = 10.0
# Two workers may be a whole batch apart: this many times the longest recent pause.
_PAUSES = 2.0
_REMEMBERED_PAUSES = 8
# Results of one batch come together; a shorter gap than this does not count as a pause.
_SAME_BATCH_S = 0.05
# Patience is this many times longer without any answer (all frames dropped or failed).
_WITHOUT_ANSWERS = 30.0
# A number this far ahead of the next one is not that of a frame: a queue holds far fewer jobs. A
# live camera may be that far if nobody judged for hours, and then a second one comes after it.
_LEAP = 1_000_000


class _Pace:
    """How far apart an engine's answers come. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._last_at: float | None = None
        self._pauses: deque[float] = deque(maxlen=_REMEMBERED_PAUSES)

    def note(self, now: float) -> None:
        """An answer came."""
        if self._last_at is not None and now - self._last_at > _SAME_BATCH_S:
            self._pauses.append(now - self._last_at)
        self._last_at = now

    def patience_s(self, least_s: float) -> float:
        """How long an answer may lag behind a later one."""
        return max(least_s, _PAUSES * max(self._pauses, default=0.0))


@dataclass(slots=True)
class _RunOrder:
    """The order of one run: the next ordinal to judge, and what arrived before its turn."""

    next: int = 0
    waiting: dict[int, Delivered] = field(default_factory=dict)
    stalled_since: float | None = None
    """When something began to wait for its turn."""
    overtaken_since: float | None = None
    """When an answered frame did."""
    began: float | None = None
    """When the first result of this run came."""
    answered: float | None = None
    """When the first answered one did."""
    end: int | None = None
    """The number of the end that was judged; if the recording grows, a job takes that number."""
    live: bool = False
    heard: float = 0.0
    """When its last result came."""

    @property
    def has_answers_waiting(self) -> bool:
        """Whether a later frame has been answered already."""
        return any(_is_answered(item.result) for item in self.waiting.values())


@dataclass(frozen=True, slots=True)
class Sorted:
    """What can be judged now, in order, and what never can."""

    ready: tuple[Delivered, ...] = ()
    duplicates: tuple[Delivered, ...] = ()
    late: tuple[Delivered, ...] = ()
    astray: tuple[Delivered, ...] = ()
    """Numbered so far ahead that they cannot belong here."""
    missing: int = 0


class InOrder:
    """The order of one camera's results from one engine. Times are monotonic seconds."""

    def __init__(self, patience_s: float) -> None:
        self._least_patience_s = patience_s
        self._pace = _Pace()
        self._runs: OrderedDict[str, _RunOrder] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def resume(self, run: str, ordinal: int, *, ended: bool = False) -> None:
        """Results of `run` up to and including `ordinal` are judged; `ended` if that is its end."""
        if ended:
            self._runs[run] = _RunOrder(next=ordinal, end=ordinal)
        else:
            self._runs[run] = _RunOrder(next=ordinal + 1)

    def offer(self, arrived: Delivered, now: float) -> Sorted:
        """Add one result; returns what can be judged now."""
        result = arrived.result
        if result.run in self._ended and not self._goes_on(result, now):
            return Sorted(late=(arrived,))
        run = self._runs.setdefault(result.run, _RunOrder())
        run.live, run.heard = result.live, now
        if run.began is None:
            run.began = now
        if result.ordinal < run.next or (result.last and result.ordinal == run.end):
            return Sorted(duplicates=(arrived,))
        if result.last and result.ordinal in run.waiting:
            return Sorted(duplicates=(arrived,))  # of a recording that has grown since
        if result.ordinal in run.waiting:
            # The earlier one is dropped: only the newest delivery can still be acknowledged.
            held, run.waiting[result.ordinal] = run.waiting[result.ordinal], arrived
            return Sorted(duplicates=(held,))
        if not result.live and result.ordinal - run.next > _LEAP:
            return Sorted(astray=(arrived,))
        run.waiting[result.ordinal] = arrived
        if _is_answered(result):
            self._pace.note(now)
            if run.answered is None:
                run.answered = now
        return Sorted(ready=self._released(now))

    def pass_over(self, now: float) -> Sorted:
        """Give up on live results that have been missing for too long."""
        if self._is_superseded(now):
            return self._made_way(now)
        run = next(iter(self._runs.values()), None)
        if run is None or run.stalled_since is None:
            return Sorted()
        if not all(item.result.live for item in run.waiting.values()):
            return Sorted()
        patience_s = self._pace.patience_s(self._least_patience_s)
        if run.overtaken_since is not None or not run.waiting:
            since = run.stalled_since if run.overtaken_since is None else run.overtaken_since
        else:
            since, patience_s = run.stalled_since, patience_s * _WITHOUT_ANSWERS
        if now - since < patience_s:
            return Sorted()
        missing = 0
        astray: tuple[Delivered, ...] = ()
        if not run.waiting:
            self._end_first()
        elif min(run.waiting) - run.next > _LEAP and not _are_close(run.waiting):
            astray = tuple(run.waiting.values())
            run.waiting.clear()
        else:
            missing = min(run.waiting) - run.next
            run.next += missing
        run.stalled_since = run.overtaken_since = None
        return Sorted(ready=self._released(now), astray=astray, missing=missing)

    def _goes_on(self, result: Result, now: float) -> bool:
        """Whether a live run that was taken for over is the one that goes on; then it does."""
        runs = list(self._runs.values())
        silence_s = self._least_patience_s * _SILENT_PATIENCES
        if not (result.live and runs) or any(
            not run.live or run.waiting or now - run.heard < silence_s for run in runs
        ):
            return False
        for _ in runs:
            self._end_first()
        del self._ended[result.run]
        self._runs[result.run] = _RunOrder(next=result.ordinal)
        return True

    def _released(self, now: float) -> tuple[Delivered, ...]:
        """What is ready in the first run, and in those after it once it has ended."""
        ready: list[Delivered] = []
        while self._runs:
            run = next(iter(self._runs.values()))
            ended = False
            while run.next in run.waiting:
                item = run.waiting.pop(run.next)
                ready.append(item)
                ended = item.result.last
                if ended:
                    # If the recording has grown when it is played next, a job has this number.
                    run.end = run.next
                else:
                    run.next += 1
                run.stalled_since = run.overtaken_since = None
            if ended and len(self._runs) > 1:
                self._end_first()
                continue
            if (run.waiting or len(self._runs) > 1) and run.stalled_since is None:
                run.stalled_since = now
            if run.overtaken_since is None and run.has_answers_waiting:
                run.overtaken_since = now
            break
        return tuple(ready)

    def _is_superseded(self, now: float) -> bool:
        """Whether a live camera's newer run has waited long enough for the end of the first."""
        later = list(self._runs.values())[1:]
        if not any(run.live for run in later):
            return False
        answered = min((run.answered for run in later if run.answered is not None), default=now)
        if now - answered >= self._least_patience_s:
            return True
        # Only dropped or failed ones so far: a slow engine may still have the old run's last frame.
        began = min((run.began for run in later if run.began is not None), default=now)
        return now - began >= self._least_patience_s * _WITHOUT_ANSWERS

    def _made_way(self, now: float) -> Sorted:
        """End the first run with what has arrived of it, and continue with the next."""
        first = next(iter(self._runs.values()))
        left = [first.waiting[ordinal] for ordinal in sorted(first.waiting)]
        missing = left[-1].result.ordinal - first.next + 1 - len(left) if left else 0
        self._end_first()
        return Sorted(ready=(*left, *self._released(now)), missing=missing)

    def _end_first(self) -> None:
        name, _ = self._runs.popitem(last=False)
        self._ended[name] = None
        while len(self._ended) > _ENDED_RUNS:
            self._ended.popitem(last=False)


def _are_close(ordinals: Collection[int]) -> bool:
    """Whether some of these numbers are of frames that follow each other."""
    ordered = sorted(ordinals)
    return any(0 < after - before <= _LEAP for before, after in pairwise(ordered))


def _is_answered(result: Result) -> bool:
    return any(not isinstance(answer, Failed) for answer in result.answers.values())
