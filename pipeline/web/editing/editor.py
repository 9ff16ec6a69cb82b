"""Edits of one camera: what it would be, whether it may be, what follows; and saving it.

The text of the file is changed only where values change. What then comes out is read again: it must
say what was asked for and nothing else, or the edit is refused.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.core.errors import ConfigError, Problem
from pipeline.core.events import JsonValue
from pipeline.deployment.loader import Loaded, as_written, missing_here, parse
from pipeline.deployment.model import Deployment
from pipeline.deployment.yaml.parser import read_yaml
from pipeline.deployment.yaml.tree import DEFAULTS, Map, Node, find, plain, walk
from pipeline.deployment.yaml.tree import Path as TreePath
from pipeline.web.deployment_view import DeploymentView
from pipeline.web.editing import spelling
from pipeline.web.editing.differences import FileDifference, difference
from pipeline.web.editing.effects import EditEffects, effects_of
from pipeline.web.editing.files import (
    MOST_BYTES,
    FileText,
    changed,
    read_file,
    replace_file,
    why_read_only,
)
from pipeline.web.editing.parts import (
    PARTS,
    PLACES,
    EditedParts,
    part_node,
    parts_of,
    with_parts,
)
from pipeline.web.editing.splicing import CannotSplice, same, spliced
from pipeline.web.problems import WebError

_REFERENCE = "${"


@dataclass(frozen=True, slots=True)
class CameraFile:
    """A camera's parts as they are written, and where."""

    camera: str
    file: FileText
    """The file that the camera is written in: the deployment's, or one that it includes."""
    name: str
    """How that file is called in sentences."""
    main: FileText
    """The deployment file."""
    root: Node
    """All files as one tree, as they are written."""
    parts: Mapping[str, JsonValue]
    read_only: str | None
    """Why the file cannot be replaced; None where it can be."""
    deployment: Deployment
    """By what the file says now."""

    @property
    def base(self) -> str:
        """Identifies the bytes of the file."""
        return self.file.base


@dataclass(frozen=True, slots=True)
class EditResult:
    """What an edit comes to."""

    text: str
    """The whole file after it; never to be shown."""
    difference: FileDifference
    problems: Sequence[Problem]
    """The mistakes that `check` finds in the edited file; it can be saved if there are none."""
    warnings: Sequence[Problem] = ()
    effects: EditEffects | None = None
    """None where there are problems."""
    loaded: Loaded | None = None
    """The edited deployment; None where there are problems."""


def camera_file(view: DeploymentView, camera: str) -> CameraFile:
    """Read what is written of a camera; raises WebError where it cannot be edited as it is."""
    main = read_file(view.path)
    root = _tree(view, main.text, {})
    node = find(root, ("cameras", camera))
    if node is None:
        raise WebError(404, f"there is no camera {camera!r}")
    file, name = main, main.path.name
    if node.origin.file is not None:
        file = read_file(main.path.parent / node.origin.file)
        name = node.origin.file
    try:
        loaded = _parsed(view, main.text, {file.path: file.text})
    except ConfigError as error:
        first = error.problems[0]
        raise WebError(
            409, f"the file has mistakes already, which must be corrected by hand first: {first}"
        ) from None
    reason = why_read_only(file.path)
    return CameraFile(camera, file, name, main, root, parts_of(node), reason, loaded.deployment)


def edited(view: DeploymentView, now: CameraFile, wanted: EditedParts) -> EditResult:
    """What an edit comes to; raises WebError where it cannot be written."""
    values = wanted.values()
    _refuse_references(now, values)
    text = _edited_text(view, now, values)
    told = difference(now.file.text, text, now.camera, now.name)
    instead = {now.file.path: text}
    main = text if now.file.path == now.main.path else now.main.text
    try:
        loaded = _parsed(view, main, instead)
    except ConfigError as error:
        return EditResult(text, told, error.problems)
    found = (*loaded.warnings, *missing_here(loaded))
    begun = f"cameras.{now.camera}."
    warnings = [one for one in found if one.path.startswith(begun)]
    return EditResult(text, told, (), warnings, None, loaded)


def with_effects(result: EditResult, now: CameraFile, at: float) -> EditResult:
    """The same with what follows from it."""
    if result.loaded is None:
        return result
    effects = effects_of(now.deployment, result.loaded.deployment, now.camera, at)
    return replace(result, effects=effects)


