"""What OpenAI's clients send, as far as this model can do it.

Fields that change the answer and that it cannot do are refused by name; those that concern nobody
but the caller are read and left alone. Nothing is coerced: a number is no text.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic.json_schema import SkipJsonSchema

from pipeline.moondream.types import (
    MAX_LOGPROBS,
    MAX_OBJECTS,
    MAX_STOP_LETTERS,
    MAX_STOPS,
)

MOST_ANSWERS = 8
LARGEST_SEED = 2**63 - 1
HIGHEST_TEMPERATURE = 2.0
MOST_TOKENS = 1_000_000
MOST_OBJECTS = 1000
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
Detail = Literal["auto", "low", "high", "original"]


class StrictBody(BaseModel):
    """Something in a request: of exactly these fields and types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class TextPart(StrictBody):
    """Words."""

    type: Literal["text", "input_text", "output_text"]
    text: str
    annotations: Any = None
    logprobs: Any = None
    prompt_cache_breakpoint: Any = None


class ImageAddress(StrictBody):
    """Where a picture is, or the picture itself."""

    url: str = Field(
        min_length=1, description="An https address, a data URI, or the picture in base64."
    )
    detail: Detail | None = Field(
        None, description="`low` looks at the whole picture only, without its parts."
    )


class ImagePart(StrictBody):
    """A picture."""

    type: Literal["image_url"]
    image_url: Annotated[
        Annotated[str, Tag("#words")] | Annotated[ImageAddress, Tag("#item")],
        Discriminator(lambda value: "#words" if isinstance(value, str) else "#item"),
    ]
    detail: Detail | None = None
    prompt_cache_breakpoint: Any = None

    @property
    def address(self) -> ImageAddress:
        """The picture, whichever way it was written."""
        if isinstance(self.image_url, str):
            return ImageAddress(url=self.image_url, detail=self.detail)
        return self.image_url


class InputImagePart(StrictBody):
    """A picture, as `/v1/responses` has it."""

    type: Literal["input_image"]
    image_url: str = Field(min_length=1)
    detail: Detail | None = None
    file_id: None = None
    prompt_cache_breakpoint: Any = None

    @property
    def address(self) -> ImageAddress:
        """The picture, as chats have it."""
        return ImageAddress(url=self.image_url, detail=self.detail)


_PARTS = {
    "text": "#text",
    "input_text": "#text",
    "output_text": "#text",
    "image_url": "#picture",
    "input_image": "#input",
}


