"""Who has seen what, and what was wrong."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.stores.sql import SqlStore
from pipeline.insight.evaluation import read_truth
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from tests.web.applications import Application, application
from tests.web.happened import BEGAN_AT, crossing, keep, shop, store_of, visit

_ANNE = Visitor.of_role("anne", Role.OPERATOR)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[tuple[Application, SqlStore]]:
    """A shop where ten persons went in and one waited."""
    path = shop(tmp_path)
    store = store_of(path)
    keep(store, [crossing(n, BEGAN_AT + n, way="in" if n % 2 else "out") for n in range(10)])
    keep(store, visit(20, BEGAN_AT + 50, 40))
    try:
        with application(path, visitor=_ANNE) as running:
            yield running, store
    finally:
        store.close()


def _ids(app: Application, **filters: Any) -> list[str]:
    found = app.client.get("/events", params=filters).json()["events"]
    return [card["id"] for card in found]


def test_everybody_reviews_for_himself(fresh: tuple[Application, SqlStore]) -> None:
    """Marks are one person's, and can be taken back."""
    app, _ = fresh
    every = _ids(app)
    done = app.client.post("/reviews", json={"ids": [*every[:3], "0" * 26]}).json()
    assert done == {"ids": every[:3], "cut": False}
    assert app.client.post("/reviews", json={"ids": every[:4]}).json()["ids"] == every[3:4]
    assert _ids(app, reviewed=False) == every[4:]
    assert _ids(app, reviewed=True) == every[:4]
    app.doors.who = Visitor.of_role("bob", Role.OPERATOR)
    assert _ids(app, reviewed=False) == every
    app.doors.who = _ANNE
    back = app.client.post("/reviews", json={"ids": every[3:], "reviewed": False}).json()
    assert back["ids"] == every[3:4]
    assert _ids(app, reviewed=False) == every[3:]
    assert ("anne", "reviewed", "3 events") in app.journal.notes


def test_a_range_is_reviewed_at_once(fresh: tuple[Application, SqlStore]) -> None:
    """What the filters let through, up to what was seen; the answer undoes it."""
    app, store = fresh
    page = app.client.get("/events", params={"camera": "door", "direction": "in"}).json()
    keep(store, [crossing(30, BEGAN_AT + 60)])
    asked: dict[str, Any] = {"camera": ["door"], "direction": ["in"], "upto": page["position"]}
    done = app.client.post("/reviews/range", json=asked).json()
    assert done["ids"] == [card["id"] for card in page["events"]]
    assert len(_ids(app, reviewed=False)) == 7
    app.client.post("/reviews", json={"ids": done["ids"], "reviewed": False})
    assert len(_ids(app, reviewed=False)) == 12


def test_viewers_review_nothing(fresh: tuple[Application, SqlStore]) -> None:
    """And operators only what they see."""
    app, _ = fresh
    every = _ids(app)
    app.doors.who = Visitor.of_role("eve", Role.VIEWER)
    assert app.client.post("/reviews", json={"ids": every}).status_code == 403
    assert app.client.post("/remarks", json={"kind": "false"}).status_code == 403
    app.doors.who = Visitor.of_role("tom", Role.OPERATOR, ["till"])
    done = app.client.post("/reviews", json={"ids": every}).json()
    assert len(done["ids"]) == 1
    other = next(one for one in every if one not in done["ids"])
    assert app.client.post("/remarks", json={"kind": "false", "event": other}).status_code == 404


def test_what_was_wrong_makes_a_truth_file(
    fresh: tuple[Application, SqlStore], tmp_path: Path
) -> None:
    """Counted, without what was false or double, with what was missed; as `evaluate` reads it."""
    app, _ = fresh
    crossings = _ids(app, camera="door", direction="in")
    said = app.client.post("/remarks", json={"kind": "false", "event": crossings[0]}).json()
    app.client.post("/remarks", json={"kind": "double", "event": crossings[0], "remark": "twice"})
    missed = {"kind": "missed", "camera": "door", "rule": "in", "at": BEGAN_AT + 5}
    for way in ("out", "out", "in"):
        answer = app.client.post("/remarks", json={**missed, "direction": way})
        assert answer.status_code == 200, answer.text
    app.client.post("/reviews", json={"ids": crossings})
    asked: dict[str, Any] = {"camera": "door", "since": BEGAN_AT, "until": BEGAN_AT + 60}
    told = app.client.get("/truth", params=asked).json()
    assert told["truth"] == {"lines": [{"name": "sill", "in": 5, "out": 7}]}
    assert [line["verdict"] for line in told["lines"]].count("missed") == 3
    # The second remark of one person about one happening replaces the first.
    assert [line["remark"] for line in told["lines"] if line["happening"]] == ["twice"]
    assert (told["reviewed"], told["happenings"]) == (5, 10)
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(told["truth"]))
    (count,) = read_truth(path)
    assert count.values == {"in": 5, "out": 7}
    card = app.client.get(f"/events/{crossings[0]}").json()
    assert card["event"]["wrong"] == ["double"]
    assert _ids(app, wrong=True) == crossings[:1]
    gone = card["remarks"][0]["id"]
    assert said["id"] != gone
    assert app.client.delete(f"/remarks/{gone}").status_code == 200
    assert app.client.delete(f"/remarks/{gone}").status_code == 404
    told = app.client.get("/truth", params=asked).json()
    assert told["truth"]["lines"][0]["in"] == 6


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"kind": "false"}, "event"),
        ({"kind": "missed", "camera": "door", "rule": "out", "at": BEGAN_AT}, "rule"),
        ({"kind": "missed", "camera": "attic", "rule": "in", "at": BEGAN_AT}, "camera"),
        ({"kind": "missed", "camera": "door", "rule": "in", "at": 9e9}, "at"),
        ({"kind": "missed", "camera": "door", "rule": "in"}, "at"),
        ({"kind": "odd"}, "kind"),
    ],
)
def test_half_a_remark_is_refused(
    fresh: tuple[Application, SqlStore], said: dict[str, Any], place: str
) -> None:
    """With what is missing."""
    app, _ = fresh
    answer = app.client.post("/remarks", json=said)
    assert answer.status_code in (404, 422)
    assert answer.json()["error"]["place"] == place


def test_reviews_are_forgotten_with_their_events(fresh: tuple[Application, SqlStore]) -> None:
    """What was said to be wrong stays."""
    app, store = fresh
    every = _ids(app)
    app.client.post("/reviews", json={"ids": every})
    app.client.post("/remarks", json={"kind": "false", "event": every[1]})
    assert store.prune(9e9).events == 12
    assert store.reviews.seen("anne", every) == {}
    assert [said.kind for said in store.reviews.remarks()] == ["false"]


@pytest.mark.parametrize("number", [2**63 - 1, 10**30, -(10**30)])
def test_no_number_is_too_large_for_an_answer(
    fresh: tuple[Application, SqlStore], number: int
) -> None:
    """A database takes none that is so large; it is refused at its place before."""
    client = fresh[0].client
    for answer in (
        client.get("/events", params={"beyond": number}),
        client.get("/events", params={"after": number}),
        client.post("/reviews/range", json={"upto": number}),
        client.post("/reviews/range", json={"upto": 5, "down_to": number}),
        client.delete(f"/remarks/{number}"),
    ):
        assert answer.status_code == 422, answer.url
        assert answer.json()["error"]["place"] in (
            "beyond",
            "after",
            "upto",
            "down_to",
            "remark_id",
        )
