"""Links to one picture or clip for people who do not sign in: what they open, and what never."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.core.people import JournalQuestion, Role
from pipeline.core.store import Commit
from pipeline.testing import ManualClock
from pipeline.web.access.protection import SHARED
from pipeline.web.app import create_app, permission_of, routes_of
from pipeline.web.sharing.opening import REFUSED
from tests.web.happened import BEGAN_AT, clip_is_ready, crossing, shop, store_of, with_clip
from tests.web.houses import House, house
from tests.web.test_protection import PROXY, SECRET

_CLIP = bytes(range(256)) * 40
_PICTURE = b"\xff\xd8 a picture of the door \xff\xd9"
_DAY_S = 86_400.0


@dataclass
class _Shop:
    home: House
    clock: ManualClock
    door: str
    """The event at the door, with a picture and a clip."""
    yard: str
    """One at the yard, with a picture."""
    ann: httpx.Client
    """An operator who sees all."""
    bob: httpx.Client
    """One who sees the yard alone."""
    clip_file: Path

    def shared(self, client: httpx.Client, event: str, kind: str = "clip", **more: Any) -> str:
        """A new link's address below the server's."""
        answer = client.post("/shared-links", json={"event": event, "kind": kind, **more})
        assert answer.status_code == 200, answer.text
        path: str = answer.json()["path"]
        return path

    def opened(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        """What anybody is answered there."""
        return httpx.request(method, self.home.url + path, headers=headers, timeout=30)


@pytest.fixture
def there(tmp_path: Path) -> Iterator[_Shop]:
    """Two events at two cameras, and two operators."""
    path = shop(tmp_path)
    path.write_text(path.read_text() + "web: {share: {days: 7}}\n")
    store = store_of(path)
    event, wish = with_clip(crossing(1, BEGAN_AT, picture=True))
    other = replace(
        crossing(2, BEGAN_AT + 9), id="yard-2", camera="yard", rule="crowd", type="occupancy"
    ).with_media("yard/2026-05-28/yard-2.jpg")
    store.commit(Commit(events=[event, other], clips=[wish]))
    clip_is_ready(store, wish, len(_CLIP))
    store.close()
    clock = ManualClock(BEGAN_AT + 3600)
    with house(path, clock=clock) as home:
        home.state.media.put(event.media[0], _PICTURE)
        home.state.media.put(other.media[0], _PICTURE[::-1])
        file = home.state.media.path(wish.reference)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_CLIP)
        ann = home.signed_in("ann", Role.OPERATOR)
        bob = home.signed_in("bob", Role.OPERATOR, ("yard",))
        yield _Shop(home, clock, event.id, other.id, ann, bob, file)


def refused(answer: httpx.Response) -> bool:
    """Whether it is the refusal that all that does not open has in common."""
    said = answer.text == "" or REFUSED in answer.text
    return answer.status_code == 404 and said and is_kept_to_itself(answer)


def is_kept_to_itself(answer: httpx.Response) -> bool:
    """Whether nothing on the way keeps it, finds it, or is told of its address."""
    wanted = {
        "Cache-Control": "private, no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
    found = all(answer.headers[name] == value for name, value in wanted.items())
    return found and "noindex" in answer.headers["X-Robots-Tag"]


def test_a_link_opens_one_thing_for_anybody(there: _Shop) -> None:
    """A page with a player, the clip whole and in parts; nothing else, and all of it is noted."""
    path = there.shared(there.ann, there.door)
    page = there.opened(path)
    assert page.status_code == 200
    assert is_kept_to_itself(page)
    assert '<video src="' + path + '/media"' in page.text
    assert "door" in page.text
    assert "2026-05-28, 22:27:00 (Europe/Berlin)" in page.text
    assert 'lang="de"' in there.opened(path, **{"Accept-Language": "de-AT, en;q=0.5"}).text
    media = there.opened(f"{path}/media")
    assert (media.content, media.headers["Content-Type"]) == (_CLIP, "video/mp4")
    assert is_kept_to_itself(media)
    assert there.door not in media.headers["Content-Disposition"]
    head = there.opened(f"{path}/media", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Length"] == str(len(_CLIP))
    part = there.opened(f"{path}/media", Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, _CLIP[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(_CLIP)}"
    assert is_kept_to_itself(part)

    text = path.rpartition("/")[2]
    with_it = {"Authorization": f"Bearer {text}", "Cookie": f"moonwatch={text}"}
    for place in ("/api/v1/site", f"/api/v1/events/{there.door}/picture", "/api/v1/events"):
        assert there.opened(place, **with_it).status_code == 401
    assert there.opened(path, "POST", **{"X-Moonwatch": "1"}).status_code == 405
    store = there.home.state.store
    assert text not in json.dumps([str(one) for one in store.shared_links.links(there.clock.now())])
    said = [(one.who, one.action) for one in store.people.journal(JournalQuestion())]
    [link] = there.ann.get("/shared-links").json()
    assert link["opened"] == 2
    assert said.count((f"link {link['id']} of ann", "looked at a shared clip")) == 1, "bounded"
    assert ("ann", "shared a clip") in said


def test_a_link_of_one_camera_never_opens_another(there: _Shop) -> None:
    """Nor what its maker may not see, by whatever is sent in the place of an id."""
    door = there.shared(there.ann, there.door, "picture")
    yard = there.shared(there.bob, there.yard, "picture")
    assert there.opened(f"{door}/media").content == _PICTURE
    assert there.opened(f"{yard}/media").content == _PICTURE[::-1]
    asked = {"event": there.door, "kind": "picture"}
    hidden = there.bob.post("/shared-links", json=asked)
    unknown = there.bob.post("/shared-links", json={**asked, "event": "nothing"})
    assert (hidden.status_code, unknown.status_code) == (404, 404)
    assert hidden.text.replace(there.door, "nothing") == unknown.text
    for odd in (
        there.clip_file.name,
        str(there.clip_file),
        f"door/2026-05-28/{there.door}.jpg",
        "../../moonwatch.db",
        "%2e%2e/moonwatch.db",
    ):
        answer = there.ann.post("/shared-links", json={"event": odd, "kind": "picture"})
        assert answer.status_code == 404, odd
    wrong: list[dict[str, Any]] = [{"kind": "clip"}, {"nth": 2}]
    for more in wrong:  # the yard has no clip, and one picture
        answer = there.bob.post(
            "/shared-links", json={"event": there.yard, "kind": "picture"} | more
        )
        assert answer.status_code == 404
    text = door.rpartition("/")[2]
    for path in (f"{door}/media/../../{yard}", f"{SHARED}{text[:-1]}", f"{SHARED}{text}x"):
        assert _PICTURE not in there.opened(path).content
    assert [one["camera"] for one in there.bob.get("/shared-links").json()] == ["yard"]


def test_links_end_by_their_time_their_maker_and_what_they_show(there: _Shop) -> None:
    """Wrong, expired, ended, orphaned and emptied ones are refused in the same words."""
    home, people = there.home, there.home.state.store.people
    ada = home.signed_in("ada", Role.ADMIN)
    vic = home.signed_in("vic", Role.VIEWER)
    assert refused(there.opened(f"{SHARED}{'x' * 43}"))
    ended = there.shared(there.bob, there.yard, "picture")
    [mine] = there.bob.get("/shared-links").json()
    assert there.ann.delete(f"/shared-links/{mine['id']}").status_code == 404, "not hers"
    assert there.opened(ended).status_code == 200
    assert [one["id"] for one in ada.get("/shared-links?all=true").json()] == [mine["id"]]
    assert there.bob.get("/shared-links?all=true").status_code == 403
    assert ada.delete(f"/shared-links/{mine['id']}").status_code == 204
    assert refused(there.opened(ended))
    assert refused(there.opened(f"{ended}/media"))

    gone = there.shared(there.ann, there.door)
    there.clip_file.unlink()
    assert refused(there.opened(gone))
    wish: dict[str, Any] = {"event": there.door, "kind": "picture"}
    assert there.ann.post("/shared-links", json={**wish, "days": 8}).status_code == 422
    assert vic.post("/shared-links", json=wish).status_code == 403
    short = there.shared(there.ann, there.door, "picture", days=1)
    long = there.shared(there.ann, there.door, "picture")
    there.clock.advance(_DAY_S + 1)
    assert refused(there.opened(short))
    assert there.opened(long).status_code == 200

    bob = people.person("bob")
    assert bob is not None
    for less in (
        replace(bob, role=Role.VIEWER),
        replace(bob, cameras=("door",)),
        replace(bob, disabled_at=there.clock.now()),
    ):
        client = home.stranger()
        client.post("/session", json={"name": "bob", "password": "three green boats upriver"})
        path = there.shared(client, there.yard, "picture")
        people.change_person(less)
        assert refused(there.opened(path))
        people.change_person(bob)
        assert refused(there.opened(path)), "it has ended for good"
    client = home.stranger()
    client.post("/session", json={"name": "bob", "password": "three green boats upriver"})
    path = there.shared(client, there.yard, "picture")
    people.remove_person("bob")
    home.person("bob", Role.OPERATOR)
    assert refused(there.opened(path)), "another person of the same name"


def test_who_tries_is_slowed_down_and_a_file_without_share_opens_nothing(there: _Shop) -> None:
    """As at signing in; and what was shared before is closed as well."""
    good = there.shared(there.ann, there.door, "picture")
    answers = [there.opened(f"{SHARED}{number:043}") for number in range(30)]
    assert {one.status_code for one in answers} == {404, 429}
    assert all(is_kept_to_itself(one) for one in answers)
    assert "Retry-After" in answers[-1].headers
    assert there.opened(good).status_code == 429, "also what would open has to wait"
    there.clock.advance(3600)
    assert there.opened(good).status_code == 200
    state = there.home.state
    path = state.file.path
    path.write_text(re.sub("web: .*\n", "", path.read_text()))
    there.clock.advance(60)
    assert there.ann.get("/site").json()["share_days"] is None
    assert refused(there.opened(good))
    assert there.ann.get("/shared-links").json() == []
    wish = {"event": there.door, "kind": "picture"}
    assert there.ann.post("/shared-links", json=wish).status_code == 409


def test_without_passwords_links_end_with_the_users_who_made_them(there: _Shop) -> None:
    """Whoever comes by the proxy is offered none, and sees the media of his cameras alone."""
    opened = there.shared(there.bob, there.yard, "picture")
    unopened = there.shared(there.ann, there.door, "picture")
    assert there.opened(opened).status_code == 200
    assert there.bob.get("/site").json()["share_days"] == 7
    path = there.home.state.file.path
    before = path.read_text()
    path.write_text(
        re.sub("web: .*\n", "", before)
        + PROXY.replace("[till]", "[yard]")
        + "  share: {days: 7}\n  passwords: false\n"
    )
    there.clock.advance(60)
    assert there.bob.get("/events").status_code == 401
    assert refused(there.opened(opened)), "also where it was opened before"
    assert refused(there.opened(f"{opened}/media"))

    sent = {"Remote-User": "bob", "X-Moonwatch-Proxy": SECRET}
    desk = there.home.stranger({**sent, "Remote-Groups": "till-staff"})
    found = desk.get("/events").json()["events"]
    assert [one["id"] for one in found] == [there.yard]
    assert desk.get(f"/events/{there.yard}/picture").content == _PICTURE[::-1]
    for kind in ("picture", "clip"):
        assert desk.get(f"/events/{there.door}/{kind}").status_code == 404
    staff = there.home.stranger({**sent, "Remote-Groups": "staff"})
    assert staff.get(f"/events/{there.door}/picture").content == _PICTURE
    wish = {"event": there.yard, "kind": "picture"}
    for client in (desk, staff):  # a user has the same name, and is not who comes here
        assert client.get("/site").json()["share_days"] is None
    answer = staff.post("/shared-links", json=wish)
    assert answer.status_code == 409
    assert "only users of the application can share" in answer.text

    path.write_text(before)
    there.clock.advance(60)
    assert refused(there.opened(opened)), "it has ended for good"
    assert there.opened(unopened).status_code == 200, "it was never refused"


def test_only_these_routes_are_open_to_links(there: _Shop) -> None:
    """Two, to read; both are among those that are told apart from what needs somebody known."""
    found = {
        (method, route.path)
        for route in routes_of(create_app(there.home.state))
        for method in route.methods or ()
        if (route.path or "").startswith(SHARED)
    }
    paths = {f"{SHARED}{{text}}", f"{SHARED}{{text}}/media"}
    assert found == {(method, path) for method in ("GET", "HEAD") for path in paths}
    own = [r for r in routes_of(create_app(there.home.state)) if "/shared-links" in (r.path or "")]
    assert {permission_of(route) for route in own} == {"share"}
