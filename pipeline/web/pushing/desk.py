"""Tells browsers of events: one process of all that serve the application reads and sends.

It follows the store's order of arrival with a position of its own, and writes a message down in the
step in which it moves on, so that a restart neither loses nor repeats one. A message is taken away
after the push service has taken it: who is killed in between sends it twice, and the browser shows
the second in the place of the first.
"""

import asyncio
import hashlib
import importlib.util
import json
import logging
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from typing import Final
from urllib.parse import quote
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.stores.sql import SqlStore
from pipeline.core.clock import Clock
from pipeline.core.errors import MoonwatchError
from pipeline.core.events import Event
from pipeline.core.people import Person, SessionRecord
from pipeline.core.pushing import (
    PushDevice,
    PushLetter,
    PushOutcome,
    PushStep,
    PushWishes,
    ToldOf,
)
from pipeline.core.retrying import SaidOnce
from pipeline.core.store import StoredEvent, UnreadableEvent
from pipeline.core.unforeseen import UnforeseenErrors
from pipeline.deployment.model import Deployment
from pipeline.web.access.visitor import Visitor
from pipeline.web.config import WebPushConfig
from pipeline.web.pushing import texts
from pipeline.web.pushing.sealing import LIBRARIES, PushSigner, new_key, sealed, to_base64url
from pipeline.web.pushing.services import PushReply, PushServices, PushUnreachable

logger = logging.getLogger(__name__)

TOO_OLD_S: Final = 3600.0
"""What could not be told for so long is not told any more."""
_EVERY_S, _EVERY_S_FOR_NOBODY = 1.0, 15.0
# A turn begins no message after _ENOUGH_S, and each has a deadline, so that a turn ends within its
# claim: what is taken over by another process is not sent twice.
_CLAIM_S, _CLAIM_AGAIN_S = 40.0, 10.0
_ENOUGH_S = 10.0
_AT_ONCE, _IN_A_TURN = 8, 16
_EVENTS_AT_ONCE = 200
_FIRST_REST_S, _LONGEST_REST_S = 10.0, 900.0
_TIDY_EVERY_S = 3600.0
_TRIAL_EVERY_S = 5.0
_STOP_S = 12.0
_GONE = frozenset({404, 410})
_LATER = frozenset({408, 425, 429})
_TOO_LARGE = 413
_NOTHING_SAID = PushWishes()


@dataclass(slots=True)
class _Receivers:
    """What is known at the moment of sending."""

    devices: Mapping[str, PushDevice]
    people: Mapping[str, Person]
    sessions: Mapping[str, SessionRecord]

    def visitor(self, device: PushDevice) -> Visitor | None:
        """Whom a device belongs to, with what he may see now; None for nobody."""
        if device.is_foreign:
            session = self.sessions.get(device.session or "")
            if session is None or session.who != device.who or session.role is None:
                return None
            return Visitor.of_role(device.who, session.role, session.cameras)
        person = self.people.get(device.who)
        if person is None or person.disabled_at is not None:
            return None
        return Visitor.of_role(person.name, person.role, person.cameras)


@dataclass(slots=True)
class _SentInTurn:
    """What came of some messages, until it is written down."""

    again: list[PushLetter] = field(default_factory=list)
    done: list[PushLetter] = field(default_factory=list)
    devices: dict[str, PushDevice] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    outcomes: Counter[PushOutcome] = field(default_factory=Counter)

    def end(self, letter: PushLetter, outcome: PushOutcome | None = None) -> None:
        """This message is not on its way any more."""
        self.done.append(letter)
        if outcome is not None:
            self.outcomes[outcome] += 1

    def step(self) -> PushStep:
        """All of it."""
        return PushStep(
            letters=self.again,
            done=self.done,
            devices=list(self.devices.values()),
            gone=self.gone,
            outcomes=self.outcomes,
        )


