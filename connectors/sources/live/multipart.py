"""The parts of a `multipart/x-mixed-replace` stream, as cameras send it rather than as it is
specified: with or without lengths, and with boundaries that may or may not bring their dashes.
"""

import re
from collections.abc import Iterator

# Larger than any picture a camera sends; a stream without a boundary for so long is not MJPEG.
_MOST_BYTES = 64 * 1024 * 1024
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)")
_LONGEST_HEAD = 16384


def boundary_of(content_type: str) -> bytes | None:
    """The boundary that a content type names; None if it is not a multipart type."""
    if not content_type.lower().startswith("multipart/"):
        return None
    named = re.search(r'boundary="?([^";]+)"?', content_type, re.IGNORECASE)
    return named.group(1).strip().encode("latin-1", "replace") if named else b""


class MultipartReader:
    """Cuts a stream into the contents of its parts."""

    def __init__(self, boundary: bytes) -> None:
        self._mark = b"--" + boundary.removeprefix(b"--")
        self._buffer = bytearray()
        self._searched = 0

    @property
    def overflowed(self) -> bool:
        """Whether so much came without a boundary that this is not a stream of pictures."""
        return len(self._buffer) > _MOST_BYTES

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The parts that a further piece of the stream completes."""
        self._buffer += chunk
        while (content := self._next()) is not None:
            yield content

    def _next(self) -> bytes | None:
        begin = self._buffer.find(self._mark)
        if begin < 0:
            return None
        head = _HEAD_END.search(self._buffer, begin, begin + _LONGEST_HEAD)
        if head is None:
            return None
        length = _LENGTH.search(self._buffer, begin, head.end())
        if length is not None:
            end = head.end() + int(length.group(1))
            found = end if len(self._buffer) >= end else -1
        else:
            # All of a large picture would be searched at each piece of it otherwise.
            found = self._buffer.find(self._mark, max(head.end(), self._searched))
            self._searched = max(0, len(self._buffer) - len(self._mark))
        if found < 0:
            return None
        content = bytes(self._buffer[head.end() : found])
        del self._buffer[:found]
        self._searched = 0
        return content if length is not None else content.rstrip(b"\r\n")
