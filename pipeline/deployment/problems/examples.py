"""The right shape of a value, written out: what an operator can copy where a wrong one stands.

The parts that everybody writes have examples of their own; all others are made from the fields,
with what their descriptions give as examples.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path as FilePath
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from pipeline.core.address import Secret
from pipeline.deployment.fields import (
    Model,
    annotation_at,
    description,
    fields_by_key,
    is_one_of,
    variants,
)
from pipeline.deployment.yaml.tree import List, Node, Path, Scalar, plain

_RTSP = "rtsp://10.0.0.7/1"
_POINT = "[0.1, 0.6]"
_POLYGON = "[[0.6, 0.3], [0.9, 0.3], [0.9, 0.8]]"
_LINE = "{from: [0.1, 0.6], to: [0.9, 0.6]}"
_WINDOW = "{days: mon-fri, from: 22:00, to: 6:00}"
_NAMES = "[visitors, camera_offline]"
_REDIS = "{type: redis, url: redis://127.0.0.1:6379/0}"
_HEADERS = "{Authorization: Bearer TOKEN}"
_EXAMPLES: Mapping[tuple[str, ...], str] = {
    ("site",): "{name: Shop, timezone: Europe/Berlin}",
    ("sites",): "{north: {name: North, timezone: Europe/Berlin}}",
    ("sites", "*"): "{name: North, timezone: Europe/Berlin}",
    ("engines",): "{fast: {type: coco}}",
    ("engines", "*"): "{type: coco}",
    ("queue",): f"{{type: memory}}, or {_REDIS}",
    ("store",): "{url: sqlite:///moonwatch.db}",
    ("store", "url"): "sqlite:///moonwatch.db",
    ("cameras",): f"{{door: {{source: {_RTSP}}}}}",
    ("cameras", "*"): f"{{source: {_RTSP}, tasks: {{people: {{detect: person}}}}}}",
    ("cameras", "*", "source"): f"{_RTSP}, or {{type: rtsp, url: {_RTSP}}}",
    ("cameras", "*", "source", "url"): _RTSP,
    ("cameras", "*", "sample"): "{every: 500ms}",
    ("cameras", "*", "sample", "motion"): "yes, or {sensitivity: 0.5, heartbeat: 10s}",
    ("cameras", "*", "sample", "frozen"): "yes, or {after: 30s}",
    ("cameras", "*", "sample", "black"): "yes, or {after: 5s}",
    ("cameras", "*", "sample", "masks"): f"[{_POLYGON}]",
    ("cameras", "*", "tasks"): "{people: {detect: person}}",
    ("cameras", "*", "tasks", "*"): "{detect: person}, or {ask: Is the door open?}",
    ("cameras", "*", "tasks", "*", "detect"): (
        "person; for several things, write a task for each: "
        "{people: {detect: person}, cars: {detect: car}}"
    ),
    ("cameras", "*", "tasks", "*", "point"): "license plate",
    ("cameras", "*", "tasks", "*", "count"): "empty shelf",
    ("cameras", "*", "tasks", "*", "ask"): "Is the door open?",
    ("cameras", "*", "lines"): f"{{door: {_LINE}}}",
    ("cameras", "*", "lines", "*"): _LINE,
    ("cameras", "*", "zones"): f"{{till: {{polygon: {_POLYGON}}}}}",
    ("cameras", "*", "zones", "*"): f"{{polygon: {_POLYGON}}}",
    ("cameras", "*", "zones", "*", "polygon"): _POLYGON,
    ("cameras", "*", "rules"): "{visitors: {type: line_crossing, of: people, line: door}}",
    ("cameras", "*", "rules", "*"): "{type: line_crossing, of: people, line: door}",
    ("cameras", "*", "rules", "*", "of"): "people",
    ("cameras", "*", "rules", "*", "line"): "door",
    ("cameras", "*", "rules", "*", "zone"): "till",
    ("cameras", "*", "rules", "*", "schedule"): f"{_WINDOW}, or open for the site's hours",
    ("cameras", "*", "rules", "*", "schedule", "*"): _WINDOW,
    ("sequences", "*", "schedule"): f"{_WINDOW}, or open for the site's hours",
    ("sequences", "*", "schedule", "*"): _WINDOW,
    ("sinks",): "{log: {type: jsonl, path: events.jsonl}}",
    ("sinks", "*"): "{type: jsonl, path: events.jsonl}, or {type: stdout}",
    ("sinks", "*", "only"): _NAMES,
    ("sinks", "*", "not"): _NAMES,
    ("sinks", "*", "url"): "https://alarms.example/hook",
    ("sinks", "*", "headers"): _HEADERS,
}
_SUCH_AS = re.compile(r"(?:such as|like) `([^`]+)`")
_BARE = {"coco": "engines", "memory": "queue", "stdout": "sinks"}
"""Types that need no other key, and the part of the file that they belong to."""


def example(model: Model, data: Any, path: Path, node: Node | None) -> str | None:
    """How a value at this path is written, with what is there now where it can be used."""
    keys = tuple(str(key) for key in path)
    own = _with_what_is_there(keys, node)
    if own is not None:
        return own
    for pattern, text in _EXAMPLES.items():
        if len(pattern) == len(keys) and all(
            wanted in ("*", key) for wanted, key in zip(pattern, keys, strict=True)
        ):
            return text
    info = fields_by_key(model) if len(path) == 1 else None
    annotation = info[keys[0]].annotation if info and keys[0] in info else None
    return _shape(annotation or annotation_at(model, data, path))


def number_hint(node: Node | None) -> str:
    """`; 30 % is 0.3` for a percentage where a number is expected."""
    if isinstance(node, Scalar) and node.shown is None:
        found = re.fullmatch(r"\s*(\d{1,4}(?:[.,]\d{1,6})?)\s*%\s*", node.text)
        if found is not None:
            share = float(found[1].replace(",", ".")) / 100
            return f"; {found[1]} % is {share:g}"
        if re.fullmatch(r"\d{1,9},\d{1,9}", node.text):
            return f"; with a point: {node.text.replace(',', '.')}"
    return ""


def _with_what_is_there(keys: tuple[str, ...], node: Node | None) -> str | None:
    """The value itself in its right shape, where it is plain what was meant."""
    if isinstance(node, Scalar) and node.shown is None and _BARE.get(node.text) == keys[0]:
        if len(keys) == (1 if keys[0] == "queue" else 2):
            return f"{{type: {node.text}}}"
        return f"{{{'fast' if keys[0] == 'engines' else 'log'}: {{type: {node.text}}}}}"
    if isinstance(node, Scalar) and (keys == ("queue",) or keys[:-1] == ("sinks",)):
        word = node.text.lower()
        if keys == ("queue",) and word.startswith("redis"):
            return _REDIS
        if word.startswith(("http://", "https://", "webhook")):
            return "{type: webhook, url: https://alarms.example/hook}"
        if keys[0] == "sinks" and not node.shown and re.fullmatch(r"[\w./-]+\.jsonl?", word):
            return f"{{type: jsonl, path: {node.text}}}"
    if keys[:1] == ("cameras",) and len(keys) == 4 and isinstance(node, List):
        points = plain(node)
        if len(points) == 4 and all(map(_is_share, points)):
            points = [points[:2], points[2:]]
        if not all(_is_point(point) for point in points):
            return None
        if keys[2] == "lines" and len(points) == 2:
            return f"{{from: {points[0]}, to: {points[1]}}}"
        if keys[2] == "zones" and 3 <= len(points) <= 8:
            return f"{{polygon: {points}}}"
    return None


def point_in(node: Node | None) -> str | None:
    """`[0.1, 0.2]` for `0.1,0.2`, `10% 20%` and `{x: 0.1, y: 0.2}`; None for what is no point."""
    if isinstance(node, Scalar) and node.shown is None:
        found = re.fullmatch(r"[\s(]*([\d.]{1,9})(%?)[\s,;x/]+([\d.]{1,9})(%?)[\s)]*", node.text)
        if found is not None:
            try:
                x = float(found[1]) / (100 if found[2] else 1)
                y = float(found[3]) / (100 if found[4] else 1)
            except ValueError:
                return None
            return f"[{x:g}, {y:g}]" if max(x, y) <= 1 else None
    values = plain(node) if node is not None else None
    if isinstance(values, dict) and set(values) == {"x", "y"}:
        pair = [values["x"], values["y"]]
        return str(pair) if _is_point(pair) else None
    return None


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_share, value))


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _shape(annotation: Any, info_text: str = "") -> str | None:
    """An example of a type; None where there is nothing to show."""
    parts = [part for part in variants(annotation) if part is not type(None)]
    part = parts[0] if parts else None
    inside = get_args(part)
    given = _SUCH_AS.search(info_text)
    match get_origin(part):
        case origin if origin is Literal:
            return str(inside[0])
        case origin if origin is dict:
            below = _shape(inside[1])
            return f"{{name: {below}}}" if below else None
        case origin if origin in (list, tuple) and inside:
            if origin is tuple and Ellipsis not in inside:
                return _POINT if len(inside) == 2 else None
            below = _shape(inside[0])
            if below is None:
                return None
            return _POLYGON if below == _POINT else f"[{below}]"
    if part is None or not isinstance(part, type) or is_one_of(part):
        return None
    if issubclass(part, BaseModel):
        return _map(part)
    if given is not None:
        return given[1]
    return next((text for kind, text in _PLAIN if issubclass(part, kind)), None)


def _map(model: Model) -> str | None:
    """A map with what a model requires, or its first key where it requires nothing."""
    fields = fields_by_key(model)
    wanted = [key for key, info in fields.items() if info.is_required()] or list(fields)[:1]
    pairs = {key: _shape(fields[key].annotation, description(model, key)) for key in wanted}
    if not pairs or None in pairs.values():
        return None
    return "{" + ", ".join(f"{key}: {text}" for key, text in pairs.items()) + "}"


_PLAIN: tuple[tuple[type, str], ...] = (
    (bool, "yes"),
    (int, "5"),
    (float, "0.5"),
    (timedelta, "10s"),
    (datetime, "2026-11-22T08:00:00+01:00"),
    (FilePath, "a-file"),
    (Secret, "TEXT"),
    (str, "text"),
)