def save(now: CameraFile, result: EditResult, base: str) -> str:
    """Write an edit that has no problems; returns the base of the new file. Raises WebError."""
    if base != now.base:
        raise WebError(409, changed(now.file.path))
    if now.read_only is not None:
        raise WebError(409, now.read_only)
    if result.problems:
        raise ConfigError(list(result.problems))
    if result.text == now.file.text:
        return now.base
    return replace_file(now.file, result.text)


def snippet(result: EditResult, camera: str) -> str:
    """The camera's editable parts after an edit, as they are to be written by hand."""
    tree, _ = read_yaml(result.text)
    node = find(tree, ("cameras", camera))
    lines = ["cameras:", f"  {camera}:"]
    if isinstance(node, Map):
        lines += _snippet_lines(node)
    return "\n".join(lines) + "\n"


def _snippet_lines(node: Map) -> list[str]:
    parts = parts_of(node)
    rows: list[str] = []
    for part in PARTS:
        value = parts[part]
        if not value or part_node(node, part) is None:
            continue
        keys = PLACES[part]
        content: JsonValue = value
        for key in reversed(keys[1:]):
            content = {str(key): content}
        row = spelling.entry(str(keys[0]), content, 4, 2, "\n")
        rows.append(f"    {row}")
    return rows


def _tree(view: DeploymentView, text: str, instead: Mapping[Path, str]) -> Node:
    try:
        return as_written(text, view.overrides, view.path, instead)
    except ConfigError as error:
        first = error.problems[0]
        raise WebError(409, f"the file cannot be read: {first}") from None


def _parsed(view: DeploymentView, text: str, instead: Mapping[Path, str]) -> Loaded:
    return parse(text, view.overrides, os.environ, view.path, instead)


def _edited_text(view: DeploymentView, now: CameraFile, wanted: Mapping[str, JsonValue]) -> str:
    tree, _ = read_yaml(now.file.text)
    before = plain(tree) if tree is not None else {}
    own: JsonValue = before.get("cameras", {}).get(now.camera)
    mine = own if isinstance(own, dict) else {}
    inherited = _inherited(view, now)
    new, obstacles = with_parts(mine, inherited, now.parts, wanted)
    if obstacles:
        _refuse_defaults(now, obstacles)
    if same(mine, new):
        text = now.file.text
    else:
        try:
            text = spliced(now.file.text, ("cameras", now.camera), mine, new)
        except CannotSplice as error:
            raise _by_hand(now, str(error)) from None
    if len(now.file.bytes_of(text)) > MOST_BYTES:
        raise WebError(422, f"{now.name} would be larger than 1 MB, and could not be edited again")
    _verify(view, now, text, before, new, wanted)
    return text


def _inherited(view: DeploymentView, now: CameraFile) -> Mapping[str, JsonValue]:
    """What the defaults give to the camera, of the deployment file and of its own."""
    given: dict[str, JsonValue] = parts_of(None)
    for file in (now.main, now.file):
        tree, _ = read_yaml(file.text)
        for part, value in parts_of(find(tree, (DEFAULTS,))).items():
            if isinstance(value, dict):
                known = given[part]
                given[part] = {**(known if isinstance(known, dict) else {}), **value}
            elif value:
                given[part] = value
    return given


