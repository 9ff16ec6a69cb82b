"""`defaults:` merged under every camera."""

from dataclasses import replace

from pipeline.deployment.yaml.tree import DEFAULTS, List, Map, Node, Scalar, child


def merge_defaults(root: Node) -> Node:
    """The tree without `defaults:`, its content merged under each camera.

    Maps are merged key by key; a camera's own values win, and its lists replace lists. Where both
    name a `type` and the types differ, only the camera's map is used.
    """
    if not isinstance(root, Map) or DEFAULTS not in root.entries:
        return root
    defaults = _marked(root.entries[DEFAULTS])
    entries = {key: value for key, value in root.entries.items() if key != DEFAULTS}
    cameras = entries.get("cameras")
    if isinstance(cameras, Map) and isinstance(defaults, Map):
        merged = {name: _merged(camera, defaults) for name, camera in cameras.entries.items()}
        entries["cameras"] = replace(cameras, entries=merged)
    return replace(root, entries=entries)


def _merged(own: Node, default: Node) -> Node:
    if isinstance(own, Scalar) and own.value is None and own.text == "":
        return default
    if not isinstance(own, Map) or not isinstance(default, Map):
        return own
    mine, theirs = child(own, "type"), child(default, "type")
    if isinstance(mine, Scalar) and isinstance(theirs, Scalar) and mine.value != theirs.value:
        return own
    entries, lines = dict(own.entries), dict(own.key_lines)
    for key, value in default.entries.items():
        if key in entries:
            entries[key] = _merged(entries[key], value)
        else:
            entries[key] = value
            if key in default.key_lines:
                lines[key] = default.key_lines[key]
    return Map(entries, own.origin, lines)


def _marked(node: Node) -> Node:
    """The same values, marked as coming from the defaults."""
    origin = replace(node.origin, from_defaults=True)
    match node:
        case Scalar():
            return replace(node, origin=origin)
        case Map():
            entries = {key: _marked(value) for key, value in node.entries.items()}
            return replace(node, entries=entries, origin=origin)
        case List():
            return replace(node, items=tuple(map(_marked, node.items)), origin=origin)
