"""What happened as the application tells it: found, merged, filtered, on a timeline."""

import threading
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from connectors.stores.sql import SqlStore
from pipeline.core.events import timestamp
from pipeline.core.store import Commit, Span, Undelivered
from pipeline.deployment.loader import load
from pipeline.reports import export
from pipeline.testing import ManualClock
from pipeline.web.access.permissions import Role
from pipeline.web.access.visitor import Visitor
from pipeline.web.events.finding import Finder
from pipeline.web.events.lanes import bins_of, timeline
from pipeline.web.events.wishes import EventWish
from tests.connectors.stores.postgres import server_url
from tests.web.applications import ADMIN, Application, application
from tests.web.happened import (
    BEGAN_AT,
    crossing,
    keep,
    minutes,
    shop,
    some_days,
    states,
    store_of,
    visit,
)

_BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with three days of happenings."""
    path = shop(tmp_path_factory.mktemp("shop"))
    store = store_of(path)
    store.register_sinks(["log"])
    keep(store, some_days())
    store.close()
    return path


@pytest.fixture(scope="module")
def app(file: Path) -> Iterator[Application]:
    """Its application."""
    with application(file) as running:
        yield running


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[tuple[Application, SqlStore]]:
    """An application over an empty store, and the store to write to."""
    path = shop(tmp_path)
    store = store_of(path)
    try:
        with application(path) as running:
            yield running, store
    finally:
        store.close()


def _every(app: Application, limit: int = 200, **filters: Any) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    beyond: int | None = None
    while True:
        asked = {**filters, "limit": limit} | ({} if beyond is None else {"beyond": beyond})
        answer = app.client.get("/events", params=asked)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["events"]
        beyond = page["beyond"]
        if beyond is None:
            return found


def test_happenings_are_what_the_export_says(app: Application, file: Path) -> None:
    """One card for the rows that share a happening, the newest first, page by page."""
    deployment = load(file)
    names = [column.name for column in export.EVENTS]
    rows: list[dict[str, Any]] = [
        dict(zip(names, row, strict=True))
        for row in export.events(deployment, app.state.store.history, Span()).rows
    ]
    happenings: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        happenings.setdefault(str(row["happening"]), []).append(row)
    for limit in (7, 200):
        found = _every(app, limit)
        assert [card["id"] for card in found] == list(happenings)[::-1]
    for card in found:
        told = happenings[str(card["id"])]
        assert (card["camera"], card["rule"]) == (told[0]["camera"], told[0]["rule"])
        assert timestamp(float(str(card["began_at"]))) == told[0]["at"]
        is_over = any(row["phase"] in ("end", "single") for row in told)
        assert (card["ended_at"] is not None) == is_over
        rejected = any(row["counted_as"] == "rejected" for row in told)
        assert (card["verdict"] == "rejected") == rejected


_FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "camera": st.lists(st.sampled_from(["door", "till", "yard", "attic"]), max_size=2),
        "rule": st.lists(st.sampled_from(["in", "long", "crowd"]), max_size=2),
        "type": st.lists(st.sampled_from(["line_crossing", "dwell"]), max_size=1),
        "kind": st.lists(st.sampled_from(["person", "car"]), max_size=2),
        "place": st.lists(st.sampled_from(["sill", "counter", "gate"]), max_size=2),
        "direction": st.lists(st.sampled_from(["in", "out"]), max_size=2),
        "weekday": st.lists(st.sampled_from(["thu", "fri", "sat", "sun"]), max_size=2),
        "hours": st.sampled_from(["22-6", "9:30-18", "0-24", ""]),
        "least": st.sampled_from([0.0, 0.5, 0.75]),
        "verdict": st.lists(st.sampled_from(["confirmed", "rejected", "not_checked"]), max_size=2),
        "text": st.sampled_from(["GRÜNER", "van", '"VAN" 100 %', "over", "counter", "_", "zzz"]),
        "since": st.sampled_from([BEGAN_AT, BEGAN_AT + 86_400]),
        "until": st.sampled_from([BEGAN_AT + 86_400, BEGAN_AT + 2 * 86_400]),
        "sent": st.sampled_from(["waiting", "delivered", "undelivered", "refused"]),
    },
)


def _passes(card: dict[str, Any], filters: dict[str, Any]) -> bool:
    """The same filters, on what the application tells of a happening without any."""
    local = datetime.fromtimestamp(float(str(card["began_at"])), _BERLIN)
    minute = local.hour * 60 + local.minute
    inside = {
        "22-6": minute >= 22 * 60 or minute < 6 * 60,
        "9:30-18": 9 * 60 + 30 <= minute < 18 * 60,
    }

    def ok(name: str, *values: object) -> bool:
        wanted = filters.get(name)
        return not wanted or bool({*values} & {*wanted})

    said = " | ".join(_values([card["data"], card["kind"]])).casefold()
    at, probability = float(str(card["began_at"])), card["probability"]
    return (
        ok("camera", card["camera"])
        and ok("rule", card["rule"])
        and ok("type", card["type"])
        and ok("kind", card["kind"])
        and ok("place", card["zone"], card["line"])
        and ok("direction", card["direction"])
        and ok("weekday", local.strftime("%a").lower())
        and ok("verdict", card["verdict"])
        and inside.get(str(filters.get("hours")), True)
        and ("least" not in filters or _reaches(probability, filters["least"]))
        and (not filters.get("text") or str(filters["text"]).casefold() in said)
        and ("since" not in filters or at >= float(str(filters["since"])))
        and ("until" not in filters or at < float(str(filters["until"])))
        and _is_sent(card["sending"], str(filters.get("sent")))
    )


def _reaches(probability: object, least: object) -> bool:
    return probability is not None and float(str(probability)) >= float(str(least))


def _values(said: object) -> Iterator[str]:
    """Every text that is a value, without times and names of files."""
    match said:
        case str():
            yield said
        case list():
            for one in said:
                yield from _values(one)
        case dict():
            for name, one in said.items():
                if name not in ("engine", "since", "until"):
                    yield from _values(one)


def _is_sent(counts: dict[str, int], wanted: str) -> bool:
    left = counts["waiting"] + counts["refused"]
    return {
        "waiting": counts["waiting"] > 0,
        "refused": counts["refused"] > 0,
        "undelivered": left > 0,
        "delivered": counts["delivered"] > 0 and not left,
    }.get(wanted, True)


@settings(
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(filters=_FILTERS, limit=st.sampled_from([3, 50]))
def test_filters_combine(app: Application, filters: dict[str, Any], limit: int) -> None:
    """They find what a plain look at every card finds, in the same order."""
    unfiltered = _every(app)
    wanted = [card["id"] for card in unfiltered if _passes(card, filters)]
    found = [card["id"] for card in _every(app, limit, **filters)]
    assert found == wanted, filters


_EACH: list[dict[str, Any]] = [
    {},
    {"camera": ["door", "yard"], "type": ["line_crossing"]},
    {"rule": ["long"], "place": ["counter"]},
    {"kind": ["person"], "direction": ["in"], "since": BEGAN_AT + 86_400},
    {"weekday": ["fri"], "hours": "22-6", "until": BEGAN_AT + 2 * 86_400},
    {"least": 0.5, "verdict": ["confirmed", "not_checked"]},
    {"verdict": ["rejected"]},
    *({"text": words} for words in ("GRÜNER", "van", '"VAN" 100 %', "_", "%")),
    *({"sent": state} for state in ("waiting", "delivered", "undelivered", "refused")),
    {"reviewed": False, "sent": "refused"},
    {"reviewed": True},
    {"wrong": False},
]


def test_postgresql_finds_the_same(tmp_path: Path) -> None:
    """By every filter, page by page, on the timeline and among what sinks refused."""
    path = shop(tmp_path)
    with server_url() as url:
        found = []
        for place in (url, f"sqlite:///{tmp_path}/same.db"):
            clock = ManualClock(BEGAN_AT + 4 * 86_400)
            store = SqlStore(place, clock)
            store.register_sinks(["log"])
            keep(store, some_days(number=45))
            letters = [
                Undelivered("log", one.position, one.event.record_id, "answers 401", 3)
                for one in store.events_after(0, 30)
            ]
            store.advance("log", 40, letters)
            store.close()
            with application(path, f"store.url={place}", clock=clock) as there:
                found.append(_everything(there))
        assert found[0] == found[1]
        assert len(found[0][0]) > len(found[0][_EACH.index({"sent": "refused"})]) > 0


def _everything(app: Application) -> list[Any]:
    told: list[Any] = [_every(app, 20, **filters) for filters in _EACH]
    days = {"since": BEGAN_AT, "until": BEGAN_AT + 3 * 86_400, "bins": 50}
    for by in ("camera", "rule"):
        told.append(app.client.get("/timeline", params={**days, "by": by}).json())
    refused: list[Any] = []
    beyond: str | None = None
    while beyond or not refused:
        asked = {"limit": 7} | ({} if beyond is None else {"beyond": beyond})
        page = app.client.get("/deliveries/refused", params=asked).json()
        refused += page["refused"]
        assert page["total"] == 30
        beyond = page["beyond"]
    assert len(refused) == 30
    app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["door"])
    page = app.client.get("/deliveries/refused").json()
    assert page["total"] == len(page["refused"]) < 30
    assert page["beyond"] is None
    app.doors.who = ADMIN
    for name, status in (("/events/a%00b", 404), ("/events?camera=a%00b", 422)):
        assert app.client.get(name).status_code == status
    asked_again = app.client.post("/deliveries/retry", json={"event": "a\0b"})
    assert asked_again.status_code == 404
    named = app.client.post("/session", json={"name": "a\0b", "password": "x"})
    assert named.status_code == 401
    return [*told, refused]


def test_a_viewer_of_one_camera_finds_no_other(app: Application) -> None:
    """In lists, on the timeline, and when he knows the id."""
    cards = _every(app)
    other = next(card for card in cards if card["camera"] == "yard")
    app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["till"])
    try:
        assert {card["camera"] for card in _every(app)} == {"till"}
        assert _every(app, camera="yard") == []
        assert app.client.get("/events", params={"after": 0}).json()["events"]
        news = app.client.get("/events", params={"after": 0, "limit": 200}).json()["events"]
        assert {card["camera"] for card in news} == {"till"}
        for path in ("", "/picture", "/clip"):
            assert app.client.get(f"/events/{other['id']}{path}").status_code == 404
        span = {"since": BEGAN_AT, "until": BEGAN_AT + 3 * 86_400}
        lanes = app.client.get("/timeline", params={**span, "by": "rule"}).json()["lanes"]
        assert {lane["camera"] for lane in lanes} == {"till"}
    finally:
        app.doors.who = Visitor.of_role("ada", Role.ADMIN)


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"hours": "25-26"}, "hours"),
        ({"hours": "6-6"}, "hours"),
        ({"weekday": "monday"}, "weekday"),
        ({"since": 1e12}, "since"),
        ({"verdict": "perhaps"}, "verdict.0"),
        ({"limit": 10_000}, "limit"),
        ({"colour": "red"}, None),
    ],
)
def test_wrong_filters_are_refused(
    app: Application, params: dict[str, str], place: str | None
) -> None:
    """With the place of the mistake; what is no filter narrows nothing."""
    answer = app.client.get("/events", params=params)
    if place is None:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 422
        assert answer.json()["error"]["place"] == place


def test_news_come_without_gaps(fresh: tuple[Application, SqlStore]) -> None:
    """Who waits is told of what begins and of what ends; nothing is told twice or left out."""
    app, store = fresh
    start = app.client.get("/events").json()
    assert start == {"events": [], "beyond": None, "cut": False, "position": 0}
    begun, ended = visit(1, BEGAN_AT, 50)
    answers: list[dict[str, Any]] = []

    def wait() -> None:
        asked = {"after": 0, "wait": 20}
        answers.append(app.client.get("/events", params=asked).json())

    waiting = threading.Thread(target=wait)
    waiting.start()
    keep(store, [begun])
    waiting.join(30)
    (first,) = answers
    (card,) = first["events"]
    assert (card["id"], card["ended_at"]) == (begun.id, None)
    quiet = app.client.get("/events", params={"after": first["position"], "wait": 0}).json()
    assert quiet["events"] == []
    keep(store, [crossing(n, BEGAN_AT + n) for n in range(5)])
    keep(store, [ended])
    seen: list[str] = []
    position = int(str(first["position"]))
    while True:
        asked = {"after": position, "limit": 2}
        page = app.client.get("/events", params=asked).json()
        if not page["events"]:
            break
        seen += [card["id"] for card in page["events"]]
        assert page["position"] > position
        position = page["position"]
    assert len(seen) == len(set(seen)) == 6
    assert seen[-1] == begun.id


def test_a_visitor_waits_only_so_often(fresh: tuple[Application, SqlStore]) -> None:
    """More requests at once than a browser needs are refused until one of them ends."""
    app, store = fresh
    statuses: list[int] = []

    def wait() -> None:
        asked = {"after": 0, "wait": 20}
        statuses.append(app.client.get("/events", params=asked).status_code)

    threads = [threading.Thread(target=wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    while not statuses:
        threading.Event().wait(0.05)
    assert statuses == [429]
    keep(store, [crossing(1, BEGAN_AT)])
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [200, 200, 200, 200, 429]


def test_the_timeline_hatches_what_is_not_known(fresh: tuple[Application, SqlStore]) -> None:
    """Its shares are those of the minutes; a camera without any is judged by its health."""
    app, store = fresh
    shares = [1.0, 0.5, None, 0.0, 1.0, 1.0]
    store.commit(
        Commit(
            events=[crossing(n, BEGAN_AT + 30 * n) for n in range(6)],
            buckets=minutes("door", "in", BEGAN_AT, shares),
            health=[
                *states("till", (BEGAN_AT - 600, "online"), (BEGAN_AT + 60, "offline")),
                *states("till", (BEGAN_AT + 150, "online")),
            ],
        )
    )
    asked = {"since": BEGAN_AT, "until": BEGAN_AT + 360, "bins": 6}
    told = app.client.get("/timeline", params=asked).json()
    assert (told["since"], told["bin_s"], told["bins"]) == (BEGAN_AT, 60, 6)
    door, till, yard = told["lanes"]
    assert door["counts"] == [2, 2, 2, 0, 0, 0]
    assert door["known"] == [1.0, 0.5, 0.0, 0.0, 1.0, 1.0]
    assert till["known"] == [1.0, 0.0, 0.5, 1.0, 1.0, 1.0]
    assert not till["measured"]
    assert yard["known"] == [0.0] * 6
    assert told["blind"] == [
        {"camera": "till", "state": "offline", "since": BEGAN_AT + 60, "until": BEGAN_AT + 150}
    ]
    half = app.client.get("/timeline", params={**asked, "bins": 3, "by": "rule"}).json()
    assert half["lanes"][0]["rule"] == "in"
    assert half["lanes"][0]["known"] == [0.75, 0.0, 1.0]
    # Filters that a database cannot answer give the same counts.
    for more in ({"place": "sill"}, {"camera": "door"}, {"text": "SILL"}):
        assert app.client.get("/timeline", params={**asked, **more}).json()["lanes"][0][
            "counts"
        ] == [2, 2, 2, 0, 0, 0]
    out = app.client.get("/timeline", params={**asked, "direction": "out"}).json()
    assert sum(out["lanes"][0]["counts"]) == 0


def test_a_month_says_what_its_days_hold(fresh: tuple[Application, SqlStore]) -> None:
    """By the site's clock, where days have 23 and 25 hours; of what the visitor may see."""
    app, store = fresh
    moments = [
        datetime(2026, 10, 24, 23, 59, tzinfo=_BERLIN),
        datetime(2026, 10, 25, 0, 0, tzinfo=_BERLIN),
        datetime(2026, 10, 25, 2, 30, tzinfo=_BERLIN, fold=1),
        datetime(2026, 10, 25, 23, 59, tzinfo=_BERLIN),
        datetime(2026, 10, 26, 0, 0, tzinfo=_BERLIN),
        datetime(2026, 11, 1, 0, 0, tzinfo=_BERLIN),
    ]
    keep(store, [crossing(n, one.timestamp()) for n, one in enumerate(moments)])
    begins = datetime(2026, 10, 24, tzinfo=_BERLIN).timestamp()
    store.commit(Commit(buckets=minutes("door", "in", begins, [1.0] * 720)))

    def told(month: str, **more: str) -> dict[str, Any]:
        answer = app.client.get("/calendar", params={"month": month, **more})
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    october = told("2026-10", camera="door")
    days = {one["day"]: one for one in october["days"]}
    assert (october["timezone"], len(days)) == ("Europe/Berlin", 31)
    assert {day: one["happenings"] for day, one in days.items() if one["happenings"]} == {
        "2026-10-24": 1,
        "2026-10-25": 3,
        "2026-10-26": 1,
    }
    assert [round(one["until"] - one["since"]) // 3600 for one in october["days"]] == [
        25 if day == "2026-10-25" else 24 for day in days
    ]
    assert all(a["until"] == b["since"] for a, b in pairwise(october["days"]))
    assert days["2026-10-24"]["known"] == 0.5
    assert days["2026-10-23"]["known"] == 0.0
    assert told("2199-01")["days"][0]["known"] is None
    assert [one["happenings"] for one in told("2026-11")["days"]][:2] == [1, 0]
    assert len(told("2026-03")["days"]) == 31
    # As the list has it, day by day, and what is reviewed is taken off.
    for one in october["days"][22:27]:
        span = {"since": one["since"], "until": one["until"]}
        cards = app.client.get("/events", params=span).json()["events"]
        assert len(cards) == one["happenings"] == one["unreviewed"]
        if one["day"] == "2026-10-25":
            seen = {"ids": [card["id"] for card in cards[:2]], "reviewed": True}
            assert app.client.post("/reviews", json=seen).status_code == 200
    assert told("2026-10")["days"][24]["unreviewed"] == 1
    assert not any(one["happenings"] for one in told("2026-10", rule="long")["days"])
    app.doors.who = Visitor.of_role("eve", Role.VIEWER, ["till"])
    assert not any(one["happenings"] for one in told("2026-10", camera="door")["days"])
    for month in ("2026-13", "1970-12", "2026-1", "x"):
        assert app.client.get("/calendar", params={"month": month}).status_code == 422


