"""Signing in, staying signed in, and being signed out."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.people import IDLE_S, LONGEST_SESSION_S, JournalQuestion, Role
from pipeline.testing import ManualClock
from pipeline.web.access import passwords
from tests.web.houses import PASSWORD, House, house, shop_file, sign_in


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A shop with two cameras."""
    return shop_file(tmp_path)


@pytest.fixture
def home(file: Path) -> Iterator[House]:
    """The application of the shop."""
    with house(file) as opened:
        yield opened


def test_whoever_signs_in_is_known_until_he_signs_out(home: House) -> None:
    """The cookie is the session; it cannot be read by scripts, and opens nothing afterwards."""
    home.person("ada", Role.OPERATOR)
    browser = home.stranger()
    assert browser.get("/session").json()["visitor"] is None
    assert browser.get("/site").status_code == 401
    answer = sign_in(browser, "Ada ")
    assert answer.json()["visitor"] == "ada"
    assert answer.json()["role"] == "operator"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("moonwatch=")
    for part in ("HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"):
        assert part in cookie
    assert "Secure" not in cookie, "a browser would not send it back by http"
    assert browser.get("/site").json()["visitor"] == "ada"
    [session] = browser.get("/sessions").json()
    assert session["is_this"]
    kept = browser.cookies["moonwatch"]
    assert browser.delete("/session").status_code == 204
    assert "moonwatch" not in browser.cookies
    stolen = home.stranger({"Cookie": f"moonwatch={kept}"})
    assert stolen.get("/site").status_code == 401


def test_what_is_kept_of_a_session_opens_nothing(home: House) -> None:
    """Neither its id nor the digest in the store."""
    browser = home.signed_in("ada")
    [session] = home.state.store.people.sessions()
    for text in (session.id, session.digest, browser.cookies["moonwatch"][:-1]):
        assert home.stranger({"Cookie": f"moonwatch={text}"}).get("/site").status_code == 401


def test_a_session_ends_when_it_is_not_used_and_at_the_latest_after_a_month(file: Path) -> None:
    """Use keeps it, up to the latest end."""
    clock = ManualClock()
    with house(file, clock=clock) as home:
        browser = home.signed_in("ada")
        clock.advance(IDLE_S - 60)
        assert browser.get("/site").status_code == 200
        clock.advance(IDLE_S - 60)
        assert browser.get("/site").status_code == 200, "the use in between was not kept"
        clock.advance(IDLE_S + 1)
        assert browser.get("/site").status_code == 401
        assert sign_in(browser, "ada").status_code == 200
        [session] = home.state.store.people.sessions()
        clock.advance(LONGEST_SESSION_S - 60)
        home.state.store.people.saw_session(session.digest, clock.now())
        assert browser.get("/site").status_code == 200
        clock.advance(61)
        assert browser.get("/site").status_code == 401, "however lately it was used"


def test_an_unknown_name_is_as_wrong_as_a_wrong_password(home: House) -> None:
    """The same answer, and a hash is computed for both."""
    home.person("ada", Role.ADMIN)
    answers = [
        sign_in(home.stranger(), name, "not the right password") for name in ("ada", "nobody")
    ]
    assert [answer.status_code for answer in answers] == [401, 401]
    assert answers[0].json() == answers[1].json()


def test_failures_are_slowed_down_for_the_account_and_forgotten_by_success(file: Path) -> None:
    """Five failures pass; then each takes its time, also for the right password."""
    clock = ManualClock()
    with house(file, clock=clock) as home:
        home.person("ada", Role.VIEWER)
        browser = home.stranger()
        for _ in range(5):
            assert sign_in(browser, "ada", "wrong and wrong again").status_code == 401
        refused = sign_in(browser, "ada")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) in (1, 2)
        assert "try again in 2 s" in refused.json()["error"]["message"]
        clock.advance(2.1)
        assert sign_in(browser, "ada", "wrong and wrong again").status_code == 401
        clock.advance(2.1)
        assert sign_in(browser, "ada").status_code == 429, "the wait doubles"
        clock.advance(2.1)
        assert sign_in(browser, "ada").status_code == 200
        assert sign_in(browser, "ada", "wrong and wrong again").status_code == 401
        assert sign_in(browser, "ada").status_code == 200, "success forgets failures"


def test_failures_are_slowed_down_for_the_address_whatever_the_names(file: Path) -> None:
    """Trying one password with many names is no way around."""
    clock = ManualClock()
    with house(file, clock=clock) as home:
        browser = home.stranger()
        found = [
            sign_in(browser, f"user{number}", "summer of this year").status_code
            for number in range(21)
        ]
        assert found == [401] * 20 + [429]


def test_another_password_ends_all_other_sessions_and_wants_the_old_one(home: House) -> None:
    """Whoever has stolen a session can neither change the password nor keep the session."""
    mine = home.signed_in("ada", Role.OPERATOR)
    other = home.stranger()
    sign_in(other, "ada")
    new = "seven lamps over a bridge"
    wrong = mine.put("/password", json={"old": "a guess or another", "new": new})
    assert (wrong.status_code, wrong.json()["error"]["place"]) == (403, "old")
    weak = mine.put("/password", json={"old": PASSWORD, "new": "passwordpassword1"})
    assert (weak.status_code, weak.json()["error"]["place"]) == (422, "new")
    assert other.get("/site").status_code == 200, "nothing was changed yet"
    assert mine.put("/password", json={"old": PASSWORD, "new": new}).status_code == 200
    assert mine.get("/site").status_code == 200
    assert other.get("/site").status_code == 401
    assert sign_in(home.stranger(), "ada").status_code == 401
    assert sign_in(home.stranger(), "ada", new).status_code == 200


