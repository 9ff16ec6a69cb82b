"""What OpenAI's clients get back of a chat."""

import json
import secrets
import time
from collections.abc import Sequence
from typing import Any

from pipeline.inference.callers import CallFacts
from pipeline.moondream import DetectResult, PointResult, Result, TextResult, TokenLogprob
from pipeline.server.asking import CallerVisit, finish_reason
from pipeline.server.model_names import exact_name, fingerprint
from pipeline.server.results import found_objects, grounding_of, text_of


class ChatAnswer:
    """The answer to one chat, whole or in chunks: all of them have its id."""

    def __init__(self, visit: CallerVisit) -> None:
        facts = visit.facts
        self._visit = visit
        self._id = f"chatcmpl-{secrets.token_hex(12)}"
        self._made = int(time.time())
        self._model, self._fingerprint = exact_name(facts), fingerprint(facts)

    def whole(self, results: Sequence[Result]) -> dict[str, Any]:
        """All of it."""
        choices = [
            {
                "index": number,
                "message": {
                    "role": "assistant",
                    "content": content_of(result),
                    "refusal": None,
                    **_thoughts(result),
                },
                "finish_reason": finish_reason([result]),
                "logprobs": _logprobs(result),
            }
            for number, result in enumerate(results)
        ]
        return {
            **self._head("chat.completion"),
            "choices": choices,
            "usage": chat_usage(self._visit.spent()),
        }

    def chunk(
        self, number: int, delta: dict[str, Any], finish: str | None = None, logprobs: Any = None
    ) -> dict[str, Any]:
        """A part of one of its choices."""
        choice = {"index": number, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def last_chunks(self, number: int, result: Result) -> list[dict[str, Any]]:
        """What is known of a choice only at its end."""
        chunks = []
        if thoughts := _thoughts(result):
            chunks.append(self.chunk(number, thoughts))
        if logprobs := _logprobs(result):
            chunks.append(self.chunk(number, {}, logprobs=logprobs))
        return [*chunks, self.chunk(number, {}, finish_reason([result]))]

    def usage_chunk(self) -> dict[str, Any]:
        """What all of it took."""
        return {
            **self._head("chat.completion.chunk"),
            "choices": [],
            "usage": chat_usage(self._visit.spent()),
        }

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": kind,
            "created": self._made,
            "model": self._model,
            "system_fingerprint": self._fingerprint,
        }


def content_of(result: Result) -> str:
    """The content of a message: words, or what was found as JSON."""
    if isinstance(result, DetectResult | PointResult):
        return json.dumps(found_objects(result))
    return text_of(result)


def chat_usage(spent: CallFacts) -> dict[str, Any]:
    """What a chat took, in tokens."""
    return {
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
        "total_tokens": spent.prompt_tokens + spent.completion_tokens,
        "prompt_tokens_details": {
            "image_tokens": spent.image_tokens,
            "text_tokens": spent.prompt_tokens - spent.image_tokens,
            "cached_tokens": spent.image_tokens if spent.picture_was_kept else 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": spent.reasoning_tokens,
            "text_tokens": spent.completion_tokens - spent.reasoning_tokens,
        },
    }


def _thoughts(result: Result) -> dict[str, Any]:
    if not isinstance(result, TextResult) or result.reasoning is None:
        return {}
    return {
        "reasoning": result.reasoning.text,
        "reasoning_details": {"grounding": grounding_of(result.reasoning)},
    }


def _logprobs(result: Result) -> dict[str, Any] | None:
    if not isinstance(result, TextResult) or result.logprobs is None:
        return None
    return {"content": [_token(token) for token in result.logprobs], "refusal": None}


def _token(token: TokenLogprob) -> dict[str, Any]:
    return {
        "token": token.token,
        "bytes": list(token.bytes),
        "logprob": token.logprob,
        "top_logprobs": [
            {"token": other.token, "bytes": list(other.bytes), "logprob": other.logprob}
            for other in token.top
        ],
    }
