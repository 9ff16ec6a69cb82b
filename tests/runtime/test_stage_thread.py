"""A stage's thread ends when it is asked to, and remembers what ended it otherwise."""

import logging
import threading

import pytest

from pipeline.runtime.stages.base import StageThread
from pipeline.testing import patience, wait_until


def test_a_stage_works_until_it_is_asked_to_stop() -> None:
    """And has no failure then."""
    stop, working = threading.Event(), threading.Event()

    def work() -> None:
        working.set()
        stop.wait()

    stage = StageThread("judging", work, stop.set)
    stage.start()
    assert working.wait(patience(10.0))
    assert stage.stop(10.0) is True
    assert stage.failure is None


def test_what_ends_a_stage_is_remembered(caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback in the log: the run ends with this reason."""

    def work() -> None:
        raise ZeroDivisionError("by nothing")

    stage = StageThread("judging", work, lambda: None)
    with caplog.at_level(logging.ERROR):
        stage.start()
        wait_until(lambda: stage.failure is not None)
    assert stage.failure == "judging failed: ZeroDivisionError: by nothing"
    assert stage.stop(10.0) is True
    assert "judging failed" in caplog.text
    assert "Traceback" in caplog.text


def test_a_stage_that_does_not_stop_is_told_apart() -> None:
    """The caller is not held up by it for longer than it wants to wait."""
    release = threading.Event()

    def work() -> None:
        release.wait()

    stage = StageThread("judging", work, lambda: None)
    stage.start()
    assert stage.stop(0.01) is False
    release.set()
    assert stage.stop(10.0) is True


def test_a_stage_that_was_never_started_is_stopped() -> None:
    """A run that fails on its way up stops everything alike."""
    asked = threading.Event()
    assert StageThread("judging", lambda: None, asked.set).stop(0.0) is True
    assert asked.is_set()
