"""Every refusal of the application, in one shape."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pipeline.core.errors import ConfigError, MoonwatchError, Problem

logger = logging.getLogger(__name__)


class WebError(Exception):
    """Why a request is refused: a sentence for who asked, and perhaps where the mistake is."""

    def __init__(
        self, status: int, message: str, *, place: str | None = None, retry_after_s: float = 0.0
    ) -> None:
        self.status = status
        self.message = message
        self.place = place
        self.retry_after_s = retry_after_s
        super().__init__(message)


def answer_of(status: int, message: str, place: str | None = None, **more: Any) -> JSONResponse:
    """The answer that says why something was refused."""
    error = {"message": message, "place": place, **more}
    return JSONResponse({"error": error}, status)


def problem_json(problem: Problem) -> dict[str, Any]:
    """A mistake in a file, with its place."""
    return {
        "path": problem.path,
        "message": problem.message,
        "line": problem.line,
        "file": problem.file,
    }


def add_error_handlers(app: FastAPI) -> None:
    """Answer everything that goes wrong in one shape, and let no internals out."""

    @app.exception_handler(WebError)
    def _refused(request: Request, error: WebError) -> JSONResponse:
        answer = answer_of(error.status, error.message, error.place)
        if error.retry_after_s:
            answer.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        return answer

    @app.exception_handler(ConfigError)
    def _mistaken(request: Request, error: ConfigError) -> JSONResponse:
        found = [problem_json(problem) for problem in error.problems]
        return answer_of(422, "the file has mistakes", problems=found)

    @app.exception_handler(MoonwatchError)
    def _out_of_reach(request: Request, error: MoonwatchError) -> JSONResponse:
        logger.warning("%s %s: %s", request.method, request.url.path, error)
        return answer_of(503, str(error))

    @app.exception_handler(RequestValidationError)
    def _not_understood(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return answer_of(422, f"{place}: {first['msg']}", place)

    @app.exception_handler(HTTPException)
    def _unknown(request: Request, error: HTTPException) -> JSONResponse:
        return answer_of(error.status_code, str(error.detail))

    @app.exception_handler(Exception)
    def _failed(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return answer_of(500, "this failed; the log of the process says why")
