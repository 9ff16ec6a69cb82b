"""How delivery to one sink does: last success, time from capture, rate, and what was refused."""

import json
import re
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from pipeline.core.store import StoredEvent

FIGURES = "delivery/figures"
"""Under this name they are among the sink's notes in the store, for other processes to read."""

# What was kept so long after its capture, or before it, was dated by a clock that was wrong.
_AGED_S = 86_400.0
_HOUR_S = 3600
_LAST = 5000
"""Of an hour with more, how long the newest ones took is told."""
_CLASSES = 8
_OTHER = "others"
_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|\S*[/@]\S*|\d{4,}")


def sentence_class(reason: str) -> str:
    """A reason without what differs from event to event, so that equal ones can be counted."""
    return " ".join(_VARIABLE.sub("…", reason).split())[:120]


@dataclass(frozen=True, slots=True)
class DeliveryFigures:
    """What is known of a sink, also by those who do not deliver. None stands for unknown."""

    accepted_at: float | None = None
    """When it accepted an event last, in UTC seconds."""
    accepted: str | None = None
    """The id of that event."""
    took_s: float | None = None
    """How long that one took from capture to acceptance; of live cameras only."""
    p95_s: float | None = None
    """What 95 of 100 of the last hour took at most."""
    last_minute: int = 0
    last_hour: int = 0
    """How many it accepted before `noted_at`."""
    refused_by: Mapping[str, int] = field(default_factory=dict)
    """How many it refused, by the reason without its names and numbers."""
    noted_at: float | None = None
    p50_s: float | None = None
    """What half of those of the last hour took at most."""
    of_newest: int | None = None
    """How many of the hour these two are of; None where it is all of them."""

    def to_text(self) -> str:
        """As JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def of_text(cls, text: str | None) -> "DeliveryFigures":
        """What was noted; nothing is known where that cannot be read."""
        try:
            said = json.loads(text or "{}")
            return cls(**{name: said[name] for name in cls.__slots__ if name in said})
        except (ValueError, TypeError, RecursionError):
            return cls()


class Counting:
    """Counts for one sink. One thread uses it."""

    def __init__(
        self, before: DeliveryFigures, is_recording: Callable[[str], bool] = lambda _camera: False
    ) -> None:
        """Goes on from what another process has noted. The times of recordings are no clock's."""
        self._before = before
        self._is_recording = is_recording
        self._refused = Counter(before.refused_by)
        self._took: deque[tuple[int, float]] = deque()
        self._cut_second: int | None = None
        self._by_second: deque[tuple[int, int]] = deque()
        self._last: tuple[float, str, float | None] | None = None

    def accepted(self, events: Sequence[StoredEvent], now: float) -> list[float]:
        """Count accepted events; returns how long those of live cameras took since capture."""
        second = int(now)
        if self._by_second and self._by_second[-1][0] == second:
            _, count = self._by_second.pop()
            self._by_second.append((second, count + len(events)))
        else:
            self._by_second.append((second, len(events)))
        took = [
            max(0.0, now - kept.event.at)
            for kept in events
            if not self._is_recording(kept.event.camera)
            and abs(kept.kept_at - kept.event.at) <= _AGED_S
        ]
        self._took.extend((second, took_s) for took_s in took)
        while len(self._took) > _LAST:
            self._cut_second, _ = self._took.popleft()
        self._last = (now, events[-1].event.record_id, took[-1] if took else None)
        return took

    def refused(self, reason: str, events: int) -> None:
        """Count refused events."""
        said = sentence_class(reason)
        if said not in self._refused and len(self._refused) >= _CLASSES:
            said = _OTHER
        self._refused[said] += events

    def figures(self, now: float) -> DeliveryFigures:
        """How it stands."""
        while self._by_second and now - self._by_second[0][0] > _HOUR_S:
            self._by_second.popleft()
        while self._took and now - self._took[0][0] > _HOUR_S:
            self._took.popleft()
        is_cut = self._cut_second is not None and now - self._cut_second <= _HOUR_S
        before, last = self._before, self._last
        if now - (before.noted_at or 0.0) > _HOUR_S:
            before = replace(before, p50_s=None, p95_s=None)
        ordered = sorted(took_s for _, took_s in self._took)
        at, accepted, took_s = last or (before.accepted_at, before.accepted, before.took_s)
        return DeliveryFigures(
            at,
            accepted,
            None if took_s is None else round(took_s, 3),
            round(ordered[int(0.95 * (len(ordered) - 1))], 3) if ordered else before.p95_s,
            sum(count for second, count in self._by_second if now - second <= 60),
            sum(count for _, count in self._by_second),
            dict(self._refused),
            now,
            round(ordered[(len(ordered) - 1) // 2], 3) if ordered else before.p50_s,
            len(ordered) if is_cut else None,
        )
