"""Notifications in a real browser: switched on under Settings, shown by the service worker."""

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import CDPSession, Page, expect

from pipeline.core.events import Event, Phase, Subject, event_id
from pipeline.core.people import Role
from pipeline.core.store import Commit
from pipeline.testing import patience
from tests.web.browser import PHONE, WIDE, NewPage, assert_accessible, in_browser
from tests.web.houses import House, house, shop_file
from tests.web.push_service import CONTACT, PushServiceForTests, ReceivingBrowser, push_service

pytestmark = in_browser
_AGAIN_S = 3.0
_SUBSCRIBES = """(() => {
  const said = %s;
  let made = null;
  PushManager.prototype.getSubscription = async () => made;
  PushManager.prototype.subscribe = async (options) => {
    if (!options.userVisibleOnly || Notification.permission !== "granted") throw new Error("no");
    made = {
      endpoint: said.endpoint,
      options: { applicationServerKey: options.applicationServerKey.buffer },
      toJSON: () => said,
      unsubscribe: async () => { made = null; return true; },
    };
    return made;
  };
})()"""
_SECTION = f"web: {{push: {{contact: '{CONTACT}'}}}}\n"
_SHOWN = """async () => {
  const registration = await navigator.serviceWorker.ready;
  const found = await registration.getNotifications();
  return found.map((one) => [one.title, one.body, one.tag, one.lang]);
}"""
_CLICK = """async () => {
  const [notification] = await self.registration.getNotifications();
  self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
}"""
_KEPT = """async () => {
  const caches_ = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
  const requests = await Promise.all(caches_.map((cache) => cache.keys()));
  return requests.flat().map((one) => one.url);
}"""


def test_a_message_is_shown_by_the_service_worker_and_leads_to_its_event(
    tmp_path: Path, new_page: NewPage
) -> None:
    """Switched on under Settings, sent by the application, read and handed over as a push service
    and a browser do it, shown, clicked. The subscription alone is not the browser's own, as that
    needs the service of its maker.
    """
    browser = ReceivingBrowser("here")
    with push_service(tmp_path) as service, house(shop_file(tmp_path, service.section())) as home:
        page = new_page(permissions=["notifications"], service_workers="allow")
        page.add_init_script(_SUBSCRIBES % json.dumps(browser.subscription(service.url)))
        _sign_in(page, home, "ada")
        page.goto(f"{home.url}/settings")
        page.get_by_role("button", name="Switch on here").click()
        expect(page.get_by_text("On in this browser", exact=True)).to_be_visible()
        cdp = page.context.new_cdp_session(page)
        number = _registration(cdp, page)

        event = _crossing(home, "start")
        home.state.store.commit(Commit(events=(event,)))
        said = _sent(page, service, browser)
        assert said["url"].startswith("/events?")
        deliver = partial(_deliver, cdp, home, number)
        _wait_for_shown(
            page,
            [[said["title"], said["body"], said["tag"], "en"]],
            lambda: deliver(json.dumps(said)),
        )
        # What is said again of the same happening takes the place of what was said first.
        over = {**said, "title": f"Over: {said['title']}"}
        _wait_for_shown(
            page,
            [[over["title"], said["body"], said["tag"], "en"]],
            lambda: deliver(json.dumps(over)),
        )

        page.context.service_workers[0].evaluate(_CLICK)
        expect(page).to_have_url(f"{home.url}{said['url']}")
        expect(page.get_by_role("dialog")).to_be_visible()
        _wait_for_shown(page, [])
        # What cannot be read is shown all the same, and leads nowhere else.
        _wait_for_shown(page, [["moonwatch", "", "moonwatch", "en"]], lambda: deliver("no JSON"))
        kept = [urlsplit(address).path for address in page.evaluate(_KEPT)]
        assert "/" in kept
        assert not [path for path in kept if path.startswith(("/api", "/events", "/settings"))]


