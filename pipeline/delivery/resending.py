"""Sends again what a sink would not take: by hand, once the reason is gone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.core.errors import SinkError
from pipeline.core.sinks import Sink
from pipeline.core.store import Store, StoredEvent, Undelivered


@dataclass(frozen=True, slots=True)
class Resent:
    """What came of it, for one sink."""

    sink: str
    delivered: int = 0
    gone: int = 0
    """Letters whose event is in the store no more; they were forgotten."""
    left: int = 0
    trouble: str | None = None
    """Why the rest was not delivered."""


def resend(store: Store, sink: Sink, letters: Sequence[Undelivered], at_once: int) -> Resent:
    """Send the events of one sink's dead letters, in order, at most `at_once` together.

    Each load is forgotten as a dead letter once the sink has it. Ends at the first one that the
    sink does not take. Raises StoreError.
    """
    delivered, gone = 0, 0
    name = letters[0].sink if letters else ""
    for first in range(0, len(letters), at_once):
        chosen = letters[first : first + at_once]
        kept = list(_kept(store, chosen))
        try:
            if kept:
                sink.send([one.event for one in kept])
        except SinkError as error:
            return Resent(name, delivered, gone, len(letters) - first, str(error))
        store.discard(chosen)
        delivered += len(kept)
        gone += len(chosen) - len(kept)
    return Resent(name, delivered, gone)


def _kept(store: Store, letters: Sequence[Undelivered]) -> Iterator[StoredEvent]:
    for letter in letters:
        for kept in store.events_after(letter.position - 1, 1):
            if kept.position == letter.position:
                yield kept
