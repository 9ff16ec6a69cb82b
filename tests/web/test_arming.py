"""Arming, switching and limits in the application: who may, what is refused, and what holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.core.arming import BY_PLAN, EFFECTIVE_AFTER_S
from pipeline.core.store import EventFilter, Page
from pipeline.core.switching import FileLimit
from pipeline.testing import ManualClock
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from tests.web.applications import Application, application

NOW = 1_780_315_200.0
_OPERATOR = Visitor.of_role("otto", Role.OPERATOR)
_AT_THE_DOOR = Visitor.of_role("dora", Role.OPERATOR, ["door"])
_VIEWER = Visitor.of_role("vera", Role.VIEWER)
_FILE = """
version: 1
site: {{name: Shop, timezone: Europe/Berlin, armed: "no"}}
store: {{url: "sqlite:///{folder}/arming.db"}}
cameras:
  door:
    source: {{type: file, path: configs/media/plaza.mp4}}
    tasks: {{people: {{detect: person}}}}
    lines: {{sill: {{from: [0.5, 0.1], to: [0.5, 0.9]}}}}
    rules:
      in: {{type: line_crossing, of: people, line: sill}}
      intruder: {{type: occupancy, of: people, more_than: 0, when: armed}}
      empty: {{type: occupancy, of: people, fewer_than: 1, when: disarmed}}
  yard:
    source: {{type: file, path: configs/media/plaza.mp4}}
    tasks: {{people: {{detect: person}}}}
    rules:
      intruder: {{type: occupancy, of: people, more_than: 3, when: armed}}
  till:
    source: {{type: file, path: configs/media/plaza.mp4}}
    tasks: {{people: {{detect: person}}}}
    rules:
      busy: {{type: occupancy, of: people, more_than: 8}}
