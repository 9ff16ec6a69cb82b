"""The life of a camera: open, sample, lose, wait, open again; a file is played once to its end."""

import logging
import threading
from collections.abc import Mapping

from pipeline.core.address import without_secrets
from pipeline.core.errors import CameraTakenError, SourceError, SourceFailure
from pipeline.core.frames import DROP_REASONS, Picture
from pipeline.core.measures import failed_with
from pipeline.core.ranges import is_moment
from pipeline.core.retrying import Backoff
from pipeline.core.sources import ClockedSource
from pipeline.sampling.camera import Camera, Pausing, SamplerContext, Waiting, rests_of
from pipeline.sampling.health import CameraHealth
from pipeline.sampling.sampler import Sampler

logger = logging.getLogger(__name__)

# After this long with pictures a camera is healthy: its next loss starts with the first wait.
_WELL_AFTER_S = 10.0
# What helps where a camera falls silent.
_REVIVE = "check its power, network and address"
# How often a source's losses are counted.
_COUNT_EVERY_S = 1.0


class CameraLoop:
    """Runs one camera in its own thread until it ends or is told to stop."""

    def __init__(
        self, camera: Camera, context: SamplerContext, stop: threading.Event | None = None
    ) -> None:
        """`stop` ends it as well as `tell_to_stop` does."""
        self._camera = camera
        self._context = context
        stop = stop or threading.Event()
        self._stop = stop
        self._health = CameraHealth(camera.name, context.on_health, context.metrics)
        self._sampler = Sampler(camera, context, self._health, stop)
        self._losses = _Losses(camera, context)
        source, every_s = camera.source, self._sampler.need.every_s
        pause_s = max(every_s, source.pause_s) if isinstance(source, Pausing) else every_s
        self._quiet_s = camera.sample.offline_after.total_seconds() + 2 * pause_s
        self._heard_at = context.clock.monotonic()
        # Whether it is offline and nobody has said why yet.
        self._is_unexplained = False
        self._playing_since: float | None = None
        # Whether its clock was right when that was last said, and in this run.
        self._clock_said: bool | None = None
        self._clock_now: bool | None = None
        self.name = camera.name
        self.is_over = False
        self.failure: str | None = None
        self.is_taken = False
        """Whether another sampler now has the camera."""
        self.has_sent_end = False
        """Whether it is a file whose end was sent to be judged, even if parts of it failed."""

    @property
    def numbered(self) -> tuple[str, Mapping[str, int]]:
        """The run, and how many of its jobs were sent or judged before, by engine."""
        return self._sampler.numbered

    def run(self) -> None:
        """Sample until the file ends or the stop is set."""
        self._heard_at = self._context.clock.monotonic()
        try:
            if self._camera.source.live:
                self._run_live()
            else:
                self._run_file()
        except CameraTakenError:
            self.is_taken = True
            self._stop.set()
            logger.warning("camera %s is now sampled by another process; closing it", self.name)
            self._health.ended()
        finally:
            self.is_over = True

    def tell_to_stop(self) -> None:
        """End soon; returns at once. Called from another thread."""
        self._stop.set()

    def forget(self) -> None:
        """Stop reporting the camera, once it has ended here for good."""
        self._health.forget()

    def interrupt(self) -> None:
        """End a blocking read. Called from another thread once the stop is set."""
        if not self.is_over:
            self._camera.source.close()

    def look_for_quiet(self) -> None:
        """Report a live camera as offline after too long without pictures that can be used.

        Called from another thread.
        """
        source = self._camera.source
        if self.is_over or not source.live:
            return
        why = source.waiting_for if isinstance(source, Waiting) else None
        if self._health.is_offline:
            if self._is_unexplained and why is not None:
                self._is_unexplained = False
                self._lose(SourceFailure.TIMEOUT, why)
            return
        quiet_s = self._context.clock.monotonic() - self._heard_at
        if quiet_s > self._quiet_s:
            self._is_unexplained = why is None
            self._lose(SourceFailure.TIMEOUT, why or f"no picture for {quiet_s:.0f} s; {_REVIVE}")
            return
        since = self._playing_since
        if since is None:
            return
        sampler = self._sampler
        # While no picture comes at all, that is what will be said.
        heard_at = self._heard_at
        stale_s = heard_at - max(since, sampler.fresh_at or since)
        unused_s = heard_at - max(since, sampler.selected_at or since) - sampler.longest_rest_s
        if max(stale_s, unused_s) > self._camera.sample.offline_after.total_seconds():
            self._health.useless(self._context.clock.now(), self._sampler.why_unused())

    def _run_live(self) -> None:
        backoff = Backoff(rests_of(self._camera.source))
        while not self._stop.is_set():
            reason, message = self._play_guarded()
            if self._stop.is_set():
                return
            self._is_unexplained = False
            self._lose(reason, message)
            since = self._playing_since
            if since is not None and self._context.clock.monotonic() - since >= _WELL_AFTER_S:
                backoff.reset()
            self._context.clock.wait(backoff.next_s(), self._stop)

    def _run_file(self) -> None:
        reason, message = self._play_guarded()
        if self._stop.is_set():
            return
        if reason is not SourceFailure.ENDED:
            self.failure = message
            logger.error("camera %s failed: %s", self.name, message, extra={"camera": self.name})
            self._lose(reason, message)
        if self._sampler.last_at is not None or self.failure is None:
            self._sampler.end()
            self.has_sent_end = True
        self._health.ended()

    def _play_guarded(self) -> tuple[SourceFailure, str]:
        """Play until it ends, for whatever reason."""
        try:
            self._play()
        except CameraTakenError:
            raise
        except SourceError as error:
            return error.reason, str(error)
        except Exception as error:
            # An unexpected error, such as a store that rejects its health, does not end a camera.
            if not self._stop.is_set():
                logger.exception("camera %s failed", self.name, extra={"camera": self.name})
            return SourceFailure.BROKEN, without_secrets(f"{type(error).__name__}: {error}")
        return SourceFailure.ENDED, "the stream ended"

    def _play(self) -> None:
        source = self._camera.source
        self._playing_since = None
        self._clock_now = None
        try:
            source.open(self._sampler.need)
            self._losses.begin()
            self._sampler.begin(source.run)
            for picture in source.pictures():
                if self._stop.is_set():
                    return
                self._heed(picture)
                self._sampler.offer(picture)
        finally:
            self._losses.count()
            source.close()

    def _heed(self, picture: Picture) -> None:
        now = self._context.clock.monotonic()
        self._heard_at = now
        self._is_unexplained = False
        if self._playing_since is None:
            self._playing_since = now
            last_at = self._sampler.last_at
            known = last_at is not None and is_moment(picture.captured_at)
            if last_at is not None and known and self._camera.source.live:
                gap_s = max(0.0, picture.captured_at - last_at)
                self._context.metrics.camera_gap_seconds.labels(self.name).inc(gap_s)
        if self._losses.count_at(now):
            self._heed_clock(picture.captured_at)

    def _heed_clock(self, at: float) -> None:
        """Report what the source found out about its camera's clock: anew in each run, as its
        other states are.
        """
        source = self._camera.source
        state = source.camera_clock if isinstance(source, ClockedSource) else None
        if state is None or state.is_right is self._clock_now:
            return
        is_repeat = self._clock_said is state.is_right or (
            self._clock_said is None and state.is_right
        )
        self._clock_said = self._clock_now = state.is_right
        self._health.clock(at, state, is_repeat=is_repeat)

    def _lose(self, reason: SourceFailure, message: str) -> None:
        self._context.metrics.camera_failures.labels(self.name, reason.value).inc()
        live = self._camera.source.live
        at = None if live else self._sampler.last_at
        self._health.offline(
            self._context.clock.now() if at is None else at, failed_with(reason, message)
        )


class _Losses:
    """Counts what a source reports as lost: frames, such as broken ones, and skipped parts."""

    def __init__(self, camera: Camera, context: SamplerContext) -> None:
        self._camera = camera
        self._metrics = context.metrics
        self._counted: dict[str, int] = {}
        self._next_at = 0.0

    def begin(self) -> None:
        """The source was opened: it counts from 0."""
        self._counted = {}

    def count_at(self, now: float) -> bool:
        """Count, unless that was done recently (then False); `now` is monotonic."""
        if now < self._next_at:
            return False
        self._next_at = now + _COUNT_EVERY_S
        self.count()
        return True

    def count(self) -> None:
        """Add what was lost since the last count."""
        for reason, lost in self._camera.source.counters().items():
            more = lost - self._counted.get(reason, 0)
            if more > 0:
                of_frames = reason in DROP_REASONS
                metrics = self._metrics
                metric = metrics.frames_dropped if of_frames else metrics.camera_failures
                metric.labels(self._camera.name, reason).inc(more)
                self._counted[reason] = lost
