"""From a chat to one request to the model: one question, one picture, one skill."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.moondream import (
    CaptionRequest,
    DetectRequest,
    PointRequest,
    QueryRequest,
    Request,
    TokenMask,
)
from pipeline.moondream.conversation import ChatTurn, chat_words
from pipeline.moondream.types import MAX_TOKENS, TOP_P
from pipeline.server.asking import CallerVisit, Wish, mask_of
from pipeline.server.errors import ApiError
from pipeline.server.model_names import AskedModel, ServedSkill
from pipeline.server.openai.schemas import (
    ChatMessage,
    ImageAddress,
    InputMessage,
    SkillOptions,
    TextPart,
)
from pipeline.server.spatial import spatial_refs


@dataclass(frozen=True, slots=True)
class Chat:
    """What was said, and the picture it is about.

    `param` is the field with what was said, and `picture_param` that with the picture.
    """

    turns: Sequence[ChatTurn]
    picture: ImageAddress | None
    param: str
    picture_param: str = ""


@dataclass(frozen=True, slots=True)
class Manner:
    """How an answer is to be made, by whichever names the interface has for it."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    thinks: bool = False
    times: int = 1
    wants_json: bool = False
    schema: Mapping[str, Any] | None = None
    thinks_param: str = "reasoning_effort"
    format_param: str = "response_format"


def chat_of(messages: Sequence[ChatMessage | InputMessage], field: str, system: str | None) -> Chat:
    """Return what was said; raises ApiError for what is not one question about one picture."""
    turns = [ChatTurn("system", system)] if system else []
    pictures: list[tuple[ImageAddress, str]] = []
    for number, message in enumerate(messages):
        param = f"{field}[{number}].content"
        words: list[str] = []
        if isinstance(message.content, str):
            words = [message.content]
        else:
            for at, part in enumerate(message.content):
                if isinstance(part, TextPart):
                    words.append(part.text)
                elif message.role == "user":
                    pictures.append((part.address, f"{param}[{at}].image_url"))
                else:
                    raise ApiError(
                        400,
                        f"{param}[{at}] is a picture of the {message.role}; only users send them",
                        param=f"{param}[{at}]",
                        code="invalid_value",
                    )
        role = "system" if message.role == "developer" else message.role
        turns.append(ChatTurn(role, "\n".join(words)))
    if messages[-1].role != "user":
        raise ApiError(
            400,
            f"the last message is of the {messages[-1].role}; it must be the user's question",
            param=f"{field}[{len(messages) - 1}].role",
            code="invalid_value",
        )
    # A chat repeats its picture with every turn; another one would be left out in silence.
    different = {address.url for address, _ in pictures}
    if len(different) > 1:
        raise ApiError(
            400,
            f"the messages hold {len(different)} different pictures; the model looks at one",
            param=pictures[-1][1],
            code="unsupported_value",
        )
    picture, picture_param = pictures[-1] if pictures else (None, "")
    return Chat(turns, picture, field, picture_param)


async def wish_of(
    visit: CallerVisit, chat: Chat, model: AskedModel, options: SkillOptions | None, manner: Manner
) -> Wish:
    """Return what is asked of the model; raises ApiError."""
    given: Collection[str] = options.model_fields_set if options else ()
    if "skill" in given and options and model.skill and model.skill != options.skill:
        raise ApiError(
            400,
            f"the model {model.id} and moondream.skill {options.skill!r} differ; give one of them",
            param="moondream.skill",
            code="invalid_value",
        )
    options = options or SkillOptions()
    skill: ServedSkill = model.skill or options.skill
    _check_fits(skill, given, manner)
    if skill in ("detect", "point", "caption") and chat.picture is None:
        raise ApiError(
            400,
            f"{skill} needs a picture; send it as image_url",
            param=chat.param,
            code="invalid_value",
        )
    request: Request
    if skill == "detect":
        request = DetectRequest(_label(chat, options), options.max_objects)
    elif skill == "point":
        request = PointRequest(_label(chat, options), options.max_objects)
    else:
        mask: TokenMask | None = None
        if manner.wants_json:
            # A schema takes as long to prepare as some answers: it counts as a request.
            visit.enter(skill, has_picture=chat.picture is not None)
            schema = None if manner.schema is None else dict(manner.schema)
            mask = await mask_of(visit, schema, manner.format_param)
        temperature = manner.temperature or 0.0
        top_p = _top_p(manner)
        most = min(manner.max_tokens or MAX_TOKENS, visit.facts.max_context)
        if skill == "caption":
            request = CaptionRequest(
                options.length,
                most,
                temperature,
                top_p,
                manner.seed,
                manner.stop,
                manner.logprobs,
                mask,
            )
        else:
            request = QueryRequest(
                _question(chat),
                reasoning=manner.thinks,
                spatial_refs=spatial_refs(options.spatial_refs, "moondream.spatial_refs"),
                max_tokens=most,
                temperature=temperature,
                top_p=top_p,
                seed=manner.seed,
                stop=manner.stop,
                logprobs=manner.logprobs,
                mask=mask,
            )
    is_low = chat.picture is not None and chat.picture.detail == "low"
    return Wish(
        skill,
        request,
        None if chat.picture is None else chat.picture.url,
        1 if is_low else None,
        chat.picture_param,
        manner.times,
        chat.param,
        manner.format_param,
    )


def _top_p(manner: Manner) -> float:
    if manner.top_p is not None:
        return manner.top_p
    # Who samples with OpenAI's fields means OpenAI's defaults.
    return 1.0 if manner.temperature else TOP_P


def _question(chat: Chat) -> str:
    if not chat.turns[-1].text.strip():
        raise ApiError(
            400, "the last message has no text; it must hold the question", param=chat.param,
            code="invalid_value",
        )  # fmt: skip
    return chat_words(chat.turns)


def _label(chat: Chat, options: SkillOptions) -> str:
    said = [turn for turn in chat.turns if turn.text.strip()]
    if options.object is not None and not options.object.strip():
        raise ApiError(
            400, "moondream.object is empty", param="moondream.object", code="invalid_value"
        )
    if options.object is not None:
        return options.object.strip()
    if len(said) != 1 or not chat.turns[-1].text.strip():
        raise ApiError(
            400,
            "to detect and to point there must be one text, the name of the object; there are "
            f"{len(said)}",
            param=chat.param,
            code="invalid_value",
        )
    return said[0].text.strip()


def _check_fits(skill: ServedSkill, given: Collection[str], manner: Manner) -> None:
    """Refuse what has no meaning for a skill; raises ApiError."""
    objects = skill in ("detect", "point")
    if manner.times > 1 and not manner.temperature:
        raise ApiError(
            400,
            "n is more than 1, but without a temperature all answers are the same; set temperature",
            param="n",
            code="unsupported_value",
        )
    wrong = {
        "temperature": objects and bool(manner.temperature),
        "stop": objects and bool(manner.stop),
        "logprobs": objects and manner.logprobs is not None,
        manner.thinks_param: skill != "query" and manner.thinks,
        manner.format_param: objects and manner.schema is not None,
        "moondream.object": not objects and "object" in given,
        "moondream.max_objects": not objects and "max_objects" in given,
        "moondream.length": skill != "caption" and "length" in given,
        "moondream.spatial_refs": skill != "query" and "spatial_refs" in given,
    }
    for param, is_wrong in wrong.items():
        if is_wrong:
            raise ApiError(
                400, f"{param} is not supported by {skill}; leave it out", param=param,
                code="unsupported_parameter",
            )  # fmt: skip
