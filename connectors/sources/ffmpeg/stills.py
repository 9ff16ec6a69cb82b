"""Pictures that come as files of their own: JPEG, PNG and WebP, each decoded alone."""

from collections import Counter
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream
from connectors.sources.ffmpeg.decoder import decode_alone
from connectors.sources.ffmpeg.errors import DECODE_ERROR

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
