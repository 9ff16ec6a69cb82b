"""The JSON Schema of deployment files, for editors that complete and check YAML."""

import copy
from datetime import timedelta
from typing import Any

from pipeline.core.config import ByteCount, format_duration
from pipeline.deployment.fields import Model, all_models, descriptions, fields_by_key, is_secret
from pipeline.deployment.model import CameraConfig, Deployment
from pipeline.deployment.yaml.secret_files import SUFFIX

Schema = dict[str, Any]
_DEFS = "#/$defs/"
_PARTIAL = "Partial"
_REFERENCE: Schema = {"type": "string", "pattern": r"\$\{"}
"""`${NAME}` can replace any single value."""
_STRICT_WORDS = frozenset({"pattern", "enum", "const"})
_YES_NO: Schema = {"enum": ["yes", "no", "on", "off"]}


def json_schema() -> Schema:
    """The schema of a deployment file as written: with `defaults:`, `x-` keys, `x_file` secrets
    and `${NAME}` in place of values.
    """
    schema = Deployment.model_json_schema(by_alias=True)
    definitions: Schema = schema["$defs"]
    for model in all_models(Deployment):
        target = schema if model is Deployment else definitions.get(model.__name__)
        if target is not None:
            _describe(target, model)
            _allow_secret_files(target, model)
    _require_types(schema)
    for name in list(definitions):
        definitions[name + _PARTIAL] = _partial(definitions[name])
    _add_defaults(schema)
    _add_include(schema)
    _add_short_forms(schema)
    _loosen(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _describe(target: Schema, model: Model) -> None:
    """Give every property its meaning, and its default as an operator writes it."""
    meanings = descriptions(model)
    for key, info in fields_by_key(model).items():
        described = target["properties"][key]
        if meanings[key]:
            described["description"] = meanings[key]
        default = info.get_default(call_default_factory=True, validated_data={})
        if isinstance(default, timedelta):
            described["default"] = format_duration(default)
        elif isinstance(default, ByteCount):
            described["default"] = str(default)
        elif isinstance(described.get("default"), dict):
            del described["default"]


def _allow_secret_files(target: Schema, model: Model) -> None:
    for key, info in fields_by_key(model).items():
        if not is_secret(info):
            continue
        target["properties"][key + SUFFIX] = {
            "type": "string",
            "description": f"File that contains `{key}`.",
        }
        if key in target.get("required", ()):
            target["required"] = [name for name in target["required"] if name != key]
            either = [{"required": [key]}, {"required": [key + SUFFIX]}]
            target.setdefault("allOf", []).append({"anyOf": either})


def _require_types(schema: Schema) -> None:
    """Where `type` chooses among several, it must be written."""
    for node in _nodes(schema):
        if "discriminator" not in node:
            continue
        for reference in node.pop("discriminator").get("mapping", {}).values():
            chosen = schema["$defs"][reference.removeprefix(_DEFS)]
            chosen["required"] = sorted({*chosen.get("required", ()), "type"})


def _partial(definition: Schema) -> Schema:
    """The same with nothing required, for `defaults:`."""
    result = copy.deepcopy(definition)
    for node in _nodes(result):
        node.pop("required", None)
        node.pop("allOf", None)
        if "oneOf" in node:
            node["anyOf"] = node.pop("oneOf")
        if isinstance(node.get("$ref"), str):
            node["$ref"] += _PARTIAL
    return result


def _add_defaults(schema: Schema) -> None:
    """Allow `defaults:`; with it, cameras can leave out what it can contain."""
    partial = {"$ref": f"{_DEFS}{CameraConfig.__name__}{_PARTIAL}"}
    cameras = schema["properties"]["cameras"]
    schema["properties"]["defaults"] = {
        **partial,
        "description": "Merged into every camera; a camera's own values win.",
    }
    schema["if"] = {"not": {"required": ["defaults"]}}
    schema["then"] = {
        "properties": {"cameras": {"additionalProperties": cameras["additionalProperties"]}}
    }
    cameras["additionalProperties"] = {"anyOf": [partial, {"type": "null"}]}


def _add_include(schema: Schema) -> None:
    """Allow `include:`; with it, all cameras can be in other files."""
    glob: Schema = {"type": "string", "minLength": 1}
    schema["properties"]["include"] = {
        "anyOf": [glob, {"type": "array", "items": glob, "minItems": 1}],
        "description": "Files with more cameras, defaults for them, engines, sinks and sites: a "
        "glob, or a list of them, relative to this file.",
    }
    schema["required"] = [key for key in schema["required"] if key != "cameras"]
    schema.setdefault("allOf", []).append(
        {"anyOf": [{"required": ["cameras"]}, {"required": ["include"]}]}
    )


def _add_short_forms(schema: Schema) -> None:
    """Allow the short forms."""
    word: Schema = {"type": "string", "minLength": 1}
    for node in _nodes(schema):
        held = node.get("properties", {})
        if "source" in held:
            held["source"] = _or(held["source"], word)
        if "schedule" in held:
            held["schedule"] = _also_one_window(held["schedule"])
        if "verify" in held:
            held["verify"] = _or(held["verify"], word)
    schema["properties"]["site"] = _or(schema["properties"]["site"], word)
    sites = schema["properties"]["sites"]
    sites["additionalProperties"] = {"anyOf": [sites["additionalProperties"], word]}


def _also_one_window(schedule: Schema) -> Schema:
    """A schedule that is a list of windows or a word, or one window without a list."""
    about = {key: value for key, value in schedule.items() if key not in ("oneOf", "anyOf")}
    options = schedule.get("oneOf") or schedule["anyOf"]
    return {**about, "anyOf": [*options, *(one["items"] for one in options if "items" in one)]}


def _or(value: Schema, other: Schema) -> Schema:
    about: Schema = {k: value[k] for k in ("title", "description", "default") if k in value}
    rest = {k: v for k, v in value.items() if k not in about}
    return {**about, "anyOf": [rest, dict(other)]}


def _loosen(schema: Schema) -> None:
    """Allow `x-` keys in every map, `${NAME}` and yes/no for values, and numbers for text."""
    for node in _nodes(schema):
        if "additionalProperties" in node:
            node.setdefault("patternProperties", {})["^x-"] = {}
        for holder, key in _value_places(node):
            value = holder[key]
            options = value.get("anyOf", [value])
            if any(_is_strict(option) for option in options):
                holder[key] = _with_alternatives(value)
            for option in options:
                if option.get("type") == "string" and not _STRICT_WORDS & {*option}:
                    option["type"] = ["string", "number", "boolean"]


def _is_strict(value: Schema) -> bool:
    """Whether a schema is for a single value and takes no text, or only certain words."""
    strict_type = value.get("type") in ("number", "integer", "boolean")
    return strict_type or ("const" not in value and bool(_STRICT_WORDS & {*value}))


def _with_alternatives(value: Schema) -> Schema:
    about: Schema = {k: value[k] for k in ("title", "description", "default") if k in value}
    plain = {k: v for k, v in value.items() if k not in about}
    options = plain.pop("anyOf", None) or [plain]
    more = [_YES_NO] if any(option.get("type") == "boolean" for option in options) else []
    return {**about, "anyOf": [*options, *more, dict(_REFERENCE)]}


def _value_places(node: Schema) -> list[tuple[Any, Any]]:
    """The holders and keys of the schemas of single values directly below a schema."""
    places: list[tuple[Any, Any]] = [
        (node["properties"], key) for key in node.get("properties", ())
    ]
    if isinstance(node.get("items"), dict):
        places.append((node, "items"))
    places += [(node["prefixItems"], i) for i in range(len(node.get("prefixItems", ())))]
    if isinstance(node.get("additionalProperties"), dict):
        places.append((node, "additionalProperties"))
    return places


def _nodes(schema: Any) -> list[Schema]:
    """Every schema inside a schema, itself included; collected first, so that it may be changed."""
    found: list[Schema] = []
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            found.append(node)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return found
