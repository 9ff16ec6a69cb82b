"""Cuts the clips that processors ask for from what the cameras of this process have sent."""

import errno
import fcntl
import logging
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path

from pipeline.core.clips import (
    FAILED,
    MOST_FILES,
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
    file_reference,
)
from pipeline.core.clock import Clock
from pipeline.core.errors import CameraTakenError, QueueError, StoreError
from pipeline.core.private_files import file_mode, make_folder
from pipeline.sampling.clip_sender import ClipSender

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
# How long after its end a clip may still be written by a process that has lost its camera.
_OTHERS_WRITE_S = 60.0
# How long, and how often, an earlier process's file is looked for in a bucket out of reach.
_LOOK_FOR_S = 900.0
_LOOK_AGAIN_S = 60.0
# Events that were decided late say how late further ones may be.
_REMEMBERED_LAGS = 32
_LAG_S = (1.0, 60.0)
_LAG_SHARE = 1.5
_REMEMBERED_ANSWERS = 200

UNFINISHED = ".part"
_WRITE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


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
    hold: int | None = None
    """Keeps other processes from the unfinished file while it is open here."""
    files: list[ClipFile] = field(default_factory=list)
    """Those that are finished."""
    remarks: list[str] = field(default_factory=list)
    """What is not as it was wanted in these."""
    why: str = ""
    """Why something may be missing."""
    is_looked_for: bool = False
    """Whether what an earlier process left of it was taken up."""
    look_at: float = float("-inf")
    """When to look for that again, in monotonic seconds."""


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
        self,
        folder: ClipFolder,
        clock: Clock,
        recover: Callable[[Path, Path], ClipFile],
        sender: ClipSender | None = None,
    ) -> None:
        """`recover` finishes a file that a process which has ended has left, or says what is in one
        that is finished; raises OSError and ClipError. With a `sender`, what is finished is said
        once it is sent.
        """
        self._folder = folder
        self._clock = clock
        self._recover = recover
        self._sender = sender
        self._ours_since: Mapping[str, float] = {}
        """From when on each camera is ours, in UTC seconds."""
        self._cameras: Mapping[str, ClippedCamera] = {}
        self._jobs: dict[str, _Cut] = {}
        self._answered: OrderedDict[str, ClipAnswer] = OrderedDict()
        self._lags: deque[float] = deque(maxlen=_REMEMBERED_LAGS)
        self._stop = threading.Event()
        self._stepping = threading.Lock()
        self.figures = ClipFigures()

    def use(self, cameras: Sequence[ClippedCamera]) -> None:
        """Cut for these cameras from now on."""
        now = self._clock.now()
        self._ours_since = {one.name: self._ours_since.get(one.name, now) for one in cameras}
        self._cameras = {camera.name: camera for camera in cameras}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being made."""
        return not self._jobs and (self._sender is None or self._sender.is_idle)

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
                job.wish = wish
            return
        known = self._answered.get(wish.reference)
        if known is not None and known.until >= wish.until:
            self._say(camera, known)  # the answer was lost
            return
        self._note_lag(camera, wish)
        self._jobs[wish.reference] = job = _Cut(camera, wish, self._clock.monotonic())
        if known is not None and known.file is not None and camera.source.live:
            # A further event was decided after the file was closed: what is left of the stream
            # goes into another one.
            job.files += [known.file, *known.more]
            job.why = "a further event was decided only after the clip had ended"
            job.is_looked_for = True

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

    def _places(self, wish: ClipWish, nth: int) -> tuple[Path, Path]:
        """Where the nth file of a clip is to be, and where it is until it is finished."""
        target = self._folder.place(file_reference(wish.reference, nth))
        return target, target.with_name(target.name + UNFINISHED)

    def _take_up(self, job: _Cut) -> bool:
        """Finish what a process that has ended left of the same clip; False while another one
        still writes it.
        """
        wish = job.wish
        if not job.camera.source.live:
            self._places(wish, 1)[1].unlink(missing_ok=True)
            return True  # a recording is cut again
        is_older = wish.event_at <= self._ours_since.get(wish.camera, float("inf"))
        for nth in count(len(job.files) + 1):
            reference = file_reference(wish.reference, nth)
            target, left = self._places(wish, nth)
            was_left = left.exists()
            if not was_left:
                whole = self._folder.found(reference, is_older=is_older)
                if whole is None:
                    return True
                target = whole
            # What is there cannot be cut again: the packets went with the process.
            hold = _hold(left) if was_left else None
            if was_left and hold is None:
                if self._clock.now() > wish.until + _OTHERS_WRITE_S:
                    raise ClipError("another process has begun to write it, and does not end")
                return False
            try:
                file = self._recover(left, target)
            except FileNotFoundError:
                return False  # it has just been sent
            except ClipError:
                return True  # nothing of it can be played; what the camera still has is cut
            finally:
                _let_go(hold)
            self._folder.keep(reference, target)
            job.files.append(file)
            if was_left:
                job.why = "the sampler ended while it was written"
        return True

    def _advance(self, job: _Cut) -> None:
        try:
            is_at_end = self._write(job)
        except (OSError, ClipError, StoreError) as error:
            self._fail(job, error)
            return
        except Exception as error:  # noqa: BLE001 - what one camera sends ends no other's clips
            self._fail(job, _unforeseen(error))
            return
        # Further events may belong to it that are decided only now.
        lingers = job.camera.source.live and self._clock.now() < job.wish.until + self._lag_s
        if is_at_end and not lingers:
            self._end(job, "")

    def _write(self, job: _Cut) -> bool:
        """Write what has come; whether nothing of it is still to come."""
        wish = job.wish
        if not job.is_looked_for:
            now = self._clock.monotonic()
            if now < job.look_at:
                return False
            try:
                job.is_looked_for = self._take_up(job)
            except StoreError:
                # It may be in a bucket that is out of reach; what is there is not to be replaced.
                if now - job.since > _LOOK_FOR_S:
                    raise
                job.look_at = now + _LOOK_AGAIN_S
            if not job.is_looked_for:
                return False
        if job.making is None:
            if job.files and job.files[-1].until >= wish.until - _NEARLY_S:
                return True
            self._begin(job)
        making = job.making
        if making is None:
            return False
        has_all = making.advance(wish.until)
        if making.has_changed:
            self._go_on(job, making)
            return False
        if has_all or not job.camera.source.live or self._clock.now() < wish.until + _PATIENCE_S:
            return has_all
        job.why = "the camera sent no more pictures"
        return True

    def _begin(self, job: _Cut) -> None:
        camera, wish = job.camera, job.wish
        if not self._folder.has_room():
            raise OSError(errno.ENOSPC, "there is no room left for clips")
        _, unfinished = self._places(wish, len(job.files) + 1)
        since = job.files[-1].until if job.files else wish.since
        hold = _hold(unfinished)
        if hold is None:
            job.is_looked_for = False
            return
        job.hold, job.unfinished = hold, unfinished
        try:
            job.making = camera.source.cut(unfinished, since, camera.make)
        except ClipError:
            self._drop_unfinished(job)
            within_s = _BEGIN_WITHIN_S if camera.source.live else _RECORDING_WITHIN_S
            if self._clock.monotonic() - job.since >= within_s or camera.is_over():
                raise

    def _go_on(self, job: _Cut, making: ClipMaking) -> None:
        """Finish a file, and go on in another one."""
        if len(job.files) + 2 > MOST_FILES:
            self._end(job, "the camera changed the format of its pictures all the time")
            return
        _, unfinished = self._places(job.wish, len(job.files) + 2)
        hold = _hold(unfinished)
        following = making.follow(unfinished)
        try:
            self._close(job, making)
        except BaseException:
            following.abandon()
            _let_go(hold)
            unfinished.unlink(missing_ok=True)
            raise
        job.making, job.unfinished, job.hold = following, unfinished, hold

    def _close(self, job: _Cut, making: ClipMaking) -> None:
        """Finish the file that is being written."""
        nth = len(job.files) + 1
        target, _ = self._places(job.wish, nth)
        file = making.finish(target)
        if making.remark and making.remark not in job.remarks:
            job.remarks.append(making.remark)
        job.making = job.unfinished = None
        _let_go(job.hold)
        job.hold = None
        self._folder.keep(file_reference(job.wish.reference, nth), target)
        job.files.append(file)

    def _drop_unfinished(self, job: _Cut) -> None:
        if job.unfinished is not None:
            with suppress(OSError):
                job.unfinished.unlink(missing_ok=True)
        _let_go(job.hold)
        job.unfinished = job.hold = None

    def _end(self, job: _Cut, reason: str) -> None:
        """Close it with what there is."""
        job.why = reason or job.why
        if job.making is None:
            self._fail(job, ClipError(reason or "nothing of its stream is kept"))
            return
        try:
            self._close(job, job.making)
            self._settle(job)
        except (OSError, ClipError, StoreError) as error:
            self._fail(job, error)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(job, _unforeseen(error))

    def _settle(self, job: _Cut) -> None:
        wish = job.wish
        said = _shortfall(wish, job.files, job.camera)
        why = job.why if said or not job.camera.source.live else ""
        short = "; ".join([*job.remarks, *([why] if why else []), *said])
        state: ClipState = PARTIAL if short else READY
        if self.figures.trouble is not None:
            logger.info("clips are written again")
        self.figures.trouble = None
        file, *more = job.files
        folder = self._folder.folder
        self._answer(
            job,
            ClipAnswer(
                *(wish.reference, wish.camera, state, short, file, folder, wish.until),
                tuple(more),
            ),
        )

    def _fail(self, job: _Cut, error: Exception) -> None:
        wish = job.wish
        if job.making is not None:
            with suppress(Exception):  # it has failed already, and that is said
                job.making.abandon()
        job.making = None
        self._drop_unfinished(job)
        if isinstance(error, ClipError) and not job.files:
            job.files += self._shared(wish)
        if job.files and not isinstance(error, OSError | StoreError):
            # Nothing more of it can be had; what there is stays.
            job.why = job.why or str(error)
            self._settle(job)
            return
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
        if job.files:
            file, *more = job.files
            said = "; ".join([reason, *_shortfall(wish, job.files, job.camera)])
            answer = ClipAnswer(
                *(wish.reference, wish.camera, PARTIAL, said, file, self._folder.folder),
                *(wish.until, tuple(more)),
            )
        else:
            answer = ClipAnswer(wish.reference, wish.camera, FAILED, reason, until=wish.until)
        self._answer(job, answer)

    def _shared(self, wish: ClipWish) -> list[ClipFile]:
        """The file of another clip of the camera that shows most of what cannot be cut any more:
        an event may be decided long after one that happened later.
        """
        most_s, found = 0.0, None
        for known in self._answered.values():
            if known.camera != wish.camera or known.file is None:
                continue
            for nth, file in enumerate((known.file, *known.more), 1):
                shown_s = min(file.until, wish.until) - max(file.since, wish.since)
                if shown_s > most_s:
                    most_s, found = shown_s, (file_reference(known.reference, nth), file)
        try:
            if found is not None and self._folder.share(found[0], wish.reference):
                return [found[1]]
        except StoreError as error:
            logger.warning("%s", error)
        return []

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
        if self._sender is not None:
            # Also a failure: what was said before of the same clip must not come after it.
            self._sender.take(answer, lambda said: _told(camera, said))
        else:
            _told(camera, answer)


def _told(camera: ClippedCamera, answer: ClipAnswer) -> None:
    """Answer a wish; what cannot be said now is asked for again."""
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


def _hold(path: Path) -> int | None:
    """Open a file, made where there is none, which no other process then writes; None where one
    does. Raises OSError.
    """
    try:
        handle = os.open(path, _WRITE, file_mode())
    except FileNotFoundError:  # its folder was empty, and has just been tidied away
        make_folder(path.parent)
        handle = os.open(path, _WRITE, file_mode())
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        pass  # a drive without locks: one process at a time has the camera anyway
    return handle


def _let_go(hold: int | None) -> None:
    if hold is not None:
        os.close(hold)


def _shortfall(wish: ClipWish, files: Sequence[ClipFile], camera: ClippedCamera) -> list[str]:
    """What is missing of a clip, as sentences; none if it is whole."""
    said: list[str] = []
    file, last = files[0], files[-1]
    if file.since > wish.since + _NEARLY_S:
        got = max(0.0, wish.event_at - file.since)
        asked = wish.event_at - wish.since
        why = "the recording begins" if not camera.source.live else "nothing older is kept"
        said.append(f"{got:.1f} s of the {asked:.1f} s before the event are there: {why}")
    missing = sum(max(0.0, after.since - before.until) for before, after in pairwise(files))
    if missing > _NEARLY_S:
        said.append(f"{missing:.1f} s between its files are missing")
    if last.until < wish.until - _NEARLY_S:
        missing = wish.until - last.until
        if camera.source.live:
            said.append(f"the last {missing:.1f} s are missing")
        # A recording ends where it ends.
    return said
