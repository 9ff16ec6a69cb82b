"""Turns one camera's pictures into jobs, selected by rate, age, motion and likeness.

The pixels of a frame are converted, resized and masked once and shared by its jobs.
"""

import logging
import threading
from collections.abc import Iterable, Mapping

from pipeline.core.frames import Frame, Picture
from pipeline.core.jobs import WHOLE, Focus, Job, Result
from pipeline.core.ranges import fault_of_picture
from pipeline.core.sources import Need
from pipeline.core.tasks import Task
from pipeline.sampling.camera import Camera, SamplerContext
from pipeline.sampling.focus import CameraFocus
from pipeline.sampling.glance import Glance, alike, glance_at
from pipeline.sampling.health import CameraHealth
from pipeline.sampling.live import LivePictures
from pipeline.sampling.masks import Masks
from pipeline.sampling.motion import MotionGate, opening_share
from pipeline.sampling.outbox import Outbox
from pipeline.sampling.policies import Grid, TaskSchedule
from pipeline.sampling.resize import fitted, smallest_limit
from pipeline.sampling.watch import PictureWatch

logger = logging.getLogger(__name__)

# How soon a later frame replaces one that the queue did not take, where frames are due less often
# than that: long enough not to flood a queue that is away, short compared with any such interval.
_RETRY_S = 1.0


