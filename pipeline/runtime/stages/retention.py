"""Deletes what is older than the deployment keeps, and says how much that was."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from connectors.stores.clip_files import prune_clips
from connectors.stores.files import FileMediaStore
from pipeline.core.clock import SET_SINCE, Clock
from pipeline.core.config import format_duration
from pipeline.core.errors import StoreError
from pipeline.core.local_time import local_time
from pipeline.core.store import AGED_UNTIL, UNRECORDED, LeaseProof, Store
from pipeline.deployment.model import Deployment
from pipeline.runtime.site_days import SiteDayKeeper

logger = logging.getLogger(__name__)

_PRUNE_EVERY_S = 3600.0
_CLIPS_EVERY_S = 60.0
_SAY_EVERY_S = 86400.0
# A clock further ahead than this part of `keep` is not believed at once.
_BELIEVED_SHARE = 0.1
_LEAST_BELIEVED_S, _MOST_BELIEVED_S = 3600.0, 3 * 86400.0
# A clock that has been behind for so long is the right one: the one before it was ahead.
_BEHIND_FOR_S = 86400.0


@dataclass(slots=True)
class _Deleted:
    """What was deleted and not logged yet."""

    events: int = 0
    pictures: int = 0
    clips: int = 0
    bytes: int = 0
    frames: int = 0
    left_alone: int = 0


class Retention:
    """Deletes what is older than the deployment keeps.

    The machine's clock alone does not decide what is old. The store remembers the time up to which
    its records have aged (the mark). A clock that is far ahead of the mark is not believed at once:
    the mark then follows it twice as fast as time passes. So a wrong clock cannot make moonwatch
    forget everything at a start, and a machine that was off for weeks catches up within weeks.
    """

    def __init__(
        self,
        deployment: Deployment,
        store: Store,
        media: FileMediaStore,
        clock: Clock,
        lease: Callable[[], LeaseProof | None] = lambda: None,
    ) -> None:
        """Where one process has the store, days of sites are written while its `lease` holds."""
        self._keep = deployment.store.keep
        self._keep_counts = deployment.store.keep_counts
        self._keep_seen = deployment.store.observations.keep
        self._kept_clips = deployment.store.clips
        self._timezone = deployment.site.timezone
        self._store = store
        self._media = media
        self._clock = clock
        self._days = SiteDayKeeper(deployment, store, clock, lease)
        self._looked_at = clock.monotonic()
        self._clips_looked_at = float("-inf")
        self._clip_trouble: str | None = None
        self._said_at = float("-inf")
        self._behind_since: float | None = None
        self._numbers = _Deleted()
        self._has_looked = False
        self._has_counted = False
        self._trouble: str | None = None
        self._clock_trouble: str | None = None
        self._newest: float | None = None
        # Now, before anything is stored with a clock that may be wrong.
        with suppress(StoreError):  # the first look reports it
            self._newest = store.newest_record()

    @property
    def trouble(self) -> str | None:
        """Why deleting failed the last time, or does not happen; None if all is well."""
        return self._trouble or self._clip_trouble or self._clock_trouble or self._days.trouble

    def update(self, deployment: Deployment) -> None:
        """Apply another version of the file."""
        self._keep = deployment.store.keep
        self._keep_counts = deployment.store.keep_counts
        self._keep_seen = deployment.store.observations.keep
        self._kept_clips = deployment.store.clips
        self._timezone = deployment.site.timezone
        self._days.update(deployment)

    def look(self) -> None:
        """Delete what is too old, once an hour, and clips that have no room, once a minute.

        What is left has its days of the site written down beside it.
        """
        now = self._clock.monotonic()
        self._days.look()
        if now - self._clips_looked_at >= _CLIPS_EVERY_S:
            self._clips_looked_at = now
            self._prune_clips(None)
        if self._has_looked and now - self._looked_at < _PRUNE_EVERY_S:
            return
        elapsed_s, self._looked_at, self._has_looked = now - self._looked_at, now, True
        try:
            if not self._keep_seen:
                # Also what was kept until an edit, and whatever the clock says.
                self._numbers.frames += self._store.prune_observations(float("inf"))
            keeps = [keep for keep in (self._keep, self._keep_seen or None) if keep is not None]
            if not keeps:
                # Where all is kept, the mark is for the day on which that ends.
                self._store.remember(AGED_UNTIL, self._clock.now())
                if self._clock.now() >= SET_SINCE:
                    self._prune_clips(self._clock.now())
                return
            until = self._aged_until(keeps[0].total_seconds(), elapsed_s)
            if until is None:
                return
            self._numbers.frames += self._store.prune_observations(
                until - min(keeps).total_seconds()
            )
            if self._keep is not None:
                counts = self._keep_counts
                counts_before = float("-inf") if counts is None else until - counts.total_seconds()
                self._prune(until - self._keep.total_seconds(), counts_before)
            self._prune_clips(until)
        except StoreError as error:  # the next hour tries again
            self._fail(f"what is older than `store.keep` cannot be deleted: {error}")
        self._say(now)

    def close(self) -> None:
        """Log what was not logged yet, and write down the days of what was counted meanwhile."""
        self._days.close()
        self._say(float("inf"))

    def _prune(self, before: float, counts_before: float) -> None:
        forgotten = self._store.prune(before, counts_before)
        pictures = self._media.prune(before)
        numbers = self._numbers
        numbers.events += forgotten.events
        numbers.pictures += pictures.pictures
        numbers.bytes += pictures.bytes
        numbers.left_alone += pictures.left_alone
        if not self._has_counted:
            self._has_counted = True
            unrecorded = self._media.unrecorded(before)
            said = self._store.mark(UNRECORDED) or 0
            if unrecorded != said:
                self._store.remember(UNRECORDED, unrecorded)
            if unrecorded > said:
                logger.warning(
                    "old pictures in %s that were written by an earlier release or for another "
                    "store: %s; they are left alone, so delete them by hand if nobody needs them",
                    self._media.where,
                    _number(unrecorded),
                )
        if pictures.failed:
            self._fail(
                f"pictures in {self._media.where} that are older than `store.keep` cannot be "
                f"deleted ({_number(pictures.failed)}): {pictures.trouble}"
            )
        else:
            if self._trouble is not None:
                logger.info("what is older than `store.keep` is deleted again")
            self._trouble = None

    def _prune_clips(self, until: float | None) -> None:
        """Delete the clips that are too old at `until`, and the oldest where all take too much."""
        keep, at_most = self._kept_clips.keep, self._kept_clips.at_most
        before = until - keep.total_seconds() if keep is not None and until is not None else None
        try:
            done = prune_clips(self._store.clips, self._media, before, at_most)
        except StoreError as error:  # the next look tries again
            self._clip_trouble = f"old clips cannot be deleted: {error}"
            return
        numbers = self._numbers
        numbers.clips += done.pictures
        numbers.bytes += done.bytes
        numbers.left_alone += done.left_alone
        before_it, self._clip_trouble = self._clip_trouble, None
        if done.failed:
            self._clip_trouble = f"clips in {self._media.where} cannot be deleted: {done.trouble}"
            if before_it is None:
                logger.error("%s", self._clip_trouble)

    def _aged_until(self, keep_s: float, elapsed_s: float) -> float | None:
        """The time by which age is measured; None if it is not known. Raises StoreError."""
        now = self._clock.now()
        if now < SET_SINCE:
            self._doubt(
                f"this machine's clock says {local_time(now, self._timezone)}, so nothing is "
                "deleted until it is set"
            )
            return None
        mark = self._store.mark(AGED_UNTIL)
        if mark is None:
            newest = self._newest
            mark = newest if newest is not None and newest >= SET_SINCE else now
        ahead_s = now - mark - elapsed_s
        believed_s = max(_LEAST_BELIEVED_S, min(_BELIEVED_SHARE * keep_s, _MOST_BELIEVED_S))
        if ahead_s > believed_s:
            mark = min(now, mark + 2 * elapsed_s)
            self._store.remember(AGED_UNTIL, mark)
            ahead = format_duration(timedelta(seconds=round((now - mark) / 3600) * 3600))
            caught_up = local_time(min(now + now - mark, 2e11), self._timezone)
            self._doubt(
                f"this machine's clock says {local_time(now, self._timezone)}, which is {ahead} "
                "after the newest record, so what is older than `store.keep` is deleted later; if "
                "the clock is wrong, correct it; if moonwatch was off for so long, all is deleted "
                f"in time again from {caught_up}"
            )
            return mark
        if now < mark - _PRUNE_EVERY_S:
            monotonic = self._clock.monotonic()
            if self._behind_since is None:
                self._behind_since = monotonic
            if monotonic - self._behind_since < _BEHIND_FOR_S:
                return now
        self._behind_since = None
        # Several processes with clocks that differ a little: the mark does not go back for that.
        mark = max(now, mark) if now > mark - _PRUNE_EVERY_S else now
        self._store.remember(AGED_UNTIL, mark)
        corrected = self._store.correct_times(mark)
        if corrected:
            logger.warning(
                "records that a wrong clock dated: %s; they count as stored now",
                _number(corrected),
            )
        if self._clock_trouble is not None:
            logger.info("the clock is believed again")
        self._clock_trouble = None
        return now

    def _doubt(self, trouble: str) -> None:
        if self._clock_trouble is None:
            logger.warning("%s", trouble)
        self._clock_trouble = trouble

    def _fail(self, trouble: str) -> None:
        if self._trouble is None:
            logger.error("%s", trouble)
        self._trouble = trouble

    def _say(self, now: float) -> None:
        """Log what was deleted, once a day."""
        numbers = self._numbers
        if now - self._said_at < _SAY_EVERY_S or numbers == _Deleted():
            return
        self._said_at, self._numbers = now, _Deleted()
        keep = format_duration(self._keep) if self._keep is not None else "was kept"
        if numbers.events or numbers.pictures or numbers.left_alone:
            logger.info(
                "forgot %s events and %s pictures (%s) older than %s",
                _number(numbers.events),
                _number(numbers.pictures),
                _size(numbers.bytes),
                keep,
            )
        if numbers.clips:
            logger.info("forgot %s clips", _number(numbers.clips))
        if numbers.frames:
            logger.info("forgot what was seen in %s frames", _number(numbers.frames))
        if numbers.left_alone:
            logger.warning(
                "old pictures in %s that are not what moonwatch wrote any more: %s; they are left "
                "alone",
                self._media.where,
                _number(numbers.left_alone),
            )


def _number(number: int) -> str:
    return f"{number:,}".replace(",", "\N{NO-BREAK SPACE}")


def _size(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
