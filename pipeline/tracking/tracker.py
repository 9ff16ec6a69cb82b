"""A tracker for 1 to 10 frames per second that works in seconds and body heights, not in frames."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress, product
from operator import attrgetter
from typing import Any

from pipeline.core.events import JsonValue
from pipeline.core.geometry import Box
from pipeline.core.ranges import holds_finite
from pipeline.core.tracks import Track
from pipeline.tracking.association import TOP_SPEED, Detections, costs, handed_back, matched
from pipeline.tracking.classes import Votes
from pipeline.tracking.doubles import ENOUGH, TOO_LITTLE, evidence, is_close, is_part
from pipeline.tracking.evidence import GAP_LOOKS, GAP_S, Evidence, KnownPlaces
from pipeline.tracking.feet import LEAST_NOISE, MOST_NOISE, USUAL_NOISE, pooled
from pipeline.tracking.hindsight import (
    APART_S,
    SecondThought,
    doubt_from_json,
    exchanges,
    judged_again,
)
from pipeline.tracking.kinds import WALKER, usual_speed
from pipeline.tracking.learning import (
    KIND_HEIGHTS,
    MOST_WEIGHT,
    SOON_S,
    UNKNOWN_HEIGHTS,
    Currents,
    LearnedBlur,
    TypicalSpeed,
    speed_in_line,
)
from pipeline.tracking.memory import TrackMemory, begun, from_json
from pipeline.tracking.motion import MotionModel, centre_of, shape_of

STATE_VERSION = 1
"""Increased when a field of the state changes its meaning or a new one is needed; a state of
another version is not read."""
MISSES = 2
"""A thing is not forgotten before it was missed this often, however low the frame rate."""
UNCONFIRMED_SHARE = 0.5
"""A thing that was never confirmed is forgotten after this share of `forget_after`."""
GONE_S = 0.5
"""A thing is forgotten this long after it left at the edge of the picture: the next one to enter
there is a different one."""
RECENT_S = 0.5
"""Who was not seen for no longer than this may be in the box of who is close to it."""
EVERY = 4
"""Of looks in a row, every such one teaches how things move."""
MOST_SINGLE = 10
"""At most so many boxes of a look are compared with those of the two looks before."""
AT_EDGE = 0.01
"""A box this close to the edge of the picture, in 0..1, touches it."""
TICK_S = 1e-3
"""Times are compared to the millisecond: the last bits of UTC seconds are noise."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """A tracker's settings; TrackerConfig says what they mean."""

    label: str
    start_score: float
    still_score: float
    confirm_after_s: float
    forget_after_s: float
    speed: float | None
    aspect: float


