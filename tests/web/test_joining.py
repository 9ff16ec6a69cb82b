"""Pictures and what was made of them, put together: never with what is of another frame."""

from dataclasses import replace

from pipeline.core.live import JudgedView, Preview
from pipeline.web.live.joining import JoinedFrame, Joiner, LateAnswer, Ready
from tests.contracts.live import JUDGED, PREVIEW

WAIT_S = 1.0


class Moments:
    """A joiner whose clock a test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.joiner = Joiner(WAIT_S, lambda: self.now)

    def after(self, seconds: float, *shown: Preview | JudgedView) -> list[Ready]:
        """What is ready so many seconds later, when these have come."""
        self.now += seconds
        return self.joiner.take(shown)


def test_a_picture_waits_for_its_answer() -> None:
    """Whichever comes first."""
    for first, second in ((PREVIEW, JUDGED), (JUDGED, PREVIEW)):
        at = Moments()
        assert at.after(0.0, first) == []
        assert at.after(0.3, second) == [JoinedFrame(PREVIEW, (JUDGED,), "true")]
        assert at.after(2 * WAIT_S) == []


def test_a_picture_that_is_not_answered_in_time_says_so() -> None:
    """And what is known later is told for that frame alone."""
    at = Moments()
    assert at.after(0.0, PREVIEW) == []
    assert at.joiner.next_due_s() == WAIT_S
    assert at.after(0.9) == []
    assert at.after(0.1) == [JoinedFrame(PREVIEW, (), "false")]
    assert at.joiner.next_due_s() is None
    other = replace(JUDGED, seq=6)
    assert at.after(0.5, other, JUDGED) == [LateAnswer(("door", "run", 7), (JUDGED,), "true")]


def test_answers_of_other_frames_cameras_and_runs_are_not_taken() -> None:
    """The boxes of a neighbour are no better than none."""
    at = Moments()
    others = (
        replace(JUDGED, seq=6),
        replace(JUDGED, seq=8),
        replace(JUDGED, run="another"),
        replace(JUDGED, camera="till"),
        replace(JUDGED, engine="another"),
    )
    assert at.after(0.0, *others, PREVIEW) == []
    [shown] = at.after(WAIT_S)
    assert isinstance(shown, JoinedFrame)
    assert shown.answered == "false"
    assert {view.engine for view in shown.views} <= {"another"}


def test_a_failure_is_no_answer() -> None:
    """Of two engines one has failed: nobody may take the rest for all that there is."""
    at = Moments()
    asked = replace(PREVIEW, engines=("coco", "large"))
    failed = replace(JUDGED, engine="large", answered="failed", things=())
    assert at.after(0.0, asked, JUDGED) == []
    [shown] = at.after(0.1, failed)
    assert isinstance(shown, JoinedFrame)
    assert shown.answered == "failed"


def test_a_frame_that_nobody_was_asked_about_is_not_looked_at() -> None:
    """It is shown at once."""
    at = Moments()
    unasked = replace(PREVIEW, engines=())
    assert at.after(0.0, unasked) == [JoinedFrame(unasked, (), "false")]


def test_an_older_frame_is_not_shown_after_a_newer_one() -> None:
    """Its answer came too late: what is shown goes forward alone."""
    at = Moments()
    newer = replace(PREVIEW, seq=8, captured_at=PREVIEW.captured_at + 1)
    at.after(0.0, PREVIEW, newer)
    ready = at.after(0.1, replace(JUDGED, seq=8))
    assert [one.preview.seq for one in ready if isinstance(one, JoinedFrame)] == [8]
    assert at.after(0.1, JUDGED) == []
    assert at.after(2 * WAIT_S) == []


def test_a_new_run_takes_the_place_of_the_old_one() -> None:
    """A camera that was opened again counts from 0."""
    at = Moments()
    at.after(0.0, PREVIEW, JUDGED)
    again = replace(PREVIEW, run="later", seq=0, captured_at=PREVIEW.captured_at + 9)
    ready = at.after(0.1, again, replace(JUDGED, run="later", seq=0))
    assert [one.preview.run for one in ready if isinstance(one, JoinedFrame)] == ["later"]


def test_what_never_comes_together_does_not_grow() -> None:
    """Pictures whose answers are lost, and answers whose pictures are."""
    at = Moments()
    for seq in range(3000):
        at.after(0.01, replace(PREVIEW, seq=2 * seq), replace(JUDGED, seq=2 * seq + 1))
    assert len(at.joiner._waiting) <= WAIT_S / 0.01 + 1
    assert len(at.joiner._early) <= 4096
