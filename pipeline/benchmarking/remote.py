"""A server that answers a benchmark, over the interface of OpenAI or that of Moondream.

Questions go to `/chat/completions` or to `/query`; boxes and points, for which OpenAI's interface
has no form, to Moondream's `/detect` and `/point`.
"""

import math
import random
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pipeline.benchmarking.items import (
    Ask,
    BenchmarkError,
    BenchmarkItem,
    FindPoints,
    ItemAnswer,
    Json,
    PictureWork,
    Question,
)
from pipeline.benchmarking.pictures import PictureDataError, data_uri
from pipeline.core.address import Address, Secret, masked, without_secrets
from pipeline.core.retrying import Backoff, Rests

if TYPE_CHECKING:
    import httpx

Interface = Literal["openai", "moondream"]
INTERFACES: tuple[Interface, ...] = ("openai", "moondream")

_ANSWER_WITHIN_S = 300.0
_CONNECT_WITHIN_S = 10.0
# So long a server may be busy or away before the run gives up; it goes on when started again.
_AWAY_WITHIN_S = 120.0
_RESTS = Rests(0.5, 15.0)
_BUSY = frozenset({408, 425, 429, 502, 503, 504, 529})
# A server that is broken for one request may be well for others, so this is tried a few times only.
_BROKEN, _BROKEN_TIMES = 500, 3
# What is wrong with every request and not with one: there is no point in asking on.
_FATAL = frozenset({401, 403, 404, 405})
_TOP_P = 0.3  # as upstream samples, and as the model does in this process


class RemoteAnswerer:
    """Asks a server; `batch` requests are out at the same time."""

    gives_raw_boxes = False

    def __init__(
        self,
        url: Address,
        model: str,
        key: Secret | None,
        batch: int,
        interface: Interface = "openai",
        away_within_s: float = _AWAY_WITHIN_S,
    ) -> None:
        import httpx

        self.facts: Mapping[str, Json] = {
            "engine": "remote",
            "url": masked(url.reveal()),
            "model": model,
            "interface": interface,
        }
        self._base = url.reveal().rstrip("/")
        self._model, self._interface, self._batch = model, interface, batch
        self._away_within_s = away_within_s
        self._stopped = threading.Event()
        headers = {"user-agent": "moonwatch-benchmark"}
        if key is not None:
            # Moondream's own header too: its cloud takes no other, and other servers ignore it.
            headers |= {
                "authorization": f"Bearer {key.reveal()}",
                "x-moondream-auth": key.reveal(),
            }
        self._client = httpx.Client(
            headers=headers,
            timeout=httpx.Timeout(_ANSWER_WITHIN_S, connect=_CONNECT_WITHIN_S),
            limits=httpx.Limits(max_connections=batch, max_keepalive_connections=batch),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what is under way and close the connections."""
        self._stopped.set()
        self._client.close()

    def answer(self, works: Iterable[PictureWork]) -> Iterator[ItemAnswer]:
        """Keep `batch` items out, and give their answers in the order of asking."""
        items = ((work.encoded, item) for work in works for item in work.items)
        with ThreadPoolExecutor(self._batch, thread_name_prefix="benchmark") as threads:
            out: deque[Future[ItemAnswer]] = deque()
            try:
                for encoded, item in items:
                    out.append(threads.submit(self._ask, encoded, item))
                    if len(out) >= 2 * self._batch:
                        yield out.popleft().result()
                while out:
                    yield out.popleft().result()
            except BaseException:
                # Those that are out are waited for: connections closed under them would be lost.
                self._stopped.set()
                for one in out:
                    one.cancel()
                raise

    def _ask(self, encoded: bytes, item: BenchmarkItem) -> ItemAnswer:
        began = time.monotonic()
        found: dict[str, Json] = {}
        try:
            picture = data_uri(encoded)
            for ask in item.asks:
                found |= self._asked(ask, picture)
        except (PictureDataError, _RefusedRequest) as error:
            found["failed"] = str(error)
        return ItemAnswer(item, found, 1000 * (time.monotonic() - began))

    def _asked(self, ask: Ask, picture: str) -> dict[str, Json]:
        if not isinstance(ask, Question):
            path, key = (
                ("point", "points") if isinstance(ask, FindPoints) else ("detect", "objects")
            )
            reply = self._post(path, {"image_url": picture, "object": ask.label})
            return _places(reply.get(key), is_point=key == "points")
        if self._interface == "moondream":
            settings: dict[str, Json] = {
                "max_tokens": ask.max_tokens, "temperature": ask.temperature, "top_p": _TOP_P,
            }  # fmt: skip
            body = {"image_url": picture, "question": ask.prompt, "settings": settings}
            reply = self._post("query", body | {"reasoning": ask.reasoning})
            return {"text": _words(reply.get("answer")), "finish": _end(reply.get("finish_reason"))}
        content: list[Json] = [
            {"type": "image_url", "image_url": {"url": picture}},
            {"type": "text", "text": ask.prompt},
        ]
        chat: dict[str, Json] = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": ask.max_tokens,
            "temperature": ask.temperature,
        }
        if ask.temperature:
            chat |= {"top_p": _TOP_P, "seed": ask.seed}
        if ask.reasoning:
            chat["reasoning_effort"] = "medium"
        reply = self._post("chat/completions", chat)
        try:
            choice = reply["choices"][0]
            finish = _end(choice.get("finish_reason"))
            return {"text": _words(choice["message"]["content"]), "finish": finish}
        except (KeyError, IndexError, TypeError, AttributeError):
            raise _RefusedRequest(f"the server's reply has no choice: {_short(reply)}") from None

    def _post(self, path: str, body: Mapping[str, Json]) -> Mapping[str, Any]:
        """The reply. What passes is waited for; raises BenchmarkError where nothing helps."""
        import httpx

        if self._interface == "moondream" or path != "chat/completions":
            body = {**body, "model": self._model} if self._model else body
        backoff = Backoff(_RESTS, random.Random())
        until = time.monotonic() + self._away_within_s
        broken = 0
        while True:
            asked_s: float | None = None
            try:
                reply = self._client.post(f"{self._base}/{path}", json=body)
            except httpx.ReadTimeout:
                raise _RefusedRequest(f"no answer within {_ANSWER_WITHIN_S:g} s") from None
            except httpx.HTTPError as error:
                why = f"{type(error).__name__}: {error}"
            else:
                if reply.is_success:
                    return _object(reply)
                why = f"status {reply.status_code}: {_reason(reply)}"
                if reply.status_code in _FATAL:
                    raise BenchmarkError(self._said(path, why))
                broken += reply.status_code == _BROKEN
                is_passing = reply.status_code in _BUSY or 0 < broken < _BROKEN_TIMES
                if not is_passing:
                    raise _RefusedRequest(without_secrets(why))
                asked_s = _retry_after(reply)
            rest = backoff.next_s(asked_s)
            if time.monotonic() + rest > until:
                raise BenchmarkError(
                    f"{self._said(path, why)}; tried for {self._away_within_s:g} s. Start the same "
                    "command again to go on"
                )
            if self._stopped.wait(rest):
                raise BenchmarkError("stopped")

    def _said(self, path: str, why: str) -> str:
        return without_secrets(f"{masked(self._base)}/{path} does not answer: {why}")


class _RefusedRequest(Exception):  # noqa: N818
    """The server answers, but not this request."""


def open_remote(
    url: str, model: str | None, key_file: Path | None, batch: int, interface: Interface
) -> RemoteAnswerer:
    """A server by its address; raises BenchmarkError where that or the key cannot be used.

    Without a name for the model it is the first one that the server lists.
    """
    if not url.startswith(("http://", "https://")):
        raise BenchmarkError(
            f"--url {masked(url)} is not an address; give one such as http://127.0.0.1:8000/v1"
        )
    key = None
    if key_file is not None:
        try:
            text = key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or "it is not text"
            raise BenchmarkError(f"--key-file {key_file} cannot be read: {said}") from error
        if not text or not text.isascii() or not text.isprintable():
            raise BenchmarkError(f"--key-file {key_file} does not hold a key in one line")
        key = Secret(text)
    address = Address(url)
    return RemoteAnswerer(address, model or _listed(address, key), key, batch, interface)


def _listed(url: Address, key: Secret | None) -> str:
    """The first model of a server's list; empty where it has none, which few servers mind."""
    import httpx

    headers = {} if key is None else {"authorization": f"Bearer {key.reveal()}"}
    try:
        reply = httpx.get(
            f"{url.reveal().rstrip('/')}/models", headers=headers, timeout=_CONNECT_WITHIN_S
        )
        return str(reply.json()["data"][0]["id"])
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError):
        return ""


