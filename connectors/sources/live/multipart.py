"""Pictures in what a camera sends, as cameras really send it rather than as it is specified.

A picture's own structure says where it ends (`still_walk`). Boundaries, lengths and types, which
cameras get wrong in every way, only help to tell a picture that was cut off from a whole one.
"""

import re
from collections.abc import Iterator

from connectors.sources.ffmpeg.still_walk import (
    LONGEST_START,
    START,
    Bytes,
    JpegWalk,
    Verdict,
    Walk,
    walk_of,
)

_MOST_BYTES = 64 * 1024 * 1024
"""No picture of a camera is larger."""
# Kept of what comes between two pictures; the head of a part is at its end.
_KEPT_TEXT = 16384
_PADDING = b"\0 \t\r\n"
_PADDED = re.compile(rb"[\0 \t\r\n]+")
# What a JPEG consists of after its beginning.
_SEGMENT = re.compile(rb"\0*\xff[\xc0-\xcf\xda-\xfe]([^\0].|\0[^\0\1])", re.DOTALL)
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xda-\xfe]")
_NOT_TEXT = re.compile(rb"[^\t\r\n\x20-\x7e]")
_LENGTH = re.compile(rb"(?im)^[ \t]*content-length[ \t]*:[ \t]*(?:\r*\n[ \t]+)?(\d{1,9})[ \t]*\r*$")
_NAME = rb"[!-9;-~]+[ \t]*:[^\n]*\n"
_HEAD = re.compile(rb"\n?[^\n]*\n(?:" + _NAME + rb"|[ \t][^\n]*\n)*[\0 \t\r\n]*")
_HEAD_BYTES = 16384
_OVERLAP = 512


def boundary_of(content_type: str) -> bytes | None:
    """The boundary that a content type names; None if it is not a multipart type."""
    if not content_type.strip().lower().startswith("multipart/"):
        return None
    named = re.search(r'boundary\s*=\s*"?([^";]+)"?', content_type, re.IGNORECASE)
    return named.group(1).strip().encode("latin-1", "replace") if named else b""


