"""Callers of a model: requests from outside that wait for their answer, beside the cameras' frames.

`Callers` is the port that a server asks; `CallTicket` is what it holds of each request.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pipeline.core.errors import MoonwatchError
from pipeline.core.frames import Pixels
from pipeline.moondream import FailedResult, Request, Result

if TYPE_CHECKING:
    from pipeline.moondream.skills.base import Language

logger = logging.getLogger(__name__)

CallFault = Literal["request", "picture", "overloaded", "late", "cancelled", "stopped", "model"]
"""Whose doing a failure is.

`request` and `picture` are the caller's mistakes; `overloaded` waited too long in line, and `late`
was not answered within its time; `stopped` is an engine that ends, and `model` one that failed.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One request to the model by a caller that waits for it."""

    request: Request
    pixels: Pixels | None
    """(H, W, 3) uint8 RGB; None for a question without a picture."""
    max_crops: int | None = None
    caller: str = ""
    """Such as the name of a key: callers take turns."""
    within_s: float | None = None
    """Seconds from `submit` after which an answer is useless; None for no limit."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What a call took so far; 0 where it is not known yet."""

    crops: int = 0
    image_tokens: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    queued_ms: float = 0.0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    picture_was_kept: bool = False


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What answers."""

    name: str
    """As it is called, such as `vikhyatk/moondream2`."""
    release: str
    commit: str
    """Of the model's files; empty where they are a folder that does not say it."""
    device: str
    dtype: str
    resizer: str
    max_context: int
    """Positions of a prompt with its picture and its answer."""
    engine_version: str
    caption_lengths: tuple[str, ...] = ("short", "normal", "long")


class OverloadedError(MoonwatchError):
    """The callers' line is full; `retry_after_s` is when it is worth another try."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class CallTicket:
    """The handle of one call. Every method may be called from any thread.

    It is settled once, by the first of these: the model, the deadline, `cancel` or the end of the
    engine; what comes later is dropped.
    """

    def __init__(self, call: Call, submitted_at: float = 0.0) -> None:
        self.call = call
        self.submitted_at = submitted_at
        """Seconds on the line's clock."""
        self.pieces: Sequence[str] = ()
        """The text so far; only ever grows, so that it is safe to read at any time."""
        self.fault: CallFault | None = None
        """Whose doing it is that it failed; None where it has not."""
        self.asked_alone = False
        """Whether it was retried by itself because a step of the model had failed."""
        self._facts = CallFacts()
        self._told = 0
        self._result: Result | None = None
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    @property
    def result(self) -> Result | None:
        """The result; None until it is done, a `FailedResult` where it failed."""
        return self._result

    @property
    def is_done(self) -> bool:
        """Whether there is a result."""
        return self._result is not None

    @property
    def facts(self) -> CallFacts:
        """What it took so far; after its end, cancelled or not, what it took in all."""
        return self._facts

    def cancel(self) -> None:
        """Give it up: it is done at once, and its row is free before the next step."""
        self.fail("cancelled", "the request was cancelled")

    def listen(self, call: Callable[[], None]) -> None:
        """Run `call` whenever `pieces` has grown, and once when it is done (now if it is).

        It is run in the thread that brings the news, the engine's as a rule: it must return at
        once. Its exceptions are only logged.
        """
        with self._lock:
            if self._result is None:
                self._listeners.append(call)
                return
        self._tell([call])

    def grow(self, pieces: Sequence[str], facts: CallFacts) -> bool:
        """For engines: note what it took so far, and its text, a list that only grows.

        When it is retried, the text begins again, and counts from where it had come to; False where
        that is another text, which must not be joined to the first.
        """
        with self._lock:
            if self._result is not None:
                return True
            self._facts = facts
            if pieces is not self.pieces:
                if len(pieces) < self._told:
                    return True
                if list(pieces[: self._told]) != list(self.pieces[: self._told]):
                    return False
                self.pieces = pieces
            if len(pieces) == self._told:
                return True
            self._told = len(pieces)
            listeners = list(self._listeners)
        self._tell(listeners)
        return True

    def settle(self, result: Result, fault: CallFault | None = None) -> bool:
        """For engines: set the result; False when there was one already."""
        with self._lock:
            if self._result is not None:
                return False
            self.fault, self._result = fault, result
            listeners, self._listeners = self._listeners, []
        self._tell(listeners)
        return True

    def fail(self, fault: CallFault, reason: str) -> bool:
        """For engines: set the failure as its result; False when there was a result already."""
        return self.settle(FailedResult(reason), fault)

    def _tell(self, listeners: Sequence[Callable[[], None]]) -> None:
        for call in listeners:
            try:
                call()
            except Exception:
                # The thread belongs to the engine, or to another caller of `cancel`.
                logger.exception("a listener of a call failed")


class ReservedPlace:
    """A place in line that is kept, as a context, until the call is put in line or given up."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release

    def __enter__(self) -> None:
        """Nothing more to do: it is kept already."""

    def __exit__(self, *_: object) -> None:
        self._release()


class Callers(Protocol):
    """Where calls are put in line. Every method may be called from any thread."""

    def submit(self, call: Call) -> CallTicket:
        """Put a call in line; returns at once. Raises OverloadedError where the line is full."""
        ...

    def reserve(self, caller: str) -> "ReservedPlace":
        """Keep a place in line for a call that is still being prepared, as its picture is read.

        Whoever would be refused is spared the work. Raises OverloadedError.
        """
        ...

    @property
    def ready(self) -> str | None:
        """None when the model answers, else why it does not, in a sentence."""
        ...

    @property
    def model_facts(self) -> ModelFacts | None:
        """What answers; None until it is loaded."""
        ...

    @property
    def language(self) -> "Language | None":
        """How the model is addressed, for forms of answers; None until it is loaded."""
        ...

    @property
    def waiting(self) -> int:
        """How many calls are in line."""
        ...

    @property
    def running(self) -> int:
        """How many calls the model is working on."""
        ...