class Sampler:
    """Samples the frames of one camera. Called only by the camera's thread."""

    def __init__(
        self, camera: Camera, context: SamplerContext, health: CameraHealth, stop: threading.Event
    ) -> None:
        sample = camera.sample
        self._camera = camera
        self._clock = context.clock
        self._health = health
        self._received = context.metrics.frames_received.labels(camera.name)
        self._sampled = context.metrics.frames_sampled.labels(camera.name)
        self._sent = context.metrics.jobs_sent
        self._dropped = context.metrics.frames_dropped
        self._age = context.metrics.frame_age_seconds.labels("sampled")
        self._masks = Masks(sample.mask_polygons)
        self._focus = CameraFocus(camera.looking, self._masks, sample.max_side)
        self._outbox = Outbox(camera.name, context, stop, self._focus.lost)
        self._live = LivePictures(context.queues.live, context.clock)
        self._schedule = TaskSchedule(camera.tasks)
        self._interval_s = max(sample.interval_s, self._schedule.shortest_s)
        self._quiet_s = sample.offline_after.total_seconds()
        self._grid = Grid(self._interval_s)
        self._watch = PictureWatch(sample.frozen, sample.black)
        self._stillness = _Stillness(camera)
        self._glance: Glance | None = None
        self._max_side = smallest_limit(sample.max_side, camera.max_side)
        self._numbers = _Numbers("")
        self._is_repeat = False
        # Where the queue did not take a due frame: the capture time from which to try again.
        self._owed_from: float | None = None
        self._retry_s = max(sample.interval_s, _RETRY_S)
        self._last_at = 0.0
        self._last_size_wh = (0, 0)
        self._passed_over: dict[str, int] = {}
        self._last_is_stale = False
        self.fresh_at: float | None = None
        """When a picture last came that was not too old, by the monotonic clock."""
        self.selected_at: float | None = None
        """When a picture last became a frame, by the monotonic clock."""
        self.longest_rest_s = self._interval_s + self._stillness.longest_rest_s
        """The longest normal time between two frames."""
        # Why the last picture could not be used, if its time or its size is none.
        self._fault: str | None = None
        self._said_unusable = False

    @property
    def need(self) -> Need:
        """What the source must decode for this camera."""
        return Need(
            every_s=self._interval_s,
            is_repeat=lambda: self._is_repeat,
            is_owed=lambda: self._owed_from is not None,
            quiet_s=self._quiet_s,
        )

    @property
    def numbered(self) -> tuple[str, Mapping[str, int]]:
        """The run, and how many of its jobs were sent or already processed, by engine.

        May be called from another thread.
        """
        numbers = self._numbers
        return numbers.run, dict(numbers.ordinals)

    @property
    def last_at(self) -> float | None:
        """When the last picture was captured, UTC seconds; None before the first."""
        return self._last_at or None

    def begin(self, run: str) -> None:
        """Pictures of this run follow; the numbering continues if it is the same run."""
        if run != self._numbers.run:
            self._numbers = _Numbers(run)
            self._is_repeat = any(of == run for of, _ in self._camera.judged.values())

    def offer(self, picture: Picture) -> None:
        """Examine the next picture, and queue its jobs unless it is skipped."""
        at = picture.captured_at
        self._received.inc()
        if not self._can_be_used(picture):
            return
        self._last_is_stale = self._is_stale(at)
        if not self._last_is_stale:
            self.fresh_at = self._clock.monotonic()
            self._health.online(at)
        self._last_at, self._last_size_wh = at, picture.size_wh
        reason = self._reason_to_skip(picture)
        if reason is None:
            self._passed_over = {}
            self.selected_at = self._clock.monotonic()
            self._health.used(at)
            self._send(picture)
        else:
            self._passed_over[reason] = self._passed_over.get(reason, 0) + 1
            self.drop(reason)

    def _can_be_used(self, picture: Picture) -> bool:
        """Whether its time and size are a picture's; a camera may send any numbers."""
        self._fault = fault = fault_of_picture(picture.captured_at, picture.size_wh)
        if fault is None:
            return True
        self.drop("unusable")
        if not self._said_unusable:
            self._said_unusable = True
            logger.warning(
                "camera %s: a picture cannot be used: %s; further ones are counted as dropped",
                *(self._camera.name, fault),
                extra={"camera": self._camera.name},
            )
        return False

    def why_unused(self) -> str:
        """Why no picture has become a frame since the last one. Called from another thread."""
        if self._fault is not None:
            return (
                f"its pictures cannot be used: {self._fault}; set the camera's clock, or use "
                "another of its streams"
            )
        passed_over = dict(self._passed_over)
        age_s = self._clock.now() - self._last_at
        if self._last_is_stale:
            limit_s = self._camera.sample.stale_after.total_seconds()
            return (
                f"its pictures are {age_s:.3g} s old when they arrive, and those older than "
                f"`stale_after` ({limit_s:g} s) are not used; check the network, and the camera's "
                "clock and frame rate"
            )
        if passed_over.keys() == {"rate"}:
            return (
                "the times of its pictures do not advance, so none is due; restart the camera, or "
                "use another of its streams"
            )
        counts = ", ".join(f"{n} {reason}" for reason, n in passed_over.items()) or "none came"
        return f"none of its pictures could be used ({counts})"

    def drop(self, reason: str, frames: int = 1) -> None:
        """Count lost frames under one of DROP_REASONS."""
        self._dropped.labels(self._camera.name, reason).inc(frames)

    def end(self) -> None:
        """Tell the processor, for each engine, that the file has ended."""
        numbers = self._numbers
        if self._is_repeat:
            logger.info(
                "camera %s: all of its recording was judged by an earlier run, so nothing is new; "
                "to judge it again, use another store",
                self._camera.name,
            )
        for engine in self._schedule.engines:
            self._outbox.publish_end(
                Result(
                    camera=self._camera.name,
                    run=numbers.run,
                    engine=engine,
                    ordinal=numbers.ordinals.get(engine, 0),
                    seq=numbers.seq,
                    captured_at=self._last_at,
                    size_wh=self._last_size_wh,
                    live=False,
                    last=True,
                )
            )

    def _reason_to_skip(self, picture: Picture) -> str | None:
        at = picture.captured_at
        is_owed = self._owed_from is not None and self._owed_from <= at
        if not is_owed and not self._grid.is_due(at):
            return "rate"
        if self._is_stale(at):
            return "stale"
        self._grid.take(at)
        if self._focus.is_on:
            self._focus.look(picture)
        self._glance = None
        if not (self._watch.is_on or self._stillness.is_on):
            return None if self._schedule.is_due(at) else "rate"
        glance = glance_at(picture, self._masks)
        for change in self._watch.look(glance):
            self._health.picture(at, change)
        still = self._stillness.reason_to_skip(glance)
        if self._owed_from is not None:
            still = None  # it replaces a picture that was selected
        if not self._schedule.is_due(at):
            return "rate"
        if still is None:
            self._glance = glance
        return still

    def _is_stale(self, at: float) -> bool:
        stale_s = self._camera.sample.stale_after.total_seconds()
        return self._camera.source.live and self._clock.now() - at > stale_s

    def _send(self, picture: Picture) -> None:
        at = picture.captured_at
        due = self._schedule.due(at)
        focus = {engine: self._focus.focus(tasks) for engine, tasks in due.items()}
        wanted = {engine: tasks for engine, tasks in due.items() if not self._is_judged(engine)}
        for engine in due.keys() - wanted.keys():
            self._numbers.advance(engine)
            self._schedule.take(engine, at)
            self._focus.take(due[engine], focus[engine])
        if not wanted:
            self._numbers.seq += 1
            self._heed_likeness()
            return
        self._is_repeat = False
        frame = self._frame(picture, [focus[engine] for engine in wanted])
        sent = [
            self._send_job(frame, engine, tasks, focus[engine]) for engine, tasks in wanted.items()
        ]
        # What the queue did not take stays due. Where the next frame is a long time off, an earlier
        # one replaces it, and the time to the next is counted from that.
        if not all(sent) and self._interval_s > self._retry_s:
            self._owed_from = at + self._retry_s
        elif self._owed_from is not None:
            self._owed_from = None
            self._grid = Grid(self._interval_s)
            self._grid.take(at)
        if any(sent):
            self._heed_likeness()
        if any(sent) or len(wanted) < len(due):
            self._numbers.seq += 1
        if any(sent):
            asked = [one for one, is_sent in zip(wanted.items(), sent, strict=True) if is_sent]
            self._live.show(frame, dict(asked))
            self._sampled.inc()
            if self._camera.source.live:
                self._age.observe(max(0.0, self._clock.now() - frame.captured_at))

    def _heed_likeness(self) -> None:
        """Compare later pictures with this one."""
        if self._glance is not None:
            self._stillness.take(self._glance)

    def _is_judged(self, engine: str) -> bool:
        run, ordinal = self._camera.judged.get(engine, ("", -1))
        return run == self._numbers.run and self._numbers.ordinals.get(engine, 0) <= ordinal

    def _send_job(
        self, frame: Frame, engine: str, tasks: tuple[Task, ...], focus: Focus | None
    ) -> bool:
        """Send a job; only accepted jobs use up a number, so that there are no gaps."""
        ordinal = self._numbers.ordinals.get(engine, 0)
        job = Job(frame, engine, ordinal, tasks, self._camera.source.live, focus)
        if not self._outbox.put(job):
            return False
        self._numbers.advance(engine)
        self._focus.take(tasks, focus)
        self._schedule.take(engine, frame.captured_at)
        self._sent.labels(self._camera.name, engine).inc()
        return True

    def _frame(self, picture: Picture, focuses: Iterable[Focus | None]) -> Frame:
        # Parts are cut from the full picture; of the whole one, engines use only so much.
        is_cut = any(
            region != WHOLE for focus in focuses if focus is not None for region in focus.regions
        )
        limit = self._camera.sample.max_side if is_cut else self._max_side
        size_wh = fitted(picture.size_wh, limit)
        pixels = picture.rgb(size_wh if size_wh != picture.size_wh else None)
        return Frame(
            camera=self._camera.name,
            run=self._numbers.run,
            seq=self._numbers.seq,
            captured_at=picture.captured_at,
            pixels=self._masks.fill(pixels),
            size_wh=picture.size_wh,
        )