def test_the_settings_say_what_one_is_told_and_where(tmp_path: Path, new_page: NewPage) -> None:
    """What stands against it is said; what is chosen is kept; a device is removed."""
    with house(shop_file(tmp_path, _SECTION)) as home:
        page = new_page(language="de-DE", width=PHONE)
        client = _sign_in(page, home, "ada")
        sent = ReceivingBrowser("phone").subscription("https://push.example")
        agent = "Mozilla/5.0 (Android 16; Mobile; rv:150.0) Gecko/150.0 Firefox/150.0"
        client.headers["User-Agent"] = agent
        assert client.post("/push/devices", json=sent).status_code == 201
        page.goto(f"{home.url}/settings")
        # Nobody is there to say yes, so the browser says no by itself.
        page.get_by_role("button", name="Hier einschalten").click()
        expect(page.get_by_text("durfte keine Benachrichtigungen zeigen")).to_be_visible()
        expect(page.get_by_text("Firefox, Android", exact=True)).to_be_visible()
        page.get_by_role("group", name="Regeln").get_by_role("radio", name="Einige").check()
        page.get_by_label("door: Störung der Kamera").check()
        page.get_by_label("Ruhezeit").check()
        page.get_by_label("Von", exact=True).fill("23:30")
        page.get_by_label("Auch melden, wenn es vorbei ist").check()
        page.get_by_label("Nach einer Nachricht").select_option("3600")
        for width in (PHONE, WIDE):
            page.set_viewport_size({"width": width, "height": 900})
            assert_accessible(page)
        page.get_by_role("button", name="Speichern").click()
        expect(page.get_by_text("Gespeichert; es gilt")).to_be_visible()
        choice = client.get("/push").json()["choice"]
        assert choice["rules"] == [{"camera": "door", "rule": "camera"}]
        assert choice["quiet"] == {"since": 23 * 60 + 30, "until": 6 * 60}
        assert (choice["ends"], choice["pause_s"]) == (True, 3600)
        page.get_by_role("button", name="Firefox, Android entfernen").click()
        expect(page.get_by_text("Noch keine")).to_be_visible()
        assert client.get("/push").json()["devices"] == []


def _sign_in(page: Page, home: House, name: str) -> httpx.Client:
    client = home.signed_in(name, Role.ADMIN)
    value = client.cookies["moonwatch"]
    page.context.add_cookies([{"name": "moonwatch", "value": value, "url": home.url}])
    return client


def _crossing(home: House, kind: Phase) -> Event:
    at = home.state.clock.now()
    name = event_id("door", "in", "7", at)
    details = {"line": "sill", "direction": "in"}
    return Event(name, "line_crossing", kind, "door", "in", at, Subject("person", 7), details)


def _sent(page: Page, service: PushServiceForTests, browser: ReceivingBrowser) -> dict[str, str]:
    """The next message that the application sends to a browser."""
    until = time.monotonic() + patience(20)
    while not service.arrivals:
        assert time.monotonic() < until, "the application sends nothing"
        page.wait_for_timeout(20)
    (arrival,) = service.take()
    said: dict[str, str] = json.loads(browser.read(arrival.body))
    return said


def _wait_for_shown(
    page: Page, wanted: list[list[str]], deliver: Callable[[], None] | None = None
) -> None:
    """Until these notifications are there, and no others.

    A browser drops what the protocol of its tools delivers while a worker is being started, so
    it is delivered again now and then: each message takes the place of the one before.
    """
    until = time.monotonic() + patience(10)
    again = time.monotonic()
    while (shown := page.evaluate(_SHOWN)) != wanted:
        assert time.monotonic() < until, shown
        if deliver is not None and time.monotonic() >= again:
            deliver()
            again = time.monotonic() + _AGAIN_S
        page.wait_for_timeout(20)


def _registration(cdp: CDPSession, page: Page) -> str:
    """The number under which the browser knows the service worker."""
    found: list[str] = []

    def note(said: dict[str, list[dict[str, str]]]) -> None:
        found.extend(one["registrationId"] for one in said["registrations"])

    cdp.on("ServiceWorker.workerRegistrationUpdated", note)
    cdp.send("ServiceWorker.enable")
    until = time.monotonic() + patience(10)
    while not found:
        assert time.monotonic() < until, "the browser does not name its service worker"
        page.wait_for_timeout(20)
    return found[-1]


def _deliver(cdp: CDPSession, home: House, number: str, data: str) -> None:
    said = {"origin": home.url, "registrationId": number, "data": data}
    cdp.send("ServiceWorker.deliverPushMessage", said)
