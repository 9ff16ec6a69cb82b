"""Pictures that come as files of their own: JPEG, PNG, WebP and BMP, each decoded alone."""

from collections import Counter
from typing import TYPE_CHECKING, cast

from connectors.sources.ffmpeg.decoder import decode_alone
from connectors.sources.ffmpeg.errors import DECODE_ERROR
from connectors.sources.ffmpeg.still_walk import walk_of

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# A few bytes may claim to be a picture that fills the memory.
_MOST_PIXELS = 128 * 1024 * 1024


# FFmpeg makes a picture of whatever is there, and says nothing, unless every error is one.
_STRICT = "crccheck+explode"
# Some encoders err in every picture. So many whole ones refused, and none taken: it is one of them.
_REFUSED = 8


class StillDecoder:
    """Decodes pictures that come as files of their own: JPEG, PNG, WebP and BMP."""

    def __init__(self) -> None:
        self._contexts: dict[str, VideoCodecContext] = {}
        self._refused: int | None = 0
        """Pictures refused so far; None once one was taken."""

    def decode(self, content: bytes, lost: Counter[str]) -> "VideoFrame | None":
        """The picture, or None (and counted) when it is damaged, cut off or of an unknown kind.

        What follows the end of the picture, such as padding, is left out.
        """
        walk = walk_of(content)
        if walk is None or walk.go(content) != "whole":
            lost[DECODE_ERROR] += 1
            return None
        from av.packet import Packet

        context = self._contexts.get(walk.kind) or self._create(walk.kind)
        packet = cast("Packet[VideoStream]", Packet(content[: walk.end]))
        # Else the decoder for PNG takes it for a difference, and adds the picture before it.
        packet.is_keyframe = True
        frames = decode_alone(context, packet, lost)
        if frames:
            self._refused = None
            return frames[0]
        if self._refused is not None:
            self._refused += 1
            if self._refused == _REFUSED:
                self._contexts.clear()
        return None

    def _create(self, codec: str) -> "VideoCodecContext":
        from av.codec.context import CodecContext
        from av.video.codeccontext import VideoCodecContext

        context = CodecContext.create(codec, "r")
        assert isinstance(context, VideoCodecContext)  # the four codecs above are
        context.thread_count = 1
        context.options = {"max_pixels": str(_MOST_PIXELS)}
        if self._refused is None or self._refused < _REFUSED:
            context.options = {**context.options, "err_detect": _STRICT}
        self._contexts[codec] = context
        return context
