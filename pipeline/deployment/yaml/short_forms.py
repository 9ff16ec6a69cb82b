"""Short forms: an address for a source, a name for a site, a single window for a schedule,
a question for a `verify`.
"""

import re
from dataclasses import replace

from pipeline.deployment.yaml.tree import List, Map, Node, Scalar

_SCHEMES = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}
_VIDEOS = re.compile(r"(?i).*(/|\*|\.(mp4|mkv|mov|avi|webm|ts|m4v|mpe?g|wmv|flv))")


def write_out(root: Node) -> Node:
    """The tree with the short forms expanded; invalid values are left for validation to reject."""
    if not isinstance(root, Map):
        return root
    entries = dict(root.entries)
    if "site" in entries:
        entries["site"] = _site(entries["site"])
    if isinstance(sites := entries.get("sites"), Map):
        named = {name: _site(site) for name, site in sites.entries.items()}
        entries["sites"] = replace(sites, entries=named)
    if isinstance(cameras := entries.get("cameras"), Map):
        named = {name: _camera(camera) for name, camera in cameras.entries.items()}
        entries["cameras"] = replace(cameras, entries=named)
    if isinstance(sequences := entries.get("sequences"), Map):
        named = {name: _scheduled(sequence) for name, sequence in sequences.entries.items()}
        entries["sequences"] = replace(sequences, entries=named)
    return replace(root, entries=entries)


def _site(node: Node) -> Node:
    if isinstance(node, Scalar) and node.text and node.value is not None:
        return Map({"name": node}, node.origin)
    return node


def _camera(camera: Node) -> Node:
    if not isinstance(camera, Map):
        return camera
    entries = dict(camera.entries)
    if "source" in entries:
        entries["source"] = _source(entries["source"])
    if isinstance(rules := entries.get("rules"), Map):
        named = {name: _rule(rule) for name, rule in rules.entries.items()}
        entries["rules"] = replace(rules, entries=named)
    return replace(camera, entries=entries)


def _source(node: Node) -> Node:
    """`rtsp://...`, `http://...`, `/dev/video0` or a path of videos, with its type added."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return node
    scheme, colon, _ = node.value.partition("://")
    if colon:
        kind, key = _SCHEMES.get(scheme.lower()), "url"
    elif node.value.startswith("/dev/video"):
        kind, key = "webcam", "device"
    else:
        kind, key = "file" if _VIDEOS.fullmatch(node.value) else None, "path"
    if kind is None:
        return node
    told = Scalar(kind, kind, node.origin)
    return Map({"type": told, key: node}, node.origin)


def _scheduled(node: Node) -> Node:
    """With a list of windows for a single one."""
    if not isinstance(node, Map) or not isinstance(window := node.entries.get("schedule"), Map):
        return node
    return replace(node, entries={**node.entries, "schedule": List((window,), window.origin)})


def _rule(rule: Node) -> Node:
    rule = _scheduled(rule)
    if not isinstance(rule, Map):
        return rule
    entries = dict(rule.entries)
    verify = entries.get("verify")
    if isinstance(verify, Scalar) and isinstance(verify.value, str):
        entries["verify"] = Map({"ask": verify}, verify.origin)
    return replace(rule, entries=entries)
