"""One event after another, also across cameras, by what the store holds."""

from collections.abc import Iterator

from pipeline.core.events import Event, JsonValue, event_id, timestamp
from pipeline.core.store import JUDGED_LAST, EventFilter, History, Page, Span
from pipeline.rules.sequence import SEQUENCE, HappeningConfig, SequenceConfig

_MOST = 1000
"""Events of one rule within the time of a sequence that are looked at."""
_ROUNDING_S = 1e-3
"""Spans that are asked for are this much longer: what is near enough is judged by one formula."""


class SequenceFinder:
    """Finds the sequences that an event completes.

    Which ones there are depends on the times of the events alone, and not on the order in which
    they arrived: the other part is looked for in the store, on both sides. Each `then` makes one
    event at most, with an id that follows from its own; so whatever is done twice is stored once.
    """

    def __init__(self, name: str, config: SequenceConfig, history: History) -> None:
        self._name = name
        self._config = config
        self._history = history
        self._within_s = config.within.total_seconds()

    def completed_by(self, event: Event) -> Iterator[Event]:
        """The sequences of which this event is a part; raises StoreError."""
        if self._config.then.describes(event):
            first = self._first_before(event)
            if first is not None:
                yield self._event(first, event)
        if self._config.first.describes(event):
            late = Span(event.at, event.at + self._within_s + _ROUNDING_S)
            for then in self._among(self._config.then, late):
                first = self._first_before(then)
                if first is not None:
                    yield self._event(first, then)

    def _first_before(self, then: Event) -> Event | None:
        """The last `first` before it that is near enough."""
        early = Span(then.at - self._within_s - _ROUNDING_S, then.at)
        found = [
            event for event in self._among(self._config.first, early) if self._fit(event, then)
        ]
        return max(found, key=lambda event: (event.at, event.record_id), default=None)

    def _among(self, wanted: HappeningConfig, span: Span) -> list[Event]:
        chosen = EventFilter(
            cameras=() if wanted.camera is None else (wanted.camera,),
            rules=(wanted.rule,),
            phases=wanted.phases,
            span=span,
            counted_as=JUDGED_LAST,
        )
        stored = self._history.events(chosen, Page(limit=_MOST))
        return [one.event for one in stored if wanted.describes(one.event)]

    def _fit(self, first: Event, then: Event) -> bool:
        if not 0 < then.at - first.at <= self._within_s:
            return False
        if self._config.same is None:
            return True
        a, b = first.subject, then.subject
        if a is None or b is None or a.track is None:
            return False
        return a.track == b.track and first.run == then.run

    def _event(self, first: Event, then: Event) -> Event:
        return Event(
            id=event_id(then.camera, self._name, then.record_id, then.at),
            type=SEQUENCE,
            phase="single",
            camera=then.camera,
            rule=self._name,
            at=then.at,
            subject=then.subject,
            data={
                "seconds": round(then.at - first.at, 3),
                "first": _named(first),
                "then": _named(then),
            },
            seq=then.seq,
            run=then.run,
            media=(*first.media, *then.media),
        )


def _named(event: Event) -> dict[str, JsonValue]:
    return {
        "camera": event.camera,
        "rule": event.rule,
        "id": event.record_id,
        "time": timestamp(event.at),
    }
