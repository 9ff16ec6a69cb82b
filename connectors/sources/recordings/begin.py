"""When a recording begins: what is believed, in which order, and what is doubted.

The order: `name_time` (the operator says where the time stands), the container's creation time, a
time in the name, the file's modification time minus its length. `docs/recordings.md` says it too.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from connectors.sources.recordings.names import NamedTime, NamePattern, time_in_name

# Digital recorders are younger; what is dated before is a clock that was never set.
_YOUNGEST = datetime(2005, 1, 1, tzinfo=UTC).timestamp()
_DAY_S = 86_400.0
# Two witnesses that differ by more than this do not mean the same moment.
_APART_S = 60.0
# A creation time this near to the end that the name and the length give is that of the end.
_END_S = 10.0
# A recording longer than this does not tell which of two equal times of day its name means.
_FOLD_S = 2 * 3600.0


class Basis(StrEnum):
    """What the time of a beginning was taken from."""

    STATED = "starts_at"
    PATTERN = "name_time"
    CONTAINER = "creation time"
    NAME = "name"
    EXIF = "Exif"
    MODIFIED = "modification time"


class Doubt(NamedTuple):
    """What was not believed, or contradicts: a sentence that goes on after the file's name."""

    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Begin:
    """When a recording begins, in UTC seconds, and why that is believed."""

    at: float
    basis: Basis
    doubts: tuple[Doubt, ...] = ()


@dataclass(frozen=True, slots=True)
class Dating:
    """Finds the beginnings of a camera's recordings."""

    zone: tzinfo
    """The local time that names are written in."""
    now: float
    """UTC seconds: what lies a day after it has not been recorded yet."""
    pattern: NamePattern | None = None

    def begin(self, path: str, modified_at: float, length_s: float, creation_time: str) -> Begin:
        """The beginning of one file; `creation_time` is the container's word, or empty."""
        doubts: list[Doubt] = []
        named = self._by_name(path, modified_at, length_s, doubts)
        if named is not None and self.pattern is not None:
            return Begin(named, Basis.PATTERN, tuple(doubts))
        created = self._created(creation_time, modified_at, length_s, doubts)
        if created is not None:
            if named is not None and length_s > _END_S and abs(named + length_s - created) < _END_S:
                # Phones write the container last, and into it when that was.
                return Begin(named, Basis.NAME, tuple(doubts))
            if named is not None and abs(named - created) > _APART_S:
                words = (
                    f"says {_text(created)} inside and {_text(named)} in its name; the former is "
                    "believed (`name_time` has the name believed)"
                )
                doubts.append(Doubt("name contradicts", words))
            return Begin(created, Basis.CONTAINER, tuple(doubts))
        if named is not None:
            return Begin(named, Basis.NAME, tuple(doubts))
        if not _YOUNGEST <= modified_at <= self.now + _DAY_S:
            words = (
                f"was last modified at {_text(modified_at)}, which cannot be, and nothing else "
                "says when it begins; set `starts_at`"
            )
            doubts.append(Doubt("modified", words))
        return Begin(modified_at - length_s, Basis.MODIFIED, tuple(doubts))

    def by_name(self, path: str) -> float | None:
        """The beginning by the name alone, to tell the order of files; None if it says nothing."""
        try:
            modified_at = Path(path).stat().st_mtime
        except OSError:
            return None
        return self._by_name(path, modified_at, 0.0, [])

    def of_picture(self, path: str, taken_at: datetime | None, modified_at: float) -> Begin:
        """When a picture was taken that is a file of its own."""
        doubts: list[Doubt] = []
        named = self._by_name(path, modified_at, 0.0, doubts)
        if named is not None:
            basis = Basis.NAME if self.pattern is None else Basis.PATTERN
            return Begin(named, basis, tuple(doubts))
        if taken_at is not None:
            said = NamedTime(taken_at.replace(tzinfo=None), taken_at.tzinfo)
            taken = self._chosen(said.moments(self.zone), modified_at, 0.0)
            why = self._why_not(taken, modified_at, 0.0)
            if why is None:
                return Begin(taken, Basis.EXIF, tuple(doubts))
            doubts.append(Doubt("taken", f"says that it was taken at {_text(taken)}, {why}"))
        return Begin(modified_at, Basis.MODIFIED, tuple(doubts))

    def _by_name(
        self, path: str, modified_at: float, length_s: float, doubts: list[Doubt]
    ) -> float | None:
        # The folders above count too, however the path is written.
        full = os.path.abspath(path)  # noqa: PTH100  links stay as they are named
        if self.pattern is not None:
            said = self.pattern.time_of(full)
            if said is None:
                doubts.append(Doubt("name_time", "has a name that `name_time` does not fit"))
                return None
        else:
            said = time_in_name(full)
        if said is None:
            return None
        at = self._chosen(said.moments(self.zone), modified_at, length_s)
        why = self._why_not(at, modified_at, length_s)
        if why is not None:
            doubts.append(Doubt("named", f"has a name that says {_text(at)}, {why}"))
            return None
        return at

    def _chosen(self, moments: tuple[float, ...], modified_at: float, length_s: float) -> float:
        """Of two equal times of day, when clocks go back, the one that the file's time fits."""
        if len(moments) == 1:
            return moments[0]
        if length_s:
            return min(moments, key=lambda at: abs(modified_at - at - length_s))
        second = moments[1]
        return second if -_APART_S <= modified_at - second <= _FOLD_S else moments[0]

    def _created(
        self, written: str, modified_at: float, length_s: float, doubts: list[Doubt]
    ) -> float | None:
        if not written.strip():
            return None
        try:
            moment = datetime.fromisoformat(written.strip())
        except ValueError:
            words = f"has the creation time {written[:40]!r}, which is no time"
            doubts.append(Doubt("no time", words))
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        at = moment.timestamp()
        why = self._why_not(at, modified_at, length_s)
        if why is not None:
            doubts.append(Doubt("created", f"has the creation time {_text(at)}, {why}"))
            return None
        return at

    def _why_not(self, at: float, modified_at: float, length_s: float) -> str | None:
        """Why a time that is written somewhere cannot be that of a recording."""
        if at > self.now + _DAY_S:
            return "which is in the future; it is not believed"
        # A clock without a battery begins at the first of January of the year it was built in; the
        # file's own time knows better, unless it says the same.
        moment = datetime.fromtimestamp(at, UTC)
        later_s = modified_at - at - length_s
        is_first_day = moment.month == moment.day == 1
        is_past = datetime.fromtimestamp(modified_at, UTC).year > moment.year
        if abs(later_s) > 2 * _DAY_S and (at < _YOUNGEST or (is_first_day and is_past)):
            return "as of a clock that was never set; it is not believed"
        return None


def _text(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