"""


def shop_that_arms(folder: Path) -> Path:
    """A shop that is disarmed by its file; two of its cameras have rules that ask."""
    path = folder / "shop.yaml"
    path.write_text(_FILE.format(folder=folder), encoding="utf-8")
    return path


@pytest.fixture
def clock() -> ManualClock:
    """The clock of the application."""
    return ManualClock(NOW)


@pytest.fixture
def app(tmp_path: Path, clock: ManualClock) -> Iterator[Application]:
    """A shop that is disarmed by its file; two of its cameras have rules that ask."""
    with application(shop_that_arms(tmp_path), clock=clock, visitor=_OPERATOR) as found:
        yield found


def _got(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


def _refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    said: str = answer.json()["error"]["message"]
    return said


def _cameras(told: Any) -> dict[str, Any]:
    return {one["camera"]: one for one in told["cameras"]}


def _rule(told: Any, camera: str, rule: str) -> Any:
    return next(one for one in told["rules"] if (one["camera"], one["rule"]) == (camera, rule))


def test_what_is_asked_for_holds_two_seconds_later(app: Application, clock: ManualClock) -> None:
    """Until then it is coming; and the event and the journal say who did it."""
    before = _cameras(_got(app.client.get("/arming")))
    assert list(before) == ["door", "yard"]
    assert (before["door"]["is_armed"], before["door"]["by"]) == (False, BY_PLAN)
    assert before["door"]["silent"] == ["intruder"]
    told = _got(app.client.post("/arming", json={"camera": "door", "armed": True}))
    assert told["may_all"] is True
    asked = _cameras(told)
    assert asked["yard"] == before["yard"]
    assert asked["door"]["is_armed"] is False
    coming = {"at": NOW + EFFECTIVE_AFTER_S, "is_armed": True, "by": "otto"}
    assert asked["door"]["coming"] == coming
    clock.advance(EFFECTIVE_AFTER_S)
    door = _cameras(_got(app.client.get("/arming")))["door"]
    assert (door["is_armed"], door["by"], door["coming"]) == (True, "otto", None)
    assert (door["since"], door["silent"]) == (NOW + EFFECTIVE_AFTER_S, ["empty"])
    events = app.state.store.history.events(EventFilter(), Page(limit=5))
    assert [one.event.data for one in events] == [{"armed": True, "by": "otto"}]
    assert app.journal.notes == [("otto", "armed", "door")]


def test_all_are_armed_by_those_who_see_all(app: Application, clock: ManualClock) -> None:
    """An operator of one camera arms it alone, and learns of no other."""
    app.doors.who = _AT_THE_DOOR
    assert _got(app.client.get("/arming"))["may_all"] is False
    everything = {"camera": None, "armed": True}
    assert "dora sees some of the cameras and cannot arm all of them" in _refused(
        app.client.post("/arming", json=everything), 403
    )
    hidden = _refused(app.client.post("/arming", json={"camera": "yard", "armed": True}), 404)
    nowhere = _refused(app.client.post("/arming", json={"camera": "roof", "armed": True}), 404)
    assert hidden == nowhere.replace("roof", "yard")
    assert app.state.store.armings.changes() == []
    mine = _got(app.client.post("/arming", json={"camera": "door", "armed": True}))
    assert list(_cameras(mine)) == ["door"]
    app.doors.who = _OPERATOR
    assert _got(app.client.post("/arming", json=everything))["may_all"] is True
    clock.advance(EFFECTIVE_AFTER_S + 1)
    armed = _cameras(_got(app.client.get("/arming")))
    assert all(one["is_armed"] and one["by"] == "otto" for one in armed.values())
    assert app.journal.notes[-1] == ("otto", "armed", "all cameras")


def test_viewers_see_it_and_change_nothing(app: Application) -> None:
    """403, and nothing is stored."""
    app.doors.who = _VIEWER
    assert _got(app.client.get("/arming"))["may_all"] is False
    assert len(_got(app.client.get("/switches"))["rules"]) == 5
    for path, wish in (
        ("/arming", {"camera": None, "armed": True}),
        ("/arming", {"camera": "door", "armed": True}),
        ("/switches", {"camera": "till", "rule": "busy", "enabled": False}),
    ):
        assert "takes arm" in _refused(app.client.post(path, json=wish), 403)
    assert app.state.store.armings.changes() == []
    assert app.state.store.switches.changes() == []
    assert app.journal.notes == []


def test_a_rule_is_switched_and_given_another_limit(app: Application) -> None:
    """What the file says stays beside it, and comes back with null."""
    busy = {"camera": "till", "rule": "busy"}
    before = _rule(_got(app.client.get("/switches")), "till", "busy")
    assert (before["enabled"], before["off"]) == (True, None)
    assert (before["limit"]["more_than"], before["limit"]["by_hand"]) == (8, None)
    wish = {**busy, "enabled": False, "more_than": 12}
    now = _rule(_got(app.client.post("/switches", json=wish)), "till", "busy")
    by_hand = {"since": NOW + EFFECTIVE_AFTER_S, "by": "otto"}
    assert (now["enabled"], now["off"]) == (False, by_hand)
    assert (now["limit"]["more_than"], now["limit"]["file"]) == (12, 8)
    assert now["limit"]["by_hand"] == by_hand
    changes = app.state.store.switches.changes()
    assert [(one.key, one.value, one.by) for one in changes] == [
        ("enabled", False, "otto"),
        ("more_than", 12, "otto"),
    ]
    assert changes[1].instead_of == FileLimit(8)
    on = _rule(_got(app.client.post("/switches", json={**busy, "enabled": True})), "till", "busy")
    assert (on["enabled"], on["limit"]["more_than"]) == (True, 12)
    as_file = _got(app.client.post("/switches", json={**busy, "more_than": None}))
    assert _rule(as_file, "till", "busy") == before
    assert app.journal.notes == [("otto", "switched", "till/busy")] * 3


@pytest.mark.parametrize(
    ("rule", "wish", "said"),
    [
        ("intruder", {"more_than": -1}, "more_than is a whole number from 0 to 1000000, not -1"),
        ("in", {"more_than": 3}, "a rule of type line_crossing has no more_than"),
        ("in", {"more_than": None}, "a rule of type line_crossing has no more_than"),
        ("empty", {"more_than": 3}, "the rule has fewer_than"),
        ("intruder", {"enabled": False, "more_than": -1}, "a whole number from 0"),
        ("intruder", {"more_than": True}, "more_than: Input should be a valid integer"),
        ("intruder", {}, "say what to change"),
    ],
)
def test_what_cannot_be_is_refused_with_why(
    app: Application, rule: str, wish: dict[str, Any], said: str
) -> None:
    """And nothing of it is stored."""
    asked = {"camera": "door", "rule": rule, **wish}
    assert said in _refused(app.client.post("/switches", json=asked), 422)
    assert app.state.store.switches.changes() == []
    assert app.journal.notes == []


def test_switches_are_of_cameras_that_the_visitor_sees(app: Application) -> None:
    """No other is listed, and none can be switched."""
    app.doors.who = _AT_THE_DOOR
    told = _got(app.client.get("/switches"))
    assert {one["camera"] for one in told["rules"]} == {"door"}
    wish = {"camera": "till", "rule": "busy", "enabled": False}
    assert "no camera 'till'" in _refused(app.client.post("/switches", json=wish), 404)
    wish = {"camera": "door", "rule": "busy", "enabled": False}
    unknown = _refused(app.client.post("/switches", json=wish), 404)
    assert unknown == "camera door has no rule 'busy'"
    assert app.state.store.switches.changes() == []
