"""What rules and tasks can be set to, as forms ask for it, from the schema of the file."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel
from pydantic import JsonValue as JsonField

from pipeline.core.config import ByteCount, format_duration
from pipeline.deployment.fields import Model, descriptions, fields_by_key
from pipeline.deployment.model import (
    AskTask,
    CaptionTask,
    CountTask,
    DetectTask,
    PointTask,
)
from pipeline.rules import all_rules

FieldKind = Literal[
    "task", "line", "zone", "engine", "choice", "yes/no", "whole", "number", "duration", "text",
    "texts", "answers", "numbers", "points", "fields", "file",
]  # fmt: skip
_NAMES: Mapping[str, FieldKind] = {
    "of": "task", "people": "task", "line": "line", "along": "line", "zone": "zone",
    "served": "zone", "engine": "engine",
}  # fmt: skip
_IN_THE_FILE = frozenset({"schedule", "verify", "staff"})
"""Fields that hold more than a form asks for."""
_PROPOSED: Mapping[str, Mapping[str, JsonField]] = {
    "absence": {"for": "5m"},
    "crowding": {"more_than": 4},
    "left_object": {"longer_than": "1m"},
    "parking": {"longer_than": "10m"},
    "wrong_way": {"wrong": "in"},
    # A model is asked: about each sampled picture would be more than most engines can do.
    "ask": {"every": "30s"},
    "caption": {"caption": "short", "every": "30s"},
}
"""What a new rule or task begins with; it takes no more than a look at the form to change it."""
_NEEDED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "speed": {"rectangle": ("corners", "side")},
    "wrong_way": {"line": ("zone",), "wrong": ("zone",)},
}
"""Fields that one of these models wants although its schema lets them be left out, and the fields
instead of which."""
_SINGLE: Mapping[str, FieldKind] = {
    "boolean": "yes/no", "integer": "whole", "number": "number",
}  # fmt: skip
_UNITS = {"duration": "such as 30s or 2m"}
_DEFS = "#/$defs/"


class FormField(BaseModel):
    """One field of a rule or task."""

    key: str
    kind: FieldKind
    """`file` is edited in the file only. `answers` are one or several of a question's answers,
    `points` pairs of numbers."""
    description: str
    required: bool
    """Whether the file must have it, unless it has one of `instead`."""
    instead: list[str] = []
    proposed: JsonField = None
    """What a new one begins with, as it is written; null where it begins without."""
    default: JsonField = None
    """As it is written; what holds where the field is left out."""
    choices: list[str] = []
    least: float | None = None
    most: float | None = None
    unit: str | None = None
    fields: list["FormField"] = []
    """Those of a `fields`."""


class SettingsForm(BaseModel):
    """All fields of one type of rule, or kind of task."""

    type: str
    description: str
    fields: list[FormField]
    accepts: list[str] = []
    """For a rule, the kinds of task that it judges."""


class SettingsForms(BaseModel):
    """All that can be made."""

    rules: list[SettingsForm]
    tasks: list[SettingsForm]


@cache
def forms() -> SettingsForms:
    """Every type of rule and every kind of task."""
    rules = [_rule_form(model) for model in all_rules()]
    tasks = [
        _form(kind, model)
        for kind, model in (
            ("detect", DetectTask),
            ("point", PointTask),
            ("count", CountTask),
            ("ask", AskTask),
            ("caption", CaptionTask),
        )
    ]
    return SettingsForms(rules=rules, tasks=tasks)


def _rule_form(model: Any) -> SettingsForm:
    form = _form(str(fields_by_key(model)["type"].default), model)
    form.accepts = [task.__name__.lower() for task in model.accepts]
    form.fields = [field for field in form.fields if field.key != "type"]
    return form


def _form(name: str, model: Model) -> SettingsForm:
    schema = model.model_json_schema(by_alias=True)
    told = (model.__doc__ or "").strip().replace("`", "")
    return SettingsForm(type=name, description=told, fields=list(_fields(name, model, schema)))


def _fields(name: str, model: Model, schema: dict[str, Any]) -> Iterator[FormField]:
    meanings = descriptions(model)
    needed, proposed = _NEEDED.get(name, {}), _PROPOSED.get(name, {})
    required = schema.get("required", ())
    for key, info in fields_by_key(model).items():
        found = _without_null(schema["properties"][key])
        kind, below = _kind(key, found, schema)
        default = None
        if not info.is_required():
            default = _as_written(info.get_default(call_default_factory=True, validated_data={}))
        yield FormField(
            key=key,
            kind=kind,
            description=meanings.get(key) or "",
            required=key in required or key in needed,
            instead=list(needed.get(key, ())),
            proposed=proposed.get(key),
            default=default,
            choices=[str(one) for one in found.get("enum", ())],
            least=found.get("minimum", found.get("exclusiveMinimum")),
            most=found.get("maximum", found.get("exclusiveMaximum")),
            unit=_UNITS.get(kind),
            fields=below,
        )


def _kind(
    key: str, found: dict[str, Any], root: dict[str, Any]
) -> tuple[FieldKind, list[FormField]]:
    if key in _NAMES and found.get("type") == "string":
        return _NAMES[key], []
    if key in _IN_THE_FILE:
        return "file", []
    if "$ref" in found:
        below = _below(root, found["$ref"])
        return ("fields", below) if below else ("file", [])
    return _kind_of_value(found), []


def _kind_of_value(found: dict[str, Any]) -> FieldKind:
    match found:
        case {"enum": _}:
            return "choice"
        case {"type": "boolean" | "integer" | "number" as type_}:
            return _SINGLE[type_]
        case {"type": "string"}:
            return "duration" if "examples" in found else "text"
        case {"type": "array", "items": {"type": "string"}}:
            return "texts"
        case {"type": "array", "prefixItems": [{"type": "number"}, *_]}:
            return "numbers"
        case {"type": "array", "items": {"type": "array", "prefixItems": [{"type": "number"}, _]}}:
            return "points"
        case {"anyOf": [{"type": ["string", "boolean", "number"]}, {"type": "array"}, *_]}:
            return "answers"
    return "file"


def _below(root: dict[str, Any], reference: str) -> list[FormField]:
    """The fields of a map of single values; none where it holds more than these."""
    schema = root.get("$defs", {}).get(reference.removeprefix(_DEFS), {})
    if schema.get("type") != "object" or "discriminator" in schema:
        return []
    found = []
    for key, value in schema.get("properties", {}).items():
        one = _without_null(value)
        kind, below = _kind(key, one, {})
        if kind == "file" or below:
            return []
        found.append(
            FormField(
                key=key,
                kind=kind,
                description=value.get("description", ""),
                required=key in schema.get("required", ()),
                default=value.get("default") if kind != "duration" else None,
                choices=[str(choice) for choice in one.get("enum", ())],
                least=one.get("minimum", one.get("exclusiveMinimum")),
                most=one.get("maximum", one.get("exclusiveMaximum")),
                unit=_UNITS.get(kind),
            )
        )
    return found


def _without_null(found: dict[str, Any]) -> dict[str, Any]:
    options = [one for one in found.get("anyOf", ()) if one.get("type") != "null"]
    return options[0] if len(options) == 1 else found


def _as_written(value: Any) -> Any:
    match value:
        case timedelta():
            return format_duration(value)
        case ByteCount():
            return str(value)
        case None | bool() | int() | float() | str():
            return value
        case tuple() | list():
            return [_as_written(one) for one in value]
    return None
