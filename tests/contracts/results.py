"""What every queue promises about results: subclass it and build the queue to be held to it."""

import math
import time

from pipeline.core.answers import Answer, Boxes, Failed, Number, Points, Text
from pipeline.core.jobs import Result, result_of
from pipeline.core.queues import Queues
from pipeline.testing import patience
from tests.contracts.queue_tools import ENGINE, NOT_LONG_S, SOON_S, BuiltQueues, a_job

ANSWERS: dict[str, Answer] = {
    "people": Boxes(
        ENGINE,
        ((0.1, 1 / 3, math.nextafter(0.5, 1), 1.0), (0.0, 0.0, 1e-17, 0.7)),
        (0.1 + 0.2, 1.0),
        saturated=True,
    ),
    "nobody": Boxes(ENGINE, (), ()),
    "hats": Points(ENGINE, ((2 / 3, 0.1), (5e-324, 1.0)), (0.9, 0.25)),
    "cars": Number(ENGINE, 12, score=0.7, saturated=True),
    "buses": Number(ENGINE, 0),
    "door": Text(ENGINE, "yes", yes_probability=1 - 2**-53),
    "words": Text(ENGINE, "Zwei Türen,\nbeide offen ☂"),
    "light": Failed(ENGINE, "out of memory"),
}


class ResultContract(BuiltQueues):
    """Handing results to the processor."""

    def test_every_kind_of_answer_arrives_exactly(self, queues: Queues) -> None:
        """All answer types come back equal, to the last bit of each number."""
        put = result_of(a_job(ordinal=1), ANSWERS)
        assert queues.results.publish([put], 0)
        (delivered,) = queues.results.take(5, SOON_S)
        assert delivered.result == put
        assert delivered.result.captured_at == 1_700_000_002.125

    def test_an_end_marker_arrives(self, queues: Queues) -> None:
        """The last result of a run has no answers and says that it is the last."""
        end = Result("door", "run-1", ENGINE, 4, 8, 17.25, (0, 0), live=False, last=True)
        queues.results.publish([end], 0)
        assert queues.results.take(5, SOON_S)[0].result == end

    def test_results_of_a_camera_keep_their_order(self, queues: Queues) -> None:
        """Results are taken in the order in which they were published."""
        for ordinal in range(3):
            queues.results.publish([result_of(a_job(ordinal=ordinal), {})], 0)
        taken = queues.results.take(2, SOON_S) + queues.results.take(2, SOON_S)
        assert [one.result.ordinal for one in taken] == [0, 1, 2]

    def test_taking_from_nothing_ends_within_the_wait(self, queues: Queues) -> None:
        """No result means an empty list after the wait."""
        started = time.monotonic()
        assert queues.results.take(5, NOT_LONG_S) == []
        assert NOT_LONG_S * 0.9 <= time.monotonic() - started < patience(5)

    def test_results_are_bounded_all_or_none(self, queues: Queues) -> None:
        """Without room nothing of a batch is published; once taken and acknowledged, all is."""
        results = [result_of(a_job(ordinal=ordinal), {}) for ordinal in range(6)]
        assert queues.results.publish(results[:3], 0)
        assert not queues.results.publish(results[3:], NOT_LONG_S)
        taken = queues.results.take(9, SOON_S)
        assert [one.result.ordinal for one in taken] == [0, 1, 2]
        queues.results.acknowledge(taken)
        assert queues.results.publish(results[3:], SOON_S)
        assert [one.result.ordinal for one in queues.results.take(9, SOON_S)] == [3, 4, 5]

    def test_unacknowledged_results_come_again(self, queues: Queues) -> None:
        """A processor that dies leaves its results to the next one, in their order."""
        queues.results.publish([result_of(a_job(ordinal=n), {}) for n in range(3)], 0)
        taken = queues.results.take(9, SOON_S)
        queues.results.acknowledge(taken[1:2])
        self.expire()
        again = queues.results.take(9, SOON_S)
        assert [one.result.ordinal for one in again] == [0, 2]

    def test_acknowledged_results_never_come_again(self, queues: Queues) -> None:
        """Acknowledging twice is the same as once, and works after the lease, too."""
        queues.results.publish([result_of(a_job(), {})], 0)
        taken = queues.results.take(9, SOON_S)
        self.expire()
        queues.results.acknowledge(taken)
        queues.results.acknowledge(taken)
        assert queues.results.take(9, NOT_LONG_S) == []
