"""What every sink promises; subclass the class to hold a sink to it."""

import abc
from collections.abc import Iterator

import pytest

from pipeline.core.errors import SinkError
from pipeline.core.sinks import Sink
from tests.contracts.event_tools import an_event, odd_events

SITE = "Shop 12"


class SinkContract(abc.ABC):
    """Everything in order, nothing invented, and a plain answer when it does not work."""

    @abc.abstractmethod
    def built(self) -> Sink:
        """The sink under test, with nothing sent to it yet."""

    @abc.abstractmethod
    def received(self) -> list[str]:
        """The record ids that arrived at the other end, in order."""

    @abc.abstractmethod
    def fail(self) -> None:
        """Make the other end refuse from now on."""

    @abc.abstractmethod
    def heal(self) -> None:
        """Make it accept again."""

    @pytest.fixture
    def sink(self) -> Iterator[Sink]:
        """The sink under test."""
        sink = self.built()
        yield sink
        sink.close()

    def test_events_arrive_in_order(self, sink: Sink) -> None:
        """Over one call and over several."""
        sink.send([an_event(1), an_event(2)])
        sink.send([an_event(3)])
        assert self.received() == [an_event(number).record_id for number in (1, 2, 3)]

    def test_any_event_can_be_sent(self, sink: Sink) -> None:
        """Whatever letters and numbers it has."""
        sink.send(odd_events())
        assert self.received() == [event.record_id for event in odd_events()]

    def test_nothing_can_be_sent(self, sink: Sink) -> None:
        """Which sends nothing."""
        sink.send([])
        assert self.received() == []

    def test_a_failure_can_be_retried(self, sink: Sink) -> None:
        """It is told as SinkError, and what failed arrives when it is sent again."""
        sink.send([an_event(1)])
        self.fail()
        with pytest.raises(SinkError) as caught:
            sink.send([an_event(2), an_event(3)])
        assert caught.value.retryable
        self.heal()
        sink.send([an_event(2), an_event(3)])
        assert self.received() == [an_event(number).record_id for number in (1, 2, 3)]

    def test_closing_twice_is_closing(self) -> None:
        """Also when nothing was ever sent."""
        self.built().close()
        sink = self.built()
        sink.send([an_event(1)])
        sink.close()
        sink.close()
