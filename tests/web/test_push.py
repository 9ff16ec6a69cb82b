"""Messages to browsers: sealed as the standard says, sent once, and only to who may see it."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from connectors.stores.sql import SqlStore
from pipeline.core.events import Event, Subject, event_id
from pipeline.core.people import Person, Role
from pipeline.core.pushing import PushDevice, PushOutcome, PushWishes
from pipeline.core.store import Commit
from pipeline.testing import ManualClock, patience
from pipeline.web.config import WebPushConfig
from pipeline.web.pushing.desk import TOO_OLD_S, PushDesk
from pipeline.web.pushing.sealing import checked_keys, new_key, sealed
from pipeline.web.pushing.services import UNREACHABLE, checked_endpoint
from pipeline.web.run import open_state
from pipeline.web.state import WebState
from tests.web.houses import House, house, shop_file, sign_in
from tests.web.push_service import (
    CONTACT,
    Arrival,
    PushServiceForTests,
    ReceivingBrowser,
    padded,
    push_service,
    unpadded,
)

# What RFC 8291 gives as its example, section 5 and appendix A.
_THEIRS = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
_OURS = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
_AUTH, _SALT = "BTBZMqHH6r4Tts7J_aSIgg", "DGv6ra1nlYgDCS1FRnbzlw"
_WORDS = b"When I grow up, I want to be a watermelon"
_SEALED = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS"
    "6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qu"
    "lcy4a-fN"
)


def _key(text: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(padded(text)), ec.SECP256R1())


def test_a_message_is_sealed_as_in_the_example_of_the_standard() -> None:
    """And a browser reads it; what is no key of a browser is refused with a sentence."""
    browser = ReceivingBrowser("example", _key(_THEIRS), padded(_AUTH))
    public = unpadded(browser.point)
    found = sealed(_WORDS, public, _AUTH, salt=padded(_SALT), own=_key(_OURS))
    assert unpadded(found) == _SEALED
    assert browser.read(found) == _WORDS
    assert len(sealed(b"x" * 3993, public, _AUTH)) == 4096
    with pytest.raises(ValueError, match="3993 at most"):
        sealed(b"x" * 3994, public, _AUTH)
    for keys, why in (
        ((public[:-4], _AUTH), "no key of a browser"),
        ((unpadded(b"\x04" + bytes(64)), _AUTH), "no point of the curve"),
        ((public, "AAAA"), "3 bytes and not 16"),
        (("é", _AUTH), "no base64url"),
    ):
        with pytest.raises(ValueError, match=why):
            checked_keys(*keys)


def test_an_endpoint_is_https_on_the_public_internet_or_in_a_listed_network() -> None:
    """Everything else is refused before anything is asked."""
    public = WebPushConfig(contact=CONTACT)
    own = WebPushConfig(contact=CONTACT, networks=("10.0.5.0/24",))
    assert checked_endpoint("https://push.example/a?b", public)
    assert checked_endpoint("https://10.0.5.7:8443/a", own)
    for text in (
        "http://push.example/a", "https://me@push.example/a", "https://push.example/a#b",
        "https://push .example/", "https://push.example\\@10.0.0.1/", "https:///a", "nothing",
        "https://127.0.0.1/a", "https://[::1]/a", "https://[::ffff:10.0.0.1]/a",
        "https://169.254.169.254/latest", "https://10.0.5.7/a", "https://8.8.8.8:22/a",
        f"https://push.example/{'a' * 1024}",
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"^the endpoint"):
            checked_endpoint(text, public)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PushServiceForTests]:
    """A push service."""
    with push_service(tmp_path) as opened:
        yield opened


@contextmanager
def _opened(file: Path, clock: ManualClock) -> Iterator[tuple[WebState, PushDesk]]:
    """What one process has, without its threads: the test says when it looks."""
    state = open_state(file, (), clock)
    assert state.push is not None
    with closing(state.store):
        yield state, state.push
        state.push.stop()


def _happening(clock: ManualClock, number: int, camera: str = "door", rule: str = "in") -> Event:
    at = clock.now()
    person = Subject("person", number)
    name = event_id(camera, rule, str(number), at)
    return Event(name, "line_crossing", "start", camera, rule, at, person, {"line": "sill"})


def _device(browser: ReceivingBrowser, service: PushServiceForTests, who: str) -> PushDevice:
    said = browser.subscription(service.url)
    keys = said["keys"]
    return PushDevice(
        browser.name, who, said["endpoint"], keys["p256dh"], keys["auth"], "en", 0.0, 2e9
    )


def _titles(browser: ReceivingBrowser, arrivals: list[Arrival]) -> list[str]:
    mine = [one for one in arrivals if one.path.endswith(f"/{browser.name}")]
    return [json.loads(browser.read(one.body))["title"] for one in mine]


def _all_turns(desk: PushDesk) -> None:
    while desk.turn() == 0.0:
        pass


def test_one_is_told_once_of_what_one_wants_and_may_see(
    tmp_path: Path, service: PushServiceForTests
) -> None:
    """Lists of cameras, wishes, pauses and quiet hours, as they are when the message is sent."""
    clock = ManualClock()
    file = shop_file(tmp_path, service.section())
    with _opened(file, clock) as (state, desk):
        store, phone, desk_pc = state.store, ReceivingBrowser("phone"), ReceivingBrowser("pc")
        people, pushing = store.people, store.pushing
        assert people.add_person(Person("ada", "", Role.ADMIN))
        assert people.add_person(Person("bob", "", Role.VIEWER, ("till",)))
        store.commit(Commit(events=(_happening(clock, 0),)))
        assert pushing.add_device(_device(phone, service, "ada"))
        assert pushing.add_device(_device(desk_pc, service, "bob"))
        _all_turns(desk)
        assert service.take() == []  # of the time before

        first = _happening(clock, 1)
        store.commit(Commit(events=(first, _happening(clock, 2, "till"))))
        _all_turns(desk)
        arrivals = service.take()
        assert sorted(_titles(phone, arrivals)) == [
            "Person crossed sill – door",
            "Person crossed sill – till",
        ]
        assert _titles(desk_pc, arrivals) == ["Person crossed sill – till"]
        arrived = next(one for one in arrivals if one.path.endswith("phone"))
        config = desk.config
        assert config is not None
        claims = arrived.signed_claims(desk.signer(config).public_key)
        assert claims["sub"] == CONTACT
        assert claims["aud"] == service.url.removesuffix("/push")
        assert clock.now() < claims["exp"] <= clock.now() + 86400
        assert arrived.headers["content-encoding"] == "aes128gcm"
        assert 0 < int(arrived.headers["ttl"]) <= TOO_OLD_S
        assert len(arrived.headers["topic"]) == 32
        said = json.loads(phone.read(arrived.body))
        assert said["url"] == f"/events?show=all&event={said['tag']}"
        assert said["body"] == "14 Nov 23:13 · in"
        assert said["tag"] in {first.id, _happening(clock, 2, "till").id}

        # Within the pause nothing, of its updates and its end nothing.
        later = replace(first, phase="update", update=1)
        store.commit(Commit(events=(_happening(clock, 3), later, replace(first, phase="end"))))
        _all_turns(desk)
        assert service.take() == []

        # Ends for who wants them; another pause; one camera alone.
        pushing.keep_wishes("ada", PushWishes(rules=(("door", "in"),), ends=True, pause_s=60.0))
        clock.advance(100.0)
        fourth = _happening(clock, 4)
        some = (fourth, _happening(clock, 5, "till"), _happening(clock, 5, "door", "out"))
        store.commit(Commit(events=(*some, replace(fourth, phase="end"))))
        _all_turns(desk)
        arrivals = service.take()
        assert _titles(phone, arrivals) == [
            "Person crossed sill – door",
            "Over: Person crossed sill – door",
        ]
        topics = {one.headers["topic"] for one in arrivals}
        assert len(topics) == 1  # the end replaces what is not delivered yet
        assert _titles(desk_pc, arrivals) == []

        # 23:15 in Berlin is in the quiet hours, and 22:15 in London is not.
        clock.advance(100.0)
        quiet = PushWishes(quiet=(23 * 60, 6 * 60), timezone="Europe/Berlin")
        pushing.keep_wishes("ada", quiet)
        store.commit(Commit(events=(_happening(clock, 6),)))
        _all_turns(desk)
        assert service.take() == []
        pushing.keep_wishes("ada", replace(quiet, timezone="Europe/London", pause_s=0.0))
        store.commit(Commit(events=(_happening(clock, 7),)))
        _all_turns(desk)
        assert len(service.take()) == 1

        # What was on its way when a list of cameras changed is not sent.
        service.status = 503
        store.commit(Commit(events=(_happening(clock, 8),)))
        _all_turns(desk)
        assert (len(service.take()), pushing.waiting()) == (1, 1)
        service.status = 201
        person = people.person("ada")
        assert person is not None
        assert people.add_person(Person("eve", "", Role.ADMIN))
        people.change_person(replace(person, role=Role.VIEWER, cameras=("till",)))
        assert pushing.devices("ada") == []
        clock.advance(60.0)
        _all_turns(desk)
        assert (service.take(), pushing.waiting()) == ([], 0)
        assert pushing.add_device(_device(phone, service, "ada"))
        store.commit(Commit(events=(_happening(clock, 9), _happening(clock, 9, "till"))))
        _all_turns(desk)
        assert _titles(phone, service.take()) == ["Person crossed sill – till"]
        people.remove_person("ada")
        store.commit(Commit(events=(_happening(clock, 10, "till"),)))
        _all_turns(desk)
        assert _titles(phone, service.take()) == []
        assert "ada" not in pushing.wishes()


def test_what_a_push_service_says_is_heeded(tmp_path: Path, service: PushServiceForTests) -> None:
    """Later, never, gone, or nothing at all: none is lost before its time, and all are counted."""
    clock = ManualClock()
    file = shop_file(tmp_path, service.section())
    with _opened(file, clock) as (state, desk):
        store, phone = state.store, ReceivingBrowser("phone")
        pushing = store.pushing
        assert store.people.add_person(Person("ada", "", Role.ADMIN))
        assert pushing.add_device(_device(phone, service, "ada"))
        pushing.keep_wishes("ada", PushWishes(pause_s=0.0))
        _all_turns(desk)

        def tell(number: int) -> int:
            store.commit(Commit(events=(_happening(clock, number),)))
            _all_turns(desk)
            return len(service.take())

        service.status, service.headers = 429, {"Retry-After": "120"}
        assert tell(1) == 1
        clock.advance(100.0)
        _all_turns(desk)
        assert (service.take(), pushing.waiting()) == ([], 1)
        service.status, service.headers = 201, {}
        clock.advance(30.0)
        _all_turns(desk)
        assert (len(service.take()), pushing.waiting()) == (1, 0)
        assert pushing.devices()[0].told_at == clock.now()

        service.status = 500
        assert tell(2) == 1
        assert "status 500" in pushing.devices()[0].trouble
        for _ in range(12):
            clock.advance(600.0)
            _all_turns(desk)
        assert pushing.waiting() == 0
        assert 2 < len(service.take()) < 10

        service.status = 400
        assert (tell(3), pushing.waiting()) == (1, 0)
        service.status, service.headers = 302, {"Location": f"{service.url}/elsewhere"}
        assert (tell(4), pushing.waiting()) == (1, 0)
        service.status, service.headers = 410, {}
        assert (tell(5), pushing.devices()) == (1, [])
        assert pushing.outcomes(clock.now() - 86400) == {
            PushOutcome.SENT: 1,
            PushOutcome.TOO_OLD: 1,
            PushOutcome.REFUSED: 2,
            PushOutcome.GONE: 1,
        }


def test_a_restart_and_a_second_process_neither_lose_nor_repeat(
    tmp_path: Path, service: PushServiceForTests
) -> None:
    """One of two sends; the other goes on where it has ended, with the same key."""
    clock = ManualClock()
    file = shop_file(tmp_path, service.section())
    phone = ReceivingBrowser("phone")
    with _opened(file, clock) as (state, desk), _opened(file, clock) as (_, other):
        store = state.store
        assert store.people.add_person(Person("ada", "", Role.ADMIN))
        assert store.pushing.add_device(_device(phone, service, "ada"))
        store.pushing.keep_wishes("ada", PushWishes(pause_s=0.0))
        _all_turns(desk)
        _all_turns(other)
        store.commit(Commit(events=(_happening(clock, 1),)))
        _all_turns(other)
        assert service.take() == []
        _all_turns(desk)
        assert len(service.take()) == 1
        service.status = 503
        store.commit(Commit(events=(_happening(clock, 2),)))
        _all_turns(desk)
        assert len(service.take()) == 1
        service.status = 201
        store.commit(Commit(events=(_happening(clock, 3),)))
        config = desk.config
        assert config is not None
        assert desk.signer(config).public_key == other.signer(config).public_key
        desk.start()
        desk.stop()  # an orderly end hands over at once
        service.take()
        store.commit(Commit(events=(_happening(clock, 4),)))
        clock.advance(60.0)
        _all_turns(other)
        assert store.pushing.waiting() == 0
        sent = store.pushing.outcomes(clock.now())[PushOutcome.SENT]
        service.take()
        _all_turns(desk)  # the other one has the right now
        assert (service.take(), sent) == ([], 4)
    with _opened(file, clock) as (state, desk):
        _all_turns(desk)
        assert service.take() == []
        state.store.commit(Commit(events=(_happening(clock, 5),)))
        _all_turns(desk)
        assert len(service.take()) == 1


def test_two_processes_at_once_send_each_message_once(
    tmp_path: Path, service: PushServiceForTests
) -> None:
    """With their threads, as in earnest."""
    file = shop_file(tmp_path, service.section())
    phone = ReceivingBrowser("phone")
    with house(file) as first, house(file) as second:
        client = first.signed_in("ada", Role.ADMIN)
        added = client.post("/push/devices", json=phone.subscription(service.url, "de"))
        assert added.status_code == 201, added.text
        assert client.put("/push/choice", json={"pause_s": 0}).status_code == 200
        clock = ManualClock(time.time() + 1)
        numbers = range(6)
        for number in numbers:
            house_ = (first, second)[number % 2]
            house_.state.store.commit(Commit(events=(_happening(clock, number),)))
        _wait_for(lambda: len(service.arrivals) >= len(numbers))
        tags = [json.loads(phone.read(one.body))["tag"] for one in service.arrivals]
        _wait_for(lambda: first.state.store.pushing.waiting() == 0)
        assert sorted(tags) == sorted(_happening(clock, number).id for number in numbers)
        title = json.loads(phone.read(service.arrivals[0].body))["title"]
        assert title == "Person überquerte sill – door"
        device = added.json()["id"]
        assert client.post(f"/push/devices/{device}/trial").json() == {"is_sent": True, "why": ""}
        said = json.loads(phone.read(service.arrivals[-1].body))
        assert (said["title"], said["url"]) == ("Probenachricht", "/settings")
        again = client.post(f"/push/devices/{device}/trial")
        assert (again.status_code, "retry-after" in again.headers) == (429, True)


def test_everybody_has_devices_of_his_own_and_no_secret_comes_out(
    tmp_path: Path, service: PushServiceForTests
) -> None:
    """Ten of them at most; signing out ends those of the session."""
    with house(shop_file(tmp_path, service.section())) as home:
        ada, bob = home.signed_in("ada"), home.signed_in("bob", Role.VIEWER, ("till",))
        phone = ReceivingBrowser("phone")
        sent = phone.subscription(service.url)
        device = ada.post("/push/devices", json=sent).json()["id"]
        assert ada.post("/push/devices", json=sent).json()["id"] == device
        info = ada.get("/push")
        assert [one["id"] for one in info.json()["devices"]] == [device]
        assert info.json()["state"] == "on"
        for secret in (sent["endpoint"], sent["keys"]["auth"], "PRIVATE"):
            assert secret not in info.text
        assert bob.get("/push").json()["devices"] == []
        for method, path in (("DELETE", ""), ("POST", "/trial")):
            assert bob.request(method, f"/push/devices/{device}{path}").status_code == 404
        hidden = {"rules": [{"camera": "door", "rule": "in"}]}
        assert bob.put("/push/choice", json=hidden).status_code == 404
        odd = ada.put("/push/choice", json={"timezone": "Mars/Olympus"})
        assert (odd.status_code, odd.json()["error"]["place"]) == (422, "timezone")
        for endpoint in ("http://push.example/a", "https://192.168.0.1/a"):
            refused = ada.post("/push/devices", json={**sent, "endpoint": endpoint})
            assert (refused.status_code, refused.json()["error"]["place"]) == (422, "endpoint")
        keys = {"p256dh": "AAAA", "auth": "AAAA"}
        assert ada.post("/push/devices", json={**sent, "keys": keys}).status_code == 422
        for number in range(9):
            more = ReceivingBrowser(f"more{number}", phone.key).subscription(service.url)
            assert ada.post("/push/devices", json=more).status_code == 201
        more = ReceivingBrowser("eleventh", phone.key).subscription(service.url)
        full = ada.post("/push/devices", json=more)
        assert (full.status_code, "10 devices" in full.text) == (409, True)
        assert ada.delete(f"/push/devices/{device}").status_code == 204

        other = home.stranger()
        assert sign_in(other, "ada").status_code == 200
        assert other.post("/push/devices", json=sent).status_code == 201
        assert other.delete("/session").status_code == 204
        assert len(ada.get("/push").json()["devices"]) == 9
        # A browser that somebody else signs in with is no longer told for who had it before.
        assert ada.post("/push/devices", json=sent).status_code == 201
        assert bob.post("/push/devices", json=sent).status_code == 201
        assert len(ada.get("/push").json()["devices"]) == 9
        _health_says_it(home)
        assert _modes(tmp_path / "moonwatch.db") == 0o600


def test_without_a_section_nothing_is_on(tmp_path: Path) -> None:
    """Off until somebody writes `web.push`; the answer says so in a sentence."""
    with house(shop_file(tmp_path)) as home:
        ada = home.signed_in("ada", Role.ADMIN)
        info = ada.get("/push").json()
        assert (info["state"], info["public_key"]) == ("off", None)
        assert "web.push" in info["why"]
        sent = ReceivingBrowser("phone").subscription("https://push.example")
        assert ada.post("/push/devices", json=sent).status_code == 409
        assert ada.get("/health").json()["push"] is None


def test_a_missing_library_is_said_and_names_of_this_machine_are_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` and the page have the same sentence; what is refused looks like what is away."""
    section = f"web: {{push: {{contact: '{CONTACT}'}}}}\n"
    with house(shop_file(tmp_path, section)) as home:
        ada = home.signed_in("ada", Role.ADMIN)
        sent = ReceivingBrowser("phone").subscription("https://localhost")
        device = ada.post("/push/devices", json=sent).json()["id"]
        result = ada.post(f"/push/devices/{device}/trial").json()
        assert result == {"is_sent": False, "why": UNREACHABLE}
        monkeypatch.setitem(sys.modules, "cryptography", None)
        info = ada.get("/push").json()
        push = home.state.deployment.web.push
        assert push is not None
        (lack,) = push.lacks()
        assert (info["state"], info["why"]) == ("missing", lack.message)
        assert "needs cryptography" in lack.message
        assert not lack.is_fatal
        assert ada.post("/push/devices", json=sent).status_code == 409


def _health_says_it(home: House) -> None:
    found = home.signed_in("root", Role.ADMIN).get("/health").json()["push"]
    assert found["devices"] == 10
    assert (found["waiting"], found["sent"], found["dropped"]) == (0, 0, 0)


def _modes(database: Path) -> int:
    """The store holds the key that messages are signed by."""
    return database.stat().st_mode & 0o777


def _wait_for(fact: Callable[[], bool]) -> None:
    until = time.monotonic() + patience(30)
    while not fact():
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.02)


def test_the_key_is_made_once(tmp_path: Path) -> None:
    """Whoever asks first makes it; all others get the same."""
    with closing(SqlStore(f"sqlite:///{tmp_path}/store.db")) as store:
        first = store.pushing.key(new_key())
        assert store.pushing.key(new_key()) == first
