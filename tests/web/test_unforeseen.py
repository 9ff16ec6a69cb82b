"""What nobody foresaw in the application's own threads: it is told, and they go on."""

import json
import threading
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from connectors.queues.memory import MemoryConfig
from pipeline.cli.beside import ApplicationThread
from pipeline.core.clock import SystemClock
from pipeline.core.live import MemoryLive, MemoryLiveReader, Preview, Shown
from pipeline.testing import patience, wait_until
from pipeline.web.live import wall as wall_module
from pipeline.web.live.facts import wall_cameras
from pipeline.web.pushing.desk import PushDesk
from tests.web.applications import application
from tests.web.live import deployment, pictures, watching

HUB = "showing live pictures failed: an unexpected"
WALL = "the live page's news failed: an unexpected KeyError"
PUSH = "sending messages to browsers failed: an unexpected ZeroDivisionError"


class FaultyBoard(MemoryLive):
    """A board that has one fault after the other, as long as the test says so."""

    fault = ""

    def reader(self) -> MemoryLiveReader:
        """A place to read from, if there is one."""
        if self.fault == "reader":
            raise ZeroDivisionError("hunter2")
        return FaultyReader(self)


class FaultyReader(MemoryLiveReader):
    """Reads what is no picture."""

    def __init__(self, board: FaultyBoard) -> None:
        super().__init__(board)
        self._faulty = board

    def take(self, cameras: Collection[str], wait_s: float) -> list[Shown]:
        """What is new, or worse."""
        if self._faulty.fault == "picture":
            return [cast(Preview, 7)]
        return super().take(cameras, wait_s)


def test_threads_of_the_application_go_on_and_their_errors_are_on_the_health_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wall's two threads and the sender of messages, each with an error, and after it."""
    faults = {"news": True, "push": True}
    turn = PushDesk.turn

    def told(*given: Any) -> Any:
        if faults["news"]:
            raise KeyError("hunter2")
        return wall_cameras(*given)

    def turned(desk: PushDesk) -> float:
        return 1 / 0 if faults["push"] else turn(desk)

    monkeypatch.setattr(wall_module, "wall_cameras", told)
    monkeypatch.setattr(PushDesk, "turn", turned)
    clock = SystemClock()
    file = deployment(tmp_path, "http://127.0.0.1:9", "door")
    board = FaultyBoard(clock.monotonic)
    queues = replace(MemoryConfig().build(clock), live=board)
    board.fault = "reader"
    with application(file, queues=queues) as app, watching(app.url) as seen:

        def sentences() -> str:
            return " | ".join(app.state.troubles())

        seen.show("door")
        parts = (HUB + " ZeroDivisionError", WALL, PUSH)
        wait_until(lambda: all(one in sentences() for one in parts), patience(30))
        board.fault = "picture"
        wait_until(lambda: HUB + " AttributeError" in sentences(), patience(30))
        health = app.client.get("/health").json()
        said = [one["sentence"] for one in health["troubles"]]
        assert health["ok"] is False
        assert {*app.state.troubles()} <= {*said}
        assert "hunter2" not in json.dumps(health)
        # Beside a run its report says so, and with it `moonwatch status`.
        beside = ApplicationThread(file, (), clock)
        beside._state = app.state
        assert HUB in (beside.trouble or "")

        board.fault, faults["news"], faults["push"] = "", False, False
        board.show(Preview("door", "run", 1, clock.now(), (640, 360), pictures()[0]))
        seen.until(lambda: bool(seen.pictures), 30)
        # Who watches is told too, with the news that come again.
        seen.until(lambda: any(HUB in (one.get("trouble") or "") for one in seen.texts), 30)
        assert {"live", "wall", "push"} <= {one.name for one in threading.enumerate()}
