"""Cuts the clips that processors ask for from what the cameras of this process have sent."""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.clips import (
    FAILED,
    PARTIAL,
    READY,
    ClipAnswer,
    ClipError,
    ClipExchange,
    ClipFile,
    ClipFolder,
    ClipMake,
    ClipMaking,
    ClipNeed,
    ClipSource,
    ClipState,
    ClipWish,
)
from pipeline.core.clock import Clock
from pipeline.core.errors import CameraTakenError, QueueError, StoreError
from pipeline.core.private_files import create_file

logger = logging.getLogger(__name__)

LOOK_S = 0.25
# A clip that ends earlier or begins later than was wanted by no more than this is whole.
_NEARLY_S = 0.5
# How long a stream may hold back what was captured before it counts as broken off.
_PATIENCE_S = 10.0
# How long a source may have nothing of a wish yet: one that was just opened, or a recording that
# is read again up to there.
_BEGIN_WITHIN_S = 15.0
_RECORDING_WITHIN_S = 600.0
# Events that were decided late say how late further ones may be.
_REMEMBERED_LAGS = 32
_LAG_S = (1.0, 60.0)
_LAG_SHARE = 1.5
_REMEMBERED_ANSWERS = 200

UNFINISHED = ".part"


@dataclass(frozen=True, slots=True)
class ClippedCamera:
    """A camera whose clips are cut here."""

    name: str
    source: ClipSource
    exchange: ClipExchange
    need: ClipNeed
    make: ClipMake
    is_over: Callable[[], bool] = lambda: False
    """Whether it is a recording that was read to its end."""


@dataclass(slots=True)
class _Cut:
    """A clip that is being made."""

    camera: ClippedCamera
    wish: ClipWish
    since: float
    """When the wish was first seen, in monotonic seconds."""
    making: ClipMaking | None = None
    unfinished: Path | None = None
    has_all_since: float | None = None


@dataclass(slots=True)
class ClipFigures:
    """What was cut since the start."""

    ready: int = 0
    partial: int = 0
    failed: int = 0
    trouble: str | None = None
    """Why no clips can be written now."""
    kept_bytes: Mapping[str, int] = field(default_factory=dict)