class _Numbers:
    """The numbering of one run."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.seq = 0
        self.ordinals: dict[str, int] = {}

    def advance(self, engine: str) -> None:
        self.ordinals[engine] = self.ordinals.get(engine, 0) + 1


class _Stillness:
    """Holds back pictures in which nothing happens, but never for longer than the heartbeat."""

    def __init__(self, camera: Camera) -> None:
        sample = camera.sample
        self._gate = MotionGate() if sample.motion else None
        self._share = opening_share(sample.motion.sensitivity) if sample.motion else 0.0
        self._linger_s = sample.motion.linger.total_seconds() if sample.motion else 0.0
        self._skips_alike = sample.duplicates == "drop"
        self._heartbeat_s = sample.heartbeat_s
        self._moved_at: float | None = None
        self._taken: Glance | None = None

    @property
    def is_on(self) -> bool:
        return self._gate is not None or self._skips_alike

    @property
    def longest_rest_s(self) -> float:
        return self._heartbeat_s if self.is_on else 0.0

    def reason_to_skip(self, glance: Glance) -> str | None:
        if self._gate is not None and self._gate.score(glance) >= self._share:
            self._moved_at = glance.at
        taken = self._taken
        if taken is None or not 0 <= glance.at - taken.at < self._heartbeat_s:
            return None
        moved_at = self._moved_at
        if self._gate is not None and (moved_at is None or glance.at - moved_at > self._linger_s):
            return "motion"
        if self._skips_alike and alike(taken, glance):
            return "duplicate"
        return None

    def take(self, glance: Glance) -> None:
        self._taken = glance
