"""Questions that take long: so many at once, and nobody waits for ever."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipeline.testing import patience, wait_until
from pipeline.web import heavy
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from pipeline.web.heavy import AT_ONCE, OF_ONE, WAITING, WAITING_OF_ONE, HeavyQuestions
from pipeline.web.problems import WebError
from tests.web.applications import application
from tests.web.happened import shop

_HEAVY = (
    "/numbers",
    "/numbers/file",
    "/today",
    "/reports/file?kind=day&name=last&format=csv",
    "/timeline",
)


def test_whoever_asks_too_much_waits_and_others_are_answered() -> None:
    """His further questions wait for his own turns; and only some may wait."""
    questions, done = HeavyQuestions(), threading.Event()
    began: list[str] = []

    def ask(visitor: str) -> int:
        try:
            with questions.turn(visitor):
                began.append(visitor)
                done.wait(patience(30))
        except WebError as error:
            return error.status
        return 200

    with ThreadPoolExecutor(AT_ONCE + WAITING + 2) as threads:
        of_ada = [threads.submit(ask, "ada") for _ in range(OF_ONE + WAITING_OF_ONE)]
        wait_until(lambda: began.count("ada") == OF_ONE)
        wait_until(lambda: questions._waiting["ada"] == WAITING_OF_ONE)
        assert ask("ada") == 429, "one more"
        others = [threads.submit(ask, name) for name in ("bob", "eve")]
        wait_until(lambda: len(began) == AT_ONCE)
        names = [f"visitor {number}" for number in range(WAITING - WAITING_OF_ONE)]
        late = [threads.submit(ask, name) for name in names]
        wait_until(lambda: questions._waiting.total() == WAITING)
        assert ask("somebody else") == 503
        done.set()
        assert {one.result() for one in of_ada + others + late} == {200}
    assert (questions._answered.total(), questions._waiting.total()) == (0, 0)


def test_a_turn_that_does_not_come_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By every route that takes long; and at the end of the application at once."""
    monkeypatch.setattr(heavy, "WAIT_S", 0.05)
    with application(shop(tmp_path)) as app, ExitStack() as turns:
        for _ in range(OF_ONE):
            turns.enter_context(app.state.heavy.turn("ada"))
        for path in _HEAVY:
            refused = app.client.get(path)
            assert refused.status_code == 429, path
            assert refused.headers["retry-after"] == "1"
        for number in range(AT_ONCE - OF_ONE):
            turns.enter_context(app.state.heavy.turn(f"visitor {number}"))
        app.doors.who = Visitor.of_role("eve", Role.VIEWER)
        for path in _HEAVY:
            refused = app.client.get(path)
            assert refused.status_code == 503, path
            assert "others ask for much" in refused.json()["error"]["message"]
        monkeypatch.setattr(heavy, "WAIT_S", patience(60))
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(app.client.get, "/numbers")
            wait_until(lambda: app.state.heavy._waiting["eve"] == 1)
            app.state.heavy.end()
            assert "the application ends" in asked.result().json()["error"]["message"]
