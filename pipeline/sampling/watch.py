"""Notices when a camera's picture is frozen or black, and when it is normal again.

A watch does not know what an earlier process reported. So it starts by reporting what it sees as
soon as that is certain, even if all is well: the report is ignored if it is not news, and ends a
problem that has gone away meanwhile.
"""

from dataclasses import dataclass

import numpy as np

from pipeline.sampling.config import BlackConfig, FrozenConfig
from pipeline.sampling.glance import Glance, identical

# Fewer pictures than this prove nothing, however far apart they are.
_FEWEST_PICTURES = 3
# A black picture may have a burnt-in clock; it counts as visible only with clearly more than that.
_BLACK_SHARE, _VISIBLE_SHARE = 0.98, 0.95
# What helps.
_THAW = "restart the camera; if the scene really stands still, set `frozen: false`"
_LIGHT = "check the lens, its cover and the light; if it is dark at night, set `black: false`"


@dataclass(frozen=True, slots=True)
class Change:
    """A picture's new state, such as `frozen` or `moving`, and what is known about it."""

    state: str
    detail: str
    is_first_word: bool = False
    """Whether nothing changed: it is the first report since the watch began."""
    is_trouble: bool = False
    """Whether something is wrong with the picture from now on."""


class FrozenWatch:
    """Frozen after the same picture for a while, moving as soon as it changes."""

    def __init__(self, config: FrozenConfig) -> None:
        self._after_s = config.after.total_seconds()
        self._first: Glance | None = None
        self._pictures = 0
        self._frozen: bool | None = None
        """None while it is not known."""

    def look(self, glance: Glance) -> Change | None:
        """What this picture changes, if anything."""
        if self._first is not None and identical(self._first, glance):
            self._pictures += 1
            stood_s = glance.at - self._first.at
            if self._frozen or stood_s < self._after_s or self._pictures < _FEWEST_PICTURES:
                return None
            self._frozen = True
            return Change(
                "frozen", f"the same picture for {stood_s:.0f} s; {_THAW}", is_trouble=True
            )
        is_first = self._first is None and self._frozen is None
        self._first, self._pictures = glance, 1
        return None if is_first else self._end()  # a single picture is not a change

    def rest(self) -> Change | None:
        """The picture has another problem, so it does not count as frozen."""
        self._first = None
        return self._end()

    def _end(self) -> Change | None:
        before, self._frozen = self._frozen, False
        if before is None:
            return Change("moving", "", is_first_word=True)
        return Change("moving", "the picture changes again") if before else None


class BlackWatch:
    """Black after nothing else was seen for a while, visible once there is a picture again."""

    def __init__(self, config: BlackConfig) -> None:
        self._after_s = config.after.total_seconds()
        self._level = config.level * 255
        self._since: float | None = None
        self._black: bool | None = None
        """None while it is not known."""

    @property
    def is_dark(self) -> bool:
        """Whether the last picture was black, for however short a time."""
        return self._since is not None

    def look(self, glance: Glance) -> Change | None:
        """What this picture changes, if anything."""
        visible = glance.visible
        if visible.size == 0:
            return None
        share = float(np.mean(visible <= self._level))
        if share >= (_VISIBLE_SHARE if self._black else _BLACK_SHARE):
            self._since = glance.at if self._since is None else self._since
            if self._black or glance.at - self._since < self._after_s:
                return None
            self._black = True
            dark_s = glance.at - self._since
            return Change(
                "black", f"nothing but black for {dark_s:.0f} s; {_LIGHT}", is_trouble=True
            )
        self._since = None
        if self._black is None and share >= _VISIBLE_SHARE:
            return None  # uncertain
        before, self._black = self._black, False
        if before is None:
            return Change("visible", "", is_first_word=True)
        return Change("visible", "there is a picture again") if before else None


class PictureWatch:
    """Both watches together: a black picture is not also reported as frozen."""

    def __init__(self, frozen: FrozenConfig | None, black: BlackConfig | None) -> None:
        self._frozen = FrozenWatch(frozen) if frozen else None
        self._black = BlackWatch(black) if black else None

    @property
    def is_on(self) -> bool:
        """Whether there is anything to look for."""
        return self._frozen is not None or self._black is not None

    def look(self, glance: Glance) -> list[Change]:
        """What this picture changes; nothing where masks hide all of it."""
        if glance.visible.size == 0:
            return []
        changes = [self._black.look(glance)] if self._black else []
        if self._frozen:
            dark = self._black is not None and self._black.is_dark
            changes.append(self._frozen.rest() if dark else self._frozen.look(glance))
        return [change for change in changes if change]
