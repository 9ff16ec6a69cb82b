"""The two interfaces: how each task is put to a server, and where its answer is."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from pipeline.core.answers import Answer, Number
from pipeline.core.tasks import Ask, Caption, Count, Detect, Point, Task
from pipeline.inference.engines._remote.reading import (
    UnusableError,
    a_probability,
    boxes_of,
    in_words,
    points_of,
    probability_of_yes,
)
from pipeline.inference.engines._remote.transport import RefusedError
from pipeline.inference.engines.remote import RemoteConfig

logger = logging.getLogger(__name__)

Post = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Sends a request to a path; raises RefusedError."""

# A number in words is at most a few tokens, an introduction in front of it a few more.
_FEW_TOKENS = 16
# An answer as JSON around it.
_JSON_TOKENS = 24
# Models that count their thoughts among the tokens of an answer come to none without these.
_THINKING_TOKENS = 1024
# The most alternatives that servers give for a token.
_ALTERNATIVES = 20
_CAPTIONS = {
    "short": "Describe this picture in one short sentence.",
    "normal": "Describe this picture.",
    "long": "Describe this picture in detail.",
}


class Form(Protocol):
    """An interface."""

    async def ask(self, task: Task, picture: str, post: Post) -> Answer:
        """The answer to a task about a picture, which is a data URI.

        Raises RefusedError, and UnusableError for an answer that is none.
        """
        ...


class OpenAiForm:
    """Chat completions. What a server refuses by name is remembered, and left out from then on."""

    _WAYS = (
        # Longest names first: a refusal of one may name another as the way out.
        ("json_schema", ("response_format", "json_schema", "structured output", "guided")),
        ("logprobs", ("logprobs", "logprob")),
        ("max_tokens", ("max_tokens",)),
        ("temperature", ("temperature",)),
    )

    def __init__(self, config: RemoteConfig) -> None:
        self._config = config
        self._without: set[str] = set()
        if config.structured != "auto":
            self._without.add("logprobs")
        if config.structured == "none":
            self._without.add("json_schema")

    async def ask(self, task: Task, picture: str, post: Post) -> Answer:
        """Ask in the best way the server has; each way that it refuses is tried once."""
        while True:
            way = self._way(task)
            body = self._body(task, picture, way)
            try:
                read = await post("/chat/completions", body)
            except RefusedError as refusal:
                refused = self._refused(refusal, way)
                if refused is None:
                    raise
                self._do_without(refused, str(refusal))
                continue
            return self._answer(task, read, way)

    def _way(self, task: Task) -> set[str]:
        """What a request makes use of."""
        ways = {"max_tokens", "temperature"}
        kind = task.answers if isinstance(task, Ask) else "number" if _is_count(task) else "text"
        if kind == "yes/no" and "logprobs" not in self._without:
            ways.add("logprobs")
        elif kind != "text":
            ways.add("json_schema")
        return ways - self._without

    def _body(self, task: Task, picture: str, ways: set[str]) -> dict[str, Any]:
        words, most = self._question(task)
        if "json_schema" in ways:
            most = max(most, _JSON_TOKENS)
        body: dict[str, Any] = {
            "model": self._config.model,
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": picture}},
                        {"type": "text", "text": words},
                    ],
                }
            ],
        }
        if "max_tokens" in ways:
            body["max_tokens"] = most
        else:
            body["max_completion_tokens"] = most + _THINKING_TOKENS
        if "temperature" in ways:
            body["temperature"] = 0
        if "logprobs" in ways:
            body |= {"logprobs": True, "top_logprobs": _ALTERNATIVES}
        if "json_schema" in ways:
            schema = {
                "type": "object",
                "properties": {"answer": _schema(task)},
                "required": ["answer"],
                "additionalProperties": False,
            }
            named = {"name": "answer", "strict": True, "schema": schema}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        return body

    def _question(self, task: Task) -> tuple[str, int]:
        """What is asked, and how many tokens an answer may have."""
        hint = f" {_hint(task)}" if self._config.is_instructing and _hint(task) else ""
        match task:
            case Ask(answers="text", question=question, max_tokens=most):
                return question, most
            case Ask(question=question):
                return f"{question}{hint}", _FEW_TOKENS
            case Count(label=label):
                return f"How many {label} are in this picture?{hint}", _FEW_TOKENS
            case Caption(length=length, max_tokens=most):
                return _CAPTIONS[length], most
            case _:
                raise UnusableError("nothing: it was not asked")

    def _answer(self, task: Task, read: dict[str, Any], ways: set[str]) -> Answer:
        try:
            choice = read["choices"][0]
            message = choice["message"]
            text = message.get("content")
            refusal = message.get("refusal")
            tokens = (choice.get("logprobs") or {}).get("content")
        except (LookupError, TypeError, AttributeError):
            raise UnusableError("no `choices` with a message") from None
        if refusal:
            raise UnusableError("that the model refuses to answer this")
        if "logprobs" not in ways:
            return in_words(text, task)
        if not tokens:
            # Some servers ignore what they do not have.
            self._do_without("logprobs", "it gives no probabilities")
        return in_words(text, task, probability_of_yes(tokens))

    def _refused(self, refusal: RefusedError, ways: set[str]) -> str | None:
        """What of a request a server refuses by name."""
        if refusal.status not in (400, 422, 501):
            return None
        for way, names in self._WAYS:
            if way in ways and any(name in refusal.said for name in names):
                return way
        return None

    def _do_without(self, way: str, why: str) -> None:
        if way not in self._without:
            self._without.add(way)
            logger.info("%s is asked without %s from now on: %s", self._config.place, way, why)