def _verify(
    view: DeploymentView,
    now: CameraFile,
    text: str,
    before: Mapping[str, JsonValue],
    new: Mapping[str, JsonValue],
    wanted: Mapping[str, JsonValue],
) -> None:
    """Raise WebError unless the text says what is wanted, and nothing else than before."""
    tree, problems = read_yaml(text)
    if tree is None or problems:
        raise _by_hand(now, str(problems[0]) if problems else "the file would be empty")
    cameras = before.get("cameras")
    expected = {**before, "cameras": {**(cameras if isinstance(cameras, dict) else {})}}
    after: dict[str, JsonValue] = plain(tree)
    other = _first_difference(
        {**expected, "cameras": _without(expected["cameras"], now.camera)},
        {**after, "cameras": _without(after.get("cameras"), now.camera)},
    )
    if other is not None:
        raise _by_hand(now, f"`{other}` shares it by an anchor, and would change too")
    main = text if now.file.path == now.main.path else now.main.text
    root = _tree(view, main, {now.file.path: text})
    node = find(root, ("cameras", now.camera))
    is_now = parts_of(node)
    expected_parts = {**now.parts, **wanted}
    for part in PARTS:
        if same(is_now[part], expected_parts[part]):
            continue
        place = _first_difference(expected_parts[part], is_now[part]) or ""
        path = f"cameras.{now.camera}.{part}.{place}".rstrip(".")
        reason = _why_not(root, now.camera, part)
        raise _by_hand(now, f"`{path}` {reason}")
    rest = {name: value for name, value in new.items() if name not in ("sample", *PARTS)}
    cameras = after.get("cameras")
    own = cameras.get(now.camera) if isinstance(cameras, dict) else None
    kept = own if isinstance(own, dict) else {}
    left = {name: value for name, value in kept.items() if name not in ("sample", *PARTS)}
    if not same(rest, left) or not same(_sample(new), _sample(kept)):
        raise _by_hand(now, "something else of the camera would change too")


def _sample(camera: Mapping[str, JsonValue]) -> JsonValue:
    sample = camera.get("sample")
    if not isinstance(sample, dict):
        return {} if sample is None else sample
    return {name: value for name, value in sample.items() if name != "masks"}


def _why_not(root: Node, camera: str, part: str) -> str:
    """Why a part is not what it should be after the edit."""
    node = find(root, ("cameras", camera, *PLACES[part]))
    for _, one in walk(node) if node is not None else ():
        if one.origin.override is not None:
            return "is given by `--set` on the command line, which wins over the file"
    for _, one in walk(node) if node is not None else ():
        if one.origin.from_defaults:
            return "comes from `defaults`, which hold for other cameras too"
    return "comes from elsewhere, by an alias or `<<`"


def _refuse_defaults(now: CameraFile, obstacles: Sequence[str]) -> None:
    path: TreePath = ("cameras", now.camera, *obstacles[0].split("."))
    node = find(now.root, path)
    line = node.origin.line if node is not None else None
    file = (node.origin.file if node is not None else None) or now.main.path.name
    where = f"{file} line {line}" if line is not None else file
    raise WebError(
        409,
        f"`{obstacles[0]}` comes from `defaults` ({where}), which hold for other cameras too; "
        "remove it there by hand",
        place=".".join(str(key) for key in path),
    )


def _by_hand(now: CameraFile, reason: str) -> WebError:
    node = find(now.root, ("cameras", now.camera))
    line = node.origin.line if node is not None else None
    where = f"{now.name}, near line {line}" if line is not None else now.name
    return WebError(
        409, f"this cannot be written without changing more: {reason}; edit {where}, by hand"
    )


def _without(cameras: JsonValue, name: str) -> JsonValue:
    if not isinstance(cameras, dict):
        return cameras
    return {camera: value for camera, value in cameras.items() if camera != name}


def _first_difference(one: JsonValue, other: JsonValue) -> str | None:
    """The dotted path of the first place at which two values differ; None where they are same."""
    if same(one, other):
        return None
    if isinstance(one, dict) and isinstance(other, dict):
        for name in (*one, *other):
            if name not in one or name not in other:
                return name
            below = _first_difference(one[name], other[name])
            if below is not None:
                return f"{name}.{below}".rstrip(".")
    return ""


def _refuse_references(now: CameraFile, wanted: Mapping[str, JsonValue]) -> None:
    """Raise WebError where an edit names a variable: its value could be one that is not his.

    What the file already has may stay where it is.
    """

    def look(new: JsonValue, old: JsonValue, path: str) -> None:
        if isinstance(new, dict):
            for name, value in new.items():
                look(value, old.get(name) if isinstance(old, dict) else None, f"{path}.{name}")
        elif isinstance(new, list):
            for place, value in enumerate(new):
                was = old[place] if isinstance(old, list) and place < len(old) else None
                look(value, was, f"{path}.{place}")
        elif isinstance(new, str) and _REFERENCE in new and new != old:
            raise WebError(
                422,
                f"{path}: a ${{NAME}} can only be written by hand, as its value may be a secret; "
                "write the value itself",
                place=path,
            )

    for part, value in wanted.items():
        look(value, now.parts.get(part), f"cameras.{now.camera}.{part}")
