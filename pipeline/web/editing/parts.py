"""What of a camera can be edited, and nothing else: the model that refuses the rest."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic import JsonValue as JsonField

from pipeline.core.events import JsonValue
from pipeline.deployment.yaml.tree import Node, Path, child, find, plain

PARTS: Final = ("lines", "zones", "masks", "rules", "tasks")
"""Of a camera, in the order in which they are shown."""
NAMED: Final = ("lines", "zones", "rules", "tasks")
PLACES: Final[Mapping[str, Path]] = {
    **{name: (name,) for name in NAMED},
    "masks": ("sample", "masks"),
}
"""Where each is below a camera."""
_MOST_NAMED, _MOST_CORNERS, _MOST_MASKS = 200, 200, 100
_DEEPEST, _MOST_VALUES, _LONGEST_TEXT = 6, 400, 4000


def _bounded(value: dict[str, Any]) -> dict[str, Any]:
    left = _MOST_VALUES

    def look(one: Any, depth: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"has more than {_MOST_VALUES} values")
        if depth > _DEEPEST:
            raise ValueError(f"is nested more than {_DEEPEST} levels deep")
        if isinstance(one, str) and len(one) > _LONGEST_TEXT:
            raise ValueError(f"has a text of more than {_LONGEST_TEXT} characters")
        if isinstance(one, Mapping):
            for name, below in one.items():
                look(str(name), depth)
                look(below, depth + 1)
        elif isinstance(one, list):
            for below in one:
                look(below, depth + 1)

    look(value, 0)
    return value


Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w-]+$")]
Number = float | Annotated[str, Field(max_length=200)]
"""A coordinate, 0..1; text where the file has a `${NAME}` for it."""
XYValue = Annotated[list[Number], Field(min_length=2, max_length=2)]
Settings = Annotated[dict[str, JsonField], AfterValidator(_bounded)]
"""The fields of a rule or task as they are written in the file."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, populate_by_name=True)


class LineValue(_Strict):
    """A line as it is written."""

    from_: XYValue = Field(alias="from")
    to: XYValue


class ZoneValue(_Strict):
    """A zone as it is written."""

    polygon: Annotated[list[XYValue], Field(max_length=_MOST_CORNERS)]


class EditedParts(_Strict):
    """What a camera is to have; a part that is left out stays as it is."""

    lines: dict[Name, LineValue] | None = Field(None, max_length=_MOST_NAMED)
    zones: dict[Name, ZoneValue] | None = Field(None, max_length=_MOST_NAMED)
    masks: (
        Annotated[
            list[Annotated[list[XYValue], Field(max_length=_MOST_CORNERS)]],
            Field(max_length=_MOST_MASKS),
        ]
        | None
    ) = None
    rules: dict[Name, Settings] | None = Field(None, max_length=_MOST_NAMED)
    tasks: dict[Name, Settings] | None = Field(None, max_length=_MOST_NAMED)

    def values(self) -> dict[str, JsonValue]:
        """The parts that are given, as they are written in the file."""
        found: dict[str, JsonValue] = self.model_dump(
            mode="json", by_alias=True, include=set(PARTS), exclude_none=False
        )
        return {name: value for name, value in found.items() if getattr(self, name) is not None}


def parts_of(camera: Node | None) -> dict[str, JsonValue]:
    """The parts of a camera as they are written; a part that it has not is empty."""
    found: dict[str, JsonValue] = {}
    for name, place in PLACES.items():
        node = find(camera, place) if camera is not None else None
        value: JsonValue = plain(node) if node is not None else None
        empty: JsonValue = [] if name == "masks" else {}
        found[name] = value if isinstance(value, type(empty)) else empty
    return found


def with_parts(
    own: Mapping[str, JsonValue],
    inherited: Mapping[str, JsonValue],
    now: Mapping[str, JsonValue],
    wanted: Mapping[str, JsonValue],
) -> tuple[dict[str, JsonValue], list[str]]:
    """What a camera's own map must say so that it has the wanted parts, and what stands in the way.

    `inherited` are the parts that the defaults give, `now` those that it has with them. What stands
    in the way are paths of what only the defaults can take away.
    """
    new, obstacles = dict(own), []
    for name in (part for part in PARTS if part in wanted):
        if name == "masks":
            _set_masks(new, inherited, now, wanted[name])
            continue
        mine, theirs = _map(own.get(name)), _map(inherited.get(name))
        merged, lost = _merged(mine, theirs, _map(now.get(name)), _map(wanted[name]))
        obstacles += [f"{name}.{one}" for one in lost]
        if merged:
            new[name] = merged
        elif name in new and mine:
            del new[name]
    return new, obstacles


def _set_masks(
    new: dict[str, JsonValue],
    inherited: Mapping[str, JsonValue],
    now: Mapping[str, JsonValue],
    wanted: JsonValue,
) -> None:
    if wanted == now.get("masks"):
        return
    sample = dict(_map(new.get("sample")))
    sample.pop("masks", None)
    if wanted or inherited.get("masks"):
        new["sample"] = {**_map(new.get("sample")), "masks": wanted}
    elif sample:
        new["sample"] = sample
    else:
        new.pop("sample", None)


def _merged(
    mine: Mapping[str, JsonValue],
    theirs: Mapping[str, JsonValue],
    now: Mapping[str, JsonValue],
    wanted: Mapping[str, JsonValue],
) -> tuple[dict[str, JsonValue], list[str]]:
    merged = {name: value for name, value in mine.items() if name in wanted}
    lost = [name for name in theirs if name not in wanted]
    for name, value in wanted.items():
        if name in now and now[name] == value and type(now[name]) is type(value):
            continue
        own, given = mine.get(name), theirs.get(name)
        if isinstance(own, dict) and isinstance(given, dict) and isinstance(value, dict):
            below, missing = _merged(own, given, _map(now.get(name)), value)
            merged[name] = below
            lost += [f"{name}.{one}" for one in missing]
        elif isinstance(given, dict) and isinstance(value, dict):
            merged[name] = value
            lost += [f"{name}.{one}" for one in given if one not in value]
        else:
            merged[name] = value
    return merged, lost


def _map(value: JsonValue) -> dict[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def part_node(camera: Node, part: str) -> Node | None:
    """The node of a part of a camera; None where it has none."""
    node: Node | None = camera
    for key in PLACES[part]:
        node = child(node, key)
    return node
