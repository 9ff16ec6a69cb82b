"""The list of all keys of a deployment file, as Markdown, for `docs/configuration.md`.

`python -m pipeline.deployment.reference docs/configuration.md` writes it below the file's marker.
"""

import sys
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any, get_args, get_origin

from pydantic_core import PydanticUndefined

from pipeline.deployment.explain import as_written, flow
from pipeline.deployment.fields import (
    Model,
    descriptions,
    fields_by_key,
    is_secret,
    models_of,
    type_name,
    variants,
)
from pipeline.deployment.model import TASK_KINDS, Deployment
from pipeline.deployment.yaml.secret_files import SUFFIX
from pipeline.rules.base import RuleBase

MARKER = (
    "<!-- made by `python -m pipeline.deployment.reference docs/configuration.md`; edit above -->\n"
)
Schema = dict[str, Any]


def reference() -> str:
    """A section with a table for each kind of map, in the order of the file."""
    definitions = Deployment.model_json_schema(by_alias=True)
    sections = []
    for path, model in dict.fromkeys(_places(Deployment, "")):
        schema = definitions if model is Deployment else definitions["$defs"][model.__name__]
        sections.append(f"### {_title(path, model)}\n\n{_about(model)}\n")
        keys = [key for key in fields_by_key(model) if key != "type"]
        keys.sort(key=lambda key: key not in TASK_KINDS)
        rows = "".join(_row(key, model, schema) for key in keys)
        sections.append(f"| key | value | default | meaning |\n|---|---|---|---|\n{rows}")
    return "\n".join(sections)


def write_reference(path: FilePath) -> None:
    """Replace everything below the marker of a file."""
    head, marker, _ = path.read_text(encoding="utf-8").partition(MARKER)
    path.write_text(f"{head}{marker or MARKER}\n{reference()}", encoding="utf-8")


def _places(model: Model, path: str) -> Iterator[tuple[str, Model]]:
    """Every model with its path, a container before its content."""
    yield path, model
    for key, info in fields_by_key(model).items():
        below = f"{path}.{key}" if path else key
        for inner, suffix in _held(info.annotation):
            yield from _places(inner, below + suffix)


def _held(annotation: Any) -> Iterator[tuple[Model, str]]:
    """The models that a field can hold, with the path between: a name, or an index in a list."""
    for model in models_of(annotation):
        yield model, ""
    for part in variants(annotation):
        if get_origin(part) is dict:
            for model, suffix in _held(get_args(part)[1]):
                yield model, f".NAME{suffix}"
        elif get_origin(part) in (list, tuple):
            for arg in get_args(part):
                for model, suffix in _held(arg):
                    yield model, f"[]{suffix}"


def _title(path: str, model: Model) -> str:
    """The path of a map, and which of several it is: by its `type`, or by a task's kind."""
    if not path:
        return "The file"
    kind = next((key for key in fields_by_key(model) if key in TASK_KINDS), None)
    name = type_name(model)
    which = f", `type: {name}`" if name else f", `{kind}`" if kind else ""
    return f"`{path}`{which}"


def _about(model: Model) -> str:
    about = " ".join((model.__doc__ or "").split())
    measures = model.measures if issubclass(model, RuleBase) else ()
    if not measures:
        return about
    held = " and ".join(f"`{m.name}` ({m.over_time} of {m.unit})" for m in measures)
    return f"{about} Each minute records {held}."


def _row(key: str, model: Model, schema: Schema) -> str:
    info = fields_by_key(model)[key]
    names = f"`{key}`" + (f", `{key}{SUFFIX}`" if is_secret(info) else "")
    default = info.get_default(call_default_factory=True, validated_data={})
    if default == {} and info.validate_default:
        default = {"all": "left out"}
    shown = "**required**" if default is PydanticUndefined else _shown(as_written(default))
    cells = [names, _kind(schema["properties"][key]), shown, descriptions(model)[key]]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _shown(default: Any) -> str:
    if default is None:
        return ""
    return "see below" if isinstance(default, dict) and default else f"`{flow(default)}`"


def _kind(schema: Schema) -> str:
    """The kind of value, in words."""
    if "anyOf" in schema or "oneOf" in schema:
        options = [_kind(option) for option in schema.get("anyOf") or schema["oneOf"]]
        return " or ".join(dict.fromkeys(option for option in options if option))
    if "const" in schema or "enum" in schema:
        choices = schema.get("enum", [schema.get("const")])
        return ", ".join(
            f"`{str(choice).lower() if isinstance(choice, bool) else choice}`" for choice in choices
        )
    match schema.get("type"):
        case "array":
            if "prefixItems" in schema:
                return "[" + ", ".join("number" for _ in schema["prefixItems"]) + "]"
            return f"list of {_kind(schema.get('items', {}))}"
        case "string":
            return _kind_of_text(schema)
        case "integer":
            return "whole number" + _bounds(schema)
        case "number":
            return "number" + _bounds(schema)
        case "boolean":
            return "yes or no"
        case "null":
            return ""
    return "map"


def _kind_of_text(schema: Schema) -> str:
    examples = schema.get("examples", ())
    if "500ms" in examples:
        return "duration"
    if examples:
        return f"such as `{examples[0]}`"
    formats = {"password": "secret text", "path": "path", "date-time": "time with time zone"}
    return formats.get(schema.get("format", ""), "text")


def _bounds(schema: Schema) -> str:
    words = {
        "minimum": "from {:g}",
        "exclusiveMinimum": "above {:g}",
        "maximum": "to {:g}",
        "exclusiveMaximum": "below {:g}",
    }
    found = [text.format(schema[key]) for key, text in words.items() if key in schema]
    return f" {' '.join(found)}" if found else ""


if __name__ == "__main__":
    write_reference(FilePath(sys.argv[1]))
