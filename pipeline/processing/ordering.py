"""Puts the results of one camera and engine back in order.

Workers answer side by side, so results arrive in any order, twice after a crash, or, for a live
camera, not at all. A file's missing result is waited for; a live camera's is passed over.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from pipeline.core.ports import Delivered

# Runs remembered as over, so that their stragglers are known as late and start nothing anew.
_ENDED_RUNS = 16


@dataclass(slots=True)
class _Run:
    """One numbering: the next ordinal to judge, and what came before its turn."""

    next: int = 0
    waiting: dict[int, Delivered] = field(default_factory=dict)
    stalled_since: float | None = None


@dataclass(frozen=True, slots=True)
class Sorted:
    """What can be judged now, in order, and what never will be."""

    ready: tuple[Delivered, ...] = ()
    duplicates: tuple[Delivered, ...] = ()
    late: tuple[Delivered, ...] = ()
    missing: int = 0


class InOrder:
    """The order of one camera's results from one engine. Times are monotonic seconds."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def resume(self, run: str, ordinal: int) -> None:
        """Everything of `run` up to and including `ordinal` was judged before."""
        self._runs[run] = _Run(next=ordinal + 1)

    def offer(self, arrived: Delivered, now: float) -> Sorted:
        """Take one result in; returns what it sets free."""
        result = arrived.result
        if result.run in self._ended:
            return Sorted(late=(arrived,))
        run = self._runs.setdefault(result.run, _Run())
        if result.ordinal < run.next:
            return Sorted(duplicates=(arrived,))
        if result.ordinal in run.waiting:
            # The one held is let go: only the newest delivery can still be acknowledged.
            held, run.waiting[result.ordinal] = run.waiting[result.ordinal], arrived
            return Sorted(duplicates=(held,))
        run.waiting[result.ordinal] = arrived
        return Sorted(ready=self._released(now))

    def pass_over(self, now: float) -> Sorted:
        """Give up on live results that are missing for longer than patience allows."""
        run = next(iter(self._runs.values()), None)
        if run is None or run.stalled_since is None:
            return Sorted()
        blocked_by_old_run = not run.waiting and len(self._runs) > 1
        live = all(item.result.live for item in run.waiting.values())
        if not live or now - run.stalled_since < self._patience_s:
            return Sorted()
        missing = 0
        if blocked_by_old_run:
            self._end_first()
        else:
            missing = min(run.waiting) - run.next
            run.next += missing
        run.stalled_since = None
        return Sorted(ready=self._released(now), missing=missing)

    def _released(self, now: float) -> tuple[Delivered, ...]:
        """What is ready in the first run, and in those after it when it has ended."""
        ready: list[Delivered] = []
        while self._runs:
            run = next(iter(self._runs.values()))
            ended = False
            while run.next in run.waiting:
                item = run.waiting.pop(run.next)
                run.next += 1
                ready.append(item)
                ended = item.result.last
                run.stalled_since = None
            if ended and len(self._runs) > 1:
                self._end_first()
                continue
            if (run.waiting or len(self._runs) > 1) and run.stalled_since is None:
                run.stalled_since = now
            break
        return tuple(ready)

    def _end_first(self) -> None:
        name, _ = self._runs.popitem(last=False)
        self._ended[name] = None
        while len(self._ended) > _ENDED_RUNS:
            self._ended.popitem(last=False)
