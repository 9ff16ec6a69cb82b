"""Users, tokens and the audit log, as admins change and see them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pipeline.core.people import JournalEntry, PersonChange, Role
from pipeline.web.access.visitor import Visitor
from tests.web.houses import PASSWORD, House, house, shop_file, sign_in


@pytest.fixture
def home(tmp_path: Path) -> Iterator[House]:
    """The application of the shop."""
    with house(shop_file(tmp_path)) as opened:
        yield opened


@pytest.fixture
def boss(home: House) -> httpx.Client:
    """An admin's browser."""
    return home.signed_in("boss", Role.ADMIN)


def test_an_admin_makes_users_who_see_what_they_may(home: House, boss: httpx.Client) -> None:
    """And changes and removes them; whatever he changes ends their sessions."""
    wanted = {"name": "Eve", "password": PASSWORD, "role": "viewer", "cameras": ["till"]}
    assert boss.post("/people", json=wanted).status_code == 201
    assert boss.post("/people", json=wanted).status_code == 409
    eve = home.stranger()
    sign_in(eve, "eve")
    assert [camera["name"] for camera in eve.get("/site").json()["cameras"]] == ["till"]
    assert boss.patch("/people/eve", json={"cameras": None}).json()["cameras"] is None
    assert eve.get("/site").status_code == 401, "what one may see was changed"
    sign_in(eve, "eve")
    assert len(eve.get("/site").json()["cameras"]) == 2
    assert boss.patch("/people/eve", json={"role": "operator"}).json()["role"] == "operator"
    assert eve.get("/site").status_code == 401
    sign_in(eve, "eve")
    boss.patch("/people/eve", json={"disabled": True})
    assert eve.get("/site").status_code == 401
    assert sign_in(eve, "eve").status_code == 401
    boss.patch("/people/eve", json={"disabled": False, "password": "seven lamps over a bridge"})
    assert sign_in(eve, "eve").status_code == 401
    assert sign_in(eve, "eve", "seven lamps over a bridge").status_code == 200
    assert boss.delete("/people/eve").status_code == 204
    assert eve.get("/site").status_code == 401
    assert [person["name"] for person in boss.get("/people").json()] == ["boss"]


def test_somebody_who_can_give_rights_is_always_left(boss: httpx.Client) -> None:
    """Whatever is tried with the last admin."""
    for answer in (
        boss.delete("/people/boss"),
        boss.patch("/people/boss", json={"disabled": True}),
        boss.patch("/people/boss", json={"role": "viewer"}),
    ):
        assert answer.status_code == 409
        assert "last admin" in answer.json()["error"]["message"]
    assert boss.get("/people").status_code == 200


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ({"name": "../etc"}, "name"),
        ({"name": "ä" * 10}, "name"),
        ({"name": "guest"}, "name"),
        ({"password": "elevenchars"}, "password"),
        ({"password": "Password1234"}, "password"),
        ({"cameras": ["cellar"]}, "cameras"),
        ({"role": "admin", "cameras": ["till"]}, "cameras"),
        ({"role": "owner"}, "role"),
    ],
)
def test_bad_input_is_refused_at_its_place(
    boss: httpx.Client, wanted: dict[str, object], place: str
) -> None:
    """In a sentence that says what would be right."""
    good = {"name": "eve", "password": PASSWORD, "role": "viewer"}
    answer = boss.post("/people", json={**good, **wanted})
    assert answer.status_code == 422
    assert answer.json()["error"]["place"] == place


def test_a_token_opens_what_its_scopes_say_until_it_is_ended(
    home: House, boss: httpx.Client
) -> None:
    """Its text is told once, in the answer that makes it."""
    wanted = {"name": "dashboard", "scopes": ["read:events"], "cameras": ["till"], "days": 30}
    made = boss.post("/tokens", json=wanted).json()
    text = made["text"]
    assert text.startswith("mw_")
    assert len(text) == 46
    assert text not in boss.get("/tokens").text
    program = httpx.Client(
        base_url=f"{home.url}/api/v1", headers={"Authorization": f"Bearer {text}"}
    )
    with program:
        site = program.get("/site").json()
        assert site["visitor"] == "token dashboard"
        assert [camera["name"] for camera in site["cameras"]] == ["till"]
        assert program.get("/people").status_code == 403
        assert program.put("/password", json={"old": "x", "new": "y"}).status_code == 403
        assert boss.get("/tokens").json()[0]["used_at"] is not None
        asked = httpx.get(f"{home.url}/api/v1/site", params={"token": text, "access_token": text})
        assert asked.status_code == 401, "an address must open nothing: it is logged on its way"
        assert boss.delete(f"/tokens/{made['token']['id']}").status_code == 204
        assert program.get("/site").status_code == 401
    assert boss.post("/tokens", json=wanted).status_code == 409


