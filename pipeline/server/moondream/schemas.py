"""What Moondream's clients send. Unknown fields are ignored, as this interface promises."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from pipeline.moondream.types import MAX_OBJECTS

HIGHEST_TEMPERATURE = 2.0
MOST_TOKENS = 1_000_000
MOST_OBJECTS = 1000
SpatialRefs = list[list[float]]


class SkillBody(BaseModel):
    """A request, or a part of one."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False, frozen=True)


class TextSettings(SkillBody):
    """How words are chosen."""

    temperature: float | None = Field(
        None, ge=0, le=HIGHEST_TEMPERATURE, description="0, which is the default, is greedy."
    )
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    variant: SkipJsonSchema[None] = None


class ObjectSettings(SkillBody):
    """How much is looked for."""

    max_objects: int = Field(MAX_OBJECTS, ge=1, le=MOST_OBJECTS)
    variant: SkipJsonSchema[None] = None


class SkillRequest(SkillBody):
    """What all requests have."""

    model: str | None = Field(None, min_length=1, max_length=256)


class QuerySkillRequest(SkillRequest):
    """A question, with or without a picture."""

    question: str = Field(min_length=1)
    image_url: str | None = Field(
        None, min_length=1, description="An https address, a data URI, or the picture in base64."
    )
    stream: bool | None = None
    reasoning: bool | None = None
    spatial_refs: SpatialRefs | None = Field(
        None, max_length=64, description="Points [x, y] and boxes [x1, y1, x2, y2], 0 to 1."
    )
    settings: TextSettings | None = None


class CaptionSkillRequest(SkillRequest):
    """A description of a picture."""

    image_url: str = Field(min_length=1)
    length: Literal["short", "normal", "long"] | None = None
    stream: bool | None = None
    settings: TextSettings | None = None


class ObjectSkillRequest(SkillRequest):
    """Everything that a word names in a picture."""

    image_url: str = Field(min_length=1)
    object: str = Field(min_length=1)
    settings: ObjectSettings | None = None
    spatial_refs: SkipJsonSchema[Any] = None
    stream: bool | None = None


SKILL_HINTS = {
    "settings.variant": "no variants are served here; leave it out",
}
