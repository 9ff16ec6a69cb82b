"""Every error of the server, in the shape that OpenAI's clients read."""

import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

logger = logging.getLogger(__name__)


class ApiError(Exception):
    """Why a request is not answered, as its caller is told: one sentence, with no internals.

    `param` is the field it is about. `retry_after_s` and `should_retry` say whether to try again;
    `also` are more headers of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        type: str = "invalid_request_error",
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
        also: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.also = dict(also or {})
        super().__init__(message)

    def body(self) -> dict[str, Any]:
        """What is answered."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def headers(self) -> dict[str, str]:
        """When to try again, if that helps."""
        headers = dict(self.also)
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
            headers["retry-after-ms"] = str(max(1, math.ceil(self.retry_after_s * 1000)))
        if self.should_retry is not None:
            headers["x-should-retry"] = str(self.should_retry).lower()
        return headers

    def response(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.body(), self.status, self.headers())


def overloaded(retry_after_s: float) -> ApiError:
    """The line is full: another try may succeed."""
    return ApiError(
        503,
        "the model has more requests than it can answer now; try again later",
        "server_error",
        code="overloaded",
        retry_after_s=retry_after_s,
        should_retry=True,
    )


def add_error_handlers(app: FastAPI) -> None:
    """Let everything that can go wrong be answered in one shape."""

    async def known(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return error.response()

    async def of_routing(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        place = f"{request.method} {request.url.path}"
        if error.status_code == HTTPStatus.NOT_FOUND:
            found = ApiError(404, f"there is no {place} here", code="not_found")
        elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = Headers(error.headers or {}).get("allow", "another method")
            found = ApiError(405, f"{place} is not possible; use {allowed}", code="not_allowed")
        else:
            said = HTTPStatus(error.status_code).phrase
            found = ApiError(error.status_code, said)
        response = found.response()
        response.headers.update(error.headers or {})
        return response

    async def of_fields(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = [str(part) for part in first["loc"] if part != "body"]
        if first["type"] == "json_invalid":
            return ApiError(400, "the body is not valid JSON").response()
        field = ".".join(place) or None
        sentence = f"{field}: {first['msg']}" if field else str(first["msg"])
        return ApiError(400, sentence, param=field).response()

    async def unknown(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return ApiError(
            500, "the server failed to answer; its log says why", "server_error"
        ).response()

    app.add_exception_handler(ApiError, known)
    app.add_exception_handler(HTTPException, of_routing)
    app.add_exception_handler(RequestValidationError, of_fields)
    app.add_exception_handler(Exception, unknown)
