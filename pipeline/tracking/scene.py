"""What a camera's detector does, measured while it works: noise, misses, and where things are.

A `SceneMemory` sees every look of one camera and task, and keeps counts of a fixed number: nothing
in it grows with time. `figures_of` (in `scene_figures`) makes figures of what it kept.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box
from pipeline.core.ranges import holds_finite, is_moment
from pipeline.core.tracks import Track

SCENE_VERSION = 1
"""Increased when a count changes its meaning; a memory of another version begins anew."""
COLUMNS, ROWS = 16, 9
"""The grid of the picture: a cell is about as high as wide."""
HALF_LIFE_S = 3 * 86400.0
"""After this long an observation counts half: a camera that was moved is known anew in a week."""
MEASURED_EVERY_S = 0.36
"""Boxes are measured about this often however many looks there are: a detector's noise lasts for
about a quarter of a second, so closer looks would measure the same noise again and find it small.
Just below .4 s, so that rates of 5 and 10 a second, whose times are not exact, give .4."""
LONGEST_STEP_S = 1.6
"""Three positions further apart tell about the walk and not about the detector."""
STILL_SPEED = 0.3
"""Body heights per second below which a thing is standing."""
ENDED_S, ENDED_LOOKS = 2.0, 3
"""A thing has ended after it was not seen for this many seconds and looks."""
AT_EDGE = 0.01
"""A box this close to the edge of the picture, in 0..1, is cut by it."""
SECOND_IOU, SECOND_INSIDE = 0.4, 0.7
"""A box that nothing follows is a second one of a followed thing if it overlaps its box this much,
or if this share of the smaller one lies in the other."""
MOST_FOLLOWED = 128
"""More things than this at once are not followed here; what is known does not need them."""
KNOWN_WELL = 6000
"""Boxes of followed things that are measured as they come. Then enough is known to look less often:
measuring a look takes about half as long as tracking it."""
BURST, BURST_EVERY = 3, 80
"""Then so many looks in a row are measured of so many, as noise needs three. The share is that of
looks and not of time, so that it is the same part of the work at any rate."""
MOST_RECENT = 256
"""New counts are merged into the text of all when there are more than these; see `state`."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The bins of a histogram: equal ratios between a lowest and a highest value."""

    first: int
    """The place of its first bin among all counts."""
    lowest: float
    highest: float
    bins: int

    def place(self, value: float) -> int:
        """The place of the bin that holds a value; those outside go to the ends."""
        if value <= self.lowest:
            return self.first
        part = math.log(value / self.lowest) / math.log(self.highest / self.lowest)
        return self.first + min(int(part * self.bins), self.bins - 1)

    def value(self, part: float) -> float:
        """The value at a place between the bins, from 0 to `bins`."""
        return float(self.lowest * (self.highest / self.lowest) ** (part / self.bins))


