"""Finds the pydantic model and field that stand for a place in a deployment file."""

import types
from collections.abc import Iterator
from functools import cache
from threading import Lock
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Discriminator, Tag
from pydantic._internal._docs_extraction import extract_docstrings_from_cls
from pydantic.fields import FieldInfo

from pipeline.core.address import Secret
from pipeline.core.one_of import OneOf
from pipeline.deployment.yaml.tree import Path

Model = type[BaseModel]

_PARSING = Lock()
"""CPython 3.11 raises SystemError now and then where several threads parse Python at once."""


@cache
def fields_by_key(model: Model) -> dict[str, FieldInfo]:
    """A model's fields under the keys an operator writes."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def variants(annotation: Any) -> list[Any]:
    """The parts of a union, nested ones too, without `Annotated`; one part for anything else."""
    if get_origin(annotation) is Annotated:
        return variants(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for arg in get_args(annotation) for part in variants(arg)]
    return [annotation]


def models_of(annotation: Any) -> list[Model]:
    """The models among the parts of an annotation; of a `OneOf` all, imported now."""
    found: list[Model] = []
    for part in variants(annotation):
        if is_one_of(part):
            found += part.members()
        elif isinstance(part, type) and issubclass(part, BaseModel):
            found.append(part)
    return found


def is_one_of(annotation: Any) -> bool:
    """Whether it stands for a union whose members are imported when they are named."""
    return isinstance(annotation, type) and issubclass(annotation, OneOf)


def type_name(model: Model) -> str | None:
    """What `type:` names a model, or None where it has none."""
    info = model.model_fields.get("type")
    if info is None or get_origin(info.annotation) is not Literal:
        return None
    return str(get_args(info.annotation)[0])


def types_within(annotation: Any) -> Iterator[type]:
    """The classes of an annotation and of what it is made of: of `dict[str, Secret]`, both."""
    for part in variants(annotation):
        inner = get_args(part)
        if not inner and isinstance(part, type):
            yield part
        for below in inner:
            yield from types_within(below)


def model_at(root: Model, data: Any, path: Path) -> Model | None:
    """The model that the map at `path` of `data` is meant to be, or None if that is unclear."""
    annotation, value = _descended(root, data, path)
    return None if annotation is None else chosen_model(annotation, value)


def annotation_at(root: Model, data: Any, path: Path) -> Any:
    """The type of what stands at `path` of `data`, or None if that is unclear."""
    return _descended(root, data, path)[0]


def _descended(root: Model, data: Any, path: Path) -> tuple[Any, Any]:
    """The type and the value at the end of a path; no type where the path leads nowhere."""
    annotation: Any = root
    for key in path:
        annotation = _below(annotation, data, key)
        if annotation is None:
            return None, None
        if isinstance(data, dict):
            data = data.get(key)
        elif isinstance(data, list) and isinstance(key, int) and key < len(data):
            data = data[key]
        else:
            data = None
    return annotation, data


def field_at(root: Model, data: Any, path: Path) -> FieldInfo | None:
    """The field that `path` ends on, or None where the last step is not a field."""
    model = model_at(root, data, path[:-1])
    return fields_by_key(model).get(str(path[-1])) if model else None


def chosen_model(annotation: Any, data: Any) -> Model | None:
    """The model of an annotation that matches `data`: by its `type`, or by the union's function."""
    if is_one_of(annotation):
        named_type = data.get("type") if isinstance(data, dict) else None
        member: Model | None = annotation.member(str(named_type))
        return member
    models = models_of(annotation)
    if len(models) <= 1:
        return models[0] if models else None
    if not isinstance(data, dict):
        return None
    named = (m for m in models if type_name(m) is not None and type_name(m) == data.get("type"))
    return _by_tag(annotation, data) or next(named, None)


def is_secret(info: FieldInfo) -> bool:
    """Whether a field holds a secret, or an address, which may hold one."""
    classes = [part for part in variants(info.annotation) if isinstance(part, type)]
    return any(issubclass(c, Secret) for c in classes)


def description(model: Model, key: str) -> str:
    """What one key of a model means; empty for a key that it does not have."""
    info = fields_by_key(model).get(key)
    return (info and info.description) or descriptions(model).get(key, "")


@cache
def descriptions(model: Model) -> dict[str, str]:
    """What each key of a model means: its `description`, the docstring below the field,
    or the docstring of the settings it holds.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            # What `use_attribute_docstrings` does when a class is created, at milliseconds per
            # class: done here instead, so that only callers that need descriptions pay for it.
            with _PARSING:
                below = extract_docstrings_from_cls(base, use_inspect=True)
            found.update({name: " ".join(text.split()) for name, text in below.items()})
    return {
        info.alias or name: info.description or found.get(name) or _first_sentence(info)
        for name, info in model.model_fields.items()
    }


def _first_sentence(info: FieldInfo) -> str:
    """The first sentence about the settings that a field holds."""
    models = models_of(info.annotation)
    text = (models[0].__doc__ or "") if len(models) == 1 else ""
    return " ".join(text.split()).partition(". ")[0].rstrip(".")


def all_models(root: Model) -> Iterator[Model]:
    """The root and every model that can stand somewhere below it, each once."""
    seen: set[Model] = set()
    waiting = [root]
    while waiting:
        model = waiting.pop(0)
        if model in seen:
            continue
        seen.add(model)
        yield model
        for info in model.model_fields.values():
            waiting += _models_within(info.annotation)


def _models_within(annotation: Any) -> list[Model]:
    found = []
    for part in variants(annotation):
        if not get_origin(part):
            found += models_of(part)
        for inner in get_args(part):
            found += _models_within(inner)
    return found


def _below(annotation: Any, data: Any, key: str | int) -> Any:
    """The annotation of what lies under `key`, or None."""
    model = chosen_model(annotation, data)
    if model is not None and isinstance(data, dict):
        info = fields_by_key(model).get(str(key))
        return info.annotation if info else None
    for part in variants(annotation):
        args = get_args(part)
        if get_origin(part) is dict and isinstance(data, dict):
            return args[1]
        if get_origin(part) in (list, tuple) and isinstance(data, list) and isinstance(key, int):
            return args[0] if len(args) == 1 or Ellipsis in args else args[min(key, len(args) - 1)]
    return None


def _by_tag(annotation: Any, data: Any) -> Model | None:
    """The model that a union's own function chooses, where it has one."""
    if get_origin(annotation) is not Annotated:
        return None
    union, *about = get_args(annotation)
    choose = next((d.discriminator for d in about if isinstance(d, Discriminator)), None)
    if not callable(choose):
        return None
    tag = choose(data)
    for part in get_args(union):
        if any(isinstance(mark, Tag) and mark.tag == tag for mark in get_args(part)[1:]):
            return models_of(part)[0]
    return None