def _part_tag(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return _PARTS.get(kind) if isinstance(kind, str) else None


Part: TypeAlias = Annotated[
    Annotated[TextPart, Tag("#text")]
    | Annotated[ImagePart, Tag("#picture")]
    | Annotated[InputImagePart, Tag("#input")],
    Discriminator(
        _part_tag,
        custom_error_type="part_type",
        custom_error_message="it should be an object with the type 'text' or 'image_url'",
    ),
]
Content: TypeAlias = Annotated[
    Annotated[str, Tag("#words")] | Annotated[list[Part], Tag("#parts")],
    Discriminator(lambda value: "#parts" if isinstance(value, list) else "#words"),
]


class ChatMessage(StrictBody):
    """What somebody said."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: str | None = Field(None, description="Left alone.")
    # What assistants' messages of earlier answers carry when they are sent back.
    refusal: SkipJsonSchema[Any] = None
    annotations: SkipJsonSchema[Any] = None
    audio: SkipJsonSchema[None] = None
    reasoning: SkipJsonSchema[Any] = None
    reasoning_content: SkipJsonSchema[Any] = None
    reasoning_details: SkipJsonSchema[Any] = None
    tool_calls: SkipJsonSchema[Annotated[None, BeforeValidator(lambda found: found or None)]] = None
    function_call: SkipJsonSchema[None] = None


class StreamOptions(StrictBody):
    """What a stream holds besides."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = Field(None, description="Left alone.")


class JsonSchemaFormat(StrictBody):
    """The schema an answer has to follow."""

    name: str = Field("answer", max_length=64)
    description: str | None = Field(None, description="Left alone.")
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = Field(None, description="Schemas are always followed to the letter.")


class AnswerFormat(StrictBody):
    """What an answer has to look like."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None


class SkillOptions(StrictBody):
    """What Moondream can do that chats have no words for."""

    skill: Literal["query", "caption", "detect", "point"] = "query"
    object: str | None = Field(
        None, min_length=1, description="What to detect or to point at; else the user's text."
    )
    max_objects: int = Field(MAX_OBJECTS, ge=1, le=MOST_OBJECTS)
    length: Literal["short", "normal", "long"] = Field("normal", description="Of a caption.")
    spatial_refs: list[list[float]] | None = Field(
        None, max_length=64, description="Points [x, y] and boxes [x1, y1, x2, y2] of a question."
    )


Stops: TypeAlias = Annotated[
    Annotated[str, Tag("#one"), Field(min_length=1, max_length=MAX_STOP_LETTERS)]
    | Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_STOP_LETTERS)]],
        Tag("#many"),
        Field(max_length=MAX_STOPS),
    ],
    Discriminator(lambda value: "#many" if isinstance(value, list) else "#one"),
]
# No field of these changes the answer.
LeftAlone: TypeAlias = Annotated[Any, Field(description="Left alone.")]


class ChatRequest(StrictBody):
    """One question about one picture, or about none, with what was said before."""

    model: str = Field(min_length=1, max_length=256, examples=["moondream2"])
    messages: list[ChatMessage] = Field(min_length=1, max_length=256)
    temperature: float | None = Field(
        None, ge=0, le=HIGHEST_TEMPERATURE, description="0, which is the default, is greedy."
    )
    top_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    max_completion_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    n: int | None = Field(None, ge=1, le=MOST_ANSWERS)
    seed: int | None = Field(None, ge=-LARGEST_SEED - 1, le=LARGEST_SEED)
    stop: Stops | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    response_format: AnswerFormat | None = None
    reasoning_effort: Effort | None = Field(
        None, description="`none`, which is the default, answers at once; all others think first."
    )
    reasoning: bool | None = Field(None, description="Moondream's name for it.")
    moondream: SkillOptions | None = None

    user: LeftAlone = None
    metadata: LeftAlone = None
    store: LeftAlone = None
    service_tier: LeftAlone = None
    safety_identifier: LeftAlone = None
    prompt_cache_key: LeftAlone = None
    prompt_cache_retention: LeftAlone = None
    prompt_cache_options: LeftAlone = None
    verbosity: LeftAlone = None

    # Only these values change nothing; all others are refused with the sentences below.
    frequency_penalty: Literal[0] | float | None = Field(None, ge=0, le=0)
    presence_penalty: Literal[0] | float | None = Field(None, ge=0, le=0)
    logit_bias: dict[str, Any] | None = Field(None, max_length=0)
    tools: list[Any] | None = Field(None, max_length=0)
    tool_choice: Literal["none", "auto"] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = Field(None, max_length=0)
    function_call: Literal["none", "auto"] | None = None
    modalities: list[Literal["text"]] | None = None
    audio: SkipJsonSchema[None] = None
    prediction: SkipJsonSchema[None] = None
    web_search_options: SkipJsonSchema[None] = None
    moderation: SkipJsonSchema[None] = None


CHAT_HINTS = {
    "frequency_penalty": "penalties are not supported; leave it out or give 0",
    "presence_penalty": "penalties are not supported; leave it out or give 0",
    "logit_bias": "biases of tokens are not supported; leave it out",
    "tools": "the model calls no tools; for boxes and points use the model moondream2:detect or "
    "moondream2:point, for answers in a form response_format",
    "tool_choice": "the model calls no tools; leave it out",
    "functions": "the model calls no functions; for answers in a form use response_format",
    "function_call": "the model calls no functions; leave it out",
    "modalities": "the model answers in text alone",
    "audio": "the model answers in text alone; leave it out",
    "prediction": "predicted answers are not supported; leave it out",
    "web_search_options": "the model does not search the web; leave it out",
    "moderation": "answers are not moderated; leave it out",
}


class InputMessage(StrictBody):
    """What somebody said, as `/v1/responses` has it."""

    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    id: str | None = Field(None, description="Left alone.")
    status: str | None = Field(None, description="Left alone.")
    phase: SkipJsonSchema[Any] = None


class TextFormat(StrictBody):
    """What an answer has to look like, as `/v1/responses` has it."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: str | None = Field(None, max_length=64)
    description: str | None = Field(None, description="Left alone.")
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class TextOptions(StrictBody):
    """How an answer is written."""

    format: TextFormat | None = None
    verbosity: LeftAlone = None


class ReasoningOptions(StrictBody):
    """Whether to think first."""

    effort: Effort | None = None
    summary: LeftAlone = None
    generate_summary: LeftAlone = None


class ResponsesRequest(StrictBody):
    """One question about one picture, or about none, as `/v1/responses` has it."""

    model: str = Field(min_length=1, max_length=256, examples=["moondream2"])
    input: Annotated[
        Annotated[str, Tag("#words")]
        | Annotated[list[InputMessage], Tag("#items"), Field(min_length=1, max_length=256)],
        Discriminator(lambda value: "#items" if isinstance(value, list) else "#words"),
    ]
    instructions: str | None = None
    temperature: float | None = Field(None, ge=0, le=HIGHEST_TEMPERATURE)
    top_p: float | None = Field(None, ge=0, le=1)
    max_output_tokens: int | None = Field(None, ge=1, le=MOST_TOKENS)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    moondream: SkillOptions | None = None

    user: LeftAlone = None
    metadata: dict[str, Any] | None = Field(None, description="Given back with the answer.")
    service_tier: LeftAlone = None
    safety_identifier: LeftAlone = None
    prompt_cache_key: LeftAlone = None
    prompt_cache_retention: LeftAlone = None
    prompt_cache_options: LeftAlone = None
    store: bool | None = Field(None, description="Nothing is stored, whatever it says.")

    background: Literal[False] | None = None
    include: list[Any] | None = Field(None, max_length=0)
    max_tool_calls: SkipJsonSchema[None] = None
    conversation: SkipJsonSchema[None] = None
    context_management: SkipJsonSchema[None] = None
    moderation: SkipJsonSchema[None] = None
    parallel_tool_calls: bool | None = None
    previous_response_id: SkipJsonSchema[None] = None
    prompt: SkipJsonSchema[None] = None
    tool_choice: Literal["none", "auto"] | None = None
    tools: list[Any] | None = Field(None, max_length=0)
    top_logprobs: Literal[0] | None = None
    truncation: Literal["disabled"] | None = None


RESPONSES_HINTS = {
    "background": "answers are not made in the background; leave it out",
    "include": "there is nothing more to include; leave it out",
    "max_tool_calls": "the model calls no tools; leave it out",
    "conversation": "nothing is stored here: send what was said before in `input`",
    "context_management": "nothing is left out here; send fewer turns",
    "moderation": "answers are not moderated; leave it out",
    "previous_response_id": "nothing is stored here: send what was said before in `input`",
    "prompt": "prompts are not stored here: send `instructions` and `input`",
    "tool_choice": "the model calls no tools; leave it out",
    "tools": "the model calls no tools; for boxes and points use the model moondream2:detect or "
    "moondream2:point, for answers in a form text.format",
    "top_logprobs": "log-probabilities are given by /v1/chat/completions alone; leave it out",
    "truncation": "nothing is left out here; leave it out or say disabled",
}
