"""What Home Assistant is told once, so that it makes devices and entities of the topics.

One payload a device (`PREFIX/device/ID/config`), which every release since 2024.11 reads. The ids
follow from the base and the names in the file, never from what is displayed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from connectors.sinks._mqtt.entities import ENTITIES, LASTING, NO_ENTITIES, RuleEntities
from connectors.sinks._mqtt.topics import CAMERA_RULE, Topics, switched_by
from pipeline.core.events import JsonValue
from pipeline.core.site_state import CameraLayout, RuleLayout, SiteLayout
from pipeline.core.slugs import slug
from pipeline.core.switching import ENABLED, MORE_THAN, SwitchKey, SwitchRange

Component = dict[str, JsonValue]
# Twice the longest time between two publications of a level, and a little more.
_LEVEL_EXPIRES_S = 180
_UNITS = {"seconds": "s", "people": "people"}
_IN_OUT = ("in", "out")
_SWITCHED: Mapping[SwitchKey, str] = {ENABLED: "enabled", MORE_THAN: "more than"}
_ONLY_KNOWN = "{{ None if value_json.%s is none else value_json.%s }}"


@dataclass(frozen=True, slots=True)
class HomeDevice:
    """One device: where it is announced, and what it consists of."""

    id: str
    topic: str
    head: Mapping[str, JsonValue]
    """All of the payload but the components."""
    components: Mapping[str, Component]
    retained: tuple[str, ...] = field(default=())
    """The topics of its states, which a broker keeps."""

    @property
    def platforms(self) -> dict[str, str]:
        """What kind each component is of."""
        return {name: str(one["platform"]) for name, one in self.components.items()}

    def payload(self, gone: Mapping[str, str] | None = None) -> bytes:
        """The announcement. Components that are `gone`, with their kinds, are removed by it."""
        removed: dict[str, JsonValue] = {
            name: {"platform": kind} for name, kind in (gone or {}).items()
        }
        # One that is of another kind now has to go before it can come back.
        whole = {**self.head, "components": {**self.components, **removed}}
        return json.dumps(whole, separators=(",", ":"), ensure_ascii=False).encode()


def devices(
    topics: Topics,
    layout: SiteLayout,
    prefix: str,
    *,
    pictures: bool,
    keeps_pictures: bool = False,
    commands: bool = False,
) -> Iterator[HomeDevice]:
    """The site, and each of its cameras."""
    yield _site(topics, layout, prefix, commands=commands)
    for name, camera in layout.cameras.items():
        device = _camera(topics, layout, name, camera, prefix, pictures=pictures, commands=commands)
        kept = (topics.camera(name, "snapshot"),) if pictures and keeps_pictures else ()
        yield replace(device, retained=device.retained + kept)


def retained_topics(
    topics: Topics, name: str, camera: CameraLayout, *, commands: bool = False
) -> Iterator[str]:
    """The topics of a camera whose last message a broker keeps."""
    yield topics.camera(name, "availability")
    yield topics.camera(name, "health")
    yield topics.armed_state(name)
    for rule_name, rule in camera.rules.items():
        known = ENTITIES.get(rule.type, NO_ENTITIES)
        if known.alarm is not None:
            yield topics.rule(name, rule_name, "active")
        if known.level is not None:
            yield topics.rule(name, rule_name, "now")
        if rule.measures:
            yield topics.rule(name, rule_name, "today")
        for key in switched_by(rule) if commands else ():
            yield topics.rule_state(name, rule_name, key)


def _head(
    layout: SiteLayout, device: Mapping[str, JsonValue], availability: Sequence[str]
) -> dict[str, JsonValue]:
    head: dict[str, JsonValue] = {
        "device": {"manufacturer": "moonwatch", "sw_version": layout.version, **device},
        "origin": {"name": "moonwatch", "sw_version": layout.version},
        "qos": 1,
    }
    if availability:
        head["availability"] = [{"topic": topic} for topic in availability]
        head["availability_mode"] = "all"
    return head


def _site(topics: Topics, layout: SiteLayout, prefix: str, *, commands: bool) -> HomeDevice:
    device: dict[str, JsonValue] = {
        "identifiers": [topics.node],
        "name": layout.site,
        "model": "site",
    }
    if layout.web_url:
        device["configuration_url"] = layout.web_url
    here: JsonValue = [{"topic": topics.availability}]
    made: dict[str, Component] = {
        "online": {
            "platform": "binary_sensor",
            "name": "Online",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.availability,
            "payload_on": "online",
            "payload_off": "offline",
        },
        "lag": {
            "platform": "sensor",
            "name": "Delivery lag",
            "device_class": "duration",
            "unit_of_measurement": "s",
            "state_class": "measurement",
            "entity_category": "diagnostic",
            "state_topic": topics.state,
            "value_template": "{{ value_json.delivery_lag_s }}",
            "availability": here,
        },
        "undelivered": {
            "platform": "sensor",
            "name": "Undelivered events",
            "state_class": "measurement",
            "entity_category": "diagnostic",
            "state_topic": topics.state,
            "value_template": "{{ value_json.undelivered }}",
            "json_attributes_topic": topics.state,
            "availability": here,
        },
    }
    if commands and any(camera.can_be_armed for camera in layout.cameras.values()):
        made["armed"] = _armed(topics, None) | {"availability": here}
    for name in layout.sequences:
        made[f"{slug(name)}_event"] = _event(
            f"{topics.base}/{slug(name)}/event", _words(name), ("single",)
        ) | {"availability": here}
    _identify(made, topics.node, slug(layout.site))
    return HomeDevice(
        topics.node,
        f"{prefix}/device/{topics.node}/config",
        _head(layout, device, ()),
        made,
        (topics.availability, topics.state, topics.armed_state(None)),
    )


def _camera(
    topics: Topics,
    layout: SiteLayout,
    name: str,
    camera: CameraLayout,
    prefix: str,
    *,
    pictures: bool,
    commands: bool,
) -> HomeDevice:
    own = f"{topics.node}_{slug(name)}"
    device: dict[str, JsonValue] = {
        "identifiers": [own],
        "name": f"{layout.site} {name}",
        "model": "camera",
        "via_device": topics.node,
    }
    if camera.site and camera.site != layout.site:
        device["suggested_area"] = camera.site
    if layout.web_url:
        device["configuration_url"] = f"{layout.web_url.rstrip('/')}/cameras/{name}"
    here: JsonValue = [{"topic": topics.availability}]
    made: dict[str, Component] = {
        "online": {
            "platform": "binary_sensor",
            "name": "Online",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.camera(name, "availability"),
            "payload_on": "online",
            "payload_off": "offline",
            "availability": here,
        },
        "health": {
            "platform": "sensor",
            "name": "Health",
            "entity_category": "diagnostic",
            "state_topic": topics.camera(name, "health"),
            "value_template": _ONLY_KNOWN % ("state", "state"),
            "json_attributes_topic": topics.camera(name, "health"),
            "availability": here,
        },
        "trouble": _event(topics.rule(name, CAMERA_RULE, "event"), "Trouble", ("start", "end"))
        | {"entity_category": "diagnostic", "availability": here},
    }
    if pictures:
        made["last_event"] = {
            "platform": "image",
            "name": "Last event",
            "image_topic": topics.camera(name, "snapshot"),
            "content_type": "image/jpeg",
        }
    if commands and camera.can_be_armed:
        made["armed"] = _armed(topics, name) | {"availability": here}
    for rule_name, rule in camera.rules.items():
        for what, component in _rule(topics, name, rule_name, rule):
            made[f"{slug(rule_name)}_{what}"] = component
        for key in switched_by(rule) if commands else ():
            made[f"{slug(rule_name)}_{key}"] = {
                **_switched(topics, name, rule_name, key, rule.limits or SwitchRange()),
                "availability": here,
            }
    _identify(made, own, f"{slug(layout.site)}_{slug(name)}")
    return HomeDevice(
        own,
        f"{prefix}/device/{own}/config",
        _head(layout, device, (topics.availability, topics.camera(name, "availability"))),
        made,
        tuple(retained_topics(topics, name, camera, commands=commands)),
    )


def _rule(
    topics: Topics, camera: str, name: str, rule: RuleLayout
) -> Iterator[tuple[str, Component]]:
    known = ENTITIES.get(rule.type, NO_ENTITIES)
    said = _words(name)
    kept = {measure.name: measure for measure in rule.measures}
    if known.level in kept:
        yield from _level(topics.rule(camera, name, "now"), said, kept[known.level].unit)
    if known.alarm is not None:
        yield (
            "alarm",
            {
                "platform": "binary_sensor",
                "name": said,
                "device_class": known.alarm,
                "state_topic": topics.rule(camera, name, "active"),
                "payload_on": "ON",
                "payload_off": "OFF",
                # What is neither is unknown to Home Assistant only where it reads `None`.
                "value_template": "{{ value }}",
            },
        )
    today = topics.rule(camera, name, "today")
    units = {one.name: one.unit for one in rule.measures}
    sums = {one.name for one in rule.measures if one.over_time == "sum"}
    if {"entered", "left"} <= units.keys():
        units["net"] = "people"
        sums.add("net")
    directions = dict(zip(_IN_OUT, rule.words, strict=False)) if known.has_names else {}
    for measure in known.today:
        if measure in units:
            what = known.called.get(measure, measure)
            shown = directions.get(what, what.replace("_", " "))
            yield what.replace("_", "-"), _today(today, f"{said} {shown}", measure, units, sums)
    if kept:
        yield (
            "coverage",
            {
                "platform": "sensor",
                "name": f"{said} coverage",
                "state_class": "measurement",
                "unit_of_measurement": "%",
                "entity_category": "diagnostic",
                "suggested_display_precision": 1,
                "state_topic": today,
                "value_template": "{{ (value_json.coverage * 100) | round(1) }}",
            },
        )
    kinds = _kinds(known, rule)
    if kinds:
        yield "event", _event(topics.rule(camera, name, "event"), f"{said} event", kinds)


def _level(topic: str, said: str, unit: str) -> Iterator[tuple[str, Component]]:
    yield (
        "now",
        {
            "platform": "sensor",
            "name": f"{said} now",
            "state_class": "measurement",
            "unit_of_measurement": unit,
            "suggested_display_precision": 0,
            "state_topic": topic,
            "value_template": "{{ value_json.value }}",
            "json_attributes_topic": topic,
            "expire_after": _LEVEL_EXPIRES_S,
        },
    )
    yield (
        "occupied",
        {
            "platform": "binary_sensor",
            "name": f"{said} occupied",
            "device_class": "occupancy",
            "state_topic": topic,
            "payload_on": "ON",
            "payload_off": "OFF",
            # `value | int(0) > 0` would show "off" for unknown.
            "value_template": (
                "{{ None if value_json.value is none "
                "else ('ON' if value_json.value > 0 else 'OFF') }}"
            ),
            "expire_after": _LEVEL_EXPIRES_S,
        },
    )


def _today(
    topic: str, said: str, measure: str, units: Mapping[str, str], sums: set[str]
) -> Component:
    unit = units[measure]
    made: Component = {
        "platform": "sensor",
        "name": said,
        "unit_of_measurement": _UNITS.get(unit, unit),
        "state_topic": topic,
        "value_template": f"{{{{ value_json.{measure} }}}}",
        "json_attributes_topic": topic,
    }
    if measure in sums:
        made["state_class"] = "total"
        made["last_reset_value_template"] = "{{ value_json.since }}"
    else:
        made["state_class"] = "measurement"
    return made


def _event(topic: str, said: str, kinds: Sequence[str]) -> Component:
    return {
        "platform": "event",
        "name": said,
        "state_topic": topic,
        "event_types": list(kinds),
    }


def _armed(topics: Topics, camera: str | None) -> Component:
    return {
        "platform": "switch",
        "name": "Armed",
        "icon": "mdi:shield",
        "state_topic": topics.armed_state(camera),
        "command_topic": topics.armed_set(camera),
        "payload_on": "ON",
        "payload_off": "OFF",
    }


def _switched(
    topics: Topics, camera: str, rule: str, key: SwitchKey, limits: SwitchRange
) -> Component:
    made: Component = {
        "name": f"{_words(rule)} {_SWITCHED[key]}",
        "entity_category": "config",
        "state_topic": topics.rule_state(camera, rule, key),
        "command_topic": topics.rule_set(camera, rule, key),
    }
    if key == ENABLED:
        return {**made, "platform": "switch", "payload_on": "ON", "payload_off": "OFF"}
    return {
        **made,
        "platform": "number",
        "min": limits.least,
        "max": limits.most,
        "step": 1,
        "mode": "box",
    }


def _kinds(known: RuleEntities, rule: RuleLayout) -> tuple[str, ...]:
    if known.has_names and rule.words:
        return tuple(dict.fromkeys(rule.words))
    return known.events


def _identify(made: dict[str, Component], own: str, shown: str) -> None:
    """Give each its ids: one that never changes, and the name that it has at first."""
    for name, component in made.items():
        component["unique_id"] = f"{own}_{name}"
        words = re.sub(r"[^a-z0-9]+", "_", f"{shown}_{name}").strip("_")
        component["default_entity_id"] = f"{component['platform']}.{words}"


def _words(name: str) -> str:
    """A name to read: `fire_door` is `Fire door`."""
    said = re.sub(r"[_-]+", " ", name).strip() or name
    return said[:1].upper() + said[1:]


__all__ = ["LASTING", "HomeDevice", "devices", "retained_topics"]
