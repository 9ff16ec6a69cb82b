"""The one door to PyAV: opens, reads and decodes, and turns every error of it into a SourceError.

Nothing that PyAV or FFmpeg says leaves this module: their messages hold the address that was
opened, and with it the password. Imported only when a source is opened.
"""

import errno
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from connectors.sources._failures import failure
from pipeline.core.errors import SourceError, SourceFailure

if TYPE_CHECKING:
    import av
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

DECODE_ERROR = "decode error"
"""The counter of pictures lost to damaged data."""
# A damaged recording fails at some packets and goes on; one that fails this often in a row is over.
_TRIES = 100

REASONS: dict[str, SourceFailure] = {
    "ConnectionRefusedError": SourceFailure.REFUSED,
    "HTTPUnauthorizedError": SourceFailure.UNAUTHORISED,
    "HTTPForbiddenError": SourceFailure.UNAUTHORISED,
    "PermissionError": SourceFailure.UNAUTHORISED,
    "HTTPNotFoundError": SourceFailure.NOT_FOUND,
    "FileNotFoundError": SourceFailure.NOT_FOUND,
    "IsADirectoryError": SourceFailure.NOT_FOUND,
    "NotADirectoryError": SourceFailure.NOT_FOUND,
    "TimeoutError": SourceFailure.TIMEOUT,
    "ExitError": SourceFailure.TIMEOUT,  # PyAV's deadline passed
    "BlockingIOError": SourceFailure.TIMEOUT,
    "EOFError": SourceFailure.ENDED,
    "BrokenPipeError": SourceFailure.ENDED,
    "ConnectionAbortedError": SourceFailure.ENDED,
    "ConnectionResetError": SourceFailure.ENDED,
    "LookupError": SourceFailure.UNSUPPORTED,  # no such demuxer, decoder, protocol, option
    "NotImplementedError": SourceFailure.UNSUPPORTED,
    "PatchWelcomeError": SourceFailure.UNSUPPORTED,
    "ExperimentalError": SourceFailure.UNSUPPORTED,
    "ArgumentError": SourceFailure.UNSUPPORTED,
    "HTTPError": SourceFailure.BROKEN,  # 5xx
    "HTTPClientError": SourceFailure.BROKEN,  # 4xx but those above
    "InvalidDataError": SourceFailure.BROKEN,
    "BugError": SourceFailure.BROKEN,
    "BufferTooSmallError": SourceFailure.BROKEN,
    "ExternalError": SourceFailure.BROKEN,
    "UnknownError": SourceFailure.BROKEN,
    "UndefinedError": SourceFailure.BROKEN,
    "InputChangedError": SourceFailure.BROKEN,
    "OutputChangedError": SourceFailure.BROKEN,
    "PyAVCallbackError": SourceFailure.BROKEN,
    "ChildProcessError": SourceFailure.BROKEN,
    "ProcessLookupError": SourceFailure.BROKEN,
    "FileExistsError": SourceFailure.BROKEN,
    "InterruptedError": SourceFailure.BROKEN,
    "MemoryError": SourceFailure.BROKEN,
    "OverflowError": SourceFailure.BROKEN,
    "OSError": SourceFailure.BROKEN,  # but for the numbers below
}
"""What each class of `av.error` means; a subclass without an entry means what its base does."""

ERRNOS: dict[int, SourceFailure] = {
    errno.EHOSTUNREACH: SourceFailure.UNREACHABLE,
    errno.EHOSTDOWN: SourceFailure.UNREACHABLE,
    errno.ENETUNREACH: SourceFailure.UNREACHABLE,
    errno.ENETDOWN: SourceFailure.UNREACHABLE,
    errno.EADDRNOTAVAIL: SourceFailure.UNREACHABLE,
    errno.EBUSY: SourceFailure.REFUSED,
    errno.ENODEV: SourceFailure.ENDED,  # a device that was unplugged
    errno.ENXIO: SourceFailure.ENDED,
    errno.ENOTTY: SourceFailure.UNSUPPORTED,
}
"""What the numbers behind PyAV's plain OSError mean."""


@dataclass(frozen=True, slots=True)
class Input:
    """What to open: `address` goes to FFmpeg alone, `place` is how texts call it."""

    address: str
    place: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    deadlines_s: tuple[float, float] | None = None
    """For opening and for each read; None for local files."""
    hwaccel: str | None = None
    threads: int = 1


def reason_of(error: BaseException) -> SourceFailure:
    """What an error of PyAV means for a source."""
    number = getattr(error, "errno", None)
    if type(error).__name__ == "OSError" and number in ERRNOS:
        return ERRNOS[number]
    names = (base.__name__ for base in type(error).__mro__)
    return next((REASONS[name] for name in names if name in REASONS), SourceFailure.BROKEN)


def translate(error: "av.FFmpegError", place: str) -> SourceError:
    """The same failure without FFmpeg's words. The original is stripped of the address, too."""
    error.args = error.args[:2]
    return failure(reason_of(error), place)


class Silence:
    """Keeps what FFmpeg logs in this thread out of the program's logs, even where PyAV's logging
    is switched on: at its finer levels it writes addresses and authorisation headers.
    """

    def __enter__(self) -> "Silence":
        import av.logging

        self._capture = av.logging.Capture(local=True)
        self._lines = self._capture.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.__exit__(None, None, None)
        self._lines.clear()

    def forget(self) -> None:
        """Let go of what was caught so far."""
        if self._lines:
            self._lines.clear()


