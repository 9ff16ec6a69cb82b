"""Counting by hand in the application: the same audits as those of `moonwatch audit`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.audits import Audit
from pipeline.insight.auditing import judged, plan_from
from pipeline.insight.summary import last_audits
from pipeline.web.access.permissions import Permission, Role
from pipeline.web.access.visitor import Visitor
from tests.web.applications import Application, application
from tests.web.product import copy_of

OPERATOR = Visitor.of_role("otto", Role.OPERATOR)


@pytest.fixture(scope="module")
def app(product: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """The application of what has run, for an operator."""
    file = copy_of(product, tmp_path_factory.mktemp("counting"))
    with application(file, visitor=OPERATOR) as found:
        yield found


def began(app: Application, rule: str = "across", **more: Any) -> dict[str, Any]:
    """A count of all that there is of a rule."""
    span = app.client.get("/audits/footage", params={"camera": "plaza"}).json()["spans"][0]
    wish = {"camera": "plaza", "rule": rule, **span, "clip_s": 8, "samples": 30, **more}
    answer = app.client.post("/audits", json=wish)
    assert answer.status_code == 200, answer.text
    opened: dict[str, Any] = answer.json()
    return opened


def kept(app: Application, audit_id: str) -> Audit:
    """The audit in the store."""
    found = app.state.store.audits.audit(audit_id)
    assert found is not None
    return found


def test_a_line_is_counted_blind_and_judged_as_the_command_does(app: Application) -> None:
    """From the footage to the figure, which the command line and the numbers show as well."""
    client, journal = app.client, app.journal
    journal.notes.clear()
    opened = began(app)
    assert opened["has_directions"]
    assert len(opened["clips"]) >= 3
    audit = kept(app, opened["id"])
    assert "counted" not in json.dumps(opened), "blind"
    first = client.get(f"/audits/{audit.id}/clips/{opened['clips'][0]['name']}")
    assert first.headers["Content-Type"] == "video/mp4"
    assert first.content[4:8] == b"ftyp"
    assert "private" in first.headers["Cache-Control"]
    part = client.get(first.url.path.removeprefix("/api/v1"), headers={"Range": "bytes=0-99"})
    assert (part.status_code, len(part.content)) == (206, 100)

    assert client.post(f"/audits/{audit.id}/close").status_code == 422, "nothing was counted"
    for clip in plan_from(audit).clips:
        tally = {"inwards": clip.directions["in"], "outwards": clip.directions["out"]}
        for _ in range(2):  # twice is once
            answer = client.put(f"/audits/{audit.id}/clips/{clip.name}", json=tally)
            assert answer.status_code == 204, answer.text
    resumed = client.get("/audits/open").json()
    assert [one["id"] for one in resumed] == [audit.id]
    assert all(clip["is_judged"] for clip in resumed[0]["clips"])

    told = client.post(f"/audits/{audit.id}/close").json()
    again = client.post(f"/audits/{audit.id}/close").json()
    assert told == again, "sent twice it is closed once"
    closed = kept(app, audit.id)
    same = judged(audit, closed.verdicts, closed.judged_at or 0.0, "otto")
    assert closed.figures == same.figures
    assert closed.by == "otto"
    # All was looked at, and the person agreed with everything.
    assert told["figures"]["accuracy"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert set(told["directions"]) == {"in", "out"}
    late = client.put(f"/audits/{audit.id}/clips/{plan_from(audit).clips[0].name}", json={})
    assert late.status_code == 409
    actions = [action for _, action, _ in journal.notes]
    assert actions.count("counted by hand") == 1
    assert "began to count by hand" in actions

    app.doors.who = Visitor.of_role("vera", Role.VIEWER)
    assert [one["id"] for one in client.get("/audits").json()] == [audit.id]
    series = client.get("/numbers", params={"rule": "plaza/across"}).json()["series"]
    assert [one["audit"]["id"] for one in series if one["rule"] == "across"] == [audit.id]
    app.doors.who = Visitor.of_role("vic", Role.VIEWER, ["door"])
    assert client.get("/audits").json() == []
    app.doors.who = OPERATOR
    quoted = last_audits(app.state.deployment, app.state.store.audits)
    assert audit.id in [one.id for one in quoted], "what `run` and reports quote"


def test_a_count_is_of_whoever_began_it(app: Application) -> None:
    """Nobody else adds to it, sees its clips or closes it; he himself may discard it."""
    client = app.client
    opened = began(app, "stay")
    assert not opened["has_directions"]
    assert opened["terms"] == ["longer_than 2s", "zone crossroads"]
    place, clip = f"/audits/{opened['id']}", opened["clips"][0]["name"]
    assert client.put(f"{place}/clips/{clip}", json={"inwards": 1}).status_code == 422
    assert client.put(f"{place}/clips/clip-999", json={"number": 1}).status_code == 404
    assert client.put(f"{place}/clips/{clip}", json={"number": 2}).status_code == 204
    told = {one["name"]: one["tally"] for one in client.get(place).json()["clips"]}
    assert told.pop(clip)["number"] == 2
    assert set(told.values()) == {None}

    for who in (
        Visitor.of_role("other", Role.OPERATOR),
        Visitor.of_role("otto", Role.OPERATOR, ["door"]),
    ):
        app.doors.who = who
        assert client.get("/audits/open").json() == []
        for answer in (
            client.get(place),
            client.get(f"{place}/clips/{clip}"),
            client.put(f"{place}/clips/{clip}", json={"number": 1}),
            client.post(f"{place}/close"),
            client.delete(place),
        ):
            assert answer.status_code == 404
    app.doors.who = Visitor("token", frozenset({Permission.REVIEW}))
    wish = {"camera": "plaza", "rule": "stay", "since": 0, "until": 1}
    assert client.post("/audits", json=wish).status_code == 403, "he may not see pictures"
    app.doors.who = OPERATOR
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == 404


def test_what_cannot_be_counted_is_said(app: Application) -> None:
    """A sentence with the place, for a time, a rule and a camera that do not fit."""
    rules = {(one["camera"], one["rule"]) for one in app.client.get("/audits/rules").json()}
    assert {("plaza", "across"), ("plaza", "stay"), ("door", "middle")} <= rules
    cases: list[tuple[dict[str, Any], int, str | None]] = [
        ({"since": 10, "until": 10}, 422, "until"),
        ({"since": 0, "until": 1e9}, 422, "until"),
        ({"since": 1000, "until": 2000}, 422, "since"),
        ({"rule": "nothing"}, 404, "rule"),
        ({"camera": "cellar"}, 404, None),
    ]
    for more, status, place in cases:
        wish = {"camera": "plaza", "rule": "across", "since": 1, "until": 9} | more
        answer = app.client.post("/audits", json=wish)
        assert (answer.status_code, answer.json()["error"]["place"]) == (status, place), wish
