"""The door for text files that people name: bounded in size and time, and read as UTF-8.

Whatever lies at a path (a video, a folder, a pipe that nobody writes to, `/dev/zero`), the answer
is its text or a sentence.
"""

import os
import select
import stat
import time
from pathlib import Path

# How long a pipe, such as `<(make-config)`, may take to deliver all of its text.
_PIPE_S = 10.0
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class UnreadableTextError(Exception):
    """A file cannot be used as text; says why in words that follow the file's name."""


def read_text_file(path: Path, most_bytes: int, patience_s: float = _PIPE_S) -> str:
    """The text of a file or pipe; raises OSError, or UnreadableTextError for what is not text."""
    content = _content(path, most_bytes + 1, patience_s)
    if len(content) > most_bytes:
        raise UnreadableTextError("is too large")
    # Nearly all of UTF-16 text is ASCII with a zero beside each letter.
    if content.startswith(_UTF16) or content[1:2] == b"\0" or content[:1] == b"\0":
        raise UnreadableTextError("is not UTF-8 text but looks like UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UnreadableTextError(
            f"is not UTF-8 text (line {line}); save it as UTF-8, or name another file"
        ) from error


def _content(path: Path, most: int, patience_s: float) -> bytes:
    # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise UnreadableTextError("is a folder; name a file in it")
        if not stat.S_ISREG(kind) and not stat.S_ISFIFO(kind):
            raise UnreadableTextError("is a device, not a file")
        content = bytearray()
        deadline = time.monotonic() + patience_s
        while len(content) < most:
            left_s = deadline - time.monotonic()
            if stat.S_ISFIFO(kind) and not select.select([handle], [], [], max(0.0, left_s))[0]:
                raise UnreadableTextError(f"is a pipe that did not end within {patience_s:g} s")
            block = os.read(handle, most - len(content))
            if not block:
                break
            content += block
    finally:
        os.close(handle)
    return bytes(content)
