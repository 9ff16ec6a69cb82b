"""What is wrong with a camera follows from how long something has waited for the next step."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.core.measures import Health
from pipeline.deployment.loader import load
from pipeline.processing.health import ENDED_BY
from pipeline.runtime.reports import Report
from pipeline.runtime.watching import CameraWatch, CameraWatches, Elsewhere, Sampled, elsewhere_of
from pipeline.runtime.wellness import (
    FOUND_HERE,
    CameraProgress,
    EngineProgress,
    TaskProgress,
    Trouble,
    troubles_of,
)
from pipeline.telemetry.figures import CameraFigures
from pipeline.telemetry.metrics import Metrics
from pipeline.testing import ManualClock
from tests.runtime.clips import CLIP, camera, deployment, written

WELL = CameraProgress(
    patience_s=15.0,
    sent=30,
    engines={"fast": EngineProgress(unanswered_s=0.4, unjudged_s=0.6, age_s=0.3, workers=1)},
    tasks={"people": TaskProgress("fast")},
    processors=1,
)


def found(progress: CameraProgress, *ongoing: str) -> list[str]:
    """The states of what is wrong."""
    return [trouble.state for trouble in troubles_of(progress, ongoing)]


def with_engine(**changed: float | None) -> CameraProgress:
    """A camera that is well but for its engine."""
    return replace(WELL, engines={"fast": replace(WELL.engines["fast"], **changed)})  # type: ignore[arg-type]


def test_a_camera_whose_steps_all_move_is_well() -> None:
    """Nothing has waited for long."""
    assert found(WELL) == []


@pytest.mark.parametrize(
    ("progress", "state", "words"),
    [
        (replace(WELL, is_hidden=True), "masked", "leave some of the picture free"),
        (replace(WELL, unqueued_s=16.0, queue="redis is full"), "unqueued", "redis is full"),
        (with_engine(unanswered_s=16.0), "unanswered", "see the worker's log"),
        (with_engine(unanswered_s=16.0, workers=0), "unanswered", "--engine fast"),
        (with_engine(unjudged_s=16.0), "unjudged", "see the processor's log"),
        (replace(with_engine(unjudged_s=16.0), processors=0), "unjudged", "moonwatch process FILE"),
        (
            replace(with_engine(unanswered_s=16.0), is_known=False),
            "unjudged",
            "moonwatch reload FILE",
        ),
        (with_engine(age_s=27.0), "late", "27 s late"),
        (replace(WELL, dropping_s=12.0, dropped=13), "overloaded", "13 of 30 frames"),
        (
            replace(WELL, tasks={"people": TaskProgress("fast", 16.0, "out of memory")}),
            "failing",
            "out of memory",
        ),
        (replace(WELL, reported=[Health("door", 1.0, "offline", "refused")]), "offline", "refused"),
    ],
)
def test_each_trouble_says_what_helps(progress: CameraProgress, state: str, words: str) -> None:
    """One word, one sentence, one way out."""
    [trouble] = troubles_of(progress)
    assert trouble.state == state
    assert words in str(trouble)
    assert ";" in str(trouble)
    assert state in ENDED_BY


@pytest.mark.parametrize(
    "progress",
    [
        with_engine(unanswered_s=14.0),
        with_engine(unanswered_s=25.0, pace_s=14.0, deadline_s=60.0),
        with_engine(unjudged_s=14.0),
        with_engine(age_s=40.0, interval_s=30.0),
        replace(WELL, dropping_s=4.0, dropped=13),
        replace(WELL, dropping_s=12.0, dropped=1),
        replace(WELL, dropping_s=12.0, dropped=13, is_live=False),
        replace(WELL, unqueued_s=3.0),
        replace(WELL, tasks={"people": TaskProgress("fast", 3.0, "too dark")}),
    ],
)
def test_what_is_short_slow_or_meant_is_no_trouble(progress: CameraProgress) -> None:
    """Moments, slow engines, questions that are asked seldom, recordings that wait."""
    assert found(progress) == []


def test_an_engine_that_is_slow_is_not_forgiven_for_ever() -> None:
    """Whatever its pace was, after its own deadline it would have said that it failed."""
    slow = with_engine(unanswered_s=63.0, pace_s=500.0, deadline_s=60.0)
    assert found(slow) == ["unanswered"]


def test_a_trouble_ends_well_below_where_it_began() -> None:
    """So that a camera at the limit does not come and go."""
    assert found(with_engine(age_s=13.0)) == []
    assert found(with_engine(age_s=13.0), "late") == ["late"]
    assert found(with_engine(age_s=10.0), "late") == []


def test_every_trouble_found_here_has_an_end() -> None:
    """Otherwise it would be open for ever."""
    assert set(FOUND_HERE) <= ENDED_BY.keys()
    assert str(Trouble("late", "is late", "")) == "is late"


def recording(folder: Path) -> CameraWatch:
    """The watch of a recording that is asked twice a second."""
    file = written(folder, deployment(folder, {"plaza": camera(CLIP)}))
    return CameraWatch(load(file).cameras["plaza"], {"coco": 60.0}, 0.0)


def sampled(sent: int) -> Sampled:
    """A recording of which so many frames were sent."""
    return Sampled(CameraFigures(sent={"coco": sent}), "file", {"coco": sent})


def test_a_recording_whose_worker_is_dead_is_said_after_a_minute(tmp_path: Path) -> None:
    """Its sampler waits for room and nothing moves; a pause shorter than that is nothing."""
    watch, nobody = recording(tmp_path), Elsewhere(processors=1)
    for second in range(59):
        assert troubles_of(watch.look(float(second), "plaza", sampled(16), nobody, None)) == ()
    [trouble] = troubles_of(watch.look(62.0, "plaza", sampled(16), nobody, None))
    assert trouble.state == "unanswered"
    assert "no worker is running for coco" in str(trouble)


class Played:
    """A recording whose sampler waits for room in the queue."""

    numbered = ("file", {"coco": 16})
    reported: Sequence[Health] = ()
    is_read = False

    def __init__(self) -> None:
        self.noted: list[Health] = []

    def note(self, health: Health) -> None:
        """A state that would become an event."""
        self.noted.append(health)


def test_how_long_a_recording_waits_makes_no_event(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its events are the same on every run; that it waits is in the log and in what is reported."""
    shop = load(written(tmp_path, deployment(tmp_path, {"plaza": camera(CLIP)})))
    clock, metrics, played = ManualClock(), Metrics(), Played()
    metrics.jobs_sent.labels("plaza", "coco").inc(16)
    watches = CameraWatches(metrics, clock, lambda: Elsewhere(processors=1), lambda: None)
    for _ in range(70):
        watches.look({"plaza": played}, shop)
        clock.advance(1.0)
    assert "camera plaza is not analysed: engine coco answered none of its frames" in caplog.text
    assert watches.unwell()
    assert played.noted == []


