"""Whether an engine answers at all: said when it changes, not for each frame."""

import logging
from collections.abc import Sequence

from pipeline.core.answers import Answer, Failed

logger = logging.getLogger(__name__)

# One frame that fails may be a bad picture; so many in a row are the engine's doing.
_IN_A_ROW = 3


class EngineCondition:
    """Logs one line when an engine begins to fail at everything, and one when it answers again."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._in_a_row = 0
        self._failing = False

    def answered(self, given: Sequence[Answer]) -> None:
        """What the engine gave for a frame."""
        reasons = [answer.reason for answer in given if isinstance(answer, Failed)]
        if not given:
            return
        if len(reasons) == len(given):
            self._in_a_row += 1
            if self._in_a_row == _IN_A_ROW:
                self._failing = True
                logger.warning("engine %s answers nothing: %s", self._engine, reasons[0])
            return
        self._in_a_row = 0
        if self._failing:
            self._failing = False
            logger.info("engine %s answers again", self._engine)
