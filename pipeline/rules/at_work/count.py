"""Compares the number that a count task answers with a limit."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.core.answers import Answer, Boxes, Number, Points, Text, count_of
from pipeline.core.events import JsonValue
from pipeline.core.measures import Bucket
from pipeline.core.rules import Ending, Observation, Verdict
from pipeline.core.tracks import Track
from pipeline.rules.at_work.limits import Limit, LimitMemory, Reading
from pipeline.rules.context import RuleContext
from pipeline.rules.count import CountConfig
from pipeline.rules.memory import dump, load


@dataclass(slots=True)
class _CountState:
    version: ClassVar[int] = 1
    limit: LimitMemory


class CountRule:
    """Judges numbers as they come, without tracking."""

    def __init__(self, config: CountConfig, context: RuleContext) -> None:
        self._limit = Limit(config, context, config.type)

    def judge(self, seen: Observation) -> Verdict:
        """Judge one more answer."""
        return self._limit.judge(seen, _reading(seen.answer))

    def counted(self, tracks: Sequence[Track]) -> Mapping[int, int | None]:
        """All that is followed, as the whole picture counts."""
        return {track.id: track.id for track in tracks}

    def finish(self, at: float, why: Ending = "stream ended") -> Verdict:
        """End an open happening and write the last minute."""
        return self._limit.finish(at, why)

    def unfinished(self) -> tuple[Bucket, ...]:
        """The current minute so far."""
        return self._limit.unfinished()

    def state(self) -> JsonValue:
        """Everything needed to resume after a restart."""
        return dump(_CountState(self._limit.memory))

    def restore(self, state: JsonValue) -> None:
        """Resume from a `state()`; raises ValueError for anything else."""
        self._limit.recall(load(_CountState, state).limit)

    def inherit(self, state: JsonValue, at: float) -> None:
        """Continue an earlier rule's open minutes and cooldown."""
        self._limit.inherit(load(_CountState, state).limit, at)


def _reading(answer: Answer) -> Reading | None:
    if isinstance(answer, Text):
        number = re.fullmatch(r"\s*(\d+)\s*\.?\s*", answer.text)
        return Reading(int(number[1])) if number else None
    number_of = count_of(answer)
    if number_of is None:
        return None
    cut_short = isinstance(answer, Boxes | Points | Number) and answer.saturated
    return Reading(number_of, cut_short)
