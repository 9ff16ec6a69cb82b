"""Whether an engine answers at all: said when it changes, not for each frame."""

import logging
from collections.abc import Sequence

from pipeline.core.answers import Answer, Failed

logger = logging.getLogger(__name__)


class EngineCondition:
    """Logs one line when an engine begins to fail at everything, and one when it answers again."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._raised = False
        self._failing = False

    def raised(self) -> None:
        """Called while an exception of the engine is handled; the first one is logged whole."""
        if not self._raised:
            message = "engine %s failed on a batch, asking one by one"
            logger.error(message, self._engine, exc_info=True)  # noqa: LOG014 - see the docstring
        self._raised = True

    def answered(self, answers: Sequence[Sequence[Answer]]) -> None:
        """What the engine gave for a batch."""
        given = [answer for one in answers for answer in one]
        reasons = [answer.reason for answer in given if isinstance(answer, Failed)]
        if given and len(reasons) == len(given) and not self._failing:
            self._failing = True
            logger.warning("engine %s answers nothing: %s", self._engine, reasons[0])
        elif self._failing and len(reasons) < len(given):
            self._failing = self._raised = False
            logger.info("engine %s answers again", self._engine)
