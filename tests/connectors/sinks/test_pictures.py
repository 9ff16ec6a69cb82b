"""Sinks get the event's own picture, small enough to be sent."""

from dataclasses import replace

import pytest

from connectors.sinks._pictures import clip_note, clip_of, picture_note, picture_of
from pipeline.core.errors import StoreError
from pipeline.core.events import Event
from pipeline.core.sinks import SinkContext
from pipeline.testing import ManualClock
from tests.connectors.sinks.media import clip_name, context_with, jpeg, picture_name, side_of
from tests.contracts.event_tools import an_event

NAME = picture_name()
EVENT = replace(an_event(1), media=(NAME,))
CLIP = clip_name()


def test_a_picture_that_fits_is_sent_as_it_is() -> None:
    """Not a byte is changed."""
    content = jpeg(640, 360)
    found = picture_of(EVENT, context_with({NAME: content}))
    assert found is not None
    assert (found.name, found.content, found.media_type) == (
        f"{EVENT.record_id}.jpg",
        content,
        "image/jpeg",
    )
    assert picture_note(EVENT, found) == ""


@pytest.mark.parametrize(
    ("max_side", "most_bytes"), [(320, 1_000_000), (1280, 60_000), (1280, 8_000)]
)
def test_one_that_is_too_large_is_made_smaller(max_side: int, most_bytes: int) -> None:
    """By its side, by quality, or by both."""
    context = context_with({NAME: jpeg(1920, 1080, noisy=True)})
    found = picture_of(EVENT, context, max_side=max_side, most_bytes=most_bytes)
    assert found is not None
    assert side_of(found.content) <= max_side
    assert len(found.content) <= most_bytes


def test_none_is_small_enough_for_nothing() -> None:
    """It is left out, and the note says so."""
    context = context_with({NAME: jpeg(1920, 1080, noisy=True)})
    assert picture_of(EVENT, context, most_bytes=10) is None
    assert "not there in time" in picture_note(EVENT, None)


@pytest.mark.parametrize("content", [b"", b"no picture", jpeg(64, 64)[:30]])
def test_what_is_no_picture_is_left_out(content: bytes) -> None:
    """A damaged file is not sent."""
    assert picture_of(EVENT, context_with({NAME: content})) is None


def test_a_picture_is_waited_for_but_not_long() -> None:
    """It comes a second later, or never; of an event of yesterday it is not waited for."""

    class Late:
        def __init__(self, comes_s: float, clock: ManualClock) -> None:
            self.clock, self.comes_at = clock, clock.monotonic() + comes_s

        def read(self, _: str) -> bytes | None:
            if self.clock.monotonic() < self.comes_at - 0.6:
                raise StoreError("out of reach")
            return jpeg(64, 64) if self.clock.monotonic() >= self.comes_at else None

    for comes_s, now, is_there, waited_s in (
        (1.0, EVENT.at, True, 1.0),
        (3.0, EVENT.at, False, 2.0),
        (1.0, EVENT.at + 90_000, False, 0.0),
    ):
        clock = ManualClock(now)
        before = clock.monotonic()
        context = SinkContext("Shop", read=Late(comes_s, clock).read, clock=clock)
        assert (picture_of(EVENT, context) is not None) == is_there
        assert clock.monotonic() - before == pytest.approx(waited_s)


def test_an_event_gets_its_own_picture() -> None:
    """Of one that has those of others too, the last; of one without, none, and it says why."""
    first, other = jpeg(64, 64), jpeg(80, 80)
    of_two = replace(an_event(1), media=("a/b/other.jpg", NAME))
    context = context_with({NAME: first, "a/b/other.jpg": other, "a/b/then.jpg": other})
    found = picture_of(of_two, context)
    assert found is not None
    assert found.content == first
    sequence = replace(an_event(2), media=(NAME, "a/b/then.jpg"))
    found = picture_of(sequence, context)
    assert found is not None
    assert found.content == other
    without = replace(an_event(3), data={"snapshot_missing": "no frame led to this event"})
    assert picture_of(without, context) is None
    assert picture_note(without, None) == "no frame led to this event"
    assert picture_note(an_event(4), None) == ""


def test_a_clip_is_sent_once_it_is_there() -> None:
    """Not one that is too large; and it says so."""
    event: Event = replace(an_event(1), data={"clip": {"reference": CLIP}})
    found = clip_of(event, context_with({CLIP: b"video"}))
    assert found is not None
    assert (found.name, found.content, found.media_type) == (
        f"{EVENT.record_id}.mp4",
        b"video",
        "video/mp4",
    )
    assert clip_of(event, context_with({CLIP: b"video"}), most_bytes=4) is None
    assert clip_of(event, context_with({})) is None
    assert "not ready" in clip_note(event, None)
    refused = replace(an_event(1), data={"clip_missing": "it has no clips"})
    assert clip_of(refused, context_with({})) is None
    assert clip_note(refused, None) == "it has no clips"
    assert clip_note(event, found) == clip_note(an_event(1), None) == ""