class PushDesk:
    """Sends in a thread of its own, while this process is the one that sends."""

    def __init__(self, deployment: Callable[[], Deployment], store: SqlStore, clock: Clock) -> None:
        self._deployment, self._store, self._clock = deployment, store, clock
        self._services = PushServices()
        self._holder = secrets.token_hex(8)
        self._stop, self._wake = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="push", daemon=True)
        self._claimed_at = float("-inf")
        self._tidied_at = float("-inf")
        self._position = 0
        self._lock = threading.Lock()
        self._trials: dict[str, float] = {}
        self._signer: tuple[str, PushSigner] | None = None
        self._unforeseen = UnforeseenErrors("sending messages to browsers", clock, logger)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """Send no more, and let another process send; safe to repeat."""
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)
        if not self._thread.is_alive():
            try:
                self._give_back()
            except MoonwatchError as error:
                logger.info("the right to send could not be given back: %s", error)
        self._services.close()

    def look_now(self) -> None:
        """Look at once, as there is somebody to be told."""
        self._wake.set()

    @property
    def config(self) -> WebPushConfig | None:
        """What the file says now; None where nobody is told."""
        return self._deployment().web.push

    @property
    def unforeseen(self) -> str | None:
        """What went wrong that nobody foresaw, while it is so."""
        return self._unforeseen.trouble

    @property
    def lacks(self) -> str | None:
        """Why nobody can be told although the file says so: a sentence; None if all is there."""
        config = self.config
        if config is None or _libraries_are_there():
            return None
        return next(iter(config.lacks())).message

    def signer(self, config: WebPushConfig) -> PushSigner:
        """Signs messages, by the key that the store keeps. Raises StoreError."""
        with self._lock:
            if self._signer is None or self._signer[0] != config.contact:
                key = self._store.pushing.key(new_key())
                self._signer = config.contact, PushSigner(key, config.contact)
            return self._signer[1]

    def trial(self, device: PushDevice) -> str | None:
        """Send a message to see whether it comes: why it was not taken; None if it was.

        Raises StoreError.
        """
        config = self.config
        if config is None or self.lacks is not None:
            return "messages are off"
        title, text = texts.trial_of(device.language)
        said = {"title": title, "body": text, "tag": "trial", "url": "/settings"}
        reply = asyncio.run(self._post(config, self.signer(config), device, said, "trial", 300))
        if isinstance(reply, str):
            return reply
        if 200 <= reply.status < 300:
            return None
        if reply.status in _GONE:
            self._store.pushing.remove_device(device.id, device.who)
            return "the push service does not know this device any more: switch it on again"
        return f"the push service refused it (status {reply.status})"

    def trial_wait_s(self, who: str) -> float:
        """How long somebody has to wait for another trial; 0 if he may, which is noted."""
        now = self._clock.monotonic()
        with self._lock:
            rest = self._trials.get(who, float("-inf")) + _TRIAL_EVERY_S - now
            if rest > 0:
                return rest
            if len(self._trials) > 1000:
                self._trials.clear()
            self._trials[who] = now
        return 0.0

    def turn(self) -> float:
        """Look at what is new, and send what is due; how long to rest then. Raises StoreError."""
        config = self.config
        if config is None or not _libraries_are_there():
            self._give_back()
            return _EVERY_S
        devices = {device.id: device for device in self._store.pushing.devices()}
        if not self._has_claim(for_nobody=not devices):
            return _EVERY_S
        if not devices:
            return _EVERY_S_FOR_NOBODY
        now = self._clock.now()
        if self._clock.monotonic() - self._tidied_at >= _TIDY_EVERY_S:
            self._store.pushing.tidy(now)
            self._tidied_at = self._clock.monotonic()
        found = self._store.outbox(self._position, _EVENTS_AT_ONCE)
        if found and not self._look(self._known(devices), found, now):
            return _EVERY_S
        due = self._store.pushing.due(now, _IN_A_TURN)
        # Who it was taken for may have changed since: it is asked anew before each sending.
        if due and not self._note(asyncio.run(self._send(config, self._known(devices), due))):
            return _EVERY_S
        is_more = len(found) == _EVENTS_AT_ONCE or len(due) == _IN_A_TURN
        return 0.0 if is_more else _EVERY_S

    def _run(self) -> None:
        outage = SaidOnce(logger, "messages to browsers are sent again")
        while not self._stop.is_set():
            rest_s = 5 * _EVERY_S
            try:
                rest_s = self.turn()
            except MoonwatchError as error:
                outage.lost(f"messages to browsers are not sent: {error}")
            except Exception as error:  # noqa: BLE001 - the next turn may go well
                self._unforeseen.happened(error)
            else:
                outage.works()
            self._wake.wait(rest_s)
            self._wake.clear()

    def _has_claim(self, *, for_nobody: bool) -> bool:
        now = self._clock.monotonic()
        if not for_nobody and now - self._claimed_at < _CLAIM_AGAIN_S:
            return True
        position = self._store.pushing.claim(self._holder, _CLAIM_S, to_newest=for_nobody)
        if position is None:
            self._claimed_at = float("-inf")
            return False
        self._claimed_at, self._position = now, position
        return True

    def _give_back(self) -> None:
        if self._claimed_at != float("-inf"):
            self._claimed_at = float("-inf")
            self._store.pushing.release(self._holder)

    def _note(self, step: PushStep) -> bool:
        is_ours = self._store.pushing.note(self._holder, step, self._clock.now())
        if not is_ours:
            self._claimed_at = float("-inf")
        return is_ours

    def _known(self, devices: Mapping[str, PushDevice]) -> _Receivers:
        people = {person.name: person for person in self._store.people.people()}
        sessions: dict[str, SessionRecord] = {}
        if any(device.is_foreign for device in devices.values()):
            sessions = {session.id: session for session in self._store.people.sessions()}
        return _Receivers(devices, people, sessions)

    def _look(
        self, known: _Receivers, found: Sequence[StoredEvent | UnreadableEvent], now: float
    ) -> bool:
        """Write down who is to be told of what is new; False if another process sends now."""
        wishes = self._store.pushing.wishes()
        told = {(one.who, one.camera, one.rule): one for one in self._store.pushing.told()}
        fresh: dict[tuple[str, str, str], ToldOf] = {}
        letters: list[PushLetter] = []
        outcomes: Counter[PushOutcome] = Counter()
        for stored in found:
            if not isinstance(stored, StoredEvent):
                continue
            event = stored.event
            for who in {device.who for device in known.devices.values()}:
                key = (who, event.camera, event.rule)
                last = fresh.get(key) or told.get(key)
                if not _is_told(event, wishes.get(who, _NOTHING_SAID), last, now):
                    continue
                his = [one for one in known.devices.values() if one.who == who]
                his = [one for one in his if one.made_at <= stored.kept_at]
                his = [one for one in his if _sees(known.visitor(one), event)]
                if now - stored.kept_at > TOO_OLD_S:
                    outcomes[PushOutcome.TOO_OLD] += len(his)
                    continue
                letters += [PushLetter(one.id, stored.position, now, now) for one in his]
                if his and event.phase != "end":
                    fresh[key] = ToldOf(*key, now, event.id)
        position = found[-1].position
        step = PushStep(position, letters, list(fresh.values()), outcomes=outcomes)
        if not self._note(step):
            return False
        self._position = position
        return True

    async def _send(
        self, config: WebPushConfig, known: _Receivers, due: Sequence[PushLetter]
    ) -> PushStep:
        turn, now, signer = _SentInTurn(), self._clock.now(), self.signer(config)
        at_once = asyncio.Semaphore(_AT_ONCE)
        # A slow service must not hold a turn beyond its claim; what is left stays due.
        enough_at = self._clock.monotonic() + _ENOUGH_S

        async def send(device: PushDevice, some: Sequence[tuple[PushLetter, Event]]) -> None:
            # One after the other: an end that overtook its beginning would be replaced by it.
            rests_until: float | None = None
            for letter, event in some:
                if self._clock.monotonic() >= enough_at or device.id in turn.gone:
                    break
                if rests_until is not None:
                    turn.again.append(replace(letter, next_at=rests_until))
                    continue
                left_s = letter.made_at + TOO_OLD_S - now
                said, topic = self._message(event, device), event.id
                async with at_once:
                    reply = await self._post(config, signer, device, said, topic, left_s)
                rests_until = self._settle(turn, letter, device, reply)

        sending: dict[str, list[tuple[PushLetter, Event]]] = {}
        for letter in sorted(due, key=lambda one: one.position):
            device = known.devices.get(letter.device)
            event = self._event(letter.position)
            if device is None:
                turn.end(letter)
            elif event is None or not 0 <= now - letter.made_at <= TOO_OLD_S:
                turn.end(letter, PushOutcome.TOO_OLD)
            elif not _sees(known.visitor(device), event):
                turn.end(letter, PushOutcome.FORBIDDEN)
            else:
                sending.setdefault(device.id, []).append((letter, event))
        await asyncio.gather(*(send(known.devices[one], some) for one, some in sending.items()))
        return turn.step()

    def _settle(
        self, turn: _SentInTurn, letter: PushLetter, device: PushDevice, reply: PushReply | str
    ) -> float | None:
        """Note what became of a message; until when the device is left alone, if it failed."""
        now = self._clock.now()
        status = None if isinstance(reply, str) else reply.status
        if status is not None and 200 <= status < 300:
            turn.end(letter, PushOutcome.SENT)
            turn.devices[device.id] = replace(device, told_at=now, trouble="")
        elif status in _GONE:
            turn.end(letter, PushOutcome.GONE)
            turn.gone.append(device.id)
        elif status is None or status >= 500 or status in _LATER:
            trouble = reply if isinstance(reply, str) else _refused(reply)
            asked_s = None if isinstance(reply, str) else reply.retry_after_s
            doubled = _FIRST_REST_S * 2.0 ** min(letter.tries, 10)
            next_at = now + max(min(_LONGEST_REST_S, doubled), asked_s or 0.0)
            turn.devices[device.id] = replace(device, trouble=trouble)
            if next_at > letter.made_at + TOO_OLD_S:
                turn.end(letter, PushOutcome.TOO_OLD)
            else:
                turn.again.append(replace(letter, next_at=next_at, tries=letter.tries + 1))
            return next_at
        else:
            turn.end(letter, PushOutcome.REFUSED)
            trouble = reply if isinstance(reply, str) else _refused(reply)
            turn.devices[device.id] = replace(device, trouble=trouble)
        return None

    async def _post(
        self,
        config: WebPushConfig,
        signer: PushSigner,
        device: PushDevice,
        said: Mapping[str, str],
        topic: str,
        lasts_s: float,
    ) -> PushReply | str:
        """What the push service says, or why it says nothing."""
        body = json.dumps({**said, "lang": device.language}, ensure_ascii=False).encode()
        headers = {
            "ttl": str(max(0, round(lasts_s))),
            "urgency": "high",
            "topic": to_base64url(hashlib.sha256(topic.encode()).digest())[:32],
            "content-encoding": "aes128gcm",
            "content-type": "application/octet-stream",
            "authorization": signer.authorization(device.endpoint, self._clock.now()),
        }
        try:
            message = sealed(body, device.public_key, device.auth)
        except ValueError as error:
            logger.warning("a message cannot be sealed: %s", error)
            return PushReply(_TOO_LARGE)
        try:
            return await self._services.post(device.endpoint, message, headers, config)
        except PushUnreachable as error:
            return str(error)

    def _message(self, event: Event, device: PushDevice) -> dict[str, str]:
        deployment = self._deployment()
        known = event.camera in deployment.cameras
        site = deployment.site_of(event.camera) if known else deployment.site
        zone = ZoneInfo(site.timezone)
        return {
            "title": texts.title_of(event, device.language),
            "body": texts.text_of(event, device.language, zone),
            "tag": event.id,
            "url": f"/events?show=all&event={quote(event.id, safe='')}",
        }

    def _event(self, position: int) -> Event | None:
        found = self._store.outbox(position - 1, 1)
        if not found or found[0].position != position or not isinstance(found[0], StoredEvent):
            return None
        return found[0].event


def _is_told(event: Event, wishes: PushWishes, last: ToldOf | None, now: float) -> bool:
    if event.phase == "update" or not wishes.wants(event.camera, event.rule):
        return False
    here = datetime.fromtimestamp(now, _zone(wishes.timezone))
    if wishes.is_quiet(60 * here.hour + here.minute):
        return False
    if event.phase == "end":
        return wishes.ends and last is not None and last.happening == event.id
    return last is None or not 0 <= now - last.at < wishes.pause_s


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):  # of another machine
        return UTC


def _sees(visitor: Visitor | None, event: Event) -> bool:
    return visitor is not None and visitor.sees(event.camera)


def _refused(reply: PushReply) -> str:
    return f"the push service refused a message (status {reply.status})"


def _libraries_are_there() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in LIBRARIES)