# The places of the totals among all counts.
LOOKS, MEASURED, FOLLOWED, SECONDS, SIGHTINGS, MISSES, BEGUN, FEET, DOUBT = range(9)
"""`DOUBT` is the sum over `FEET` places of the noise that the tracker gives them, smoothed as they
are, in ten thousandths of a body."""
SCORES = 9
SCORE_BINS = 20
NUMBERS = SCORES + SCORE_BINS
"""Boxes in a look: none, one, ... and 31 or more."""
NUMBER_BINS = 32
INTERVALS = Scale(NUMBERS + NUMBER_BINS, 0.02, 5000.0, 40)
INTERVAL_SUMS = INTERVALS.first + INTERVALS.bins
"""Milliseconds in each bin of the intervals: their mean is more exact than a bin."""
HEIGHTS = Scale(INTERVAL_SUMS + INTERVALS.bins, 0.01, 2.0, 40)
NOISE = {
    kind: Scale(HEIGHTS.first + HEIGHTS.bins + 40 * index, 0.0005, 1.0, 40)
    for index, kind in enumerate(
        ("still feet", "still centre", "moving feet", "moving centre", "height")
    )
}
"""How far a lower edge, and a centre from left to right, is from halfway between the positions
before and after it: as the standard deviation that this is evidence of, in body heights. The same
of an edge from the height, which changes slowly whatever the feet do: where looks are far apart,
the feet are where they are because somebody walks."""
CELLS = HEIGHTS.first + HEIGHTS.bins + 40 * len(NOISE)
SEEN, VISITS, BEGINS, ENDS, CUT_LOW, CUT_SIDE, HEIGHT, SPEED, VX, VY, WAYS = range(11)
"""What is known of a cell: how often feet were there, how often they came to it, how often a track
began and ended there, how often the lower edge, or another one, cut the box; sums in hundredths of
the box's height (picture heights), of the speed (body heights a second), and of the velocity; and
from `WAYS` on, how often something moved at each angle, whichever way it went."""
ANGLES = 8
"""From 0 to 180 degrees: to the right or left, down to the right or up to the left, and so on."""
CELL_FIELDS = WAYS + ANGLES
PARTS = 100
"""Sums are kept in whole hundredths."""
COUNTS = CELLS + COLUMNS * ROWS * CELL_FIELDS

_Place = tuple[float, float, float, int]
"""x and y of the feet and the box's height, in picture heights, and the edges that cut it."""
_LOW, _SIDE, _TOP = 1, 2, 4
_EMPTY_CELL = ",0" * CELL_FIELDS


@dataclass(slots=True)
class _Followed:
    """One thing, as far as it matters for what is measured."""

    look: int
    """The number of the last look in which it was seen."""
    cell: int
    height: float
    """Smoothed height of its box in picture heights."""
    last: _Place | None = None
    """Where it was at the last measured look, if it was seen then and the burst goes on."""
    before: _Place | None = None
    """The same at the one before."""