class ClipCutter:
    """Cuts clips; one thread calls `run` or `step`, any thread `use`."""

    def __init__(
        self, folder: ClipFolder, clock: Clock, recover: Callable[[Path, Path], ClipFile]
    ) -> None:
        """`recover` finishes a file that a process which has ended has left, or says what is in one
        that is finished; raises OSError and ClipError.
        """
        self._folder = folder
        self._clock = clock
        self._recover = recover
        self._cameras: Mapping[str, ClippedCamera] = {}
        self._jobs: dict[str, _Cut] = {}
        self._answered: OrderedDict[str, ClipAnswer] = OrderedDict()
        self._lags: deque[float] = deque(maxlen=_REMEMBERED_LAGS)
        self._stop = threading.Event()
        self._stepping = threading.Lock()
        self.figures = ClipFigures()

    def use(self, cameras: Sequence[ClippedCamera]) -> None:
        """Cut for these cameras from now on."""
        self._cameras = {camera.name: camera for camera in cameras}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being made."""
        return not self._jobs

    def run(self) -> None:
        """Cut until stopped."""
        while not self._stop.is_set():
            self.step()
            self._clock.wait(LOOK_S, self._stop)

    def stop(self) -> None:
        """Return from `run`."""
        self._stop.set()

    def step(self) -> None:
        """Look for wishes, and write what has come for each."""
        with self._stepping:
            cameras = self._cameras
            for camera in cameras.values():
                try:
                    for wish in camera.exchange.wishes([camera.name]):
                        self._heed(camera, wish)
                except QueueError:
                    continue  # the queue says so; wishes stay in it
            for job in list(self._jobs.values()):
                if job.camera.name in cameras:
                    self._advance(job)
                else:
                    self._end(job, "the camera is not sampled here any more")
            self.figures.kept_bytes = {
                name: camera.source.kept_bytes for name, camera in cameras.items()
            }

    def finish(self) -> None:
        """End all clips with what has come until now."""
        self.step()
        with self._stepping:
            for job in list(self._jobs.values()):
                self._end(job, "the sampler was stopped while it was written")

    def _heed(self, camera: ClippedCamera, wish: ClipWish) -> None:
        job = self._jobs.get(wish.reference)
        if job is not None:
            if wish.until > job.wish.until:
                job.wish, job.has_all_since = wish, None
            return
        known = self._answered.get(wish.reference)
        if known is not None and (camera.source.live or known.until >= wish.until):
            self._repeat(camera, wish, known)
            return
        self._note_lag(camera, wish)
        self._jobs[wish.reference] = job = _Cut(camera, wish, self._clock.monotonic())
        self._take_up(job)

    def _repeat(self, camera: ClippedCamera, wish: ClipWish, known: ClipAnswer) -> None:
        """A wish that was answered before: the answer was lost, or the event came too late."""
        state, reason = known.state, known.reason
        if wish.until > known.until and state == READY:
            state = PARTIAL
            reason = "a further event was decided only after the clip had ended"
        self._say(
            camera,
            ClipAnswer(
                wish.reference, wish.camera, state, reason, known.file, known.folder, wish.until
            ),
        )

    def _note_lag(self, camera: ClippedCamera, wish: ClipWish) -> None:
        if not camera.source.live:
            return
        self._lags.append(max(0.0, self._clock.now() - wish.event_at))
        lag_s = max(camera.need.lag_s, self._lag_s)
        camera.source.keep_for_clips(ClipNeed(camera.need.before_s, lag_s, camera.need.most_bytes))

    @property
    def _lag_s(self) -> float:
        """How long after its capture an event is decided, at most, as far as is known."""
        least, most = _LAG_S
        return min(most, max(least, _LAG_SHARE * max(self._lags, default=0.0)))

    def _take_up(self, job: _Cut) -> None:
        """Finish what a process that has ended left of the same clip, if there is something."""
        try:
            target = self._folder.place(job.wish.reference)
            left = target.with_name(target.name + UNFINISHED)
            is_whole = target.exists() and not left.exists()
            if not (left.exists() or is_whole):
                return
            if job.camera.source.live:
                # What is there cannot be cut again: the packets went with the process.
                file = self._recover(left, target)
                said = "" if is_whole else "the sampler ended while it was written"
                self._settle(job, file, said, target)
            else:
                left.unlink(missing_ok=True)  # a recording is cut again
        except (OSError, ClipError, StoreError):
            return  # nothing of it can be played; what the camera still has is cut

    def _advance(self, job: _Cut) -> None:
        wish, now = job.wish, self._clock.monotonic()
        try:
            if job.making is None and not self._begin(job, now):
                return
            making = job.making
            if making is None:
                return
            if making.advance(wish.until):
                job.has_all_since = now if job.has_all_since is None else job.has_all_since
            elif self._clock.now() < wish.until + _PATIENCE_S or not job.camera.source.live:
                return
            else:
                self._end(job, "the camera sent no more pictures")
                return
        except (OSError, ClipError, StoreError) as error:
            self._fail(job, error)
            return
        except Exception as error:  # noqa: BLE001 - what one camera sends ends no other's clips
            self._fail(job, _unforeseen(error))
            return
        # Further events may belong to it that are decided only now.
        lingers = job.camera.source.live and self._clock.now() < wish.until + self._lag_s
        if not lingers:
            self._end(job, "")

    def _begin(self, job: _Cut, now: float) -> bool:
        camera, wish = job.camera, job.wish
        if not self._folder.has_room():
            raise OSError(28, "there is no room left for clips")
        target = self._folder.place(wish.reference)
        unfinished = target.with_name(target.name + UNFINISHED)
        try:
            create_file(unfinished)
            job.making = camera.source.cut(unfinished, wish.since, camera.make)
        except ClipError:
            unfinished.unlink(missing_ok=True)
            within_s = _BEGIN_WITHIN_S if camera.source.live else _RECORDING_WITHIN_S
            if now - job.since < within_s and not camera.is_over():
                return False
            raise
        job.unfinished = unfinished
        return True

    def _end(self, job: _Cut, reason: str) -> None:
        """Close it with what there is."""
        if job.making is None:
            self._fail(job, ClipError(reason or "nothing of its stream is kept"))
            return
        try:
            target = self._folder.place(job.wish.reference)
            file = job.making.finish(target)
            self._settle(job, file, job.making.remark or reason, target)
        except (OSError, ClipError, StoreError) as error:
            self._fail(job, error)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(job, _unforeseen(error))

    def _settle(self, job: _Cut, file: ClipFile, reason: str, target: Path) -> None:
        wish = job.wish
        self._folder.keep(wish.reference, target)
        short = reason or _shortfall(wish, file, job.camera)
        state: ClipState = PARTIAL if short else READY
        if self.figures.trouble is not None:
            logger.info("clips are written again")
        self.figures.trouble = None
        answer = ClipAnswer(
            wish.reference, wish.camera, state, short, file, self._folder.folder, wish.until
        )
        self._answer(job, answer)

    def _fail(self, job: _Cut, error: Exception) -> None:
        wish = job.wish
        if job.making is not None:
            with suppress(Exception):  # it has failed already, and that is said
                job.making.abandon()
        if job.unfinished is not None:
            with suppress(OSError):
                job.unfinished.unlink(missing_ok=True)
        reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        if isinstance(error, OSError | StoreError):
            if self.figures.trouble is None:
                logger.error("events are stored without clips: %s", reason)
            self.figures.trouble = f"events are stored without clips: {reason}"
        else:
            logger.warning(
                "camera %s: there is no clip of an event: %s",
                *(wish.camera, reason),
                extra={"camera": wish.camera},
            )
        self._answer(
            job,
            ClipAnswer(wish.reference, wish.camera, FAILED, reason, until=wish.until),
        )

    def _answer(self, job: _Cut, answer: ClipAnswer) -> None:
        self._jobs.pop(answer.reference, None)
        self._answered[answer.reference] = answer
        while len(self._answered) > _REMEMBERED_ANSWERS:
            self._answered.popitem(last=False)
        match answer.state:
            case "ready":
                self.figures.ready += 1
            case "partial":
                self.figures.partial += 1
            case _:
                self.figures.failed += 1
        self._say(job.camera, answer)

    def _say(self, camera: ClippedCamera, answer: ClipAnswer) -> None:
        try:
            camera.exchange.answer(answer)
        except CameraTakenError:
            return  # the wish is its new sampler's
        except QueueError:
            return  # the wish is still there, and is answered again


def _unforeseen(error: Exception) -> ClipError:
    """What nobody thought of, with its place in the log."""
    logger.error("a clip cannot be made of what a camera sends", exc_info=error)
    return ClipError(f"its stream cannot be made into a clip ({type(error).__name__})")


def _shortfall(wish: ClipWish, file: ClipFile, camera: ClippedCamera) -> str:
    """What is missing of a clip, as a sentence; empty if it is whole."""
    said: list[str] = []
    if file.since > wish.since + _NEARLY_S:
        got = max(0.0, wish.event_at - file.since)
        asked = wish.event_at - wish.since
        why = "the recording begins" if not camera.source.live else "nothing older is kept"
        said.append(f"{got:.1f} s of the {asked:.1f} s before the event are there: {why}")
    if file.until < wish.until - _NEARLY_S:
        missing = wish.until - file.until
        if camera.source.live:
            said.append(f"the last {missing:.1f} s are missing")
        # A recording ends where it ends.
    return "; ".join(said)
