"""The door to PyAV: every error has a meaning, and no address comes through."""

import errno
import inspect
import logging
from collections import Counter

import av
import av.error
import av.logging
import pytest

from connectors.sources.ffmpeg.errors import ERRNOS, REASONS, Silence, reason_of, translate
from connectors.sources.ffmpeg.input import Input, open_input
from connectors.sources.ffmpeg.stills import StillDecoder
from pipeline.core.errors import SourceError, SourceFailure
from tests.connectors.sources.clips import jpeg

# Bases that PyAV never raises itself; their subclasses have meanings.
_ABSTRACT = {"FFmpegError"}


def _errors() -> list[type[av.FFmpegError]]:
    found = {cls for _, cls in inspect.getmembers(av.error, inspect.isclass)}
    found |= set(av.error.classes.values())  # type: ignore[arg-type]
    return sorted(
        (cls for cls in found if issubclass(cls, av.FFmpegError)), key=lambda cls: cls.__name__
    )


@pytest.mark.parametrize("kind", _errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_pyav_has_a_meaning(kind: type[av.FFmpegError]) -> None:
    """Each class, or a base of it, stands in the table: a new PyAV cannot add one unnoticed."""
    names = {base.__name__ for base in kind.__mro__}
    assert kind.__name__ in _ABSTRACT or names & set(REASONS)


def test_the_table_names_only_what_there_is() -> None:
    """No entry outlives the class it is for."""
    assert {name for name in REASONS if not hasattr(av.error, name)} == set()


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, SourceFailure.REFUSED),
        (errno.ETIMEDOUT, SourceFailure.TIMEOUT),
        (errno.EHOSTUNREACH, SourceFailure.UNREACHABLE),
        (errno.EBUSY, SourceFailure.REFUSED),
        (errno.ENODEV, SourceFailure.ENDED),
        (errno.EIO, SourceFailure.BROKEN),
        (errno.EACCES, SourceFailure.UNAUTHORISED),
        (errno.ECONNRESET, SourceFailure.ENDED),
        (av.error.tag_to_code(b"\xf8401"), SourceFailure.UNAUTHORISED),
        (av.error.tag_to_code(b"\xf8404"), SourceFailure.NOT_FOUND),
        (av.error.tag_to_code(b"EXIT"), SourceFailure.TIMEOUT),
        (av.error.tag_to_code(b"EOF "), SourceFailure.ENDED),
        (av.error.tag_to_code(b"\xf8DEC"), SourceFailure.UNSUPPORTED),
        (999_999, SourceFailure.BROKEN),
    ],
)
def test_what_a_number_of_ffmpeg_means(number: int, reason: SourceFailure) -> None:
    """Raised by PyAV itself, with an address that must not come through."""
    with pytest.raises(av.FFmpegError) as caught:
        av.error.err_check(-number, "rtsp://user:hunter2@cam/")
    error = translate(caught.value, "camera")
    assert error.reason is reason
    assert str(error).startswith("camera ")
    assert "hunter2" not in f"{error!r}{caught.value}{caught.value!r}{caught.value.args}"


def test_numbers_stand_for_plain_errors_only() -> None:
    """A number that PyAV has a class for would never be looked up."""
    assert {n for n in ERRNOS if av.error.classes[n].__name__ != "OSError"} == set()  # type: ignore[attr-defined]


def test_an_error_of_another_kind_is_a_broken_stream() -> None:
    """Should a class come that the table has not, the source still fails as one."""
    assert reason_of(RuntimeError("?")) is SourceFailure.BROKEN


def test_ffmpegs_own_log_is_kept_away(caplog: pytest.LogCaptureFixture) -> None:
    """Even with PyAV's logging at its finest, nothing of an opening is logged."""
    caplog.set_level(logging.NOTSET)
    av.logging.set_level(av.logging.TRACE)
    try:
        with Silence() as silence, pytest.raises(SourceError):
            open_input(Input("tcp://user:hunter2@127.0.0.1:1", "camera", deadlines_s=(1, 1)))
        silence.forget()
    finally:
        av.logging.set_level(None)
    assert [record for record in caplog.records if record.name.startswith("libav")] == []


@pytest.mark.parametrize(
    ("content", "whole"),
    [
        (jpeg(), True),
        (jpeg() + b"\r\n", True),  # some cameras add a line's end
        (jpeg()[:-20], False),  # cut off
        (jpeg()[:40], False),
        (b"\xff\xd8" + b"\0" * 50 + b"\xff\xd9", False),
        (b"<html>not found</html>", False),
        (b"", False),
    ],
)
def test_stills_are_decoded_or_counted(content: bytes, whole: bool) -> None:
    """A damaged one gives no half picture."""
    lost: Counter[str] = Counter()
    frame = StillDecoder().decode(content, lost)
    assert (frame is not None) is whole
    assert lost["decode error"] == (0 if whole else 1)
