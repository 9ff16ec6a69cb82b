"""Sends dead letters again: on request, once the reason of the failure is gone."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.core.errors import SinkError
from pipeline.core.sinks import Sink
from pipeline.core.store import Store, StoredEvent, Undelivered, UnreadableEvent


@dataclass(frozen=True, slots=True)
class Resent:
    """The result, for one sink."""

    sink: str
    delivered: int = 0
    gone: int = 0
    """Dead letters whose event is no longer in the store; they were discarded."""
    left: int = 0
    trouble: str | None = None
    """Why the rest was not delivered."""


def resend(store: Store, sink: Sink, dead_letters: Sequence[Undelivered], at_once: int) -> Resent:
    """Send the events of one sink's dead letters, in order, at most `at_once` together.

    Dead letters are discarded once the sink has accepted their events. Ends at the first load that
    the sink does not accept. Raises StoreError.
    """
    delivered, gone = 0, 0
    name = dead_letters[0].sink if dead_letters else ""
    unreadable: list[UnreadableEvent] = []
    for first in range(0, len(dead_letters), at_once):
        chosen = dead_letters[first : first + at_once]
        kept = [
            one
            for dead_letter in chosen
            for one in store.outbox(dead_letter.position - 1, 1)
            if one.position == dead_letter.position
        ]
        readable = [one.event for one in kept if isinstance(one, StoredEvent)]
        garbled = [one for one in kept if isinstance(one, UnreadableEvent)]
        try:
            if readable:
                sink.send(readable)
        except SinkError as error:
            left = len(dead_letters) - first + len(unreadable)
            return Resent(name, delivered, gone, left, str(error))
        # Events that cannot be read stay dead letters; the rest are sent nevertheless.
        staying = {one.position for one in garbled}
        store.discard(
            [dead_letter for dead_letter in chosen if dead_letter.position not in staying]
        )
        unreadable += garbled
        delivered += len(readable)
        gone += len(chosen) - len(kept)
    trouble = f"event {unreadable[0].position} {unreadable[0].reason}" if unreadable else None
    return Resent(name, delivered, gone, len(unreadable), trouble)