def test_one_ends_ones_own_sessions_and_not_those_of_others(home: House) -> None:
    """An admin ends anybody's."""
    ada, eve = home.signed_in("ada"), home.signed_in("eve")
    boss = home.signed_in("boss", Role.ADMIN)
    [of_ada] = ada.get("/sessions").json()
    assert eve.delete(f"/sessions/{of_ada['id']}").status_code == 404
    assert eve.get("/sessions", params={"everybody": True}).status_code == 403
    assert len(boss.get("/sessions", params={"everybody": True}).json()) == 3
    assert ada.get("/site").status_code == 200
    assert boss.delete(f"/sessions/{of_ada['id']}").status_code == 204
    assert ada.get("/site").status_code == 401


def test_the_first_user_is_made_by_a_link_once(home: House) -> None:
    """Nobody else can, and nobody can do it twice."""
    browser = home.stranger()
    assert browser.get("/session").json()["needs_set_up"]
    secret = home.state.entrance.offer_set_up()
    wanted = {"link": secret, "name": "ada", "password": PASSWORD}
    assert browser.post("/set-up", json={**wanted, "link": secret[:-1]}).status_code == 403
    weak = browser.post("/set-up", json={**wanted, "password": "too short"})
    assert weak.status_code == 422
    made = browser.post("/set-up", json=wanted)
    assert (made.status_code, made.json()["role"]) == (200, "admin")
    assert browser.get("/people").status_code == 200
    again = home.stranger().post("/set-up", json={**wanted, "name": "eve"})
    assert again.status_code == 403
    assert not browser.get("/session").json()["needs_set_up"]


def test_a_set_up_link_opens_nothing_once_there_is_a_user(home: House) -> None:
    """Made at the command line in the meantime, for example."""
    secret = home.state.entrance.offer_set_up()
    home.person("ada", Role.ADMIN)
    wanted = {"link": secret, "name": "eve", "password": PASSWORD}
    assert home.stranger().post("/set-up", json=wanted).status_code == 409
    assert [person.name for person in home.state.store.people.people()] == ["ada"]


def test_a_guest_looks_by_a_link_once_and_changes_nothing(home: House) -> None:
    """He needs no name, and has none."""
    secret = home.state.entrance.offer_guest()
    guest = home.stranger()
    assert guest.post("/session", json={"link": secret}).json()["visitor"] == "guest"
    assert guest.get("/site").status_code == 200
    assert guest.get("/people").status_code == 403
    refused = guest.put("/password", json={"old": PASSWORD, "new": "seven lamps over a bridge"})
    assert refused.status_code == 403
    assert home.stranger().post("/session", json={"link": secret}).status_code == 403
    guest.delete("/session")
    assert guest.get("/site").status_code == 401


def test_no_password_is_logged_or_answered(home: House, caplog: pytest.LogCaptureFixture) -> None:
    """Nor one that was typed into the field of the name, nor the secret of a link."""
    caplog.set_level(logging.DEBUG)
    home.person("ada", Role.ADMIN)
    typed = "this is my whole password"
    browser = home.stranger()
    link = home.state.entrance.offer_set_up()
    answers = [
        sign_in(browser, typed, "something else again"),
        sign_in(browser, "ada", typed),
        browser.post("/session", json={"name": "ada", "password": typed * 30}),
        browser.post("/session", json={"name": ["ada"], "password": [typed]}),
        browser.post("/session", content=typed),
        browser.post("/set-up", json={"link": link, "name": "eve", "password": typed}),
    ]
    assert sign_in(browser, "ada").status_code == 200
    told = [answer.text for answer in answers]
    noted = [str(entry) for entry in home.state.store.people.journal(JournalQuestion())]
    assert any("failed to sign in" in entry for entry in noted)
    for text in [*told, *noted, caplog.text]:
        assert typed not in text
        assert link not in text


def test_a_plain_connection_from_elsewhere_is_warned_of(home: House) -> None:
    """On this machine itself nobody can listen on the way."""
    told = home.stranger().get("/session").json()["connection"]
    assert told == {"is_encrypted": False, "is_local": True, "warning": None}


def test_a_password_that_changes_while_it_is_checked_opens_nothing(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever knows the old one cannot begin a session that the change should have ended."""
    home.person("ada", Role.ADMIN)
    entrance, people = home.state.entrance, home.state.store.people
    begin = entrance.begin_session

    def changed_meanwhile(who: str, *more: Any) -> str:
        ada = people.person("ada")
        assert ada is not None
        people.change_person(replace(ada, password=passwords.hash_of("seven lamps over a bridge")))
        return begin(who, *more)

    monkeypatch.setattr(entrance, "begin_session", changed_meanwhile)
    assert sign_in(home.stranger(), "ada").status_code == 401
    assert people.sessions() == []


def test_what_an_admin_changes_is_not_undone_by_another_password(
    home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is disabled while the hash of his next password is made stays disabled."""
    browser = home.signed_in("ada", Role.OPERATOR)
    people, hash_of = home.state.store.people, passwords.hash_of

    def disabled_meanwhile(password: str) -> str:
        ada = people.person("ada")
        assert ada is not None
        people.change_person(replace(ada, disabled_at=1.0))
        return hash_of(password)

    monkeypatch.setattr(passwords, "hash_of", disabled_meanwhile)
    new = "seven lamps over a bridge"
    assert browser.put("/password", json={"old": PASSWORD, "new": new}).status_code == 409
    ada = people.person("ada")
    assert ada is not None
    assert ada.disabled_at == 1.0
    assert browser.get("/site").status_code == 401
