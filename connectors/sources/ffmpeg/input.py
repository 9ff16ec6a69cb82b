"""Opens inputs with PyAV and reads their packets. PyAV is imported only when a source is opened."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connectors.sources.failures import failure
from connectors.sources.ffmpeg.errors import DECODE_ERROR, translate
from pipeline.core.errors import SourceError, SourceFailure

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream


log = logging.getLogger(__name__)
# A damaged recording fails at some packets and continues; one that fails so often in a row is over.
_TRIES = 100


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
    stream: int | None = None
    """Which of its video streams, from 0; None for the one with the moving picture."""


def open_input(what: Input) -> "tuple[InputContainer, VideoStream]":
    """Open and probe an input; raises SourceError. The caller closes the container."""
    container = _open_container(what)
    try:
        stream = _chosen(container, what)
    except SourceError:
        container.close()
        raise
    context = stream.codec_context
    context.thread_count = what.threads
    context.thread_type = "AUTO" if what.threads != 1 else "SLICE"
    if what.hwaccel and not context.is_hwaccel:
        _report_software(what)
    return container, stream


def _chosen(container: "InputContainer", what: Input) -> "VideoStream":
    """The stream asked for, or the moving picture: of several the largest, then the longest."""
    from av.stream import Disposition

    every = container.streams.video
    if not every:
        raise failure(SourceFailure.UNSUPPORTED, what.place)
    if what.stream is not None and what.stream >= len(every):
        raise failure(
            SourceFailure.NOT_FOUND,
            what.place,
            f"has {len(every)} video streams, so that `stream` is at most {len(every) - 1}",
        )
    if what.stream is None and sum(Disposition.dependent in s.disposition for s in every) > 1:
        raise failure(
            SourceFailure.UNSUPPORTED,
            what.place,
            "is a picture made of tiles (HEIC); convert it to JPEG",
        )
    meant = every if what.stream is None else (every[what.stream],)
    streams = [one for one in meant if getattr(one, "codec_context", None) is not None]
    if not streams:
        raise failure(
            SourceFailure.UNSUPPORTED, what.place, "has a video codec that FFmpeg cannot decode"
        )
    aside = Disposition.attached_pic | Disposition.timed_thumbnails

    def worth(stream: "VideoStream") -> tuple[bool, bool, bool, int, float]:
        context = stream.codec_context
        return (
            not stream.disposition & aside,
            stream.frames != 1,  # 0 where the container does not say
            Disposition.still_image not in stream.disposition,
            context.width * context.height,
            float((stream.duration or 0) * (stream.time_base or 0)),
        )

    return max(streams, key=worth)  # the first of equal ones


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


def close_input(container: "InputContainer", stream: "VideoStream") -> None:
    """Close it, once the decoder's own threads are at rest.

    PyAV closes with Python's lock held, and a thread that has something to log waits for it.
    """
    context = getattr(stream, "codec_context", None)
    if context is not None and context.is_open and context.thread_count != 1:
        context.flush_buffers()
    container.close()


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