def test_a_recording_that_is_judged_to_its_end_is_well(tmp_path: Path) -> None:
    """It may lie there for hours: nothing waits."""
    watch = recording(tmp_path)
    done = Report(
        "run",
        "here",
        1,
        1.0,
        engines=["coco"],
        figures={"plaza": CameraFigures(answered_by={"coco": 16})},
        judged={"plaza": {"coco": ("file", 15, True)}},
    )
    for minute in range(60):
        progress = watch.look(
            60.0 * minute, "plaza", sampled(16), elsewhere_of({"run": done}), None
        )
        assert troubles_of(progress) == ()
    assert watch.was_judged


def test_what_another_release_does_not_report_is_unknown() -> None:
    """A report without the newer keys is read, and says nothing about them."""
    old = Report.of_bytes(b'{"stage": "processing", "host": "a", "pid": 1, "up_s": 2}')
    assert old is not None
    assert elsewhere_of({"old": old}) == Elsewhere(processors=1)
    bad = Report.of_bytes(
        b'{"stage": "sampling", "host": "a", "pid": 1, "up_s": 2, '
        b'"wellness": {"door": [{"state": "late"}]}, "tallies": [1], "engines": 3}'
    )
    assert bad is not None
    assert (bad.wellness, bad.tallies, bad.engines) == ({}, {}, ())
