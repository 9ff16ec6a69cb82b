"""What an edit would have counted: the same as from the command line, and while it is made."""

import json
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

import httpx
import pytest

from pipeline.core.clock import SystemClock
from pipeline.core.store import Span
from pipeline.testing import ManualClock
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from pipeline.web.api import backgrounds
from pipeline.web.backgrounds.pictures import Background
from pipeline.web.simulating.what_if import BUDGET_S, RUNNING, simulation_of
from pipeline.web.simulating.what_if import lines as lines_of
from tests.cli.commands import moonwatch
from tests.web.applications import Application, application
from tests.web.happened import shop
from tests.web.product import copy_of

_MOVED = {"from": [0.5, 0.1736], "to": [0.35, 1.0]}


def _rows(app: Application, **asked: Any) -> list[dict[str, Any]]:
    with app.client.stream("POST", "/simulate", json={"camera": "plaza", **asked}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        return [json.loads(line) for line in answer.iter_lines()]


def test_an_edit_counts_as_the_command_line_does(product: Path) -> None:
    """Id for id and figure for figure, for the file as it is and for a line that is moved."""
    with application(product) as app:
        lines = app.client.get("/edit/cameras/plaza").json()["lines"]
        for parts, override in (
            ({}, []),
            (
                {"lines": {**lines, "middle": _MOVED}},
                ["--set", f"cameras.plaza.lines.middle={json.dumps(_MOVED)}"],
            ),
        ):
            begin, *hours, end = _rows(app, **parts)
            assert (begin["kind"], end["kind"]) == ("begin", "end")
            code, out, _ = moonwatch("simulate", product, "--camera", "plaza", "--json", *override)
            assert code == 0
            *told, told_end = map(json.loads, out.splitlines())
            assert len(hours) == len(told) > 0
            for hour, other in zip(hours, told, strict=True):
                assert (hour["from"], hour["until"]) == (other["from"], other["until"])
                for rule, same in zip(hour["rules"], other["rules"], strict=True):
                    assert [(one["id"].split(".")[0], one["phase"]) for one in rule["events"]] == [
                        (one["id"], one["phase"]) for one in same["events"]
                    ]
                    new = [one["id"] for one in rule["events"] if one["against"] == "new"]
                    assert new == same["new_events"]
                    assert [one["id"] for one in rule["gone"]] == same["gone_events"]
                    for key in ("rule", "simulated", "stored", "difference", "unknown"):
                        assert rule[key] == same[key]
            assert [one["simulated"] for one in end["totals"]] == [
                one["simulated"] for one in told_end["totals"]
            ]
        (hour,) = [
            one
            for one in _rows(app, lines={"middle": _MOVED, "across": lines["across"]})
            if one["kind"] == "hour"
        ]
        (moved,) = [rule for rule in hour["rules"] if rule["rule"] == "middle"]
        assert moved["new_events"] > 0
        crossing = moved["events"][0]
        assert crossing["direction"] in ("in", "out")
        assert crossing["track"] is not None


def test_what_cannot_be_counted_is_a_sentence(product: Path, tmp_path: Path) -> None:
    """No time, too long a time, a mistake in the edit, and a camera that nobody watched."""
    with application(product) as app:
        post = app.client.post
        (day, *_) = app.client.get("/edit/spans?camera=plaza").json()["days"]
        assert day["day"] == "2026-06-01"
        assert day["until"] - day["since"] >= 30
        for asked, words in (
            ({"since": 5.0, "until": 1.0}, "`since` must be before `until`"),
            ({"since": 0.0, "until": 1e6}, "a day is the longest time"),
            ({"since": 0.0, "until": 3600.0}, "nothing was seen in that time"),
        ):
            refused = post("/simulate", json={"camera": "plaza", **asked})
            assert refused.status_code == 422
            assert words in refused.json()["error"]["message"]
        wrong = {"middle": {"from": [0.5, 0.5], "to": [0.5, 0.5]}}
        refused = post("/simulate", json={"camera": "plaza", "lines": wrong})
        assert refused.status_code == 422
        assert refused.json()["error"]["problems"]
        app.doors.who = Visitor.of_role("otto", Role.OPERATOR, ["door"])
        assert post("/simulate", json={"camera": "plaza"}).status_code == 404


class _HastyClock(SystemClock):
    """Some seconds pass whenever somebody looks at it."""

    step_s = 0.0

    def monotonic(self) -> float:
        """Later each time."""
        self._passed_s = getattr(self, "_passed_s", 0.0) + self.step_s
        return super().monotonic() + self._passed_s


def test_an_answer_ends_in_time_and_says_how_far_it_got(product: Path) -> None:
    """With what is known by then and the way out; other questions about limits do so, too."""
    clock = _HastyClock()
    with application(product, clock=clock) as app:
        whole = _rows(app)
        assert whole[-1]["kind"] == "end"
        assert whole[-1]["cut_short"] is None
        clock.step_s = 2 * BUDGET_S
        begin, end = _rows(app)
        assert (begin["kind"], end["kind"], end["hours"]) == ("begin", "end", 0)
        assert end["cut_short"] == (
            "it took longer than 60 s, and no hour was judged by then: ask for a shorter time, or "
            "let `moonwatch simulate` judge it, which has no limit"
        )
        asked = {"camera": "plaza", "rule": "stay"}
        cut_short = app.client.post("/simulate/visits", json=asked).json()["cut_short"]
        assert cut_short == end["cut_short"]
        # Time that runs out when all figures are known leaves no room for anything else.
        late = ManualClock(clock.now())
        simulation = simulation_of(
            replace(app.state, clock=late), app.state.deployment, "plaza", (), Span(), Flag()
        )
        for line in lines_of(simulation, {}, "UTC", lambda _: [{"rule": "middle"}]):
            row = json.loads(line)
            if row["kind"] == "end":
                assert row["cut_short"] is None
                assert row["totals"] == whole[-1]["totals"]
                late.advance(2 * BUDGET_S)
        assert row["kind"] == "failed"
        assert "how right that is was not looked up" in row["message"]


def test_what_one_edit_followed_is_held_for_the_next(product: Path) -> None:
    """At most so many bytes of it, and the counts are the same."""
    with application(product) as app:
        held = app.state.followed
        assert held.size == 0
        lines = {**app.client.get("/edit/cameras/plaza").json()["lines"], "middle": _MOVED}
        first = _rows(app, lines=lines, only=["middle"])
        size = held.size
        assert 0 < size <= held.room
        assert _rows(app, lines=lines, only=["middle"]) == first
        assert held.size == size


def test_long_times_are_judged_by_other_processes(
    product: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They prepare for an edit when somebody looks what can be edited; the figures are the same."""
    with application(product) as app:
        lines = {**app.client.get("/edit/cameras/plaza").json()["lines"], "middle": _MOVED}
        alone = _rows(app, lines=lines, only=["middle"])
        monkeypatch.setattr("pipeline.insight.simulation.WORTH_HELP_S", 1.0)
        assert app.state.judges is not None
        try:
            assert app.client.get("/edit/spans?camera=plaza").is_success
            assert app.state.judges.held() > 0
            assert _rows(app, lines=lines, only=["middle"]) == alone
        finally:
            app.state.judges.close()


def test_visits_are_measured_for_a_limit(product: Path) -> None:
    """All of them, also those below the present limit, and as many as there are events above it."""
    with application(product) as app:
        asked = {"camera": "plaza", "rule": "stay"}
        found = app.client.post("/simulate/visits", json=asked).json()
        assert found["seconds"] == sorted(found["seconds"], reverse=True)
        (total,) = [one for one in _rows(app, only=["stay"])[-1]["totals"] if one["rule"] == "stay"]
        above = sum(one >= 2.0 for one in found["seconds"])
        assert above == total["simulated"]["happenings"]
        assert len(found["seconds"]) >= above > 0
        refused = app.client.post("/simulate/visits", json={**asked, "rule": "middle"})
        assert refused.status_code == 422


def test_there_is_something_to_draw_on(product: Path) -> None:
    """The picture of a moment, the paths that were walked and where feet were."""
    with application(product) as app:
        get = app.client.get
        (day, *_) = get("/edit/spans?camera=plaza").json()["days"]
        span = {"since": day["since"], "until": day["until"]}
        answer: httpx.Response = get("/cameras/plaza/background", params={"at": day["since"] + 10})
        assert answer.content.startswith(b"\xff\xd8")
        assert abs(float(answer.headers["x-moonwatch-at"]) - day["since"] - 10) < 1
        assert "no-store" in answer.headers["cache-control"]
        missing = get("/cameras/plaza/background", params={"at": day["since"] + 1e6})
        assert missing.status_code == 404
        assert "not in the recording" in missing.json()["error"]["message"]
        walked = get("/cameras/plaza/trails", params=span).json()
        assert walked["tracks"] >= len(walked["trails"]) > 3
        for trail in walked["trails"]:
            assert all(0 <= x <= 1 and 0 <= y <= 1 for _, x, y in trail["points"])
            assert [at for at, _, _ in trail["points"]] == sorted(
                at for at, _, _ in trail["points"]
            )
        heat = get("/cameras/plaza/heat", params=span).json()
        assert len(heat["seconds"]) == heat["columns"] * heat["rows"]
        assert sum(heat["seconds"]) > 30
        app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["door"])
        for path in ("background", "trails", "heat"):
            assert get(f"/cameras/plaza/{path}", params=span).status_code == 404


def test_what_is_tried_ends_with_the_application(tmp_path: Path) -> None:
    """A process does not outlast its own end by it."""
    with application(shop(tmp_path)) as app:
        mine = RUNNING.begin((id(app.state.store), "ada visits"))
        other = RUNNING.begin((0, "ada visits"))
        assert not mine.is_set()
    assert mine.is_set()
    assert not other.is_set()
    RUNNING.end((0, "ada visits"), other)


def test_the_words_of_a_library_do_not_break_a_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line ends and signs for terminals, which no header may have."""
    told = Background(b"jpeg", 1.0, "no picture now (first\r\nX-Other: 1\x1b[2J); it is old")
    monkeypatch.setattr(backgrounds, "background", lambda *_: told)
    with application(shop(tmp_path)) as app:
        answer = app.client.get("/cameras/door/background")
    assert answer.status_code == 200
    assert answer.headers["X-Moonwatch-Remark"].endswith("; it is old")
    assert "X-Other" not in answer.headers


def test_how_right_a_count_is(product: Path, tmp_path: Path) -> None:
    """By what persons said of its events, with the error that `evaluate` tells; else nothing."""
    file = copy_of(product, tmp_path / "copy")
    with application(file) as app:
        client = app.client
        lines = client.get("/edit/cameras/plaza").json()["lines"]
        moved = {"lines": {**lines, "middle": _MOVED}, "only": ["middle"]}
        assert _rows(app, **moved)[-1]["kind"] == "end"
        (day, *_) = client.get("/edit/spans?camera=plaza").json()["days"]
        listed: dict[str, Any] = {"camera": "plaza", "rule": "middle", "limit": 200}
        crossings = client.get("/events", params=listed).json()["events"]
        false = crossings[0]["id"]
        client.post("/remarks", json={"kind": "false", "event": false})
        (only,) = _rows(app, only=["middle"])[-1]["rules"]
        assert (only["labelled"], only["partly"]) == (1, True)
        assert (only["now"]["precision"], only["now"]["recall"]) == (0.0, None)
        client.post("/reviews", json={"ids": [one["id"] for one in crossings]})
        new = [
            event
            for hour in _rows(app, **moved)[1:-2]
            for rule in hour["rules"]
            for event in rule["events"]
            if event["against"] == "new"
        ]
        missed = {"kind": "missed", "camera": "plaza", "rule": "middle"}
        for at in (new[0]["at"], day["since"] + 1):
            said = {**missed, "at": at, "direction": new[0]["direction"]}
            assert client.post("/remarks", json=said).status_code == 200
        asked = {"camera": "plaza", "since": day["since"], "until": day["until"]}
        truth = tmp_path / "truth.json"
        truth.write_text(json.dumps(client.get("/truth", params=asked).json()["truth"]))
        (told,) = _rows(app, **moved)[-1]["rules"]
    right = len(crossings) - 1
    assert (told["labelled"], told["stored"], told["partly"]) == (right + 3, right + 1, False)
    now, then = told["now"], told["would_be"]
    assert (now["precision"], now["recall"]) == (right / (right + 1), right / (right + 2))
    assert then["right"] + then["missed"] == right + 2
    assert then["precision"] == then["right"] / (then["right"] + then["wrong"])
    value = f"cameras.plaza.lines.middle={json.dumps(_MOVED)}"
    code, out, _ = moonwatch("evaluate", file, truth, "--json", "--camera", "plaza", "--set", value)
    assert code == 0
    (row,) = [one for one in json.loads(out)["rows"] if one["rule"] == "middle"]
    assert round(then["error"], 4) == row["error"]
    assert now["error"] is not None


def test_each_limit_gives_what_the_file_with_it_would_give(product: Path) -> None:
    """Of numbers of people, of waits and of visits with a cooldown; where there is no limit: so."""
    served = {"polygon": [[0.0, 0.0], [0.2, 0.0], [0.2, 1.0], [0.0, 1.0]]}
    with application(product) as app:
        now = app.client.get("/edit/cameras/plaza").json()
        rules = {
            **now["rules"],
            "stay": {**now["rules"]["stay"], "cooldown": "3s"},
            "line": {
                "type": "queue",
                "of": "people",
                "zone": "crossroads",
                "served": "till",
                "longer_than": "2s",
                "more_than": 1,
            },
        }
        edit: dict[str, Any] = {"zones": {**now["zones"], "till": served}, "rules": rules}
        for rule, key, about in (
            ("crowd", "more_than", None),
            ("stay", "longer_than", None),
            ("line", "longer_than", "wait"),
        ):
            asked = {"camera": "plaza", "rule": rule, "key": key, **edit}
            answer = app.client.post("/simulate/limits", json=asked)
            assert answer.status_code == 200, answer.text
            marks = {one["limit"]: one["events"] for one in answer.json()["marks"]}
            assert list(marks) == sorted(marks)
            assert max(marks.values()) > min(marks.values())
            settings = {**rules[rule], key: "3s" if key == "longer_than" else 3}
            if about:
                del settings["more_than"]  # whose events are of another kind
            again = {**edit, "rules": {**rules, rule: settings}, "only": [rule]}
            (total,) = _rows(app, **again)[-1]["totals"]
            assert marks[3] == total["simulated"]["happenings"]
        for rule, key in (("middle", "more_than"), ("crowd", "for"), ("crowd", "cooldown")):
            refused = app.client.post(
                "/simulate/limits", json={"camera": "plaza", "rule": rule, "key": key}
            )
            assert refused.status_code == 422
            assert key in refused.json()["error"]["message"]
