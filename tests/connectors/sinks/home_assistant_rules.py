"""What Home Assistant (2024.11 to 2026.11) accepts as a device's announcement, in our own words."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ENTITY_ID = re.compile(r"[a-z_]+\.[a-z0-9]+(?:_[a-z0-9]+)*")
_ENTITY_KEYS = {
    "platform",
    "unique_id",
    "name",
    "default_entity_id",
    "entity_category",
    "icon",
    "availability",
    "availability_mode",
    "json_attributes_topic",
    "qos",
}
_OWN_KEYS: Mapping[str, set[str]] = {
    "binary_sensor": {
        "state_topic",
        "device_class",
        "payload_on",
        "payload_off",
        "value_template",
        "expire_after",
    },
    "sensor": {
        "state_topic",
        "device_class",
        "state_class",
        "unit_of_measurement",
        "value_template",
        "last_reset_value_template",
        "suggested_display_precision",
        "expire_after",
    },
    "event": {"state_topic", "event_types", "device_class", "value_template"},
    "image": {"image_topic", "url_topic", "content_type", "image_encoding"},
    "switch": {"state_topic", "command_topic", "payload_on", "payload_off", "value_template"},
    "number": {"state_topic", "command_topic", "min", "max", "step", "mode", "value_template"},
}
_NEEDS: Mapping[str, set[str]] = {
    "binary_sensor": {"state_topic"},
    "sensor": {"state_topic"},
    "event": {"state_topic", "event_types"},
    "image": {"image_topic"},
    "switch": {"command_topic"},
    "number": {"command_topic"},
}
_CLASSES: Mapping[str, set[str]] = {
    "binary_sensor": {
        "connectivity",
        "motion",
        "occupancy",
        "presence",
        "problem",
        "running",
        "safety",
        "tamper",
    },
    "sensor": {"duration", "speed"},
    "event": {"doorbell", "button", "motion"},
}
_UNITS = {"duration": {"d", "h", "min", "s", "ms"}, "speed": {"km/h", "m/s", "mph"}}
_DEVICE_KEYS = {
    "identifiers",
    "name",
    "manufacturer",
    "model",
    "sw_version",
    "via_device",
    "suggested_area",
    "configuration_url",
}
_TOP_KEYS = {"device", "origin", "components", "availability", "availability_mode", "qos"}


def faults(topic: str, payload: bytes, prefix: str = "homeassistant") -> list[str]:
    """Everything in an announcement that Home Assistant refuses or warns about."""
    return list(_faults(topic, payload, prefix))


def _faults(topic: str, payload: bytes, prefix: str) -> Iterator[str]:
    begin, _, object_id = topic.removesuffix("/config").rpartition("/")
    if begin != f"{prefix}/device" or not _ID.fullmatch(object_id):
        yield f"{topic} is not PREFIX/device/ID/config"
    said: dict[str, Any] = json.loads(payload)
    yield from (f"the key {key} is not known" for key in said.keys() - _TOP_KEYS)
    device = said.get("device", {})
    if not device.get("identifiers") or not all(map(str, device["identifiers"])):
        yield "the device has no identifier"
    yield from (f"device.{key} is not known" for key in device.keys() - _DEVICE_KEYS)
    if not said.get("origin", {}).get("name"):
        yield "the origin has no name"
    if said.get("availability_mode", "latest") not in ("all", "any", "latest"):
        yield "availability_mode is none of its values"
    if said.get("qos", 0) not in (0, 1, 2):
        yield "qos is none of its values"
    yield from _availability("the device", said.get("availability", []))
    components = said.get("components")
    if not components:
        yield "there are no components"
        return
    for name, component in components.items():
        yield from (f"{name}: {fault}" for fault in _of_component(component))
    ids = [one["unique_id"] for one in components.values() if "unique_id" in one]
    yield from (f"{one} is the id of two" for one in set(ids) if ids.count(one) > 1)
    names = [one.get("default_entity_id") for one in components.values() if len(one) > 1]
    yield from (f"{one} is the name of two" for one in set(names) if names.count(one) > 1)


def _of_component(said: Mapping[str, Any]) -> Iterator[str]:
    platform = said.get("platform", "")
    if platform not in _OWN_KEYS:
        yield f"the platform {platform!r} is not known"
        return
    if said.keys() == {"platform"}:
        return  # it is removed
    yield from (f"{k} is not known" for k in said.keys() - _ENTITY_KEYS - _OWN_KEYS[platform])
    yield from (f"{k} is missing" for k in {"unique_id", *_NEEDS[platform]} - said.keys())
    yield from _of_words(platform, said)
    if platform == "event" and not all(isinstance(one, str) for one in said["event_types"]):
        yield "event_types are not texts"
    for key, value in said.items():
        if key.endswith("_topic") and (not value or re.search(r"[+#\0]", value)):
            yield f"{key} is not a topic"
    yield from _availability("it", said.get("availability", []))


def _of_words(platform: str, said: Mapping[str, Any]) -> Iterator[str]:
    if not _ENTITY_ID.fullmatch(str(said.get("default_entity_id"))):
        yield f"{said.get('default_entity_id')} is not an entity's id"
    elif str(said["default_entity_id"]).partition(".")[0] != platform:
        yield f"{said['default_entity_id']} is not of its platform"
    if said.get("entity_category") not in (None, "diagnostic", "config"):
        yield "entity_category is none of its values"
    if said.get("entity_category") == "config" and platform in ("sensor", "binary_sensor"):
        yield "what only shows cannot be of the category config"
    kind = said.get("device_class")
    if kind is not None and kind not in _CLASSES.get(platform, set()):
        yield f"the device_class {kind} is not one of {platform}"
    if kind in _UNITS and said.get("unit_of_measurement") not in _UNITS[kind]:
        yield f"{said.get('unit_of_measurement')} is not a unit of {kind}"
    if said.get("state_class") not in (None, "measurement", "total", "total_increasing"):
        yield "state_class is none of its values"
    if "last_reset_value_template" in said and said.get("state_class") != "total":
        yield "last_reset_value_template is for state_class total"


def _availability(whose: str, said: Any) -> Iterator[str]:
    for one in said:
        if not one.get("topic"):
            yield f"an availability of {whose} has no topic"
