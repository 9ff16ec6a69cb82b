"""A union of configs with a `type` each, whose members are imported when a file names them.

A package of such configs declares its union twice: as types, for the type checker, and as names,
for run time. So a file that uses one sink neither imports nor builds the others.
"""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Union

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticKnownError, core_schema


class OneOf:
    """Takes the union's place at run time; such fields hold instances of its members."""

    package: ClassVar[str]
    names: ClassVar[Mapping[str, str]]
    """The class of each `type`; it is in the package's module of the same name."""

    @classmethod
    @cache
    def member(cls, type_name: str) -> type[BaseModel] | None:
        """The config that a `type` names, imported now; None for an unknown name."""
        if type_name not in cls.names:
            return None
        module = importlib.import_module(f"{cls.package}.{type_name}")
        found: type[BaseModel] = getattr(module, cls.names[type_name])
        return found

    @classmethod
    def members(cls) -> list[type[BaseModel]]:
        """All members, imported, for the documentation and the JSON schema."""
        return [member for name in cls.names if (member := cls.member(name)) is not None]

    @classmethod
    def _validate(cls, value: Any) -> BaseModel:
        if not isinstance(value, dict | BaseModel):
            raise PydanticKnownError("model_attributes_type")
        type_name = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
        if type_name is None:
            raise PydanticKnownError("union_tag_not_found", {"discriminator": "'type'"})
        member = cls.member(str(type_name))
        if member is None:
            expected = ", ".join(repr(name) for name in cls.names)
            raise PydanticKnownError(
                "union_tag_invalid",
                {"discriminator": "'type'", "tag": str(type_name), "expected_tags": expected},
            )
        # pydantic merges the errors inside it into those of the whole, at their place.
        return member.model_validate(value)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, _source: Any, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls._validate)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        union: Any = Annotated[Union[tuple(cls.members())], Field(discriminator="type")]  # noqa: UP007 - of a tuple
        return handler(TypeAdapter(union).core_schema)


def one_of(package: str, **names: str) -> type[OneOf]:
    """The union of a package's configs: `jsonl="JsonlConfig"` is `PACKAGE.jsonl.JsonlConfig`."""
    return type("OneOf", (OneOf,), {"package": package, "names": names})
