"""What trackers showed, held in few bytes until the same is judged again.

What trackers make of a part of a day depends on nothing but the state that is stored of them, what
was seen, and their tasks. A rule that is edited, or a line that is moved, changes none of these: so
whoever tries one edit after another has everything followed once.
"""

import hashlib
import struct
import threading
from array import array
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from struct import Struct

from pipeline.core.observations import ObservedFrame
from pipeline.core.tracks import Feet, Step, Track
from pipeline.processing.following import ShownTracks
from pipeline.processing.judge import Followed

_HELD_FOR = 3
"""What one of so many simulations has used gives way to nothing else. Whoever goes through a day
that is larger than the room, again and again, would otherwise find nothing of it."""
_TRACK = Struct("=qIIdd")
"""Its id, label and number of steps, its score, and since when it is seen."""
_STEP = Struct("=5d7d")
"""When it was seen, its box and its feet."""
_BARE_STEP = Struct("=5d")
_BARE = 1 << 31
"""Added to the number of steps where one of them has no feet."""


class PackedLooks:
    """What each task was shown in the pictures of a part, to be told again in the same order."""

    def __init__(self, frames: bytes, room: int) -> None:
        """`frames` is a digest of the pictures; nothing is kept where it takes more than `room`."""
        self.frames = frames
        self.tracks = ""
        """The states of the trackers after it, as JSON."""
        self._room = room
        self._shapes: dict[tuple[tuple[str, int, int, bool], ...], int] = {}
        self._shape = array("I")
        self._labels: dict[str, int] = {}
        self._packed = bytearray()

    @property
    def size(self) -> int:
        """How many bytes it takes; what is in it but once, such as labels, is left out."""
        return len(self._packed) + len(self._shape) * self._shape.itemsize + len(self.tracks)

    @property
    def fits(self) -> bool:
        """Whether it is all there."""
        return self.size <= self._room

    def add(self, followed: Followed) -> None:
        """Keep what was shown in one more picture."""
        if not self.fits:
            return
        shape = tuple(
            [
                (task, len(shown.tracks), len(shown.others), shown.tracked)
                for task, shown in followed.items()
            ]
        )
        self._shape.append(self._shapes.setdefault(shape, len(self._shapes)))
        try:
            for shown in followed.values():
                for track in (*shown.tracks, *shown.others):
                    self._add(track)
        except struct.error:
            self._room = -1  # a number that no tracker of ours has given

    def _add(self, track: Track) -> None:
        label = self._labels.setdefault(track.label, len(self._labels))
        steps, bare = track.steps, 0
        for step in steps:
            if step.feet is None:
                bare = _BARE
        self._packed += _TRACK.pack(
            track.id, label, len(steps) | bare, track.score, track.first_seen
        )
        for step in steps:
            feet = step.feet
            if bare:
                self._packed.append(feet is not None)
            if feet is None:
                self._packed += _BARE_STEP.pack(step.at, *step.box)
            else:
                self._packed += _STEP.pack(
                    step.at,
                    *step.box,
                    *feet.place,
                    feet.noise,
                    *feet.seen,
                    feet.seen_noise,
                    feet.height,
                )

    def looks(self) -> Iterator[Followed]:
        """What was shown, picture by picture."""
        shapes = list(self._shapes)
        nobody: list[Followed | None] = [
            None
            if any(tracks or others for _, tracks, others, _ in shape)
            else {task: ShownTracks((), (), tracked) for task, _, _, tracked in shape}
            for shape in shapes
        ]
        tracks = self._all_tracks()
        for number in self._shape:
            empty = nobody[number]
            if empty is not None:  # as in most looks of most cameras
                yield empty
                continue
            yield {
                task: ShownTracks(
                    tuple([next(tracks) for _ in range(own)]),
                    tuple([next(tracks) for _ in range(others)]),
                    tracked,
                )
                for task, own, others, tracked in shapes[number]
            }

    def _all_tracks(self) -> Iterator[Track]:
        labels, packed = list(self._labels), self._packed
        place, end = 0, len(packed)
        track_size, step_size = _TRACK.size, _STEP.size
        read_track, read_step = _TRACK.unpack_from, _STEP.unpack_from
        while place < end:
            id_, label, number, score, first_seen = read_track(packed, place)
            place += track_size
            steps: list[Step] = []
            is_bare, number = number & _BARE, number & ~_BARE
            for _ in range(number):
                if is_bare:
                    place += 1
                    if not packed[place - 1]:
                        at, a, b, c, d = _BARE_STEP.unpack_from(packed, place)
                        place += _BARE_STEP.size
                        steps.append(Step(at, (a, b, c, d)))
                        continue
                at, a, b, c, d, x, y, noise, seen_x, seen_y, seen_noise, height = read_step(
                    packed, place
                )
                place += step_size
                feet = Feet((x, y), noise, (seen_x, seen_y), seen_noise, height)
                steps.append(Step(at, (a, b, c, d), feet))
            yield Track(id_, labels[label], score, first_seen, tuple(steps))


