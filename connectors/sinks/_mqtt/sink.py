"""The sink at work: events with acknowledgement, states when they change, Home Assistant told."""

import logging
import random
import secrets
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from connectors.sinks._mqtt.announced import Announced, gone_from, read_note
from connectors.sinks._mqtt.commands import Command, commands_of, subscriptions
from connectors.sinks._mqtt.home_assistant import devices
from connectors.sinks._mqtt.link import BrokerLink, BrokerTerms, Publication
from connectors.sinks._mqtt.topics import (
    OFFLINE,
    ONLINE,
    Topics,
    availabilities,
    event_payload,
    states,
    switches,
)
from connectors.sinks._pictures import picture_of
from connectors.sinks._text import json_line
from connectors.sinks._tls import tls_context
from connectors.sinks.mqtt import MqttConfig
from pipeline.core.events import REPORT, Event, to_cloudevent
from pipeline.core.sinks import SinkContext
from pipeline.core.site_state import SiteLayout, SiteState

_log = logging.getLogger(__name__)
_EVENT_TYPE = "application/cloudevents+json"
# A broker, and Home Assistant, keep what they were told; this says that we are still here.
_HEARTBEAT_S = 30.0
# Levels expire in Home Assistant after three minutes without one.
_LEVEL_AGAIN_S = 60.0
# After Home Assistant has started, devices announce themselves one after another.
_AFTER_BIRTH_S = (1.0, 5.0)
_NOTE = "device "
# Between two looks, half a second apart.
_MOST_HEARD = 1000
# Brokers take small messages; for a picture that is not there soon nobody waits.
_PICTURE_BYTES, _PICTURE_WAIT_S = 256_000, 1.0