def open_input(what: Input) -> "tuple[InputContainer, VideoStream]":
    """Open and probe an input; raises SourceError. The caller closes the container."""
    container = _open_container(what)
    if not container.streams.video:
        container.close()
        raise failure(SourceFailure.UNSUPPORTED, what.place)
    stream = container.streams.video[0]
    if getattr(stream, "codec_context", None) is None:
        container.close()
        raise failure(
            SourceFailure.UNSUPPORTED, what.place, "has a video codec that FFmpeg cannot decode"
        )
    context = stream.codec_context
    context.thread_count = what.threads
    context.thread_type = "AUTO" if what.threads != 1 else "SLICE"
    if what.hwaccel and not context.is_hwaccel:
        _report_software(what)
    return container, stream


def _open_container(what: Input) -> "InputContainer":
    import av
    from av.codec.hwaccel import HWAccel, HWDeviceType

    hwaccel = None
    if what.hwaccel:
        hwaccel = HWAccel(HWDeviceType[what.hwaccel], allow_software_fallback=True)
    try:
        return _av_open(what, hwaccel)
    except (av.FFmpegError, RuntimeError):
        # The device may be what could not be opened; without it the input's own error shows.
        if hwaccel is None:
            raise
    return _av_open(what, None)


def _av_open(what: Input, hwaccel: "HWAccel | None") -> "InputContainer":
    import av

    try:
        return av.open(
            what.address,
            "r",
            format=what.format,
            options=what.options,
            timeout=what.deadlines_s,
            metadata_errors="replace",
            hwaccel=hwaccel,
        )
    except av.FFmpegError as error:
        if hwaccel is not None:
            raise
        raise translate(error, what.place) from None


_told: set[tuple[str, str]] = set()


def _report_software(what: Input) -> None:
    """Say once per place, not at each reconnect, that the hardware is not used."""
    key = (what.place, str(what.hwaccel))
    if key not in _told:
        _told.add(key)
        log.warning(
            "%s is decoded in software, hwaccel %s cannot be used", what.place, what.hwaccel
        )


def read_packets(
    container: "InputContainer", stream: "VideoStream", place: str, lost: Counter[str]
) -> "Iterator[Packet[VideoStream]]":
    """The stream's packets, and at the end one of size 0; raises SourceError.

    Damaged data is counted and read over.
    """
    import av

    tries = 0
    while True:
        try:
            for packet in container.demux(stream):
                tries = 0
                yield packet
        except av.error.InvalidDataError as error:
            tries += 1
            lost[DECODE_ERROR] += 1
            if tries >= _TRIES:
                raise translate(error, place) from None
        except av.FFmpegError as error:
            raise translate(error, place) from None
        else:
            return


def decode(
    context: "VideoCodecContext", packet: "Packet[VideoStream] | None", lost: Counter[str]
) -> "list[VideoFrame]":
    """The pictures that a packet completes; None for those still inside. Damage is counted."""
    import av

    try:
        frames = context.decode(packet)
    except av.error.EOFError:
        return []
    except av.FFmpegError:
        lost[DECODE_ERROR] += 1
        return []
    whole = [frame for frame in frames if not frame.is_corrupt]
    if len(whole) < len(frames):
        lost[DECODE_ERROR] += len(frames) - len(whole)
    return whole


def decode_alone(
    context: "VideoCodecContext", packet: "Packet[VideoStream]", lost: Counter[str]
) -> "list[VideoFrame]":
    """The picture of a key frame, without waiting for the packets after it."""
    frames = decode(context, packet, lost)
    frames += decode(context, None, lost)
    context.flush_buffers()
    return frames


_STILLS = ((b"\xff\xd8", "mjpeg"), (b"\x89PNG", "png"), (b"RIFF", "webp"))
_JPEG_END = b"\xff\xd9"


class StillDecoder:
    """Decodes pictures that come as files of their own: JPEG, PNG, WebP."""

    def __init__(self) -> None:
        self._contexts: dict[str, VideoCodecContext] = {}

    def decode(self, content: bytes, lost: Counter[str]) -> "VideoFrame | None":
        """The picture, or None (and counted) when it is damaged or of an unknown kind."""
        codec = next((name for magic, name in _STILLS if content.startswith(magic)), None)
        # FFmpeg fills up what a cut JPEG lacks, and says nothing.
        cut = codec == "mjpeg" and _JPEG_END not in content[-64:]
        if codec is None or cut:
            lost[DECODE_ERROR] += 1
            return None
        from av.packet import Packet

        context = self._contexts.get(codec) or self._create(codec)
        frames = decode_alone(context, cast("Packet[VideoStream]", Packet(content)), lost)
        return frames[0] if frames else None

    def _create(self, codec: str) -> "VideoCodecContext":
        from av.codec.context import CodecContext
        from av.video.codeccontext import VideoCodecContext

        context = CodecContext.create(codec, "r")
        assert isinstance(context, VideoCodecContext)  # the three codecs above are
        context.thread_count = 1
        self._contexts[codec] = context
        return context
