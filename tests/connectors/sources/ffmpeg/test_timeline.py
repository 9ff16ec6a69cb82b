"""Stream timestamps become times: anchored once, and mended only where they are certainly wrong."""

from itertools import pairwise

import pytest

from connectors.sources.ffmpeg.timeline import FileTimeline, LiveTimeline
from pipeline.testing import ManualClock

WRAP = 2**33 / 90_000
"""Seconds until the 33 bits of an MPEG timestamp are used up."""

FILE_CASES = [
    # remark, pts in seconds, expected offsets
    ("regular", [0, 0.1, 0.2], [0, 0.1, 0.2]),
    ("variable rate is kept", [0, 0.04, 3, 3.04], [0, 0.04, 3, 3.04]),
    ("an honest gap, recorded on motion", [0, 0.1, 600], [0, 0.1, 600]),
    ("a clock that was set forward by a day", [0, 0.1, 86_400, 86_400.1], [0, 0.1, 0.2, 0.3]),
    ("a wrap", [WRAP - 0.2, WRAP - 0.1, 0, 0.1], [0, 0.1, 0.2, 0.3]),
    ("an encoder that began anew", [50, 50.1, 0, 0.1], [0, 0.1, 0.2, 0.3]),
    ("no pts at all", [None, None, None], [0, 0.1, 0.2]),
    ("pts missing now and then", [0, None, 0.2, None], [0, 0.1, 0.2, 0.3]),
    ("pts missing at first", [None, 7.0, 7.1], [0, 0.1, 0.2]),
    ("the same pts twice", [0, 0.1, 0.1, 0.2], [0, 0.1, 0.101, 0.2]),
    ("disorder within the stream", [0, 0.2, 0.1, 0.3], [0, 0.2, 0.201, 0.3]),
]


@pytest.mark.parametrize(
    ("pts", "expected"), [row[1:] for row in FILE_CASES], ids=[row[0] for row in FILE_CASES]
)
def test_times_of_a_file(pts: list[float | None], expected: list[float]) -> None:
    """Start plus pts; jumps are closed by the usual step."""
    first = next((value for value in pts[:1]), None)
    timeline = FileTimeline(1000.0, 0.1, first)
    assert [timeline.at(value) - 1000.0 for value in pts] == pytest.approx(expected, abs=1e-6)


def test_a_file_begins_where_its_stream_does() -> None:
    """A first picture that is lost does not move the others."""
    timeline = FileTimeline(1000.0, 0.1, 1.4)
    assert timeline.at(1.6) == pytest.approx(1000.2)
    assert timeline.end() == pytest.approx(1000.3)


LIVE_CASES = [
    # remark, (arrival, pts) in seconds, expected offsets
    ("regular", [(0, 5), (0.1, 5.1), (0.2, 5.2)], [0, 0.1, 0.2]),
    (
        "jitter of the network does not show",
        [(0, 0), (0.17, 0.1), (0.22, 0.2), (0.31, 0.3)],
        [0, 0.1, 0.2, 0.3],
    ),
    (
        "a burst from a buffer is never in the future, and soon as early as it should be",
        [(0, 0), (0.01, 0.5), (0.02, 1.0), (0.5, 1.48), (1.0, 1.98)],
        [0, 0.01, 0.02, 0.5, 1.0],
    ),
    (
        "a stall delivers late what was seen in time",
        [(0, 0), (3, 0.1), (3.01, 0.2), (3.1, 3.1)],
        [0, 0.1, 0.2, 3.1],
    ),
    ("a gap in the stream is a gap", [(0, 0), (0.1, 0.1), (30.1, 30.1)], [0, 0.1, 30.1]),
    ("a wrap", [(0, WRAP - 0.1), (0.1, 0), (0.2, 0.1)], [0, 0.1, 0.2]),
    ("the camera's clock was set forward", [(0, 0), (0.1, 9000), (0.2, 9000.1)], [0, 0.1, 0.2]),
    ("the camera's clock was set back", [(0, 9000), (0.1, 0), (0.2, 0.1)], [0, 0.1, 0.2]),
    ("no pts: the arrival counts", [(0, None), (0.13, None), (0.2, None)], [0, 0.13, 0.2]),
    ("pts only later", [(0, None), (0.1, 4.0), (0.25, 4.1)], [0, 0.1, 0.2]),
    ("the same pts twice: time goes on", [(0, 1), (0.1, 1.1), (0.2, 1.1)], [0, 0.1, 0.2]),
    (
        "one stamp of nonsense moves nothing",
        [(0, 0), (0.1, 0.1), (0.2, -7e5), (0.3, 0.3), (0.4, 9e5), (0.51, 0.5)],
        [0, 0.1, 0.2, 0.3, 0.4, 0.5],
    ),
    (
        "the first packet came late, the second in time",
        [(3, 0), (3.01, 2.0), (3.02, 3.0), (4, 4)],
        [3, 3.01, 3.02, 4],
    ),
]


@pytest.mark.parametrize(
    ("seen", "expected"), [row[1:] for row in LIVE_CASES], ids=[row[0] for row in LIVE_CASES]
)
def test_times_of_a_live_stream(
    seen: list[tuple[float, float | None]], expected: list[float]
) -> None:
    """Distances as in the stream, the time of day from the earliest arrival."""
    clock = ManualClock()
    begun = clock.now()
    timeline, times = LiveTimeline(clock), []
    for arrival, pts in seen:
        clock.advance(begun + arrival - clock.now())
        timeline.arrive(pts)
        times.append(timeline.at(pts) - begun)
    assert times == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("drift", [-200e-6, 200e-6])
def test_a_camera_with_a_bad_quartz_is_followed(drift: float) -> None:
    """Over a day its clock is 17 s off; its pictures' times stay within a fifth of a second."""
    clock, pts, worst, times = ManualClock(), 0.0, 0.0, []
    timeline = LiveTimeline(clock)
    for _ in range(86_400):
        timeline.arrive(pts)
        times.append(timeline.at(pts))
        worst = max(worst, abs(times[-1] - clock.now()))
        clock.advance(1.0)
        pts += 1.0 + drift
    assert worst < 0.2
    assert all(abs(b - a - 1.0) < 0.0021 * 10 for a, b in pairwise(times))


class SettableClock(ManualClock):
    """A host whose time of day can be set."""

    def __init__(self) -> None:
        super().__init__()
        self.set_by = 0.0

    def now(self) -> float:
        """UTC seconds, as this host believes."""
        return super().now() + self.set_by


@pytest.mark.parametrize(
    ("set_by", "step"),
    [
        (3600.0, 3600.1),  # a host without a battery learns the time after its start
        (-3600.0, 0.1),  # time never goes back within a run
    ],
)
def test_a_host_whose_clock_is_set(set_by: float, step: float) -> None:
    """Forward is believed at once, backward only when the source is opened again."""
    clock = SettableClock()
    timeline = LiveTimeline(clock)
    before = timeline.at(0.0)
    clock.advance(0.1)
    clock.set_by = set_by
    after = timeline.at(0.1)
    assert after - before == pytest.approx(step, abs=1e-5)
    clock.advance(0.1)
    assert timeline.at(0.2) - after == pytest.approx(0.1, abs=1e-5)
