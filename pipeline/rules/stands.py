"""What stands still, and since when: known by its place, so ids may change, vanish and swap."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.core.geometry import Box
from pipeline.core.rules import Observation
from pipeline.core.tracks import Step, Track
from pipeline.rules.context import RuleContext
from pipeline.rules.stitching import memory_s

STILL = 0.7
"""A box that has this much in common with where a thing stands, as a share of the smaller of the
two, is of a thing that stands there: a detector's jitter takes a tenth, and a thing that moves goes
farther. A box that shows only half of a thing that is partly hidden lies within its place."""
ALIKE = 1.6
"""Another id continues a stand if its box is at most so much larger or smaller, by its area."""
SETTLED_LOOKS = 3
"""Looks after which something stands, and does not just pass."""
MEAN_LOOKS = 20
"""How many looks the place is the mean of; what creeps then leaves it."""
AWAY_LOOKS, AWAY_S = 2, 1.0
"""Something has gone when it was seen elsewhere this often, and for this long: one bad box is not
motion, and neither are two at ten looks a second."""


@dataclass(slots=True)
class Stand:
    """A place where something stands, or stood a moment ago."""

    track: int
    """The id that it has now; 0 while it is hidden."""
    first: int
    """The id that it had first."""
    was: int = field(default=0, kw_only=True)
    """The id before the current one."""
    label: str
    since: float
    seen_at: float
    box: Box
    """The mean of the first looks."""
    looks: int = 1
    own_looks: int = 1
    """By the current id."""
    kept_at: float = 0.0
    """When it was last seen before the current id came by and took it over; 0 if none did."""
    away_at: float | None = None
    """Since when its id is seen elsewhere."""
    away_looks: int = 0
    covered_at: float = 0.0
    """When somebody was last seen in front of it: what is hidden then is not gone."""
    attended_at: float = 0.0
    near_since: float | None = None
    """When somebody was last with it, and since when somebody is near."""
    counted: bool = False
    told: bool = False
    silenced: bool = False
    veiled: bool = False
    """What the rule has made of it."""

    @property
    def lasted_s(self) -> float:
        """For how long it has stood, as far as it was seen."""
        return self.seen_at - self.since

    @property
    def is_settled(self) -> bool:
        """Whether it was there for more than a moment."""
        return self.looks >= SETTLED_LOOKS


@dataclass(slots=True)
class StandsMemory:
    """All that stands or is hidden, oldest first."""

    stands: list[Stand] = field(default_factory=list)
    run: str = ""
    seen_at: float = 0.0
    patience_s: float = 0.0
    tracks_seen: dict[int, float] = field(default_factory=dict)
    """Ids of the last seconds: one that comes back is not a new thing."""


Why = Literal["moved", "gone"]


@dataclass(frozen=True, slots=True)
class Left:
    """A stand that has ended: what stood there was seen to move off, or is not to be seen."""

    stand: Stand
    why: Why


class Stands:
    """Follows places instead of ids.

    A stand is claimed by the track that is there. Its own track may be hidden for `gap_s`, and
    another that appears there, or changes places with it, continues it. It ends when its thing is
    seen to move off, or is hidden for longer.
    """

    def __init__(self, context: RuleContext, gap_s: float) -> None:
        self.memory = StandsMemory()
        self._every_s = context.every_s
        self._gap_s = gap_s

    def see(self, seen: Observation) -> list[Left]:
        """Process an answered frame; returns what has ended."""
        memory = self.memory
        if seen.run != memory.run:  # ids start over; what stands is still where it was
            memory.run, memory.tracks_seen = seen.run, {}
            for stand in memory.stands:
                _hide(stand)
        pause_s, memory.seen_at = seen.at - memory.seen_at, seen.at
        memory.patience_s = memory_s(self._every_s, pause_s)
        ended: list[Left] = []
        owned = {stand.track: stand for stand in memory.stands if stand.track}
        present = {track.id for track in seen.tracks}
        moving: list[Track] = []
        for track in seen.tracks:
            own = owned.get(track.id)
            if own is not None and is_at(own.box, track.box):
                _stay(own, track)
            else:
                moving.append(track)
        for track in self._taken_over(moving, present):
            moving.remove(track)
        for track in moving:
            own = next((one for one in memory.stands if one.track == track.id), None)
            if own is not None and not self._has_gone(own, track, seen.at):
                continue
            if own is not None:
                if own.kept_at and own.own_looks < SETTLED_LOOKS:  # it only passed there
                    own.looks -= own.own_looks
                    own.seen_at = own.kept_at
                    _hide(own)
                else:
                    memory.stands.remove(own)
                    ended.append(Left(own, "moved"))
            memory.stands.append(_begun(track))
        ended += self._hidden_too_long(seen.at, present)
        for track in seen.tracks:
            memory.tracks_seen[track.id] = seen.at
        memory.tracks_seen = {
            id_: at for id_, at in memory.tracks_seen.items() if at >= seen.at - self._gap_s - 10.0
        }
        return ended

    def unseen(self, at: float, unknown_s: float) -> list[Left]:
        """Process a frame without an answer."""
        too_old = at - max(unknown_s, self._gap_s)
        ended = [Left(one, "gone") for one in self.memory.stands if one.seen_at < too_old]
        for left in ended:
            self.memory.stands.remove(left.stand)
        return ended

    def end_all(self) -> list[Left]:
        """Everything that stands."""
        ended = [Left(one, "gone") for one in self.memory.stands]
        self.memory.stands = []
        return ended

    def _taken_over(self, moving: Sequence[Track], present: set[int]) -> list[Track]:
        """Tracks that continue a stand that is not theirs: the nearest first."""
        memory = self.memory
        elsewhere = {track.id for track in moving}
        pairs = []
        for track in moving:
            owns = any(one.track == track.id and one.is_settled for one in memory.stands)
            is_new = track.id not in memory.tracks_seen
            for index, stand in enumerate(memory.stands):
                hidden = stand.track not in present
                swapped = stand.track in elsewhere and stand.track != track.id
                returns = track.id in (stand.first, stand.was)
                # Who comes by is not what stood there, but may have got its id.
                may = swapped or (hidden and (is_new or owns or returns))
                if not may or not stand.is_settled:
                    continue
                if is_at(stand.box, track.box) and _are_alike(stand.box, track.box):
                    pairs.append((-shared(stand.box, track.box), index, track.id, track, stand))
        taken: list[Track] = []
        claimed: list[Stand] = []
        for *_, track, stand in sorted(pairs, key=lambda pair: pair[:3]):
            if any(track is one for one in taken) or any(stand is one for one in claimed):
                continue
            taken.append(track)
            claimed.append(stand)
        for track, stand in zip(taken, claimed, strict=True):
            for other in memory.stands:
                if other.track == track.id:
                    _hide(other)
            came_by = track.id in memory.tracks_seen
            stand.kept_at, stand.own_looks = stand.seen_at if came_by else 0.0, 0
            stand.was, stand.track = stand.track or stand.was, track.id
            _stay(stand, track)
        return taken

    def _has_gone(self, stand: Stand, track: Track, at: float) -> bool:
        """Whether its own track, seen elsewhere now, has left it."""
        if stand.away_at is None:
            stand.away_at = track.steps[0].at
        stand.away_looks += len(track.steps)
        if not stand.is_settled:
            return True
        return stand.away_looks >= AWAY_LOOKS and at - stand.away_at >= AWAY_S

    def _hidden_too_long(self, at: float, present: set[int]) -> list[Left]:
        memory = self.memory
        ended = []
        for stand in list(memory.stands):
            if stand.track in present:
                continue
            patience_s = memory.patience_s
            if stand.is_settled:  # what stood for a moment is not waited for for longer
                patience_s = max(patience_s, min(self._gap_s, stand.lasted_s))
            if at - max(stand.seen_at, stand.covered_at) > patience_s:
                memory.stands.remove(stand)
                ended.append(Left(stand, "gone"))
        return ended


def _hide(stand: Stand) -> None:
    stand.was, stand.track = stand.track or stand.was, 0
    stand.away_at, stand.away_looks = None, 0


def _stay(stand: Stand, track: Track) -> None:
    for step in track.steps:
        if not is_at(stand.box, step.box):
            continue  # of a track that is shown late, or was taken over
        stand.looks += 1
        stand.own_looks += 1
        if stand.looks <= MEAN_LOOKS:
            stand.box = _mixed(stand.box, step.box, 1.0 / stand.looks)
    stand.seen_at = track.steps[-1].at
    stand.away_at, stand.away_looks = None, 0


def _begun(track: Track) -> Stand:
    """The stand of a track, from the first of its last steps that are all at one place."""
    last = track.steps[-1]
    first: Step = last
    for step in reversed(track.steps):
        if not is_at(last.box, step.box):
            break
        first = step
    return Stand(track.id, track.id, track.label, first.at, last.at, last.box)


def is_at(place: Box, box: Box) -> bool:
    """Whether a box is of something that stands at a place."""
    return shared(place, box) >= STILL


def shared(a: Box, b: Box) -> float:
    """What two boxes have in common, as a share of the smaller one."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    smaller = min(_area(a), _area(b))
    return width * height / smaller if smaller > 0 else 0.0


def _are_alike(a: Box, b: Box) -> bool:
    small, large = sorted((_area(a), _area(b)))
    return large <= ALIKE * small


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _mixed(old: Box, new: Box, share: float) -> Box:
    return (
        old[0] + share * (new[0] - old[0]),
        old[1] + share * (new[1] - old[1]),
        old[2] + share * (new[2] - old[2]),
        old[3] + share * (new[3] - old[3]),
    )