def _places(value: Any, *, is_point: bool) -> dict[str, Json]:
    names = ("x", "y") if is_point else ("x_min", "y_min", "x_max", "y_max")
    try:
        # Scores are ours alone: a server without them gives all of its boxes the same.
        rows = [
            [*(float(one[name]) for name in names), float(one.get("score", 1.0))] for one in value
        ]
        is_finite = all(math.isfinite(number) for row in rows for number in row)
    except (KeyError, TypeError, ValueError, AttributeError):
        is_finite = False
    if not is_finite:
        raise _RefusedRequest(f"the server's reply has no places: {_short(value)}")
    return {"points" if is_point else "boxes": rows}


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise _RefusedRequest(f"the server's answer is not a text: {_short(value)}")
    return value


def _end(reason: Any) -> Any:
    """Why an answer ended, as the model in this process says it."""
    return "end" if reason == "stop" else reason


def _object(reply: "httpx.Response") -> Mapping[str, Any]:
    try:
        value = reply.json()
    except ValueError:
        value = None
    if not isinstance(value, Mapping):
        raise _RefusedRequest(f"the server's reply is not an object: {_short(reply.text)}")
    return value


def _reason(reply: "httpx.Response") -> str:
    try:
        error = reply.json()["error"]
        return _short(error["message"] if isinstance(error, Mapping) else error)
    except (ValueError, KeyError, TypeError):
        return _short(reply.text)


def _retry_after(reply: "httpx.Response") -> float | None:
    try:
        return float(reply.headers["retry-after"])
    except (KeyError, ValueError):
        return None


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else f"{text[:200]}…"
