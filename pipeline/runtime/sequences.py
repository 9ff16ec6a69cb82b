"""Sequences of events, judged by the process that delivers.

Each has its own cursor in the store's order of arrival, like a sink: what is new is looked at once,
nothing is pruned before it, and after a crash it goes on where it was. Events that were stored
already are recognised by their ids, which follow from those of the parts.
"""

from collections.abc import Sequence

from pipeline.core.events import Event
from pipeline.core.store import Commit, History, LeaseProof, Store
from pipeline.delivery import Route
from pipeline.deployment.model import Deployment
from pipeline.rules.at_work.sequence import SequenceFinder
from pipeline.rules.sequence import SequenceConfig


def cursor_of(sequence: str) -> str:
    """The name of a sequence's cursor; no sink can have it, as names have no spaces."""
    return f"sequence {sequence}"


def cursors_of(deployment: Deployment) -> list[str]:
    """The cursors of all sequences of a deployment."""
    return [cursor_of(name) for name in deployment.sequences]


def route_of(name: str, config: SequenceConfig) -> Route:
    """The events that a sequence may consist of."""
    return Route(cursor_of(name), only=(config.first.rule, config.then.rule))


class SequenceJudge:
    """Takes stored events in order, like a sink, and stores the sequences that they complete."""

    def __init__(
        self,
        name: str,
        config: SequenceConfig,
        store: Store,
        history: History,
        lease: LeaseProof | None,
    ) -> None:
        """With a `lease` nothing is stored once another process has taken that lease."""
        self._finder = SequenceFinder(name, config, history)
        self._store = store
        self._lease = lease

    def send(self, events: Sequence[Event]) -> None:
        """Store what they complete, all or nothing; raises StoreError."""
        found = {
            sequence.record_id: sequence
            for event in events
            for sequence in self._finder.completed_by(event)
        }
        if found:
            self._store.commit(Commit(events=tuple(found.values()), lease=self._lease))

    def close(self) -> None:
        """Nothing is open."""