class SceneMemory:
    """What was seen of one task of one camera; has no clock, and the same looks give the same."""

    def __init__(self, aspect: float) -> None:
        self._aspect = aspect
        self._settled = [0] * COUNTS
        self._text = encoded(self._settled)
        self._recent: dict[int, int] = {}
        """Counts since `_settled`, by place."""
        self._followed: dict[int, _Followed] = {}
        self._newest = 0
        """The highest id so far; every later track has a higher one."""
        self._began_at: float | None = None
        self._at: float | None = None
        self._decayed_at = 0.0
        self._look = 0
        self._burst: list[float] = []
        """When the measured looks of this burst were."""

    def see(
        self, at: float, boxes: Sequence[Box], scores: Sequence[float], tracks: Sequence[Track]
    ) -> None:
        """Take in one look: what was detected, and the tracks that were made of it."""
        self._look = look = self._look + 1
        if self._began_at is None:
            self._began_at = self._decayed_at = at
        interval_s = at - self._at if self._at is not None else 0.0
        self._at = at
        if tracks and tracks[-1].id > self._newest:
            self._begin([track for track in tracks if track.id > self._newest])
        followed = self._followed
        sightings = seen = 0
        for track in tracks:
            thing = followed.get(track.id)
            if thing is not None:
                sightings += look - thing.look
                seen += thing.look < look
                thing.look = look
            elif len(followed) < MOST_FOLLOWED:  # it was away for long, and is back
                self._follow(track)
        self._add(LOOKS)
        if sightings:
            self._add(SIGHTINGS, sightings)
            if sightings > seen:
                self._add(MISSES, sightings - seen)
        if self._is_due(at, look):
            self._burst.append(at)
            self._measure(boxes, scores, tracks)
            if interval_s > 0 and tracks:
                # Where nothing moves, some cameras are looked at less often.
                bin_ = INTERVALS.place(interval_s)
                self._add(bin_)
                self._add(bin_ + INTERVALS.bins, round(interval_s * 1000))
        if look % ENDED_LOOKS == 0:
            self._end(interval_s)
        if len(self._recent) > MOST_RECENT or look % 1024 == 0:
            self._settle(at)

    def break_off(self) -> None:
        """What is followed does not go on, as the clock was set back; what is known stays."""
        self._followed, self._burst = {}, []
        self._newest = 0
        self._at = None

    def state(self) -> JsonValue:
        """Everything needed to resume exactly after a restart.

        It is written with every checkpoint, so the text of all counts, a few kilobytes, is made
        once for several looks, and what was counted since stands beside it.
        """
        followed: list[JsonValue] = [
            [
                *(id_, thing.look, thing.cell, thing.height),
                *(thing.last or ()),
                *(thing.before or ()),
            ]
            for id_, thing in self._followed.items()
        ]
        recent: list[JsonValue] = [*itertools.chain.from_iterable(self._recent.items())]
        burst: list[JsonValue] = [*self._burst]
        return {
            "version": SCENE_VERSION,
            "aspect": self._aspect,
            "began_at": self._began_at,
            "at": self._at,
            "decayed_at": self._decayed_at,
            "look": self._look,
            "newest": self._newest,
            "burst": burst,
            "counts": self._text,
            "recent": recent,
            "followed": followed,
        }

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError, and changes nothing, for anything else."""
        kept = checked(state)
        try:
            followed = {int(row[0]): _thing(row[1:]) for row in kept["followed"]}
            settled, recent = decoded(kept["counts"]), pairs(kept["recent"])
            look, newest = int(kept["look"]), int(kept["newest"])
            burst = [float(at) for at in kept["burst"]]
            began_at, at = (
                None if kept[name] is None else float(kept[name]) for name in ("began_at", "at")
            )
            decayed_at = float(kept["decayed_at"])
        except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
            raise ValueError(f"not what is known of a scene: {error!r}") from error
        self._settled, self._text, self._recent = settled, encoded(settled), recent
        self._followed, self._look, self._newest, self._burst = followed, look, newest, burst
        self._began_at, self._at, self._decayed_at = began_at, at, decayed_at

    def _add(self, place: int, count: int = 1) -> None:
        self._recent[place] = self._recent.get(place, 0) + count

    def _begin(self, tracks: Sequence[Track]) -> None:
        self._newest = tracks[-1].id
        for track in tracks:
            first = track.steps[0].box
            cell = self._cell((first[0] + first[2]) / 2, first[3])
            self._add(BEGUN)
            self._add(CELLS + cell * CELL_FIELDS + BEGINS)
            self._add(CELLS + cell * CELL_FIELDS + VISITS)
            if len(self._followed) < MOST_FOLLOWED:
                self._follow(track)

    def _follow(self, track: Track) -> None:
        x_min, y_min, x_max, y_max = track.steps[0].box
        height = round(max(y_max - y_min, 1e-4), 5)
        cell = self._cell((x_min + x_max) / 2, y_max)
        self._followed[track.id] = _Followed(self._look, cell, height)

    def _is_due(self, at: float, look: int) -> bool:
        """Whether this look is measured."""
        burst = self._burst
        if burst and at - burst[-1] < MEASURED_EVERY_S:
            return False
        if self._settled[FOLLOWED] < KNOWN_WELL:
            del burst[:-2]
            return True
        if burst and len(burst) < BURST:
            return True
        if look % BURST_EVERY:
            return False
        burst.clear()
        return True

    def _measure(
        self, boxes: Sequence[Box], scores: Sequence[float], tracks: Sequence[Track]
    ) -> None:
        self._add(MEASURED)
        self._add(NUMBERS + min(len(boxes), NUMBER_BINS - 1))
        for score in scores:
            self._add(SCORES + int(min(max(0.0, score) * SCORE_BINS, SCORE_BINS - 1)))
        # A tracker may have completed a box that is partly hidden, but only upwards and downwards.
        detected = {(box[0], box[2]): box for box in boxes}
        for track in tracks:
            thing = self._followed.get(track.id)
            if thing is not None:
                x_min, _, x_max, _ = track.box
                self._measure_one(detected.get((x_min, x_max), track.box), thing)
            feet = track.steps[-1].feet
            if feet is not None and feet.height > 0:
                self._add(FEET)
                self._add(DOUBT, min(round(feet.noise / feet.height * 1e4), 10_000))
        for thing in self._followed.values():
            if thing.look != self._look:
                thing.last = thing.before = None
        self._add(FOLLOWED, len(tracks))
        if len(boxes) > len(tracks):
            followed = {(track.box[0], track.box[2]) for track in tracks}
            spare = [box for key, box in detected.items() if key not in followed]
            self._add(
                SECONDS, sum(any(_is_second(box, one.box) for box in spare) for one in tracks)
            )

    def _measure_one(self, box: Box, thing: _Followed) -> None:
        x_min, y_min, x_max, y_max = box
        height = max(y_max - y_min, 1e-4)
        thing.height = round(thing.height + 0.3 * (height - thing.height), 5)
        x = (x_min + x_max) / 2
        cell = self._cell(x, y_max)
        fields = CELLS + cell * CELL_FIELDS
        self._add(fields + SEEN)
        self._add(fields + HEIGHT, round(height * PARTS))
        self._add(HEIGHTS.place(height))
        if cell != thing.cell:
            self._add(fields + VISITS)
            thing.cell = cell
        cut = 0
        if y_max > 1.0 - AT_EDGE:
            cut = _LOW
            self._add(fields + CUT_LOW)
        if x_min < AT_EDGE or x_max > 1.0 - AT_EDGE:
            cut |= _SIDE
            self._add(fields + CUT_SIDE)
        if y_min < AT_EDGE:
            cut |= _TOP
        here: _Place = (round(x * self._aspect, 5), round(y_max, 5), round(height, 5), cut)
        burst = len(self._burst)
        if burst >= 3 and thing.last is not None and thing.before is not None:
            self._compare(thing.before, thing.last, here, thing.height)
        thing.before = thing.last if burst >= 2 else None
        thing.last = here

    def _compare(self, first: _Place, middle: _Place, last: _Place, height: float) -> None:
        """Measure the noise of the middle one of three places, and the way they go."""
        begin, between, end = self._burst[-3:]
        whole_s, early_s = end - begin, between - begin
        dx, dy = (last[0] - first[0]) / height, (last[1] - first[1]) / height
        speed = math.hypot(dx, dy) / whole_s
        if speed >= STILL_SPEED and not (first[3] | last[3]) & (_LOW | _SIDE):
            cell = CELLS + self._cell(middle[0] / self._aspect, middle[1]) * CELL_FIELDS
            for field, value in ((SPEED, speed), (VX, dx / whole_s), (VY, dy / whole_s)):
                self._add(cell + field, round(min(max(value, -1e3), 1e3) * PARTS))
            turn = math.atan2(dy, dx) / math.pi % 1.0
            self._add(cell + WAYS + int(turn * ANGLES + 0.5) % ANGLES)
        if max(early_s, whole_s - early_s) > LONGEST_STEP_S:
            return
        share = early_s / whole_s
        # Of three equal noises, the middle one against the other two weighted by time.
        spread = height * math.sqrt(1.0 + share**2 + (1.0 - share) ** 2)
        cut = first[3] | middle[3] | last[3]
        kind = "moving" if speed >= STILL_SPEED else "still"
        for what, axis, edges in (
            (f"{kind} centre", 0, _SIDE),
            (f"{kind} feet", 1, _LOW),
            ("height", 2, _LOW | _TOP),
        ):
            if not cut & edges:
                straight = first[axis] + share * (last[axis] - first[axis])
                off = abs(middle[axis] - straight) / spread
                # Both edges of a height jitter.
                self._add(NOISE[what].place(off / math.sqrt(2.0) if axis == 2 else off))

    def _end(self, interval_s: float) -> None:
        looks = max(ENDED_LOOKS, ENDED_S / interval_s if interval_s > 0 else 0.0)
        before = self._look - looks
        for id_ in [i for i, thing in self._followed.items() if thing.look < before]:
            self._add(CELLS + self._followed.pop(id_).cell * CELL_FIELDS + ENDS)

    def _settle(self, at: float) -> None:
        counts = self._settled
        for place, count in self._recent.items():
            counts[place] += count
        self._recent = {}
        if at < self._decayed_at:
            self._decayed_at = at
        halvings = int((at - self._decayed_at) / HALF_LIFE_S)
        if halvings:
            self._decayed_at += halvings * HALF_LIFE_S
            power = 1 << min(halvings, 62)
            counts[:] = [int(count / power) for count in counts]
        self._text = encoded(counts)

    def _cell(self, x: float, y: float) -> int:
        """The number of the cell that a place, in 0..1 of the picture, is in."""
        column = min(max(int(x * COLUMNS), 0), COLUMNS - 1)
        row = min(max(int(y * ROWS), 0), ROWS - 1)
        return row * COLUMNS + column


def _is_second(box: Box, of: Box) -> bool:
    """Whether a box that nothing follows shows the same body as another one."""
    width = min(box[2], of[2]) - max(box[0], of[0])
    height = min(box[3], of[3]) - max(box[1], of[1])
    if width <= 0 or height <= 0:
        return False
    area, other = ((b[2] - b[0]) * (b[3] - b[1]) for b in (box, of))
    shared = width * height
    return shared > SECOND_IOU * (area + other - shared) or shared > SECOND_INSIDE * min(
        area, other
    )


def encoded(counts: Sequence[int]) -> str:
    """All counts as a text, in which `z` stands for as many zeros as a cell has fields."""
    return str(list(counts))[1:-1].replace(" ", "").replace(_EMPTY_CELL, "z")


def decoded(text: Any) -> list[int]:
    """The counts that `encoded` wrote; raises ValueError for anything else."""
    if not isinstance(text, str) or len(text) > 20 * COUNTS or text.count("z") > COUNTS:
        raise ValueError("its counts are not a text")
    counts = [int(count) for count in text.replace("z", _EMPTY_CELL).split(",")]
    if len(counts) != COUNTS:
        raise ValueError(f"it has {len(counts)} counts, and not {COUNTS}")
    return counts


def pairs(flat: Any) -> dict[int, int]:
    """What was counted since, by place; raises ValueError for anything else."""
    if not isinstance(flat, list) or not all(type(number) is int for number in flat):
        raise ValueError("its last counts are not numbers")
    found = dict(zip(flat[::2], flat[1::2], strict=True))
    if any(not 0 <= place < COUNTS for place in found):
        raise ValueError("its last counts are of something else")
    return found


def checked(state: JsonValue) -> Mapping[str, Any]:
    """A state of this version; raises ValueError for anything else."""
    if not isinstance(state, dict) or state.get("version") != SCENE_VERSION:
        raise ValueError(f"not what this release knows of a scene (version {SCENE_VERSION})")
    if not holds_finite(state):
        raise ValueError("it holds a number that is none of a picture's")
    at = state.get("at")
    if at is not None and not is_moment(at):
        raise ValueError("its `at` is not a time")
    aspect = state.get("aspect")
    if not isinstance(aspect, int | float) or aspect <= 0:
        raise ValueError("its `aspect` is not that of a picture")
    return state


def _thing(row: Sequence[Any]) -> _Followed:
    look, cell, height, *places = row
    if len(places) not in (0, 4, 8) or not 0 <= int(cell) < COLUMNS * ROWS or not height > 0:
        raise ValueError(f"{row!r} is not a thing that is followed")
    read = [
        (float(x), float(y), float(tall), int(cut))
        for x, y, tall, cut in (places[i : i + 4] for i in range(0, len(places), 4))
    ]
    return _Followed(int(look), int(cell), float(height), *[*read, None, None][:2])
