"""The topics under a base, and what is published on each."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from connectors.sinks._mqtt.entities import ENTITIES, NO_ENTITIES
from connectors.sinks._text import json_line
from pipeline.core.events import Event, JsonValue, timestamp
from pipeline.core.ranges import nearest_moment
from pipeline.core.site_state import CameraState, RuleLayout, RuleState, SiteState
from pipeline.core.slugs import slug
from pipeline.core.switching import ENABLED, MORE_THAN, SwitchKey

ONLINE, OFFLINE = b"online", b"offline"
ON, OFF = b"ON", b"OFF"
SEQUENCE = "sequence"
CAMERA_RULE = "camera"
"""What events about trouble with a camera have for a rule."""
_UNKNOWN = b"None"


class Topics:
    """Where things are published."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.node = slug(base.replace("/", "_"))
        """The base as part of ids."""
        self.availability = f"{base}/availability"
        self.events = f"{base}/events"
        self.state = f"{base}/state"

    def camera(self, camera: str, what: str) -> str:
        """Such as `base/door/health`."""
        return f"{self.base}/{slug(camera)}/{what}"

    def rule(self, camera: str, rule: str, what: str) -> str:
        """Such as `base/door/queue/now`."""
        return f"{self.base}/{slug(camera)}/{slug(rule)}/{what}"

    def armed_state(self, camera: str | None) -> str:
        """Whether a camera is armed, or all of them are."""
        return f"{self._armed(camera)}/state"

    def armed_set(self, camera: str | None) -> str:
        """Where that is commanded."""
        return f"{self._armed(camera)}/set"

    def _armed(self, camera: str | None) -> str:
        return f"{self.base}/armed" if camera is None else self.camera(camera, "armed")

    def rule_state(self, camera: str, rule: str, key: SwitchKey) -> str:
        """Whether a rule is on, or what its limit is."""
        return self.rule(camera, rule, f"{key}/state")

    def rule_set(self, camera: str, rule: str, key: SwitchKey) -> str:
        """Where that is commanded."""
        return self.rule(camera, rule, f"{key}/set")

    def rules_set(self, key: SwitchKey) -> str:
        """Where that is commanded of any rule, to subscribe to."""
        return f"{self.base}/+/+/{key}/set"

    def of_event(self, event: Event) -> str | None:
        """Where Home Assistant's event entity hears of an event; None for one without a camera."""
        if event.type == SEQUENCE:
            return f"{self.base}/{slug(event.rule)}/event"
        if not event.camera:
            return None
        return self.rule(event.camera, event.rule, "event")


def states(topics: Topics, state: SiteState) -> Iterator[tuple[str, bytes]]:
    """Every retained state but who is available."""
    if state.is_armed is not None:
        yield topics.armed_state(None), _switch(state.is_armed)
    for name, camera in state.cameras.items():
        layout = state.layout.cameras[name]
        yield topics.camera(name, "health"), _json(_health(camera))
        if camera.is_armed is not None:
            yield topics.armed_state(name), _switch(camera.is_armed)
        for rule_name, rule in camera.rules.items():
            of_it = layout.rules[rule_name]
            known = ENTITIES.get(of_it.type, NO_ENTITIES)
            if known.alarm is not None:
                yield topics.rule(name, rule_name, "active"), _active(camera, rule)
            if known.level is not None:
                yield topics.rule(name, rule_name, "now"), _json(_now(camera, rule))
            if of_it.measures and rule.today_since is not None:
                today = _today(of_it, rule, rule.today_since, camera.timezone)
                yield topics.rule(name, rule_name, "today"), _json(today)


def switches(topics: Topics, state: SiteState) -> Iterator[tuple[str, bytes]]:
    """How rules are switched, of those that can be by commands."""
    for name, camera in state.cameras.items():
        for rule_name, rule in camera.rules.items():
            for key in switched_by(state.layout.cameras[name].rules[rule_name]):
                topic = topics.rule_state(name, rule_name, key)
                if key == ENABLED and rule.is_on is not None:
                    yield topic, _switch(rule.is_on)
                elif key == MORE_THAN:
                    number = rule.more_than
                    yield topic, _UNKNOWN if number is None else str(number).encode()


def switched_by(layout: RuleLayout) -> Iterator[SwitchKey]:
    """What can be commanded of a rule; nothing of one that tells no events."""
    if ENTITIES.get(layout.type, NO_ENTITIES).events:
        yield ENABLED
        if layout.limits is not None:
            yield MORE_THAN


def availabilities(topics: Topics, state: SiteState) -> Iterator[tuple[str, bytes]]:
    """Whether each camera works."""
    for name, camera in state.cameras.items():
        yield topics.camera(name, "availability"), ONLINE if camera.works else OFFLINE


def event_payload(event: Event) -> bytes:
    """What an event entity is told: its kind, and what else there is as attributes."""
    told: dict[str, JsonValue] = {
        "event_type": kind_of(event),
        "phase": event.phase,
        "id": event.record_id,
        "type": event.type,
        "at": timestamp(event.at),
        "camera": event.camera,
    }
    if event.subject is not None:
        told["label"] = event.subject.label
        if event.subject.track is not None:
            told["track"] = event.subject.track
    told |= {name: value for name, value in event.data.items() if name not in told}
    told["media"] = list(event.media)
    return _json(told)


def kind_of(event: Event) -> str:
    """The `event_type`: the phase of what lasts, else the direction, else `single`."""
    if event.phase != "single":
        return event.phase
    words = (event.data.get("name"), event.data.get("direction"))
    return next((word for word in words if isinstance(word, str) and word), "single")


def _health(camera: CameraState) -> Mapping[str, JsonValue]:
    return {
        "state": camera.state,
        "since": None if camera.since is None else timestamp(camera.since),
        "detail": camera.detail,
        "dropped_ratio": camera.dropped_ratio,
    }


def _active(camera: CameraState, rule: RuleState) -> bytes:
    if rule.active is None or not camera.works:
        return _UNKNOWN
    return _switch(rule.active)


def _switch(is_on: bool) -> bytes:
    return ON if is_on else OFF


def _now(camera: CameraState, rule: RuleState) -> Mapping[str, JsonValue]:
    level = rule.level if camera.works else None
    return {
        "value": None if level is None else round(level, 2),
        "coverage": round(rule.level_coverage, 3),
        "at": None if rule.level_at is None else timestamp(rule.level_at),
    }


def _today(
    layout: RuleLayout, rule: RuleState, began: float, timezone: str
) -> Mapping[str, JsonValue]:
    told: dict[str, JsonValue] = {}
    for measure in layout.measures:
        value = rule.today.get(measure.name)
        whole = value is not None and value == int(value)
        told[measure.name] = value if value is None else int(value) if whole else round(value, 2)
    if "entered" in told and "left" in told:
        entered, left = rule.today.get("entered"), rule.today.get("left")
        told["net"] = None if entered is None or left is None else round(entered - left)
    since = datetime.fromtimestamp(nearest_moment(began), ZoneInfo(timezone))
    told |= {
        "coverage": round(rule.today_coverage, 3),
        "since": since.isoformat(timespec="seconds"),
        "at": None if rule.today_at is None else timestamp(rule.today_at),
    }
    return told


def _json(value: Mapping[str, JsonValue]) -> bytes:
    return json_line(value)[:-1]