class PictureFinder:
    """Finds the whole pictures in a stream of bytes, one after the other, and counts cut ones."""

    def __init__(self, boundary: bytes = b"", *, is_still: bool = False) -> None:
        """`is_still` says that one picture is expected, which may then be a WebP or BMP, too."""
        self._separator = _separator(boundary)
        self._marks = {b"\n--"} | ({boundary.lstrip(b"-")} - {b""})
        self._is_still = is_still
        self._buffer = bytearray()
        self._walk: Walk | None = None
        self._searched = 0
        # So far there is no separator, so that none is looked for twice.
        self._without = 0
        self._is_clean = True
        # Behind the beginning of a picture that turned out to be none.
        self._in_rest = False
        self._length: int | None = None
        self.cut = 0
        """Pictures that were not whole."""

    @property
    def overflowed(self) -> bool:
        """Whether a picture began and has not ended for so long that it is none."""
        return len(self._buffer) > _MOST_BYTES

    @property
    def is_inside(self) -> bool:
        """Whether a picture has begun and has not ended yet."""
        return self._walk is not None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The pictures that a further piece of the stream completes."""
        self._buffer += chunk
        while (picture := self._next(ended=False)) is not None:
            yield picture

    def end(self) -> Iterator[bytes]:
        """The stream has ended: the pictures that were still in doubt."""
        while self._buffer:
            picture = self._next(ended=True)
            if picture is not None:
                yield picture
            elif self._walk is None:
                return

    def _next(self, *, ended: bool) -> bytes | None:
        """The next picture; None when more must come, and at the end after each step."""
        while self._walk is not None or self._begin():
            assert self._walk is not None
            verdict: Verdict = self._walk.go(self._buffer)
            if verdict == "open" and not ended:
                return None
            if verdict != "whole":
                self._give_up()
                continue
            end = self._walk.end
            spliced_at = self._spliced(end)
            if spliced_at is not None:
                self._drop(spliced_at)
                continue
            if self._goes_on(end):
                self._in_rest = False
                self._drop(end)
                self._in_rest = True
                continue
            if not self._is_clean:
                believed = self._is_followed_well(end, ended=ended)
                if believed is None:
                    return None
                if not believed:
                    self._in_rest = True
                    self._drop(end)
                    continue
            picture = bytes(self._buffer[:end])
            self._restart(end)
            return picture
        return None

    def _begin(self) -> bool:
        """Look for the beginning of a picture; whatever comes before it is gone afterwards."""
        buffer = self._buffer
        found = START.search(buffer, self._searched)
        at = found.start() if found else -1
        if self._is_still and buffer.lstrip(_PADDING).startswith((b"BM", b"RIFF")):
            at = len(buffer) - len(buffer.lstrip(_PADDING))
            if len(buffer) < at + LONGEST_START:
                return False
        if at < 0:
            if len(buffer) > 2 * _KEPT_TEXT:
                self._restart(len(buffer) - _KEPT_TEXT)
            self._searched = max(0, len(buffer) - LONGEST_START)
            return False
        self._read_head(at)
        self._restart(at)
        self._walk = walk_of(buffer)
        return self._walk is not None

    def _read_head(self, at: int) -> None:
        """What came before a picture: its length, if one is given, and whether that was a head.

        After anything else the picture is in doubt: it may lie inside one that lacks its beginning.
        """
        begin = max(0, at - _KEPT_TEXT)
        before = bytes(self._buffer[begin : at + LONGEST_START])
        start = -1
        for found in self._separator.finditer(before):
            if found.end() <= at - begin:
                start, self._in_rest = found.start(), False
        head = before[max(0, start) : at - begin]
        lengths = set(_LENGTH.findall(head))
        self._length = int(lengths.pop()) if len(lengths) == 1 else None
        text = head.rstrip(_PADDING)
        is_text = _NOT_TEXT.search(text) is None
        is_line = b"\n" in head[len(text) :].replace(b"\r", b"\n")
        is_head = start >= 0 and _HEAD.fullmatch(head) is not None
        self._is_clean = not text or (is_text and is_line) or is_head

    def _spliced(self, end: int) -> int | None:
        """Where the head of another part lies inside this picture, because it was cut off there.

        A comment may hold the same bytes, and even a whole part; but no part that goes on beyond
        the comment. A length is believed where it agrees.
        """
        buffer = self._buffer
        assert self._walk is not None
        if self._walk.kind == "mjpeg" and end == self._length:
            return None
        at = min((i for mark in self._marks if (i := buffer.find(mark, 0, end)) >= 0), default=-1)
        # Among pixels, the beginning of a picture would have ended the walk.
        skipped = self._walk.skipped
        blank = buffer.find(b"\n\xff\xd8\xff", 2, skipped[-1][1] if skipped else end)
        if at < 0 and blank < 0:
            return None
        for found in self._separator.finditer(buffer, 2, end):
            inside = next((s for s in self._walk.skipped if s[0] <= found.start() < s[1]), None)
            if inside is None:
                return found.start()
            reach = min(inside[1] + LONGEST_START, found.end() + _HEAD_BYTES)
            begin = START.search(buffer, found.start(), reach)
            if begin is not None and _runs_beyond(buffer, begin.start(), inside[1]):
                return found.start()
        return None

    def _goes_on(self, end: int) -> bool:
        """Whether a picture's segments follow: then this was a preview in what is left of one."""
        found = _SEGMENT.match(self._buffer, end)
        if found is None or end == self._length:
            return False
        after = found.end() - 2 + int.from_bytes(found[1])
        return _MARKER.match(self._buffer, after) is not None

    def _is_followed_well(self, end: int, *, ended: bool) -> bool | None:
        """Whether after a picture comes what may come after one; None while nothing has come."""
        padding = _PADDED.match(self._buffer, end)
        if padding is not None:
            end = padding.end()
        rest = bytes(self._buffer[end : end + 16])
        if len(rest) < 3 and not ended:
            return None
        line = rest.partition(b"\n")[0]
        return not rest or START.match(rest) is not None or _NOT_TEXT.search(line) is None

    def _give_up(self) -> None:
        """The picture is not whole: go on where the next one may begin."""
        assert self._walk is not None
        end = self._walk.end
        if isinstance(self._walk, JpegWalk) and self._walk.next_begins:
            self.cut += 1
            self._read_head(end)
            self._restart(end)
            self._walk, self._is_clean = JpegWalk(), True
            return
        found = self._separator.search(self._buffer, max(2, self._without))
        if found is not None:
            self._drop(found.start())
            return
        self._without = max(0, len(self._buffer) - _OVERLAP)
        # The rest of the beginning stays, so that nothing after it is taken for the part's own.
        self._drop(1)
        self._in_rest = True

    def _drop(self, size: int) -> None:
        self.cut += not self._in_rest
        self._restart(size)

    def _restart(self, size: int) -> None:
        del self._buffer[:size]
        self._walk, self._searched = None, 0
        self._without = max(0, self._without - size)


def _runs_beyond(data: Bytes, begin: int, limit: int) -> bool:
    """Whether the picture that begins here goes on beyond a place."""
    walk = walk_of(data[begin : begin + LONGEST_START])
    return walk is not None and begin < limit and walk.go(data[begin:limit]) == "open"


def _separator(boundary: bytes) -> re.Pattern[bytes]:
    """What stands between two pictures: a line with the boundary or two dashes, or, where neither
    is sent, the head of a part directly before its picture.
    """
    name = re.escape(boundary.strip(b"-"))
    line = (
        rb"(?:[\n\0 ]-{0,4}|--)" + name if name else rb"\n--[!-~]{1,200}"
    ) + rb"-{0,4}[ \t]*\r*\n"
    dashes = rb"\n--[ -~]{1,200}\r*\n(?:\r*\n|" + _NAME + rb")"
    head = rb"\n(?:" + _NAME + rb"){0,32}\r*\n(?=\xff\xd8\xff|\x89PNG)"
    return re.compile(b"|".join((line, dashes, head)))
