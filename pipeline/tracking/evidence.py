"""What speaks for a thing being what its boxes say: scores, motion, and what its place has held."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.geometry import Box

DOUBTED = 0.08
"""How far the mean of a single score may be off; that of n scores is off by the root of n less."""
MOST_LOOKS = 100
"""The mean score is that of about this many looks: the light changes within hours."""
PROBATION = 30
"""What counts for a few lucky scores is judged again until it was seen so often."""
MOVED = 0.5
"""Body heights from its place at which a thing has moved: more than boxes jitter or plants sway,
and less than a walker covers in a second."""
ROOTED = 1.0
"""How much farther something must go that has stood still for `ROOTED_S`: furniture is shifted, and
may sway in the wind once in a while; a person or a car goes on."""
ROOTED_S = 10.0
FRESH, FRESH_S = 0.7, 2.5
"""What was first seen this shortly before has moved when it is so far away in a single look, of
the same size and not faster than people run: boxes that flicker here and there are neither."""
FASTEST = 1.6
ALIKE = 1.25
ONWARD = 0.25
"""Body heights by which it must go on from there: what sways comes back, and what was shifted, or
is another thing of its kind that flickers next to it, stays there."""
GAP_S, GAP_LOOKS = 1.0, 2
"""What was not seen for longer than this, and in more looks, may be another thing now: the boxes
before and after do not show motion."""
REST_S = 5.0
"""What stays elsewhere for so long has that place from now on."""
SETTLED_LOOKS = 20
"""The place of a thing is the mean of its first looks, so many at most: later ones would let it
follow a slow walker."""
AT_EDGE = 0.01
"""A box this close to the edge of the picture, in 0..1, may be cut off there."""
SAME_PLACE = 0.3
"""Body heights within which two things were seen at the same place."""
NEAR = 0.5
"""Body heights from where a mover was lost within which it may be again."""
WAITS_S = 600.0
"""For so long it may still be where it was lost: it sits there, half hidden, and is not seen."""
KNOWN_S = 3600.0
"""How long a place is known for what never moved there."""
RESTS_S, RESTS_LOOKS = 1.5, 3
"""For so long, and in so many looks, a mover has to stay somewhere to be compared with what was
there before."""
UNFOUND_S, UNFOUND_LOOKS = 5.0, 6
"""The same where nothing was before, and no box of it could begin a track."""
TAKEN_S = 10.0
"""What was still at a place is taken for what is there now if it was lost this shortly before."""
MOST_PLACES = 64
"""Places that are remembered of each kind; the ones that were seen last."""
GROWN = 2.0
"""A box that grows by half (log 1.5 = .4) in width and height has come nearer as far as one that
moved by .8 body heights."""


def shift(before: Box, after: Box, aspect: float) -> float:
    """How far a thing moved between two boxes, in heights of the first.

    Only what both opposite edges agree on is motion: a box that shows half of a body now, or that
    body with its neighbour, has one edge where it was. Of what the edge of the picture cuts, the
    other edge says it alone. What comes nearer grows in both directions.
    """
    left, top, right, bottom = before
    new_left, new_top, new_right, new_bottom = after
    width, height = (right - left) * aspect, bottom - top
    new_width, new_height = (new_right - new_left) * aspect, new_bottom - new_top
    # For every thing in every look: plain comparisons take a third of the time of max() and min().
    width, height = width if width > 1e-4 else 1e-4, height if height > 1e-4 else 1e-4
    wider = (new_width if new_width > 1e-4 else 1e-4) / width
    taller = (new_height if new_height > 1e-4 else 1e-4) / height
    across = _moved(left, right, new_left, new_right) * aspect
    down = _moved(top, bottom, new_top, new_bottom)
    moved = math.hypot(across, down) / height
    if wider < 1.0:
        if taller >= 1.0:
            return moved
        return moved - GROWN * math.log(wider if wider > taller else taller)
    if taller < 1.0:
        return moved
    return moved + GROWN * math.log(wider if wider < taller else taller)


def _alike(before: Box, after: Box) -> bool:
    ratio = (after[3] - after[1]) / max(before[3] - before[1], 1e-4)
    return 1.0 / ALIKE < ratio < ALIKE


def _moved(low: float, high: float, new_low: float, new_high: float) -> float:
    """How far both ends of a side moved, or the one that was in the picture all the time."""
    by_low, by_high = new_low - low, new_high - high
    low_cut = low < AT_EDGE or new_low < AT_EDGE
    if high > 1.0 - AT_EDGE or new_high > 1.0 - AT_EDGE:
        return 0.0 if low_cut else by_low
    if low_cut:
        return by_high
    if by_low < 0.0:
        return 0.0 if by_high >= 0.0 else by_low if by_low >= by_high else by_high
    return 0.0 if by_high < 0.0 else by_low if by_low <= by_high else by_high


@dataclass(slots=True)
class Evidence:
    """What is known of one thing, or of what a place has held."""

    place: Box
    """Where it was first, on the mean over its first looks; of what moves, where it rests now."""
    since: float
    """When it was seen there first."""
    score: float
    """Its mean score there."""
    best: float
    """Its best score there."""
    looks: int = 1
    """How often it was seen there."""
    moved: bool = False
    """It was seen to move, at any time."""
    counts: bool = False
    """There is enough that speaks for it."""
    away: Box | None = None
    """Where it was when it was first away from its place, since when it has not been back."""
    away_at: float = 0.0

    def see(self, at: float, box: Box, score: float, aspect: float, *, lost: bool = False) -> None:
        """Add one more look at it; `lost` says that it was not seen for a while before."""
        gone = shift(self.place, box, aspect)
        if self.moved and gone >= SAME_PLACE:
            self._rest_at(at, box, score)
            return
        self.looks += 1
        looks = self.looks
        self.score += (score - self.score) / (looks if looks < MOST_LOOKS else MOST_LOOKS)
        if score > self.best:
            self.best = score
        if gone < SAME_PLACE and looks <= SETTLED_LOOKS:
            left, top, right, bottom = self.place
            self.place = (
                left + (box[0] - left) / looks,
                top + (box[1] - top) / looks,
                right + (box[2] - right) / looks,
                bottom + (box[3] - bottom) / looks,
            )
        if self.moved:
            return
        if lost and gone >= SAME_PLACE:
            self.place, self.away = box, None
        else:
            self._watch(at, box, gone, aspect)

    def _watch(self, at: float, box: Box, gone: float, aspect: float) -> None:
        """Find out whether it moves: it has to leave its place, and then to go on from there."""
        stood_s = at - self.since
        if gone < MOVED + ROOTED * min(stood_s / ROOTED_S, 1.0):
            self.away = None
        elif FRESH <= gone < FASTEST * stood_s and stood_s < FRESH_S and _alike(self.place, box):
            self.moved = True
        elif self.away is None:
            self.away, self.away_at = box, at
        elif shift(self.away, box, aspect) >= ONWARD:
            self.moved = gone > shift(self.place, self.away, aspect)
        elif at - self.away_at > REST_S:  # it was shifted
            self.place, self.away = box, None

    def _rest_at(self, at: float, box: Box, score: float) -> None:
        self.place, self.since, self.looks = box, at, 1
        self.score = self.best = score

    def weigh(self, still_score: float) -> None:
        """Decide whether it counts; for good once it moved, or after `PROBATION` looks."""
        if self.moved or still_score <= 0.0:
            self.counts = True
        elif not self.counts:
            sure = still_score + DOUBTED / math.sqrt(self.looks)
            self.counts = self.score >= min(sure, 1.0)
        elif self.looks <= PROBATION:
            self.counts = self.score >= still_score

    def copied(self) -> "Evidence":
        """The same evidence, to go on with independently."""
        return Evidence(
            self.place,
            self.since,
            self.score,
            self.best,
            self.looks,
            self.moved,
            self.counts,
            self.away,
            self.away_at,
        )

    def to_json(self) -> list[Any]:
        """Everything, exactly."""
        return [
            *self.place,
            self.since,
            self.score,
            self.best,
            self.looks,
            self.moved,
            self.counts,
            self.away_at,
            None if self.away is None else list(self.away),
        ]


def evidence_from_json(kept: Sequence[Any]) -> Evidence:
    """The evidence that `to_json` wrote; raises TypeError or ValueError for anything else."""
    *place, since, score, best, looks, moved, counts, away_at, away = kept
    return Evidence(
        place=_box(place),
        since=float(since),
        score=float(score),
        best=float(best),
        looks=int(looks),
        away=None if away is None else _box(away),
        away_at=float(away_at),
        moved=bool(moved),
        counts=bool(counts),
    )


def _box(values: Sequence[Any]) -> Box:
    x_min, y_min, x_max, y_max = map(float, values)
    return (x_min, y_min, x_max, y_max)


class KnownPlaces:
    """What was seen where: of things that never moved, and of movers that were lost.

    A thing that appears where something has been still before is that again, with everything that
    was known of it. One that appears where a mover was lost is that mover: nobody vanishes in the
    middle of a picture.
    """

    def __init__(self, start_score: float, still_score: float, aspect: float) -> None:
        self._start_score, self._still_score, self._aspect = start_score, still_score, aspect
        self._still: list[tuple[float, Evidence]] = []
        self._movers: list[tuple[float, Box]] = []

    def begin(self, at: float, box: Box, score: float) -> Evidence:
        """The evidence for a thing that appears."""
        aspect = self._aspect
        for index, (_, known) in enumerate(self._still):
            if shift(known.place, box, aspect) < SAME_PLACE:
                del self._still[index]
                known.see(at, box, score, aspect)
                known.weigh(self._still_score)
                return known
        begun = Evidence(box, at, score, score, moved=self._waits(at, at, box))
        begun.weigh(self._still_score)
        return begun

    def _waits(self, at: float, since: float, box: Box) -> bool:
        """Whether a thing that is here since then may be a mover that was lost here before."""
        return any(
            lost_at < since and at - lost_at <= WAITS_S and shift(last, box, self._aspect) <= NEAR
            for lost_at, last in self._movers
        )

    def see(
        self, evidence: Evidence, at: float, box: Box, score: float, *, lost: bool = False
    ) -> Evidence:
        """One more look at a thing; returns what is known of it then.

        A tracker may confuse a thing that never moves with somebody who passes it: then one track
        seems to have got up, and the other seems to have sat down in its place.
        """
        place, since = evidence.place, evidence.since
        mean, best, looks = evidence.score, evidence.best, evidence.looks
        had_moved = evidence.moved
        evidence.see(at, box, score, self._aspect, lost=lost)
        if not evidence.counts and self._waits(at, evidence.since, box):
            evidence.moved = True
        evidence.weigh(self._still_score)
        if not evidence.moved or self._still_score <= 0.0:
            return evidence
        if not had_moved and at - since > ROOTED_S:
            self._remember(at, Evidence(place, since, mean, best, looks))
        if evidence.looks < RESTS_LOOKS or at - evidence.since < RESTS_S:
            return evidence
        for index, (left_at, known) in enumerate(self._still):
            if (
                not known.counts
                and known.since + ROOTED_S < left_at
                and evidence.score < self._still_score
                and abs(evidence.since - left_at) < TAKEN_S
                and shift(known.place, evidence.place, self._aspect) < SAME_PLACE
            ):
                del self._still[index]
                return known
        unfound = evidence.looks >= UNFOUND_LOOKS and at - evidence.since >= UNFOUND_S
        if unfound and evidence.best < self._start_score:
            # Such boxes continue a track that came from elsewhere; nothing was ever found here.
            evidence.moved = evidence.counts = False
        return evidence

    def end(self, evidence: Evidence, last_at: float, last_box: Box, *, left: bool) -> None:
        """A thing is forgotten; `left` says that it left the picture."""
        if not evidence.moved:
            self._remember(last_at, evidence)
        elif not left:
            self._movers = [
                (lost_at, box)
                for lost_at, box in self._movers[-MOST_PLACES + 1 :]
                if last_at - lost_at < WAITS_S and shift(box, last_box, self._aspect) > SAME_PLACE
            ]
            self._movers.append((last_at, last_box))

    def _remember(self, at: float, evidence: Evidence) -> None:
        self._still = [kept for kept in self._still if at - kept[0] < KNOWN_S]
        self._still.append((at, evidence))
        if len(self._still) > MOST_PLACES:  # a box that flickered once goes first
            self._still.remove(min(self._still, key=lambda kept: (kept[1].looks, kept[0])))

    def to_json(self) -> dict[str, Any]:
        """Everything, exactly."""
        return {
            "still": [[at, *known.to_json()] for at, known in self._still],
            "movers": [[at, *box] for at, box in self._movers],
        }

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Resume from `to_json`; raises KeyError, TypeError or ValueError for anything else."""
        still = [(float(at), evidence_from_json(known)) for at, *known in kept["still"]]
        movers = [(float(at), _box(box)) for at, *box in kept["movers"]]
        self._still, self._movers = still, movers
