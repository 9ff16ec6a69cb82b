"""What rules and tasks can be set to, as forms ask for it, from the schema of the file."""

from collections.abc import Iterator, Mapping
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
    "texts", "fields", "other",
]  # fmt: skip
_NAMES: Mapping[str, FieldKind] = {
    "of": "task", "line": "line", "zone": "zone", "engine": "engine",
}  # fmt: skip
_UNITS = {"duration": "such as 30s or 2m"}
_DEFS = "#/$defs/"


class FormField(BaseModel):
    """One field of a rule or task."""

    key: str
    kind: FieldKind
    """`other` is edited in the file."""
    description: str
    required: bool
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
    return SettingsForm(type=name, description=told, fields=list(_fields(model, schema, schema)))


def _fields(model: Model, schema: dict[str, Any], root: dict[str, Any]) -> Iterator[FormField]:
    meanings = descriptions(model)
    required = schema.get("required", ())
    for key, info in fields_by_key(model).items():
        found = _without_null(schema["properties"][key])
        kind, below = _kind(key, found, root)
        default = None
        if not info.is_required():
            default = _as_written(info.get_default(call_default_factory=True, validated_data={}))
        yield FormField(
            key=key,
            kind=kind,
            description=meanings.get(key) or "",
            required=key in required,
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
    if "$ref" in found:
        below = _below(root, found["$ref"])
        return ("fields", below) if below else ("other", [])
    match found:
        case {"enum": _}:
            return "choice", []
        case {"type": "boolean"}:
            return "yes/no", []
        case {"type": "integer"}:
            return "whole", []
        case {"type": "number"}:
            return "number", []
        case {"type": "string", "examples": _}:
            return "duration", []
        case {"type": "string"}:
            return "text", []
        case {"type": "array", "items": {"type": "string"}}:
            return "texts", []
    return "other", []


def _below(root: dict[str, Any], reference: str) -> list[FormField]:
    """The fields of a map of single values; none where it holds more than these."""
    schema = root.get("$defs", {}).get(reference.removeprefix(_DEFS), {})
    if schema.get("type") != "object" or "discriminator" in schema:
        return []
    found = []
    for key, value in schema.get("properties", {}).items():
        one = _without_null(value)
        kind, below = _kind(key, one, {})
        if kind == "other" or below:
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