class MqttSink:
    """One connection, made when it is needed. At least once, with the id as a user property."""

    def __init__(self, config: MqttConfig, context: SinkContext) -> None:
        self._config, self._context = config, context
        self._clock = context.clock
        self._topics = Topics(config.base_at(context.site))
        self._place = config.url.shown()
        # The same for each connection of this process, so that the broker ends the one before when
        # there is a new one; never that of another process, which would end ours.
        self._client_id = f"moonwatch-{secrets.token_hex(8)}"
        self._tls = tls_context(config.tls, self._place) if config.url.scheme == "mqtts" else None
        self._link: BrokerLink | None = None
        self._has_will = False
        # What the connection has published, by topic, and when.
        self._shown: dict[str, tuple[bytes, float]] = {}
        self._last: SiteState | None = None
        self._announced: SiteLayout | None = None
        self._announce_at: float | None = None
        self._beat_at = float("-inf")
        self._is_online = False
        self._heard: deque[tuple[str, bytes]] = deque(maxlen=_MOST_HEARD)
        self._lock = threading.Lock()
        self._is_closing = False
        self._commands: dict[str, Command] = {}
        self._obeyed: SiteLayout | None = None
        # What was commanded and is not done yet, by topic: the store may be out of reach.
        self._asked: dict[str, bytes] = {}

    def send(self, events: Sequence[Event]) -> None:
        """Publish the events; SinkError unless the broker acknowledges all of them in time."""
        if not events:
            return
        # Pictures first: who is woken by an event finds its picture, not the one before it.
        messages = [*self._pictures(events)]
        messages += [message for event in events for message in self._of(event)]
        self._linked(with_will=self._has_will).publish(messages)

    def probe(self) -> str:
        """Connect and log in, without a will; what was found. Raises SinkError."""
        self._linked(with_will=False)
        login = "" if self._config.user is None else " and takes the login"
        return f"answers{login}"

    def show(self, state: SiteState, lag_s: float, undelivered: int) -> None:
        """Publish what has changed; all of it on a new connection, with `online` as the last."""
        link = self._linked(with_will=True)
        now = self._clock.monotonic()
        self._take_heed(now)
        self._obey(link, state)
        if self._announced is not state.layout or self._is_due(now):
            self._announce(link, state.layout)
            self._announce_at = None
            self._announced = state.layout
        if self._last is not state or now - self._beat_at >= _HEARTBEAT_S:
            self._show(link, state, now)
            self._last = state
        if now - self._beat_at >= _HEARTBEAT_S:
            about = {
                "delivery_lag_s": round(lag_s, 1),
                "undelivered": undelivered,
                "version": state.layout.version,
            }
            link.publish([Publication(self._topics.state, json_line(about)[:-1], retain=True)])
            self._beat_at = now
        if not self._is_online:
            link.publish([Publication(self._topics.availability, ONLINE, retain=True)])
            self._is_online = True
        while link.unheard:
            _log.warning(
                "%s does not let us subscribe to %s; check its access rules",
                self._place,
                link.unheard.popleft(),
            )

    def close(self) -> None:
        """Say that we are offline, and disconnect; safe to call twice."""
        link, self._link = self._link, None
        self._is_closing = True
        if link is None:
            return
        try:
            if self._has_will and link.over is None:
                # A clean end keeps the will from being published.
                link.publish([Publication(self._topics.availability, OFFLINE, retain=True)])
        finally:
            link.end()

    def _of(self, event: Event) -> Iterator[Publication]:
        record = to_cloudevent(event, self._context.site_of(event))
        yield Publication(
            self._topics.events,
            json_line(record)[:-1],
            content_type=_EVENT_TYPE,
            properties={"record_id": event.record_id},
        )
        topic = self._topics.of_event(event)
        if topic is not None and event.type != REPORT:
            yield Publication(
                topic,
                event_payload(event),
                content_type="application/json",
                properties={"record_id": event.record_id},
            )

    def _pictures(self, events: Sequence[Event]) -> Iterator[Publication]:
        """The last picture of each camera; of earlier ones nobody would see anything."""
        if not self._config.pictures:
            return
        last = {event.camera: event for event in events if event.camera and event.media}
        for event in last.values():
            picture = picture_of(
                event, self._context, most_bytes=_PICTURE_BYTES, wait_s=_PICTURE_WAIT_S
            )
            if picture is not None:
                yield Publication(
                    self._topics.camera(event.camera, "snapshot"),
                    picture.content,
                    retain=self._config.retain,
                    content_type=picture.media_type,
                    properties={"record_id": event.record_id},
                )

    def _linked(self, *, with_will: bool) -> BrokerLink:
        """The connection; a new one where there is none that can be used."""
        link = self._link
        if link is not None and link.over is None and self._has_will == with_will:
            return link
        if link is not None:
            self._link = None
            if link.over is None:
                link.end()
            else:
                link.drop()
                _log.debug("connection to %s: %s", self._place, link.over)
        self._shown = {}
        self._last = self._announced = None
        self._is_online = False
        self._beat_at = float("-inf")
        with self._lock:
            self._heard.clear()
        config = self._config
        will = Publication(self._topics.availability, OFFLINE, retain=True) if with_will else None
        link = BrokerLink(
            BrokerTerms(
                self._place,
                config.url.host,
                config.port,
                self._client_id,
                config.protocol == "5",
                config.user,
                config.password.reveal() if config.password else None,
                self._tls,
                round(config.keep_alive.total_seconds()),
                config.timeout.total_seconds(),
                will,
            ),
            self._hears,
        )
        self._link, self._has_will = link, with_will
        self._obeyed = None
        if with_will:
            link.subscribe(self._heard_topics())
        return link

    @property
    def _takes_commands(self) -> bool:
        context = self._context
        return self._config.commands and (context.arm is not None or context.switch is not None)

    def _obey(self, link: BrokerLink, state: SiteState) -> None:
        """Do what was commanded; of several commands for the same, the last."""
        if not self._takes_commands:
            return
        layout = state.layout
        if self._obeyed is not layout:
            self._commands = commands_of(self._topics, layout, self._context)
            link.subscribe(subscriptions(self._topics, self._commands))
            self._obeyed = layout
        while self._asked:
            topic, payload = next(iter(self._asked.items()))
            command = self._commands.get(topic)
            wrong = None
            if command is not None:
                wrong = command.obey(payload, f"sink {self._context.name}")
            if command is not None and wrong is not None:
                _log.warning("sink %s: a command on %s %s", self._context.name, topic, wrong)
                # Whoever asked is told what holds.
                self._shown.pop(command.state, None)
                self._last = None
            del self._asked[topic]

    def _heard_topics(self) -> list[str]:
        topics = [self._topics.availability]
        if self._config.discovery:
            topics.append(self._birth_topic)
        return topics

    @property
    def _birth_topic(self) -> str:
        discovery = self._config.discovery
        return f"{discovery.prefix}/status" if discovery else ""

    def _hears(self, topic: str, payload: bytes, retained: bool) -> None:
        """Called by the connection's thread. What was retained is of the past."""
        if not retained and not self._is_closing:
            with self._lock:
                self._heard.append((topic, payload))

    def _take_heed(self, now: float) -> None:
        with self._lock:
            heard = list(self._heard)
            self._heard.clear()
        for topic, payload in heard:
            if topic == self._topics.availability and payload == OFFLINE:
                # The will of a process before this one, or of our last connection, came late.
                self._is_online = False
            elif topic == self._birth_topic and payload == ONLINE:
                self._announce_at = now + random.uniform(*_AFTER_BIRTH_S)
            elif topic.endswith("/set"):
                self._asked[topic] = payload

    def _is_due(self, now: float) -> bool:
        return self._announce_at is not None and now >= self._announce_at

    def _show(self, link: BrokerLink, state: SiteState, now: float) -> None:
        """Publish the states that differ from what was published last, availability after them."""
        topics = self._topics
        commanded = switches(topics, state) if self._takes_commands else iter(())
        for part in (states(topics, state), commanded, availabilities(topics, state)):
            changed: list[Publication] = []
            for topic, payload in part:
                shown, at = self._shown.get(topic, (None, now))
                expires = topic.endswith("/now") and now - at >= _LEVEL_AGAIN_S
                if shown != payload or expires:
                    changed.append(Publication(topic, payload, retain=True))
            link.publish(changed)
            self._shown |= {message.topic: (message.payload, now) for message in changed}

    def _announce(self, link: BrokerLink, layout: SiteLayout) -> None:
        """Tell Home Assistant of all devices, and take back what is no longer there.

        What is announced is noted before it is, and what is taken back is forgotten after it is, so
        that nothing stays behind if we are killed in between.
        """
        discovery = self._config.discovery
        there = {
            device.id: device
            for device in devices(
                self._topics,
                layout,
                discovery.prefix if discovery else "",
                pictures=self._config.pictures,
                keeps_pictures=self._config.retain,
                commands=self._takes_commands,
            )
        }
        notes = self._context.notes
        before = {
            key.removeprefix(_NOTE): read_note(text) for key, text in notes.notes(_NOTE).items()
        }
        after = {
            name: Announced.of(device, is_told=bool(discovery)) for name, device in there.items()
        }
        meanwhile = {name: before.get(name, one).joined(one) for name, one in after.items()}
        self._note({n: one for n, one in meanwhile.items() if before.get(n) != one})
        messages, over = [], []
        for name, old in before.items():
            new = after.get(name, Announced())
            if old.topic not in ("", new.topic):
                messages.append(Publication(old.topic, b"", retain=True))
            over += [topic for topic in old.retained if topic not in new.retained]
        for name, device in there.items() if discovery else ():
            gone = gone_from(before.get(name, Announced()), device)
            if gone:  # one that is merely left out would stay
                messages.append(Publication(device.topic, device.payload(gone), retain=True))
            messages.append(Publication(device.topic, device.payload(), retain=True))
        link.publish(messages)
        # Only once the entities are gone: they would take an empty state for a broken one.
        link.publish([Publication(topic, b"", retain=True) for topic in over])
        self._note({n: one for n, one in after.items() if meanwhile[n] != one})
        forgotten = [name for name in before if name not in after]
        if forgotten:
            notes.take_down({f"{_NOTE}{name}": None for name in forgotten})

    def _note(self, announced: Mapping[str, Announced]) -> None:
        if announced:
            self._context.notes.take_down(
                {f"{_NOTE}{name}": one.text() for name, one in announced.items()}
            )
