"""What the description of the interface says of all routes: errors, and answers in pieces."""

from typing import Any

from pydantic import BaseModel


class ErrorDetail(BaseModel):
    """Why a request is not answered."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """An error, in the shape that OpenAI's clients read."""

    error: ErrorDetail


ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": ErrorBody, "description": "Why the request is not answered."}
}
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The answer, or its events with `stream: true`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}
