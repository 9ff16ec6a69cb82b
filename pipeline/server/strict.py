"""Bodies of requests, read strictly: what is not plain JSON of the documented form is refused.

Everything wrong with a body is said in one sentence that names the field.
"""

import json
import math
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, Never

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from pipeline.server.errors import ApiError

# Objects, lists and their parts in one body: pictures and texts are long, but they are few. Memory
# goes with the parts, which are many bytes each where a body has two.
MOST_PARTS = 50_000
DEEPEST = 64
# Characters of a name or a value that are repeated in a sentence.
SAID = 60

_ESCAPES = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
# How alternatives of a field are tagged where a path would show them: they are no part of it.
TAGS = frozenset(
    {"#words", "#parts", "#item", "#text", "#picture", "#input", "#items", "#one", "#many"}
)


class StrictRequest(Request):
    """A request whose body is parsed once, and strictly."""

    async def json(self) -> Any:
        """Return the body as it is parsed; raises ApiError."""
        if not hasattr(self, "_json"):
            self._json = parse(await self.body())
        return self._json


class StrictRoute(APIRoute):
    """A route whose body is JSON, and which says what is wrong with one in a sentence.

    `hints` are sentences for fields that are refused, by their names.
    """

    hints: ClassVar[Mapping[str, str]] = {}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler of FastAPI."""
        handle, has_body, hints = (
            super().get_route_handler(),
            self.body_field is not None,
            self.hints,
        )

        async def strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            if has_body:
                _check_headers(strict)
                await strict.json()
            try:
                return await handle(strict)
            except RequestValidationError as error:
                raise said(error.errors(), hints) from None

        return strictly


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is; raises ApiError."""
    if not body:
        raise ApiError(400, "the body is empty; send a JSON object")
    if body.count(b"{") + body.count(b"[") + body.count(b",") > MOST_PARTS:
        raise ApiError(400, f"the body has more than {MOST_PARTS} parts")
    try:
        found = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8 (at byte {error.start})") from None
    except json.JSONDecodeError as error:
        raise ApiError(
            400, f"the body is not valid JSON: {error.msg} (line {error.lineno}, {error.colno})"
        ) from None
    except RecursionError:
        raise ApiError(400, f"the body is nested more than {DEEPEST} levels deep") from None
    except ValueError:
        raise ApiError(400, "the body holds a number that is too long") from None
    if not isinstance(found, dict):
        raise ApiError(400, f"the body is {_kind(found)}; send a JSON object")
    _check_tree(found, has_escapes=_ESCAPES.search(body) is not None)
    return found


def said(errors: Sequence[Any], hints: Mapping[str, str]) -> ApiError:
    """Return the first thing that is wrong with the fields of a body, as its caller is told."""
    # What is missing or misspelt says more than what its value is not.
    order = {"extra_forbidden": 0, "missing": 1}
    first = min(errors, key=lambda error: order.get(error["type"], 2))
    path = [
        part for part in first["loc"] if part not in ("body", "query", "path") and part not in TAGS
    ]
    param = _path(path) or None
    kind, message = first["type"], str(first["msg"])
    field = param if param is not None and param in hints else str(path[0]) if path else ""
    if field in hints:
        return ApiError(400, f"{field}: {hints[field]}", param=field, code="unsupported_value")
    if kind == "extra_forbidden":
        return ApiError(
            400,
            f"{param} is not supported here; leave it out",
            param=param,
            code="unsupported_parameter",
        )
    if kind == "missing":
        if param is None:
            return ApiError(400, "the body is empty; send a JSON object")
        return ApiError(400, f"{param} is missing", param=param, code="missing_required_parameter")
    if kind in ("too_short", "too_long"):
        context = first["ctx"]
        bound = "at least" if kind == "too_short" else "at most"
        size = context["min_length"] if kind == "too_short" else context["max_length"]
        entries = "entry" if size == 1 else "entries"
        sentence = f"{param} has {context['actual_length']} entries; give {bound} {size} {entries}"
        return ApiError(400, sentence, param=param, code="invalid_value")
    message = message.removeprefix("Value error, ").replace("Input should be", "it should be")
    value = _shown(first.get("input"))
    sentence = f"{param} is {value}: {message}" if param else message
    return ApiError(400, sentence, param=param, code="invalid_value")


def _check_headers(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        shown = repr(kind[:SAID]) if kind else "missing"
        raise ApiError(415, f"the content type is {shown}; send application/json")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise ApiError(415, "compressed bodies are not read; send it without content-encoding")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ApiError(400, f"the body gives {_shown(twice)} twice", code="invalid_value")
    return found


def _no_constant(name: str) -> Never:
    raise ApiError(400, f"the body holds {name}, which is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ApiError(400, f"the body holds the number {text[:SAID]}, which is too large")
    return value


def _check_tree(tree: Any, *, has_escapes: bool) -> None:
    """Refuse what is nested too deep, and texts that no text may hold."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ApiError(400, f"the body is nested more than {DEEPEST} levels deep")
        below: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                below += node.values()
                if has_escapes:
                    below += node.keys()
            elif isinstance(node, list):
                below += node
            elif has_escapes and isinstance(node, str):
                _check_text(node)
        level = below


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ApiError(400, "a text in the body holds the character U+0000")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ApiError(400, "a text in the body holds half of a surrogate pair") from None


def _path(parts: Sequence[Any]) -> str:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path[: 4 * SAID]


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
    return "an object"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value if len(value) <= SAID else value[:SAID] + "…", ensure_ascii=False)
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int | float):
        return str(value) if abs(value) < 1e18 else f"{float(min(max(value, -1e300), 1e300)):.3g}"
    return _kind(value)