@dataclass(slots=True)
class _HeldPart:
    looks: PackedLooks
    used: int
    """The number of the last simulation that took it."""


class FollowedParts:
    """Parts that were followed, by what decides what trackers show in them; at most so many bytes.

    Safe to be used by several threads. What was seen in a part belongs to what it is asked for by:
    where something was added to it or deleted from it, it is followed anew.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._lock = threading.Lock()
        self._parts: dict[Hashable, _HeldPart] = {}
        self._number = 0

    @property
    def size(self) -> int:
        """How many bytes are held."""
        with self._lock:
            return self._size()

    def begin(self) -> None:
        """Another simulation begins; what none of the last few has used may give way now."""
        with self._lock:
            self._number += 1

    def add(self, key: Hashable, looks: PackedLooks) -> bool:
        """Hold a part; returns whether there was room for it."""
        with self._lock:
            self._parts.pop(key, None)
            size = self._size()
            old = [
                (part.used, name)
                for name, part in self._parts.items()
                if part.used <= self._number - _HELD_FOR
            ]
            for _, name in sorted(old, key=lambda one: one[0]):
                if size + looks.size <= self.room:
                    break
                size -= self._parts.pop(name).looks.size
            if not looks.fits or size + looks.size > self.room:
                return False
            self._parts[key] = _HeldPart(looks, self._number)
            return True

    def holds(self, key: Hashable) -> bool:
        """Whether a part is held, of whatever pictures."""
        with self._lock:
            part = self._parts.get(key)
            if part is not None:
                part.used = self._number
            return part is not None

    def of(self, key: Hashable, frames: bytes) -> PackedLooks | None:
        """What is held of a part, if these are its pictures."""
        with self._lock:
            part = self._parts.get(key)
            if part is None or part.looks.frames != frames:
                return None
            part.used = self._number
            return part.looks

    def _size(self) -> int:
        return sum(part.looks.size for part in self._parts.values())


class RunUpParts:
    """The newest of the parts that were a run-up, until they are judged themselves."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._parts: dict[Hashable, PackedLooks] = {}

    def add(self, key: Hashable, looks: PackedLooks) -> None:
        """Keep one, and no more of the earlier ones than there is room for."""
        if not looks.fits or looks.size > self.room:
            return
        self._parts[key] = looks
        size = sum(one.size for one in self._parts.values())
        while size > self.room:
            size -= self._parts.pop(next(iter(self._parts))).size

    def of(self, key: Hashable, frames: bytes, *, is_last: bool) -> PackedLooks | None:
        """What is kept of a part, if these are its pictures: some may have been deleted since.

        The time that `is_last` it is kept no longer.
        """
        looks = self._parts.pop(key, None) if is_last else self._parts.get(key)
        return looks if looks is not None and looks.frames == frames else None


def digest_of(contents: bytes, frames: Sequence[ObservedFrame]) -> bytes:
    """A digest of pictures: of the `contents` they were read from, and of which they are."""
    digest = hashlib.blake2b(contents, digest_size=16)
    for run, some in groupby(frames, key=lambda frame: frame.result.run):
        ordinals = [frame.result.ordinal for frame in some]
        digest.update(f"{run!r} {ordinals}".encode(errors="backslashreplace"))
    return digest.digest()
