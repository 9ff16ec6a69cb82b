"""Whether an engine answers at all: logged when it changes, not for each frame."""

import logging
from collections.abc import Sequence

from pipeline.core.answers import Answer, Failed

logger = logging.getLogger(__name__)

# One failed frame may be a bad picture; this many in a row mean that the engine is failing.
_IN_A_ROW = 3


class EngineCondition:
    """Logs one line when an engine begins to fail at everything, and one when it answers again."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._in_a_row = 0
        self._failing = False

    def answered(self, given: Sequence[Answer]) -> None:
        """Note the engine's answers for a frame."""
        reasons = [answer.reason for answer in given if isinstance(answer, Failed)]
        if not given:
            return
        if len(reasons) == len(given):
            self._in_a_row += 1
            if self._in_a_row == _IN_A_ROW:
                self._failing = True
                logger.warning("engine %s is failing on every frame: %s", self._engine, reasons[0])
            return
        self._in_a_row = 0
        if self._failing:
            self._failing = False
            logger.info("engine %s is answering again", self._engine)