class BoxTracker:
    """Boxes in, tracks out, from position and size alone; one object for each camera and task.

    Every box is compared with every thing by how likely the thing is there after the time that has
    passed, and the best overall assignment is used. A step that rules see is a box as it was
    detected, and where the feet are (`pipeline.tracking.feet`). The same boxes at the same times
    always give the same tracks, in whatever order they are listed.
    """

    def __init__(self, settings: TrackerSettings) -> None:
        self._settings = settings
        known = settings.speed or usual_speed(settings.label)
        speed = known or WALKER
        self._pace = TypicalSpeed(speed, speed, KIND_HEIGHTS if known else UNKNOWN_HEIGHTS)
        self._flow = Currents()
        self._model = MotionModel(speed, settings.aspect)
        self._things: list[TrackMemory] = []
        self._places = _places(settings)
        self._next_id = 1
        self._last_at: float | None = None
        self._doubts: list[SecondThought] = []
        self._feet_noise = USUAL_NOISE
        self._blur = LearnedBlur(0.02, 0.16, self._model.blur)
        self._shape_blur = LearnedBlur(0.04, 0.25, self._model.shape_blur)

    def update(
        self,
        at: float,
        boxes: Sequence[Box],
        scores: Sequence[float],
        kinds: Sequence[Votes] = (),
        asked: Collection[str] = (),
        carried: Collection[Box] = (),
    ) -> tuple[Track, ...]:
        """The confirmed tracks seen at `at` (UTC seconds, rising), in order of their ids.

        Where things are of several kinds, `kinds` says for each box what it was taken for, and
        `asked` which kinds were looked for: what is of another is neither missed nor shown. Boxes
        that are `carried` over from an earlier look, because nothing moves there, keep a thing
        where it is; they neither begin one nor teach anything.
        """
        if not (boxes or self._things or self._doubts):
            # Nobody is there, as in most looks of most cameras: nothing is learned of it.
            self._last_at = at
            return ()
        # Detectors list boxes in any order, and nothing may depend on it.
        if kinds:
            order = sorted(
                range(len(boxes)), key=lambda i: (boxes[i], scores[i], sorted(kinds[i].items()))
            )
            boxes, scores = [boxes[i] for i in order], [scores[i] for i in order]
            kinds = [kinds[i] for i in order]
        elif len(boxes) > 1:
            boxes, scores = zip(*sorted(zip(boxes, scores, strict=True)), strict=True)
        faint = [score < self._settings.start_score for score in scores]
        detections = Detections(at, boxes, faint)
        prices = costs(self._things, detections, self._model)
        if self._doubts:
            self._things, prices = judged_again(
                self._doubts, self._things, prices, detections, self._model
            )
        pairs = handed_back(matched(prices), self._things, boxes, prices)
        doubts = self._doubted(detections, pairs, prices, scores, kinds, asked)
        for thing in self._things:
            thing.missed += not asked or _is_asked(thing, asked)
        model, places = self._model, self._places
        for row, column in pairs:
            thing, box, score = self._things[row], boxes[column], scores[column]
            if box in carried:
                thing.stay(at, box, model)
                continue
            self._learn(at, thing, box)
            lost = thing.missed > GAP_LOOKS + 1 and at - thing.last_at > GAP_S
            thing.see(at, box, score, model)
            thing.evidence = places.see(thing.evidence, at, box, score, lost=lost)
            if kinds:
                thing.vote(kinds[column])
        followed = {column for _, column in pairs}
        if carried:
            followed |= {column for column, box in enumerate(boxes) if box in carried}
        self._notice_haste(at, boxes, followed)
        self._model = self._present_model()
        self._forget(at)
        self._weigh(at)
        new = self._begin(at, boxes, scores, followed, kinds)
        self._doubts = [doubt for doubt in doubts if doubt.is_of(new)]
        self._last_at = at
        return self._shown(at, asked)

    @property
    def withholds(self) -> bool:
        """Whether it follows something that was not seen to move, and whose scores are low."""
        return any(not thing.evidence.counts for thing in self._things)

    def state(self) -> JsonValue:
        """Everything needed to resume exactly after a restart."""
        things: list[JsonValue] = [thing.to_json() for thing in self._things]
        doubts: list[JsonValue] = [
            kept for doubt in self._doubts if (kept := doubt.to_json(self._things))
        ]
        learned: dict[str, Any] = {name: part.to_json() for name, part in self._learned().items()}
        return {
            "version": STATE_VERSION,
            "next_id": self._next_id,
            "last_at": self._last_at,
            "learned": learned,
            "feet_noise": self._feet_noise,
            "things": things,
            "places": self._places.to_json(),
            "doubts": doubts,
        }

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        try:
            kept = _mapping(state)
            _check_numbers(kept)
            _check_version(kept.get("version", 1))  # the first had no number
            other = BoxTracker(self._settings)
            other._next_id = int(kept["next_id"])
            # The first release did not learn.
            last_at = kept.get("last_at")
            other._last_at = None if last_at is None else float(last_at)
            learned = _mapping(kept.get("learned", {}))
            for name, part in other._learned().items():
                # A stated speed is not learned, and may not have been stated before.
                if name in learned and not (name == "pace" and self._settings.speed is not None):
                    part.resume(learned[name])
            noise = float(kept.get("feet_noise", USUAL_NOISE))
            other._feet_noise = min(max(noise, LEAST_NOISE), MOST_NOISE)
            other._model = other._present_model()
            other._things = [from_json(_mapping(thing), other._model) for thing in kept["things"]]
            other._doubts = [
                doubt_from_json(doubt, other._things, other._model)
                for doubt in kept.get("doubts", ())  # earlier releases had none
            ]
            if "places" in kept:  # earlier releases did not remember any
                other._places.restore(_mapping(kept["places"]))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"not the state of a tracker: {error!r}") from error
        self._things, self._next_id = other._things, other._next_id
        self._last_at, self._model = other._last_at, other._model
        self._feet_noise = other._feet_noise
        self._blur, self._shape_blur = other._blur, other._shape_blur
        self._pace, self._flow = other._pace, other._flow
        self._places, self._doubts = other._places, other._doubts

    def _learned(self) -> dict[str, LearnedBlur | TypicalSpeed | Currents]:
        return {
            "blur": self._blur,
            "shape_blur": self._shape_blur,
            "pace": self._pace,
            "flow": self._flow,
        }

    def _present_model(self) -> MotionModel:
        old = self._model
        speed, blur, shape_blur = self._pace.typical(), self._blur.value, self._shape_blur.value
        if (speed, blur, shape_blur) == (old.speed, old.blur, old.shape_blur):
            return old  # and what was predicted with it still holds
        return MotionModel(speed, old.aspect, old.steadiness_s, blur, shape_blur)

    def _learn(self, at: float, thing: TrackMemory, box: Box) -> None:
        """What a box that continues a thing says of the scene."""
        elapsed_s = at - thing.last_at
        if thing.beside is not None or elapsed_s <= 0.0:
            return
        model, height = self._model, thing.height
        in_a_row = elapsed_s < SOON_S and thing.seen > 2
        if in_a_row and self._blur.weight >= MOST_WEIGHT and thing.seen % EVERY:
            return  # enough is known, and time is dear
        expected, shape = thing.ahead(at, model)
        x, y = centre_of(box, model.aspect)
        if in_a_row:
            square = height * height
            off = ((x - expected.x) ** 2 + (y - expected.y) ** 2) / (2.0 * square)
            self._blur.learn(off, expected.p_xx / square)
            log_w, log_h = shape_of(box, model.aspect)
            off = ((log_w - shape.x) ** 2 + (log_h - shape.y) ** 2) / 2.0
            self._shape_blur.learn(off, shape.p_xx)
        if in_a_row and thing.seen % EVERY:
            return
        if thing.seen > 1 or elapsed_s >= self._settings.confirm_after_s:
            x0, y0 = centre_of(thing.last_box, model.aspect)
            if in_a_row:  # smooth: boxes that jitter do not hurry
                vx, vy, way_s = expected.vx / height, expected.vy / height, EVERY * elapsed_s
            else:
                vx, vy = (x - x0) / elapsed_s / height, (y - y0) / elapsed_s / height
                way_s = elapsed_s
            self._flow.learn((x0 / model.aspect, y0), (x / model.aspect, y), (vx, vy))
            if self._settings.speed is None:
                speed = math.hypot(vx, vy)
                self._pace.learn(speed, speed * way_s)

    def _notice_haste(self, at: float, boxes: Sequence[Box], followed: set[int]) -> None:
        """Learn of things too fast to be followed: three single boxes, alike and in line."""
        if self._settings.speed is not None:
            return
        once = [t for t in self._things if t.seen == 1 and t.beside is None and t.missed]
        if not once:
            return
        middles = [thing for thing in once if thing.missed == 1][:MOST_SINGLE]
        firsts = [thing for thing in once if thing.missed == 2][:MOST_SINGLE]
        if not (middles and firsts):
            return
        new = [box for column, box in enumerate(boxes) if column not in followed]
        aspect = self._model.aspect
        for box in new[:MOST_SINGLE]:
            for first, middle in product(firsts, middles):
                speed = speed_in_line(
                    [(first.last_at, first.last_box), (middle.last_at, middle.last_box), (at, box)],
                    aspect,
                )
                if speed > TOP_SPEED * self._model.speed / 2.0:
                    self._pace.learn(speed, speed * (at - first.last_at))

    def _weigh(self, at: float) -> None:
        """Drop who turned out to be a second box of another, and free who stands alone."""
        doubtful = [thing for thing in self._things if thing.beside is not None]
        if not doubtful:
            return
        elapsed_s = at - (self._last_at if self._last_at is not None else at)
        sure = [
            (thing.last_box, not thing.missed)
            for thing in self._things
            if thing.beside is None and (thing.missed < MISSES or at - thing.last_at < RECENT_S)
        ]
        for thing in doubtful:
            box = None if thing.missed else thing.last_box
            thing.beside = evidence(thing.beside or 0.0, box, thing.last_box, sure, elapsed_s)
            if thing.beside is not None and thing.beside >= ENOUGH:
                thing.beside = None
                sure.append((thing.last_box, True))
        self._things = [
            thing for thing in self._things if thing.beside is None or thing.beside > TOO_LITTLE
        ]

    def _begin(
        self,
        at: float,
        boxes: Sequence[Box],
        scores: Sequence[float],
        followed: set[int],
        kinds: Sequence[Votes],
    ) -> dict[int, TrackMemory]:
        """Begin a thing at each box that nothing was followed to; returns them by column."""
        begun_at: dict[int, TrackMemory] = {}
        new = [
            column
            for column, score in enumerate(scores)
            if score >= self._settings.start_score and column not in followed
        ]
        if not new:
            return begun_at
        known = [boxes[column] for column in sorted(followed)]
        for column in sorted(new, key=lambda index: -scores[index]):
            box, score = boxes[column], scores[column]
            if any(is_part(box, other) for other in known):
                continue
            thing = self._begun(at, box, score, self._places.begin(at, box, score))
            if kinds:
                thing.vote(kinds[column])
            if any(is_close(box, other) for other in known):
                thing.beside = 0.0
            else:
                known.append(box)
            self._things.append(thing)
            begun_at[column] = thing
        return begun_at

    def _begun(self, at: float, box: Box, score: float, evidence: Evidence) -> TrackMemory:
        """A thing that appears, going as others go there."""
        thing = begun(at, box, score, self._model, evidence, self._feet_noise)
        x, y = thing.motion.x / self._model.aspect, thing.motion.y
        (vx, vy), variance = self._flow.at((x, y), self._model.speed)
        square = thing.height**2
        thing.motion = replace(
            thing.motion, vx=vx * thing.height, vy=vy * thing.height, p_vv=variance * square
        )
        return thing

    def _doubted(
        self,
        detections: Detections,
        pairs: Sequence[tuple[int, int]],
        prices: Mapping[tuple[int, int], float],
        scores: Sequence[float],
        kinds: Sequence[Votes],
        asked: Collection[str],
    ) -> list[SecondThought]:
        """The exchanges to think of again, and what both things then are."""
        at, boxes = detections.at, detections.boxes
        if self._last_at is None or at - self._last_at < APART_S:
            return []
        followed = {column for _, column in pairs}
        beginning = {
            column
            for column, faint in enumerate(detections.faint)
            if not faint and column not in followed
        }
        still_score, aspect = self._settings.still_score, self._settings.aspect

        def moved_on(thing: TrackMemory, column: int | None) -> TrackMemory:
            other = thing.copied()
            other.missed += _is_asked(other, asked)
            if column is None:
                return other
            box, score = boxes[column], scores[column]
            other.see(at, box, score, self._model)
            other.evidence.see(at, box, score, aspect)
            other.evidence.weigh(still_score)
            if kinds:
                other.vote(kinds[column])
            return other

        doubts = []
        for exchange in exchanges(prices, pairs, beginning):
            first, column = self._things[exchange.row], exchange.column
            if first.beside is not None:
                continue
            other_first = moved_on(first, exchange.other_column)
            if exchange.other is None:
                box, score = boxes[column], scores[column]
                evidence = Evidence(box, at, score, score)
                evidence.weigh(still_score)
                second, other_second = None, self._begun(at, box, score, evidence)
                if kinds:
                    other_second.vote(kinds[column])
            else:
                second = self._things[exchange.other]
                if second.beside is not None:
                    continue
                other_second = moved_on(second, column)
            begins = exchange.other_column if second is None else None
            doubts.append(
                SecondThought(exchange.cost, first, second, other_first, other_second, begins)
            )
        return doubts

    def _forget(self, at: float) -> None:
        over = [thing.missed >= MISSES and self._is_over(thing, at) for thing in self._things]
        if True not in over:
            return
        for thing in compress(self._things, over):
            self._feet_noise = pooled(self._feet_noise, thing.feet)
            left = self._has_left(thing, at)
            self._places.end(thing.evidence, thing.last_at, thing.last_box, left=left)
        self._things = [
            thing for thing, is_over in zip(self._things, over, strict=True) if not is_over
        ]

    def _is_over(self, thing: TrackMemory, at: float) -> bool:
        """Whether it, missed in enough looks, is given up."""
        limit_s = self._settings.forget_after_s
        if not self._is_confirmed(thing):
            limit_s *= UNCONFIRMED_SHARE
        elif self._has_left(thing, at):
            limit_s = min(limit_s, GONE_S)
        return at - thing.last_at > limit_s - TICK_S

    def _is_confirmed(self, thing: TrackMemory) -> bool:
        seen_for_s = thing.last_at - thing.first_at
        return thing.seen >= 2 and seen_for_s > self._settings.confirm_after_s - TICK_S

    def _has_left(self, thing: TrackMemory, at: float) -> bool:
        """Whether it was last seen at an edge of the picture, and should be beyond it by now."""
        expected, _ = thing.ahead(at, self._model)
        x, y = expected.x / self._model.aspect, expected.y
        x_min, y_min, x_max, y_max = thing.last_box
        half_width, half_height = (x_max - x_min) / 2, (y_max - y_min) / 2
        return (
            max(x_min, x - half_width) < AT_EDGE
            or max(y_min, y - half_height) < AT_EDGE
            or min(x_max, x + half_width) > 1.0 - AT_EDGE
            or min(y_max, y + half_height) > 1.0 - AT_EDGE
        )

    def _shown(self, at: float, asked: Collection[str]) -> tuple[Track, ...]:
        tracks = []
        for thing in self._things:
            # After a clock was set back, what is not seen now may have been seen later than now.
            is_seen = thing.last_at == at and bool(thing.unshown)
            if not is_seen or not thing.evidence.counts or thing.beside is not None:
                continue
            if asked and not _is_asked(thing, asked):
                continue
            if thing.id is None:
                if not self._is_confirmed(thing):
                    continue
                thing.id, self._next_id = self._next_id, self._next_id + 1
            tracks.append(
                Track(
                    thing.id,
                    thing.label or self._settings.label,
                    thing.last_score,
                    thing.first_at,
                    tuple(thing.unshown),
                )
            )
            thing.unshown.clear()
        return tuple(sorted(tracks, key=attrgetter("id")))


def _is_asked(thing: TrackMemory, asked: Collection[str]) -> bool:
    return not asked or not thing.label or thing.label in asked


def _places(settings: TrackerSettings) -> KnownPlaces:
    return KnownPlaces(settings.start_score, settings.still_score, settings.aspect)


def _check_numbers(state: Any) -> None:
    if not holds_finite(state):
        raise ValueError("it holds a number that is none of a picture's")


def _check_version(version: object) -> None:
    if version != STATE_VERSION:
        raise ValueError(f"it has version {version!r}; this release reads {STATE_VERSION}")


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping, got {type(value).__name__}")
    return value
