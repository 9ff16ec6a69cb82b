"""Callers of a model that is still being loaded."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.core.errors import MoonwatchError
from pipeline.inference.callers import (
    Call,
    Callers,
    CallTicket,
    ModelFacts,
    OverloadedError,
    ReservedPlace,
)

if TYPE_CHECKING:
    from pipeline.moondream.skills.base import Language

logger = logging.getLogger(__name__)

LOADING = "the model is being loaded"
NOT_LOADED = "the model cannot be loaded; the log says why"
_RETRY_S = 5.0


class LateCallers:
    """Loads a model in a thread of its own, and is its callers' door from the first moment."""

    def __init__(self, load: Callable[[], Callers]) -> None:
        """`load` may raise MoonwatchError."""
        self.failure: str | None = None
        """Why the model cannot be loaded."""
        self._load = load
        self._callers: Callers | None = None
        self._thread = threading.Thread(target=self._run, name="loading", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def submit(self, call: Call) -> CallTicket:
        """Put a call in line; raises OverloadedError, also while there is no model yet."""
        if self._callers is None:
            raise OverloadedError(self._why_not, _RETRY_S)
        return self._callers.submit(call)

    def reserve(self, caller: str) -> ReservedPlace:
        """Keep a place in line; raises OverloadedError, also while there is no model yet."""
        if self._callers is None:
            raise OverloadedError(self._why_not, _RETRY_S)
        return self._callers.reserve(caller)

    @property
    def ready(self) -> str | None:
        """None when the model answers, else why it does not, in a sentence."""
        return self._why_not if self._callers is None else self._callers.ready

    @property
    def model_facts(self) -> ModelFacts | None:
        """What answers; None until it is loaded."""
        return None if self._callers is None else self._callers.model_facts

    @property
    def language(self) -> "Language | None":
        """How the model is addressed; None until it is loaded."""
        return None if self._callers is None else self._callers.language

    @property
    def waiting(self) -> int:
        """How many calls are in line."""
        return 0 if self._callers is None else self._callers.waiting

    @property
    def running(self) -> int:
        """How many calls the model is working on."""
        return 0 if self._callers is None else self._callers.running

    @property
    def _why_not(self) -> str:
        # Strangers read it: what failed names folders.
        return LOADING if self.failure is None else NOT_LOADED

    def _run(self) -> None:
        try:
            self._callers = self._load()
        except MoonwatchError as error:
            self.failure = f"the model cannot be loaded: {error}"
        except Exception as error:
            logger.exception("the model cannot be loaded")
            self.failure = f"the model cannot be loaded: {type(error).__name__}"
