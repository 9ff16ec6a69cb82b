"""Clips of the cameras that this process samples."""

import threading
from collections.abc import Callable, Iterable

from connectors.sources.ffmpeg.clip_files import recover
from connectors.stores.clip_files import ClipFileStore
from pipeline.core.clips import ClipExchange, ClipSource
from pipeline.core.sources import Source
from pipeline.deployment.model import Deployment
from pipeline.runtime.assembly import clip_make, clip_need
from pipeline.runtime.stages.base import StageContext, StageThread
from pipeline.sampling.clip_sender import ClipSender
from pipeline.sampling.clips import ClipCutter, ClipFigures, ClippedCamera


class ClipSampling:
    """Cuts the clips that are asked of this process's cameras, in a thread of its own."""

    def __init__(self, context: StageContext) -> None:
        folder = ClipFileStore(context.deployment.store.build_media())
        kept = context.deployment.store.clips
        self._sender: ClipSender | None = None
        self._sending: StageThread | None = None
        if folder.is_elsewhere:
            keep_s = kept.keep.total_seconds() if kept.keep is not None else None
            self._sender = ClipSender(folder, context.clock, keep_s, kept.at_most)
            self._sending = StageThread("clip sender", self._sender.run, self._sender.stop)
        self._folder = folder
        self._cutter = ClipCutter(folder, context.clock, recover, self._sender)
        self._thread = StageThread("clips", self._cutter.run, self._cutter.stop)
        self._is_started = self._is_sending = False
        self._lock = threading.Lock()

    def use(self, cameras: Iterable[ClippedCamera | None]) -> None:
        """Cut for these cameras from now on; the thread begins with the first one."""
        clipped = [camera for camera in cameras if camera is not None]
        self._cutter.use(clipped)
        with self._lock:
            if clipped and not self._is_started:
                self._is_started = True
                self._thread.start()
            if self._sending is not None and not self._is_sending:
                # What an earlier process could not send is sent without any camera, too.
                self._is_sending = bool(clipped or self._folder.held())
                if self._is_sending:
                    self._sending.start()

    @property
    def is_used(self) -> bool:
        """Whether clips were ever cut for a camera."""
        return self._is_started

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being made."""
        return self._cutter.is_idle

    @property
    def figures(self) -> ClipFigures:
        """What was cut."""
        return self._cutter.figures

    @property
    def trouble(self) -> str | None:
        """Why clips cannot be written now."""
        sending, sender = self._sending, self._sender
        return (
            self._thread.failure
            or self._cutter.figures.trouble
            or (sending.failure if sending is not None else None)
            or (sender.trouble if sender is not None else None)
        )

    def finish(self, within_s: float) -> None:
        """Close all clips with what has come until now."""
        if self._is_started and self._thread.stop(within_s):
            self._cutter.finish()
        sender, sending = self._sender, self._sending
        if sender is None or sending is None or not self._is_sending:
            return
        if sending.stop(within_s):
            sender.step(at_once=True)


def clipped(
    deployment: Deployment,
    name: str,
    source: Source,
    exchange: ClipExchange | None,
    is_over: Callable[[], bool],
) -> ClippedCamera | None:
    """A camera whose clips are cut here; None where no rule asks for one."""
    camera = deployment.cameras.get(name)
    need = clip_need(camera) if camera is not None else None
    if camera is None or need is None or exchange is None or not isinstance(source, ClipSource):
        return None
    return ClippedCamera(name, source, exchange, need, clip_make(camera), is_over)
