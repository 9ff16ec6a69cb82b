"""What FFmpeg's errors mean for a source.

Nothing that PyAV or FFmpeg says leaves this package: their messages hold the address that was
opened, and with it the password.
"""

import errno
import logging
import re
from typing import TYPE_CHECKING

from connectors.sources.failures import failure
from pipeline.core.errors import SourceError, SourceFailure

if TYPE_CHECKING:
    import av

DECODE_ERROR = "decode error"
"""The counter of pictures lost to damaged data."""
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
    errno.EPROTONOSUPPORT: SourceFailure.UNSUPPORTED,  # RTSP status 461
    errno.ENOTTY: SourceFailure.UNSUPPORTED,
}
"""What the numbers behind PyAV's plain OSError mean."""


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


_MISSED = re.compile(r"RTP: missed (\d+) packets")
_REDIRECTING = re.compile(r"Redirecting to (\S+)")


class Silence:
    """Keeps what FFmpeg logs in this thread out of the program's logs, even where PyAV's logging
    is switched on: at its finer levels it writes addresses and authorisation headers.
    """

    def __init__(self, *, counts_losses: bool = False) -> None:
        """`counts_losses` is for what comes as single packets: only FFmpeg's log says so."""
        self._counts_losses = counts_losses

    def __enter__(self) -> "Silence":
        import av.logging

        if self._counts_losses:
            _switch_on()
        self._capture = av.logging.Capture(local=True)
        self._lines = self._capture.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.__exit__(None, None, None)
        self._lines.clear()

    def forget(self) -> None:
        """Discard what was caught so far."""
        if self._lines:
            self._lines.clear()

    def redirects(self) -> list[str]:
        """Where FFmpeg was sent to, and went, while it opened something."""
        found = (_REDIRECTING.search(message) for _, _, message in self._lines or [])
        return [one[1] for one in found if one]

    def missed(self) -> int:
        """How many RTP packets were missed since it was asked last; forgets the rest."""
        if not self._lines:
            return 0
        said = (_MISSED.search(message) for _, _, message in self._lines)
        missed = sum(int(found[1]) for found in said if found)
        self._lines.clear()
        return missed


def _switch_on() -> None:
    """Let PyAV hear FFmpeg's words; what no `Silence` catches goes nowhere.

    Losses are warnings, redirects are not.
    """
    import av.logging

    # A second loss like the first is a second loss.
    av.logging.set_skip_repeated(False)
    if av.logging.get_level() is None:
        hearers = logging.getLogger("libav")
        hearers.propagate = False
        if not hearers.handlers:
            hearers.addHandler(logging.NullHandler())
        av.logging.set_level(av.logging.INFO)