def test_a_search_that_takes_long_is_cut_and_goes_on(app: Application) -> None:
    """It says so, and what is found in pieces is what is found at once."""
    state, wish = app.state, EventWish(text="counter")
    finder = Finder(state.deployment, state.store, state.clock, ADMIN, look_s=0.0, window=10)
    found: list[str] = []
    beyond: int | None = None
    pieces = 0
    while True:
        page = finder.page(wish, beyond)
        found += [one.id for one in page.found]
        pieces += page.cut
        beyond = page.beyond
        if beyond is None:
            break
    assert pieces > 5
    assert found == [card["id"] for card in _every(app, text="counter")]
    bins = bins_of(BEGAN_AT, BEGAN_AT + 3 * 86_400, 10)
    told = timeline(finder, wish, bins, "camera", BEGAN_AT + 4 * 86_400)
    assert told.cut
    assert sum(sum(lane.counts) for lane in told.lanes) < len(found)


def test_a_card_says_why(app: Application) -> None:
    """The rule's terms, what was measured against its limit, and what was kept back."""
    card = next(card for card in _every(app, camera="till") if card["ended_at"])
    told = app.client.get(f"/events/{card['id']}").json()
    why = told["why"]
    terms = {term["name"]: term["value"] for term in why["terms"]}
    assert (terms["zone"], terms["longer_than"], terms["cooldown"]) == ("counter", "30s", "1m")
    (against,) = [one for one in why["measured"] if one["limit_name"] == "longer_than"]
    assert against["limit"] == 30
    assert against["value"] == card["seconds"]
    assert (why["silenced"], why["cooldown_s"]) == (2, 60)
    assert [phase["phase"] for phase in told["phases"]] == ["start", "end"]
    crowded = _every(app, camera="yard")[0]
    why = app.client.get(f"/events/{crowded['id']}").json()["why"]
    local = datetime.fromtimestamp(float(str(crowded["began_at"])), _BERLIN)
    assert why["was_scheduled"] == (local.weekday() < 5)


def test_what_is_not_there_is_said(app: Application) -> None:
    """In a sentence."""
    answer = app.client.get("/events/" + "0" * 26)
    assert answer.status_code == 404
    assert "no event" in answer.json()["error"]["message"]
