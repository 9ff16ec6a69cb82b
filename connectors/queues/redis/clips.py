"""Wishes for clips, from the processors to the samplers, and their answers."""

import json
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, TypeVar

from connectors.queues.redis.client.link import Link
from connectors.queues.redis.leases import CameraFence
from pipeline.core.clips import (
    ClipAnswer,
    ClipWish,
    answer_from,
    answer_record,
    as_record,
    wish_from,
)
from pipeline.core.errors import CameraTakenError

logger = logging.getLogger(__name__)

T = TypeVar("T")
_WISHES_MS = round(timedelta(hours=1).total_seconds() * 1000)
_ANSWERS_MS = round(timedelta(days=1).total_seconds() * 1000)
_AT_ONCE = 500


class RedisClips:
    """See `pipeline.core.clips.ClipExchange`. Wishes expire, as nobody could answer them later."""

    def __init__(self, link: Link, fence: CameraFence | None = None) -> None:
        """`fence` is of the sampler whose camera's wishes alone are answered here."""
        self._link = link
        self._fence = fence

    def fenced(self, fence: CameraFence) -> "RedisClips":
        """For the sampler of one camera."""
        return RedisClips(self._link, fence)

    def ask(self, wishes: Sequence[ClipWish]) -> None:
        """Ask for clips."""
        for camera, some in groupby(sorted(wishes, key=_camera), key=_camera):
            told: list[str] = []
            for wish in some:
                told += [wish.reference, f"{wish.until!r}|{json.dumps(as_record(wish))}"]
            for start in range(0, len(told), _AT_ONCE):
                part = told[start : start + _AT_ONCE]
                self._link.script("clip_ask", camera, _WISHES_MS, *part)

    def wishes(self, cameras: Collection[str]) -> Sequence[ClipWish]:
        """What is wanted of these cameras and was not answered yet."""
        if not cameras:
            return []
        found: list[bytes] = self._link.script("clip_wishes", *cameras)
        return list(_read(found, lambda record: wish_from(record), after=b"|"))

    def answer(self, answer: ClipAnswer) -> None:
        """Answer a wish; raises CameraTakenError."""
        fence = self._fence
        done = self._link.script(
            "clip_answer",
            *(fence.told() if fence is not None else ("", "")),
            answer.camera,
            answer.reference,
            repr(answer.until),
            json.dumps(answer_record(answer)),
            _ANSWERS_MS,
        )
        if int(done) < 0 and fence is not None:
            raise CameraTakenError(fence.camera)

    def answers(self) -> Sequence[ClipAnswer]:
        """The answers that are not settled."""
        found: list[bytes] = self._link.script("clip_answers")
        return list(_read(found, lambda record: answer_from(record)))

    def settle(self, references: Sequence[str]) -> None:
        """Drop answers that are written down."""
        for start in range(0, len(references), _AT_ONCE):
            self._link.script("clip_answers", *references[start : start + _AT_ONCE])


def _camera(wish: ClipWish) -> str:
    return wish.camera


def _read(found: Sequence[bytes], read: Callable[[Any], T], after: bytes = b"") -> Iterator[T]:
    """What can be read; what another program wrote there is left to expire."""
    for text in found:
        try:
            yield read(json.loads(text.partition(after)[2] if after else text))
        except (ValueError, RecursionError) as error:
            logger.debug("something about clips in Redis cannot be read: %s", error)