def test_a_wrong_token_is_not_made_up_for_by_a_session(home: House, boss: httpx.Client) -> None:
    """Whoever shows a token asks as that program, and as nobody else."""
    wrong = {"Authorization": "Bearer mw_" + "x" * 43}
    assert boss.get("/site", headers=wrong).status_code == 401
    assert boss.get("/site").status_code == 200


def test_tokens_end_with_the_rights_of_who_made_them(home: House, boss: httpx.Client) -> None:
    """Also when a user of the same name comes later."""
    second = home.signed_in("second", Role.ADMIN)
    texts = [
        second.post("/tokens", json={"name": name, "scopes": ["read:events"]}).json()["text"]
        for name in ("one", "two")
    ]
    bearers = [{"Authorization": f"Bearer {text}"} for text in texts]
    stranger = home.stranger()
    assert stranger.get("/site", headers=bearers[0]).status_code == 200
    boss.patch("/people/second", json={"role": "viewer"})
    assert stranger.get("/site", headers=bearers[0]).status_code == 401
    boss.patch("/people/second", json={"role": "admin"})
    assert stranger.get("/site", headers=bearers[1]).status_code == 401
    assert boss.delete("/people/second").status_code == 204


def test_the_audit_log_says_who_changed_what(home: House, boss: httpx.Client) -> None:
    """The newest first, page by page; what is looked for is text, and never a pattern."""
    boss.post("/people", json={"name": "eve", "password": PASSWORD, "role": "viewer"})
    boss.delete("/people/eve")
    told = boss.get("/journal").json()["entries"]
    assert [(row["who"], row["action"], row["subject"]) for row in told] == [
        ("boss", "removed the user", "eve"),
        ("boss", "made the user", "eve"),
        ("boss", "signed in", "127.0.0.1"),
    ]
    people = home.state.store.people
    for number in range(30):
        people.note(JournalEntry(1000.0 + number, "ada", "looked at a clip", f"door 100%_{number}"))
    page = boss.get("/journal", params={"limit": 20, "who": "ada"}).json()
    assert len(page["entries"]) == 20
    rest = boss.get("/journal", params={"who": "ada", "before": page["before"]}).json()
    assert [row["subject"] for row in rest["entries"]][-1] == "door 100%_0"
    assert rest["before"] is None
    assert len(boss.get("/journal", params={"words": "100%_2"}).json()["entries"]) == 11
    assert boss.get("/journal", params={"words": "(a+)+$"}).json()["entries"] == []
    span = {"since": 1005, "until": 1007}
    assert len(boss.get("/journal", params=span).json()["entries"]) == 2


def test_looking_at_the_same_again_is_noted_once_a_minute(home: House, boss: httpx.Client) -> None:
    """A clip comes in many pieces; changes are noted each time."""
    journal, ada = home.state.journal, Visitor.of_role("ada", Role.VIEWER)
    for _ in range(3):
        for action in ("looked at the clip", "armed"):
            journal.note(ada, action, "door")
    told = boss.get("/journal", params={"who": "ada"}).json()["entries"]
    assert sorted(row["action"] for row in told) == ["armed"] * 3 + ["looked at the clip"]


def test_what_a_token_made_ends_with_it(home: House, boss: httpx.Client) -> None:
    """However indirectly: whoever had a token for a moment cannot go on by another one."""

    def made(client: httpx.Client, name: str) -> tuple[str, httpx.Client]:
        answer = client.post("/tokens", json={"name": name, "scopes": ["admin"]})
        assert answer.status_code == 201, answer.text
        bearer = {"Authorization": f"Bearer {answer.json()['text']}"}
        return answer.json()["token"]["id"], home.stranger(bearer)

    first_id, first = made(boss, "first")
    _, second = made(first, "second")
    _, third = made(second, "third")
    _, other = made(boss, "other")
    assert third.get("/site").status_code == 200
    assert boss.delete(f"/tokens/{first_id}").status_code == 204
    assert [one.get("/site").status_code for one in (first, second, third)] == [401] * 3
    assert other.get("/site").status_code == 200
    _, by_other = made(other, "by other")
    home.person("ada", Role.ADMIN)
    assert home.state.store.people.remove_person("boss") is PersonChange.DONE
    assert [one.get("/site").status_code for one in (other, by_other)] == [401] * 2