class MoondreamForm:
    """A path for each skill."""

    def __init__(self, config: RemoteConfig) -> None:
        self._config = config

    async def ask(self, task: Task, picture: str, post: Post) -> Answer:
        """Ask the skill that a task needs."""
        settings: dict[str, Any] = {"temperature": 0}
        body: dict[str, Any] = {"image_url": picture, "settings": settings}
        if self._config.model is not None:
            body["model"] = self._config.model
        match task:
            case Detect(label=label, max_objects=most):
                settings["max_objects"] = most
                return boxes_of(await post("/detect", {**body, "object": label}), task)
            case Point(label=label, max_objects=most):
                settings["max_objects"] = most
                return points_of(await post("/point", {**body, "object": label}), task)
            case Count(label=label, max_objects=most):
                settings["max_objects"] = most
                found = boxes_of(await post("/detect", {**body, "object": label}), task)
                return Number(task.engine, len(found.boxes_xyxy), saturated=found.saturated)
            case Caption(length=length, max_tokens=most):
                settings["max_tokens"] = most
                read = await post("/caption", {**body, "length": length, "stream": False})
                return in_words(_field(read, "caption"), task)
            case Ask():
                is_text = task.answers == "text"
                settings["max_tokens"] = task.max_tokens if is_text else _FEW_TOKENS
                # It cannot know the choices from anywhere else.
                says = self._config.is_instructing or task.answers == "one of"
                hint = f" {_hint(task)}" if says and _hint(task) else ""
                asked = {**body, "question": f"{task.question}{hint}", "stream": False}
                read = await post("/query", asked)
                # Given by moonwatch's own server, besides what the interface has.
                likely = read.get("yes_probability") if task.answers == "yes/no" else None
                return in_words(_field(read, "answer"), task, a_probability(likely))


def form_of(config: RemoteConfig) -> Form:
    """The interface that a config names."""
    return OpenAiForm(config) if config.api == "openai" else MoondreamForm(config)


def _field(read: dict[str, Any], name: str) -> Any:
    if name not in read:
        raise UnusableError(f"without `{name}`")
    return read[name]


def _is_count(task: Task) -> bool:
    return isinstance(task, Count)


def _hint(task: Task) -> str:
    """In which form to answer."""
    match task:
        case Ask(answers="yes/no"):
            return "Answer yes or no."
        case Ask(answers="number") | Count():
            return "Answer with a number only."
        case Ask(answers="one of", choices=choices):
            return f"Answer with one of: {', '.join(choices)}."
        case _:
            return ""


def _schema(task: Task) -> dict[str, Any]:
    """What the answer in JSON may be."""
    match task:
        case Ask(answers="yes/no"):
            return {"type": "string", "enum": ["yes", "no"]}
        case Ask(answers="one of", choices=choices):
            return {"type": "string", "enum": list(choices)}
        case _:
            return {"type": "integer"}
