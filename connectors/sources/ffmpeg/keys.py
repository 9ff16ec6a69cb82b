"""Which packets are key frames, as the coded data says.

Containers mark key frames, and many mark them wrongly: recorders that write no table of them make
all of them key frames, muxers copy flags from elsewhere. A frame that refers to others and is
decoded alone is either nothing or garbage that looks like a picture, so the mark is not enough.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.stream import VideoStream

# A slice's type is within its first bytes: two numbers of a few bits each.
_HEAD = 24
_H264_IDR, _H264_SLICE, _H264_PARTITION, _H264_SEI = 5, 1, 2, 6
_RECOVERY_POINT = 6
_HEVC_KEYS = range(16, 24)
_VVC_KEYS = range(7, 11)
_AV1_SEQUENCE, _AV1_HEADERS = 1, (3, 6)


class KeyFrames:
    """Tells key frames of one stream; where a codec cannot be looked into, none is believed."""

    def __init__(self, context: "VideoCodecContext") -> None:
        name = context.name
        extradata = context.extradata or b""
        codec = context.codec
        self.looks_into = name in _LOOKS or name in _BY_NAL
        """Whether its coded data says it; else only the container does."""
        # In these every picture stands alone, whatever the container says.
        self._all = codec.intra_only and not self.looks_into
        self._look = _LOOKS.get(name)
        self._by_nal = _BY_NAL.get(name)
        self._length_size = _length_size(name, extradata)

    def is_key(self, packet: "Packet[VideoStream]") -> bool:
        """Whether the picture of this packet can be decoded without any other."""
        if self._all:
            return True
        if not packet.is_keyframe or not self.looks_into:
            return False
        # What is damaged beyond recognition is what the container says: a key frame that is lost.
        return self._is_intra(bytes(packet)) is not False

    def is_start(self, packet: "Packet[VideoStream]") -> bool:
        """Whether decoding can begin here, if not with a whole picture, then soon with one."""
        if not self.looks_into:
            return bool(packet.is_keyframe)
        content = bytes(packet)
        intra = self._is_intra(content)
        if intra is False and packet.is_keyframe and self._by_nal is _h264:
            return self._recovers(content)
        return bool(packet.is_keyframe) if intra is None else intra

    def _is_intra(self, content: bytes) -> bool | None:
        """Whether it refers to no other picture; None where nothing of a picture is found."""
        if self._by_nal is not None:
            return self._by_nal(_nals(content, self._length_size))
        return self._look(content) if self._look is not None else None

    def _recovers(self, content: bytes) -> bool:
        """Whether H.264 says that a picture builds up from here, refreshed bit by bit."""
        return any(
            len(nal) > 1 and nal[0] & 31 == _H264_SEI and nal[1] == _RECOVERY_POINT
            for nal in _nals(content, self._length_size)
        )


def _length_size(name: str, extradata: bytes) -> int:
    """How many bytes give a NAL unit's length; 0 where start codes lie between them."""
    if name == "h264" and len(extradata) > 4 and extradata[0] == 1:
        return (extradata[4] & 3) + 1
    if name == "hevc" and len(extradata) > 21 and extradata[:3] not in (b"\0\0\0", b"\0\0\1"):
        return (extradata[21] & 3) + 1
    if name == "vvc" and len(extradata) > 4 and extradata[0] & 0xF8 == 0xF8:
        return (extradata[0] >> 1 & 3) + 1
    return 0


def _nals(content: bytes, length_size: int) -> Iterator[bytes]:
    """The heads of a packet's NAL units."""
    at = 0
    if length_size:
        while at + length_size < len(content):
            length = int.from_bytes(content[at : at + length_size], "big")
            at += length_size
            yield content[at : min(at + length, at + _HEAD)]
            at += length
        return
    while (at := content.find(b"\0\0\1", at)) >= 0:
        at += 3
        yield content[at : at + _HEAD]


def _h264(nals: Iterator[bytes]) -> bool | None:
    found = None
    for nal in nals:
        kind = nal[0] & 31 if nal else 0
        if kind == _H264_IDR:
            return True
        if kind in (_H264_SLICE, _H264_PARTITION):
            bits = _Bits(nal[1:].replace(b"\0\0\3", b"\0\0"))
            bits.golomb()
            if bits.golomb() % 5 not in (2, 4):  # I and SI
                return False
            found = True
    return found


def _hevc(nals: Iterator[bytes]) -> bool | None:
    kinds = (nal[0] >> 1 & 63 for nal in nals if nal)
    return next((kind in _HEVC_KEYS for kind in kinds if kind < 32), None)


def _vvc(nals: Iterator[bytes]) -> bool | None:
    kinds = (nal[1] >> 3 for nal in nals if len(nal) > 1)
    return next((kind in _VVC_KEYS for kind in kinds if kind < 12), None)


def _mpeg4(content: bytes) -> bool | None:
    at = content.find(b"\0\0\1\xb6")
    return content[at + 4] >> 6 == 0 if 0 <= at < len(content) - 4 else None


def _mpeg12(content: bytes) -> bool | None:
    at = content.find(b"\0\0\1\0")
    return content[at + 5] >> 3 & 7 == 1 if 0 <= at < len(content) - 5 else None


def _vp8(content: bytes) -> bool | None:
    return not content[0] & 1 if content else None


def _vp9(content: bytes) -> bool | None:
    if not content or content[0] >> 6 != 2:
        return None
    shows_existing, is_inter = (4, 2) if content[0] & 0x30 == 0x30 else (8, 4)
    return not content[0] & (shows_existing | is_inter)


def _av1(content: bytes) -> bool | None:
    at, reduced = 0, False
    while at < len(content):
        head = content[at]
        kind = head >> 3 & 15
        at += 2 if head & 4 else 1
        length, read = _leb128(content, at) if head & 2 else (len(content) - at, 0)
        at += read
        if at >= len(content):
            break
        if kind == _AV1_SEQUENCE:
            reduced = bool(content[at] & 8)
        elif kind in _AV1_HEADERS:
            # Neither one that was shown before, nor of another type than key.
            return reduced or not content[at] & 0xE0
        at += length
    return None


def _leb128(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for nth, byte in enumerate(content[at : at + 8]):
        value |= (byte & 127) << 7 * nth
        if byte < 128:
            return value, nth + 1
    return value, 8


class _Bits:
    """Reads Exp-Golomb numbers; behind the end there are ones."""

    def __init__(self, content: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in content[:_HEAD])
        self._at = 0

    def golomb(self) -> int:
        one = self._bits.find("1", self._at)
        if one < 0:
            return 0
        zeros = one - self._at
        end = one + zeros + 1
        value = int(self._bits[one:end] or "1", 2) - 1
        self._at = end
        return value


_BY_NAL: dict[str, Callable[[Iterator[bytes]], bool | None]] = {
    "h264": _h264,
    "hevc": _hevc,
    "vvc": _vvc,
}
_LOOKS: dict[str, Callable[[bytes], bool | None]] = {
    "mpeg4": _mpeg4,
    "mpeg1video": _mpeg12,
    "mpeg2video": _mpeg12,
    "vp8": _vp8,
    "libvpx": _vp8,
    "vp9": _vp9,
    "libvpx-vp9": _vp9,
    "av1": _av1,
    "libdav1d": _av1,
    "libaom-av1": _av1,
}
