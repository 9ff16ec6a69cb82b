"""What is in a video file, by its packets: how long it really is, and where it pauses."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from connectors.sources.ffmpeg.timeline import FileTimeline

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

# Between two packets of one stream: what is further apart is looked at twice.
_LEAP_S = 60.0
_DISORDER_S = 1.0
# More pictures than any encoder sends out of their order.
_REORDERED = 16
# How many packets after a leap say whether the clock stays there.
_WITNESSES = 8
# A pause in the pictures is one of at least this, and of so many usual distances.
_GAP_S = 1.0
_GAP_STEPS = 5.0


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """A file's video stream in figures, in seconds from its beginning."""

    packets: int
    length_s: float
    """To the end of its last picture; clocks that were set are taken out."""
    gaps: tuple[tuple[float, float], ...]
    """Pauses in it: from, to."""
    jumps: tuple[tuple[float, float], ...]
    """Steps of its clock that are no pauses: when, and by how much."""


def measure(
    packets: "Iterable[Packet[VideoStream]]", tick_s: float, timeline: FileTimeline
) -> StreamFigures:
    """The figures of a stream whose timeline begins at 0; `tick_s` is the unit of its stamps."""
    pause_s = max(_GAP_S, _GAP_STEPS * timeline.usual_s)
    gaps: list[tuple[float, float]] = []
    count, last = 0, 0.0
    for stamp in _in_order(packets, tick_s):
        count += 1
        at = timeline.at(stamp)
        if count > 1 and at - last > pause_s:
            gaps.append((round(last, 3), round(at, 3)))
        last = at
    length_s = timeline.end() - timeline.start if count else 0.0
    return StreamFigures(count, length_s, tuple(gaps), tuple(timeline.closed))


def _in_order(packets: "Iterable[Packet[VideoStream]]", tick_s: float) -> Iterator[float | None]:
    """The packets' times in the order in which pictures are shown, not that of decoding."""
    waiting: list[float] = []
    for packet in packets:
        if not packet.size or packet.is_corrupt:
            continue
        stamp = _seconds(packet, tick_s)
        if stamp is None or (waiting and abs(stamp - waiting[-1]) > _LEAP_S):
            yield from sorted(waiting)
            waiting.clear()
        if stamp is None:
            yield None
            continue
        waiting.append(stamp)
        if len(waiting) > _REORDERED:
            waiting.sort()
            yield waiting.pop(0)
    yield from sorted(waiting)


def without_strays(
    packets: "Iterable[Packet[VideoStream]]", tick_s: float
) -> "Iterator[Packet[VideoStream]]":
    """The packets; one whose timestamp alone is far away from its neighbours' loses that stamp.

    So a damaged timestamp moves nothing, and a clock that goes on where it leapt to is believed.
    """
    source = iter(packets)
    last: float | None = None
    for packet in source:
        stamp = _seconds(packet, tick_s)
        if stamp is None or last is None or -_DISORDER_S <= stamp - last <= _LEAP_S:
            last = stamp if stamp is not None else last
            yield packet
            continue
        following = [packet, *islice(source, _WITNESSES)]
        stamps = [at for one in following[1:] if (at := _seconds(one, tick_s)) is not None]
        stays = [at for at in stamps if abs(at - stamp) <= _LEAP_S]
        returns = [at for at in stamps if abs(at - last) <= _LEAP_S]
        if len(returns) > len(stays):
            for one in following:
                at = _seconds(one, tick_s)
                if at is not None and abs(at - last) > _LEAP_S:
                    one.pts = one.dts = None
        for one in following:
            at = _seconds(one, tick_s)
            last = at if at is not None else last
            yield one


def _seconds(packet: "Packet[VideoStream]", tick_s: float) -> float | None:
    stamp = packet.pts if packet.pts is not None else packet.dts
    return None if stamp is None or not packet.size else stamp * tick_s
